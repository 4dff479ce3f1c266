"""Where feature tables come from: a path, ``data/``, the cache, Kaggle, the sample."""

import os
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gtzan_jax import checks
from gtzan_jax.errors import InputError, nearest
from gtzan_jax.files import write_atomically
from gtzan_jax.resources import PACKAGE, cache_dir
from gtzan_jax.tables import kaggle
from gtzan_jax.tables.reading import decode, read_text
from gtzan_jax.tables.sample import chunks_text, sample_text
from gtzan_jax.tables.schema import FILE_NAME, FILE_NAME_3, FeatureTable
from gtzan_jax.tables.validation import parse_table, sha256_of

_HERE = Path("data", FILE_NAME)

KAGGLE_SHA256 = "e5fe20f4e2f61d1aa3e07b17ffdea6b565970b3a1811746bd31f182a401fc3bc"
"""Of the text with LF line ends; the file that Kaggle serves has CRLF."""

DATA_NAMES = ("auto", "kaggle", "kaggle3", "sample", "sample3")

_CHUNKS, _SONGS_PER_GENRE, _GENRES = 9_990, 100, 10
"""What Kaggle's table of chunks has; its checksum is not known here."""


@checks.known_names
def load_table(data: str | os.PathLike[str] = "auto") -> FeatureTable:
    """Loads the feature table.

    Args:
        data: ``auto`` takes ``data/features_30_sec.csv`` of the current folder or of the
            checkout, else the cached download, else downloads from Kaggle, and where that
            cannot be had takes the embedded sample and says so in ``notice``. ``kaggle`` is the
            cached or fresh download, ``sample`` the embedded sample; ``kaggle3`` and
            ``sample3`` are the same songs in chunks of three seconds. Anything else is the path
            of a CSV.

    Returns:
        The validated table.

    Raises:
        InputError: no such table, it cannot be downloaded, it is not valid, or ``data`` is no path.
        TypeError: a parameter is unknown.
    """
    name = os.fspath(checks.path(data, "data"))
    if name == "auto":
        return _auto_table()
    if name == "kaggle":
        return parse_table(_kaggle_text(), "kaggle")
    if name == "kaggle3":
        return _kaggle_chunks()
    if name in _SAMPLES:
        return _sample_table(name)
    if name == "sounds":
        raise InputError(
            "--data=sounds is for --sweep=cnn_smoke and other sweeps of networks on spectrograms"
        )
    if name and os.path.exists(os.path.expanduser(name)):
        return read_table(name)
    raise InputError(
        f"no feature table {name!r}{nearest(name, DATA_NAMES)}: give auto, kaggle, kaggle3, "
        f"sample, sample3, or the path of a CSV file that exists"
    )


def find_table(sha256: str, sample: str = "") -> FeatureTable | None:
    """Returns the table with a checksum, if it lies where tables do; downloads nothing.

    Args:
        sha256: the table's checksum, from a file that may be a stranger's.
        sample: the embedded sample that it is, one of ``schema.SAMPLES`` (of which "sounds" is
            no table of features: None); else ``data/`` of the current folder and of the checkout
            are looked at, and the cached downloads.
    """
    if sample:
        if sample not in _SAMPLES:
            return None
        table = _sample_table(sample)
        return table if table.sha256 == sha256 else None
    cached = {"kaggle": FILE_NAME, "kaggle3": FILE_NAME_3}
    places = {
        str(Path("data", name)): [Path("data", name), PACKAGE.parent / "data" / name]
        for name in cached.values()
    }
    places |= {source: [cache_dir() / name] for source, name in cached.items()}
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


_SAMPLES = {"sample": sample_text, "sample3": chunks_text}


def _sample_table(name: str = "sample") -> FeatureTable:
    return parse_table(_SAMPLES[name](), name)


def _kaggle_chunks() -> FeatureTable:
    """Returns Kaggle's table of chunks from the cache, else from a fresh download, by its shape."""
    cached = cache_dir() / FILE_NAME_3
    with suppress(OSError, InputError):
        return _checked_chunks(read_text(cached, str(cached)))
    content = kaggle.download(kaggle.PATH_3)
    table = _checked_chunks(decode(content, "the download from Kaggle"))
    _keep(cached, content)
    return table


def _checked_chunks(text: str) -> FeatureTable:
    """Validates a table of chunks, and that it has the shape of Kaggle's."""
    table = parse_table(text, "kaggle3")
    songs = Counter(table.by_song.y.tolist())
    if len(table.y) != _CHUNKS or sorted(songs.values()) != [_SONGS_PER_GENRE] * _GENRES:
        raise InputError(
            f"the download from Kaggle is not the expected {FILE_NAME_3}: {table.rows_note} of "
            f"{len(table.genres)} genres, expected {_CHUNKS:,} chunks, "
            f"{_SONGS_PER_GENRE} songs of each of {_GENRES} genres"
        )
    notice = (
        f"No checksum of Kaggle's {FILE_NAME_3} is pinned: this file has its shape, "
        f"{table.rows_note}, and the SHA-256 {table.sha256[:12]}…"
    )
    return replace(table, notice=notice)


def _keep(cached: Path, content: bytes) -> None:
    """Caches a download. A cache that cannot be written costs another one, not the table now."""
    with suppress(OSError):
        cached.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cached, content)


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
    _keep(cached, content)
    return text


def read_table(path: str | os.PathLike[str]) -> FeatureTable:
    """Reads and validate the CSV at ``path``; see ``parse_table``."""
    name = os.fspath(path)
    return parse_table(read_text(Path(os.path.expanduser(name)), name), name)
