"""Spectrograms as features, for what takes a table of them."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_table
from made_songs import write_songs
from sounds import of_many_here

from gtzan_jax.analysis import exploration
from gtzan_jax.errors import InputError
from gtzan_jax.sound import spectrograms
from gtzan_jax.sound.mel import BAND_NAMES
from gtzan_jax.sound.summary import load_features, summary_of
from gtzan_jax.views import plots


def test_it_is_mean_and_variance_of_each_band():
    random = np.random.default_rng(0)
    x = (30 * random.normal(size=(20, 64, 65)) - 40).astype(np.float16)
    spectrograms = replace(make_table(20), x=x, features=BAND_NAMES)
    table = summary_of(spectrograms)
    assert table.x.shape == (20, 128)
    assert table.x.dtype == np.float32
    for row, band in ((0, 0), (3, 10), (19, 63)):
        values = x[row, band].astype(np.float64)
        for moment, figure in (("mean", values.mean()), ("var", values.var())):
            column = table.features.index(f"mel{band + 1:02d}_{moment}")
            np.testing.assert_allclose(table.x[row, column], figure, rtol=1e-5)
    assert not table.is_spectrogram
    assert (table.tracks, table.sha256) == (spectrograms.tracks, spectrograms.sha256)


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("songs")
    write_songs(folder, 3, 3.1)
    return folder


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(spectrograms, "of_many", of_many_here)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_exploration_takes_a_folder_of_sound(songs):
    table = load_features(songs)
    assert table.note().endswith("30 tracks")
    assert exploration.correlations(table).shape == (64, 64)
    quality = exploration.data_quality(table)
    assert quality["features"] == 128
    assert "tempo" not in quality


@pytest.mark.parametrize(("feature", "unit"), [("mel07_mean", "dB"), ("mel64_var", "dB²")])
def test_plots_know_the_unit(feature, unit):
    assert plots.exploration.unit(feature) == unit


def test_a_folder_with_the_name_of_a_table_is_not_looked_into(songs, tmp_path):
    (tmp_path / "sample").symlink_to(songs)
    assert load_features("sample").x.shape == (1000, 57)


@pytest.mark.parametrize(
    ("data", "message"), [("no/such.csv", "no feature table"), (".", "holds no sound file")]
)
def test_what_is_neither_a_table_nor_sound(data, message):
    with pytest.raises(InputError, match=message):
        load_features(data)


def test_a_run_directory_is_no_sound(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="it is a run directory"):
        load_features(tmp_path)
