"""A folder of songs in the place of a table: every command takes it."""

import json

import numpy as np
import pandas as pd
import pytest
from commands import command_here
from made_songs import write_songs
from made_weights import put_weights

from gtzan_jax.inference.model_files import load_model
from gtzan_jax.inference.songs import load_data
from gtzan_jax.rundir.finished import read_finished

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with made-up songs and the commands' runs on them; weights are random."""
    folder = tmp_path_factory.mktemp("songs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        put_weights()
        write_songs(folder / "music", 6, 3.1)
        sweep = ["--data=music", "--sweep=smoke", "--protocol=holdout", "--workdir=run"]
        for words in (
            ["sweep", *sweep, "--retrain_epochs=3", "--retrain_seeds=2"],
            ["sweep", *sweep, "--retrain_epochs=3", "--retrain_seeds=2"],  # finds all done
            ["retrain", "--workdir=run", "--rank=2", "--data=music", "--retrain_epochs=2"],
            ["baselines", "--data=music", "--protocol=holdout", "--workdir=baselines-songs",
             "--num_seeds=1", "--set=epochs=2"],
            ["eda", "--data=music", "--workdir=eda"],
            ["report", "run", "--data=music"],
        ):  # fmt: skip
            done = command_here(*words, folder=folder)
            assert done.returncode == 0, (words, done.stderr)
            with (folder / f"{words[0]}.txt").open("a") as file:
                file.write(done.stdout)
        yield folder


def test_the_run_is_of_pretrained_features(folder):
    data = read_finished(folder / "run").manifest.data
    assert (data.source, data.tracks, data.features) == ("music", 60, 200)
    assert data.pretrained == "musicnn"
    assert (
        "24 configurations" in (folder / "sweep.txt").read_text()
        or "finished" in (folder / "sweep.txt").read_text()
    )


def test_its_model_predicts_sound(folder):
    song = folder / "music" / "jazz" / "jazz.00001.wav"
    done = command_here("predict", "run", str(song), "--json", "--explain", folder=folder)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["songs"]
    table = load_data(folder / "music")
    expected = load_model(folder / "run").predict_proba(table)[table.tracks.index(song.name)]
    genres = {each["genre"]: each["probability"] for each in found["genres"]}
    np.testing.assert_allclose([genres[g] for g in sorted(genres)], expected, atol=1e-3)


def test_classical_models_are_beside_it_in_the_report(folder):
    frame = pd.read_csv(folder / "baselines-songs" / "baselines.csv")
    assert len(frame) > 5
    assert "logistic regression" in (folder / "run" / "report.html").read_text()
