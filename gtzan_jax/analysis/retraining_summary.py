"""Retraining summary: test accuracy of its networks, at epochs selected without test figures."""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gtzan_jax.analysis.selection import accuracy_interval

if TYPE_CHECKING:
    import pandas as pd


class Ending(NamedTuple):
    """Test accuracy of a retraining's networks, one a fold and seed, at an epoch of each."""

    mean: float
    deviation: float  # n - 1; NaN for one network
    epochs: np.ndarray  # (networks,) int


def kept_epoch(history: "pd.DataFrame") -> Ending:
    """Returns the test accuracy after the epoch whose weights are kept.

    ``history`` has one row an epoch of a network, as ``best/history.csv``.
    """
    return _ending(history, "kept")


def chosen_epoch(history: "pd.DataFrame") -> Ending | None:
    """Returns the test accuracy at each network's first epoch of the best validation accuracy."""
    return _ending(history, "validation_accuracy") if "validation_accuracy" in history else None


def _ending(history: "pd.DataFrame", column: str) -> Ending:
    """Returns the test accuracy at the first epoch of each network with the largest value."""
    history = history.reset_index(drop=True)
    networks = [history["fold"], history["seed"]]
    rows = history.loc[history[column].astype(float).groupby(networks).idxmax()]
    accuracy = rows["test_accuracy"].astype(float)
    return Ending(float(accuracy.mean()), float(accuracy.std()), rows["epoch"].to_numpy(int))


def over_songs(songs: "pd.DataFrame | None") -> tuple[float, float]:
    """Returns the 95 % interval of the test accuracy over songs, for these networks; NaN for None.

    ``songs`` has a row a test song, as ``SavedRetraining.songs``.
    """
    if songs is None:
        return math.nan, math.nan
    return accuracy_interval(songs["right"].to_numpy(), songs["group"].to_numpy())


def stopped_early(history: "pd.DataFrame", num_epochs: int) -> bool:
    """Returns whether a network keeps the weights of an epoch before the last."""
    return bool((kept_epoch(history).epochs < num_epochs).any())


def common_epochs(history: "pd.DataFrame") -> int:
    """Returns the number of epochs that every network was trained for."""
    return int(history.groupby(["fold", "seed"])["epoch"].max().min())


def mean_curves(history: "pd.DataFrame") -> "pd.DataFrame":
    """Returns the mean of each metric over the networks, by epoch."""
    return history.drop(columns=["fold", "seed", "kept"]).groupby("epoch").mean()


def deviation_curves(history: "pd.DataFrame") -> "pd.DataFrame":
    """Returns the deviation (n - 1) of each metric over the networks, by epoch; NaN for one."""
    return history.drop(columns=["fold", "seed", "kept"]).groupby("epoch").std(ddof=1)
