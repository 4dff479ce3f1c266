"""Rows of a table from one sound file."""

import hashlib
import importlib.metadata
import json
import re
from pathlib import Path

from gtzan_jax.errors import InputError
from gtzan_jax.files import digest
from gtzan_jax.sound.features import features_of, segments_of
from gtzan_jax.sound.files import Song, named, read

Rows = list[list[float]]
"""A row for the song, or for each segment: number of samples, and the 57 features."""

_SONG = re.compile(r".+\.\d{5}", re.ASCII)  # as tables/schema.SEGMENT knows a segment's song
_COMPUTING = ("librosa", "numba", "numpy", "scipy", "soundfile", "soxr")
_CODE = ("decoding", "features", "files", "mel", "rows", "streams")


def rows_of(path: Path, segmented: bool) -> Rows:
    """Computes the features of a sound file, or of its segments of three seconds."""
    samples = read(path)
    with named(path):
        parts = segments_of(samples) if segmented else [samples]
        return [[float(len(part)), *features_of(part).tolist()] for part in parts]


def names_of(song: Song, count: int | None) -> list[str]:
    """Returns the names of a song's rows: one, or ``count`` as ``blues.00000.0.wav`` and so on.

    Five zeros are added to names unlike GTZAN's, ``rock/song.00000.0.mp3``, so that a table
    recognises segments.
    """
    if count is None:
        return [song.name]
    stem = song.name.removesuffix(song.path.suffix)
    if not _SONG.fullmatch(stem):
        stem += ".00000"
    return [f"{stem}.{number}{song.path.suffix}" for number in range(count)]


def made_by(what: object) -> str:
    """Returns a checksum of all that rows and spectrograms depend on: versions, code, ``what``."""
    try:
        packages = [importlib.metadata.version(name) for name in _COMPUTING]
    except importlib.metadata.PackageNotFoundError as error:
        remedy = "pip install -e '.[audio]'"
        raise InputError(f"sound needs the package {error.name}: {remedy}") from None
    parts = {"what": what, "packages": packages}
    parts["code"] = [digest(Path(__file__).with_name(f"{name}.py")) for name in _CODE]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
