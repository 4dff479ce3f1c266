"""The section on effects: which hyperparameter matters, and how much."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax.analysis import effects
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.views.sections.pictures import Pictures, draw
from gtzan_jax.views.text import Table, interval, p_value, percent, points

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_DISTRIBUTIONS = 3  # hyperparameters whose configs are all drawn
_OWN_RATE = "Each optimizer has its own learning rate"
_SEEDS_SHIFT = 0.025  # a difference of two values that seeds of the assignment's sweep can make
_NOTHING = 1e-9  # a difference that is a rounding error


def effects_section(run: FinishedRun, pictures: Pictures) -> dict[str, Any]:
    """Makes the section on effects, and its two pictures."""
    sweep, accuracy = run.sweep, run.accuracy_by_fold
    diverged = int(run.results["diverged"].sum())
    section: dict[str, Any] = {
        "diverged": diverged,
        "constant": {n: v[0] for n, v in sweep.axes.items() if len(v) == 1},
        "units": effects.units_of(*accuracy.shape[1:]),
        "runs": runs_word(run),
        "is_grid": sweep.is_grid,
        "largest": None,
        "shares": None,
        "near": None,
        "rates": optimizer_rates(sweep),
    }
    if diverged == len(run.results) or not sweep.varying or not sweep.is_grid:
        return section
    values, parts = ranked_effects(accuracy, sweep.varying, run.protocol.num_divisions)
    shares = None if parts is None else main_shares(parts)
    near = None
    if parts is not None:
        near = near_best(accuracy, sweep.varying, run.protocol.num_divisions)
        section["near"] = near and near | {"largest": _largest(run, near["values"], near["shares"])}
        section["shares"] = _shares(parts, section["units"], run, near)
    _draw(run, values, shares, near and near["shares"], pictures)
    differences = effects.paired_differences(accuracy, sweep.varying, run.protocol.num_divisions)
    return section | {
        "largest": _largest(run, values, shares),
        "drawn": list(_drawn(run, values)),
        "values": _values_table(
            effects.distributions(accuracy, sweep.varying), values, section["units"]
        ),
        "differences": _differences_table(differences, section["units"]),
        "has_intervals": bool(values["low"].notna().any()),
    }


def runs_word(run: FinishedRun) -> str:
    """Returns what the several runs of a config are: seeds, folds, or both."""
    if len(run.manifest.split.folds) == 1:
        return "seeds"
    return "folds" if len(run.manifest.seeds) == 1 else "folds and seeds"


def ranked_effects(
    accuracy: np.ndarray, varying: effects.Axes, num_divisions: int = 1
) -> "tuple[pd.DataFrame, effects.Decomposition | None]":
    """Returns effects of values, the hyperparameter that does most first, and the variance's parts.

    What a hyperparameter does is the mean square of its values' effects: on a complete grid the
    order of their shares of the variance. Those are None where a config diverged.

    Args:
      accuracy: (configs, folds, seeds) in grid order, NaN where diverged, not all of it.
      varying: the axes that take several values, one at least.
      num_divisions: that the folds are of.
    """
    values = effects.value_effects(accuracy, varying, num_divisions)
    size = values["effect"].pow(2).groupby(values["hyperparameter"]).mean()
    values = values.sort_values(
        "hyperparameter", key=lambda names: -names.map(size), kind="stable", ignore_index=True
    )
    if not np.isfinite(accuracy).all():
        return values, None
    return values, effects.decompose(accuracy, varying, num_divisions)


def main_shares(parts: effects.Decomposition) -> dict[str, float]:
    """Returns the share of the variance that each hyperparameter has alone."""
    main = parts.terms[parts.terms["order"] == 1]
    return dict(zip(main["term"], main["share"], strict=True))


def near_best(
    accuracy: np.ndarray, varying: effects.Axes, num_divisions: int = 1
) -> dict[str, Any] | None:
    """Returns the effects near the best, see :func:`effects.near_best`; None if that is all."""
    sub, kept = effects.near_best(accuracy, varying)
    if len(sub) == len(accuracy):
        return None
    gone = [f"{n} {v}" for n, values in varying.items() for v in values if v not in kept[n]]
    left = {name: values for name, values in kept.items() if len(values) > 1}
    values = ranked_effects(sub, left, num_divisions)[0]
    parts = effects.decompose(sub, left, num_divisions)
    found = {"without": gone, "configs": len(sub), "values": values}
    return found | {"parts": parts, "shares": main_shares(parts)}


def effects_figure(accuracy: np.ndarray, sweep: Sweep, title: str, note: str) -> "Figure":
    """Draws the effects with what a caption would say in the note."""
    from gtzan_jax.views import plots

    of_folds = sweep.varying, PROTOCOLS[sweep.protocol].num_divisions
    values, parts = ranked_effects(accuracy, *of_folds)
    near = near_best(accuracy, *of_folds) if parts else None
    left_out = f"Near the best: without {', '.join(near['without'])}." if near else ""
    note = " ".join(filter(None, [optimizer_rates(sweep), left_out, note]))
    shares = main_shares(parts) if parts else None
    return plots.value_effects(values, shares, title, note, near and near["shares"])


def optimizer_rates(sweep: Sweep) -> str:
    """Returns a sentence on how each optimizer is trained; "" where its rate is no constant."""
    if "optimizer" not in sweep.varying or "learning_rate" in sweep.axes:
        return ""
    rates = {name: f"{sweep.learning_rates[name]:g}" for name in sweep.axes["optimizer"]}
    if len(set(rates.values())) == 1:
        return f"All optimizers have the learning rate {rates.popitem()[1]}."
    return f"{_OWN_RATE} ({', '.join(' '.join(pair) for pair in rates.items())})."


def _drawn(run: FinishedRun, values: "pd.DataFrame") -> dict[str, Any]:
    """Returns the hyperparameters that matter most, with their values."""
    names = list(dict.fromkeys(values["hyperparameter"]))[:_DISTRIBUTIONS]
    return {name: run.sweep.axes[name] for name in names}


def _draw(
    run: FinishedRun,
    values: "pd.DataFrame",
    shares: dict[str, float] | None,
    near: dict[str, float] | None,
    pictures: Pictures,
) -> None:
    from gtzan_jax.views import plots

    sound = run.results[~run.results["diverged"]]
    draw(pictures, "effects", plots.value_effects(values, shares, near=near))
    figure = plots.value_distributions(sound, _drawn(run, values), run.note)
    draw(pictures, "distributions", figure)


def _largest(
    run: FinishedRun, values: "pd.DataFrame", shares: dict[str, float] | None
) -> dict[str, Any]:
    """Returns the hyperparameter that matters most, and its best and worst value."""
    name = values["hyperparameter"].iloc[0]
    rows = values[values["hyperparameter"] == name].dropna(subset="effect").sort_values("effect")
    size = float(rows["effect"].iloc[-1] - rows["effect"].iloc[0])
    own = name == "optimizer" and optimizer_rates(run.sweep).startswith(_OWN_RATE)
    return {
        "name": f"{name}, each at its own learning rate" if own else name,
        "size": size if size > _NOTHING else 0.0,
        "is_small": size < _SEEDS_SHIFT and not effects.units_of(*run.accuracy_by_fold.shape[1:]),
        "share": shares[name] if shares else None,
        "worst": rows.iloc[0],
        "best": rows.iloc[-1],
        "is_open": bool(rows["low"].iloc[-1] <= rows["high"].iloc[0]),  # NaN: one run, no intervals
    }


def _values_table(
    distributions: "pd.DataFrame", values: "pd.DataFrame", units: str | None
) -> Table:
    """Lays out effects with the spread of the configs, hyperparameters in the picture's order."""
    rows = values.merge(distributions, on=["hyperparameter", "value"], how="left")
    cells = Table.of(rows.drop(columns=["effect", "low", "high"]))
    added = ["effect, points", *([f"95 % interval over the {units}"] if units else [])]
    lines = []
    for row, effect in zip(cells.rows, rows.to_dict("records"), strict=True):
        sizes = [points(effect["effect"])]
        sizes += [interval(effect["low"], effect["high"])] if units else []
        lines.append([*row[:2], *sizes, *row[2:]])
    return Table([*cells.columns[:2], *added, *cells.columns[2:]], lines)


def _differences_table(differences: "pd.DataFrame", units: str | None) -> Table:
    """Lays paired differences out in percentage points."""
    columns = ["hyperparameter", "value", "against", "pairs", "difference, points"]
    columns += [f"95 % interval over the {units}"] if units else []
    columns += ["80 % of the pairs", "better in", "worse in"]
    rows = []
    for row in differences.to_dict("records"):
        cells = [row["hyperparameter"], str(row["value"]), str(row["baseline"]), str(row["pairs"])]
        cells += [points(row["difference"])]
        cells += [interval(row["low"], row["high"])] if units else []
        cells += [interval(row["p10"], row["p90"])]
        rows.append([*cells, percent(row["wins"]), percent(row["losses"])])
    return Table(columns, rows)


def _shares(
    parts: effects.Decomposition, units: str | None, run: FinishedRun, near: dict[str, Any] | None
) -> dict[str, Any]:
    """Returns what the template says of a decomposition, and of that near the best."""
    terms = parts.terms
    columns = ["", "degrees of freedom", "share of the variance"]
    columns += ["share near the best"] if near else []
    others = near["parts"].terms.set_index("term")["share"] if near else {}
    columns += ["expected of noise alone", "p", "p among all terms"] if units else []
    rows = []
    for row in terms.to_dict("records"):
        cells = [row["term"], str(row["df"]), percent(row["share"], 3)]
        cells += [percent(others.get(row["term"], math.nan), 3)] if near else []
        if units:
            cells.append(percent(row["noise_share"], 3))
            cells += [p_value(row["p_value"]), p_value(row["p_holm"])]
        rows.append(cells)
    main = int((terms["order"] == 1).sum())
    sums = terms.groupby("order")["share"].sum()
    whole = {
        "hyperparameters alone": sums.get(1, 0.0),
        "pairs": sums.get(2, 0.0),
        "three and more": parts.higher,
    }
    several = run.accuracy.shape[1] > 1
    if several:
        whole |= {f"{runs_word(run)}, all configurations alike": parts.runs, "noise": parts.noise}
    return {
        "main": Table(["hyperparameter", *columns[1:]], rows[:main]),
        "pairs": Table(["pair", *columns[1:]], rows[main:]),
        "whole": Table(("part", "share"), [[k, percent(v, 3)] for k, v in whole.items()]),
        "std": math.sqrt(parts.variance),
        "several": several,
    }
