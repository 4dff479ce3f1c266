"""What the command says of sound files, made up and real."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from commands import command_here
from conftest import make_document, make_sweep
from finished_runs import random_model

import gtzan_jax
from gtzan_jax import load_model, load_table
from gtzan_jax.errors import InputError
from gtzan_jax.inference.distribution import Distribution
from gtzan_jax.inference.front_end import FrontEnd
from gtzan_jax.inference.model_files import save_model
from gtzan_jax.jobs import predicting
from gtzan_jax.jobs.options import PredictOptions
from gtzan_jax.jobs.predicting import predict_songs
from gtzan_jax.jobs.retraining import retrain
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.sound.features import features_of, segments_of
from gtzan_jax.sound.files import read
from gtzan_jax.space.sweep_file import parse_sweep
from gtzan_jax.tables import lists
from gtzan_jax.tables.folds import Fold
from gtzan_jax.tables.protocols import Splits, make_splits
from gtzan_jax.trainer.engine import Engine

RATE = 22_050
SAMPLE = load_table("sample")


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """A folder with two sounds and a file that is none."""
    folder = tmp_path_factory.mktemp("music") / "my songs"
    (folder / "deeper").mkdir(parents=True)
    time = np.arange(7 * RATE) / RATE
    noise = np.random.default_rng(0).normal(size=len(time))
    soundfile.write(folder / "blues.00000.wav", 0.2 * np.sin(2 * np.pi * 330 * time), RATE)
    soundfile.write(folder / "deeper" / "noise.wav", 0.1 * noise, RATE)
    (folder / "torn.wav").write_bytes(b"RIFF and no more")
    return folder


def model_of(**changes):
    model = dataclasses.replace(random_model(make_sweep().configs[3], SAMPLE), data="real.csv")
    segments = FrontEnd.of_rows(66_149, is_segmented=True)
    return dataclasses.replace(model, **{"front_end": segments, "protocol": "assignment"} | changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory, songs):
    """A run directory with a model of segments that has learnt nothing and knows the first song."""
    folder = tmp_path_factory.mktemp("run")
    known = np.array(
        [features_of(segment) for segment in segments_of(read(songs / "blues.00000.wav"))]
    )
    x = np.concatenate([known, SAMPLE.x]).astype(np.float32)
    distribution = Distribution.of(x, np.arange(len(x), dtype=np.int32), SAMPLE.features)
    save_model(model_of(distribution=distribution), folder / "best")
    return folder


@pytest.fixture(autouse=True)
def this_platform(monkeypatch):
    """Leaves the devices as the tests have them."""
    monkeypatch.setattr(predicting, "select_platform", lambda _: [])


def test_the_command_says_what_it_can_and_names_what_it_cannot(run, songs, tmp_path):
    done = command_here(
        "predict", str(run), str(songs), "--platform=cpu", "--explain", folder=tmp_path
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"error: {songs / 'torn.wav'}: ")
    assert lines[1] == "1 of 3 files could not be predicted"
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "correct on 25 of 50 test songs; expected calibration error 12.5" in done.stdout
    assert "not calibrated: the run has no validation part" in done.stdout
    blocks = done.stdout.split("\n\n")[1:]
    for block, name in zip(blocks, ("/blues.00000.wav", "/deeper/noise.wav"), strict=True):
        assert block.splitlines()[0].endswith(name)
    assert ["! this song was in the training set" in block for block in blocks] == [True, False]
    for block in blocks:
        assert "7.0 s, 2 windows, not calibrated" in block
        assert len(re.findall(r"^  \w+ +[\d.]+ %", block, re.MULTILINE)) == 3
        assert "against it" in block


def document_of(capsys, request):
    whole = predict_songs(request)
    return whole, json.loads(capsys.readouterr().out)


def test_the_document_has_all_that_is_known(run, songs, capsys):
    request = PredictOptions(str(run), [str(songs), "missing.wav"], explain=True, json=True)
    whole, document = document_of(capsys, request)
    assert not whole
    assert set(document) == {"format", "model", "songs", "errors"}
    assert document["format"] == 1
    model = load_model(run)
    assert document["model"]["genres"] == list(model.genres)
    assert document["model"]["calibration"]["test"] == model.calibration.test._asdict()
    assert [e["path"] for e in document["errors"]] == [str(songs / "torn.wav"), "missing.wav"]
    assert [s["path"] for s in document["songs"]] == [
        str(songs / "blues.00000.wav"),
        str(songs / "deeper" / "noise.wav"),
    ]
    assert [s["trained_on"] for s in document["songs"]] == [True, False]
    for song in document["songs"]:
        found = model.predict_file(song["path"])
        names, values = zip(*(entry.values() for entry in song["genres"]), strict=True)
        assert names == found.genres
        np.testing.assert_allclose(values, found.probabilities, atol=1e-6)
        for window, times, row in zip(song["windows"], found.times, found.by_window, strict=True):
            np.testing.assert_allclose([window["start"], window["end"]], times, atol=1e-6)
            assert list(window["probabilities"]) == list(found.genres)
            np.testing.assert_allclose(list(window["probabilities"].values()), row, atol=1e-6)
        assert song["unlike"]["is_unlike"] == found.unlike.is_unlike
        explained = song["explanation"]
        total = sum(part["nats"] for part in explained["features"])
        rise = explained["log_probability"] - explained["baseline"]
        assert total == pytest.approx(rise, abs=2e-3)
        assert explained["log_probability"] == pytest.approx(np.log(values[0]), abs=1e-4)


def test_without_being_asked_nothing_is_explained(run, songs, capsys):
    song = songs / "deeper" / "noise.wav"
    whole, document = document_of(capsys, PredictOptions(str(run), [str(song)], json=True))
    assert whole
    assert document["songs"][0]["explanation"] is None


@pytest.mark.parametrize("name", ["figure.png", "new/figure.svg"])
def test_the_figure_is_drawn(run, songs, tmp_path, name):
    request = PredictOptions(str(run), [str(songs / "blues.00000.wav")], plot=str(tmp_path / name))
    assert predict_songs(request)
    assert (tmp_path / name).stat().st_size > 5_000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.pdf", "ends in .png or .svg"),
        ("sub.png", "ends in .png or .svg"),
        ("file/x.png", "file is not a writable folder"),
    ],
)
def test_a_place_for_the_figure_that_is_none_is_told_at_once(run, tmp_path, name, message):
    (tmp_path / "sub.png").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=message):
        predict_songs(PredictOptions(str(run), ["missing.wav"], plot=str(tmp_path / name)))


def test_a_song_is_known_by_its_sound_and_not_by_its_name(run, songs, tmp_path, capsys):
    shutil.copy(songs / "blues.00000.wav", tmp_path / "another.wav")
    shutil.copy(songs / "deeper" / "noise.wav", tmp_path / "blues.00000.wav")
    paths = [str(tmp_path / name) for name in ("another.wav", "blues.00000.wav")]
    _, document = document_of(capsys, PredictOptions(str(run), paths, json=True))
    assert [song["trained_on"] for song in document["songs"]] == [True, False]
    assert predict_songs(PredictOptions(str(run), paths))
    first, second = capsys.readouterr().out.split("\n\n")[1:]
    assert "this song was in the training set" in first
    assert "training set" not in second


def test_what_is_left_out_of_a_folder_is_told(run, songs, tmp_path, capsys):
    shutil.copy(songs / "blues.00000.wav", tmp_path / "a.wav")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "b.m4a").write_bytes(bytes(999))
    assert not predict_songs(PredictOptions(str(run), [str(tmp_path)]))
    told = capsys.readouterr().err.splitlines()
    assert f"warning: {tmp_path}: left out: 1 .txt" in told
    assert any("b.m4a: cannot be decoded: M4A is not supported" in line for line in told)


def test_a_folder_without_sound_is_told(run, tmp_path):
    with pytest.raises(InputError, match="holds no sound file"):
        predict_songs(PredictOptions(str(run), [str(tmp_path)]))


NO_SOUND = {"front_end": None, "distribution": None}


@pytest.mark.parametrize(
    ("changes", "given", "message", "read"),
    [
        ({}, ["a.wav", "my rows.csv"], "my rows.csv is a table, not sound: ", "my rows.csv"),
        (NO_SOUND, ["a.wav"], "the features of the model in it's are not made from sound: ", ""),
        (
            NO_SOUND,
            ["b.CSV"],
            "the features of the model in it's are not made from sound: ",
            "b.CSV",
        ),
    ],
)
def test_how_rows_are_predicted_is_told(tmp_path, monkeypatch, changes, given, message, read):
    monkeypatch.chdir(tmp_path)
    save_model(model_of(**changes), Path("it's"))
    with pytest.raises(InputError) as told:
        predict_songs(PredictOptions("it's", given))
    said, call = str(told.value).split("this command predicts songs; for rows, in Python: ")
    assert said == message
    pd.DataFrame(SAMPLE.x, columns=SAMPLE.features).to_csv(read or "rows.csv")
    found = eval(call, {"gtzan_jax": gtzan_jax, "pandas": pd})
    assert found.tolist() == load_model("it's").predict(SAMPLE).tolist()


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"data": "sample"}, "SYNTHETIC sample, not on real songs"),
        ({"data": "sounds"}, "SYNTHETIC sample, not on real songs"),
        ({"protocol": "leaky_segments"}, "LEAK: segments of one song are on both sides"),
    ],
)
def test_a_model_that_says_nothing_about_songs_is_told_loudly(tmp_path, capsys, changes, warning):
    save_model(model_of(**changes), tmp_path)
    assert not predict_songs(PredictOptions(str(tmp_path), ["missing.wav"]))
    shown = capsys.readouterr()
    assert warning in shown.err
    assert changes.get("protocol", "SYNTHETIC") in shown.out


# ---------------------------------------------------------------------------------- real songs


AXES = {"num_units1": [128], "num_units2": [128], "num_units3": [64], "optimizer": ["adam"]}


def apart_from(table, names):
    """A division that neither trains on songs nor calibrates with them, nor with their artists."""
    splits = make_splits(table, "artist_folds", 0, 1)
    tracks = np.array(table.tracks)
    found = lists.look_up(table, lists.ARTIST_FOLDS)
    artist = np.array([listed.artist if listed else -1 for listed in found])
    known = set(artist[np.isin(tracks, names)]) - {-1}
    out = np.isin(tracks, names) | np.isin(artist, list(known))
    fold = splits.folds[0]
    rest = [rows[~out[rows]] for rows in (fold.train, fold.validation)]
    kept = Fold(*rest, np.flatnonzero(out))
    return Splits(table, splits.protocol, 0, (kept,))


@pytest.mark.slow
def test_real_songs_are_predicted_as_their_rows_in_the_table(real_table_path, real_songs, tmp_path):
    table = load_table(str(real_table_path))
    paths = sorted(real_songs.glob("*.wav"))
    names = [path.name for path in paths]
    splits = apart_from(table, names)
    document = make_document(epochs=40, axes=AXES)
    sweep = parse_sweep(document, "test", "test")
    config = sweep.configs[0]
    with Engine(sweep, MlpFamily(), splits.sizes) as engine:
        retrained = retrain(engine, splits, config.id, [0], 40)
    save_model(retrained.model, tmp_path)
    model = load_model(tmp_path)
    assert model.is_calibrated
    rows = [table.tracks.index(name) for name in names]
    expected = model.predict_proba(dataclasses.replace(table, x=table.x[rows], y=table.y[rows]))
    right = 0
    for path, row in zip(paths, expected, strict=True):
        found = model.predict_file(path)
        in_order = [row[model.genres.index(genre)] for genre in found.genres]
        np.testing.assert_allclose(found.probabilities, in_order, atol=2e-3)
        assert (found.trained_on, len(found.spans), found.notes) == (False, 1, ())
        assert not found.unlike.is_unlike
        right += path.name.startswith(found.genres[0])
    assert right >= len(paths) / 3  # by chance a tenth
