"""The look at the table, as users run it."""

import dataclasses
import json
import os

import numpy as np
import pandas as pd
import pytest
from commands import command, command_here, served_projector
from matplotlib.figure import Figure

from gtzan_jax.jobs.exploring import write_projector
from gtzan_jax.tables.schema import FEATURES
from gtzan_jax.tables.sources import load_table

TABLES = [
    "correlation_pairs", "correlations", "feature_ranking", "pca_explained_variance",
    "pca_loadings",
]  # fmt: skip
FIGURES = ["contact_sheet", "correlation_heatmap"] + [
    f"pca_{scaling}_{part}"
    for scaling in ("min-max", "standard")
    for part in ("2d", "3d", "loadings")
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished look at the sample, with empty figures, and what the command printed."""
    folder = tmp_path_factory.mktemp("eda")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda _figure, file, **_: file.write(b"\x89PNG"))
        done = command_here("eda", "--data=sample", "--workdir=out", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "out", done


def test_everything_is_written(finished):
    folder, done = finished
    files = [f"{name}.csv" for name in TABLES] + [f"{name}.png" for name in FIGURES]
    folders = ["boxplots", "projector"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*files, *folders, "data_quality.json"]
    )
    boxplots = [path.name for path in (folder / "boxplots").iterdir()]
    assert sorted(boxplots) == sorted(f"{feature}.png" for feature in FEATURES)
    for path in folder.rglob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert not done.stderr


def test_the_tables_hold_what_their_names_say(finished):
    folder, _ = finished
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in TABLES}
    assert tables["correlations"].shape == (28, 1 + 28 + 1)
    assert len(tables["correlation_pairs"]) == 28 * 27 / 2
    assert sorted(tables["feature_ranking"]["feature"]) == sorted(FEATURES)
    assert len(tables["pca_loadings"]) == 2 * 57
    assert len(tables["pca_explained_variance"]) == 2 * 3


def test_the_sample_is_named_everywhere(finished):
    folder, done = finished
    assert "sample" in done.stdout
    for name in TABLES:
        assert (pd.read_csv(folder / f"{name}.csv")["data"] == "sample").all()
    assert "SYNTHETIC sample" in json.loads((folder / "data_quality.json").read_text())["data"]
    assert "sample" in (folder / "projector" / "projector_config.pbtxt").read_text()
    metadata = (folder / "projector" / "metadata.tsv").read_text().splitlines()
    assert metadata[:2] == ["genre\ttrack\tdata", "blues\tblues.sample00.wav\tsample"]


def test_the_end_says_what_was_found_and_where(finished):
    folder, done = finished
    lines = done.stdout.splitlines()
    strongest = pd.read_csv(folder / "correlation_pairs.csv").iloc[0]
    assert any(
        f"{strongest.correlation:+.4f}" in line and strongest.other in line for line in lines
    )
    first = pd.read_csv(folder / "feature_ranking.csv")["feature"][0]
    assert any(line.startswith(f"features that separate genres best: {first}, ") for line in lines)
    assert any("exact repeats: 0 groups of tracks; 0 constant" in line for line in lines)
    assert max(map(len, lines)) <= 80
    assert any("tensorboard --logdir out/projector" in line for line in lines)
    assert len(lines) <= 18


def test_the_projector_shows_every_track(finished):
    folder, _ = finished
    with served_projector(folder / "projector") as shown:
        vectors, metadata = shown
    (opened,) = (folder / "projector" / "summary").iterdir()
    assert b"[Projector](#projector)" in opened.read_bytes()
    table = load_table("sample")
    assert metadata[0] == ["genre", "track", "data"]
    assert [row[1] for row in metadata[1:]] == list(table.tracks)
    assert [row[0] for row in metadata[1:]] == [table.genres[genre] for genre in table.y]
    x = table.x.astype(np.float64)
    expected = (x - x.mean(axis=0)) / x.std(axis=0)
    np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_real_table(tmp_path, real_table_path):
    before = os.times()
    done = command("eda", f"--data={real_table_path}", "--workdir=out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sum(os.times()[2:4]) - sum(before[2:4]) < 60  # seconds of processor time
    for ratio in ("0.24644968, 0.22028192, 0.09803759", "0.23949564, 0.16929248, 0.10750028"):
        assert ratio in done.stdout
    assert "-0.9402  spectral_centroid_mean, mfcc2_mean" in done.stdout
    assert "exact repeats: 14 groups of tracks, 1 of them across genres" in done.stdout
    quality = json.loads((tmp_path / "out" / "data_quality.json").read_text())
    assert len(quality["repeats"]) == 14
    assert "sample" not in done.stdout
    assert "data" not in pd.read_csv(tmp_path / "out" / "correlations.csv")


def test_odd_names_keep_the_projector_whole(tmp_path):
    table = load_table("sample")
    tracks = tuple(f"<script>\t{row}\n\u2028.wav" for row in range(1000))
    genres = ("a\tb", "_c\r\n", *table.genres[2:])
    write_projector(tmp_path, dataclasses.replace(table, tracks=tracks, genres=genres))
    lines = (tmp_path / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "a b\t<script> 0  .wav\tsample"
    assert lines[101] == "_c  \t<script> 100  .wav\tsample"
    assert len(lines) == 1001
