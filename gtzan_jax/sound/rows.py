"""Rows of a table from one sound file."""

import contextlib
import hashlib
import importlib.metadata
import json
import re
from pathlib import Path

from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.files import digest
from gtzan_jax.sound.features import CHUNK_SAMPLES, chunks_of, features_of
from gtzan_jax.sound.files import SAMPLE_RATE, Song, read
from gtzan_jax.text import printable

Rows = list[list[float]]
"""A row for a song, or for each of its chunks: its samples, and the 57 features."""

_SONG = re.compile(r".+\.\d{5}", re.ASCII)  # as tables/schema.CHUNK knows a chunk's song
_COMPUTING = ("librosa", "numba", "numpy", "scipy", "soundfile", "soxr")
_CODE = ("decoding.py", "features.py", "files.py", "rows.py")


def rows_of(path: Path, chunked: bool) -> Rows:
    """Computes the features of a sound file.

    Args:
      path: the file.
      chunked: whether by chunks of three seconds.

    Raises:
      SoundError: it cannot be used; names the file and the reason.
      InputError: the packages that read sound are not installed.
    """
    samples = read(path)
    try:
        parts = chunks_of(samples) if chunked else [samples]
        if not parts:
            seconds = len(samples) / SAMPLE_RATE
            raise SoundError(f"{seconds:.2f} s are too short for a chunk of three seconds")
        return [[float(len(part)), *features_of(part).tolist()] for part in parts]
    except SoundError as error:
        raise SoundError(f"{printable(path)}: {error}") from None


def check_names(song: Song) -> None:
    """Checks that a table takes a song's name and genre.

    Raises:
      SoundError: it does not; names the file and the reason.
    """
    for text, what in ((song.name, "name"), (song.label, "folder's name")):
        if text != text.strip() or not text.isprintable():
            raise SoundError(
                f"{printable(song.path)}: its {what} begins or ends with a space or holds an "
                "invisible character; rename it"
            )


def names_of(song: Song, count: int | None) -> list[str]:
    """Returns the names of a song's rows.

    Args:
      song: the song.
      count: its chunks, which are called ``blues.00000.0.wav`` and so on; a song that is called
        otherwise gets five zeros, ``rock/song.00000.0.mp3``, so that a table knows its chunks.
        None for a row of the whole song.
    """
    if count is None:
        return [song.name]
    stem = song.name.removesuffix(song.path.suffix)
    if not _SONG.fullmatch(stem):
        stem += ".00000"
    return [f"{stem}.{number}{song.path.suffix}" for number in range(count)]


def made_by(chunked: bool) -> str:
    """Returns a checksum of what rows depend on besides the file: versions, code, chunks.

    Raises:
      InputError: a package that reads sound is not installed.
    """
    parts = {name: _version(name) for name in _COMPUTING}
    parts |= {name: digest(Path(__file__).with_name(name)) for name in _CODE}
    parts["chunk"] = str(CHUNK_SAMPLES if chunked else None)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _version(package: str) -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    raise InputError(f"sound needs the package {package}: pip install -e '.[audio]'")
