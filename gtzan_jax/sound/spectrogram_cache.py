"""Spectrograms that have been computed, in the user's cache: an array and its description.

A table is two files of one name, ``<key>-<checksum>``: the array in NumPy's format, and all else in
JSON, which is written last. The key says which files and which code it was made from; the checksum
is the table's own, so that both files can be checked, and a report can find it without the sound.
"""

import contextlib
import hashlib
import importlib.metadata
import io
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gtzan_jax.files import digest, is_sealed, sealed, write_atomically
from gtzan_jax.resources import cache_dir
from gtzan_jax.sound import decoding, features, files, mel, rows
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.text import printable

_PACKAGES = ("librosa", "numpy", "scipy", "soundfile", "soxr")
_CODE = (decoding, features, files, mel, rows)  # chunks, samples, spectrograms, names


def key_of(songs: Sequence[Any]) -> str:
    """Returns a checksum of songs and of what computes their spectrograms.

    The package's own code goes by its content, other packages by their versions.

    Args:
      songs: what identifies each, in a form that JSON has.
    """
    parts = {
        "songs": songs,
        "code": [digest(Path(str(module.__file__))) for module in _CODE],
        "packages": {name: _version(name) for name in _PACKAGES},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def digest_of(table: FeatureTable) -> str:
    """Returns the SHA-256 of a table's array, labels, genres and names."""
    whole = hashlib.sha256()
    for array in (table.x.astype("<f2"), table.y.astype("<i4")):
        whole.update(f"{array.shape}".encode())
        whole.update(np.ascontiguousarray(array).data)
    whole.update(json.dumps([table.genres, table.tracks]).encode())
    return whole.hexdigest()


def load(key: str, source: str) -> tuple[FeatureTable, list[str]] | None:
    """Returns a table of the cache, and why songs were left out of it; None where none is whole.

    It is read into memory, rather than mapped: all of it is read for its checksum anyway, and a
    mapped file that is cut short ends the process.

    Args:
      key: from ``key_of``.
      source: the table's source, for it does not matter where the songs lie.
    """
    return next(_whole(f"{key[:16]}-*.json", source, key=key), None)


def find(sha256: str, source: str) -> FeatureTable | None:
    """Returns the table of the cache with a checksum."""
    found = next(_whole(f"*-{sha256[:16]}.json", source, sha256=sha256), None)
    return found and found[0]


def keep(key: str, table: FeatureTable, left_out: Sequence[str]) -> None:
    """Keeps a table. A cache that cannot be written costs the time again, not the table now."""
    document = {
        "key": key,
        "sha256": table.sha256,
        "y": table.y.tolist(),
        "tracks": table.tracks,
        "features": table.features,
        "genres": table.genres,
        "repeats": table.repeats,
        "left_out": list(left_out),
    }
    array = io.BytesIO()
    np.save(array, table.x)
    path = _folder() / f"{key[:16]}-{table.sha256[:16]}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path.with_suffix(".npy"), array.getvalue())
        write_atomically(path, json.dumps(sealed(document)))
    except OSError as error:
        warnings.warn(
            f"{path.parent}: spectrograms cannot be kept ({error.strerror}), and will be computed "
            "again next time",
            stacklevel=2,
        )


def _folder() -> Path:
    return cache_dir() / "spectrograms"


def _whole(pattern: str, source: str, **content: str) -> Iterator[tuple[FeatureTable, list[str]]]:
    """Yields the tables whose description matches a pattern and says some things."""
    for path in sorted(_folder().glob(pattern)):
        try:
            document = json.loads(path.read_bytes())
            if not is_sealed(document):
                raise ValueError("another checksum than its own")
            if any(document[name] != value for name, value in content.items()):
                continue
            yield _table(document, path.with_suffix(".npy"), source), document["left_out"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError, EOFError) as error:
            warnings.warn(
                f"{printable(path)} or its .npy is damaged ({printable(error)}) and not used",
                stacklevel=2,
            )


def _table(document: dict[str, Any], array: Path, source: str) -> FeatureTable:
    """Returns the table of a description and its array; raises ValueError where they differ."""
    table = FeatureTable(
        x=np.load(array, allow_pickle=False),
        y=np.array(document["y"], np.int32),
        tracks=tuple(document["tracks"]),
        features=tuple(document["features"]),
        genres=tuple(document["genres"]),
        sha256=document["sha256"],
        source=source,
        repeats=tuple(map(tuple, document["repeats"])),
    )
    if table.x.dtype != np.float16 or digest_of(table) != table.sha256:
        raise ValueError("the array has another checksum than it should")
    return table


def _version(package: str) -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return "not installed"
