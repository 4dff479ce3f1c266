"""Histories of trials in long form: which trial, and its figures epoch by epoch."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.metrics import METRICS
from gtzan_jax.space.config import Trial
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.text import counted
from gtzan_jax.trainer.task import Trained

if TYPE_CHECKING:  # pandas takes half a second to import: not before it is needed
    import pandas as pd

_ROWS = 50_000  # of history.csv that are in memory at a time


def trials_of(sweep: Sweep, num_folds: int, seeds: Sequence[int]) -> list[Trial]:
    """Returns all trials of a sweep: configs in grid order, then folds, then seeds."""
    return [
        Trial(config.id, fold, seed)
        for config in sweep.configs
        for fold in range(num_folds)
        for seed in seeds
    ]


@dataclass(frozen=True, eq=False)
class History:
    """The figures of every epoch of every trial."""

    trials: tuple[Trial, ...]  # those of one config side by side
    figures: np.ndarray  # (trials, epochs, metrics) float32; 0 where not ``trained``
    # (trials, evaluated) uint8, classes predicted after the best epoch for the rows of the trial's
    # fold to evaluate, or their songs, validation part first.
    predicted: np.ndarray
    reached: np.ndarray  # (trials,) int32, the epochs that the search gave a trial
    last: np.ndarray  # (trials,) int32, the epoch, from 1, after which training stopped
    best: np.ndarray  # (trials,) int32, whose weights are kept; ``last`` without early stopping

    def __repr__(self) -> str:
        trials, epochs = len(self.trials), self.figures.shape[1]
        return f"History({counted(trials, 'trial')} × {counted(epochs, 'epoch')})"

    @classmethod
    def of(cls, trials: Sequence[Trial], results: Iterable[Trained]) -> "History":
        """Joins the results of tasks that trained all of these trials to the end."""
        found = {
            trial: numbers
            for trained in results
            for trial, *numbers in zip(
                trained.task.trials, trained.history, trained.predicted,
                trained.last, trained.best, strict=True,
            )
        }  # fmt: skip
        parts = (np.array(part) for part in zip(*(found[m] for m in trials), strict=True))
        figures, predicted, last, best = parts
        reached = np.full(len(trials), figures.shape[1], np.int32)
        return cls(tuple(trials), figures, predicted, reached, last, best)

    @functools.cached_property
    def config_ids(self) -> list[str]:
        """The configs, in the order of the trials."""
        return list(dict.fromkeys(trial.config_id for trial in self.trials))

    @property
    def trained(self) -> np.ndarray:
        """(trials, epochs) bool, the epochs that each trial was trained."""
        return np.asarray(np.arange(self.figures.shape[1]) < self.last[:, None])

    @property
    def kept(self) -> np.ndarray:
        """(trials, metrics) float32, the figures of each trial's best epoch."""
        return np.asarray(self.figures[np.arange(len(self.best)), self.best - 1])

    @functools.cached_property
    def diverged(self) -> np.ndarray:
        """(trials,) bool, whether a figure of some epoch is not finite."""
        return np.asarray(~np.isfinite(self.figures).all(axis=(1, 2)))

    @property
    def configs_diverged(self) -> np.ndarray:
        """(configs,) bool, whether a trial of the config diverged."""
        return np.asarray(self.by_config(self.diverged).any(axis=1))

    def by_config(self, values: np.ndarray) -> np.ndarray:
        """Reshapes (trials, …) to (configs, runs, …), a run for each fold and seed."""
        ids = self.config_ids
        count = len(ids)
        runs = len(self.trials) // count
        if [trial.config_id for trial in self.trials] != [i for i in ids for _ in range(runs)]:
            raise ValueError("the configs have not trained equally often")
        return values.reshape(count, runs, *values.shape[1:])

    def places_of(self, config_ids: Sequence[str]) -> np.ndarray:
        """Returns the places of some configs' trials: (configs, runs) int."""
        places = {config_id: place for place, config_id in enumerate(self.config_ids)}
        grid = self.by_config(np.arange(len(self.trials)))
        return grid[[places[config_id] for config_id in config_ids]]

    def curves(self, trials: np.ndarray) -> np.ndarray:
        """Returns (epochs, metrics) float32, means over the trials that trained in an epoch.

        Trials are given by their places; epochs end with the last in which one of them trained.
        """
        mask = self.trained[trials]
        mask = mask[:, mask.any(axis=0)]
        figures = self.figures[trials, : mask.shape[1]]
        return np.asarray(figures.mean(axis=0, where=mask[:, :, None]))

    def frames(self, metrics: Sequence[str] = METRICS) -> "Iterator[pd.DataFrame]":
        """Yields parts: config_id, fold, seed, epoch (from 1), metrics; a row a trained epoch."""
        import pandas as pd

        epochs = self.figures.shape[1]
        columns = [METRICS.index(metric) for metric in metrics]
        step = max(1, _ROWS // epochs)
        for start in range(0, len(self.trials), step):
            trials = self.trials[start : start + step]
            frame = pd.DataFrame(trials).loc[np.repeat(np.arange(len(trials)), epochs)]
            frame["epoch"] = np.tile(np.arange(1, epochs + 1), len(trials))
            part = np.asarray(self.figures[start : start + step])[:, :, columns]
            frame[list(metrics)] = part.reshape(-1, len(metrics))
            trained = self.trained[start : start + step].reshape(-1)
            yield frame[trained].reset_index(drop=True)
