"""Histories of trials: their figures by epoch, and as tables in long form."""

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

if TYPE_CHECKING:  # importing pandas takes half a second
    import pandas as pd

_ROWS = 50_000  # rows of history.csv in memory at a time


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
    """The figures of all trials by epoch."""

    trials: tuple[Trial, ...]  # grouped by config
    figures: np.ndarray  # (trials, epochs, metrics) float32; 0 where not ``trained``
    # (trials, evaluated) uint8, classes predicted after the best epoch, for the evaluation rows of
    # the trial's fold or their songs, validation part first.
    predicted: np.ndarray
    reached: np.ndarray  # (trials,) int32, epochs that the search allowed
    last: np.ndarray  # (trials,) int32, last epoch trained, from 1
    best: np.ndarray  # (trials,) int32, epoch of the kept weights; ``last`` without early stopping

    def __repr__(self) -> str:
        trials, epochs = len(self.trials), self.figures.shape[1]
        return f"History({counted(trials, 'trial')} × {counted(epochs, 'epoch')})"

    @classmethod
    def of(cls, trials: Sequence[Trial], results: Iterable[Trained]) -> "History":
        """Joins the results of tasks that trained all of these trials for all epochs."""
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
        """(trials, epochs) bool, whether the trial trained in the epoch."""
        return np.asarray(np.arange(self.figures.shape[1]) < self.last[:, None])

    @property
    def kept(self) -> np.ndarray:
        """(trials, metrics) float32, the figures of each trial's best epoch."""
        return np.asarray(self.figures[np.arange(len(self.best)), self.best - 1])

    @functools.cached_property
    def diverged(self) -> np.ndarray:
        """(trials,) bool, whether a figure of any epoch is not finite."""
        return np.asarray(~np.isfinite(self.figures).all(axis=(1, 2)))

    @property
    def configs_diverged(self) -> np.ndarray:
        """(configs,) bool, whether any trial of the config diverged."""
        return np.asarray(self.by_config(self.diverged).any(axis=1))

    def by_config(self, values: np.ndarray) -> np.ndarray:
        """Reshapes (trials, …) to (configs, runs, …), one run for each fold and seed."""
        ids = self.config_ids
        count = len(ids)
        runs = len(self.trials) // count
        if [trial.config_id for trial in self.trials] != [i for i in ids for _ in range(runs)]:
            raise ValueError("the configs do not have the same number of trials")
        return values.reshape(count, runs, *values.shape[1:])

    def places_of(self, config_ids: Sequence[str]) -> np.ndarray:
        """Returns the indices of the trials of configs, (configs, runs) int."""
        places = {config_id: place for place, config_id in enumerate(self.config_ids)}
        grid = self.by_config(np.arange(len(self.trials)))
        return grid[[places[config_id] for config_id in config_ids]]

    def curves(self, trials: np.ndarray) -> np.ndarray:
        """Returns (epochs, metrics) float32, means over the trials that trained in each epoch.

        ``trials`` are indices; epochs in which none of them trained are omitted.
        """
        mask = self.trained[trials]
        mask = mask[:, mask.any(axis=0)]
        figures = self.figures[trials, : mask.shape[1]]
        return np.asarray(figures.mean(axis=0, where=mask[:, :, None]))

    def frames(self, metrics: Sequence[str] = METRICS) -> "Iterator[pd.DataFrame]":
        """Yields tables of config_id, fold, seed, epoch (from 1) and metrics, one row per epoch."""
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
