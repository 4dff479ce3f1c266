"""Features of songs by a pretrained network: rows of files, tables of folders, predictions.

The weights are random: a model's inputs must be what its table's rows were made of.
"""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from finished_runs import random_model
from made_weights import put_weights
from sounds import noise, of_many_here, tone, write

from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.inference import extractor as module
from gtzan_jax.inference.extractor import Extractor
from gtzan_jax.inference.front_end import FrontEnd
from gtzan_jax.inference.pretrained import features_of_windows
from gtzan_jax.inference.songs import load_data, load_features, load_songs
from gtzan_jax.resources import cache_dir
from gtzan_jax.sound import musicnn_weights
from gtzan_jax.sound.files import SAMPLE_RATE, read
from gtzan_jax.sound.musicnn import NAMES, windows_of_file
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.schema import TAGS, UNITS, Columns

RATE = SAMPLE_RATE

pytestmark = pytest.mark.filterwarnings("ignore:left out", "ignore:folders without")


@pytest.fixture(autouse=True)
def computed(tmp_path, monkeypatch):
    """Has files computed here, with random weights in a cache of the test; gives their names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    put_weights()
    names = []

    def here(compute, paths, workers):
        for path, found in of_many_here(compute, paths, workers):
            names.append(path.name)
            yield path, found

    monkeypatch.setattr(module, "of_many", here)
    return names


@pytest.fixture
def music(tmp_path):
    """A folder of two genres with ten songs each, of 3.1 to 4 s, and things that are none."""
    for number in range(10):
        length = round((3.1 + number / 10) * RATE)
        write(tmp_path / "music" / "hiss" / f"{number}.wav", noise(length, seed=number))
        write(tmp_path / "music" / "hum" / f"{number}.wav", tone(length / RATE, 100.0 + number))
    (tmp_path / "music" / "notes.txt").write_text("none")
    return tmp_path / "music"


@pytest.mark.parametrize("segmented", [False, True])
def test_rows_are_those_of_each_song_alone(tmp_path, segmented, monkeypatch):
    monkeypatch.setattr(module.musicnn, "AT_ONCE", 12)
    seconds = {"a": 3.1, "b": 31.0, "c": 10.0, "d": 70.0, "e": 7.0}
    paths = [write(tmp_path / f"{n}.wav", noise(round(s * RATE))) for n, s in seconds.items()]
    found = dict(Extractor("musicnn", segmented).rows(paths, 1))
    assert list(found) == paths
    for path in paths:
        windows = windows_of_file(path, segmented)
        (alone,) = features_of_windows([windows])
        rows = np.array(found[path])
        assert rows.shape == (len(windows.places), 1 + len(NAMES))
        np.testing.assert_array_equal(rows[:, 0], windows.samples)
        np.testing.assert_allclose(rows[:, 1:], alone, rtol=1e-5, atol=1e-6)


def test_features_of_a_song_are_means_over_its_windows(tmp_path):
    windows = windows_of_file(write(tmp_path / "a.wav", noise(10 * RATE)), segmented=False)
    apart = windows._replace(places=[np.array([place]) for place in range(3)])
    whole, each = features_of_windows([windows, apart])
    np.testing.assert_allclose(whole[0], each.mean(axis=0), rtol=1e-6)


def test_a_bad_file_costs_itself_alone(tmp_path):
    good = write(tmp_path / "good.wav", noise(4 * RATE))
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF and no more")
    found = dict(Extractor("musicnn").rows([bad, good], 1))
    assert isinstance(found[bad], SoundError)
    assert len(found[good]) == 1


def test_a_folder_becomes_a_table_and_is_computed_once(music, computed, tmp_path):
    table = load_data("music")
    assert len(computed) == 20
    assert table.features == UNITS
    assert table.genres == ("hiss", "hum")
    assert table.tracks[0] == "hiss/0.wav"
    assert (table.source, table.pretrained) == ("music", "musicnn")
    assert table.samples == int(3.55 * RATE)
    computed.clear()
    write(music / "hum" / "new.wav", noise(4 * RATE, seed=99))
    assert len(load_features(tmp_path / "music").y) == 21
    assert computed == ["new.wav"]
    (music / "hum" / "new.wav").unlink()
    shutil.move(music, tmp_path / "elsewhere")
    assert load_songs(tmp_path / "elsewhere", "elsewhere").sha256 == table.sha256
    assert computed == ["new.wav"]


def test_what_cannot_be_used_is_named(music):
    (music / "hum" / "torn.wav").write_bytes(b"RIFF and no more")
    write(music / "astray.wav", noise(4 * RATE))
    (music / "empty").mkdir()
    with pytest.warns(UserWarning, match="left out") as told:
        table = load_data(music)
    assert len(table.y) == 20
    sentences = " | ".join(str(warning.message) for warning in told)
    for part in ("torn.wav: ", "astray.wav: it is in no genre's folder", "1 .txt", "empty"):
        assert part in sentences


def test_kept_songs_need_no_weights(music, monkeypatch, computed):
    table = load_data(music)
    musicnn_weights._cached().unlink()
    monkeypatch.setattr(musicnn_weights, "_loaded", {})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert load_data(music).sha256 == table.sha256
    assert len(computed) == 20
    write(music / "hum" / "new.wav", noise(4 * RATE, seed=99))
    with pytest.raises(InputError, match="weights are not in the cache and cannot be downloaded"):
        load_data(music)


def test_of_two_songs_with_one_name_one_is_left_out(music):
    write(music / "hum" / "3.flac", noise(4 * RATE))
    with pytest.warns(UserWarning, match=r"3\.wav: \S+3\.flac has the same name"):
        assert len(load_data(music).y) == 20


def test_a_bad_name_is_told_by_the_song(music):
    (music / "hum").rename(music / "NA")
    with pytest.raises(InputError, match=r"NA/0\.wav, column 'label': 'NA' means a missing value"):
        load_data(music)


def test_too_few_songs_are_refused_before_any_is_computed(music, computed):
    for path in (music / "hum").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="music: 10 songs, but at least 20 are needed; a sub"):
        load_data("music")
    assert computed == []


def test_a_cache_that_cannot_be_written_costs_a_warning(music, monkeypatch):
    del music

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(module.Kept, "add", full)
    with pytest.warns(UserWarning, match="features cannot be saved"):
        assert len(load_data("music").y) == 20


def test_options_of_tables_are_refused(music):
    with pytest.raises(InputError, match="are for tables, not for sound"):
        load_data(music, columns=Columns(label="genre"))


def test_a_folder_with_the_name_of_a_table_is_not_looked_into(music, tmp_path):
    (tmp_path / "sample").symlink_to(music)
    assert load_features("sample").x.shape == (1000, 57)


@pytest.mark.parametrize(
    ("data", "message"), [("no/such.csv", "no feature table"), ("empty", "holds no sound file")]
)
def test_what_is_neither_a_table_nor_sound(data, message, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        load_features(data)


def test_a_run_directory_is_no_sound(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="it is a run directory"):
        load_features(tmp_path)


@pytest.fixture
def model(music):
    """A model of the folder's songs that has learnt nothing."""
    table = load_data(music)
    config = load_sweep("smoke").configs[0]
    return random_model(config, table), table


def test_a_model_predicts_a_file_as_its_row_of_the_table(model, music):
    trained, table = model
    assert trained.sound.kind == "musicnn"
    found = trained.predict_file(music / "hum" / "3.wav")
    row = table.tracks.index("hum/3.wav")
    probabilities = dict(zip(found.genres, found.probabilities, strict=True))
    expected = trained.predict_proba(table)[row]
    np.testing.assert_allclose([probabilities[g] for g in table.genres], expected, atol=1e-4)
    assert found.trained_on
    windows = windows_of_file(music / "hum" / "3.wav", segmented=False)
    tags = dict(zip(TAGS, features_of_windows([windows])[0][0, :50], strict=True))
    assert dict(found.tags) == pytest.approx(tags)
    assert sorted((tag.value for tag in found.tags), reverse=True) == [t.value for t in found.tags]


def test_windows_may_overlap(model, tmp_path):
    trained, _ = model
    path = write(tmp_path / "long.wav", noise(20 * RATE))
    front_end = FrontEnd.of_rows(5 * RATE, is_segmented=False, kind="musicnn")
    found = replace(trained, front_end=front_end).predict_file(path, hop_seconds=1.0)
    assert len(found.spans) == 16
    inputs = front_end.inputs(read(path), found.spans)
    for place in (0, 7, 15):
        alone = front_end.inputs(read(path), found.spans[place : place + 1])[0]
        np.testing.assert_allclose(inputs[place], alone, rtol=1e-5)
    assert np.abs(inputs[0] - inputs[1]).max() > 1e-3


@pytest.mark.parametrize(
    ("kind", "names"), [("features", 57), ("spectrogram", 64), ("musicnn", 250)]
)
def test_inputs_have_names(kind, names):
    assert len(FrontEnd.of_rows(0, is_segmented=False, kind=kind).names) == names


def test_the_cache_is_the_users(music):
    load_data(music)
    assert len(list((cache_dir() / "musicnn").iterdir())) == 20
