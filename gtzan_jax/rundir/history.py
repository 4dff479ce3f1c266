"""Histories of members in long form: which member, and its figures epoch by epoch."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.metrics import METRICS
from gtzan_jax.space.config import Member
from gtzan_jax.space.sweep import Sweep

if TYPE_CHECKING:  # pandas takes half a second to import: not before it is needed
    import pandas as pd

# Rows of history.csv that are put together in memory at a time.
_ROWS = 50_000


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
      members: all members of one config stand together.
      figures: (members, epochs, metrics) float32, in the order of ``metrics.METRICS``.
      predicted: (members, evaluated) uint8, classes predicted after the last epoch for the rows
        of the member's fold to evaluate, or their songs, validation part first.
    """

    members: tuple[Member, ...]
    figures: np.ndarray
    predicted: np.ndarray

    def __repr__(self) -> str:
        return f"History({len(self.members):,} members × {self.figures.shape[1]} epochs)"

    @functools.cached_property
    def config_ids(self) -> list[str]:
        """The configs, in the order of the members."""
        return list(dict.fromkeys(member.config_id for member in self.members))

    def by_config(self) -> np.ndarray:
        """Returns (configs, runs, epochs, metrics), a run for every fold and seed.

        Raises:
          ValueError: configs have trained a different number of times.
        """
        ids = self.config_ids
        count = len(ids)
        runs = len(self.members) // count
        if [member.config_id for member in self.members] != [i for i in ids for _ in range(runs)]:
            raise ValueError("the configs have not trained equally often")
        grid: np.ndarray = self.figures.reshape(count, runs, *self.figures.shape[1:])
        return grid

    def of(self, config_ids: Sequence[str]) -> np.ndarray:
        """Returns the histories of some configs: (configs, runs, epochs, metrics)."""
        places = {config_id: place for place, config_id in enumerate(self.config_ids)}
        return self.by_config()[[places[config_id] for config_id in config_ids]]

    def frames(self, metrics: Sequence[str] = METRICS) -> "Iterator[pd.DataFrame]":
        """Yields config_id, fold, seed, epoch (from 1) and the metrics, in parts."""
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
            yield frame.reset_index(drop=True)

    def frame(self) -> "pd.DataFrame":
        """Returns all of it as one table."""
        import pandas as pd

        return pd.concat(list(self.frames()), ignore_index=True)
