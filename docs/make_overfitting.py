"""Writes docs/overfitting.md and its picture from finished runs of sweeps/overfitting.toml.

    python docs/make_overfitting.py RUN...

One run a protocol; the runs' axes and values must be the same. What the page says of each proposal
is the accuracy on test tracks of the value that the validation part of a fold chooses, less that of
the plain network, which is among the values.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gtzan_jax.analysis.selection import difference_interval
from gtzan_jax.rundir.finished import FinishedRun, read_finished
from gtzan_jax.views.plots.style import GREY, TEST, TRAIN, new_figure, tidy
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("overfitting.md")
LEFT = -7.0  # points: where the picture ends; what lies beyond is an arrow
PICTURE = PAGE.parent / "images" / "overfitting.png"


def gains(run: FinishedRun) -> pd.DataFrame:
    """Returns what each value, and the one that is chosen, changes against the plain network.

    Returns:
      one row a value, and one an axis for the value that the validation part of each fold chooses
      (``value`` is None): axis, value, difference, low, high, chosen (by how many folds).
    """
    correct = run.predictions.correct.astype(np.float64)  # (configs, seeds, tested)
    validation = _validation(run)  # (configs, folds)
    configs, fold = run.sweep.configs, run.predictions.fold
    rows = []
    for axis, (plain, *values) in run.sweep.varying.items():
        places = [0, *(_place_of(run, axis, value) for value in values)]
        best = np.array(places)[validation[places].argmax(axis=0)]  # of each fold
        rows.append((axis, None, correct[best[fold], :, np.arange(len(fold))].T, np.nan))
        for value, place in zip(values, places[1:], strict=True):
            rows.append((axis, value, correct[place], int((best == place).sum())))
        if configs[0][axis] != plain:
            sys.exit(f"{run.name}: the first config is not the plain network")
    found = []
    for axis, value, hits, chosen in rows:
        differences = hits - correct[0]
        low, high = difference_interval(differences, run.predictions.group)
        found.append((axis, value, differences.mean(), low, high, chosen))
    return pd.DataFrame(found, columns=["axis", "value", "difference", "low", "high", "chosen"])


def _place_of(run: FinishedRun, axis: str, value: object) -> int:
    """Returns the place of the config that differs from the plain one in one axis."""
    wanted = dict(run.sweep.configs[0]) | {axis: value}
    return next(i for i, config in enumerate(run.sweep.configs) if dict(config) == wanted)


def _validation(run: FinishedRun) -> np.ndarray:
    """Returns (configs, folds) validation accuracy, the mean over seeds."""
    members = pd.read_csv(run.run.members_path)
    means = members.groupby(["config_id", "fold"])["validation_accuracy"].mean().unstack()
    return means.loc[[config.id for config in run.sweep.configs]].to_numpy(np.float64)


def picture(tables: dict[str, pd.DataFrame]) -> Figure:
    """Draws the difference of every proposal, tuned, with its interval; a panel a protocol."""
    figure = new_figure(2.0 + 2.6 * len(tables), 4.6)
    panels = figure.subplots(1, len(tables), sharey=True, sharex=True, squeeze=False)[0]
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        tuned = table[table["value"].isna()].reset_index(drop=True)
        for place, row in tuned.iterrows():
            values = (
                100 * table[(table["axis"] == row["axis"]) & table["value"].notna()]["difference"]
            )
            inside = values[values > LEFT]
            axes.plot(inside, [place] * len(inside), "|", color=GREY, alpha=0.6)
            if len(inside) < len(values):
                axes.plot(LEFT, place, "<", color=GREY, alpha=0.6, clip_on=False)
            colour = TRAIN if row["low"] > 0 else TEST if row["high"] < 0 else GREY
            face = colour if np.isfinite(row["low"]) else "white"
            axes.hlines(place, 100 * row["low"], 100 * row["high"], color=colour, linewidth=2)
            axes.plot(100 * row["difference"], place, "o", color=colour, markerfacecolor=face)
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_title(name, fontsize=10)
        axes.set_yticks(range(len(tuned)), tuned["axis"])
        axes.invert_yaxis() if axes is panels[0] else None
        axes.set_xlim(LEFT, 5.0)
        axes.set_xlabel("test accuracy gained, points", fontsize=9)
        tidy(axes)
    return figure


def summary(names: Sequence[str], runs: Sequence[FinishedRun]) -> Table:
    """Returns what the runs are, and the plain network's figures in each."""
    rows = []
    for name, run in zip(names, runs, strict=True):
        plain = run.predictions.correct[0].mean()
        members = pd.read_csv(run.run.members_path)
        train = members[members["config_id"] == run.sweep.configs[0].id]["train_accuracy"].mean()
        folds, seeds = len(run.manifest.split.folds), len(run.manifest.seeds)
        rows.append([
            name, f"{folds} × {seeds}", f"{plain:.3f}", f"{train:.3f}",
            str(run.manifest.programs_compiled), f"{run.manifest.timings_s['total']:.0f}",
        ])  # fmt: skip
    return Table(
        ("run", "folds × seeds", "plain network, test", "its train part", "programs", "seconds"),
        rows,
    )


def tuned_table(tables: dict[str, pd.DataFrame]) -> Table:
    """Returns the difference of every proposal whose value is chosen, points, by protocol."""
    axes = next(iter(tables.values()))["axis"].unique()
    rows = [[f"`{axis}`", *(_cell(t, axis) for t in tables.values())] for axis in axes]
    return Table(("proposal, value chosen on validation", *tables), rows)


def _cell(table: pd.DataFrame, axis: str) -> str:
    row = table[(table["axis"] == axis) & table["value"].isna()].iloc[0]
    return _points(row)


def _points(row: "pd.Series[float]") -> str:
    text = f"{round(100 * row['difference'], 1) + 0.0:+.1f}"  # no -0.0
    if np.isfinite(row["low"]):
        text += f" ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})"
    else:
        text += " (always plain)"
    return text.replace("-", "−")


def values_table(tables: dict[str, pd.DataFrame]) -> Table:
    """Returns the difference of every value, points, by protocol."""
    first = next(iter(tables.values()))
    places = np.flatnonzero(first["value"].notna())
    rows = [
        [
            f"`{first['axis'][i]}`",
            f"{first['value'][i]:g}",
            *(_points(t.iloc[i]) for t in tables.values()),
        ]
        for i in places
    ]
    return Table(("axis", "value", *tables), rows)


def findings(tables: dict[str, pd.DataFrame]) -> str:
    """Returns what helps and what hurts in each protocol, by intervals of tuned proposals."""
    lines = []
    for name, table in tables.items():
        tuned = table[table["value"].isna()]
        better, worse = tuned[tuned["low"] > 0], tuned[tuned["high"] < 0]
        best = tuned.loc[tuned["difference"].idxmax()]
        lines.append(
            f"- **{name}**: {_listed(better)} help, {_listed(worse)} hurt, by their intervals; the "
            f"largest gain is that of `{best['axis']}`, {_points(best)} points."
        )
    total = sum(table["value"].isna().sum() for table in tables.values())
    lines.append(
        f"\nOf {total} intervals about {0.05 * total:.0f} would miss 0 if nothing did anything."
    )
    return "\n".join(lines)


def _listed(rows: pd.DataFrame) -> str:
    return ", ".join(f"`{axis}`" for axis in rows["axis"]) or "none"


def blocks(runs: Sequence[FinishedRun]) -> Iterator[tuple[str, str]]:
    """Yields what stands between the page's markers, by name; draws the picture."""
    names = [run.sweep.protocol + (" (synthetic)" if run.is_sample else "") for run in runs]
    tables = {name: gains(run) for name, run in zip(names, runs, strict=True)}
    picture(tables).savefig(PICTURE)
    yield "summary", summary(names, runs).markdown
    yield "found", findings(tables)
    yield "tuned", tuned_table(tables).markdown
    yield "values", values_table(tables).markdown


def main() -> None:
    """Rewrites the blocks between the markers."""
    runs = [read_finished(path) for path in sys.argv[1:]]
    if len({str(run.sweep.axes) for run in runs}) != 1:
        sys.exit("give runs of the same axes and values, one a protocol")
    page = PAGE.read_text(encoding="utf-8")
    for name, text in blocks(runs):
        between = re.compile(f"(<!-- {name} -->).*?(<!-- /{name} -->)", re.DOTALL)
        page = between.sub(lambda m, text=text: f"{m[1]}\n{text}\n{m[2]}", page)
    PAGE.write_text(page, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
