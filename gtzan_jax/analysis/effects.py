"""Effects of hyperparameters: decomposes the variance of a complete grid's accuracy.

On a complete, balanced grid the accuracy f of a config is a sum of orthogonal parts,

    f(x) = m + Σᵢ fᵢ(xᵢ) + Σᵢ<ⱼ fᵢⱼ(xᵢ, xⱼ) + …,

where fᵢ is the mean over all other hyperparameters, minus m; fᵢⱼ the mean over all others, minus m,
fᵢ and fⱼ. Trials of one run (fold and seed) share tracks and random numbers, so the noise of an
effect does not average out over them: tests and intervals are over runs. See docs/which_number.md.

Accuracies are (configs, folds, seeds), configs in grid order; ``num_divisions`` is the number of
repeated divisions of the songs, each into as many folds. A missing config is a ValueError.

References: Hooker (2007), Generalized functional ANOVA diagnostics for high-dimensional functions;
Hutter, Hoos, Leyton-Brown (2014), An efficient approach for assessing hyperparameter importance.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gtzan_jax.analysis.inference import FEWEST_SPLITS, holm, sphericity_free_f_test, t_test

if TYPE_CHECKING:
    import pandas as pd

_NOTHING = 1e-18  # far below the variance of one track more in one of a million configs
_PAIRED = ("difference", "p10", "p90", "wins", "losses", "low", "high", "p_value")

Axes = Mapping[str, Sequence[Any]]
"""Every hyperparameter of the grid with its values, in grid order."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """The variance of the trials' accuracy by source. Shares sum to 1.

    ``terms`` has a row for each varying hyperparameter, then one for each pair, the largest share
    first: term, order (1 or 2), df, share, noise_share (expected from noise alone), p_value and
    p_holm; the last three are NaN if :func:`units_of` is None.
    """

    terms: "pd.DataFrame" = field(repr=False)
    higher: float  # share of interactions of three and more hyperparameters
    runs: float  # share of a run's common shift of all configs
    noise: float  # share of the shifts that differ between configs
    variance: float  # of the trials' accuracy


def decompose(accuracy: np.ndarray, axes: Axes, num_divisions: int = 1) -> Decomposition:
    """Decomposes the variance of a complete grid's accuracy; ValueError if a config diverged."""
    import pandas as pd

    if not np.isfinite(accuracy).all():
        raise ValueError("the decomposition needs every config of the grid, and one diverged")
    shifts = accuracy.mean(axis=0) - accuracy.mean()
    by_run = accuracy - accuracy.mean() - shifts  # (configs, folds, seeds), each run's effects
    means = by_run.mean(axis=(1, 2), keepdims=True)
    variance = float(accuracy.var())
    by_unit, overlap = _by_unit(by_run, num_divisions)
    count = by_unit.shape[1]
    rows = []
    for names, effects, df in _effects(by_unit, axes):
        cells = effects.reshape(-1, count)
        size = float(np.square(cells.mean(axis=1)).mean())
        noise = float(cells.var(axis=1, ddof=1).mean()) if count > 1 else math.nan
        row = {"term": " × ".join(names), "order": len(names), "df": df}
        row["share"] = _over(size, variance)
        row["noise_share"] = _over((1 / count + overlap) * noise, variance)
        row["p_value"] = sphericity_free_f_test(cells, df, overlap)
        rows.append(row)
    terms = pd.DataFrame(rows, columns=["term", "order", "df", "share", "noise_share", "p_value"])
    terms["p_holm"] = holm(terms["p_value"].to_list())
    terms = terms.sort_values(["order", "share"], ascending=[True, False], kind="stable")
    return Decomposition(
        terms=terms.reset_index(drop=True),
        higher=_over(np.square(means).mean(), variance) - float(terms["share"].sum()),
        runs=_over(np.square(shifts).mean(), variance),
        noise=_over(np.square(by_run - means).mean(), variance),
        variance=variance,
    )


def near_best(accuracy: np.ndarray, axes: Axes) -> tuple[np.ndarray, dict[str, tuple[Any, ...]]]:
    """Restricts a complete grid to the values that occur among its best configs.

    The best are the tenth with the largest mean accuracy, at least 10, and ties with the last.
    Returns the accuracy of the complete grid of these values, and its axes.
    """
    means = accuracy.mean(axis=(1, 2)).round(9)  # equal ones are equal
    last = np.sort(means)[-max(10, math.ceil(len(means) / 10)) :][0]
    places = np.argwhere(_grid(means >= last, axes))
    kept = [np.unique(column) for column in places.T]
    values = {name: tuple(axes[name][i] for i in of) for name, of in zip(axes, kept, strict=True)}
    return _grid(accuracy, axes)[np.ix_(*kept)].reshape(-1, *accuracy.shape[1:]), values


def paired_differences(accuracy: np.ndarray, axes: Axes, num_divisions: int = 1) -> "pd.DataFrame":
    """Compares every two values of a hyperparameter over configs that are otherwise identical.

    Returns:
      hyperparameter, value, baseline, pairs (without NaN); difference (mean accuracy of value less
      that of baseline); of the pairs' mean differences p10 and p90 (percentiles), wins and losses
      (shares); low, high and p_value of the mean difference, over the units of :func:`units_of`.
    """
    grid = _grid(accuracy, axes)
    rows = []
    for axis, (name, values) in enumerate(axes.items()):
        lines = np.moveaxis(grid, axis, 0)
        for baseline, value in itertools.combinations(range(len(values)), 2):
            by_run = (lines[value] - lines[baseline]).reshape(-1, *accuracy.shape[1:])
            rows.append(
                {"hyperparameter": name, "value": values[value], "baseline": values[baseline]}
                | mean_difference(_finite(by_run), num_divisions)
            )
    return _frame(rows, ["hyperparameter", "value", "baseline", "pairs", *_PAIRED])


def mean_difference(by_run: np.ndarray, num_divisions: int = 1) -> dict[str, float]:
    """Summarises (pairs, folds, seeds) differences as in :func:`paired_differences`."""
    if not len(by_run):
        return {"pairs": 0} | dict.fromkeys(_PAIRED, math.nan)
    # Rounded, so that differences that cancel over the runs count as 0.
    differences = np.round(by_run.mean(axis=(1, 2)), 9)
    test = t_test(*_by_unit(by_run.mean(axis=0), num_divisions))
    found = differences.mean(), *np.percentile(differences, (10, 90))
    found += (differences > 0).mean(), (differences < 0).mean(), *test[1:]
    return {"pairs": len(differences)} | dict(zip(_PAIRED, map(float, found), strict=True))


def value_effects(accuracy: np.ndarray, axes: Axes, num_divisions: int = 1) -> "pd.DataFrame":
    """Compares the mean accuracy of each value's configs with that of all, without NaN.

    Returns hyperparameter, value, effect, low and high (its 95 % interval, over the units of
    :func:`units_of`).
    """
    grid = _grid(accuracy, axes)
    mean = _finite(accuracy).mean(axis=0)
    rows = []
    for axis, (name, values) in enumerate(axes.items()):
        for value, configs in zip(values, np.moveaxis(grid, axis, 0), strict=True):
            finite = _finite(configs.reshape(-1, *mean.shape))
            by_run = (finite.mean(axis=0) if len(finite) else math.nan) - mean
            test = t_test(*_by_unit(by_run, num_divisions))
            row = {"hyperparameter": name, "value": value, "effect": by_run.mean()}
            rows.append(row | {"low": test.low, "high": test.high})
    return _frame(rows)


def _frame(rows: Sequence[dict[str, Any]], columns: list[str] | None = None) -> "pd.DataFrame":
    """Returns a table whose values keep their types: 8 beside 0.2 does not become 8.0."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=columns)
    for name in ("value", "baseline"):
        if name in frame:
            frame[name] = pd.Series([row[name] for row in rows], dtype=object)
    return frame


def units_of(num_folds: int, num_seeds: int) -> Literal["folds", "seeds"] | None:
    """Returns the units of intervals: five folds or more, else seeds; None with one seed."""
    if num_folds >= FEWEST_SPLITS:
        return "folds"
    return "seeds" if num_seeds > 1 else None


def _by_unit(by_run: np.ndarray, num_divisions: int) -> tuple[np.ndarray, float]:
    """Returns (…, units) figures of (…, folds, seeds), and the overlap as for :func:`t_test`."""
    num_folds, num_seeds = by_run.shape[-2:]
    if units_of(num_folds, num_seeds) == "folds":
        # Nadeau and Bengio's test/train of k folds, also for repeats (Bouckaert, Frank).
        return by_run.mean(axis=-1), 1 / (num_folds // num_divisions - 1)
    return by_run.mean(axis=-2), 0.0


def _finite(by_run: np.ndarray) -> np.ndarray:
    """Returns the configs of (configs, folds, seeds) that are finite in all runs."""
    found: np.ndarray = by_run[np.isfinite(by_run).all(axis=(1, 2))]
    return found


def _grid(accuracy: np.ndarray, axes: Axes) -> np.ndarray:
    """Reshapes (configs, …) figures to a dimension for each axis in place of the first."""
    shape = [len(values) for values in axes.values()]
    if len(accuracy) != math.prod(shape):
        raise ValueError(
            f"effects need the complete grid, {math.prod(shape):,} configs, not {len(accuracy):,}"
        )
    return accuracy.reshape(*shape, *accuracy.shape[1:])


def _effects(by_unit: np.ndarray, axes: Axes) -> Iterator[tuple[tuple[str, ...], np.ndarray, int]]:
    """Yields names, effects and degrees of freedom of each varying axis and pair.

    ``by_unit`` is (configs, units), minus each unit's mean. The effects have the grid's dimensions,
    of length 1 where they do not vary, and the units.
    """
    grid = _grid(by_unit, axes)
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


def _over(part: float, whole: float) -> float:
    """Returns a share; NaN if the whole is a rounding error."""
    return float(part / whole) if whole > _NOTHING else math.nan
