"""Finished chunks on the disk: what a sweep that was interrupted need not train again.

A file holds some chunks: a line with the SHA-256 of all that follows, a line of JSON with the
chunks, their histories as little-endian float32, and a byte for each member and row to evaluate,
the predicted class. It is written aside, flushed and renamed, so that a chunk is whole or not
there.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gtzan_jax.errors import RunError
from gtzan_jax.files import remove_temporaries, write_atomically
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.history import History
from gtzan_jax.space.config import Member
from gtzan_jax.trainer.chunk import Trained

# Seconds for which chunks are collected before they are written together: flushing a file can
# take a tenth as long as training a chunk.
_COLLECT_S = 0.5


class _Header(NamedTuple):
    """What a file says of one of its chunks."""

    fold: int
    seed: int
    first_epoch: int
    epochs: int
    config_ids: tuple[str, ...]


class ChunkStore:
    """The chunks of a run directory.

    Reads what is there; files that are damaged are removed and named in ``damaged``.

    Args:
      folder: where; made if it is not there.
      epochs: of every member, at its end.
      evaluated: predictions that each member has, see ``Sizes.num_judged``.
    """

    def __init__(self, folder: Path, epochs: int, evaluated: int) -> None:
        self.damaged: list[str] = []
        self._folder = folder
        self._epochs = epochs
        self._evaluated = evaluated
        self._trained: set[Member] = set()
        self._waiting: list[Trained] = []
        self._flushed = time.monotonic()
        folder.mkdir(exist_ok=True)
        remove_temporaries(folder)
        for path in self._files():
            try:
                self._note(self._read(path)[0])
            except ValueError:
                self.damaged.append(path.name)
                path.unlink()

    def __len__(self) -> int:
        """Returns how many members are there."""
        return len(self._trained)

    def missing(self, members: Iterable[Member]) -> list[Member]:
        """Returns the members that are not there."""
        return [member for member in members if member not in self._trained]

    def add(self, trained: Trained) -> list[Trained]:
        """Takes in a chunk; returns those that have been written since the last time."""
        self._waiting.append(trained)
        return self.flush() if time.monotonic() - self._flushed > _COLLECT_S else []

    def flush(self) -> list[Trained]:
        """Writes the chunks that are waiting, and returns them."""
        written, self._waiting = self._waiting, []
        if written:
            number = max((int(path.stem) for path in self._files()), default=0) + 1
            headers = [
                _Header(c.fold, c.seed, c.first_epoch, c.epochs, c.config_ids)
                for c in (trained.chunk for trained in written)
            ]
            payload = [trained.history.astype("<f4").tobytes() for trained in written]
            payload += [trained.predicted.astype(np.uint8).tobytes() for trained in written]
            content = _encode(headers, self._evaluated, b"".join(payload))
            write_atomically(self._folder / f"{number:06d}.chunk", content)
            self._note(headers)
        self._flushed = time.monotonic()
        return written

    def history(self, members: Sequence[Member]) -> History:
        """Puts histories and predictions of members together, on the disk instead of in memory.

        Raises:
          RunError: a file has been damaged meanwhile, or members are missing.
        """
        shape = (len(members), self._epochs, len(METRICS))
        figures = self._on_disk(np.float32, shape)
        predicted = self._on_disk(np.uint8, (len(members), self._evaluated))
        places = {member: place for place, member in enumerate(members)}
        missing = np.ones(shape[:2], bool)
        for path in self._files():
            try:
                headers, histories, classes = self._read(path)
            except (OSError, ValueError):
                raise RunError(f"{path} has been damaged; the same command mends it") from None
            start = 0
            for header, part in zip(headers, _split(headers, histories), strict=True):
                rows = [places.get(member, -1) for member in _members(header)]
                if -1 in rows or header.epochs > self._epochs:
                    raise RunError(f"{path} is damaged: it has members of another sweep")
                epochs = slice(header.first_epoch, header.epochs)
                figures[rows, epochs] = part
                missing[rows, epochs] = False
                if header.epochs == self._epochs:
                    predicted[rows] = classes[start : start + len(rows)]
                start += len(rows)
        if missing.any():
            number = missing.any(axis=1).sum()
            raise RunError(f"{self._folder}: {number:,} members are missing")
        return History(tuple(members), figures, predicted)

    def _on_disk(self, kind: type, shape: tuple[int, ...]) -> np.ndarray:
        """Returns an array in a file without a name, which goes when the array does."""
        with tempfile.TemporaryFile(dir=self._folder) as file:
            return np.memmap(file, kind, "w+", shape=shape)

    def _read(self, path: Path) -> tuple[list[_Header], np.ndarray, np.ndarray]:
        """Reads a file; raises ValueError where it is not as this store writes it.

        Returns:
          the chunks; (epochs of all their members, metrics) float32; (members, evaluated) uint8.
        """
        checksum, _, content = path.read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != checksum:
            raise ValueError("damaged")
        line, _, payload = content.partition(b"\n")
        try:
            described = json.loads(line)
            headers = [_checked(chunk) for chunk in described["chunks"]]
            evaluated = described["evaluated"]
        except (TypeError, KeyError, RecursionError, OverflowError):
            raise ValueError("not what this program writes") from None
        rows, members = sum(map(_rows, headers)), sum(len(h.config_ids) for h in headers)
        end = 4 * rows * len(METRICS)
        if evaluated != self._evaluated or len(payload) != end + members * self._evaluated:
            raise ValueError("damaged, or of another table")
        figures = np.frombuffer(payload[:end], "<f4").reshape(-1, len(METRICS))
        return headers, figures, np.frombuffer(payload[end:], np.uint8).reshape(members, -1)

    def _files(self) -> list[Path]:
        found = self._folder.glob("[0-9]*.chunk")
        return sorted(path for path in found if path.stem.isdecimal())

    def _note(self, headers: Iterable[_Header]) -> None:
        for header in headers:
            if header.epochs == self._epochs:
                self._trained.update(_members(header))


def _members(header: _Header) -> list[Member]:
    return [Member(config_id, header.fold, header.seed) for config_id in header.config_ids]


def _encode(headers: Sequence[_Header], evaluated: int, payload: bytes) -> bytes:
    chunks = [header._asdict() for header in headers]
    content = json.dumps({"evaluated": evaluated, "chunks": chunks}).encode() + b"\n" + payload
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def _checked(chunk: dict[str, object]) -> _Header:
    header = _Header(**chunk)  # type: ignore[arg-type]
    numbers = (header.fold, header.seed, header.first_epoch, header.epochs)
    if not all(type(number) is int for number in numbers):
        raise TypeError("a number of a chunk is no whole number")
    if not 0 <= header.first_epoch < header.epochs or header.fold < 0:
        raise ValueError("epochs or fold of a chunk are impossible")
    ids = chunk["config_ids"]
    if not isinstance(ids, list) or not all(isinstance(config_id, str) for config_id in ids):
        raise TypeError("the configs' ids are no list of texts")
    return header._replace(config_ids=tuple(ids))


def _rows(header: _Header) -> int:
    return len(header.config_ids) * (header.epochs - header.first_epoch)


def _split(headers: Sequence[_Header], figures: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the history (members, epochs, metrics) of each chunk."""
    start = 0
    for header in headers:
        end = start + _rows(header)
        yield figures[start:end].reshape(len(header.config_ids), -1, len(METRICS))
        start = end
