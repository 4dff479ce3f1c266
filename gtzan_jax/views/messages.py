"""Messages of commands: start, summary, warnings."""

import contextlib
import importlib
import math
import os
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.analysis import retraining_summary, selection
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.protocols import ARTISTS_APART, PROTOCOLS
from gtzan_jax.tables.schema import SAMPLES, SONGS, Words
from gtzan_jax.tables.sources import DATA_NAMES
from gtzan_jax.text import command_line, printable, tensorboard_line
from gtzan_jax.views.text import by_stem, counted, plus_minus

if TYPE_CHECKING:
    import pandas as pd

    from gtzan_jax.rundir.finished import FinishedRun
    from gtzan_jax.tables.schema import FeatureTable

_WIDTH = 80  # columns of a terminal
_TOP = 3
_HEADS = {
    "validation_accuracy": "validation",
    "test_accuracy": "test",
    "test_segment_accuracy": "by segment",
}

_printed: list[set[str]] = []  # warnings of the running command, if any


@contextlib.contextmanager
def each_warning_once() -> Iterator[None]:
    """Prints no warning twice within a command."""
    _printed.append(_printed[-1] if _printed else set())
    try:
        yield
    finally:
        _printed.pop()


def _print_warning(text: str) -> None:
    if _printed:
        if text in _printed[-1]:
            return
        _printed[-1].add(text)
    print(text, file=sys.stderr)


def print_start(
    sweep: Sweep, num_folds: int, num_seeds: int, backend: str, source: str, path: Path
) -> None:
    """Prints the size of a sweep, its backend, search, data and run directory."""
    kind, runs = sweep.search.kind, _runs(num_folds, num_seeds)
    sizes = counted(sweep.num_configs, "configuration"), runs, counted(sweep.epochs, "epoch")
    search = "" if kind == "grid" else f" by {kind}"
    size = " × ".join(filter(None, sizes))
    print(_filled(f"{printable(sweep.name)}: {size}{search} on {backend}"))
    if kind not in ("grid", "one_at_a_time"):
        settings = sweep.search.to_dict()
        if not sweep.ranges:
            in_grid = math.prod(map(len, sweep.axes.values()))
            settings["num_configs"] = f"{sweep.num_configs:,} of {in_grid:,}"
        shown = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "kind")
        print(_filled(f"  search settings: {shown}; change them with --set=search.KEY=VALUE"))
        select_on = PROTOCOLS[sweep.protocol].select_on
        print(f"  ranked on the {select_on} part of {sweep.protocol}")
    print(f"  data: {printable(source)}; results in {printable(path)}", flush=True)


def print_trained(count: int, total: int) -> None:
    """Prints the number of epochs that are already trained, if any."""
    if count:
        print(f"  {count:,} of {total:,} epochs are already trained", flush=True)


def print_summary(run: "FinishedRun", seconds: Mapping[str, float]) -> None:
    """Prints the best configs, caveats, paths, next commands and the seconds of each part."""
    results, folder, saved = run.results, run.run, run.retraining("best")
    heads = {"rank": "rank"} | {n: f"{_HEADS[n]:>6}" for n in run.metrics if n in _HEADS}
    rows = [([*heads.values()], ", ".join(by_stem(run.sweep.configs[0])))]
    for place, row in enumerate(results.head(_TOP).to_dict("records"), start=1):
        figures = [str(row[n]) if n == "rank" else f"{row[n]:.4f}" for n in heads]
        rows.append((figures, ", ".join(by_stem(run.config(place)).values())))
    best = min(_TOP, len(results))
    count, part = counted(len(results), "configuration"), run.compared_on
    print(f"best {best} of {count}, ranked by accuracy on the {part} part:")
    for texts, config in rows:
        cells = zip(texts, heads.values(), strict=True)
        front = "".join(f"{text:>{len(head)}}  " for text, head in cells)
        indent = " " * len(front)
        print(textwrap.fill(config, _WIDTH, initial_indent=front, subsequent_indent=indent))
    print(*map(_filled, _caveats(run)), sep="\n")
    if run.retrained is not None:
        protocol = saved.about.protocol if saved else ""
        songs = saved.songs if saved else None
        print(retraining_line(run.retrained, songs, run.words, protocol))
    if run.protocol.leak:
        print(f"protocol {run.sweep.protocol} LEAKS: its accuracies are too high")
    if run.is_sample:
        print("these figures are from the SYNTHETIC sample, not from music")
    model = f", the model in {folder.best}" if run.retrained is not None else ""
    print(_filled(printable(f"results in {folder.results_path}{model}")))
    data = run.manifest.data
    # The report command does not look for a user's own table.
    is_users = data.flag not in DATA_NAMES and os.path.exists(data.flag)
    where = [f"--data={data.flag}"] if is_users and run.sweep.family != "cnn" else []
    commands = {command_line("report", [folder.path, *where]): "writes report.html"}
    if run.retrained is not None:
        commands |= predicting(str(folder.path), data.is_of_songs)
    elif not run.indistinguishable.empty:
        commands[command_line("retrain", [f"--workdir={folder.path}"])] = "retrains the best"
    commands[tensorboard_line(folder.tensorboard)] = "all trials, HParams"
    commands[tensorboard_line(folder.overview)] = "the best, means, plots"
    for command, result in commands.items():
        line = f"  {command}   # {result}"
        print(printable(line if len(line) <= _WIDTH else f"  {command}"))
    parts = ", ".join(f"{part} {value:.1f}" for part, value in seconds.items())
    print(_filled(f"{sum(seconds.values()):.1f} s ({parts})"))


def predicting(path: str, is_of_songs: bool) -> dict[str, str]:
    """Returns the command that predicts with a model, or the Python call, and its result."""
    if is_of_songs:
        return {command_line("predict", [path, "SONG"]): "predicts its genre"}
    return {f"gtzan_jax.load_model({path!r}).predict(TABLE)": "Python: its classes"}


def retraining_line(
    history: "pd.DataFrame",
    songs: "pd.DataFrame | None",
    words: Words = SONGS,
    protocol: str = "",
) -> str:
    """Returns the test accuracy of a retraining, with deviation and interval.

    ``history`` has one row for each epoch of a network, ``songs`` one for each test song;
    ``protocol`` is the retraining's.
    """
    kept, chosen = retraining_summary.kept_epoch(history), retraining_summary.chosen_epoch(history)
    longest = history["epoch"].max()
    most = "at most " if retraining_summary.stopped_early(history, longest) else ""
    line = (
        f"retrained {counted(len(kept.epochs), 'time')} for {most}{counted(longest, 'epoch')}: "
        f"test accuracy {plus_minus(kept.mean, kept.deviation)}"
    )
    if chosen:
        at_best = plus_minus(chosen.mean, chosen.deviation)
        line += f"\n  at the epochs that are best on the validation part: {at_best}"
    if len(kept.epochs) > 1:
        runs = _runs(history["fold"].nunique(), history["seed"].nunique())
        line += f"\n  ±: standard deviation over {runs}"
    low, high = retraining_summary.over_songs(songs)
    if math.isfinite(low):
        scope = f"over {words.units}, for these networks"
        if words.is_grouped or protocol in ARTISTS_APART:
            others = selection.others(words) if words.is_grouped else "other artists"
            scope = f"for {others} and these networks"
        line += f"\n  95 % interval {scope}: {low:.2f} to {high:.2f}"
    elif songs is not None:
        line += (
            f"\n  no interval over {words.units}: the {len(songs)} test {words.units} are too few "
            "or too alike"
        )
    return line


def _runs(num_folds: int, num_seeds: int) -> str:
    """Returns the numbers of folds and seeds, where there are several."""
    parts = [(num_folds, "fold"), (num_seeds, "seed")]
    return " × ".join(counted(count, noun) for count, noun in parts if count > 1)


def num_compared(run: "FinishedRun") -> int:
    """Returns the number of configs that were trained for all epochs and did not diverge."""
    given = run.results.get("epochs_given", run.sweep.epochs)
    return int(np.sum((given == run.sweep.epochs) & ~run.results["diverged"]))


def likeness(run: "FinishedRun") -> str:
    """Returns a clause on the configs indistinguishable from the best; "" for a single config."""
    tied, compared = run.indistinguishable, num_compared(run)
    if compared <= 1 or tied.empty:
        return ""
    alike = f"statistically indistinguishable from the best on the {run.compared_on} part"
    ends = dict.fromkeys(f"{end:.4f}" for end in tied["test_accuracy"].agg(["min", "max"]))
    if len(tied) == 1 and not tied.index[0]:
        return f"none of the other {compared - 1:,} configurations is {alike}"
    accuracies = "accuracies" if len(ends) > 1 else "accuracy"
    first = "; the first in the table is not among them" if tied.index[0] else ""
    return (
        f"{len(tied):,} of {compared:,} configurations are {alike} (test {accuracies} "
        f"{' to '.join(ends)}{first})"
    )


def _caveats(run: "FinishedRun") -> list[str]:
    """Returns the sentences that qualify the table of the best."""
    results, sentences = run.results, []
    if run.manifest.data.is_segmented:
        sentences.append(
            "test and validation accuracy are of songs, by the mean log-probability of their "
            "segments"
        )
    if runs := _runs(len(run.manifest.split.folds), len(run.manifest.seeds)):
        sentences.append(f"each accuracy is the mean over {runs}")
    if "epochs_given" in results:
        whole = counted(int((results["epochs_given"] == run.sweep.epochs).sum()), "configuration")
        sentences.append(f"the search trained {whole} of {len(results):,} for all epochs")
        if results["epochs_given"].iloc[0] < run.sweep.epochs:
            sentences.append("all of those diverged")
    if diverged := int(results["diverged"].sum()):
        count = counted(len(results), "configuration")
        sentences.append(f"{diverged:,} of {count} diverged and rank last")
    if alike := likeness(run):
        on_test = "test part, so its accuracy there is optimistic"
        on_validation = "validation part, not on the test part"
        chosen = on_test if run.protocol.select_on == "test" else on_validation
        sentences += [alike, detectable_difference(run), f"the best was chosen on the {chosen}"]
    return [sentence for sentence in sentences if sentence]


def detectable_difference(run: "FinishedRun") -> str:
    """Returns a sentence on differences too small to detect; "" if unknown."""
    seeds, detectable = run.manifest.seeds, run.manifest.detectable
    if detectable is None:
        return ""
    points = counted(round(100 * detectable), "percentage point")
    count = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    return (
        f"differences below about {points} cannot be detected with these "
        f"{run.num_compared_on:,} {run.compared_on} {run.words.units} and {count}"
    )


def _filled(text: str) -> str:
    """Wraps a text to the terminal's width; paths stay whole."""
    return textwrap.fill(
        text, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def warn(sentence: str) -> None:
    """Prints a warning to standard error."""
    _print_warning(f"warning: {printable(sentence)}")


def warn_of_leak(leak: str) -> None:
    """Warns of a leak, in red on a terminal."""
    if leak:
        sentence = f"{leak}: these figures do not apply to songs outside the training set"
        _print_warning(f"\033[1;31m{sentence}\033[0m" if sys.stderr.isatty() else sentence)


def warn_of_sample(notice: str) -> None:
    """Prints a notice on the synthetic sample, if any, between rules."""
    if notice:
        rule = "!" * _WIDTH
        _print_warning(f"{rule}\n{textwrap.fill(printable(notice), _WIDTH)}\n{rule}")


def warn_of_model(data: str, protocol: str) -> None:
    """Warns of a model trained on the sample or under a leaky protocol."""
    if data in SAMPLES:
        warn_of_sample(
            "This model was trained on the SYNTHETIC sample, not on real songs: its predictions "
            "for your songs only show that the program works."
        )
    if protocol in PROTOCOLS:
        warn_of_leak(PROTOCOLS[protocol].leak)


def warn_of_table(table: "FeatureTable") -> None:
    """Warns of the synthetic sample, and of rows with equal features."""
    warn_of_sample(table.notice)
    if table.repeats:
        rows = sum(len(group) for group in table.repeats)
        noun = "" if table.is_of_songs else f"{table.words.row} "
        first = " = ".join(f"{noun}{table.tracks[row]}" for row in table.repeats[0])
        warn(
            f"{rows} of {len(table.tracks):,} {table.words.rows} have exactly the features of "
            f"another ({first}, …); they are kept, and may be in several parts of a fold"
        )


def import_meanwhile(*modules: str) -> None:
    """Imports modules in another thread, while this one waits for devices."""
    imports = map(importlib.import_module, modules)
    threading.Thread(target=list, args=(imports,), name="import", daemon=True).start()
