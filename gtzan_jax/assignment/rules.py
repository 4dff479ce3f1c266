"""What a claim is, and the rules by which a run is compatible with it.

What was published is one run, whose split and seed nobody knows. A claim is compatible with a run
where the two differ by no more than another split and another seed would change, at 95 %. That does
not confirm it: beside the verdict stands what else would have been compatible. It is not compatible
where they differ by more; that takes several seeds, since one cannot say what another would do.
With fewer, a run that differs leaves it undecided.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

FEWEST = 7
"""Seeds that it takes to say that a claim is not compatible.

A property of a ranking that a seed has with probability q is had by the published seed and by none
of n others with probability q (1 - q)ⁿ: below 5 % for every q from n = 7.
"""

_NORMAL = 1.959963985  # the 97.5 % quantile


class Found(NamedTuple):
    """A measured figure, and the verdict on a claim that follows from it, see :class:`Claim`."""

    measured: str
    compatible: bool | None = None
    also: str = ""


@dataclass(frozen=True)
class Claim:
    """A sentence of the assignment, and what a run says of it.

    Attributes:
      sentence: what is claimed.
      published: the figure that was published with it.
      source: the part of the assignment that it is from.
      rule: when it is compatible with a run.
      measured: the run's figure, or why there is none.
      compatible: whether it is; None where that is undecided.
      also: what else would be compatible.
    """

    sentence: str
    published: str
    source: str
    rule: str
    measured: str
    compatible: bool | None = None
    also: str = ""


class Agreement(NamedTuple):
    """How far a published figure may be from ours, and whether it is no farther."""

    reach: float
    compatible: bool | None


def agreement(theirs: float, ours: np.ndarray, error: float = 0.0, slack: float = 0.0) -> Agreement:
    """Tells whether a published figure is a draw of what ours are draws of, at 95 %.

    The published figure less the mean of ours has the variance s² (1 + 1/n) + 2 error²: s² that of
    the seeds, and the tracks of the published split and of ours each have their share. Student's t
    is taken for the seeds and the normal quantile for the tracks.

    Args:
      theirs: one seed's figure, on another split.
      ours: (n,) a figure for each seed, on one split.
      error: standard error of a figure by the choice of its tracks.
      slack: what a figure that is published with "about" may be off besides.

    Returns:
      without a verdict where only the seeds' share, not known of fewer than ``FEWEST``, could make
      the two agree; the reach is that of the tracks then.
    """
    from scipy import special

    distance, count = abs(theirs - float(ours.mean())), len(ours)
    reach = slack + _NORMAL * math.sqrt(2) * error
    if count < FEWEST:
        return Agreement(reach, True if distance <= reach else None)
    quantile = float(special.stdtrit(count - 1, 0.975))
    seeds = quantile * float(ours.std(ddof=1)) * math.sqrt(1 + 1 / count)
    reach = slack + math.hypot(reach - slack, seeds)
    return Agreement(reach, bool(distance <= reach))


def top_range(accuracy: np.ndarray, has: np.ndarray, top: int) -> tuple[int, int]:
    """Returns the least and the most configs with a property among the best.

    Equally accurate configs at the cut can be ordered either way.

    Args:
      accuracy: (configs,) of a seed; NaN where diverged, which is never among the best.
      has: (configs,) bool, whether a config has the property.
      top: how many are the best; as many configs have an accuracy.
    """
    cut = np.sort(accuracy[np.isfinite(accuracy)])[-top]
    above, tied = accuracy > cut, accuracy == cut
    free = top - int(above.sum())  # places for tied configs
    sure, having = int((above & has).sum()), int((tied & has).sum())
    return sure + max(0, free - int(tied.sum()) + having), sure + min(free, having)


def counted(accuracy: np.ndarray, has: np.ndarray, top: int, needed: int) -> Found:
    """Counts the configs with a property among the best of each seed.

    The claim of at least ``needed`` is compatible where every order of tied configs of every seed
    has as many; it is not where no order of ``FEWEST`` seeds or more has.

    Args:
      accuracy: (configs, seeds).
      has: as for :func:`top_range`.
      top: likewise.
      needed: of the best, for the claim.
    """
    least, most = np.array([top_range(seed, has, top) for seed in accuracy.T]).T
    count, having, lacking = len(least), int((least >= needed).sum()), int((most < needed).sum())
    shown = f"{span(least.min(), most.max())} of {top}"
    if count > 1:
        shown += f" over {count} seeds; {having} have as many as claimed and {lacking} do not"
    if lacking == count and count < FEWEST:
        shown += f" (needs ≥ {FEWEST} seeds: another could)"
    verdict = True if having == count else False if lacking == count >= FEWEST else None
    return Found(shown, verdict, f'"at least N" would be compatible for N up to {least.min()}')


def together(*parts: bool | None) -> bool | None:
    """Returns whether a claim of several parts is compatible: one that is not decides."""
    return False if False in parts else None if None in parts else True


def would_be(low: float, high: float, digits: int = 3) -> str:
    """Returns which published figures would be compatible: those of a range, rounded inwards."""
    unit = 10**digits
    low, high = math.ceil(unit * low - 1e-6) / unit, math.floor(unit * high + 1e-6) / unit
    return f"anything from {low:.{digits}f} to {high:.{digits}f} would be compatible"


def span(low: float, high: float) -> str:
    """Returns a range of whole numbers, or the one number that it is."""
    return f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"


def plus_minus(values: Sequence[float] | np.ndarray, of: str) -> str:
    """Returns mean and deviation over seeds or networks, or the figure where it is one.

    Args:
      values: one or more.
      of: what they are of, in the plural.
    """
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} over {len(values)} {of}"


def softmax_twice_floor(num_genres: int) -> float:
    """Returns what a loss cannot fall below if softmax is applied twice, in nats.

    The inner softmax gives at most 1 to the true genre and 0 to the others, so the outer one
    gives at most e / (e + genres - 1).
    """
    return math.log(1 + (num_genres - 1) / math.e)
