"""Effects of selection: the configs indistinguishable from the best, and a winner's optimism.

All intervals are over groups of rows, since songs of one artist are alike: ``group`` is (tested,),
the group of each row. See docs/which_number.md for the scope of each.

References:
  Hsu (1984), Constrained simultaneous confidence intervals for multiple comparisons with the best.
  Chernozhukov, Chetverikov, Kato (2013), Gaussian approximations and multiplier bootstrap for
  maxima of sums of high-dimensional random vectors.
  Tsamardinos, Greasidou, Borboudakis (2018), Bootstrapping the out-of-sample predictions for
  efficient and accurate cross-validation.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gtzan_jax.analysis.inference import CONFIDENCE, quantile
from gtzan_jax.tables.schema import SONGS, Words

if TYPE_CHECKING:
    import pandas as pd

FEWEST_SEEDS = 3
"""Seeds needed to estimate a seed's shift of a config on all tracks."""

_DRAWS = 1000
_MOST_GROUPS = 5000  # enough for an error of 2 % in their variance
_HOPELESS = 3.5  # standard errors behind the first
_NOTHING = 1e-12  # a sum of squares of hits that is a rounding error


def accuracy_interval(hits: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Returns :func:`mean_interval`, within [0, 1], of (tested,) shares of correct seeds."""
    low, high = mean_interval(hits, group)
    return max(low, 0.0), min(high, 1.0)  # NaN stays, as it is no less


def mean_interval(values: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Returns the 95 % interval of a mean over rows in groups, for fixed models.

    The variance is cluster-robust; t has (Σn²)² / Σn⁴ - 1 degrees of freedom, n the sizes of groups
    (Satterthwaite). NaN if all are equal, and for one group. ``values`` is (tested,).
    """
    return _student(float(values.mean()), *_over_groups(values, group))


def difference_interval(differences: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Returns the 95 % interval of the difference of two models, for artists and seeds.

    The variance is the sum of that over groups, as in :func:`accuracy_interval`, and that over
    seeds, with Welch and Satterthwaite's degrees of freedom. Both include the noise of a seed on
    single tracks, so the interval tends to be too wide. NaN with one seed, and if nothing differs.
    ``differences`` is (seeds, tested) hits, paired by seed.
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
    """Returns the variance of a mean over groups, and its degrees of freedom."""
    places = np.unique(group, return_inverse=True)[1]
    sizes = np.bincount(places).astype(np.float64)
    squares = float(np.square(np.bincount(places, hits - hits.mean())).sum())
    if len(sizes) < 2 or squares <= _NOTHING:
        return math.nan, math.nan
    freedom = np.square(sizes).sum() ** 2 / (sizes**4).sum() - 1
    variance = squares * len(sizes) / (len(sizes) - 1) / len(hits) ** 2
    return variance, max(float(freedom), 1.0)


def _student(mean: float, variance: float, freedom: float) -> tuple[float, float]:
    reach = quantile(freedom) * math.sqrt(variance)
    return mean - reach, mean + reach


class Comparison(NamedTuple):
    """The configs indistinguishable from the best, and the detectable difference."""

    indistinguishable: np.ndarray  # (configs,) bool
    detectable: float  # distance from the best: median limit of the configs near it; or NaN


def compare_with_best(correct: np.ndarray, group: np.ndarray) -> Comparison:
    """Finds the configs that are statistically indistinguishable from the best, at 95 %.

    The truly best config is among them with 95 % confidence. A config i stays if its distance from
    the first, max m - mᵢ, is at most the 95 % point of maxⱼ(Δⱼ - Δᵢ), where Δ simulates the errors
    of the mean accuracies m,

        Δ = Σ_g ξ_g R_g + Σ_s ζ_s r_s,

    with ξ and ζ random: R_g are the residuals of all configs summed over group g, r_s the shift of
    all tracks by seed s, scaled down by its share of single tracks' noise, which is already in R.
    With S seeds ζ has the tails of t with S - 1 degrees of freedom. Configs far behind the first
    are left out of the maximum.

    Args:
      correct: (configs, seeds, tested) bool, without diverged configs.
      group: (tested,); with one group no config is distinguishable.
    """
    random = np.random.default_rng(0)
    num_seeds, num_tested = correct.shape[1:]
    sums = _by_group(correct, group)
    hits = sums.sum(axis=(1, 2))  # whole numbers, so that equal configs stay equal
    sizes = _by_group(np.ones(num_tested), group)
    if len(sizes) < 2:  # no estimate of the variance
        return Comparison(np.ones(len(correct), bool), math.nan)
    by_group, shares = sums / num_tested, sizes / num_tested
    mean = by_group.mean(axis=1)
    residuals = mean - mean.sum(axis=1, keepdims=True) * shares
    scale = math.sqrt(len(sizes) / (len(sizes) - 1))
    errors = scale * random.standard_normal((_DRAWS, len(sizes)), np.float32) @ residuals.T
    if num_seeds >= FEWEST_SEEDS:
        errors += _seeds_errors(by_group, shares, random)
    behind = (hits.max() - hits) / (num_seeds * num_tested)
    firsts = errors[:, behind == 0]  # more than one if tied
    squares = np.square(errors).mean(axis=0)[:, None] + np.square(firsts).mean(axis=0)
    squares -= 2 * (errors.T @ firsts / len(errors))  # (configs, firsts), of the distance
    hopeful = behind <= _HOPELESS * np.sqrt(np.maximum(squares, 0).max(axis=1))
    reach = errors[:, hopeful].max(axis=1, keepdims=True) - errors
    place = math.ceil(CONFIDENCE * _DRAWS) - 1
    limits = np.partition(reach, place, axis=0)[place]
    others = behind > 0
    near = limits[others & hopeful] if (others & hopeful).any() else limits[others]
    return Comparison(behind <= limits, float(np.median(near)) if len(near) else math.nan)


def _seeds_errors(
    by_group: np.ndarray, shares: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Draws (draws, configs) shifts by seeds, from (configs, seeds, groups) hits per track."""
    num_seeds = by_group.shape[1]
    change = by_group - by_group.mean(axis=1, keepdims=True)
    change -= change.mean(axis=0)  # without the shift that all configs of a seed share
    shifts = change.sum(axis=2)  # (configs, seeds)
    noise = np.square(change - shifts[..., None] * shares).sum()
    total = float(np.square(shifts).sum())
    real = max(0.0, 1.0 - float(noise) / total) if total > 0 else 0.0
    tails = np.sqrt((num_seeds - 1) / random.chisquare(num_seeds - 1, _DRAWS))
    draws = random.standard_normal((_DRAWS, num_seeds)) * tails[:, None]
    scale = math.sqrt(real / (num_seeds * (num_seeds - 1)))
    errors: np.ndarray = scale * draws @ shifts.T
    return errors


def others(words: Words) -> str:
    """Returns the population that intervals over groups of rows generalise to."""
    return f"{words.rows} of another {words.group}" if words.is_grouped else f"other {words.units}"


def scope(num_folds: int, seeds: Sequence[int], words: Words = SONGS) -> str:
    """Returns sentences on the scope of :func:`compare_with_best`."""
    folds = "these train parts" if num_folds > 1 else "this train part"
    if len(seeds) >= FEWEST_SEEDS:
        return f"It allows for {others(words)} and other seeds, with {folds}."
    of_seeds = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} and {seeds[-1]}"
    return (
        f"It allows for {others(words)}, with {folds} and {of_seeds}. Another seed gives another "
        "set; if configurations respond differently to seeds, the set misses the best more often "
        f"than one time in twenty. {FEWEST_SEEDS} seeds or more would allow for other seeds."
    )


def selected_on_test(correct: np.ndarray, group: np.ndarray) -> "pd.DataFrame":
    """Measures the optimism of a winner's accuracy that was selected on the test part.

    Bootstrap bias correction (Tsamardinos et al.): in each of 1,000 resamples of groups a winner is
    selected among n random configs, and scored on the groups outside the resample. ``correct`` is
    (configs, seeds, tested).

    Returns:
      one row for each n of 1, 3, 10, … and all configs: configs (n), apparent (accuracy of the
      winner on all tracks, mean over choices of n), held_out (the same outside the resample),
      optimism (their difference), low and high (2.5th and 97.5th percentile of held_out over the
      resamples; NaN if all are equal).
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
    """Measures the optimism of a winner's accuracy on the validation part that selected it.

    Each fold selects its own winner, by the mean over its seeds, since its validation part is in
    the test parts of other folds. Arguments are (configs, folds, seeds) accuracies. Returns a table
    as :func:`selected_on_test` does, of the winners' validation and test accuracy.
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

    powers = [10**place for place in range(len(str(num_configs)))]
    sizes = [n for power in powers for n in (power, 3 * power) if n < num_configs] + [num_configs]
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


def _by_group(hits: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Returns (…, groups) float32 sums of (…, tested) hits.

    If there are too many groups, some are merged; merged groups are independent as well.
    """
    number = np.unique(group, return_inverse=True)[1] % _MOST_GROUPS
    sums = [np.bincount(number, row) for row in hits.reshape(-1, len(group))]
    return np.array(sums, np.float32).reshape(*hits.shape[:-1], -1)
