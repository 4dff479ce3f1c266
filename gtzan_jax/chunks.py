"""Finished chunks on the disk: what a sweep that was interrupted need not train again.

A file holds the histories of some chunks: a line with the SHA-256 of all that follows, a line
of JSON with the members, and their histories as little-endian float32. It is written aside,
flushed and renamed, so that a chunk is whole or not there.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gtzan_jax.engine import Chunk
from gtzan_jax.errors import RunError
from gtzan_jax.files import remove_temporaries, write_atomically
from gtzan_jax.training import METRICS

# Seconds for which chunks are collected before they are written together: flushing a file can
# take a tenth as long as training a chunk.
_COLLECT_S = 0.5

Members = list[tuple[int, tuple[int, ...]]]  # seed and config ids of each chunk


class ChunkStore:
    """The chunks of a run directory.

    Reads what is there; files that are damaged are removed and named in ``damaged``.

    Args:
      folder: where; made if it is not there.
      epochs: of every member.
    """

    def __init__(self, folder: Path, epochs: int) -> None:
        self.damaged: list[str] = []
        self._folder = folder
        self._epochs = epochs
        self._there: dict[int, set[int]] = {}
        self._waiting: list[Chunk] = []
        self._flushed = time.monotonic()
        folder.mkdir(exist_ok=True)
        remove_temporaries(folder)
        for path in self._files():
            try:
                self._note(_read(path, epochs)[0])
            except ValueError:
                self.damaged.append(path.name)
                path.unlink()

    def __len__(self) -> int:
        """Returns how many members are there."""
        return sum(map(len, self._there.values()))

    def has(self, seed: int, config_ids: Sequence[int]) -> bool:
        """Tells whether all these members are there."""
        return self._there.get(seed, set()).issuperset(config_ids)

    def add(self, chunk: Chunk) -> list[Chunk]:
        """Takes in a chunk; returns those that have been written since the last time."""
        self._waiting.append(chunk)
        return self.flush() if time.monotonic() - self._flushed > _COLLECT_S else []

    def flush(self) -> list[Chunk]:
        """Writes the chunks that are waiting, and returns them."""
        written, self._waiting = self._waiting, []
        if written:
            number = max((int(path.stem) for path in self._files()), default=0) + 1
            members = [(chunk.seed, chunk.config_ids) for chunk in written]
            payload = b"".join(chunk.history.astype("<f4").tobytes() for chunk in written)
            write_atomically(self._folder / f"{number:06d}.chunk", _encode(members, payload))
            self._note(members)
        self._flushed = time.monotonic()
        return written

    def history(self, num_configs: int, seeds: Sequence[int]) -> np.ndarray:
        """Puts all members together, on the disk instead of in memory.

        Returns:
          (configs, seeds, epochs, 4) float32, in the order of ``training.METRICS``.

        Raises:
          RunError: a file has been damaged meanwhile, or members are missing.
        """
        shape = (num_configs, len(seeds), self._epochs, len(METRICS))
        with tempfile.TemporaryFile(dir=self._folder) as file:
            history = np.memmap(file, np.float32, "w+", shape=shape)
        places = {seed: place for place, seed in enumerate(seeds)}
        missing = np.ones(shape[:2], bool)
        for path in self._files():
            try:
                members, figures = _read(path, self._epochs)
            except (OSError, ValueError):
                raise RunError(f"{path} has been damaged; the same command mends it") from None
            for (seed, ids), part in zip(members, _split(members, figures), strict=True):
                if seed not in places or not set(ids) <= set(range(num_configs)):
                    raise RunError(f"{path} is damaged: it has members of another sweep")
                history[list(ids), places[seed]] = part
                missing[list(ids), places[seed]] = False
        if missing.any():
            raise RunError(f"{self._folder}: {missing.sum():,} members are missing")
        return history

    def _files(self) -> list[Path]:
        found = self._folder.glob("[0-9]*.chunk")
        return sorted(path for path in found if path.stem.isdecimal())

    def _note(self, members: Members) -> None:
        for seed, ids in members:
            self._there.setdefault(seed, set()).update(ids)


def _encode(members: Members, payload: bytes) -> bytes:
    content = json.dumps({"members": members}).encode() + b"\n" + payload
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def _read(path: Path, epochs: int) -> tuple[Members, np.ndarray]:
    """Reads a file; raises ValueError where it is not as it was written."""
    checksum, _, content = path.read_bytes().partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != checksum:
        raise ValueError("damaged")
    header, _, payload = content.partition(b"\n")
    try:
        members = [(int(seed), tuple(map(int, ids))) for seed, ids in json.loads(header)["members"]]
    except (TypeError, KeyError, RecursionError):
        raise ValueError("not what this program writes") from None
    figures = np.frombuffer(payload, "<f4").reshape(-1, epochs, len(METRICS))
    if len(figures) != sum(len(ids) for _, ids in members):
        raise ValueError("damaged")
    return members, figures


def _split(members: Members, figures: np.ndarray) -> Iterator[np.ndarray]:
    start = 0
    for _, ids in members:
        yield figures[start : start + len(ids)]
        start += len(ids)
