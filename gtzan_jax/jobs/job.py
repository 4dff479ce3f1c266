"""What a run of a sweep is to do, and where: put together from what the user gave."""

import functools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from gtzan_jax.backends.workplace import Workplace
from gtzan_jax.checks import Problems
from gtzan_jax.errors import InputError
from gtzan_jax.jobs.options import SweepOptions
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir import directory
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.history import members_of
from gtzan_jax.rundir.manifest import Manifest, Parts, Split
from gtzan_jax.sound.spectrograms import load_spectrograms
from gtzan_jax.space.config import Member
from gtzan_jax.space.optuna_search import import_optuna
from gtzan_jax.space.overrides import as_overrides, contradictions
from gtzan_jax.space.sweep import SAMPLERS, Sweep
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.protocols import Division, divide
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import load_table
from gtzan_jax.text import flag
from gtzan_jax.views.progress import watch_songs


def check_contradictions(options: SweepOptions) -> None:
    """Checks that no option contradicts another, before anything is read.

    Raises:
      InputError: some do; the message names all of these.
    """
    problems, workdir = Problems(), options.workdir
    given = [*options.settings, *["num_seeds"] * (options.num_seeds is not None)]
    problems.found += contradictions(options.overrides, given)
    if isinstance(options.sweep, Sweep) and (names := [*options.settings, *options.overrides]):
        problems.found.append(
            f"overrides are laid over sweep files; change the Sweep itself: {', '.join(names)}"
        )
    if workdir == "":
        problems.found.append("--workdir= names no folder; give one, or leave the flag out")
    if options.overwrite and not workdir:
        problems.found.append("--overwrite removes the run in --workdir, which is not given")
    if options.profile and (options.workers or options.scheduler):
        problems.found.append(
            "--profile traces this process, and with --workers or --scheduler others train; "
            "leave one out"
        )
    problems.raise_any()


class Stopwatch:
    """Wall-clock seconds by part of the job.

    Args:
      started: where to count from, a reading of ``time.perf_counter``.
    """

    def __init__(self, started: float) -> None:
        parts = ("import", "load", "compile", "train", "write", "retrain")
        self.seconds = dict.fromkeys(parts, 0.0)
        self._last = started

    def lap(self, part: str) -> None:
        """Adds the time since the last lap to a part."""
        now = time.perf_counter()
        self.seconds[part] += now - self._last
        self._last = now

    def move(self, part: str, other: str, seconds: float) -> None:
        """Counts seconds of one part to another."""
        self.seconds[part] -= seconds
        self.seconds[other] += seconds


@dataclass(frozen=True)
class Job:
    """What is to be done, and where."""

    sweep: Sweep
    seeds: Sequence[int]
    division: Division
    data: str  # what the user called the table
    run: RunDir
    options: SweepOptions
    workplace: Workplace
    clock: Stopwatch = field(repr=False)

    @property
    def table(self) -> FeatureTable:
        """The feature table."""
        return self.division.table

    @functools.cached_property
    def members(self) -> list[Member]:
        """All members of the sweep."""
        return members_of(self.sweep, len(self.division.folds), self.seeds)

    @property
    def num_runs(self) -> int:
        """Members of each config."""
        return len(self.division.folds) * len(self.seeds)

    @property
    def num_bytes(self) -> float:
        """What the run directory takes on the disk, roughly and rather too much."""
        members = self.sweep.num_configs * self.num_runs
        numbers = members * self.sweep.epochs * len(METRICS)
        predicted = members * self.division.sizes.num_judged
        return 20e6 + 20.0 * numbers + 2.0 * predicted + 300.0 * self.sweep.num_configs

    @property
    def resume(self) -> str:
        """The command, or the call, that goes on with the run."""
        if not self.options.is_command:
            return f"run_sweep with the same arguments and workdir={str(self.run.path)!r}"
        return f"{self.options.command_elsewhere} {flag('workdir', self.run.path)}"


def make_job(options: SweepOptions, place: Workplace, clock: Stopwatch) -> Job:
    """Puts a job together from what the user gave.

    Raises:
      InputError: a flag, the sweep file or the table cannot be used.
    """
    sweep, data = options.sweep, options.data
    if not isinstance(sweep, Sweep):
        sweep = load_sweep(sweep, [*options.overrides, *as_overrides(options.settings)])
    if sweep.search.kind in SAMPLERS and not sweep.chosen:
        import_optuna(sweep.search.kind)  # before anything is written
    table = _table_of(sweep, data)
    division = divide(table, sweep.protocol, options.split_seed, sweep.num_folds)
    smallest = min(len(fold.train) for fold in division.folds)
    for batch_size in sweep.batch_sizes:
        if batch_size > smallest:
            raise InputError(
                f"batch_size {batch_size} is larger than the train part, {smallest} of "
                f"{len(table.y)} tracks; --set=batch_size={_fitting(smallest)} makes it smaller"
            )
    count = options.num_seeds or sweep.num_seeds
    seeds = range(options.seed, options.seed + count)
    run = RunDir(options.workdir or directory.default_folder(sweep.name))
    name = table.source if isinstance(data, FeatureTable) else os.fspath(data)
    return Job(sweep, seeds, division, name, run, options, place, clock)


def _table_of(sweep: Sweep, data: "str | os.PathLike[str] | FeatureTable") -> FeatureTable:
    """Returns what a sweep's kind of model is trained on.

    Raises:
      InputError: it cannot be had, or is for another kind.
    """
    hears = sweep.family == "cnn"
    if not isinstance(data, FeatureTable):
        return load_spectrograms(data, watch_songs) if hears else load_table(data)
    if data.is_spectrogram != hears:
        kinds = {True: "spectrograms", False: "a feature table"}
        raise InputError(
            f"{sweep.name}: a sweep of {sweep.family} wants {kinds[hears]}, not {kinds[not hears]}"
        )
    return data


def _fitting(rows: int) -> int:
    """Returns a batch size for a small train part: the largest power of two, 32 at most."""
    return min(32, 1 << (rows.bit_length() - 1))


def describe(job: Job) -> Manifest:
    """Returns what the manifest says of a run before it starts."""
    folds = [
        Parts(train=len(f.train), validation=len(f.validation), test=len(f.test))
        for f in job.division.folds
    ]
    return Manifest(
        status="running",
        resume=job.resume,
        sweep=job.sweep.to_dict(),
        seeds=list(job.seeds),
        data=directory.describe_data(job.table, job.data),
        split=Split(
            seed=job.division.split_seed, folds=folds, left_out=list(job.division.left_out)
        ),
        matmul_precision=job.options.matmul_precision,
    )
