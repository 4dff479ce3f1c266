"""A task, the unit of work, and the result of training it."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from gtzan_jax.space.config import Trial
from gtzan_jax.text import counted

Keep = Literal["nothing", "states", "params"]
"""Results to return besides figures: states to resume from, or parameters."""

_MOST_TOGETHER = 16  # tasks that train together: more keep tasks fuller, and more states in memory


@dataclass(frozen=True)
class Task:
    """Trials of one fold and bucket that train together: the unit of work, storage and retry."""

    bucket: int  # index in the plan
    size: int  # trials of the program, which may differ from those of the task
    trials: tuple[Trial, ...]
    first_epoch: int
    epochs: int  # number of epochs at the end
    keep: Keep = "nothing"
    own_seeds: bool = False  # whether each trial has its own random numbers; seeds may then differ

    def __repr__(self) -> str:
        seeds = ", ".join(str(seed) for seed in dict.fromkeys(m.seed for m in self.trials))
        trials = f"{counted(len(self.trials), 'trial')} of fold {self.fold}, seed {seeds}"
        return f"Task({trials}, epochs {self.first_epoch} to {self.epochs})"

    @property
    def fold(self) -> int:
        """The index of the fold."""
        return self.trials[0].fold

    @property
    def seed(self) -> int:
        """The seed of the first trial, and of all without ``own_seeds``."""
        return self.trials[0].seed

    @property
    def config_ids(self) -> tuple[str, ...]:
        """The configs of the trials."""
        return tuple(trial.config_id for trial in self.trials)

    @property
    def program(self) -> "ProgramKey":
        """The key of its program."""
        return ProgramKey(self.bucket, self.own_seeds, self.size)


class ProgramKey(NamedTuple):
    """The key of a plan's program."""

    bucket: int
    own_seeds: bool  # whether each trial has its own random numbers
    size: int  # trials


@dataclass(frozen=True)
class Trained:
    """The results of a task, by trial. ``last`` and ``best`` count epochs from 1."""

    task: Task
    history: np.ndarray  # (trials, epochs of the task, metrics) float32; 0 after a trial's last
    predicted: np.ndarray  # (trials, num_judged) uint8, classes after the best epoch
    last: np.ndarray  # (trials,) int32, last epoch trained
    best: np.ndarray  # (trials,) int32, epoch of the kept weights; the last without early stopping
    states: Sequence[Any] = ()  # if the task keeps them; opaque except to the trainer
    params: Sequence[Mapping[str, np.ndarray]] = ()  # if the task keeps them; by name, no padding
    logits: Sequence[np.ndarray] = ()  # (num_judged, classes) float32 of these parameters

    def __repr__(self) -> str:
        return f"Trained({self.task!r})"

    @property
    def kept(self) -> np.ndarray:
        """(trials, metrics) float32, the figures of the best epoch."""
        places = np.maximum(self.best - 1 - self.task.first_epoch, 0)
        return np.asarray(self.history[np.arange(len(places)), places])


def task_groups(tasks: Sequence[Task], stops_early: bool) -> Iterator[list[Task]]:
    """Yields lists of tasks to train together: several where the engine repacks trials."""
    key = lambda c: (c.bucket, c.fold, c.seed, c.keep)  # noqa: E731
    for _, group in itertools.groupby(tasks, key=key):
        alike = list(group)
        most = _MOST_TOGETHER if stops_early and alike[0].keep != "params" else 1
        for start in range(0, len(alike), most):
            yield alike[start : start + most]
