"""Rows of a table, computed from a sound file, and rows of finished songs on disk."""

import contextlib
import hashlib
import importlib.metadata
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.files import digest, load_arrays, save_arrays
from gtzan_jax.sound.features import features_of, segments_of
from gtzan_jax.sound.files import NO_GENRE, Song, digest_of, named, read, songs_in
from gtzan_jax.tables.schema import columns_of
from gtzan_jax.text import printable

Rows = list[list[float]]
"""One row for a song, or one for each segment: number of samples, then the features."""

if TYPE_CHECKING:
    import pandas as pd

_SONG = re.compile(r".+\.\d{5}", re.ASCII)  # a segment's song in tables/schema.SEGMENT
_COMPUTING = ("librosa", "numba", "numpy", "scipy", "soundfile", "soxr")
_FORMAT = 1  # of the files of Kept
_CODE = ("decoding", "features", "files", "mel", "rows", "streams")


def rows_of(path: Path, segmented: bool) -> Rows:
    """Computes the features of a sound file, or of each of its segments."""
    samples = read(path)
    with named(path):
        parts = segments_of(samples) if segmented else [samples]
        return [[float(len(part)), *features_of(part).tolist()] for part in parts]


def names_of(song: Song, count: int | None) -> list[str]:
    """Returns the names of a song's rows: one, or ``count`` such as ``blues.00000.0.wav``.

    Names unlike GTZAN's get five zeros, ``rock/song.00000.0.mp3``, by which a table recognises
    segments.
    """
    if count is None:
        return [song.name]
    stem = song.name.removesuffix(song.path.suffix)
    if not _SONG.fullmatch(stem):
        stem += ".00000"
    return [f"{stem}.{number}{song.path.suffix}" for number in range(count)]


def labelled_songs(folder: Path) -> tuple[list[tuple[Song, str]], list[str]]:
    """Returns the usable songs of a folder, with checksums, and reasons against the others.

    A usable song is in a genre's folder and can be read; its name, and its segments' names, are
    unique.
    """
    found: dict[str, tuple[Song, str]] = {}  # by the common part of their segments' names
    left_out = []
    for song in sorted(songs_in(folder), key=lambda song: (song.name, song.path)):
        name = names_of(song, 1)[0].removesuffix(song.path.suffix)
        try:
            identity = digest_of(song)
            with named(song.path):
                if song.label == NO_GENRE and song.path.parent == folder:
                    raise SoundError("it is in no genre's folder")
                if name in found:
                    other = printable(found[name][0].path)
                    raise SoundError(f"{other} has the same name; keep one of them or rename one")
            found[name] = song, identity
        except SoundError as error:
            left_out.append(str(error))
    return list(found.values()), left_out


def made_by(what: object) -> str:
    """Returns a checksum of what rows and spectrograms depend on: versions, code, ``what``."""
    try:
        packages = [importlib.metadata.version(name) for name in _COMPUTING]
    except importlib.metadata.PackageNotFoundError as error:
        remedy = "pip install -e '.[audio]'"
        raise InputError(f"sound needs the package {error.name}: {remedy}") from None
    parts = {"what": what, "packages": packages}
    parts["code"] = [digest(Path(__file__).with_name(f"{name}.py")) for name in _CODE]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def frame_of_songs(
    songs: Sequence[Song],
    rows: Mapping[Path, Rows],
    computed: Sequence[str],
    features: tuple[str, ...],
    segmented: bool,
) -> "pd.DataFrame":
    """Returns the table of the songs that have rows, with ``features`` of those ``computed``."""
    import pandas as pd

    lines = []
    for song in (song for song in songs if song.path in rows):
        names = names_of(song, len(rows[song.path]) if segmented else None)
        for name, (length, *values) in zip(names, rows[song.path], strict=True):
            lines.append((name, int(length), *values, song.label))
    frame = pd.DataFrame(lines, columns=list(columns_of(tuple(computed))))
    return frame[list(columns_of(features))]


class Kept:
    """Rows of finished songs in a folder, by the checksums of the songs' files.

    The name of a file of rows includes ``made_by`` (see :func:`made_by`): rows computed by other
    versions are not found.
    """

    def __init__(self, folder: Path, made_by: str, num_features: int) -> None:
        self.path, self._made_by, self._width = folder, made_by, 1 + num_features
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise InputError(f"{printable(self.path)} is a link or not a folder; remove it")

    def find(self, digest: str) -> Rows | None:
        """Returns the rows of the song with a checksum, if it is finished."""
        try:
            arrays, _ = load_arrays(
                self._file(digest),
                _FORMAT,
                lambda about: {"rows": ("F64", (about["rows"], self._width))},
            )
        except ValueError:
            return None
        rows: Rows = arrays["rows"].tolist()
        return rows

    def add(self, digest: str, rows: Rows) -> None:
        """Writes rows to disk."""
        self.path.mkdir(parents=True, exist_ok=True)
        about = {"format": _FORMAT, "rows": len(rows)}
        save_arrays(self._file(digest), {"rows": np.array(rows)}, about)

    def remove(self) -> None:
        """Removes the files, and the folder if it is then empty."""
        for path in self.path.glob("*-*.safetensors"):
            path.unlink()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _file(self, digest: str) -> Path:
        return self.path / f"{digest}-{self._made_by[:16]}.safetensors"
