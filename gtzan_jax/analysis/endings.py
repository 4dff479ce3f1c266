"""How a retraining ended: its networks' accuracy, by rules that look at no test figure."""

import math
from collections.abc import Callable
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
    return _ending(history, lambda curve: int(curve["kept"].argmax()))


def chosen_epoch(history: "pd.DataFrame") -> Ending | None:
    """Returns the test accuracy at the epoch at which each network is best on its validation part.

    Of epochs that are equally good the first counts. None where there is no validation part.
    """
    if "validation_accuracy" not in history:
        return None
    return _ending(history, lambda curve: int(curve["validation_accuracy"].argmax()))


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


def _ending(history: "pd.DataFrame", place_of: "Callable[[pd.DataFrame], int]") -> Ending:
    curves = [curve for _, curve in history.groupby(["fold", "seed"], sort=True)]
    places = [place_of(curve) for curve in curves]
    accuracy = np.array(
        [c["test_accuracy"].iloc[p] for c, p in zip(curves, places, strict=True)], float
    )
    epochs = np.array([c["epoch"].iloc[p] for c, p in zip(curves, places, strict=True)], int)
    deviation = float(accuracy.std(ddof=1)) if len(accuracy) > 1 else math.nan
    return Ending(float(accuracy.mean()), deviation, epochs)
