"""Measures and writes docs/any_table.md and its picture: twenty minutes on two quiet cores.

    python docs/make_any_table.py                     # measures everything, and writes the page
    python docs/make_any_table.py digits rows         # measures these parts anew, keeps the others
    python docs/make_any_table.py text                # measures nothing

Parts are wine, "breast cancer", digits, made, group and rows. What they measured is in
docs/any_table.json, part by part as each ends, so that an interrupted run goes on with the parts
that are missing: name them.
"""

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from any_table_parts import (
    ALL,
    BOOSTING,
    EPOCHS,
    GRID,
    GROUPS,
    HALVED,
    HALVING,
    JOBS,
    LINEAR,
    MADE,
    OURS,
    PARTS,
    SIZES,
    TABLES,
    plain,
)
from any_table_predictions import (
    PREDICTIONS,
    Found,
    clear,
    excludes_zero,
    in_our_time,
)
from matplotlib.figure import Figure
from pages import fill

from gtzan_jax.analysis.inference import CONFIDENCE
from gtzan_jax.views.plots.style import GREY, TEST, TRAIN, new_figure, tidy
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("any_table.md")
MEASURED = PAGE.with_suffix(".json")
PICTURE = PAGE.parent / "images" / "any_table.png"
MODELS = (OURS, GRID, HALVING, LINEAR, BOOSTING)


def signed(value: float, low: float, high: float) -> str:
    """Returns a difference in points with its interval, if it has one."""
    text = f"{100 * value:+.1f}"
    if math.isfinite(low):
        text += f" ({100 * low:+.1f} to {100 * high:+.1f})"
    return text.replace("-", "−")


def fitted(part: Found) -> int:
    """Returns how many settings GridSearchCV has fitted."""
    return next(int(row["settings_tried"]) for row in part["scores"] if row["model"] == GRID)


def verdict(name: str, part: Found) -> str:
    """Says what is clearly different from our sweep on a table, and what a linear model does."""

    def label(model: str) -> str:
        count = {GRID: fitted(part), HALVING: HALVED.get(name, ALL)}.get(model, ALL)
        return model if count == ALL else f"{model} over {count} of its {ALL} settings"

    rows, differs = {row["model"]: row for row in part["comparison"]}, clear(part)
    accuracy = {row["model"]: row["accuracy"] for row in part["scores"]}
    points = {m: signed(r["difference"], r["low"], r["high"]) for m, r in rows.items()}
    behind = [f"{label(m)} by {points[m]}" for m in differs if rows[m]["low"] > 0]
    ahead = [
        f"{label(m)}, ours {points[m]}" for m in differs if rows[m]["high"] < 0 and m != LINEAR
    ]
    sentences = []
    if rows[LINEAR]["high"] < 0:
        sentences.append(f"A linear model wins: logistic regression, ours {points[LINEAR]}; use it")
    elif LINEAR not in differs:
        word = "no worse" if accuracy[LINEAR] >= accuracy[OURS] else "not clearly worse"
        sentences.append(
            f"logistic regression, a linear model, is {word} than ours, ours {points[LINEAR]}, and "
            f"takes {seconds(part['seconds'][LINEAR]['search'])}: nothing speaks for networks"
        )
    if behind:
        sentences.append(f"our sweep is clearly better than {' and '.join(behind)}")
    if ahead:
        sentences.append(f"clearly better than ours: {' and '.join(ahead)}")
    others = [label(m) for m in rows if m not in differs and m != LINEAR]
    if others:
        sentences.append(f"not clearly different from ours: {', '.join(others)}")
    text = "; ".join(sentences)
    return f"- **{name}**: {text[0].upper()}{text[1:]}."


def seconds(value: float) -> str:
    """Returns seconds with two digits at least."""
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s" if value >= 1 else f"{value:.2f} s"


def found_text(parts: Mapping[str, Found]) -> str:
    """Returns what was found on the four tables."""
    count = sum(len(parts[name]["comparison"]) for name in TABLES)
    return "\n".join(verdict(name, parts[name]) for name in TABLES) + (
        f"\n\nDifferences are in points, ours less the other's. These are {count} intervals of "
        f"{CONFIDENCE:.0%}, of which {(1 - CONFIDENCE) * count:.1f} may miss by chance: over five "
        "folds by the corrected t (Nadeau and Bengio), on the made table over its test rows, for "
        "these fitted models."
    ).replace("95%", "95 %")


def accuracy_table(parts: Mapping[str, Found]) -> Table:
    """Returns accuracies with intervals over test rows."""
    heads = [
        f"{name}: {parts[name]['rows']:,} × {parts[name]['features']}, "
        f"{parts[name]['classes']} classes"
        for name in TABLES
    ]
    scores = {name: {row["model"]: row for row in parts[name]["scores"]} for name in TABLES}
    rows = [[model, *(_interval(scores[name][model]) for name in TABLES)] for model in MODELS]
    return Table(("test accuracy", *heads), rows)


def _interval(row: Mapping[str, Any]) -> str:
    low, high = max(0.0, row["low"]), min(1.0, row["high"])
    shown = f" ({low:.3f} to {high:.3f})" if math.isfinite(row["low"]) else ""
    return f"{row['accuracy']:.3f}{shown}"


def projected(part: Found) -> float:
    """Returns the seconds of GridSearchCV over the whole grid; measured where all is fitted."""
    times = part["seconds"][GRID]
    return float(times["search"] + (ALL - fitted(part)) * times["per_fit"])


def seconds_table(parts: Mapping[str, Found]) -> Table:
    """Returns the seconds of tuning and fitting on one train part."""
    rows = []
    for name in TABLES:
        part, times = parts[name], parts[name]["seconds"]
        few = fitted(part) < ALL
        grid = seconds(projected(part)) + f", projected from {fitted(part)}" * few
        halved = f", of {HALVED[name]}" if name in HALVED else ""
        rows.append([
            name, seconds(times[OURS]["cold"]), seconds(times[OURS]["warm"]), grid,
            f"{projected(part) / times[OURS]['cold']:.2g} : 1",
            seconds(times[HALVING]["search"]) + halved,
            seconds(times[LINEAR]["search"]), seconds(times[BOOSTING]["search"]),
        ])  # fmt: skip
    heads = (
        "table", "ours, cold", "ours, warm", f"{GRID}, 768", f"{GRID} ÷ ours, cold",
        HALVING, LINEAR, BOOSTING,
    )  # fmt: skip
    return Table(heads, rows)


def seconds_text(parts: Mapping[str, Found]) -> str:
    """Says where our sweep is faster than the searches of MLPClassifier, and where slower."""
    sentences = []
    for search in (GRID, HALVING):
        whole = {
            name: projected(part) if search == GRID else part["seconds"][search]["search"]
            for name, part in parts.items()
            if name in TABLES and (search == GRID or name not in HALVED)
        }
        faster = [n for n, taken in whole.items() if parts[n]["seconds"][OURS]["cold"] < taken]
        slower = [name for name in whole if name not in faster]
        said = [f"less time than {search} on {', '.join(faster)}"] * bool(faster)
        said += [f"more on {', '.join(slower)}" if said else f"more time than {search} on all"]
        sentences.append(f"Cold, our 768 take {', '.join(said[: 1 + bool(slower)])}.")
    times = "; ".join(
        f"{name}: {in_our_time(parts[name], 'cold'):,.0f} cold, "
        f"{in_our_time(parts[name], 'warm'):,.0f} warm"
        for name in TABLES
    )
    return f"{' '.join(sentences)} In their time GridSearchCV fits so many of its 768: {times}."


def predictions_text(parts: Mapping[str, Found]) -> str:
    """Returns the predictions, and which came true."""
    marks = ["right" if each.holds(parts) else "**wrong**" for each in PREDICTIONS]
    lines = [f"| {p.text} | {mark} |" for p, mark in zip(PREDICTIONS, marks, strict=True)]
    return "\n".join([
        f"{marks.count('right')} of {len(marks)} came true.", "", "| prediction | |", "|---|---|",
        *lines,
    ])  # fmt: skip


def group_text(found: Found) -> str:
    """Says what a group column changes."""
    names = {
        "": "no group column",
        "block": "`--group=block`",
        "shuffled": "the same blocks, dealt to rows at random",
    }
    rows = [
        [text, _interval(found[name]), signed(*found[name]["difference"]) if name else "–"]
        for name, text in names.items()
    ]
    table = Table(("digits, five folds", "test accuracy", "difference, points"), rows).markdown
    value, low, high = found["block"]["difference"]
    false = found["shuffled"]["difference"]
    said = "does not change the accuracy clearly"
    if excludes_zero(low, high):
        said = f"{'costs' if value < 0 else 'adds'} {abs(100 * value):.1f} points"
    control = "changes nothing clearly"
    if excludes_zero(*false[1:]):
        control = f"changes it, too: {signed(*false)} points"
    return (
        f"{table}\n\nKeeping each of the {GROUPS} blocks of rows on one side {said}; a column that "
        f"means nothing {control}. Best of {found['']['configs']} configs by the validation "
        "part; intervals over blocks, or over rows where there is none, for these fitted networks."
    )


def sizes_table(found: Found) -> Table:
    """Returns times and memory by number of rows."""
    rows = []
    for count in map(str, SIZES):
        of = found[count]
        if "failed" in of:
            rows.append([f"{int(count):,}", of["failed"], *["–"] * 9])
            continue
        part = of["seconds"]
        rows.append([
            f"{int(count):,}", f"{of['csv_bytes'] / 1e6:,.1f}", seconds(of["read_s"]),
            f"{of['read_peak_bytes'] / 1e9:.2f}", seconds(part["compile"]), seconds(part["train"]),
            seconds(part["retrain"]), seconds(part["load"] + part["write"]),
            seconds(of["predict_s"]), f"{(of['peak_bytes'] or 0) / 1e9:.2f}",
            f"{of['folder_bytes'] / 1e6:,.1f}",
        ])  # fmt: skip
    heads = (
        "rows × 20", "CSV, MB", "read", "memory read, GB", "compile", "train", "retrain",
        "divide and write", "predict all", "peak memory, all processes, GB", "run directory, MB",
    )  # fmt: skip
    return Table(heads, rows)


def picture(parts: Mapping[str, Found]) -> Figure:
    """Draws accuracies with intervals, a panel a table: ours, networks of scikit-learn, others."""
    figure = new_figure(10.0, 2.6)
    panels = figure.subplots(1, len(TABLES), sharey=True)
    colours = {OURS: TRAIN, GRID: TEST, HALVING: TEST}
    for axes, name in zip(panels, TABLES, strict=True):
        scores = {row["model"]: row for row in parts[name]["scores"]}
        for place, model in enumerate(MODELS):
            row, colour = scores[model], colours.get(model, GREY)
            axes.hlines(place, max(0, row["low"]), min(1, row["high"]), color=colour, linewidth=2)
            axes.plot(row["accuracy"], place, "o", color=colour)
        axes.set_yticks(range(len(MODELS)), MODELS)
        axes.set_title(name, fontsize=10)
        axes.locator_params(axis="x", nbins=4)
        tidy(axes, in_rows=True)
    panels[0].invert_yaxis()
    figure.supxlabel("test accuracy; 95 % intervals over rows, for these fitted models", fontsize=8)
    return figure


def how_text(parts: Mapping[str, Found]) -> str:
    """Says how the tables were made and tuned, and how busy the machine was."""
    made = ", ".join(f"{key}={value!r}" for key, value in MADE.items())
    loads = ", ".join(f"{name} {parts[name]['load']:.1f}" for name in PARTS)
    counts = ", ".join(f"{fitted(parts[name])} on {name}" for name in TABLES)
    return (
        f"The made table is `make_classification({made})`. All networks train for {EPOCHS} epochs "
        f"(`max_iter={EPOCHS}`). The grid of `MLPClassifier` has {ALL} settings: the widths of our "
        "sweep, two activations, two solvers, four learning rates, three penalties, two batch "
        f"sizes. GridSearchCV fits so many, drawn at random: {counts}; its accuracy is that of the "
        f"best of these, and the seconds of all are projected. `n_jobs={JOBS}` for all of "
        "scikit-learn's, whose processes were started before; ours is one process. Seconds are "
        "those of the first fold, choosing and the last fit included. Load of the machine, of "
        f"{os.cpu_count()} cores, after each part: {loads}."
    )


def blocks(parts: Mapping[str, Found]) -> Iterator[tuple[str, str]]:
    """Yields what stands between the page's markers, by name."""
    yield "found", found_text(parts)
    yield "accuracy", accuracy_table(parts).markdown
    yield "seconds", f"{seconds_text(parts)}\n\n{seconds_table(parts).markdown}"
    yield "predictions", predictions_text(parts)
    yield "group", group_text(parts["group"])
    yield "sizes", sizes_table(parts["rows"]).markdown
    yield "how", how_text(parts)


def measured() -> dict[str, Any]:
    """Returns the parts that have been measured."""
    return json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}


def measure(name: str) -> None:
    """Measures a part, and keeps it."""
    print(f"measuring {name}", flush=True)
    found = PARTS[name]() | {"load": os.getloadavg()[1]}
    parts = measured() | {name: found}  # another process may have measured others
    ordered = {each: parts[each] for each in PARTS if each in parts}
    text = json.dumps(ordered, indent=1, ensure_ascii=False, default=plain)
    MEASURED.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Measures what is asked for, and rewrites the blocks between the markers."""
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := {*wanted} - {*PARTS, "text"}:
        sys.exit(f"no part {', '.join(sorted(unknown))}: give some of {', '.join(PARTS)}, or text")
    for name in wanted:
        if name != "text":
            measure(name)
    parts = measured()
    if missing := [name for name in PARTS if name not in parts]:
        sys.exit(f"{MEASURED.name} lacks {', '.join(missing)}: name them to measure them")
    for name, text in list(blocks(parts)):  # nothing is written where one fails
        fill(PAGE, name, text)
    picture(parts).savefig(PICTURE)


if __name__ == "__main__":
    main()
