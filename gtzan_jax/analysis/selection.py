"""What choosing among configs does to figures: a set in place of a winner, and its optimism.

Everything here resamples groups of tracks, since songs of one artist are alike. Models, train parts
and seeds are taken as they are. Where the tracks are by artists that were trained on, intervals are
for other songs of such artists; for other artists only where a protocol keeps these apart.

References:
  Hsu (1984), Constrained simultaneous confidence intervals for multiple comparisons with the
  best, Annals of Statistics 12.
  Chernozhukov, Chetverikov, Kato (2013), Gaussian approximations and multiplier bootstrap for
  maxima of sums of high-dimensional random vectors, Annals of Statistics 41.
  Tsamardinos, Greasidou, Borboudakis (2018), Bootstrapping the out-of-sample predictions for
  efficient and accurate cross-validation, Machine Learning 107.
  Bayle, Bayle, Janson, Mackey (2020), Cross-validation confidence intervals for test error.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gtzan_jax.analysis.inference import CONFIDENCE, quantile

if TYPE_CHECKING:
    import pandas as pd

METHOD = (
    "multiple comparisons with the best (Hsu, 1984) by a multiplier bootstrap over groups of "
    "tracks and over seeds"
)

FEWEST_SEEDS = 3
"""Seeds that it takes to see what a seed does to a config on all tracks alike."""

_DRAWS = 1000
_HOPELESS = 3.5  # standard errors behind the first
_NOTHING = 1e-12  # a sum of squares of hits that is a rounding error


def accuracy_interval(hits: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Returns the 95 % interval of a mean over tracks of which those of a group are alike.

    The sums of residuals of groups are independent, which gives a cluster-robust variance; t has
    (Σn²)² / Σn⁴ - 1 degrees of freedom, n the sizes of groups, as if the songs of a group were one
    (Satterthwaite).

    Args:
      hits: (tested,) whether each track was classified correctly, or the share of the seeds that
        did so; for two models on the same tracks the differences of these.
      group: (tested,) the number of each track's group.

    Returns:
      low, high: what other tracks of such groups would change, with these models. They include
      what seeds change track by track, but nothing that a seed does to all tracks alike. NaN
      where all tracks are equal, or of one group.
    """
    return _student(float(hits.mean()), *_over_groups(hits, group))


def difference_interval(differences: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Returns the 95 % interval of a difference of two models, for artists and seeds.

    The variance of the mean is that over groups, as in :func:`accuracy_interval`, and that over
    seeds added up, with Welch and Satterthwaite's degrees of freedom. What seeds change track by
    track is in both, so the interval is rather too wide.

    Args:
      differences: (seeds, tested) whether the one model classified each track correctly less
        whether the other one did, paired by seed.
      group: (tested,) the number of each track's group.

    Returns:
      low, high: what other tracks of such groups and other seeds would change, with these train
      parts; NaN with one seed, and where nothing differs.
    """
    num_seeds = len(differences)
    variance, freedom = _over_groups(differences.mean(axis=0), group)
    if num_seeds < 2 or math.isnan(variance):
        return math.nan, math.nan
    of_seeds = float(differences.mean(axis=1).var(ddof=1)) / num_seeds
    both = variance + of_seeds
    freedom = both**2 / (variance**2 / freedom + of_seeds**2 / (num_seeds - 1))
    return _student(float(differences.mean()), both, freedom)


def _over_groups(hits: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Returns the variance over groups of a mean, and its degrees of freedom; NaN as there."""
    places = np.unique(group, return_inverse=True)[1]
    sizes = np.bincount(places).astype(np.float64)
    squares = float(np.square(np.bincount(places, hits - hits.mean())).sum())
    if len(sizes) < 2 or squares <= _NOTHING:
        return math.nan, math.nan
    freedom = np.square(sizes).sum() ** 2 / (sizes**4).sum() - 1
    variance = squares * len(sizes) / (len(sizes) - 1) / len(hits) ** 2
    return variance, max(float(freedom), 1.0)


def _student(mean: float, variance: float, freedom: float) -> tuple[float, float]:
    """Returns the interval of a mean by Student's t; NaN where there is no variance."""
    reach = quantile(freedom) * math.sqrt(variance)
    return mean - reach, mean + reach


class Comparison(NamedTuple):
    """Which configs are indistinguishable from the best, and how large a difference shows.

    Attributes:
      indistinguishable: (configs,) bool.
      detectable: accuracy by which a config must be behind the best to be told from it, the median
        over those near it, if any; NaN where nothing can be told.
    """

    indistinguishable: np.ndarray
    detectable: float


def compare_with_best(correct: np.ndarray, group: np.ndarray) -> Comparison:
    """Finds the configs that are statistically indistinguishable from the best, at 95 %.

    The truly best one is among them with 95 % confidence. Not that they are equally good: a few
    tracks cannot show differences of several points.

    A config i stays if its distance from the first, max m - mᵢ, is no larger than the 95 % point
    of maxⱼ(Δⱼ - Δᵢ), where Δ is drawn as the errors of the mean accuracies m vary,

        Δ = Σ_g ξ_g R_g + Σ_s ζ_s r_s,

    with ξ and ζ random: R_g are the residuals of all configs summed up over group g, r_s how
    seed s shifts them on all tracks alike. What seeds change track by track is in R; r has such
    noise, too, and is scaled down by the share that it has in r. With S seeds ζ has the tails of
    t with S - 1 degrees of freedom. Configs far behind the first leave the maximum.

    Args:
      correct: (configs, seeds, tested) whether the members classified the tracks of a part of all
        folds correctly; without diverged configs.
      group: (tested,) the number of each track's group.

    Returns:
      the configs, with fewer than :data:`FEWEST_SEEDS` seeds for these seeds, and always for these
      folds. Of one group only, nothing can be told: every config.
    """
    random = np.random.default_rng(0)
    num_seeds, num_tested = correct.shape[1:]
    # One seed after another, as the products take four bytes a track.
    sums = np.stack([_by_group(correct[:, seed], group) for seed in range(num_seeds)], axis=1)
    hits = sums.sum(axis=(1, 2))  # whole numbers, so that equal configs stay equal
    sizes = _by_group(np.ones(num_tested), group)
    if len(sizes) < 2:  # nothing to tell by how much a figure varies
        return Comparison(np.ones(len(correct), bool), math.nan)
    by_group, shares = sums / num_tested, sizes / num_tested
    mean = by_group.mean(axis=1)
    residuals = mean - mean.sum(axis=1, keepdims=True) * shares
    scale = math.sqrt(len(sizes) / (len(sizes) - 1))
    errors = scale * random.standard_normal((_DRAWS, len(sizes)), np.float32) @ residuals.T
    if num_seeds >= FEWEST_SEEDS:
        errors += _seeds_errors(by_group, shares, random)
    behind = (hits.max() - hits) / (num_seeds * num_tested)
    hopeful = behind <= _HOPELESS * _distance_errors(errors, errors[:, behind == 0])
    reach = errors[:, hopeful].max(axis=1, keepdims=True) - errors
    place = math.ceil(CONFIDENCE * _DRAWS) - 1
    limits = np.partition(reach, place, axis=0)[place]
    others = behind > 0
    near = limits[others & hopeful] if (others & hopeful).any() else limits[others]
    return Comparison(behind <= limits, float(np.median(near)) if len(near) else math.nan)


def _distance_errors(errors: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """Returns (configs,) standard errors of the distance from the first, the largest of ties.

    Args:
      errors: (draws, configs).
      firsts: (draws, firsts) those of the best, more than one if tied.
    """
    products = errors.T @ firsts / len(errors)
    squares = np.square(errors).mean(axis=0)[:, None] + np.square(firsts).mean(axis=0)
    found: np.ndarray = np.sqrt(np.maximum(squares - 2 * products, 0).max(axis=1))
    return found


def _seeds_errors(
    by_group: np.ndarray, shares: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Draws what seeds shift on all tracks alike. Returns (draws, configs).

    Args:
      by_group: (configs, seeds, groups) hits, as shares of all tracks.
      shares: (groups,) of all tracks.
      random: is drawn from.
    """
    num_seeds = by_group.shape[1]
    change = by_group - by_group.mean(axis=1, keepdims=True)
    change -= change.mean(axis=0)  # what a seed does to all configs alike tells none apart
    shifts = change.sum(axis=2)  # (configs, seeds)
    noise = np.square(change - shifts[..., None] * shares).sum()
    total = float(np.square(shifts).sum())
    real = max(0.0, 1.0 - float(noise) / total) if total > 0 else 0.0
    tails = np.sqrt((num_seeds - 1) / random.chisquare(num_seeds - 1, _DRAWS))
    draws = random.standard_normal((_DRAWS, num_seeds)) * tails[:, None]
    scale = math.sqrt(real / (num_seeds * (num_seeds - 1)))
    errors: np.ndarray = scale * draws @ shifts.T
    return errors


def scope(num_folds: int, seeds: Sequence[int]) -> str:
    """Returns sentences on what :func:`compare_with_best` does not include."""
    folds = "these train parts" if num_folds > 1 else "this train part"
    if len(seeds) >= FEWEST_SEEDS:
        return f"It allows for other songs and other seeds, with {folds}."
    of_seeds = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} and {seeds[-1]}"
    return (
        f"It allows for other songs, with {folds} and {of_seeds}: another seed gives another set, "
        "and where configurations differ in their luck with a seed, the best is missed more often "
        f"than one time in twenty. {FEWEST_SEEDS} seeds or more show what others would change."
    )


def selected_on_test(correct: np.ndarray, group: np.ndarray) -> "pd.DataFrame":
    """Measures how much better than it is a winner looks that was chosen on the test part.

    Bootstrap bias correction: of each of 1,000 resamples of groups the winner is chosen in the
    resample, and scored on the groups that are not in it. Each time the n configs are drawn anew.

    Args:
      correct: (configs, seeds, tested), as for :func:`compare_with_best`.
      group: (tested,) the number of each track's group.

    Returns:
      one row for each n of 1, 3, 10, … and all configs: configs (n), apparent (accuracy of the
      winner on the tracks that it was chosen on, mean over choices of n), held_out (that of
      winners on tracks that had no say), optimism (their difference), low and high (2.5th and
      97.5th percentile of held_out over the resamples, the interval of Tsamardinos et al.; NaN
      where all are equal).
    """
    sums = _by_group(correct.mean(axis=1), group)
    sizes = _by_group(np.ones(len(group)), group)
    random = np.random.default_rng(0)
    weights = random.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), _DRAWS)
    out = weights == 0
    weights, out = weights[out.any(axis=1)], out[out.any(axis=1)]
    inside = (weights @ sums.T) / (weights @ sizes)[:, None]  # (draws, configs)
    outside = (out @ sums.T) / (out @ sizes)[:, None]
    accuracy = sums.sum(axis=1) / sizes.sum()

    def one(draw: int, some: np.ndarray) -> tuple[float, float]:
        winner = some[inside[draw, some].argmax()]
        return float(accuracy[some].max()), float(outside[draw, winner])

    return _curve(len(correct), len(weights), one, random)


def selected_on_validation(validation: np.ndarray, test: np.ndarray) -> "pd.DataFrame":
    """Measures how much better than it is a winner looks on the part that it was chosen on.

    Each fold chooses its own winner, by the mean over its seeds, since the validation part of a
    fold is tested on in others.

    Args:
      validation: (configs, folds, seeds) accuracy, without diverged configs.
      test: likewise.

    Returns:
      as :func:`selected_on_test`, but for low and high: apparent is the winners' validation
      accuracy, held_out their test accuracy, both means over the folds and over 1,000 choices of n
      configs.
    """
    chosen_by, scored = validation.mean(axis=2), test.mean(axis=2)  # (configs, folds)
    folds = np.arange(chosen_by.shape[1])

    def one(_: int, some: np.ndarray) -> tuple[float, float]:
        winners = some[chosen_by[some].argmax(axis=0)]
        return float(chosen_by[winners, folds].mean()), float(scored[winners, folds].mean())

    return _curve(len(validation), _DRAWS, one, np.random.default_rng(0))


def _curve(
    num_configs: int,
    draws: int,
    one: Callable[[int, np.ndarray], tuple[float, float]],
    random: np.random.Generator,
) -> "pd.DataFrame":
    """Averages apparent and held-out accuracies over draws of 1, 3, 10, … configs."""
    import pandas as pd

    sizes = list(_sizes(num_configs))
    found = np.full((max(draws, 1), len(sizes), 2), math.nan)  # no draws: one group of tracks
    for draw in range(draws):
        order = random.permutation(num_configs)
        found[draw] = [one(draw, order[:size]) for size in sizes]
    frame = pd.DataFrame(found.mean(axis=0), columns=["apparent", "held_out"])
    frame.insert(0, "configs", sizes)
    tail = 100 * (1 - CONFIDENCE) / 2
    frame["optimism"] = frame["apparent"] - frame["held_out"]
    ends = np.percentile(found[..., 1], (tail, 100 - tail), axis=0)
    frame["low"], frame["high"] = np.where(ends[1] - ends[0] > _NOTHING, ends, math.nan)
    return frame


def _sizes(num_configs: int) -> Iterator[int]:
    """Yields 1, 3, 10, 30, … below a number, and it."""
    powers = (10**place for place in range(len(str(num_configs))))
    yield from (n for power in powers for n in (power, 3 * power) if n < num_configs)
    yield num_configs


def _by_group(hits: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Returns (…, groups) float32 sums of (…, tested) hits; BLAS is the quickest to add up."""
    numbers, places = np.unique(group, return_inverse=True)
    belongs = np.zeros((len(group), len(numbers)), np.float32)
    belongs[np.arange(len(group)), places] = 1
    sums: np.ndarray = hits.astype(np.float32) @ belongs
    return sums
