"""Comparison of finished runs, and its text."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtzan_jax.analysis.between_runs import Comparison, compare
from gtzan_jax.analysis.selection import others
from gtzan_jax.errors import InputError
from gtzan_jax.files import write_csv
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.space.config import Config
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.tables.schema import Columns, Words
from gtzan_jax.text import flag, printable
from gtzan_jax.views.text import NOTHING, Table, by_stem, cell, counted, plus_minus

if TYPE_CHECKING:
    import pandas as pd

_TOP = 10
_WIDTH = 80  # columns of a terminal
_LONGEST = 24  # letters of a value of a manifest
_AXES = "sweep.axes."

_EXPLANATION = (
    "difference: mean test accuracy minus the first run's, over the paired runs (folds and seeds "
    "of both, on the same table and split), with its 95 % interval over those; one pair gives no "
    "interval. Trials of one seed share initial weights, order of rows and dropout noise: the "
    "configurations of a seed are no sample."
)


def compare_runs(paths: Sequence[str | Path], output: str | Path | None = None) -> Comparison:
    """Compares finished runs with the first; writes all matched configs to a CSV file, if named."""
    comparison = compare([read_finished(path) for path in paths])
    if output:
        try:
            write_csv(Path(output), comparison.configs)
        except OSError as error:
            raise InputError(
                f"{flag('output', output)}: cannot be written: {error.strerror}"
            ) from None
    return comparison


def markdown(comparison: Comparison) -> str:
    """Returns a comparison as Markdown that fits a terminal."""
    pairs, first = comparison.pairs, comparison.runs["run"].iloc[0]
    axes = comparison.manifests["manifest"].str.startswith(_AXES).astype(bool)
    cautions = [
        textwrap.fill(f"- {printable(line)}", _WIDTH, subsequent_indent="  ")
        for line in _cautions(comparison)
    ]
    parts = [
        printable(f"# {first} and {', '.join(pairs['run'])}"),
        "\n".join(cautions),
        "## The best of each run",
        _bests(comparison),
        "±: deviation over folds and seeds." * bool(comparison.runs["deviation"].notna().any()),
        "## Hyperparameters that differ",
        _differences(comparison.manifests[axes]) or "All runs have the same.",
    ]
    matched = pairs[pairs["matched"] > 0].to_dict("records")
    if matched:
        parts += [
            printable(f"## Against {first}, configuration by configuration"),
            _pairs(matched),
            textwrap.fill(_EXPLANATION, _WIDTH),
        ]
    if len(comparison.configs):
        several = counted(len(comparison.configs), "configuration")
        parts += [f"## The best of {several} that at least two runs have", _top(comparison)]
    parts += [
        "## Other differences in the manifests",
        _differences(comparison.manifests[~axes]) or "Nothing.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _cautions(comparison: Comparison) -> list[str]:
    """Returns the reasons why figures are not comparable, or mean little."""
    runs, first = comparison.runs, comparison.runs["run"].iloc[0]
    samples = list(runs.loc[runs["is_sample"], "run"])
    on_test = list(runs.loc[(runs["chosen_on"] == "test") & (runs["configs"] > 1), "run"])
    lines, units = [], _words(comparison).units
    if samples:
        mixed = len(samples) < len(runs)
        lines.append(
            f"{', '.join(samples)}: trained on the SYNTHETIC sample, whose figures say nothing "
            f"about music{f' and do not compare with those of real {units}' if mixed else ''}"
        )
    if on_test:
        lines.append(
            f"{', '.join(on_test)}: the best is selected on the same {units} as its accuracy, "
            "which is therefore too high"
        )
    lines += [
        f"{name}: {PROTOCOLS[protocol].leak}: its figures say nothing about songs outside the "
        "training set"
        for name, protocol in zip(runs["run"], runs["protocol"], strict=True)
        if PROTOCOLS[protocol].leak
    ]
    for row in comparison.pairs.to_dict("records"):
        name = row["run"]
        if row["differs"]:
            lines.append(
                f"{name}: another {row['differs']} than {first}: tested on other {units}, so a "
                "difference of accuracies says nothing about the configurations"
            )
        if 2 * row["matched"] < max(1, row["out_of"]):
            lines.append(
                f"{name}: {row['matched']:,} of {row['out_of']:,} configurations in common with "
                f"{first}: differences are of those alone"
            )
    return lines


def _words(comparison: Comparison) -> Words:
    """Returns the words of all runs, or those that fit any table."""
    found = set(comparison.runs["words"])
    return found.pop() if len(found) == 1 else Columns().words(is_of_songs=False)


def _bests(comparison: Comparison) -> str:
    runs = comparison.runs.to_dict("records")
    rows = {
        "test accuracy": [
            plus_minus(run["best"], run["deviation"]) if math.isfinite(run["best"]) else NOTHING
            for run in runs
        ],
        f"95 %, of {others(_words(comparison))}": [_span(run["low"], run["high"]) for run in runs],
        "selected on": [f"{run['chosen_on']} part" for run in runs],
        "out of": [counted(run["configs"], "configuration") for run in runs],
        "folds × seeds": [f"{run['folds']} × {run['seeds']}" for run in runs],
    }
    rows |= {name: [str(r[name]) for r in runs] for name in ("epochs", "loss", "data", "protocol")}
    values = [by_stem(config) for config in comparison.bests]
    for stem in dict.fromkeys(stem for each in values for stem in each):
        rows[stem] = [each.get(stem, NOTHING) for each in values]
    return _columns("best", runs, rows)


def _pairs(runs: Sequence[Any]) -> str:
    rows = {
        "configurations": [f"{run['matched']:,} of {run['out_of']:,}" for run in runs],
        "paired runs": [str(run["paired_runs"]) for run in runs],
        "difference": [f"{run['difference']:+.4f}" for run in runs],
        "95 % interval": [_span(run["low"], run["high"], "+") for run in runs],
        "over": [run["interval_over"] or NOTHING for run in runs],
        "rank correlation": [cell("", run["rank_correlation"]) for run in runs],
    }
    return _columns("", runs, rows)


def _columns(corner: str, runs: Sequence[Any], rows: dict[str, list[str]]) -> str:
    heads = [corner, *(run["run"] for run in runs)]
    return Table(heads, [[name, *row] for name, row in rows.items()]).aligned


def _top(comparison: Comparison) -> str:
    names, axes = list(comparison.runs["run"]), comparison.axes
    rows, stems = [], ""
    for row in comparison.configs.head(_TOP).to_dict("records"):
        config = by_stem(Config.of(**{axis: row[axis] for axis in axes}))
        rows.append([*(cell(name, row[name]) for name in names), ", ".join(config.values())])
        stems = ", ".join(config)
    return Table([*names, stems], rows).aligned


def _differences(manifests: "pd.DataFrame") -> str:
    def short(value: str) -> str:
        text = value.strip("[]").replace("'", "") or NOTHING
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"

    rows = [
        [key.removeprefix(_AXES), *map(short, values)]
        for key, *values in manifests.itertuples(index=False)
    ]
    return Table(["", *manifests.columns[1:]], rows).aligned if rows else ""


def _span(low: float, high: float, sign: str = "") -> str:
    return f"{low:{sign}.4f} to {high:{sign}.4f}" if math.isfinite(low) else NOTHING
