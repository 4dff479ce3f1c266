"""Rows of a table from one sound file."""

import hashlib
import importlib.metadata
import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.files import digest
from gtzan_jax.sound.features import chunks_of, features_of
from gtzan_jax.sound.files import SAMPLE_RATE, Song, named, read

Rows = list[list[float]]
"""A row for the song, or for each chunk: number of samples, and the 57 features."""

_SONG = re.compile(r".+\.\d{5}", re.ASCII)  # as tables/schema.CHUNK knows a chunk's song
_COMPUTING = ("librosa", "numba", "numpy", "scipy", "soundfile", "soxr")
_CODE = ("decoding", "features", "files", "mel", "rows", "streams")


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
    with named(path):
        parts = some_chunks(samples) if chunked else [samples]
        return [[float(len(part)), *features_of(part).tolist()] for part in parts]


def some_chunks(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Cuts a sound into chunks; raises SoundError if there are none."""
    chunks = chunks_of(samples)
    if not chunks:
        seconds = len(samples) / SAMPLE_RATE
        raise SoundError(f"{seconds:.2f} s are too short for a chunk of three seconds")
    return chunks


def names_of(song: Song, count: int | None) -> list[str]:
    """Returns the names of a song's rows.

    Args:
      song: the song.
      count: number of chunks, named ``blues.00000.0.wav`` and so on; five zeros are added to names
        unlike GTZAN's, ``rock/song.00000.0.mp3``, so that a table recognises chunks. None for a row
        of the whole song.
    """
    if count is None:
        return [song.name]
    stem = song.name.removesuffix(song.path.suffix)
    if not _SONG.fullmatch(stem):
        stem += ".00000"
    return [f"{stem}.{number}{song.path.suffix}" for number in range(count)]


def made_by(what: object) -> str:
    """Returns a checksum of all that rows and spectrograms depend on: versions, code, ``what``.

    Raises:
      InputError: a package that reads sound is not installed.
    """
    try:
        packages = [importlib.metadata.version(name) for name in _COMPUTING]
    except importlib.metadata.PackageNotFoundError as error:
        remedy = "pip install -e '.[audio]'"
        raise InputError(f"sound needs the package {error.name}: {remedy}") from None
    parts = {"what": what, "packages": packages}
    parts["code"] = [digest(Path(__file__).with_name(f"{name}.py")) for name in _CODE]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
