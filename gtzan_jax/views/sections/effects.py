"""The report's section on effects of hyperparameters."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.analysis import effects, selection
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.views.sections.section import Section, code, figure, paragraph, strong
from gtzan_jax.views.text import Table, counted, interval, p_value, percent, points

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MOST_VALUES = 16  # whose configs are all drawn
_OWN_RATE = "Each optimizer has its own learning rate"
_SEEDS_SHIFT = 0.025  # a difference that seeds of the assignment's sweep can make
_OTHER_SEED = "on the assignment's grid another seed moved effects by a point or two"


@dataclass
class Effects:
    """Effects of the values of a grid, the largest hyperparameter first."""

    values: "pd.DataFrame" = field(repr=False)  # from effects.value_effects
    parts: effects.Decomposition | None  # of the variance; None where a config diverged
    num_configs: int
    near: "Effects | None" = None  # near the best; None if no value is left out there
    without: str = ""  # the values left out there

    @property
    def shares(self) -> dict[str, float] | None:
        """Each hyperparameter's own share of the variance."""
        if self.parts is None:
            return None
        main = self.parts.terms[self.parts.terms["order"] == 1]
        return dict(zip(main["term"], main["share"], strict=True))


def effects_of(accuracy: np.ndarray, sweep: Sweep) -> Effects | None:
    """Returns effects of a sweep's values; None if there is nothing to compare.

    Hyperparameters are ordered by the mean square of their values' effects. ``accuracy`` is
    (configs, folds, seeds) in grid order, NaN where diverged.
    """
    if not sweep.varying or not sweep.is_grid or np.isnan(accuracy).any(axis=(1, 2)).all():
        return None
    num_divisions = PROTOCOLS[sweep.protocol].num_divisions
    found = _ranked(accuracy, sweep.varying, num_divisions)
    if found.parts is not None:
        sub, kept = effects.near_best(accuracy, sweep.varying)
        if len(sub) < len(accuracy):
            left = {name: values for name, values in kept.items() if len(values) > 1}
            found.near = _ranked(sub, left, num_divisions)
            found.without = ", ".join(
                f"{n} {v}" for n, all_ in sweep.varying.items() for v in all_ if v not in kept[n]
            )
    return found


def _ranked(accuracy: np.ndarray, varying: effects.Axes, num_divisions: int) -> Effects:
    values = effects.value_effects(accuracy, varying, num_divisions)
    size = values["effect"].pow(2).groupby(values["hyperparameter"]).mean()
    values = values.sort_values(
        "hyperparameter", key=lambda names: -names.map(size), kind="stable", ignore_index=True
    )
    whole = np.isfinite(accuracy).all()
    parts = effects.decompose(accuracy, varying, num_divisions) if whole else None
    return Effects(values, parts, len(accuracy))


def runs_word(run: FinishedRun) -> str:
    """Returns the noun for several runs of a config: seeds, folds, or both."""
    if len(run.manifest.split.folds) == 1:
        return "seeds"
    return "folds" if len(run.manifest.seeds) == 1 else "folds and seeds"


def optimizer_rates(sweep: Sweep) -> str:
    """Returns a sentence on the learning rates of optimizers; "" where these are swept."""
    if "optimizer" not in sweep.varying or "learning_rate" in sweep.axes:
        return ""
    rates = {name: f"{sweep.learning_rates[name]:g}" for name in sweep.axes["optimizer"]}
    if len(set(rates.values())) == 1:
        return f"All optimizers have the learning rate {rates.popitem()[1]}."
    return f"{_OWN_RATE} ({', '.join(' '.join(pair) for pair in rates.items())})."


def effects_figure(found: Effects, sweep: Sweep, title: str = "", note: str = "") -> "Figure":
    """Draws effects; if there is a title, the note has the caption's facts."""
    from gtzan_jax.views import plots

    if title:
        near = f"Near the best: without {found.without}." if found.near else ""
        note = " ".join(filter(None, [optimizer_rates(sweep), near, note]))
    near_shares = found.near.shares if found.near else None
    return plots.value_effects(found.values, found.shares, title, note, near_shares)


def matters_part(run: FinishedRun, found: Effects | None) -> Section:
    """Makes the summary's part on the hyperparameter with the largest effect."""
    title = "Which hyperparameter matters"
    if found is None:
        why = (
            "Nothing can be compared: no hyperparameter takes two values, or every configuration "
            "diverged."
            if run.sweep.is_grid
            else "The search did not train a complete grid: the effect of a value is mixed with "
            "those of the values drawn with it, and with its epochs."
        )
        return Section(title, [paragraph(why)], name="matters")
    units, near, of_songs = _units(run), found.near, run.manifest.data.is_of_songs
    text = [paragraph("Over all configurations:", _largest(run, found))]
    caption = [
        "Dots: mean accuracy with each value.",
        optimizer_rates(run.sweep),
        f"Bars: 95 % intervals over the {units}."
        if units
        else f"One seed: no interval; {_OTHER_SEED if of_songs else 'another seed moves effects'}.",
    ]
    if near:
        start = f"Near the best, {near.num_configs:,} configurations without {found.without}:"
        text.append(paragraph(start, _largest(run, near)))
        caption.append("Near the best: the grid of the values in the best tenth (at least 10).")
    alt = "Effect of each value of each hyperparameter on test accuracy"
    drawn = figure("effects", effects_figure(found, run.sweep), alt, *caption)
    return Section(title, text, [drawn], name="matters")


def _units(run: FinishedRun) -> str | None:
    """Returns the units of intervals, if any: folds or seeds."""
    return effects.units_of(*run.accuracy_by_fold.shape[1:])


def _largest(run: FinishedRun, found: Effects) -> str:
    """Returns the hyperparameter with the largest effect, its best and its worst value."""
    name = found.values["hyperparameter"].iloc[0]
    rows = found.values[found.values["hyperparameter"] == name].dropna(subset="effect")
    worst, best = rows.sort_values("effect").iloc[[0, -1]].to_dict("records")
    size = float(best["effect"] - worst["effect"])
    own = name == "optimizer" and optimizer_rates(run.sweep).startswith(_OWN_RATE)
    shown = f"{name}, each at its own learning rate" if own else name
    if size <= 1e-9:  # a rounding error
        return "no value of any hyperparameter differs from the mean."
    if size < _SEEDS_SHIFT and not _units(run):
        return (
            f"no effect that one seed can show; the largest, of {shown}, is "
            f"{points(size, '', 1)} points between its values."
        )
    share = f", {percent(found.shares[name])} of the variance" if found.shares else ""
    overlap = "; their 95 % intervals overlap"
    is_open = best["low"] <= worst["high"]  # NaN: one run, no intervals
    return strong(shown) + (
        f"{share}; {best['value']} {points(best['effect'], '', 1)} points above the mean, "
        f"{worst['value']} {points(-worst['effect'], '', 1)} below{overlap if is_open else ''}."
    )


def effects_section(run: FinishedRun, found: Effects | None) -> Section:
    """Makes the section on effects."""
    from gtzan_jax.views import plots

    title, name = "Hyperparameters", "hyperparameters"
    if found is None:
        return Section(title, [paragraph("There is nothing to compare.")], name=name)
    units, axes = _units(run), run.sweep.varying
    text = [paragraph(*_scope(run, units), optimizer_rates(run.sweep))]
    if diverged := int(run.results["diverged"].sum()):
        left = f"Without {counted(diverged, 'diverged configuration')}, the grid is incomplete:"
        text.append(paragraph(left, "no shares of the variance."))
    names = list(dict.fromkeys(found.values["hyperparameter"]))
    fit = np.cumsum([len(axes[name]) for name in names]) <= _MOST_VALUES
    names, sound = names[: max(1, int(fit.sum()))], run.results[~run.results["diverged"]]
    drawn = figure(
        "distributions",
        plots.value_distributions(sound, {name: axes[name] for name in names}, run.note),
        f"Test accuracy of every configuration by the values of {', '.join(names)}",
        "Configurations by value: median, middle half, range.",
    )
    of_values = found.values
    values = _with_points(of_values[["hyperparameter", "value"]], "effect", of_values, units)
    pairs = effects.paired_differences(run.accuracy_by_fold, axes, run.protocol.num_divisions)
    named = pairs[["hyperparameter", "value", "baseline", "pairs"]].astype(str)
    differences = _with_points(named, "difference", pairs, units).assign(
        **{"middle 80 % of the pairs": list(map(interval, pairs["p10"], pairs["p90"]))},
        **{"better in": pairs["wins"].map(percent), "worse in": pairs["losses"].map(percent)},
    )
    compared = paragraph(
        "Over pairs of configurations that differ in this value alone. The middle 80 % of these "
        "pairs (p10 to p90) is not a confidence interval."
    )
    between = "Mean differences between two values"
    parts = [Section(between, [compared], tables=[Table.of(differences)], folded=True)]
    if found.parts:
        parts.append(_shares_part(run, found.parts, units))
    return Section(title, text, [drawn], [Table.of(values)], parts=parts, name=name)


def _scope(run: FinishedRun, units: str | None) -> list[str]:
    """Describes the number of observations, and the units of intervals."""
    several = run.protocol.num_divisions
    same = f", repeating the same songs {several} times" if several > 1 else ""
    others, seeds = selection.others(run.words), "other seeds" if run.words.is_grouped else "seeds"
    over = {
        "folds": f"Intervals are over the folds: {others} and {seeds}.",
        "seeds": "Intervals are over the seeds, on the same splits; "
        f"{others} would change the effects more.",
    }
    return [
        "Trials of one seed share batches, noise and initial weights; trials of one fold share its "
        f"{run.words.rows}: at most seeds × folds independent observations, "
        f"{run.accuracy.shape[1]} here{same}.",
        over.get(units or "", "One seed gives no interval."),
        "See " + code("docs/which_number.md") + ".",
    ]


def _with_points(
    names: "pd.DataFrame", column: str, rows: "pd.DataFrame", units: str | None
) -> "pd.DataFrame":
    """Adds differences and their intervals, if any, in percentage points."""
    shown = names.assign(**{f"{column}, points": rows[column].map(points)})
    if units:
        shown[f"95 % interval over the {units}"] = list(map(interval, rows["low"], rows["high"]))
    return shown


def _shares_part(run: FinishedRun, parts: effects.Decomposition, units: str | None) -> Section:
    several = run.accuracy.shape[1] > 1
    words = [
        "Functional ANOVA: the variance of accuracy (deviation "
        f"{100 * math.sqrt(parts.variance):.1f} points) is the sum of the parts.",
        "" if several else "With one seed, small parts may be its noise alone.",
        f"Expected: the mean share from noise alone. p: F test over the {units} (Greenhouse and "
        "Geisser); among all terms: Holm."
        if units
        else "",
    ]
    terms, sums = parts.terms, parts.terms.groupby("order")["share"].sum()
    whole = {
        "hyperparameters alone": sums.get(1, 0.0),
        "pairs": sums.get(2, 0.0),
        "three and more": parts.higher,
    }
    if several:
        whole[f"{runs_word(run)}, all configurations alike"] = parts.runs
        whole["noise"] = parts.noise
    columns: dict[str, Iterable[str]] = {
        "hyperparameter or pair": terms["term"],
        "degrees of freedom": terms["df"].astype(str),
        "share of the variance": [percent(share, 3) for share in terms["share"]],
    }
    if units:
        columns["expected from noise"] = [percent(share, 3) for share in terms["noise_share"]]
        columns["p"] = terms["p_value"].map(p_value)
        columns["p among all terms"] = terms["p_holm"].map(p_value)
    tables = [
        Table(("part", "share"), [[name, percent(share, 3)] for name, share in whole.items()]),
        Table(list(columns), [list(row) for row in zip(*columns.values(), strict=True)]),
    ]
    return Section("Shares of the variance", [paragraph(*words)], tables=tables, folded=True)
