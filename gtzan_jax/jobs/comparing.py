"""Compares finished runs and lays the comparison out as text."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gtzan_jax.analysis.between_runs import Comparison, compare
from gtzan_jax.errors import InputError
from gtzan_jax.files import write_csv
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.text import flag, printable
from gtzan_jax.views.text import Table, counted

_TOP = 10


def compare_runs(paths: Sequence[str | Path], output: str | Path | None = None) -> Comparison:
    """Compares finished run directories; the others are held against the first.

    Args:
      paths: at least two.
      output: a CSV file to write all matched configs to.

    Raises:
      InputError: a run cannot be used, two have no config in common, or the file cannot be
        written.
    """
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
    """Lays a comparison out as text for a terminal that is Markdown too."""
    pairs, first = comparison.pairs, comparison.runs["run"].iloc[0]
    differences = Table.of(comparison.manifests).markdown
    parts = [
        printable(f"# {first} and {', '.join(pairs['run'])}"),
        Table.of(comparison.runs).markdown,
        printable(f"## Against {first}, configuration by configuration"),
        Table.of(pairs).markdown,
        *_notes(comparison),
        f"## The best of {len(comparison.configs):,} configurations that at least two runs have",
        Table.of(comparison.configs.head(_TOP)).markdown,
        "## What differs in the manifests",
        differences if len(comparison.manifests) else "Nothing.",
    ]
    return "\n\n".join(parts) + "\n"


def _notes(comparison: Comparison) -> list[str]:
    """Returns what the columns of the pairs are, which interval there is, and which runs leak."""
    lines = [_interval_note(row) for row in comparison.pairs.to_dict("records")]
    runs = comparison.runs
    lines += [
        f"{name}: {PROTOCOLS[protocol].leak}: its figures say nothing about songs that were not "
        "trained on"
        for name, protocol in zip(runs["run"], runs["protocol"], strict=True)
        if PROTOCOLS[protocol].leak
    ]
    return [
        "difference: mean test accuracy, less the first run's, over the runs (folds and seeds) "
        "that both have. low, high: its 95 % interval over those. configs_p10, configs_p90: "
        "percentiles of the configurations' differences, their spread and no interval: members "
        "that share a seed share initial weights, order of rows and dropout noise, so that the "
        "configurations of a seed are no sample.",
        "\n".join(f"- {printable(line)}" for line in lines),
    ]


def _interval_note(row: Mapping[Hashable, Any]) -> str:
    runs, over = row["paired_runs"], row["interval_over"]
    if over:
        return f"{row['run']}: 95 % interval over the {over} of {runs} paired runs"
    if not runs:
        return f"{row['run']}: no seed on the same table and split, so there is no interval"
    return (
        f"{row['run']}: {counted(runs, 'paired run')} cannot tell what another would change, so "
        "there is no interval"
    )
