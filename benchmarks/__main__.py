"""Measures gtzan_jax and its peers.

  python -m benchmarks --quick
  python -m benchmarks --only=floor --repeats=1 --name=trial

Writes the record and its Markdown table into benchmarks/results.
"""

import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine, report
from benchmarks.context import Context, Measurement, csv_of
from benchmarks.rows import QUICK, ROWS
from gtzan_jax import checks, cli
from gtzan_jax.checks import Choice, Whole
from gtzan_jax.errors import InputError, RunError, nearest
from gtzan_jax.files import write_atomically
from gtzan_jax.jobs.options import DATA, option
from gtzan_jax.tables.sources import load_table
from gtzan_jax.trainer.platforms import PLATFORMS
from gtzan_jax.views import messages

_INSTALL = "pip install -e '.[bench]'"


@dataclass(frozen=True)
class Options:
    """Options: what to measure, and where to write the record."""

    data: str = option("auto", checks.text, DATA)
    platform: str = option("cpu", Choice(PLATFORMS), "Where gtzan_jax computes; peers use the CPU.")
    quick: bool = option(
        False,
        checks.yes_or_no,
        f"Measure {', '.join(QUICK)} once, in less than two minutes, and compare with what is "
        "recorded; writes nothing unless --name is options.",
    )
    repeats: int = option(3, Whole(1, 1000), "Rounds; each measures every row.")
    only: str = option("", checks.text, f"Rows to measure, with commas, of {', '.join(ROWS)}.")
    out: str = option("benchmarks/results", checks.text, "Folder of the records.")
    name: str | None = option(
        None,
        checks.text,
        "What to call the record. Default: latest, if all rows are measured; else none is written.",
    )


def chosen_rows(options: Options) -> list[str]:
    """Returns the rows that the flags select.

    Raises:
      InputError: a row does not exist.
    """
    names = list(filter(None, options.only.split(",")))
    for name in names:
        if name not in ROWS:
            raise InputError(
                f"--only={name}: no such row{nearest(name, ROWS)}; there are {', '.join(ROWS)}"
            )
    usual = QUICK if options.quick else [name for name, row in ROWS.items() if row.usual]
    return names or list(usual)


def present(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Returns the rows that can be measured, and a message for each of the others."""
    can, cannot = [], []
    for name in names:
        if ROWS[name].missing:
            needs = ", ".join(ROWS[name].missing)
            cannot.append(f"{ROWS[name].label}: {needs} is not installed; {_INSTALL}")
        else:
            can.append(name)
    return can, cannot


def measure(name: str, context: Context) -> Measurement | None:
    """Measures a row and prints its seconds; prints the error and returns None if it failed."""
    label = ROWS[name].label
    try:
        measured = ROWS[name].measure(context)
    except RunError as error:
        print(f"  {label}: failed\n{error}", file=sys.stderr)
        return None
    seconds = measured["seconds"]
    training = f" (training {measured['training_s']:,.1f} s)" if "training_s" in measured else ""
    print(f"  {label}: {seconds:,.1f} s{training}", flush=True)
    return measured


def record_and_write(
    options: Options, rounds: Sequence[dict[str, Measurement]], **more: Any
) -> report.Record:
    """Returns the record of some rounds, and writes it if the flags ask for it."""
    record = report.record_of(rounds, **more)
    name, out = options.name, Path(options.out)
    if not name and not options.quick and not options.only:
        name = "latest"
    if name:
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        write_atomically(out / f"{name}.json", text.encode())
        write_atomically(out / f"{name}.md", report.markdown(record).encode())
    return record


def recorded(out: str) -> report.Record:
    """Returns the record in the repository; empty if there is none."""
    path = Path(out, "latest.json")
    if not path.is_file():
        print(f"no record to compare with: {path} does not exist")
        return {"figures": {}, "rounds": []}
    record: report.Record = json.loads(path.read_text(encoding="utf-8"))
    return record


def measure_round(names: Iterable[str], context: Context, first: bool) -> dict[str, Measurement]:
    """Measures each row once; slow rows in the first round only."""
    wanted = [name for name in names if first or not ROWS[name].once]
    measured = {name: measure(name, context) for name in wanted}
    return {name: found for name, found in measured.items() if found}


def main(options: Options) -> int:
    """Measures round by round, and prints the report.

    Returns:
      1 if a row failed in every round, else 0.
    """
    names, missing = present(chosen_rows(options))
    for line in missing:
        print(f"skipped: {line}")
    if busy := machine.busy():
        print(f"warning: {busy}; measure on an idle machine", file=sys.stderr)
    table = load_table(options.data)
    messages.warn_of_table(table)
    before: report.Record = recorded(options.out) if options.quick else {"rounds": []}
    rounds: list[dict[str, Measurement]] = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as scratch:
        context = Context(
            csv_of(table, Path(scratch)), Path(scratch), options.platform, options.quick
        )
        context.chosen |= report.variants(before["rounds"])
        for number in range(1 if options.quick else options.repeats):
            print(f"round {number + 1}", flush=True)
            rounds.append(measure_round(names, context, number == 0))
            record = record_and_write(
                options,
                rounds,
                platform=options.platform,
                data=table.note("random 70:30 split, seed 0"),
                missing=missing,
                busy=busy,
            )
    print(f"\n{report.markdown(record)}")
    if options.quick:
        print("\n".join(report.comparison(record, before)))
    return int(not all(name in record["rows"] for name in names))


if __name__ == "__main__":
    cli.run(main, Options)
