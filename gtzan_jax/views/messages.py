"""What jobs print: the start, the summary, warnings."""

import importlib
import sys
import textwrap
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gtzan_jax.analysis import endings
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.tables.schema import SAMPLES
from gtzan_jax.text import printable, tensorboard_line
from gtzan_jax.views.text import by_stem, counted, plus_minus

if TYPE_CHECKING:
    import pandas as pd

    from gtzan_jax.rundir.finished import FinishedRun
    from gtzan_jax.tables.schema import FeatureTable

_WIDTH = 80  # columns of a terminal
_TOP = 3


def print_start(sweep: Sweep, num_runs: int, place: str, source: str, path: Path) -> None:
    """Prints what is about to be done, and where.

    A config has a run for each fold and seed; the place is where members are trained, the source
    that of the feature table.
    """
    runs = f" × {num_runs} runs" if num_runs > 1 else ""
    how = "" if sweep.search.kind == "grid" else f" by {sweep.search.kind}"
    print(
        f"{printable(sweep.name)}: {counted(sweep.num_configs, 'config')}{runs} × "
        f"{counted(sweep.epochs, 'epoch')}{how}, {place}"
    )
    print(f"  from {printable(source)} to {printable(path)}", flush=True)


def print_trained(count: int, total: int) -> None:
    """Prints how many epochs of members are already trained, if any."""
    if count:
        print(f"  {count:,} of {total:,} member-epochs are already trained", flush=True)


def print_summary(run: "FinishedRun", seconds: Mapping[str, float]) -> None:
    """Prints the top of the table, where everything is, and the seconds of each part."""
    results = run.results
    print()
    for line in _top_of_table(run):
        print(line)
    if run.manifest.data.is_chunked:
        print("accuracy: of songs, by the mean log-probability of their chunks; ranked by it")
    diverged = int(results["diverged"].sum())
    if diverged:
        print(f"{diverged:,} of {len(results):,} configs diverged; they rank last")
    given = results.get("epochs_given")
    if given is not None and given.iloc[0] < run.sweep.epochs:
        warn(
            "every config that was trained to the end diverged: the first in the table was given "
            f"up after epoch {given.iloc[0]}"
        )
    if run.retrained is not None:
        print(retraining_line(run.retrained))
    warn_of_leak(run.protocol.leak)
    if run.is_sample:
        print("these figures are from the SYNTHETIC sample and say nothing about music")
    folder = run.run
    model = f", the model in {folder.best}" if run.retrained is not None else ""
    print(printable(f"results in {folder.results_path}{model}"))
    print(printable(f"  {tensorboard_line(folder.tensorboard)}   # every run, HParams page"))
    print(printable(f"  {tensorboard_line(folder.overview)}   # the best, means, figures"))
    parts = ", ".join(f"{part} {value:.1f}" for part, value in seconds.items())
    print(f"{sum(seconds.values()):.1f} s ({parts})")


def retraining_line(history: "pd.DataFrame") -> str:
    """Returns what a retraining came to, a line or two: mean and deviation over its networks.

    Args:
      history: one row an epoch of a network, with the metrics that the protocol has.
    """
    kept, chosen = endings.kept_epoch(history), endings.chosen_epoch(history)
    longest = history["epoch"].max()
    most = "at most " if endings.stopped_early(history, longest) else ""
    line = (
        f"retrained {counted(len(kept.epochs), 'time')} for {most}{longest} epochs: "
        f"test accuracy {plus_minus(kept.mean, kept.deviation)}"
    )
    if chosen:
        line += f"\n  at the epochs best by validation {plus_minus(chosen.mean, chosen.deviation)}"
    return line


def warn(sentence: str) -> None:
    """Prints a warning to standard error."""
    print(f"warning: {printable(sentence)}", file=sys.stderr)


def warn_of_leak(leak: str) -> None:
    """Says what is wrong with a protocol's figures, in red on a terminal, unless nothing is."""
    if leak:
        sentence = f"{leak}: these figures say nothing about songs that were not trained on"
        print(f"\033[1;31m{sentence}\033[0m" if sys.stderr.isatty() else sentence, file=sys.stderr)


def warn_of_sample(table: "FeatureTable") -> None:
    """Says, so that it cannot be missed, that the sample stands in for the real table."""
    if table.notice:
        rule = "!" * _WIDTH
        notice = textwrap.fill(printable(table.notice), _WIDTH)
        print(f"{rule}\n{notice}\n{rule}", file=sys.stderr)


def warn_of_model(data: str, protocol: str) -> None:
    """Says where a model was trained on the sample, or by a protocol that leaks."""
    if data in SAMPLES:
        rule = "!" * _WIDTH
        what = (
            "songs are made up" if data == "sounds" else "features are made up and of no real songs"
        )
        notice = (
            f"This model was trained on the SYNTHETIC sample, whose {what}: what it says of yours "
            "is no more than a test of the machinery."
        )
        print(f"{rule}\n{textwrap.fill(notice, _WIDTH)}\n{rule}", file=sys.stderr)
    if protocol in PROTOCOLS:
        warn_of_leak(PROTOCOLS[protocol].leak)


def warn_of_table(table: "FeatureTable") -> None:
    """Warns where the sample stands in for the real table, and of tracks with equal features."""
    warn_of_sample(table)
    if table.repeats:
        rows = sum(len(group) for group in table.repeats)
        first = " = ".join(table.tracks[row] for row in table.repeats[0])
        warn(
            f"{rows} of {len(table.tracks):,} tracks repeat another's features exactly "
            f"({first}, …); they are kept, and may lie in several parts of a fold"
        )


def import_meanwhile(*modules: str) -> None:
    """Imports modules on another thread, while this one waits for devices."""

    def load() -> None:
        for module in modules:
            importlib.import_module(module)

    threading.Thread(target=load, name="import", daemon=True).start()


def _top_of_table(run: "FinishedRun") -> list[str]:
    """Returns the best configs as lines of at most 80 letters, for any axes."""
    accuracies = [name for name in run.metrics if name in _SHOWN]
    heads = ["rank", *(_SHOWN[name] for name in accuracies)]
    lines = _row(heads, ", ".join(by_stem(run.sweep.configs[0])))
    for place, row in enumerate(run.results.head(_TOP).to_dict("records"), start=1):
        figures = [str(row["rank"]), *(f"{row[name]:.4f}" for name in accuracies)]
        cells = [f"{text:>{len(head)}}" for text, head in zip(figures, heads, strict=True)]
        lines += _row(cells, ", ".join(by_stem(run.config(place)).values()))
    return lines


_SHOWN = {
    "validation_accuracy": "validation",
    "test_accuracy": "accuracy",
    "test_chunk_accuracy": "by chunk",
}


def _row(cells: list[str], description: str) -> list[str]:
    """Returns cells, and behind them a description over as many lines as it takes."""
    front = "  ".join(cells) + "  "
    return textwrap.wrap(
        description, _WIDTH, initial_indent=front, subsequent_indent=" " * len(front)
    )
