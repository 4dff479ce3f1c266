"""The cache: whole or not there, and of exactly what was asked for."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_songs import write_songs
from safetensors import safe_open
from safetensors.numpy import load_file, save
from sounds import noise, of_many_here, write

from gtzan_jax.sound import spectrogram_cache as cache
from gtzan_jax.sound import spectrograms
from gtzan_jax.sound.mel import BAND_NAMES, BANDS, FRAMES
from gtzan_jax.sound.rows import made_by
from gtzan_jax.sound.spectrograms import load_spectrograms
from gtzan_jax.tables.schema import FeatureTable


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the cache of a test lies; what is computed is computed in this process."""
    monkeypatch.setattr(spectrograms, "of_many", of_many_here)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gtzan_jax" / "log_mel"


@pytest.fixture
def table():
    """Three segments of two songs."""
    x = np.random.default_rng(0).normal(size=(3, BANDS, FRAMES)).astype(np.float16)
    made = FeatureTable(
        x=x,
        y=np.array([0, 0, 1], np.int32),
        tracks=("a.00000.0.wav", "a.00000.1.wav", "b.00000.0.wav"),
        features=BAND_NAMES,
        genres=("a", "b"),
        sha256="",
        source="songs",
        repeats=((0, 2),),
    )
    return replace(made, sha256=cache.digest_of(made))


KEY = made_by(["songs"])


def files_of(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_kept_comes_back(table, folder):
    assert cache.load(KEY, "songs") is None
    cache.keep(KEY, table, ["c.wav: it is empty"])
    found, left_out = cache.load(KEY, "elsewhere")
    assert left_out == ["c.wav: it is empty"]
    assert found.source == "elsewhere"
    for name in ("x", "y"):
        np.testing.assert_array_equal(getattr(found, name), getattr(table, name))
        assert getattr(found, name).dtype == getattr(table, name).dtype
    for name in ("tracks", "features", "genres", "sha256", "repeats"):
        assert getattr(found, name) == getattr(table, name)
    stem = f"{KEY[:16]}-{table.sha256[:16]}"
    assert files_of(folder) == [f"{stem}.safetensors"]
    assert cache.find(table.sha256, "songs").tracks == table.tracks
    assert cache.load(made_by(["others"]), "songs") is None


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path, place=-50):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def changed(path, **changes):
    """Writes the file anew with other arrays, or another description, under the old checksum."""
    with safe_open(path, "numpy") as file:
        document = json.loads(file.metadata()["about"])
    arrays = {n: changes.pop(n, array) for n, array in load_file(path).items()}
    document = {n: v for n, v in (document | changes).items() if v is not None}
    path.write_bytes(save(arrays, {"about": json.dumps(document)}))


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        flip,
        lambda path: flip(path, 300),  # in the description
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"[" * 100_000),
        lambda path: path.write_bytes(save({"x": np.zeros(3)})),
        lambda path: changed(path, x=np.zeros((3, BANDS, FRAMES))),
        lambda path: changed(path, y=np.array([1, 0, 0], np.int32)),
        lambda path: changed(path, tracks=None),
        lambda path: changed(path, left_out=["another"]),
    ],
)
def test_damage_is_told_and_nothing_of_it_used(table, folder, damage):
    cache.keep(KEY, table, [])
    damage(next(folder.iterdir()))
    with pytest.warns(UserWarning, match="is damaged .* and is ignored"):
        assert cache.load(KEY, "songs") is None
    cache.keep(KEY, table, [])  # takes its place
    assert cache.load(KEY, "songs")[0].sha256 == table.sha256


@pytest.mark.parametrize(
    "change",
    [
        {"x": np.zeros((3, BANDS, FRAMES), np.float16)},
        {"y": np.array([0, 1, 1], np.int32)},
        {"tracks": ("a.00000.0.wav", "a.00000.1.wav", "b.00001.0.wav")},
        {"genres": ("a", "c")},
    ],
)
def test_the_checksum_is_of_array_labels_and_names(table, change):
    assert cache.digest_of(replace(table, **change)) != table.sha256
    assert cache.digest_of(replace(table, source="b", notice="c")) == table.sha256


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(table, folder):
    folder.parent.mkdir(parents=True)
    folder.write_text("a file in its place")
    with pytest.warns(UserWarning, match="cannot be saved"):
        cache.keep(KEY, table, [])
    assert cache.load(KEY, "songs") is None


# -------------------------------------------------------------------------------- a folder of songs


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    write_songs(folder, 2, 3.1)
    return folder


@pytest.fixture
def songs(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "songs"))


def test_a_changed_file_is_read_anew_and_a_touched_one_is_not(songs, folder):
    first = load_spectrograms(songs)
    os.utime(songs / "rock" / "rock.00000.wav", (0, 0))
    load_spectrograms(songs)
    assert len(files_of(folder)) == 1
    write(songs / "rock" / "rock.00000.wav", noise(68_355))
    second = load_spectrograms(songs)
    assert len(files_of(folder)) == 2
    changed = (first.x != second.x).any(axis=(1, 2))
    assert [second.tracks[row] for row in np.flatnonzero(changed)] == ["rock.00000.0.wav"]


def test_a_renamed_genre_is_another_table(songs):
    first = load_spectrograms(songs)
    (songs / "rock").rename(songs / "polka")
    second = load_spectrograms(songs)
    assert "polka" in second.genres
    assert second.sha256 != first.sha256


def test_a_damaged_cache_is_computed_anew(songs, folder):
    first = load_spectrograms(songs)
    flip(next(folder.iterdir()))
    with pytest.warns(UserWarning, match="is damaged"):
        second = load_spectrograms(songs)
    np.testing.assert_array_equal(first.x, second.x)
    assert load_spectrograms(songs).sha256 == first.sha256  # without a warning


@pytest.mark.slow
def test_two_processes_at_once_leave_one_whole_table(songs, folder):
    code = (
        "from gtzan_jax.sound.spectrograms import load_spectrograms as load; "
        f"print(load({str(songs)!r}).sha256)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = {process.communicate()[0].strip() for process in both}
    assert told == {load_spectrograms(songs).sha256}
    assert len(files_of(folder)) == 1
