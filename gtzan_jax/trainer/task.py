"""A task: the unit of work, and the result of training it."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from gtzan_jax.space.config import Trial
from gtzan_jax.text import counted

Keep = Literal["nothing", "states", "params"]
"""Results besides figures: states to resume from, or parameters."""

_MOST = 16  # tasks that train together: more keep tasks fuller, and more states in memory


@dataclass(frozen=True)
class Task:
    """Trials of one fold that train together: the unit of work, of storage and of retry."""

    bucket: int  # its place in the plan
    size: int  # trials of its program, more or fewer than its own
    trials: tuple[Trial, ...]
    first_epoch: int
    epochs: int  # at the end
    keep: Keep = "nothing"
    own_seeds: bool = False  # whether its program draws for each trial, whose seeds may differ

    def __repr__(self) -> str:
        seeds = ", ".join(str(seed) for seed in dict.fromkeys(m.seed for m in self.trials))
        trials = f"{counted(len(self.trials), 'trial')} of fold {self.fold}, seed {seeds}"
        return f"Task({trials}, epochs {self.first_epoch} to {self.epochs})"

    @property
    def fold(self) -> int:
        """The fold's place."""
        return self.trials[0].fold

    @property
    def seed(self) -> int:
        """The seed of the first trial, and of the others unless they have seeds of their own."""
        return self.trials[0].seed

    @property
    def config_ids(self) -> tuple[str, ...]:
        """The configs of the trials."""
        return tuple(trial.config_id for trial in self.trials)

    @property
    def program(self) -> "ProgramKey":
        """The key of the program."""
        return ProgramKey(self.bucket, self.own_seeds, self.size)


class ProgramKey(NamedTuple):
    """The key of a plan's program."""

    bucket: int
    own_seeds: bool  # whether each trial has random numbers of its own
    size: int  # trials


@dataclass(frozen=True)
class Trained:
    """The results of training a task, by trial. ``last`` and ``best`` count epochs from 1."""

    task: Task
    history: np.ndarray  # (trials, epochs of the task, metrics) float32; 0 after a trial's last
    predicted: np.ndarray  # (trials, num_judged) uint8, classes after the best epoch
    last: np.ndarray  # (trials,) int32, after which training stopped
    best: np.ndarray  # (trials,) int32, whose weights are kept; the last without early stopping
    states: Sequence[Any] = ()  # where the task keeps them; opaque to all but the trainer
    params: Sequence[Mapping[str, np.ndarray]] = ()  # by name, without padding; likewise
    logits: Sequence[np.ndarray] = ()  # (num_judged, classes) float32 of these parameters

    def __repr__(self) -> str:
        return f"Trained({self.task!r})"

    @property
    def kept(self) -> np.ndarray:
        """(trials, metrics) float32, the figures of the best of these epochs."""
        places = np.maximum(self.best - 1 - self.task.first_epoch, 0)
        return np.asarray(self.history[np.arange(len(places)), places])


def together(tasks: Sequence[Task], stops_early: bool) -> Iterator[list[Task]]:
    """Yields lists of tasks to train together: several where the engine repacks trials."""
    key = lambda c: (c.bucket, c.fold, c.seed, c.keep)  # noqa: E731
    for _, alike in itertools.groupby(tasks, key=key):
        tasks = list(alike)
        most = _MOST if stops_early and tasks[0].keep != "params" else 1
        for start in range(0, len(tasks), most):
            yield tasks[start : start + most]
