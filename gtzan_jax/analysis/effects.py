"""Which hyperparameter matters: the accuracy of a complete grid taken apart, exactly.

On a complete, balanced grid the accuracy f of a config is a sum of orthogonal parts,

    f(x) = m + Σᵢ fᵢ(xᵢ) + Σᵢ<ⱼ fᵢⱼ(xᵢ, xⱼ) + …,

where fᵢ is the mean over all else, less m; fᵢⱼ the mean over all else, less m, fᵢ and fⱼ. Their
variances add up to the variance of f, so that each part has a share in it. No surrogate model
is needed: the grid holds every value.

Runs, one for each fold and seed, are one more axis. What they shift in all configs alike is the
runs' share; how an effect differs from run to run is noise. Members of one run share their tracks
and their random numbers, so that the noise of an effect is its own: it does not average out over
the configs of one run, and each effect is tested against how it varies itself, as in an analysis
of repeated measures. For the same reason two configs are compared pair by pair, run by run.

The tests and the intervals over runs take runs for independent. Seeds are; the train parts of
folds overlap, so that over folds they claim somewhat too much.

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
"""Every axis of the grid with its values, in the order of the grid."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """The variance of the members' accuracy, by where it comes from. Shares add up to 1.

    Attributes:
      terms: a row for each axis that varies and for each pair of them, largest share first in
        either kind: term, order (1 or 2), df (degrees of freedom), share; with several runs also
        noise_share (what their noise alone would give it on average) and p_value (F test of the
        effect against its noise).
      higher: share of everything between three axes and more.
      runs: share of what a run shifts in all configs alike.
      noise: share of what runs shift in one config and not in another.
      variance: of the members' accuracy, the whole of which these are shares.
    """

    terms: "pd.DataFrame" = field(repr=False)
    higher: float
    runs: float
    noise: float
    variance: float


def decompose(accuracy: np.ndarray, axes: Axes) -> Decomposition:
    """Takes the variance of a complete grid's accuracy apart.

    Args:
      accuracy: (configs, runs) test accuracy in grid order, all finite.
      axes: of the grid.

    Raises:
      ValueError: a config or a figure is missing, so the grid is not complete.
    """
    import pandas as pd

    if not np.isfinite(accuracy).all():
        raise ValueError("the decomposition needs every config of the grid, and one diverged")
    runs = accuracy.shape[1]
    shifts = accuracy.mean(axis=0) - accuracy.mean()
    by_run = accuracy - accuracy.mean() - shifts  # (configs, runs), each run's effects
    means = by_run.mean(axis=1, keepdims=True)
    variance = float(accuracy.var())
    rows = []
    for names, effects, df in _effects(by_run, axes):
        effect = effects.mean(axis=-1, keepdims=True)
        size, noise = float(np.square(effect).mean()), float(np.square(effects - effect).mean())
        row = {"term": " × ".join(names), "order": len(names), "df": df}
        row["share"] = _over(size, variance)
        if runs > 1:
            row["noise_share"] = _over(noise / (runs - 1), variance)
            row["p_value"] = _f_test(size, noise / (runs - 1), df, df * (runs - 1))
        rows.append(row)
    columns = ["term", "order", "df", "share", *(["noise_share", "p_value"] if runs > 1 else [])]
    terms = pd.DataFrame(rows, columns=columns)
    terms = terms.sort_values(["order", "share"], ascending=[True, False], kind="stable")
    return Decomposition(
        terms=terms.reset_index(drop=True),
        higher=_over(np.square(means).mean(), variance) - float(terms["share"].sum()),
        runs=_over(np.square(shifts).mean(), variance),
        noise=_over(np.square(by_run - means).mean(), variance),
        variance=variance,
    )


def paired_differences(accuracy: np.ndarray, axes: Axes) -> "pd.DataFrame":
    """Compares the values of each axis, over configs that are otherwise identical.

    Args:
      accuracy: (configs, runs) test accuracy in grid order; pairs with NaN are left out.
      axes: of the grid.

    Returns:
      one row for every two values of an axis: hyperparameter, value, baseline, pairs,
      difference (accuracy of value less that of baseline; mean over the runs), low and high
      (95 % t interval over the pairs), wins and losses (shares of pairs where value is better,
      worse); with several runs also run_low and run_high (the interval over the runs,
      whose differences are means over the pairs).

    Raises:
      ValueError: a config of the grid is missing.
    """
    import pandas as pd

    grid = _grid(accuracy, axes)
    rows = []
    for axis, (name, values) in enumerate(axes.items()):
        lines = np.moveaxis(grid, axis, 0)
        for baseline, value in itertools.combinations(range(len(values)), 2):
            by_run = (lines[value] - lines[baseline]).reshape(-1, accuracy.shape[1])
            by_run = by_run[np.isfinite(by_run).all(axis=1)]
            rows.append(
                {"hyperparameter": name, "value": values[value], "baseline": values[baseline]}
                | _difference(by_run)
            )
    columns = ["hyperparameter", "value", "baseline", "pairs", "difference", "low", "high"]
    columns += ["wins", "losses", *(["run_low", "run_high"] if accuracy.shape[1] > 1 else [])]
    return pd.DataFrame(rows, columns=columns)


def distributions(accuracy: np.ndarray, axes: Axes) -> "pd.DataFrame":
    """Describes the accuracy of the configs by the value of each axis.

    Args:
      accuracy: (configs, runs) test accuracy in grid order; configs with NaN are left out.
      axes: of the grid.

    Returns:
      one row a value: hyperparameter, value, configs, mean, std, min, q1, median, q3, max of
      the configs' means over the runs.

    Raises:
      ValueError: a config of the grid is missing.
    """
    import pandas as pd

    grid = _grid(accuracy.mean(axis=1, keepdims=True), axes)[..., 0]
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


def _grid(accuracy: np.ndarray, axes: Axes) -> np.ndarray:
    """Returns (configs, runs) figures with a dimension for each axis, and one for the runs."""
    shape = [len(values) for values in axes.values()]
    if len(accuracy) != math.prod(shape):
        raise ValueError(
            f"effects need the complete grid, {math.prod(shape):,} configs, not {len(accuracy):,}"
        )
    return accuracy.reshape(*shape, -1)


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Returns the 95 % t interval of a mean; NaN where n < 2. values: (n,)."""
    from scipy import stats

    if len(values) < 2:
        return math.nan, math.nan
    error = values.std(ddof=1) / math.sqrt(len(values))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * error)
    return float(values.mean()) - reach, float(values.mean()) + reach


def _effects(by_run: np.ndarray, axes: Axes) -> Iterator[tuple[tuple[str, ...], np.ndarray, int]]:
    """Yields names, effects and degrees of freedom of each varying axis and pair.

    Args:
      by_run: (configs, runs) accuracy in grid order, less each run's mean.
      axes: of the grid.

    Yields:
      the effects have the dimensions of the grid, of length 1 where they do not vary, and one
      for the runs.
    """
    grid = _grid(by_run, axes)
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


def _difference(by_run: np.ndarray) -> dict[str, float]:
    """Sums up differences. by_run: (pairs, runs), all finite."""
    # Rounded, so that differences that cancel over the runs count as none.
    differences = np.round(by_run.mean(axis=1), 9)
    low, high = mean_interval(differences)
    row = {
        "pairs": len(differences),
        "difference": float(differences.mean()) if len(differences) else math.nan,
        "low": low,
        "high": high,
        "wins": float((differences > 0).mean()) if len(differences) else math.nan,
        "losses": float((differences < 0).mean()) if len(differences) else math.nan,
    }
    if by_run.shape[1] > 1:
        over_runs = by_run.mean(axis=0) if len(by_run) else np.array([])
        row["run_low"], row["run_high"] = mean_interval(over_runs)
    return row


def _f_test(effect: float, noise: float, df: int, noise_df: int) -> float:
    from scipy import stats

    if noise <= _NOTHING:  # without any noise, whatever differs differs for certain
        return 0.0 if effect > _NOTHING else 1.0
    return float(stats.f.sf(effect / noise, df, noise_df))


def _over(part: float, whole: float) -> float:
    """Returns a share; that of nothing (or of rounding errors) is not defined."""
    return float(part / whole) if whole > _NOTHING else math.nan
