"""Histories of members in long form: which member, and its figures epoch by epoch."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.metrics import METRICS
from gtzan_jax.space.config import Member
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.text import counted
from gtzan_jax.trainer.chunk import Trained

if TYPE_CHECKING:  # pandas takes half a second to import: not before it is needed
    import pandas as pd

_ROWS = 50_000  # of history.csv that are in memory at a time


def members_of(sweep: Sweep, num_folds: int, seeds: Sequence[int]) -> list[Member]:
    """Returns all members of a sweep: configs in grid order, then folds, then seeds."""
    return [
        Member(config.id, fold, seed)
        for config in sweep.configs
        for fold in range(num_folds)
        for seed in seeds
    ]


@dataclass(frozen=True, eq=False)
class History:
    """The figures of every epoch of every member.

    Attributes:
      members: those of one config side by side.
      figures: (members, epochs, metrics) float32, in the order of ``metrics.METRICS``; 0 for
        epochs that a member was not trained, which ``trained`` masks.
      predicted: (members, evaluated) uint8, classes predicted after the best epoch for the rows
        of the member's fold to evaluate, or their songs, validation part first.
      reached: (members,) int32, the epochs that the search gave a member.
      last: (members,) int32, the epoch, from 1, after which training stopped.
      best: (members,) int32, the epoch whose weights are kept; ``last`` without early stopping.
    """

    members: tuple[Member, ...]
    figures: np.ndarray
    predicted: np.ndarray
    reached: np.ndarray
    last: np.ndarray
    best: np.ndarray

    def __repr__(self) -> str:
        members, epochs = len(self.members), self.figures.shape[1]
        return f"History({counted(members, 'member')} × {counted(epochs, 'epoch')})"

    @classmethod
    def of(cls, members: Sequence[Member], results: Iterable[Trained]) -> "History":
        """Joins the results of chunks that trained all of these members to the end."""
        found = {
            member: numbers
            for trained in results
            for member, *numbers in zip(
                trained.chunk.members, trained.history, trained.predicted,
                trained.last, trained.best, strict=True,
            )
        }  # fmt: skip
        parts = (np.array(part) for part in zip(*(found[m] for m in members), strict=True))
        figures, predicted, last, best = parts
        reached = np.full(len(members), figures.shape[1], np.int32)
        return cls(tuple(members), figures, predicted, reached, last, best)

    @functools.cached_property
    def config_ids(self) -> list[str]:
        """The configs, in the order of the members."""
        return list(dict.fromkeys(member.config_id for member in self.members))

    @property
    def trained(self) -> np.ndarray:
        """(members, epochs) bool, the epochs that each member was trained."""
        return np.asarray(np.arange(self.figures.shape[1]) < self.last[:, None])

    @property
    def kept(self) -> np.ndarray:
        """(members, metrics) float32, the figures of each member's best epoch."""
        return np.asarray(self.figures[np.arange(len(self.best)), self.best - 1])

    @functools.cached_property
    def diverged(self) -> np.ndarray:
        """(members,) bool, whether a figure of some epoch is not finite."""
        return np.asarray(~np.isfinite(self.figures).all(axis=(1, 2)))

    @property
    def configs_diverged(self) -> np.ndarray:
        """(configs,) bool, whether a member of the config diverged."""
        return np.asarray(self.by_config(self.diverged).any(axis=1))

    def by_config(self, values: np.ndarray) -> np.ndarray:
        """Reshapes (members, …) to (configs, runs, …), a run for each fold and seed.

        Raises:
          ValueError: configs have trained a different number of times.
        """
        ids = self.config_ids
        count = len(ids)
        runs = len(self.members) // count
        if [member.config_id for member in self.members] != [i for i in ids for _ in range(runs)]:
            raise ValueError("the configs have not trained equally often")
        return values.reshape(count, runs, *values.shape[1:])

    def places_of(self, config_ids: Sequence[str]) -> np.ndarray:
        """Returns the places of some configs' members: (configs, runs) int."""
        places = {config_id: place for place, config_id in enumerate(self.config_ids)}
        grid = self.by_config(np.arange(len(self.members)))
        return grid[[places[config_id] for config_id in config_ids]]

    def curves(self, members: np.ndarray) -> np.ndarray:
        """Returns (epochs, metrics) float32, means over the members that trained in an epoch.

        Members are given by their places; epochs end with the last in which one of them trained.
        """
        mask = self.trained[members]
        mask = mask[:, mask.any(axis=0)]
        figures = self.figures[members, : mask.shape[1]]
        return np.asarray(figures.mean(axis=0, where=mask[:, :, None]))

    def frames(self, metrics: Sequence[str] = METRICS) -> "Iterator[pd.DataFrame]":
        """Yields parts: config_id, fold, seed, epoch (from 1), metrics; a row a trained epoch."""
        import pandas as pd

        epochs = self.figures.shape[1]
        columns = [METRICS.index(metric) for metric in metrics]
        step = max(1, _ROWS // epochs)
        for start in range(0, len(self.members), step):
            members = self.members[start : start + step]
            frame = pd.DataFrame(members).loc[np.repeat(np.arange(len(members)), epochs)]
            frame["epoch"] = np.tile(np.arange(1, epochs + 1), len(members))
            part = np.asarray(self.figures[start : start + step])[:, :, columns]
            frame[list(metrics)] = part.reshape(-1, len(metrics))
            trained = self.trained[start : start + step].reshape(-1)
            yield frame[trained].reset_index(drop=True)
