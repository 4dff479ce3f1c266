"""Checkpoints: finished tasks on the disk, which a resumed sweep does not train again.

A file, see ``files.save_arrays``, has a header of each task, and the arrays of all trials.
"""

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from gtzan_jax.errors import DamagedError, RunError
from gtzan_jax.files import Kind, load_arrays, remove_temporaries, save_arrays
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.history import History
from gtzan_jax.space.config import Trial
from gtzan_jax.trainer.task import Trained

# Seconds to collect tasks for one file: writing it takes up to a tenth of a task's training.
_COLLECT_S = 0.5
_FORMAT = 1

Count = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fold: Count
    seed: Count
    first_epoch: Count
    epochs: Count
    config_ids: tuple[str, ...]

    @property
    def trials(self) -> list[Trial]:
        return [Trial(config_id, self.fold, self.seed) for config_id in self.config_ids]


class _Part(NamedTuple):
    header: _Header
    history: np.ndarray  # (trials, epochs, metrics) float32
    predicted: np.ndarray  # (trials, evaluated) uint8
    last: np.ndarray  # (trials,) int32 epoch, from 1
    best: np.ndarray


class Checkpoints:
    """The finished tasks in a folder, which is created if missing.

    Removes damaged files and lists them in ``damaged``. Trials train for ``epochs`` and have
    ``evaluated`` predictions, see ``Sizes.num_judged``.
    """

    def __init__(self, folder: Path, epochs: int, evaluated: int) -> None:
        self.damaged: list[str] = []
        self._folder, self._epochs, self._evaluated = folder, epochs, evaluated
        self._ends: dict[Trial, set[int]] = {}  # last epochs of the tasks of a trial
        self._waiting: list[Trained] = []
        self._flushed = time.monotonic()
        folder.mkdir(exist_ok=True)
        remove_temporaries(folder)
        for path in self._files():
            try:
                self._note([part.header for part in self._read(path)])
            except ValueError:
                self.damaged.append(path.name)
                path.unlink()

    def __len__(self) -> int:
        """Returns the number of trials that are trained for all epochs."""
        return sum(self._epochs in ends for ends in self._ends.values())

    @property
    def trial_epochs(self) -> int:
        """Epochs of all trials together; those after early stopping count."""
        return sum(map(max, self._ends.values()))

    def missing(self, trials: Iterable[Trial], epochs: int | None = None) -> list[Trial]:
        """Returns the trials that are not stored up to ``epochs``, by default the last."""
        until = self._epochs if epochs is None else epochs
        return [trial for trial in trials if until not in self._ends.get(trial, ())]

    def add(self, trained: Trained) -> list[Trained]:
        """Adds a task; returns the tasks that this call wrote."""
        self._waiting.append(trained)
        return self.flush() if time.monotonic() - self._flushed > _COLLECT_S else []

    def flush(self) -> list[Trained]:
        """Writes the tasks that are not written yet, and returns them."""
        written, self._waiting = self._waiting, []
        if written:
            number = max((int(path.stem) for path in self._files()), default=0) + 1
            headers = [
                _Header(c.fold, c.seed, c.first_epoch, c.epochs, c.config_ids)
                for c in (trained.task for trained in written)
            ]
            histories = [each.history.reshape(-1, len(METRICS)) for each in written]
            arrays: dict[str, np.ndarray] = {
                "history": np.concatenate(histories).astype(np.float32),
                "predicted": np.concatenate([t.predicted for t in written]).astype(np.uint8),
                "last": np.concatenate([t.last for t in written]).astype(np.int32),
                "best": np.concatenate([t.best for t in written]).astype(np.int32),
            }
            about = {"format": _FORMAT, "tasks": msgspec.to_builtins(headers)}
            save_arrays(self._folder / f"{number:06d}.safetensors", arrays, about)
            self._note(headers)
        self._flushed = time.monotonic()
        return written

    def history(self, trials: Sequence[Trial], others: bool = False) -> History:
        """Joins histories and predictions of trials, in memory-mapped files.

        ``others`` skips tasks of other trials, as an interrupted search leaves them.
        """
        shape = (len(trials), self._epochs, len(METRICS))
        figures = self._on_disk(np.float32, shape)
        predicted = self._on_disk(np.uint8, (len(trials), self._evaluated))
        reached, last, best = np.zeros((3, len(trials)), np.int32)
        places = {trial: place for place, trial in enumerate(trials)}
        missing = np.ones(shape[:2], bool)
        for header, history, classes, ends, bests in self._tasks():
            rows = np.array([places.get(trial, -1) for trial in header.trials], int)
            known = rows >= 0
            if not (known.all() or others) or header.epochs > self._epochs:
                raise DamagedError(
                    f"{self._folder} has trials of another sweep; the folder is damaged: "
                    "remove it to train again"
                )
            epochs = slice(header.first_epoch, header.epochs)
            figures[rows[known], epochs] = history[known]
            missing[rows[known], epochs] = False
            # If a trial was trained twice, the later epoch counts.
            later = known & (header.epochs > reached[rows])
            new = rows[later]
            predicted[new], reached[new] = classes[later], header.epochs
            last[new], best[new] = ends[later], bests[later]
        incomplete = (missing & (np.arange(self._epochs) < reached[:, None])).any(axis=1)
        incomplete |= reached == 0
        if incomplete.any():
            raise RunError(f"{self._folder}: {incomplete.sum():,} trials are missing")
        return History(tuple(trials), figures, predicted, reached, last, best)

    def figures(self, trials: Sequence[Trial], epochs: int) -> np.ndarray:
        """Returns (trials, metrics) float32 after the best epoch, of tasks up to ``epochs``."""
        found: dict[Trial, np.ndarray] = {}
        for header, history, _, _, best in self._tasks():
            if header.epochs == epochs:
                places = np.maximum(best - 1 - header.first_epoch, 0)
                kept = history[np.arange(len(history)), places]
                found.update(zip(header.trials, kept, strict=True))
        return np.array([found[trial] for trial in trials])

    def _tasks(self) -> Iterator[_Part]:
        for path in self._files():
            try:
                yield from self._read(path)
            except ValueError:
                raise DamagedError(
                    f"{path} was damaged during the run; resuming trains its tasks again"
                ) from None

    def _on_disk(self, kind: type, shape: tuple[int, ...]) -> np.ndarray:
        """Returns an array mapped to an unnamed file, which is deleted with the array."""
        with tempfile.TemporaryFile(dir=self._folder) as file:
            return np.memmap(file, kind, "w+", shape=shape)

    def _read(self, path: Path) -> Iterator[_Part]:
        """Yields the tasks of a file; raises ValueError if it is damaged."""
        arrays, about = load_arrays(path, _FORMAT, self._expected)
        start = row = 0
        for header in _headers(about):
            count, epochs = len(header.config_ids), header.epochs - header.first_epoch
            history = arrays["history"][row : row + count * epochs]
            places = slice(start, start + count)
            best, last = arrays["best"][places], arrays["last"][places]
            if not ((best >= 1) & (best <= last) & (last <= header.epochs)).all():
                raise ValueError("the best or the last epoch of a trial is out of range")
            figures = history.reshape(count, epochs, len(METRICS))
            yield _Part(header, figures, arrays["predicted"][places], last, best)
            start, row = start + count, row + count * epochs

    def _expected(self, about: dict[str, Any]) -> Mapping[str, Kind]:
        headers = _headers(about)
        trials = sum(len(h.config_ids) for h in headers)
        rows = sum(len(h.config_ids) * (h.epochs - h.first_epoch) for h in headers)
        return {
            "history": ("F32", (rows, len(METRICS))),
            "predicted": ("U8", (trials, self._evaluated)),
            "last": ("I32", (trials,)),
            "best": ("I32", (trials,)),
        }

    def _files(self) -> list[Path]:
        found = self._folder.glob("[0-9]*.safetensors")
        return sorted(path for path in found if path.stem.isdecimal())

    def _note(self, headers: Iterable[_Header]) -> None:
        for header in headers:
            for trial in header.trials:
                self._ends.setdefault(trial, set()).add(header.epochs)


def _headers(about: Mapping[str, Any]) -> list[_Header]:
    headers = msgspec.convert(about["tasks"], list[_Header])
    if not headers or not all(h.config_ids and h.first_epoch < h.epochs for h in headers):
        raise ValueError("a task has no trials, or no epochs")
    return headers
