"""Finds feature tables: in a path, ``data/``, the cache, Kaggle, or the sample."""

import os
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gtzan_jax import checks
from gtzan_jax.errors import InputError, nearest
from gtzan_jax.files import write_atomically
from gtzan_jax.resources import PACKAGE, cache_dir
from gtzan_jax.tables import kaggle
from gtzan_jax.tables.frames import FRAME, frame_of, read_frame, read_parquet
from gtzan_jax.tables.reading import decode, read_text, sha256_of
from gtzan_jax.tables.sample import sample_text, segments_text
from gtzan_jax.tables.schema import FILE_NAME, FILE_NAME_3, NO_OPTIONS, Columns, FeatureTable
from gtzan_jax.tables.validation import parse_table, validated

KAGGLE_SHA256 = "e5fe20f4e2f61d1aa3e07b17ffdea6b565970b3a1811746bd31f182a401fc3bc"
"""Of the text with LF line ends; the file that Kaggle serves has CRLF."""

DATA_NAMES = ("auto", "kaggle", "kaggle3", "sample", "sample3")

_SAMPLES = {"sample": sample_text, "sample3": segments_text}
_FILES = {"kaggle": FILE_NAME, "kaggle3": FILE_NAME_3}
# The shape of Kaggle's table of segments, whose checksum is unknown.
_SEGMENTS, _SONGS_PER_GENRE, _GENRES = 9_990, 100, 10


@checks.known_names
def load_table(data: Any = "auto", columns: Columns = NO_OPTIONS) -> FeatureTable:
    """Loads a feature table.

    Args:
      data: ``auto`` takes ``data/features_30_sec.csv`` of the current folder or of the checkout,
        else the cached download, else downloads from Kaggle, and if that fails takes the embedded
        sample, with a ``notice``. ``kaggle`` is the cached or fresh download, ``sample`` the
        embedded sample; ``kaggle3`` and ``sample3`` are the same songs in three-second segments.
        Else the path of any table as CSV or Parquet, a DataFrame, (X, y), or (X, y, groups).
      columns: label and group column, columns to leave out, and the treatment of missing values.

    Raises:
      InputError: the table does not exist, or is not valid.
    """
    data = check_data(data, "data")
    if isinstance(data, tuple):
        data, columns = frame_of(data, columns)
    if isinstance(data, FeatureTable):
        if columns not in (NO_OPTIONS, data.columns):
            raise InputError("a FeatureTable has its own label, group, drop and impute: omit them")
        return data
    if hasattr(data, "iloc"):
        return validated(read_frame(data, FRAME, columns), columns)
    name = os.fspath(data)
    if name == "auto":
        return _auto_table(columns)
    if name in _FILES:
        return _kaggle_table(name, columns)
    if name in _SAMPLES:
        return parse_table(_SAMPLES[name](), name, columns)
    if name == "sounds":
        raise InputError(
            "--data=sounds is for sweeps of networks on spectrograms, such as --sweep=cnn_smoke"
        )
    if name and os.path.exists(os.path.expanduser(name)):
        return read_table(name, columns)
    raise InputError(
        f"no feature table {name!r}{nearest(name, DATA_NAMES)}: give auto, kaggle, kaggle3, "
        f"sample, sample3, or the path of a CSV or Parquet file that exists"
    )


def check_data(value: Any, where: str) -> Any:
    """Checks the type of a table: a name or a path, or the table itself."""
    is_frame = hasattr(value, "iloc") and hasattr(value, "columns")  # without importing pandas
    if not is_frame and not isinstance(value, (str, os.PathLike, FeatureTable, tuple)):
        raise InputError(
            f"{where} must be text or a path, a DataFrame, or (X, y), not {checks.shown(value)}"
        )
    return value


def read_table(path: str | os.PathLike[str], columns: Columns = NO_OPTIONS) -> FeatureTable:
    """Reads and validates the table at ``path``; see ``validation.validated``."""
    name, whole = os.fspath(path), Path(os.path.expanduser(path))
    if whole.suffix.lower() in (".parquet", ".pq") and whole.is_file():
        return validated(read_frame(read_parquet(whole, name), name, columns), columns)
    return parse_table(read_text(whole, name), name, columns)


def find_table(sha256: str, sample: str = "", columns: Columns = NO_OPTIONS) -> FeatureTable | None:
    """Returns the table with a checksum, if it is in a known place; downloads nothing.

    Searches the embedded sample named ``sample``, if given, else ``data/`` and cached downloads.
    """
    if sample:
        table = load_table(sample, columns) if sample in _SAMPLES else None
        return table if table and table.sha256 == sha256 else None
    places = [(str(Path("data", n)), path) for n in _FILES.values() for path in _places(n)]
    places += [(source, cache_dir() / name) for source, name in _FILES.items()]
    for source, path in places:
        with suppress(InputError):  # missing or unreadable
            text = read_text(path, source)
            if sha256_of(text, columns) == sha256:
                return parse_table(text, source, columns)
    return None


def _places(name: str) -> list[Path]:
    """Returns the paths of a table in the current folder and in the checkout."""
    return [Path("data", name), PACKAGE.parent / "data" / name]


def _auto_table(columns: Columns) -> FeatureTable:
    for path in _places(FILE_NAME):
        if path.is_file():
            source = str(Path("data", FILE_NAME))
            return parse_table(read_text(path, source), source, columns)
    try:
        return _kaggle_table("kaggle", columns)
    except InputError as error:
        notice = (
            "The embedded synthetic sample replaces the real feature table, because "
            f"{error}. Its results show that the program works, and say nothing about music. "
            f"For the real table, download {kaggle.PATH} from https://www.kaggle.com/datasets/"
            f"{kaggle.HANDLE} and save it as data/{FILE_NAME}, or give its path."
        )
    return replace(load_table("sample", columns), notice=notice)


def _kaggle_table(name: str, columns: Columns) -> FeatureTable:
    """Returns a table of Kaggle's from the cache, else from a verified download."""
    cached = cache_dir() / _FILES[name]
    with suppress(OSError, InputError):
        return _verified(read_text(cached, str(cached)), name, columns)
    content = kaggle.download(kaggle.PATH if name == "kaggle" else kaggle.PATH_3)
    table = _verified(decode(content, "the download from Kaggle"), name, columns)
    with suppress(OSError):
        cached.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cached, content)
    return table


def _verified(text: str, name: str, columns: Columns) -> FeatureTable:
    """Validates a table of Kaggle's by its checksum; the table of segments by its shape."""
    wrong = f"the download from Kaggle is not the expected {_FILES[name]}"
    found = sha256_of(text)
    if name == "kaggle":
        if found != KAGGLE_SHA256:
            raise InputError(f"{wrong} (SHA-256 {found[:12]}…, expected {KAGGLE_SHA256[:12]}…)")
        return parse_table(text, name, columns)
    table = parse_table(text, name, columns)
    songs = Counter(table.by_song.y.tolist())
    if len(table.y) != _SEGMENTS or sorted(songs.values()) != [_SONGS_PER_GENRE] * _GENRES:
        raise InputError(
            f"{wrong}: {table.rows_note} of {len(table.genres)} genres, expected {_SEGMENTS:,} "
            f"segments, {_SONGS_PER_GENRE} songs of each of {_GENRES} genres"
        )
    notice = (
        f"The checksum of Kaggle's {_FILES[name]} is not known: only the shape of this file was "
        f"checked, {table.rows_note}; its SHA-256 is {found[:12]}…"
    )
    return replace(table, notice=notice)
