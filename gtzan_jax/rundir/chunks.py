"""Finished chunks on the disk: what a sweep that was interrupted need not train again.

A file holds some chunks: a line with the SHA-256 of all that follows, a line of JSON with the
chunks and the last and the best epoch of their members, their histories as little-endian float32,
and a byte for each member and row to evaluate, the predicted class. It is written aside, flushed
and renamed, so that a chunk is whole or not there.
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
    last: tuple[int, ...]  # epoch of each member, from 1
    best: tuple[int, ...]


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
        self._ends: dict[Member, set[int]] = {}  # epochs up to which a member was to train
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
        """Returns how many members are there, trained to the end."""
        return sum(self._epochs in ends for ends in self._ends.values())

    @property
    def member_epochs(self) -> int:
        """Epochs that all members together were to train."""
        return sum(map(max, self._ends.values()))

    def missing(self, members: Iterable[Member], epochs: int | None = None) -> list[Member]:
        """Returns the members that are not there up to some epoch, by default the last."""
        until = self._epochs if epochs is None else epochs
        return [member for member in members if until not in self._ends.get(member, ())]

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
                _Header(
                    c.fold, c.seed, c.first_epoch, c.epochs, c.config_ids,
                    tuple(trained.last.tolist()), tuple(trained.best.tolist()),
                )
                for trained in written
                for c in [trained.chunk]
            ]  # fmt: skip
            payload = [trained.history.astype("<f4").tobytes() for trained in written]
            payload += [trained.predicted.astype(np.uint8).tobytes() for trained in written]
            content = _encode(headers, self._evaluated, b"".join(payload))
            write_atomically(self._folder / f"{number:06d}.chunk", content)
            self._note(headers)
        self._flushed = time.monotonic()
        return written

    def history(self, members: Sequence[Member], others: bool = False) -> History:
        """Puts histories and predictions of members together, on the disk instead of in memory.

        Args:
          members: of whom.
          others: whether there may be chunks of other members, as of a search that would not ask
            for them again.

        Raises:
          RunError: a file has been damaged meanwhile, or members are missing.
        """
        shape = (len(members), self._epochs, len(METRICS))
        figures = self._on_disk(np.float32, shape)
        predicted = self._on_disk(np.uint8, (len(members), self._evaluated))
        reached, last, best = np.zeros((3, len(members)), np.int32)
        places = {member: place for place, member in enumerate(members)}
        missing = np.ones(shape[:2], bool)
        for path in self._files():
            headers, histories, classes = self._read_again(path)
            start = 0
            for header, part in zip(headers, _split(headers, histories), strict=True):
                rows = np.array([places.get(member, -1) for member in _members(header)], int)
                known = rows >= 0
                if not (known.all() or others) or header.epochs > self._epochs:
                    raise RunError(f"{path} is damaged: it has members of another sweep")
                epochs = slice(header.first_epoch, header.epochs)
                figures[rows[known], epochs] = part[known]
                missing[rows[known], epochs] = False
                # Later than what there is, of a member that was trained twice, too.
                later = known & (header.epochs > reached[rows])
                new = rows[later]
                predicted[new] = classes[start : start + len(rows)][later]
                reached[new] = header.epochs
                last[new], best[new] = np.array(header.last)[later], np.array(header.best)[later]
                start += len(rows)
        incomplete = (missing & (np.arange(self._epochs) < reached[:, None])).any(axis=1)
        incomplete |= reached == 0
        if incomplete.any():
            raise RunError(f"{self._folder}: {incomplete.sum():,} members are missing")
        return History(tuple(members), figures, predicted, reached, last, best)

    def figures(self, members: Sequence[Member], epochs: int) -> np.ndarray:
        """Returns (members, metrics) float32, of each at its best up to the end of some epoch.

        Args:
          members: of which chunks that end with this epoch are there.
          epochs: at the end.

        Raises:
          RunError: a file has been damaged meanwhile.
        """
        found: dict[Member, np.ndarray] = {}
        for path in self._files():
            headers, histories, _ = self._read_again(path)
            for header, part in zip(headers, _split(headers, histories), strict=True):
                if header.epochs == epochs:
                    places = np.array(header.best) - 1 - header.first_epoch
                    kept = part[np.arange(len(part)), np.maximum(places, 0)]
                    found.update(zip(_members(header), kept, strict=True))
        return np.array([found[member] for member in members])

    def _read_again(self, path: Path) -> tuple[list[_Header], np.ndarray, np.ndarray]:
        try:
            return self._read(path)
        except ValueError:
            raise RunError(f"{path} has been damaged; the same command mends it") from None

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
            for member in _members(header):
                self._ends.setdefault(member, set()).add(header.epochs)


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
    for name, kind in (("config_ids", str), ("last", int), ("best", int)):
        values = chunk[name]
        if not isinstance(values, list) or not all(type(value) is kind for value in values):
            raise TypeError(f"{name} of a chunk is no list of {kind.__name__}")
    ids, last, best = tuple(header.config_ids), tuple(header.last), tuple(header.best)
    if not len(ids) == len(last) == len(best):
        raise ValueError("a chunk has not one last and one best epoch for each config")
    if not all(1 <= b <= end <= header.epochs for b, end in zip(best, last, strict=True)):
        raise ValueError("the best or the last epoch of a member is impossible")
    return header._replace(config_ids=ids, last=last, best=best)


def _rows(header: _Header) -> int:
    return len(header.config_ids) * (header.epochs - header.first_epoch)


def _split(headers: Sequence[_Header], figures: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the history (members, epochs, metrics) of each chunk."""
    start = 0
    for header in headers:
        end = start + _rows(header)
        yield figures[start:end].reshape(len(header.config_ids), -1, len(METRICS))
        start = end
