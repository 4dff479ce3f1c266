"""The report's section on effects of hyperparameters."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.analysis import effects
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.views.sections.section import Section, figure, paragraph, strong
from gtzan_jax.views.text import Table, counted, interval, p_value, percent, points

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_DISTRIBUTIONS = 3  # hyperparameters whose configs are all drawn
_OWN_RATE = "Each optimizer has its own learning rate"
_SEEDS_SHIFT = 0.025  # a difference that seeds of the assignment's sweep can make


@dataclass
class Effects:
    """Effects of the values of a grid."""

    # From effects.value_effects, the largest hyperparameter first.
    values: "pd.DataFrame" = field(repr=False)
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

    @property
    def near_shares(self) -> dict[str, float] | None:
        """The same near the best."""
        return self.near.shares if self.near else None


def effects_of(accuracy: np.ndarray, sweep: Sweep) -> Effects | None:
    """Returns effects of a sweep's values; None where there is nothing to compare.

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
            out = [
                f"{n} {v}" for n, all_ in sweep.varying.items() for v in all_ if v not in kept[n]
            ]
            found.without = ", ".join(out)
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


def effects_figure(found: Effects, sweep: Sweep, title: str, note: str) -> "Figure":
    """Draws effects, with the caption's facts in the note."""
    from gtzan_jax.views import plots

    near = f"Near the best: without {found.without}." if found.near else ""
    note = " ".join(filter(None, [optimizer_rates(sweep), near, note]))
    return plots.value_effects(found.values, found.shares, title, note, found.near_shares)


def matters_part(run: FinishedRun, found: Effects | None) -> Section:
    """Makes the first screen's part on which hyperparameter matters."""
    from gtzan_jax.views import plots

    title = "Which hyperparameter matters"
    if found is None:
        why = (
            "Nothing can be compared here: no hyperparameter takes two values, or every "
            "configuration diverged."
            if run.sweep.is_grid
            else "The search did not train a complete grid, in which every value meets all others: "
            "the effect of a value is mixed with those of the values that it was drawn with, and "
            "with how long it was trained."
        )
        return Section(title, [paragraph(why)], name="matters")
    units, near = effects.units_of(*run.accuracy_by_fold.shape[1:]), found.near
    mean = "the mean of all configurations"
    text = [paragraph("Over all configurations", _largest(run, found, mean))]
    caption = [
        "Dots: mean accuracy of the configurations with a value, less that of all.",
        optimizer_rates(run.sweep),
    ]
    if found.values["low"].notna().any():
        caption.append(f"Bars: 95 % intervals over the {units}.")
    elif not units:
        caption.append(
            "One run: no interval. How far another seed moves an effect is not known here; on the "
            "assignment's grid it was a point or two."
        )
    if near:
        mean = f"the mean of these {near.num_configs:,} configurations"
        another = "" if units else "Another seed may put another first there."
        start = f"Near the best, without {found.without},"
        text.append(paragraph(start, _largest(run, near, mean), another))
        caption.append(
            "Near the best: the grid of the values that the best tenth of the configurations (10 "
            f"at least) have, without {found.without}."
        )
    elif found.parts:
        caption.append(
            "Near the best no value is left out: every one occurs among the best tenth of the "
            "configurations, 10 at least."
        )
    drawn = plots.value_effects(found.values, found.shares, near=found.near_shares)
    alt = "Effect of each value of each hyperparameter on test accuracy"
    return Section(title, text, [figure("effects", drawn, alt, *caption)], name="matters")


def _largest(run: FinishedRun, found: Effects, mean: str) -> str:
    """Returns the hyperparameter that matters most, with its best and worst value."""
    name = found.values["hyperparameter"].iloc[0]
    rows = found.values[found.values["hyperparameter"] == name].dropna(subset="effect")
    worst, best = rows.sort_values("effect").iloc[[0, -1]].to_dict("records")
    size = float(best["effect"] - worst["effect"])
    own = name == "optimizer" and optimizer_rates(run.sweep).startswith(_OWN_RATE)
    shown = f"{name}, each at its own learning rate" if own else name
    if size <= 1e-9:  # a rounding error
        return f"none: no value of any hyperparameter differs from {mean}."
    if size < _SEEDS_SHIFT and not effects.units_of(*run.accuracy_by_fold.shape[1:]):
        return (
            f"none that one seed can show: the largest effect, of {shown}, is "
            f"{points(size, '', 1)} points between its values, and on the assignment's grid "
            "another seed moved effects by a point or two."
        )
    share = f", {percent(found.shares[name])} of the variance of accuracy" if found.shares else ""
    reach = ", though the 95 % intervals of its values reach from one to the other"
    is_open = best["low"] <= worst["high"]  # NaN: one run, no intervals
    return strong(shown) + (
        f"{share}: {best['value']} is {points(best['effect'], '', 1)} points above {mean}, "
        f"{worst['value']} {points(-worst['effect'], '', 1)} below it{reach if is_open else ''}."
    )


def effects_section(run: FinishedRun, found: Effects | None) -> Section:
    """Makes the section on effects."""
    from gtzan_jax.views import plots

    title, sweep = "Which hyperparameter matters", run.sweep
    if found is None:
        text = [paragraph("There is nothing to compare.")]
        return Section(title, text, name="effects")
    units, rates = effects.units_of(*run.accuracy_by_fold.shape[1:]), optimizer_rates(sweep)
    text = [paragraph(*_pairing(run, units))]
    if constant := [f"{name} {v[0]}" for name, v in sweep.axes.items() if len(v) == 1]:
        same = f"The same in all configurations, and left out: {', '.join(constant)}."
        text.append(paragraph(same))
    if diverged := int(run.results["diverged"].sum()):
        text.append(
            paragraph(
                f"{counted(diverged, 'diverged configuration')} {'is' if diverged == 1 else 'are'} "
                "left out of this section, so that the grid is no longer complete: the means of "
                "values are of what trained, pairs are those of which both did, and shares of the "
                "variance, which are exact on a complete grid only, are not given."
            )
        )
    names = list(dict.fromkeys(found.values["hyperparameter"]))[:_DISTRIBUTIONS]
    sound = run.results[~run.results["diverged"]]
    drawn = plots.value_distributions(sound, {name: sweep.axes[name] for name in names}, run.note)
    of = ", ".join(names)
    most = ", the hyperparameters of the largest effects" * (len(sweep.varying) > len(names))
    distributions = figure(
        "distributions",
        drawn,
        f"Test accuracy of every configuration by the values of {of}",
        f"Every configuration, by the values of {of}{most}.",
        "A line is a configuration, the bar the middle half of them, the dot their median.",
    )
    spread = effects.distributions(run.accuracy_by_fold, sweep.varying)
    pairs = effects.paired_differences(
        run.accuracy_by_fold, sweep.varying, run.protocol.num_divisions
    )
    compared = paragraph(
        "Each configuration with a value is compared with the one that is identical but for it. "
        "The spread of the pairs, from the 10th to the 90th percentile, is what the other "
        "hyperparameters change, and no interval; “better in” is the share of pairs that it wins."
    )
    values = _values_table(spread, found.values, units)
    words = [paragraph(rates)] if rates else []
    differences = [_differences_table(pairs, units)]
    parts = [
        Section("Effects and accuracy by value", words, tables=[values], folded=True),
        Section("Mean differences between two values", [compared], tables=differences, folded=True),
    ]
    if found.parts:
        parts.append(_shares_part(run, found, found.parts, units))
    return Section(title, text, [distributions], parts=parts, name="effects")


def _pairing(run: FinishedRun, units: str | None) -> list[str]:
    """Explains the comparison of configs, and the units of intervals."""
    several, folds = run.protocol.num_divisions, len(run.manifest.split.folds)
    same = f", which repeat the same songs {several} times" if several > 1 else ""
    over = (
        "There is no interval, since one seed cannot tell what others would change; a sweep with "
        "several can. Effects of a point or two can move from seed to seed: small ones are not "
        "findings."
    )
    if units == "folds":
        over = (
            "Intervals are over the folds: what other songs and seeds would change, with allowance "
            "for the train tracks that folds share (Nadeau and Bengio, 2003)."
        )
    elif units == "seeds":
        over = (
            "Intervals are over the seeds: what other seeds would change on "
            f"{'these folds' if folds > 1 else 'this split'}; other songs would change more."
        )
    return [
        "Configurations are compared in pairs: trials that share a seed share the order of their "
        "batches, the dropout noise and the initial draws, and those of a fold its tracks. The "
        "number of independent observations is at most that of seeds × folds, "
        f"{run.accuracy.shape[1]} here{same}, not that of configurations.",
        over,
    ]


def _values_table(
    distributions: "pd.DataFrame", values: "pd.DataFrame", units: str | None
) -> Table:
    """Tabulates effects with the spread of the configs, in the figure's order."""
    rows = values.merge(distributions, on=["hyperparameter", "value"], how="left")
    cells = Table.of(rows.drop(columns=["effect", "low", "high"]))
    first, second, *others = zip(cells.columns, zip(*cells.rows, strict=True), strict=True)
    return Table.by_column(
        dict([first, second])
        | {"effect, points": rows["effect"].map(points)}
        | _intervals(rows, units)
        | dict(others)
    )


def _intervals(rows: "pd.DataFrame", units: str | None) -> dict[str, Iterable[str]]:
    ends = map(interval, rows["low"], rows["high"])
    return {f"95 % interval over the {units}": ends} if units else {}


def _differences_table(rows: "pd.DataFrame", units: str | None) -> Table:
    """Tabulates paired differences in percentage points."""
    names = {"value": "value", "against": "baseline", "pairs": "pairs"}
    return Table.by_column(
        {"hyperparameter": rows["hyperparameter"]}
        | {name: map(str, rows[column]) for name, column in names.items()}
        | {"difference, points": rows["difference"].map(points)}
        | _intervals(rows, units)
        | {"80 % of the pairs": map(interval, rows["p10"], rows["p90"])}
        | {"better in": rows["wins"].map(percent), "worse in": rows["losses"].map(percent)}
    )


def _shares_part(
    run: FinishedRun, found: Effects, parts: effects.Decomposition, units: str | None
) -> Section:
    runs, several, near = runs_word(run), run.accuracy.shape[1] > 1, found.near
    deviation = f"{100 * math.sqrt(parts.variance):.1f} points"
    words = [
        "The accuracy of a configuration is the sum of the mean, of what each hyperparameter adds, "
        "of what each pair adds to its two, and so on. On a complete grid the variance of accuracy "
        f"(deviation {deviation}) is exactly the sum of that of these parts (functional ANOVA).",
        optimizer_rates(run.sweep),
        f"The shares near the best are those of a grid of {near.num_configs:,} configurations, of "
        f"the values that the best tenth (10 at least) have: without {found.without}."
        if near
        else "",
        f"What {runs} shift in all configurations alike, and what they shift in one and not in "
        "another, are parts of their own."
        if several
        else "With one seed, its noise is within the parts: a part far below the largest may be "
        "nothing but that.",
        "The noise column says what share noise alone would give a part on average, and p is that "
        f"of an F test against how the part differs between {units}, which need not be equally "
        "noisy for all values (Greenhouse and Geisser); the last column allows for the number of "
        "tests (Holm)."
        if units
        else "",
    ]
    sums = parts.terms.groupby("order")["share"].sum()
    whole = {
        "hyperparameters alone": sums.get(1, 0.0),
        "pairs": sums.get(2, 0.0),
        "three and more": parts.higher,
    }
    if several:
        whole |= {f"{runs}, all configurations alike": parts.runs, "noise": parts.noise}
    tables = [Table(("part", "share"), [[k, percent(v, 3)] for k, v in whole.items()])]
    for order, name in ((1, "hyperparameter"), (2, "pair")):
        terms = parts.terms[parts.terms["order"] == order]
        if len(terms):
            tables.append(_terms_table(name, terms, near.parts if near else None, units))
    text = [paragraph(*words)]
    return Section("Shares of the variance", text, tables=tables, folded=True)


def _terms_table(
    name: str, terms: "pd.DataFrame", near: effects.Decomposition | None, units: str | None
) -> Table:
    def percents(shares: Iterable[float]) -> list[str]:
        return [percent(share, 3) for share in shares]

    columns: dict[str, Iterable[str]] = {
        name: terms["term"],
        "degrees of freedom": map(str, terms["df"]),
        "share of the variance": percents(terms["share"]),
    }
    if near:
        others = near.terms.set_index("term")["share"].reindex(terms["term"])
        columns["share near the best"] = percents(others)
    if units:
        columns["expected of noise alone"] = percents(terms["noise_share"])
        columns["p"] = terms["p_value"].map(p_value)
        columns["p among all terms"] = terms["p_holm"].map(p_value)
    return Table.by_column(columns)
