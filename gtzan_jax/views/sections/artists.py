"""The accuracy on new artists, or the command that measures it."""

import math
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from gtzan_jax.analysis import retraining_summary
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.finished import FinishedRun, read_finished
from gtzan_jax.rundir.manifest import sweep_of
from gtzan_jax.tables.frames import FRAME
from gtzan_jax.tables.lists import ARTIST_FOLDS, is_known
from gtzan_jax.tables.protocols import ARTISTS_APART
from gtzan_jax.tables.reading import listed
from gtzan_jax.tables.schema import NO_OPTIONS, Columns, FeatureTable
from gtzan_jax.tables.sources import KAGGLE_SHA256
from gtzan_jax.text import command_line
from gtzan_jax.views.sections.baselines import Baselines
from gtzan_jax.views.sections.selection import accuracy_of_best
from gtzan_jax.views.text import counted


class Reading(NamedTuple):
    """An accuracy, and its source in words."""

    protocol: str
    accuracy: float
    low: float  # of the 95 % interval; NaN where there is none
    high: float
    source: str


def new_artists(run: FinishedRun, baselines: Baselines | None) -> Reading | None:
    """Returns the accuracy on new artists; None if no file has it.

    Sources, the first found wins, whatever its accuracy: finished runs beside this one that differ
    in the protocol alone; baselines, for an MLP; retrainings of this run's best config. Within a
    source: by protocol, in the order of ``ARTISTS_APART``, then the newest.
    """
    own = baselines if run.sweep.family == "mlp" else None
    found = (_of_runs(run), _of_baselines(own), _of_retrainings(run))
    return next((reading for readings in found for reading in readings), None)


def _of_runs(run: FinishedRun) -> Iterator[Reading]:
    """Yields accuracies of the same sweep under other protocols, from runs beside this one."""
    found, mine = [], run.run.path.resolve()
    for place in mine.parent.glob("*/manifest.json"):
        try:
            manifest, written = RunDir(place.parent).read_manifest(), place.stat().st_mtime
            sweep = sweep_of(manifest, place)
        except (InputError, OSError):
            continue
        if (
            place.parent != mine
            and manifest.status == "finished"
            and manifest.data.sha256 == run.manifest.data.sha256
            and manifest.data.columns == run.manifest.data.columns
            and sweep.protocol in ARTISTS_APART
            and _undivided(manifest.sweep) == _undivided(run.manifest.sweep)
        ):
            found.append((ARTISTS_APART.index(sweep.protocol), -written, place))
    for _, _, place in sorted(found):
        try:
            other = read_finished(place.parent)
            accuracy, low, high = accuracy_of_best(other)
        except InputError:
            continue
        count = counted(other.sweep.num_configs, "configuration")
        source = f"run {other.name}, best of {count} on its validation part"
        if math.isfinite(accuracy):
            yield Reading(other.sweep.protocol, accuracy, low, high, source)


def _undivided(sweep: dict[str, Any]) -> dict[str, Any]:
    """Returns a manifest's sweep without its protocol."""
    return {key: value for key, value in sweep.items() if key not in ("protocol", "num_folds")}


def _of_baselines(baselines: Baselines | None) -> Iterator[Reading]:
    for protocol in ARTISTS_APART:
        if baselines and protocol in baselines.protocols:
            (row, _), source = baselines.pair(protocol), baselines.sources[protocol]
            words = f"{source.folder.name}, our network selected within each train part from the "
            words += f"sweep {source.described.ours.sweep}"
            yield Reading(protocol, row["accuracy"], row["low"], row["high"], words)


def _of_retrainings(run: FinishedRun) -> Iterator[Reading]:
    """Yields accuracies of retrainings of the best config."""
    best, found = run.results["config_id"].iloc[0], []
    for name, saved in run.retrainings.items():
        if saved.about.config_id == best and saved.about.protocol in ARTISTS_APART:
            written = (saved.path / "history.csv").stat().st_mtime
            found.append((ARTISTS_APART.index(saved.about.protocol), -written, name))
    for _, _, name in sorted(found):
        saved = run.retrainings[name]
        last = retraining_summary.kept_epoch(saved.history)
        spread = f", ± {last.deviation:.2f} (deviation)" if math.isfinite(last.deviation) else ""
        source = (
            f"{name}, this configuration retrained {counted(len(last.epochs), 'time')} "
            f"for {counted(saved.about.epochs, 'epoch')}{spread}; "
            "selecting it used tracks tested here"
        )
        low, high = retraining_summary.over_songs(saved.songs)
        yield Reading(saved.about.protocol, last.mean, low, high, source)


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
    """Returns the command that makes baselines beside a run. protocol: a name, or ``all``."""
    seed = run.manifest.split.seed
    beside = os.path.relpath(run.run.path.resolve().parent / f"baselines-{protocol}")
    arguments = [f"--protocol={protocol}", *_data_flag(run, data)]
    arguments += [*([f"--split_seed={seed}"] if seed else []), f"--workdir={beside}"]
    return command_line("baselines", arguments)


def _data_flag(run: FinishedRun, data: str | None) -> list[str]:
    recorded = run.manifest.data
    given = data or (recorded.source if run.is_sample else recorded.flag)
    flags = [] if given == "auto" else [f"--data={given if given != FRAME else 'PATH'}"]
    return flags + column_flags(recorded.columns)


def column_flags(columns: Columns) -> list[str]:
    """Returns the flags that describe a table's columns to a command."""
    return [
        f"--{name}={value if isinstance(value, str) else listed(value)}"
        for name, value in vars(columns).items()
        if value != getattr(NO_OPTIONS, name)
    ]
