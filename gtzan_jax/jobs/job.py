"""What a run of a sweep is to do, and where: put together from what the user gave."""

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtzan_jax.backends.workplace import Workplace
from gtzan_jax.checks import Problems
from gtzan_jax.errors import InputError
from gtzan_jax.jobs.options import SweepOptions
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir import directory
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.manifest import Manifest, Parts, Split
from gtzan_jax.sound.spectrograms import load_spectrograms
from gtzan_jax.space.config import Config, Member
from gtzan_jax.space.optuna_search import import_optuna
from gtzan_jax.space.overrides import as_overrides, contradictions
from gtzan_jax.space.sweep import SAMPLERS, Sweep
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.protocols import Division, divide
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import load_table
from gtzan_jax.text import flag
from gtzan_jax.trainer.trainer import Trainer
from gtzan_jax.views import messages
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

    sweep: Sweep  # without the configs that its search is yet to propose
    seeds: Sequence[int]
    division: Division
    data: str  # what the user called the table
    run: RunDir
    options: SweepOptions
    workplace: Workplace

    @property
    def table(self) -> FeatureTable:
        """The feature table."""
        return self.division.table

    @property
    def num_runs(self) -> int:
        """Members of each config."""
        return len(self.division.folds) * len(self.seeds)

    @property
    def resume(self) -> str:
        """The command, or the call, that resumes the run."""
        if not self.options.is_command:
            return f"run_sweep with the same arguments and workdir={str(self.run.path)!r}"
        return f"{self.options.command_elsewhere} {flag('workdir', self.run.path)}"

    def members_of(self, configs: Sequence[Config]) -> list[Member]:
        """Returns the members of configs, in their order: folds, then seeds of each."""
        folds = range(len(self.division.folds))
        return [Member(c.id, fold, seed) for c in configs for fold in folds for seed in self.seeds]


def make_job(options: SweepOptions, place: Workplace) -> Job:
    """Reads the sweep and the table, and divides it.

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
    for batch_size in sweep.axes.get("batch_size") or (sweep.batch_size or 1,):
        if batch_size > smallest:
            fitting = min(32, 1 << (smallest.bit_length() - 1))
            raise InputError(
                f"batch_size {batch_size} is larger than the train part, {smallest} of "
                f"{len(table.y)} tracks; --set=batch_size={fitting} makes it smaller"
            )
    count = options.num_seeds or sweep.num_seeds
    seeds = range(options.seed, options.seed + count)
    run = RunDir(options.workdir or directory.default_folder(sweep.name))
    name = table.source if isinstance(data, FeatureTable) else os.fspath(data)
    job = Job(sweep, seeds, division, name, run, options, place)
    try:
        _check_places(job)
    except InputError:
        if not options.workdir:
            run.path.rmdir()  # it was made for this run
        raise
    return job


def _check_places(job: Job) -> None:
    path, members = job.run.path, job.sweep.num_configs * job.num_runs
    directory.check_place(path)
    if not job.run.manifest_path.exists():  # roughly, and rather too much:
        epochs, judged = job.sweep.epochs, job.division.sizes.num_judged
        of_members = members * (20.0 * epochs * len(METRICS) + 2.0 * judged)
        directory.check_folder(path, 20e6 + of_members + 300.0 * job.sweep.num_configs)
    if job.options.profile:
        directory.check_place(Path(job.options.profile), name="profile")


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


class Training:
    """The trainer of a job, made when something is first to be trained. Use as a context manager.

    Args:
      job: what is to be trained.
      manifest: gets a session then.
      members_before: that are there already.
    """

    trainer: Trainer | None = None

    def __init__(self, job: Job, manifest: Manifest, members_before: int) -> None:
        self._job, self._manifest, self._before = job, manifest, members_before
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Training":
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self._stack.__exit__(kind, error, traceback)

    def begin(self, configs: Sequence[Config]) -> Trainer:
        """Returns the trainer, which is for these configs if it has to be made."""
        job, place = self._job, self._job.workplace
        if self.trainer is None:
            self.trainer = self._stack.enter_context(
                place.trainer(
                    job.sweep, job.division.sizes, job.num_runs,
                    mode=job.options.batching, configs=configs,
                )
            )  # fmt: skip
            self._manifest.sessions.append(
                directory.describe_session(
                    job.options.command, self._before, place.platform, place.devices
                )
            )
            job.run.write_manifest(self._manifest)
            messages.import_meanwhile("pandas", "gtzan_jax.views.overview")
        return self.trainer
