"""The temperature that calibrates probabilities, and the expected calibration error.

References: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017;
Bröcker and Smith, "Increasing the reliability of reliability diagrams", Weather and Forecasting 22
(2007), for a calibrated model's error by chance.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.inference.calibration import tempered

if TYPE_CHECKING:
    import pandas as pd

BINS = 10
"""Equally wide bins of the first class's probability, used by both errors."""

_DRAWS = 2000
_FEWEST_DRAWS, _MOST_NUMBERS = 100, 20_000_000  # fewer draws of many songs, to save memory


def fit_temperature(log_probabilities: NDArray[np.floating], y: NDArray[np.integer]) -> float:
    """Returns the temperature of the least mean negative log-likelihood, from 0.05 to 20.

    ``log_probabilities`` is (songs, classes), or logits; y is (songs,).
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(y))

    def loss(log_temperature: float) -> float:  # convex in 1 / T: it has one minimum
        return float(-tempered(log_probabilities, np.exp(log_temperature))[rows, y].mean())

    # A part without a mistake has its minimum at 0.
    ends = (np.log(0.05), np.log(20.0))
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def bins_of(probability: NDArray[np.floating], right: NDArray[np.bool_]) -> "pd.DataFrame":
    """Bins songs by the probability of their first genre; arguments: see :func:`error_of_chance`.

    Returns one row a bin with songs: low, high (included), songs, probability (mean), accuracy.
    """
    import pandas as pd

    number = np.clip(np.ceil(np.asarray(probability) * BINS) - 1, 0, BINS - 1)
    frame = pd.DataFrame({"low": number / BINS, "high": (number + 1) / BINS})
    frame = frame.assign(songs=1, probability=probability, accuracy=right)
    how = {"songs": "size", "probability": "mean", "accuracy": "mean"}
    return frame.groupby(["low", "high"]).agg(how).reset_index()


def calibration_error(probability: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Returns the expected calibration error: Σ songs of bin / songs · |accuracy − probability|."""
    bins = bins_of(probability, right)
    gap = (bins["accuracy"] - bins["probability"]).abs()
    return float((gap * bins["songs"]).sum() / bins["songs"].sum())


def error_of_chance(
    probability: NDArray[np.floating],
    right: NDArray[np.bool_],
    group: NDArray[np.integer],
    seed: int = 0,
) -> tuple[float, float]:
    """Simulates the calibration error of exact probabilities by chance.

    Songs of an artist share a random number with a probability that matches their similarity.

    Args:
      probability: (songs,) of the first genre.
      right: (songs,) whether it is the true one; used for the similarity only.
      group: (songs,) number of the artist.
      seed: of the draws.

    Returns:
      mean and 95th percentile of the error over the draws.
    """
    probability = np.asarray(probability, np.float64)
    group = np.unique(group, return_inverse=True)[1]
    draws = max(_FEWEST_DRAWS, min(_DRAWS, _MOST_NUMBERS // len(probability)))
    random, shape = np.random.default_rng(seed), (draws, len(probability))
    common = random.random((draws, group.max() + 1), np.float32)[:, group]
    together = random.random(shape, np.float32) < np.sqrt(_similarity(probability, right, group))
    drawn = np.where(together, common, random.random(shape, np.float32)) < probability
    number = np.clip(np.ceil(probability * BINS) - 1, 0, BINS - 1).astype(int)
    one_hot = np.eye(BINS)[number]  # (songs, bins)
    errors = np.abs((drawn - probability) @ one_hot).sum(axis=1) / len(probability)
    return float(errors.mean()), float(np.percentile(errors, 95))


def _similarity(
    probability: NDArray[np.floating], right: NDArray[np.bool_], group: NDArray[np.integer]
) -> float:
    """Estimates the share of a group's pairs that share a draw, 0 to 1, by moments.

    A pair with one draw has the covariance min(p, q) − pq, a pair with two has 0. The observed
    covariance is the product of right − p and right − q, unbiased if p and q are exact.
    """
    order = np.lexsort((probability, group))
    group, p = group[order], probability[order]
    residual, sizes = right[order] - p, np.bincount(group)
    observed = np.square(np.bincount(group, residual)).sum() - residual @ residual
    larger = np.cumsum(sizes)[group] - np.arange(len(p)) - 1  # of the group, above p
    minima = (p * (2 * larger + 1)).sum()  # of all pairs of a group
    largest = minima - np.square(np.bincount(group, p)).sum() - (p * (1 - p)).sum()
    return float(np.clip(observed / largest, 0, 1)) if largest > 1e-9 else 0.0
