"""Do a model's probabilities hold? The temperature that mends them, and the error that is left.

References: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, for
both; Bröcker and Smith, "Increasing the reliability of reliability diagrams", Weather and
Forecasting 22 (2007), for what chance alone makes of a model without any error.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.models.calibration import tempered

if TYPE_CHECKING:
    import pandas as pd

BINS = 10
"""Equally wide bins of the probability of the first class, in which both errors are taken."""

_LOWEST, _HIGHEST = 0.05, 20.0  # temperatures; a part without any mistake asks for 0
_DRAWS = 2000


def fit_temperature(log_probabilities: NDArray[np.floating], y: NDArray[np.integer]) -> float:
    """Returns the temperature of the least mean negative log-likelihood, within 0.05 to 20.

    The loss is convex in 1 / T, so that it has one minimum.

    Args:
      log_probabilities: (songs, classes), or logits.
      y: (songs,) the true classes.
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(y))

    def loss(log_temperature: float) -> float:
        return float(-tempered(log_probabilities, np.exp(log_temperature))[rows, y].mean())

    ends = (np.log(_LOWEST), np.log(_HIGHEST))
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def bins_of(probability: NDArray[np.floating], right: NDArray[np.bool_]) -> "pd.DataFrame":
    """Puts songs into bins by the probability of their first genre.

    Args:
      probability: (songs,) of it.
      right: (songs,) whether it is the true one.

    Returns:
      one row a bin that has songs: low, high (included), songs, probability (mean), accuracy.
    """
    import pandas as pd

    number = np.clip(np.ceil(np.asarray(probability) * BINS) - 1, 0, BINS - 1).astype(int)
    frame = pd.DataFrame({"bin": number, "probability": probability, "right": right})
    grouped = frame.groupby("bin")
    bins = grouped[["probability", "right"]].mean().rename(columns={"right": "accuracy"})
    bins.insert(0, "songs", grouped.size())
    bins.insert(0, "high", (bins.index + 1) / BINS)
    bins.insert(0, "low", bins.index / BINS)
    return bins.reset_index(drop=True)


def calibration_error(probability: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Returns the expected calibration error: Σ songs of bin / songs · |accuracy − probability|."""
    bins = bins_of(probability, right)
    gap = (bins["accuracy"] - bins["probability"]).abs()
    return float((gap * bins["songs"]).sum() / bins["songs"].sum())


def error_of_chance(probability: NDArray[np.floating], seed: int = 0) -> tuple[float, float]:
    """Returns the error that songs of these probabilities have where these hold exactly.

    Among a few songs a share differs from its probability by chance, and the error, a sum of
    absolute differences, cannot tell. Each song is right with its probability, again and again.

    Args:
      probability: (songs,) of the first genre.
      seed: of the draws.

    Returns:
      mean and 95th percentile of the error over 2,000 draws.
    """
    probability = np.asarray(probability, np.float64)
    right = np.random.default_rng(seed).random((_DRAWS, len(probability))) < probability
    number = np.clip(np.ceil(probability * BINS) - 1, 0, BINS - 1).astype(int)
    one_hot = np.eye(BINS)[number]  # (songs, bins)
    errors = np.abs((right - probability) @ one_hot).sum(axis=1) / len(probability)
    return float(errors.mean()), float(np.percentile(errors, 95))
