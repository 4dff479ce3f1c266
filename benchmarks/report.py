"""The record of some rounds, and its Markdown tables."""

import datetime
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks import machine
from benchmarks.rows import ROWS
from benchmarks.targets import COMPARED, FIGURES, Round

Record = dict[str, Any]

_BREAKDOWN = ("import", "load", "compile", "train", "write", "retrain")
_PARTED = ("main_cold", "main_warm")  # rows whose parts are shown


def spread(values: Sequence[float]) -> dict[str, float]:
    """Returns median, minimum and maximum."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def record_of(rounds: Sequence[Round], **more: Any) -> Record:
    """Returns the record: machine, rounds, and the figures computed from them.

    Args:
      rounds: the measurements of each round, by row.
      **more: further entries.
    """
    figures = {}
    for key, figure in FIGURES.items():
        if values := figure.in_rounds(rounds):
            summary: dict[str, Any] = spread(values)
            goals = {"target": figure.target, "stretch": figure.stretch}
            figures[key] = summary | goals | {"verdict": figure.verdict(summary["median"])}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **more,
        "machine": machine.describe(),
        "versions": machine.versions(),
        "rows": {row: seconds_of(rounds, row) for row in ROWS if any(row in r for r in rounds)},
        "figures": figures,
        "breakdown": {row: breakdown(rounds, row) for row in _PARTED},
        "rounds": list(rounds),
    }


def seconds_of(rounds: Sequence[Round], row: str) -> dict[str, float | None]:
    """Returns the seconds of a row over the rounds, and the processor seconds if known."""
    there = [measured[row] for measured in rounds if row in measured]
    cpu = [each["cpu_s"] for each in there if "cpu_s" in each]
    seconds = spread([each["seconds"] for each in there])
    return {**seconds, "cpu_s": statistics.median(cpu) if cpu else None}


def breakdown(rounds: Sequence[Round], row: str) -> dict[str, float]:
    """Returns the median seconds of each part of our run, and of the rest of the process."""
    there = [measured[row] for measured in rounds if row in measured]
    if not there:
        return {}
    parts = {part: statistics.median(each[f"{part}_s"] for each in there) for part in _BREAKDOWN}
    around = statistics.median(each["wall_s"] - each["total_s"] for each in there)
    return parts | {"interpreter's start and end": around}


def markdown(record: Record) -> str:
    """Returns a record as Markdown: rows, figures and targets, parts, notes."""
    host = record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    busy = f" {record['busy']}." if record.get("busy") else ""
    rounds = "round" if len(record["rounds"]) == 1 else "rounds"
    sections = [
        f"# Benchmarks, {record['date'][:10]}",
        f"{host['cores']} cores of {host['processor']}, {host['system']}; gtzan_jax on "
        f"{record['platform']}; {len(record['rounds'])} {rounds}, median and range.\n\n"
        f"{record['data']}. {versions}.{busy}",
        _rows_table(record),
    ]
    if record["figures"]:
        sections.append("## Figures and targets\n\n" + _figures_table(record))
    if any(record["breakdown"].values()):
        sections.append("## Where our seconds go\n\n" + _breakdown_table(record))
    remarks = notes(record["rounds"]) + [f"Not measured: {line}" for line in record["missing"]]
    if remarks:
        sections.append("## Notes\n\n" + "\n".join(f"- {remark}" for remark in remarks))
    return "\n\n".join(sections) + "\n"


def notes(rounds: Sequence[Round]) -> list[str]:
    """Returns notes on the floor and the peers."""
    first: dict[str, Mapping[str, Any]] = {}
    for measured in rounds:
        first = dict(measured) | first
    found = []
    if machine := first.get("steady") or first.get("floor"):
        found += _floor_notes(machine)
    for row, name in (("keras_loop", "Keras"), ("torch_loop", "PyTorch, one after another")):
        if row in first:
            how = first[row].get("backend") or f"{first[row]['threads']} threads"
            found.append(
                f"{name}: {first[row]['sample']} runs, every optimizer in every shape group, "
                f"projected to 768; {how}, the fastest in a short trial."
            )
    if batched := first.get("torch_batched"):
        found.append(
            f"PyTorch, batched: {batched['epochs']} of 10 epochs measured; "
            f"{batched['workers']} batches at a time, {batched['threads']} threads each; "
            f"best test accuracy {batched['best_accuracy']:.3f}."
        )
    if grid := first.get("sklearn_grid"):
        found.append(
            f"scikit-learn: {grid['runs']} fits of the 16 configs that it can express, "
            "projected to 768 fits; it evaluates after the last epoch only."
        )
    return found


def variants(rounds: Sequence[Round]) -> dict[str, Mapping[str, Any]]:
    """Returns the fastest variant of each peer."""
    return {
        row: measured["variant"]
        for rows in rounds
        for row, measured in rows.items()
        if "variant" in measured
    }


def comparison(record: Record, recorded: Record) -> list[str]:
    """Returns a line for each figure, with the recorded and the new value."""
    lines = []
    for key in COMPARED:
        then, now = recorded["figures"].get(key), record["figures"].get(key)
        if now:
            show, text = FIGURES[key].show, FIGURES[key].text
            was = show(then["median"]) if then else "nothing"
            lines.append(f"{text}: recorded {was}, now {show(now['median'])}")
    return lines


def _floor_notes(machine: Mapping[str, Any]) -> list[str]:
    return [
        f"The floor: {machine['flops'] / 1e12:.2f} TFLOP of matrix products at the "
        f"{machine['flops_per_s'] / 1e9:.0f} GFLOP/s of one large product: "
        f"{machine['floor_s']:.1f} s.",
        f"Bytes: weights and moments read and written once a step are "
        f"{machine['bytes'] / 1e9:.0f} GB; at the {machine['bytes_per_s'] / 1e9:.0f} GB/s of a "
        f"large array that would take {machine['bytes_seconds']:.1f} s, if nothing stayed in the "
        "caches.",
    ]


def _rows_table(record: Record) -> str:
    base = record["rows"].get("cold", {}).get("median")
    return _table(
        ("what", "seconds", "range", "÷ ours, cold", "processor seconds"),
        (
            (
                ROWS[row].label,
                f"{taken['median']:,.1f}",
                f"{taken['min']:,.1f}–{taken['max']:,.1f}",
                f"{taken['median'] / base:.2f}" if base else "–",
                f"{taken['cpu_s']:,.1f}" if taken["cpu_s"] else "–",
            )
            for row, taken in record["rows"].items()
        ),
    )


def _figures_table(record: Record) -> str:
    lines = []
    for key, found in record["figures"].items():
        figure = FIGURES[key]
        ends = f"{figure.show(found['min'])} … {figure.show(found['max'])}"
        goals = [figure.show(found[goal]) for goal in ("target", "stretch")]
        lines.append([figure.text, figure.show(found["median"]), ends, *goals, found["verdict"]])
    return _table(("figure", "measured", "range", "target", "stretch", "verdict"), lines)


def _breakdown_table(record: Record) -> str:
    rows = {row: parts for row, parts in record["breakdown"].items() if parts}
    parts = list(next(iter(rows.values())))
    return _table(
        ("part", *(ROWS[row].label for row in rows)),
        ((part, *(f"{rows[row][part]:.1f} s" for row in rows)) for part in parts),
    )


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    cells = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
