"""Which hyperparameter matters: the accuracy of a complete grid taken apart, exactly.

On a complete, balanced grid the accuracy f of a config is a sum of orthogonal parts,

    f(x) = m + Σᵢ fᵢ(xᵢ) + Σᵢ<ⱼ fᵢⱼ(xᵢ, xⱼ) + …,

where fᵢ is the mean over all else, less m; fᵢⱼ the mean over all else, less m, fᵢ and fⱼ. Their
variances add up to the variance of f, so that each part has a share in it. No surrogate model
is needed: the grid holds every value.

Seeds are one more axis. What they shift in all configs alike is the seeds' share; how an effect
differs from seed to seed is noise. Members of one seed share their random numbers, so that the
noise of an effect is its own: it does not average out over the configs of one seed, and each
effect is tested against how it varies itself, as in an analysis of repeated measures. For the
same reason two configs are compared pair by pair, seed by seed.

References:
  Hooker (2007), Generalized functional ANOVA diagnostics for high-dimensional functions.
  Hutter, Hoos, Leyton-Brown (2014), An efficient approach for assessing hyperparameter
  importance.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95

# One track more in one of a million configs is a variance far above this.
_NOTHING = 1e-18

Axes = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, eq=False)
class Decomposition:
    """The variance of the members' accuracy, by where it comes from. Shares add up to 1.

    Attributes:
      terms: a row for each hyperparameter and pair that varies, largest share first in either
        kind: term, order (1 or 2), df (degrees of freedom), share; with several seeds also
        noise_share (what seed noise alone would give it on average) and p_value (F test of the
        effect against its noise).
      higher: share of everything between three hyperparameters and more.
      seed: share of what a seed shifts in all configs alike.
      noise: share of what seeds shift in one config and not in another.
      variance: of the members' accuracy, the whole of which these are shares.
    """

    terms: "pd.DataFrame" = field(repr=False)
    higher: float
    seed: float
    noise: float
    variance: float


def decompose(accuracy: np.ndarray, axes: Axes) -> Decomposition:
    """Takes the variance of a complete grid's accuracy apart.

    Args:
      accuracy: (configs, seeds) test accuracy in grid order, all finite.
      axes: for every hyperparameter, in the order of the grid, its values.

    Raises:
      ValueError: a figure is not finite, so the grid is not complete.
    """
    import pandas as pd

    if not np.isfinite(accuracy).all():
        raise ValueError("the decomposition needs every config of the grid")
    seeds = accuracy.shape[1]
    shifts = accuracy.mean(axis=0) - accuracy.mean()
    by_seed = accuracy - accuracy.mean() - shifts  # (configs, seeds), each seed's effects
    means = by_seed.mean(axis=1, keepdims=True)
    variance = float(accuracy.var())
    rows = []
    for names, effects, df in _effects(by_seed, axes):
        effect = effects.mean(axis=-1, keepdims=True)
        size, noise = float(np.square(effect).mean()), float(np.square(effects - effect).mean())
        row = {"term": " × ".join(names), "order": len(names), "df": df}
        row["share"] = _over(size, variance)
        if seeds > 1:
            row["noise_share"] = _over(noise / (seeds - 1), variance)
            row["p_value"] = _f_test(size, noise / (seeds - 1), df, df * (seeds - 1))
        rows.append(row)
    columns = ["term", "order", "df", "share", *(["noise_share", "p_value"] if seeds > 1 else [])]
    terms = pd.DataFrame(rows, columns=columns)
    terms = terms.sort_values(["order", "share"], ascending=[True, False], kind="stable")
    return Decomposition(
        terms=terms.reset_index(drop=True),
        higher=_over(np.square(means).mean(), variance) - float(terms["share"].sum()),
        seed=_over(np.square(shifts).mean(), variance),
        noise=_over(np.square(by_seed - means).mean(), variance),
        variance=variance,
    )


def paired_differences(accuracy: np.ndarray, axes: Axes) -> "pd.DataFrame":
    """Compares the values of each hyperparameter, over configs that are otherwise identical.

    Args:
      accuracy: (configs, seeds) test accuracy in grid order; pairs with NaN are left out.
      axes: for every hyperparameter, in the order of the grid, its values.

    Returns:
      one row for every two values of a hyperparameter: hyperparameter, value, baseline, pairs,
      difference (accuracy of value less that of baseline; mean over the seeds), low and high
      (95 % t interval over the pairs), wins and losses (shares of pairs where value is better,
      worse); with several seeds also seed_low and seed_high (the interval over the seeds,
      whose differences are means over the pairs).
    """
    import pandas as pd

    grid = accuracy.reshape(*(len(values) for values in axes.values()), -1)
    rows = []
    for axis, (name, values) in enumerate(axes.items()):
        lines = np.moveaxis(grid, axis, 0)
        for baseline, value in itertools.combinations(range(len(values)), 2):
            by_seed = (lines[value] - lines[baseline]).reshape(-1, accuracy.shape[1])
            by_seed = by_seed[np.isfinite(by_seed).all(axis=1)]
            rows.append(
                {"hyperparameter": name, "value": values[value], "baseline": values[baseline]}
                | _difference(by_seed)
            )
    columns = ["hyperparameter", "value", "baseline", "pairs", "difference", "low", "high"]
    columns += ["wins", "losses", *(["seed_low", "seed_high"] if accuracy.shape[1] > 1 else [])]
    return pd.DataFrame(rows, columns=columns)


def distributions(accuracy: np.ndarray, axes: Axes) -> "pd.DataFrame":
    """Describes the accuracy of the configs by the value of each hyperparameter.

    Args:
      accuracy: (configs, seeds) test accuracy in grid order; configs with NaN are left out.
      axes: for every hyperparameter, in the order of the grid, its values.

    Returns:
      one row a value: hyperparameter, value, configs, mean, std, min, q1, median, q3, max of
      the configs' means over the seeds.
    """
    import pandas as pd

    grid = accuracy.mean(axis=1).reshape([len(values) for values in axes.values()])
    rows = []
    for axis, (name, values) in enumerate(axes.items()):
        for value, means in zip(values, np.moveaxis(grid, axis, 0), strict=True):
            means = means[np.isfinite(means)]
            row = {"hyperparameter": name, "value": value, "configs": means.size}
            quartiles = np.percentile(means, (0, 25, 50, 75, 100)) if means.size else [math.nan] * 5
            row["mean"] = means.mean() if means.size else math.nan
            row["std"] = means.std(ddof=1) if means.size > 1 else math.nan
            row |= dict(zip(("min", "q1", "median", "q3", "max"), quartiles, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Returns the 95 % t interval of a mean. values: (n,); NaN where n < 2."""
    from scipy import stats

    if len(values) < 2:
        return math.nan, math.nan
    error = values.std(ddof=1) / math.sqrt(len(values))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * error)
    return float(values.mean()) - reach, float(values.mean()) + reach


def _effects(by_seed: np.ndarray, axes: Axes) -> Iterator[tuple[tuple[str, ...], np.ndarray, int]]:
    """Yields names, effects and degrees of freedom of each varying hyperparameter and pair.

    Args:
      by_seed: (configs, seeds) accuracy in grid order, less each seed's mean.
      axes: for every hyperparameter, in the order of the grid, its values.

    Yields:
      the effects have the axes of the grid, of length 1 where they do not vary, and one for
      the seeds.
    """
    grid = by_seed.reshape(*(len(values) for values in axes.values()), -1)
    varying = [(axis, name) for axis, name in enumerate(axes) if len(axes[name]) > 1]

    def mean_over_all_but(*kept: int) -> np.ndarray:
        others = tuple(axis for axis in range(len(axes)) if axis not in kept)
        mean: np.ndarray = grid.mean(axis=others, keepdims=True)
        return mean

    main = {axis: mean_over_all_but(axis) for axis, _ in varying}
    for axis, name in varying:
        yield (name,), main[axis], grid.shape[axis] - 1
    for (i, first), (j, second) in itertools.combinations(varying, 2):
        effects = mean_over_all_but(i, j) - main[i] - main[j]
        yield (first, second), effects, (grid.shape[i] - 1) * (grid.shape[j] - 1)


def _difference(by_seed: np.ndarray) -> dict[str, float]:
    """Sums up differences. by_seed: (pairs, seeds), all finite."""
    # Rounded, so that differences that cancel over the seeds count as none.
    differences = np.round(by_seed.mean(axis=1), 9)
    low, high = mean_interval(differences)
    row = {
        "pairs": len(differences),
        "difference": float(differences.mean()) if len(differences) else math.nan,
        "low": low,
        "high": high,
        "wins": float((differences > 0).mean()) if len(differences) else math.nan,
        "losses": float((differences < 0).mean()) if len(differences) else math.nan,
    }
    if by_seed.shape[1] > 1:
        over_seeds = by_seed.mean(axis=0) if len(by_seed) else np.array([])
        row["seed_low"], row["seed_high"] = mean_interval(over_seeds)
    return row


def _f_test(effect: float, noise: float, df: int, noise_df: int) -> float:
    from scipy import stats

    if noise <= _NOTHING:  # without any noise, whatever differs differs for certain
        return 0.0 if effect > _NOTHING else 1.0
    return float(stats.f.sf(effect / noise, df, noise_df))


def _over(part: float, whole: float) -> float:
    """Returns a share; that of nothing (or of rounding errors) is not defined."""
    return float(part / whole) if whole > _NOTHING else math.nan
