"""Rows of a table from one sound file, and those of finished songs on the disk."""

import contextlib
import hashlib
import importlib.metadata
import json
import re
from pathlib import Path

import numpy as np

from gtzan_jax.errors import InputError
from gtzan_jax.files import digest, load_arrays, save_arrays
from gtzan_jax.sound.features import features_of, segments_of
from gtzan_jax.sound.files import Song, named, read
from gtzan_jax.tables.schema import FEATURES
from gtzan_jax.text import printable

Rows = list[list[float]]
"""A row for the song, or for each segment: number of samples, and the 57 features."""

_SONG = re.compile(r".+\.\d{5}", re.ASCII)  # as tables/schema.SEGMENT knows a segment's song
_COMPUTING = ("librosa", "numba", "numpy", "scipy", "soundfile", "soxr")
_FORMAT = 1  # of the files of Kept
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


class Kept:
    """Rows of songs by the checksums of their files, in a folder named as the table, ``.part``.

    A file's name has the versions that computed it, ``made_by`` (see :func:`made_by`), so that
    those of others are not found.
    """

    def __init__(self, output: Path, made_by: str) -> None:
        self.path = output.with_name(f"{output.name}.part")
        self._made_by = made_by
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise InputError(f"{printable(self.path)} is a link or no folder; remove it")

    def find(self, digest: str) -> Rows | None:
        """Returns the rows of the file with a checksum, if it is finished."""
        try:
            arrays, _ = load_arrays(
                self._file(digest),
                _FORMAT,
                lambda about: {"rows": ("F64", (about["rows"], 1 + len(FEATURES)))},
            )
        except ValueError:
            return None
        rows: Rows = arrays["rows"].tolist()
        return rows

    def add(self, digest: str, rows: Rows) -> None:
        """Keeps rows; they are on the disk when this returns."""
        self.path.mkdir(exist_ok=True)
        about = {"format": _FORMAT, "rows": len(rows)}
        save_arrays(self._file(digest), {"rows": np.array(rows)}, about)

    def remove(self) -> None:
        """Removes the files, and the folder if nothing else is in it."""
        for path in self.path.glob("*-*.safetensors"):
            path.unlink()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _file(self, digest: str) -> Path:
        return self.path / f"{digest}-{self._made_by[:16]}.safetensors"
