"""The accuracy on new artists: read from files, or the command that measures it."""

import math
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from gtzan_jax.analysis import endings
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.finished import FinishedRun, read_finished
from gtzan_jax.rundir.manifest import sweep_of
from gtzan_jax.tables.lists import ARTIST_FOLDS, is_known
from gtzan_jax.tables.protocols import ARTISTS_APART
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import KAGGLE_SHA256
from gtzan_jax.text import command_line
from gtzan_jax.views.sections.selection import accuracy_of_best
from gtzan_jax.views.text import counted


class Reading(NamedTuple):
    """An accuracy on new artists, and its source in words."""

    protocol: str
    accuracy: float
    low: float  # of the 95 % interval; NaN where there is none
    high: float
    source: str


def new_artists(run: FinishedRun, classical: dict[str, Any] | None) -> Reading | None:
    """Returns the accuracy on new artists; None if no file has it.

    The first of these counts, whatever its accuracy, on the same feature table:

    1. a finished run beside this one, of the same sweep but for the protocol;
    2. baselines, for an MLP;
    3. retrainings of this run's best config;
    4. any other finished run beside this one, of the same kind of model.

    Among several of one kind: by protocol, in the order of ``ARTISTS_APART``, then the newest.
    """
    return next(_readings(run, classical), None)


def _readings(run: FinishedRun, classical: dict[str, Any] | None) -> Iterator[Reading]:
    beside = _runs_beside(run)
    for path, is_same in beside:
        if is_same:
            yield from _of_run(path, "the same sweep")
    if classical and run.sweep.family == "mlp":
        for protocol in ARTISTS_APART:
            if protocol in classical["readings"]:
                row, folder = classical["readings"][protocol], classical["folders"][protocol]
                of = f" of the sweep {name}" if (name := classical["sweeps"][protocol]) else ""
                source = f"from {folder}: a network{of} that was chosen within each train part"
                yield Reading(protocol, row["accuracy"], row["low"], row["high"], source)
    yield from _of_retrainings(run)
    for path, is_same in beside:
        if not is_same:
            yield from _of_run(path, "another sweep")


def _of_retrainings(run: FinishedRun) -> Iterator[Reading]:
    """Yields accuracies of retrainings of the best config."""
    best, found = run.results["config_id"].iloc[0], []
    for name, saved in run.retrainings.items():
        if saved.about.config_id == best and saved.about.protocol in ARTISTS_APART:
            written = (saved.path / "history.csv").stat().st_mtime
            found.append(((ARTISTS_APART.index(saved.about.protocol), -written, name), saved))
    for (_, _, name), saved in sorted(found, key=lambda each: each[0]):
        last = endings.kept_epoch(saved.history)
        spread = f", ± {last.deviation:.2f} (deviation)" if math.isfinite(last.deviation) else ""
        source = (
            f"from {name}: this configuration, retrained {counted(len(last.epochs), 'time')} "
            f"for {counted(saved.about.epochs, 'epoch')}{spread}. "
            "It was chosen by tracks that are tested here"
        )
        low, high = endings.over_songs(saved.songs)
        yield Reading(saved.about.protocol, last.mean, low, high, source)


def _of_run(path: RunDir, which: str) -> Iterator[Reading]:
    try:
        other = read_finished(path.path)
        accuracy, low, high = accuracy_of_best(other)
    except InputError:
        return
    if math.isfinite(accuracy):
        count = counted(other.sweep.num_configs, "configuration")
        source = f"from the run {other.name} of {which}: the best of {count} on its validation part"
        yield Reading(other.sweep.protocol, accuracy, low, high, source)


def _runs_beside(run: FinishedRun) -> list[tuple[RunDir, bool]]:
    """Returns comparable runs beside a run that keep artists apart, with whether sweeps agree."""
    found, mine = [], run.run.path.resolve()
    for place in mine.parent.glob("*/manifest.json"):
        other = RunDir(place.parent)
        try:
            manifest, written = other.read_manifest(), place.stat().st_mtime
            sweep = sweep_of(manifest, place)
        except (InputError, OSError):
            continue  # not a run that can be compared
        if (
            place.parent != mine
            and manifest.status == "finished"
            and manifest.data.sha256 == run.manifest.data.sha256
            and sweep.protocol in ARTISTS_APART
            and sweep.family == run.sweep.family
        ):
            same = _undivided(manifest.sweep) == _undivided(run.manifest.sweep)
            order = (ARTISTS_APART.index(sweep.protocol), -written, place)
            found.append((order, other, same))
    return [(other, same) for _, other, same in sorted(found, key=lambda each: each[0])]


def _undivided(sweep: dict[str, Any]) -> dict[str, Any]:
    """Returns a manifest's sweep without its division of songs."""
    return {key: value for key, value in sweep.items() if key not in ("protocol", "num_folds")}


def artists_known(run: FinishedRun, table: FeatureTable | None) -> bool | None:
    """Returns whether the artists of a run's songs are listed; None without the table."""
    if run.protocol.goes_by or run.manifest.data.sha256 == KAGGLE_SHA256:
        return True
    return is_known(table.by_song, ARTIST_FOLDS) if table else None


def measuring(run: FinishedRun, data: str | None) -> str:
    """Returns the command that measures a run's accuracy on new artists."""
    if run.sweep.family == "mlp":
        return baselines_command(run, data, ARTISTS_APART[0])
    arguments = [f"--workdir={run.run.path}", f"--protocol={ARTISTS_APART[0]}"]
    return command_line("retrain", [*arguments, *_data_flag(run, data)])


def baselines_command(run: FinishedRun, data: str | None, protocol: str) -> str:
    """Returns the command for baselines beside a run. protocol: a name, or ``all``."""
    seed = run.manifest.split.seed
    beside = os.path.relpath(run.run.path.resolve().parent / f"baselines-{protocol}")
    arguments = [f"--protocol={protocol}", *_data_flag(run, data)]
    arguments += [*([f"--split_seed={seed}"] if seed else []), f"--workdir={beside}"]
    return command_line("baselines", arguments)


def _data_flag(run: FinishedRun, data: str | None) -> list[str]:
    recorded = run.manifest.data
    given = data or (recorded.source if run.is_sample else recorded.flag)
    return [] if given == "auto" else [f"--data={given}"]
