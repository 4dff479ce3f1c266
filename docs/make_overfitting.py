"""Writes docs/overfitting.md and its picture from finished runs of sweeps/overfitting.toml.

    python docs/make_overfitting.py RUN...

One run of the real table a protocol, and one each of the synthetic tables of songs and of segments,
under the same protocol. What the page says of each proposal is the accuracy on test tracks of the
value that the validation part of a fold chooses, less that of the plain network, which is among the
values.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pages import fill

from gtzan_jax.analysis.selection import accuracy_interval, difference_interval
from gtzan_jax.rundir.finished import FinishedRun, read_finished
from gtzan_jax.tables.schema import data_note
from gtzan_jax.views.plots.style import GREY, TEST, TRAIN, new_figure, tidy
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("overfitting.md")
LEVEL = 0.05  # of p, all intervals together
LEFT = -7.0  # points: where the picture ends; what lies beyond is an arrow
PICTURE = PAGE.parent / "images" / "overfitting.png"


def gains(run: FinishedRun) -> pd.DataFrame:
    """Returns what each value, and the one that is chosen, changes against the plain network.

    Returns:
      one row a value, and one an axis for the value that the validation part of each fold chooses
      (``value`` is None): axis, value, difference, low, high, gap (train accuracy less test
      accuracy), chosen (what each fold chose).
    """
    correct = run.predictions.correct.astype(np.float64)  # (configs, seeds, tested)
    validation = _means(run, "validation_accuracy")
    train = _means(run, "train_accuracy")
    configs, fold = run.sweep.configs, run.predictions.fold
    rows = []
    for axis, (plain, *values) in run.sweep.varying.items():
        places = [0, *(_place_of(run, axis, value) for value in values)]
        best = np.array(places)[validation[places].argmax(axis=0)]  # of each fold
        hits = correct[best[fold], :, np.arange(len(fold))].T
        gap = train[best, np.arange(len(best))].mean() - hits.mean()
        rows.append((axis, None, hits, gap, [configs[place][axis] for place in best]))
        for value, place in zip(values, places[1:], strict=True):
            gap = train[place].mean() - correct[place].mean()
            rows.append((axis, value, correct[place], gap, []))
        if configs[0][axis] != plain:
            sys.exit(f"{run.name}: the first config is not the plain network")
    found = []
    for axis, value, hits, gap, chosen in rows:
        differences = hits - correct[0]
        low, high = difference_interval(differences, run.predictions.group)
        found.append((axis, value, differences.mean(), low, high, gap, chosen))
    columns = ["axis", "value", "difference", "low", "high", "gap", "chosen"]
    return pd.DataFrame(found, columns=columns)


def _place_of(run: FinishedRun, axis: str, value: object) -> int:
    """Returns the place of the config that differs from the plain one in one axis."""
    wanted = dict(run.sweep.configs[0]) | {axis: value}
    return next(i for i, config in enumerate(run.sweep.configs) if dict(config) == wanted)


def _means(run: FinishedRun, metric: str) -> np.ndarray:
    """Returns (configs, folds) of a figure of trials.csv, the mean over seeds."""
    trials = pd.read_csv(run.run.trials_path)
    means = trials.groupby(["config_id", "fold"])[metric].mean().unstack()
    return means.loc[[config.id for config in run.sweep.configs]].to_numpy(np.float64)


def picture(tables: dict[str, pd.DataFrame], note: str) -> Figure:
    """Draws the difference of every proposal, tuned, with its interval; a panel a protocol."""
    figure = new_figure(2.0 + 2.6 * len(tables), 4.6, note=note)
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
                axes.plot(LEFT + 0.25, place, "<", color=GREY, alpha=0.6)
            colour = TRAIN if row["low"] > 0 else TEST if row["high"] < 0 else GREY
            if not np.isfinite(row["low"]):
                axes.annotate("plain", (0.2, place), fontsize=8, color=GREY, va="center")
                continue
            axes.hlines(place, 100 * row["low"], 100 * row["high"], color=colour, linewidth=2)
            axes.plot(100 * row["difference"], place, "o", color=colour)
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
        trials = pd.read_csv(run.run.trials_path)
        train = trials[trials["config_id"] == run.sweep.configs[0].id]["train_accuracy"].mean()
        of = run.predictions
        low, high = accuracy_interval(of.correct[0].mean(axis=0), of.group)
        folds, seeds = len(run.manifest.split.folds), len(run.manifest.seeds)
        rows.append([
            name, f"{folds} × {seeds}", f"{plain:.3f} ({low:.3f} to {high:.3f})", f"{train:.3f}",
            str(run.manifest.programs_compiled), f"{run.manifest.timings_s['total']:.0f}",
        ])  # fmt: skip
    return Table(
        ("protocol", "folds × seeds", "plain network, test", "train", "programs", "seconds"),
        rows,
    )


def tuned_table(tables: dict[str, pd.DataFrame]) -> Table:
    """Returns the difference of every proposal whose value is chosen, points, by protocol."""
    axes = next(iter(tables.values()))["axis"].unique()
    rows = [[f"`{axis}`", *(_cell(t, axis) for t in tables.values())] for axis in axes]
    return Table(("proposal, value chosen on validation", *tables), rows)


def _cell(table: pd.DataFrame, axis: str) -> str:
    row = table[(table["axis"] == axis) & table["value"].isna()].iloc[0]
    if not np.isfinite(row["low"]):
        return "chose none"
    return f"{_points(row)}; {', '.join(f'{value:g}' for value in row['chosen'])}"


def _points(row: "pd.Series[float]") -> str:
    text = f"{round(100 * row['difference'], 1) + 0.0:+.1f}"  # no -0.0
    if np.isfinite(row["low"]):
        text += f" ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})"
    return text.replace("-", "−")


def gaps_table(tables: dict[str, pd.DataFrame], runs: Sequence[FinishedRun]) -> Table:
    """Returns by how much train accuracy exceeds test accuracy, points, by protocol."""
    axes = next(iter(tables.values()))["axis"].unique()
    plain = [_means(r, "train_accuracy")[0].mean() - r.predictions.correct[0].mean() for r in runs]
    rows = [["plain", *(f"{100 * gap:.0f}" for gap in plain)]]
    for axis in axes:
        own = [t[(t["axis"] == axis) & t["value"].notna()]["gap"] for t in tables.values()]
        rows.append([f"`{axis}`", *(", ".join(f"{100 * g:.0f}" for g in gap) for gap in own)])
    return Table(("train less test accuracy, points, of each value", *tables), rows)


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
    lines, shown = [], []
    total = sum(np.isfinite(t[t["value"].isna()]["low"]).sum() for t in tables.values())
    for name, table in tables.items():
        tuned = table[table["value"].isna()]
        best = tuned.loc[tuned["difference"].idxmax()]
        missed = []
        for _, row in tuned[(tuned["low"] > 0) | (tuned["high"] < 0)].iterrows():
            p = _adjusted_p(row, total)
            shown += [f"`{row['axis']}` under {name}"] if p <= LEVEL else []
            does = ("helps", "costs accuracy") if p <= LEVEL else ("may help", "may cost accuracy")
            which = f"which {does[int(row['difference'] < 0)]} (Bonferroni p {p:.1g})"
            missed.append(f"`{row['axis']}` {_points(row)}, {which}")
        lines.append(
            f"- **{name}**: of the chosen values, the intervals that exclude 0 are those of "
            f"{'; '.join(missed) or 'none'}; the largest gain is that of `{best['axis']}`, "
            f"{_points(best)}."
        )
    lines.append(
        f"\nThese are {total} intervals of 95 %, of which {0.05 * total:.1f} may miss by chance. "
        f"Allowing for their number (Bonferroni), {' and '.join(shown) or 'none'} excludes 0."
    )
    return "\n".join(lines)


def _adjusted_p(row: "pd.Series[float]", total: int) -> float:
    """Returns Bonferroni's p of a 95 % interval, by the normal: near enough where it ends at 0."""
    reach = (row["high"] - row["low"]) / 2
    z = NormalDist().inv_cdf(0.975) * abs(row["difference"]) / reach
    return min(1.0, 2 * total * NormalDist().cdf(-z))


def segments(songs: FinishedRun, segmented: FinishedRun) -> str:
    """Says what training on segments changes, by song, and what the proposals do there."""
    apart, together = segmented.predictions, songs.predictions
    if not np.array_equal(apart.label, together.label):
        sys.exit("the runs of songs and of segments have not tested the same songs")
    differences = apart.correct[0].astype(np.float64) - together.correct[0]
    low, high = difference_interval(differences, together.group)
    row = pd.Series({"difference": differences.mean(), "low": low, "high": high})
    table = gains(segmented)
    tuned = table[table["value"].isna()]
    cells = ", ".join(f"`{r['axis']}` {_cell(table, r['axis'])}" for _, r in tuned.iterrows())
    return (
        "The real table of segments was not at hand, and the answer on the synthetic one is built "
        f"into it: it says nothing about music. There, under {songs.sweep.protocol} and by song, "
        f"the plain network trained on segments reaches {apart.correct[0].mean():.3f}, trained on "
        f"the same songs as a whole {together.correct[0].mean():.3f}: {_points(row)} points. The "
        f"proposals on segments, by song, in points with the chosen value: {cells}."
    )


def blocks(runs: Sequence[FinishedRun]) -> Iterator[tuple[str, str]]:
    """Yields what stands between the page's markers, by name; draws the picture."""
    real = [run for run in runs if not run.is_sample]
    names = [run.sweep.protocol for run in real]
    tables = {name: gains(run) for name, run in zip(names, real, strict=True)}
    data = real[0].manifest.data
    note = f"{data_note(data.source, data.rows_note)}; {len(real[0].manifest.seeds)} seeds a fold"
    picture(tables, note).savefig(PICTURE)
    made_up = sorted((r for r in runs if r.is_sample), key=lambda r: r.manifest.data.tracks)
    if made_up:  # else that block stays as it is
        yield "chunks", segments(*made_up)
    yield "summary", summary(names, real).markdown
    yield "found", findings(tables)
    yield "tuned", tuned_table(tables).markdown
    yield "gaps", gaps_table(tables, real).markdown
    yield "values", values_table(tables).markdown


def main() -> None:
    """Rewrites the blocks between the markers."""
    runs = [read_finished(path) for path in sys.argv[1:]]
    if len({str(run.sweep.axes) for run in runs}) != 1:
        sys.exit("give runs of the same axes and values, one a protocol")
    for name, text in list(blocks(runs)):  # nothing is written where one fails
        fill(PAGE, name, text)


if __name__ == "__main__":
    main()
