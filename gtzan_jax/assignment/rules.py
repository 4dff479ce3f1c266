"""Statistics that decide whether a published figure clearly differs from ours."""

import math

import numpy as np

from gtzan_jax.analysis.inference import quantile

FEWEST = 7
"""Seeds needed to mark a figure.

If a ranking has a property with probability q, the published seed has it and none of n others with
probability q (1 - q)ⁿ: below 5 % for every q from n = 7.
"""

_NORMAL = 1.959963985  # the 97.5 % quantile
_DRAWS = 200  # bootstrap samples of tracks


def clearly_different(
    theirs: float, ours: np.ndarray, error: float = 0.0, slack: float = 0.0
) -> bool:
    """Tests whether a published figure is outside the 95 % prediction interval of ours.

    The published figure minus the mean of ours has the variance s² (1 + 1/n) + 2 error²: s² of the
    n seeds, by Student's t, and the error of the tracks on each split, by the normal quantile.

    Args:
      theirs: one seed's figure, on another split.
      ours: (n,) a figure for each seed, on one split; with fewer than ``FEWEST``, False.
      error: standard error of a figure by the choice of its tracks.
      slack: allowance for a figure published with "about".
    """
    count = len(ours)
    if count < FEWEST:
        return False
    seeds = quantile(count - 1) * float(ours.std(ddof=1)) * math.sqrt(1 + 1 / count)
    reach = slack + math.hypot(_NORMAL * math.sqrt(2) * error, seeds)
    return abs(theirs - float(ours.mean())) > reach


def error_of_best(correct: np.ndarray) -> float:
    """Returns the standard error of the best accuracy of all configs by the choice of test tracks.

    A bootstrap of tracks, not artists, since another random split has the same artists.
    ``correct`` is (configs, seeds, tested) bool.
    """
    tested = correct.shape[2]
    times = np.random.default_rng(0).multinomial(tested, np.full(tested, 1 / tested), _DRAWS).T
    weights = (times / tested).astype(np.float32)
    best = [(each.astype(np.float32) @ weights).max(axis=0) for each in correct.swapaxes(0, 1)]
    return float(np.mean(best, axis=0).std())


def top_range(accuracy: np.ndarray, has: np.ndarray, top: int) -> tuple[int, int]:
    """Returns the least and most configs with a property among the best, over orders of ties.

    Args:
      accuracy: (configs,) of a seed; NaN where diverged, never among the best.
      has: (configs,) bool, whether a config has the property.
      top: number of the best, at most that of the finite accuracies.
    """
    cut = np.sort(accuracy[np.isfinite(accuracy)])[-top]
    above, tied = accuracy > cut, accuracy == cut
    free = top - int(above.sum())  # places for tied configs
    sure, having = int((above & has).sum()), int((tied & has).sum())
    return sure + max(0, free - int(tied.sum()) + having), sure + min(free, having)


def softmax_twice_floor(num_genres: int) -> float:
    """Returns the lower bound of a loss that applies softmax twice, in nats.

    The inner softmax gives at most 1 to the true genre and 0 to the others, so the outer one
    gives at most e / (e + genres - 1).
    """
    return math.log(1 + (num_genres - 1) / math.e)
