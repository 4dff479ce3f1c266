"""Spectrograms in the user's cache: a safetensors file a table, named ``<key>-<checksum>``.

The key, from ``rows.made_by``, identifies the sound files and the code; the checksum is the
table's, so that a report finds it without the sound.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gtzan_jax.files import is_sealed, sealed, write_atomically
from gtzan_jax.resources import cache_dir
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.text import printable


def digest_of(table: FeatureTable) -> str:
    """Returns the SHA-256 of a table's array, labels, genres and names."""
    whole = hashlib.sha256()
    for array in (table.x.astype("<f2"), table.y.astype("<i4")):
        whole.update(f"{array.shape}".encode())
        whole.update(np.ascontiguousarray(array).data)
    whole.update(json.dumps([table.genres, table.tracks]).encode())
    return whole.hexdigest()


def load(key: str, source: str) -> tuple[FeatureTable, list[str]] | None:
    """Returns a table of the cache, and the reasons why songs were left out; None if there is none.

    Args:
      key: from ``rows.made_by``.
      source: of the table, since the cache does not depend on the place of the songs.
    """
    return next(_whole(f"{key[:16]}-*", "key", key, source), None)


def find(sha256: str, source: str) -> FeatureTable | None:
    """Returns the table of the cache with a checksum."""
    found = next(_whole(f"*-{sha256[:16]}", "sha256", sha256, source), None)
    return found and found[0]


def keep(key: str, table: FeatureTable, left_out: Sequence[str]) -> None:
    """Writes a table to the cache, or warns if that cannot be written."""
    from safetensors.numpy import save

    document = {"key": key, "left_out": list(left_out)} | {
        name: getattr(table, name) for name in ("sha256", "tracks", "features", "genres", "repeats")
    }
    path = _folder() / f"{key[:16]}-{table.sha256[:16]}.safetensors"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {"x": np.ascontiguousarray(table.x), "y": table.y}
        write_atomically(path, save(arrays, {"table": json.dumps(sealed(document))}))
    except OSError as error:
        warnings.warn(
            f"{path.parent}: spectrograms cannot be kept ({error.strerror}), and will be computed "
            "again next time",
            stacklevel=2,
        )


def _folder() -> Path:
    return cache_dir() / "spectrograms"


def _whole(
    pattern: str, name: str, value: str, source: str
) -> Iterator[tuple[FeatureTable, list[str]]]:
    """Yields the undamaged tables of a pattern whose description has a value under a name."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as arrays_of

    for path in sorted(_folder().glob(f"{pattern}.safetensors")):
        try:
            content = path.read_bytes()  # not mapped: truncating a mapped file ends the process
            arrays, size = arrays_of(content), int.from_bytes(content[:8], "little")
            document = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["table"])
            if not is_sealed(document):
                raise ValueError("another checksum than its own")
            if document[name] != value:
                continue
            names = {field: tuple(document[field]) for field in ("tracks", "features", "genres")}
            rest: dict[str, Any] = {**names, "sha256": document["sha256"], "source": source}
            repeats = tuple(map(tuple, document["repeats"]))
            table = FeatureTable(arrays["x"], arrays["y"], repeats=repeats, **rest)
            if table.x.dtype != np.float16 or digest_of(table) != table.sha256:
                raise ValueError("the array has another checksum than it should")
            yield table, document["left_out"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
            warnings.warn(
                f"{printable(path)} is damaged ({printable(error)}) and not used", stacklevel=2
            )
