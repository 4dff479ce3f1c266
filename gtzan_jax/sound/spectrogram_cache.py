"""Spectrograms in the user's cache: a safetensors file a table, named ``<key>-<checksum>``.

The key, from ``rows.made_by``, identifies the sound files and the code; the checksum is that of the
table, by which a report finds it without the sound.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gtzan_jax.files import Kind, load_arrays, save_arrays
from gtzan_jax.resources import cache_dir
from gtzan_jax.sound.mel import FRAMES
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.text import printable

_FORMAT = 1
_KEPT = ("sha256", "tracks", "features", "genres", "repeats")


def digest_of(table: FeatureTable) -> str:
    """Returns the SHA-256 of a table's array, labels, genres and names."""
    whole = hashlib.sha256()
    for array in (table.x.astype("<f2"), table.y.astype("<i4")):
        whole.update(f"{array.shape}".encode())
        whole.update(np.ascontiguousarray(array).data)
    whole.update(json.dumps([table.genres, table.tracks]).encode())
    return whole.hexdigest()


def load(key: str, source: str) -> tuple[FeatureTable, list[str]] | None:
    """Returns the table of a key, and the reasons why songs were left out; None if there is none.

    The cache does not depend on the folder of the songs: the table gets ``source``.
    """
    return next(_whole(f"{key[:16]}-*", "key", key, source), None)


def find(sha256: str, source: str) -> FeatureTable | None:
    """Returns the table with a checksum, if the cache has it."""
    found = next(_whole(f"*-{sha256[:16]}", "sha256", sha256, source), None)
    return found and found[0]


def keep(key: str, table: FeatureTable, left_out: Sequence[str]) -> None:
    """Writes a table to the cache; warns if that fails."""
    about = {"format": _FORMAT, "key": key, "left_out": list(left_out)}
    about |= {name: getattr(table, name) for name in _KEPT}
    path = _folder() / f"{key[:16]}-{table.sha256[:16]}.safetensors"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(path, {"x": table.x, "y": table.y}, about)
    except OSError as error:
        warnings.warn(
            f"{path.parent}: spectrograms cannot be saved ({error.strerror}); the next command "
            "computes them again",
            stacklevel=2,
        )


def _folder() -> Path:
    return cache_dir() / "log_mel"


def _whole(
    pattern: str, name: str, value: str, source: str
) -> Iterator[tuple[FeatureTable, list[str]]]:
    """Yields the undamaged tables of a pattern with ``value`` as ``name`` in their description."""
    for path in sorted(_folder().glob(f"{pattern}.safetensors")):
        try:
            arrays, about = load_arrays(path, _FORMAT, _expected)
        except ValueError as error:
            warnings.warn(f"{printable(path)} is damaged ({error}) and is ignored", stacklevel=2)
            continue
        if about[name] == value:
            kept: dict[str, Any] = {n: tuple(about[n]) for n in ("tracks", "features", "genres")}
            kept |= {"repeats": tuple(map(tuple, about["repeats"])), "sha256": about["sha256"]}
            x, y = arrays["x"], arrays["y"]
            yield FeatureTable(x=x, y=y, source=source, **kept), about["left_out"]


def _expected(about: dict[str, Any]) -> Mapping[str, Kind]:
    rows = len(about["tracks"])
    return {"x": ("F16", (rows, len(about["features"]), FRAMES)), "y": ("I32", (rows,))}
