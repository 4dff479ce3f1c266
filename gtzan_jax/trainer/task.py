"""A task: the unit of work, and the result of training it."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from gtzan_jax.space.config import Trial
from gtzan_jax.text import counted

Keep = Literal["nothing", "states", "params"]
"""Results besides figures: states to resume from, or parameters."""

_WAVE = 16  # tasks of a wave: more keep tasks fuller, and more states in memory


@dataclass(frozen=True)
class Task:
    """Trials of one fold that train together: the unit of work, of storage and of retry."""

    bucket: int  # its place in the plan
    size: int  # trials of its program, more or fewer than its own
    trials: tuple[Trial, ...]
    first_epoch: int
    epochs: int  # at the end
    keep: Keep = "nothing"

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
        """The key of the program, which draws for each trial if seeds differ."""
        return ProgramKey(self.bucket, any(m.seed != self.seed for m in self.trials), self.size)


class ProgramKey(NamedTuple):
    """The key of a plan's program."""

    bucket: int
    own_seeds: bool  # whether each trial has random numbers of its own
    size: int  # trials


@dataclass(frozen=True)
class Trained:
    """The results of training a task.

    Attributes:
      history: (trials, epochs from first to last, metrics) float32, as ``metrics.METRICS``; 0
        for epochs after a trial's last.
      predicted: (trials, num_judged) uint8, classes predicted after the best epoch for the fold's
        rows to evaluate, or for their songs where rows vote.
      last: (trials,) int32, the epoch after which training stopped, from 1.
      best: (trials,) int32, the epoch whose weights are kept; ``last`` without early stopping.
      states: of every trial, on the host; empty unless the task keeps them. Opaque to all but
        the trainer.
      params: of every trial by name, without padding, after the best epoch; likewise.
    """

    task: Task
    history: np.ndarray = field(repr=False)
    predicted: np.ndarray = field(repr=False)
    last: np.ndarray = field(repr=False)
    best: np.ndarray = field(repr=False)
    states: Sequence[Any] = field(default=(), repr=False)
    params: Sequence[Mapping[str, np.ndarray]] = field(default=(), repr=False)

    def __repr__(self) -> str:
        return f"Trained({self.task!r})"

    @property
    def kept(self) -> np.ndarray:
        """(trials, metrics) float32, the figures of the best of these epochs."""
        places = np.maximum(self.best - 1 - self.task.first_epoch, 0)
        return np.asarray(self.history[np.arange(len(places)), places])


def waves(tasks: Sequence[Task], stops_early: bool) -> Iterator[list[Task]]:
    """Yields tasks that are trained together: several where the engine repacks trials."""
    key = lambda c: (c.bucket, c.fold, c.seed, c.keep)  # noqa: E731
    for _, alike in itertools.groupby(tasks, key=key):
        together = list(alike)
        most = _WAVE if stops_early and together[0].keep != "params" else 1
        for start in range(0, len(together), most):
            yield together[start : start + most]
