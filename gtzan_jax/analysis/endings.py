"""Accuracy of a retraining's networks, at epochs that are chosen by no test figure."""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gtzan_jax.analysis.selection import accuracy_interval

if TYPE_CHECKING:
    import pandas as pd


class Ending(NamedTuple):
    """Test accuracy of a retraining's networks at some epoch.

    Attributes:
      mean: over the networks, a fold and a seed each.
      deviation: over the networks (n - 1); NaN of one network.
      epochs: (networks,) int, the epoch of each.
    """

    mean: float
    deviation: float
    epochs: np.ndarray


def kept_epoch(history: "pd.DataFrame") -> Ending:
    """Returns the test accuracy after the epoch whose weights are kept.

    That is the last one, or where a config stops early that of the lowest validation loss.

    Args:
      history: one row an epoch of a network, as ``best/history.csv``.
    """
    return _ending(history, "kept")


def chosen_epoch(history: "pd.DataFrame") -> Ending | None:
    """Returns the test accuracy at the epoch at which each network is best on its validation part.

    Of epochs that are equally good the first counts. None where there is no validation part.
    """
    if "validation_accuracy" not in history:
        return None
    return _ending(history, "validation_accuracy")


def over_songs(songs: "pd.DataFrame | None") -> tuple[float, float]:
    """Returns the 95 % interval of the test accuracy over songs, for these networks.

    Args:
      songs: a row a test song, as ``SavedRetraining.songs``; of None NaN is returned.
    """
    if songs is None:
        return math.nan, math.nan
    return accuracy_interval(songs["right"].to_numpy(), songs["group"].to_numpy())


def stopped_early(history: "pd.DataFrame", num_epochs: int) -> bool:
    """Returns whether some network keeps the weights of an epoch before the last of so many."""
    return bool((kept_epoch(history).epochs < num_epochs).any())


def common_epochs(history: "pd.DataFrame") -> int:
    """Returns the epochs that every network was trained."""
    return int(history.groupby(["fold", "seed"])["epoch"].max().min())


def mean_curves(history: "pd.DataFrame") -> "pd.DataFrame":
    """Returns the mean of each metric over the networks that were trained, indexed by epoch."""
    return history.drop(columns=["fold", "seed", "kept"]).groupby("epoch").mean()


def deviation_curves(history: "pd.DataFrame") -> "pd.DataFrame":
    """Returns the deviation (n - 1) of each metric over the networks, by epoch; NaN of one."""
    return history.drop(columns=["fold", "seed", "kept"]).groupby("epoch").std(ddof=1)


def _ending(history: "pd.DataFrame", column: str) -> Ending:
    """Returns the test accuracy at the first epoch of each network with the largest value."""
    history = history.reset_index(drop=True)
    networks = [history["fold"], history["seed"]]
    rows = history.loc[history[column].astype(float).groupby(networks).idxmax()]
    accuracy = rows["test_accuracy"].astype(float)
    return Ending(float(accuracy.mean()), float(accuracy.std()), rows["epoch"].to_numpy(int))
