"""Where feature tables come from: a path, ``data/``, the cache, Kaggle, the sample."""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gtzan_jax.errors import InputError, nearest
from gtzan_jax.files import write_atomically
from gtzan_jax.resources import PACKAGE, cache_dir
from gtzan_jax.tables import kaggle
from gtzan_jax.tables.reading import decode, read_text
from gtzan_jax.tables.sample import sample_text
from gtzan_jax.tables.schema import FILE_NAME, FeatureTable
from gtzan_jax.tables.validation import parse_table, sha256_of

_HERE = Path("data", FILE_NAME)

KAGGLE_SHA256 = "e5fe20f4e2f61d1aa3e07b17ffdea6b565970b3a1811746bd31f182a401fc3bc"
"""Of the text with LF line ends; the file that Kaggle serves has CRLF."""

DATA_NAMES = ("auto", "kaggle", "sample")


def load_table(data: str | os.PathLike[str] = "auto") -> FeatureTable:
    """Loads the feature table.

    Args:
        data: ``auto`` takes ``data/features_30_sec.csv`` of the current folder or of the
            checkout, else the cached download, else downloads from Kaggle, and where that
            cannot be had takes the embedded sample and says so in ``notice``. ``kaggle`` is the
            cached or fresh download, ``sample`` the embedded sample. Anything else is the path
            of a CSV.

    Returns:
        The validated table.

    Raises:
        InputError: no such table, it cannot be downloaded, or it is not valid.
    """
    name = os.fspath(data)
    if name == "auto":
        return _auto_table()
    if name == "kaggle":
        return parse_table(_kaggle_text(), "kaggle")
    if name == "sample":
        return _sample_table()
    if name and os.path.exists(os.path.expanduser(name)):
        return read_table(name)
    raise InputError(
        f"no feature table {name!r}{nearest(name, DATA_NAMES)}: give auto, kaggle, sample, "
        f"or the path of a CSV file that exists"
    )


def find_table(sha256: str, sample: bool = False) -> FeatureTable | None:
    """Returns the table with a checksum, if it lies where tables do; downloads nothing.

    Args:
        sha256: the table's checksum, from a file that may be a stranger's.
        sample: whether it is the embedded sample; else ``data/`` of the current folder and of
            the checkout are looked at, and the cached download.
    """
    if sample:
        table = _sample_table()
        return table if table.sha256 == sha256 else None
    places = {str(_HERE): _places(), "kaggle": [cache_dir() / FILE_NAME]}
    for source, paths in places.items():
        for path in paths:
            with suppress(InputError):  # none there, or none that can be read
                text = read_text(path, source)
                if sha256_of(text) == sha256:
                    return parse_table(text, source)
    return None


def _places() -> list[Path]:
    """Returns where a table may lie: in the current folder, in the checkout."""
    return [_HERE, PACKAGE.parent / _HERE]


def _auto_table() -> FeatureTable:
    for path in _places():
        if path.is_file():
            return parse_table(read_text(path, str(_HERE)), str(_HERE))
    try:
        text = _kaggle_text()
    except InputError as error:
        return replace(_sample_table(), notice=_stand_in_notice(str(error)))
    return parse_table(text, "kaggle")


def _stand_in_notice(reason: str) -> str:
    return (
        f"The embedded synthetic sample stands in for the real feature table, because {reason}. "
        f"Figures from it show that the program works and say nothing about music. For the real "
        f"table, download {kaggle.PATH} from https://www.kaggle.com/datasets/{kaggle.HANDLE} "
        f"and put it at data/{FILE_NAME}, or give its path."
    )


def _sample_table() -> FeatureTable:
    return parse_table(sample_text(), "sample")


def _kaggle_text() -> str:
    """Returns the text of Kaggle's table from the cache, else from a fresh, verified download."""
    cached = cache_dir() / FILE_NAME
    with suppress(OSError, InputError):
        text = read_text(cached, str(cached))
        if sha256_of(text) == KAGGLE_SHA256:
            return text
    content = kaggle.download()
    text = decode(content, "the download from Kaggle")
    if sha256_of(text) != KAGGLE_SHA256:
        raise InputError(
            f"the download from Kaggle is not the expected {FILE_NAME} "
            f"(SHA-256 {sha256_of(text)[:12]}…, expected {KAGGLE_SHA256[:12]}…)"
        )
    # A cache that cannot be written costs a download next time, not the table now.
    with suppress(OSError):
        cached.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cached, content)
    return text


def read_table(path: str | os.PathLike[str]) -> FeatureTable:
    """Reads and validate the CSV at ``path``; see ``parse_table``."""
    name = os.fspath(path)
    return parse_table(read_text(Path(os.path.expanduser(name)), name), name)
