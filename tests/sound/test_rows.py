"""Rows of one file: what is in them, what they are called, what they depend on."""

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest
from sounds import noise, write

from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.sound import rows as module
from gtzan_jax.sound.features import SEGMENT_SAMPLES, features_of
from gtzan_jax.sound.files import SAMPLE_RATE, Song, read
from gtzan_jax.sound.rows import made_by, names_of, rows_of
from gtzan_jax.tables.schema import SEGMENT


def test_a_song_is_a_row_or_a_row_a_segment(tmp_path):
    path = write(tmp_path / "a.wav", noise(7 * SAMPLE_RATE))
    samples = read(path)
    ((length, *whole),) = rows_of(path, segmented=False)
    assert length == 7 * SAMPLE_RATE
    np.testing.assert_array_equal(whole, features_of(samples))
    first, second = rows_of(path, segmented=True)
    np.testing.assert_array_equal(first, [SEGMENT_SAMPLES, *features_of(samples[:SEGMENT_SAMPLES])])
    assert second != first


@pytest.mark.parametrize(
    ("samples", "segmented", "reason"),
    [(noise(100), False, "too short: 100 samples"), (noise(60_000), True, "too short: 2.72 s")],
)
def test_what_is_too_short_is_named(tmp_path, samples, segmented, reason):
    path = write(tmp_path / "a.wav", samples)
    with pytest.raises(SoundError) as caught:
        rows_of(path, segmented)
    assert str(caught.value).startswith(f"{path}: {reason}")


@pytest.mark.parametrize(
    ("name", "segment", "song"),
    [
        ("rock.00012.wav", "rock.00012.7.wav", "rock.00012"),
        ("rock/live.2020.mp3", "rock/live.2020.00000.7.mp3", "rock/live.2020.00000"),
        ("rock/01.FLAC", "rock/01.00000.7.FLAC", "rock/01.00000"),
    ],
)
def test_segments_are_called_so_that_a_table_knows_their_song(name, segment, song):
    of = Song(Path("music", name), name, "rock")
    assert names_of(of, None) == [name]
    names = names_of(of, 399)  # of twenty minutes
    assert names[7] == segment
    assert {SEGMENT.fullmatch(name)["song"] for name in names} == {song}
    assert [int(SEGMENT.fullmatch(name)["segment"]) for name in names] == list(range(399))


def test_rows_depend_on_versions_and_segments(monkeypatch):
    assert made_by(True) == made_by(True) != made_by(False)
    before, version = made_by(True), importlib.metadata.version
    for package in ("librosa", "scipy", "soundfile"):
        changed = lambda name, package=package: version(name) + "1" * (name == package)  # noqa: E731
        with monkeypatch.context() as patch:
            patch.setattr(importlib.metadata, "version", changed)
            assert made_by(True) != before
    monkeypatch.setattr(module, "digest", lambda path: f"another {path.name}")
    assert made_by(True) != before


def test_a_missing_package_is_named(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(InputError, match=r"sound needs the package librosa: pip install -e"):
        made_by(True)
