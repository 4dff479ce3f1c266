"""A sweep of networks on spectrograms, from the table to the report and to a song."""

import dataclasses
from types import SimpleNamespace

import msgspec
import numpy as np
import pandas as pd
import pytest
from commands import ask_for_groups, served
from conftest import make_cnn_sweep, make_sweep, make_table
from made_songs import write_songs
from report_words import lines_of

import gtzan_jax
from gtzan_jax import InputError
from gtzan_jax.inference.front_end import SPECTROGRAMS
from gtzan_jax.inference.model_files import load_model, save_model
from gtzan_jax.jobs.job import Training
from gtzan_jax.rundir.finished import read_finished, table_of
from gtzan_jax.sound import spectrogram_cache
from gtzan_jax.sound.mel import BAND_NAMES, BANDS, FRAMES
from gtzan_jax.sound.synthetic import GENRES
from gtzan_jax.tables.protocols import make_splits
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.views.sections.summary import trust_part


def make_songs(per_genre=6, segments=2) -> FeatureTable:
    """Returns spectrograms of the real size: noise with louder bands in each of two genres."""
    random = np.random.default_rng(0)
    y = np.repeat([0, 1], per_genre * segments).astype(np.int32)
    x = random.normal(-40.0, 5.0, (len(y), BANDS, FRAMES))
    for row, genre in zip(x, y, strict=True):
        row[8 + 24 * genre : 16 + 24 * genre] += 15.0
    tracks = [
        f"{genre}.{song:05d}.{segment}.wav"
        for genre in GENRES[:2]
        for song in range(per_genre)
        for segment in range(segments)
    ]
    return FeatureTable(
        x.astype(np.float16), y, tuple(tracks), BAND_NAMES, tuple(GENRES[:2]), "0" * 64, "here", ()
    )


TABLE = make_songs()
SWEEP = make_cnn_sweep(blocks=[1], dropout=[0.0, 0.2], optimizer=["adam"], time_mask=[0, 4])
SWEEP = dataclasses.replace(SWEEP, batch_size=4)


pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cnn") / "run"
    return gtzan_jax.run_sweep(SWEEP, TABLE, folder, retrain_epochs=6, retrain_seeds=2)


def test_every_config_is_ranked(run):
    assert len(run.results) == 4
    assert {"filters", "blocks", "time_mask"} <= set(run.results)
    assert set(run.history["epoch"]) == {1, 2}
    assert run.manifest.data.features == BANDS
    assert run.manifest.data.is_segmented


def test_a_finished_run_is_read_and_trains_nothing(run, monkeypatch):
    assert repr(gtzan_jax.read_run(run.run.path)) == repr(run)
    monkeypatch.setattr(Training, "begin", None)
    again = gtzan_jax.run_sweep(SWEEP, TABLE, run.run.path, retrain_epochs=6, retrain_seeds=2)
    pd.testing.assert_frame_equal(again.results, run.results)


def test_the_kept_model_predicts_what_its_retraining_ended_with(run):
    model = load_model(run.run.path)
    assert model.front_end == SPECTROGRAMS
    said = model.predict(TABLE)
    by_song = TABLE.by_song
    history = run.retrained
    last = history[(history["fold"] == 0) & (history["seed"] == 0)].iloc[-1]
    splits = make_splits(TABLE, "holdout", 0, 5)
    songs = np.unique(TABLE.songs[splits.folds[0].test])
    right = said[songs] == np.array(GENRES)[by_song.y[songs]]
    assert right.mean() == pytest.approx(last["test_accuracy"])
    saved = {name: array.shape for name, array in model.params.items()}
    assert model.num_weights == sum(int(np.prod(shape)) for shape in saved.values())


@pytest.mark.slow
def test_tensorboard_has_each_run_with_its_hyperparameters(run):
    axes = ["filters", "blocks", "dropout", "time_mask"]
    with served(run.run.tensorboard) as address:
        groups = ask_for_groups(address, 4, axes, ["test_accuracy"])
    assert len(groups) == 4
    assert {tuple(group["hparams"][axis] for axis in axes) for group in groups} == {
        tuple(config.setting(axis) for axis in axes) for config in SWEEP.configs
    }


def test_the_report_tells_of_a_network_on_spectrograms(run):
    text = lines_of(run.report().read_text())
    model = load_model(run.run.path)
    assert f"{model.num_weights:,}" in text
    assert "blocks" in text
    assert "Our sweep's networks get spectrograms; all models of a comparison" in text
    assert "gtzan_jax.predict --explain shows" in text
    assert "gtzan_jax.baselines --protocol=all --data=" in text
    assert "numbers of a track" not in text  # as a table has
    assert "units" not in text
    cells = [line.split(" | ")[1] for line in text.splitlines() if line.startswith("| time_mask |")]
    assert {"0", "4"} <= set(cells)
    assert "4.0" not in cells


def test_baselines_of_bands_say_nothing_of_a_network_on_spectrograms(run):
    finished = read_finished(run.run.path)
    classical = SimpleNamespace(protocols={"holdout": None, "kfold": None})
    assert not trust_part(finished, None, classical).figures


def test_a_song_is_heard_and_explained(run, tmp_path):
    pytest.importorskip("librosa")
    write_songs(tmp_path, 1, 7.0)
    path = next(tmp_path.glob(f"**/{GENRES[0]}*.wav"))
    model = load_model(run.run.path)
    found = model.predict_file(path)
    assert found.inputs.shape == (2, BANDS, FRAMES)
    assert sorted(found.genres) == list(GENRES[:2])
    assert found.probabilities.sum() == pytest.approx(1.0)
    assert found.unlike is not None
    assert found.unlike.is_unlike  # made-up music is no noise of three bands
    assert {part.feature.partition("_")[0] for part in found.unlike.farthest} <= set(BAND_NAMES)
    # Each window by itself is what a row of a table is.
    rows = np.exp(model.log_probabilities(found.inputs.astype(np.float16)))
    place = [model.genres.index(genre) for genre in found.genres]
    np.testing.assert_allclose(rows[:, place].argmax(1), found.by_window.argmax(1))
    reasons = model.explain(found)
    assert reasons.values.shape == found.inputs.shape
    assert abs(reasons.gap) < 0.02 * max(1.0, abs(reasons.output - reasons.baseline))
    assert reasons.output == pytest.approx(np.log(found.probabilities[0]), abs=1e-3)
    by_band = {part.feature: part.value for part in reasons.parts}
    np.testing.assert_allclose(
        [by_band[name] for name in BAND_NAMES], reasons.values.sum((0, 2)), rtol=1e-6, atol=1e-9
    )


def test_a_song_shorter_than_a_window_is_repeated(run, tmp_path):
    pytest.importorskip("librosa")
    write_songs(tmp_path, 1, 1.5)
    path = next(tmp_path.glob(f"**/{GENRES[0]}*.wav"))
    found = load_model(run.run.path).predict_file(path)
    assert found.inputs.shape == (1, BANDS, FRAMES)
    assert any("it lasts 1.5 s" in note for note in found.notes)


@pytest.mark.parametrize(
    ("sweep", "data", "words"),
    [
        (SWEEP, make_table(), "a sweep of cnn needs spectrograms, not a feature table"),
        (make_sweep(), TABLE, "a sweep of mlp needs a feature table, not spectrograms"),
        (SWEEP, "features.csv", "no sound 'features.csv'"),
    ],
)
def test_the_other_kind_of_data_is_refused(sweep, data, words, tmp_path):
    with pytest.raises(InputError, match=words):
        gtzan_jax.run_sweep(sweep, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_that_are_no_numbers_say_nothing(run, tmp_path):
    model = load_model(run.run.path)
    params = {name: np.full_like(array, np.nan) for name, array in model.params.items()}
    save_model(dataclasses.replace(model, params=params), tmp_path)
    write_songs(tmp_path, 1, 4.0)
    song = tmp_path / GENRES[0] / f"{GENRES[0]}.00000.wav"
    with pytest.raises(InputError, match="probabilities are not finite"):
        load_model(tmp_path).predict_file(song)


def test_spectrograms_are_found_under_the_runs_name_for_them(run, tmp_path, monkeypatch):
    monkeypatch.setattr(spectrogram_cache, "cache_dir", lambda: tmp_path)
    table, missing = table_of(run, None)
    assert table is None
    assert "its spectrograms (SHA-256" in missing
    assert "--data=FOLDER" in missing
    kept = dataclasses.replace(TABLE, sha256=spectrogram_cache.digest_of(TABLE))
    spectrogram_cache.keep("1" * 64, kept, [])
    data = msgspec.structs.replace(run.manifest.data, sha256=kept.sha256)
    monkeypatch.setattr(run.manifest, "data", data)
    found, missing = table_of(run, None)
    assert (found.source, missing) == (TABLE.source, "")


def test_history_has_accuracy_of_songs_and_of_segments(run):
    assert {"test_accuracy", "test_segment_accuracy"} <= set(run.history)
    # Shares of songs, and of their segments.
    fold = make_splits(TABLE, "holdout", 0, 5).folds[0]
    segments = run.history["test_segment_accuracy"] * len(fold.test)
    songs = run.history["test_accuracy"] * len(np.unique(TABLE.songs[fold.test]))
    for hits in (segments, songs):
        np.testing.assert_allclose(hits, hits.round(), atol=1e-4)
