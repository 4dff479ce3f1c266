"""Tests and intervals of a mean over a few seeds or folds; NaN without a variance estimate."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95

FEWEST_SPLITS = 5
"""Splits or folds that an interval over them needs."""

_NOTHING = 1e-9  # a deviation of accuracies that is a rounding error


def quantile(freedom: float) -> float:
    """Returns the 97.5 % point of Student's t."""
    from scipy import special  # scipy.stats takes long to import

    return float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2))


class PairedTest(NamedTuple):
    """A mean difference and its 95 % interval and p-value.

    Interval and p-value are NaN for a single difference or equal differences.
    """

    difference: float
    low: float
    high: float
    p_value: float


def t_test(differences: np.ndarray, overlap: float = 0.0) -> PairedTest:
    """Tests whether a mean difference is 0, by Student's t.

    The mean of n differences has the variance (1/n + overlap) s². For splits whose train parts
    overlap, ``overlap`` is test/train (Nadeau and Bengio, Inference for the Generalization Error,
    2003); fewer than :data:`FEWEST_SPLITS` of these have no interval.
    """
    count = len(differences)
    mean = float(np.mean(differences)) if count else math.nan
    deviation = float(np.std(differences, ddof=1)) if count > 1 else 0.0
    if not deviation > _NOTHING or (overlap and count < FEWEST_SPLITS):
        return PairedTest(mean, math.nan, math.nan, math.nan)
    from scipy import special

    error = math.sqrt(1.0 / count + overlap) * deviation
    margin = quantile(count - 1) * error
    p_value = 2.0 * float(special.stdtr(count - 1, -abs(mean) / error))
    return PairedTest(mean, mean - margin, mean + margin, p_value)


def sphericity_free_f_test(effects: np.ndarray, df: int, overlap: float = 0.0) -> float:
    """Tests whether mean effects are all 0, whatever the covariance of the effects.

    The degrees of freedom of the F test of repeated measures are multiplied by Greenhouse and
    Geisser's (1959) ε = tr(S)² / (df tr(S²)), S the covariance of the effects. Returns p; NaN with
    one run, and if the runs do not differ.

    Args:
      effects: (cells, n) effects of a term in each of n seeds or folds.
      df: degrees of freedom of the term.
      overlap: as for :func:`t_test`.
    """
    count = effects.shape[1]
    mean = effects.mean(axis=1)
    noise = effects - mean[:, None]
    # (n, n) instead of (cells, cells): the products of noise have the eigenvalues of S.
    products = noise.T @ noise / max(count - 1, 1)
    trace = float(np.trace(products))
    if count < 2 or trace <= _NOTHING**2 * len(mean):
        return math.nan
    from scipy import special

    epsilon = trace**2 / (df * float(np.square(products).sum()))
    statistic = float(np.square(mean).sum()) / ((1.0 / count + overlap) * trace)
    return float(special.fdtrc(epsilon * df, epsilon * df * (count - 1), statistic))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Returns p-values adjusted for the number of tests (Holm, 1979); NaN is not counted."""
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    factors = np.maximum(np.isfinite(p).sum() - np.arange(len(p)), 1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return adjusted
