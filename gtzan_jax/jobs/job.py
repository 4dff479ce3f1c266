"""The job of a sweep, created from the user's options."""

import contextlib
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gtzan_jax.backends.backend import Backend
from gtzan_jax.checks import Problems
from gtzan_jax.errors import InputError
from gtzan_jax.inference.songs import load_data
from gtzan_jax.jobs.options import SweepOptions
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir import directory
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.manifest import Manifest, Parts, Split
from gtzan_jax.sound.spectrograms import load_spectrograms
from gtzan_jax.sound.summary import check_no_options
from gtzan_jax.space.config import Config, Trial
from gtzan_jax.space.optuna_search import import_optuna
from gtzan_jax.space.overrides import as_overrides, contradictions
from gtzan_jax.space.sweep import SAMPLERS, Sweep
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.protocols import Splits, make_splits
from gtzan_jax.tables.schema import Columns, FeatureTable
from gtzan_jax.trainer.trainer import Trainer
from gtzan_jax.views import messages
from gtzan_jax.views.progress import watch_songs


def check_contradictions(options: SweepOptions) -> None:
    """Raises InputError for options that contradict each other, before any file is read."""
    problems, workdir = Problems(), options.workdir
    given = [*options.settings, *["num_seeds"] * (options.num_seeds is not None)]
    problems.found += contradictions(options.overrides, given)
    if isinstance(options.sweep, Sweep) and (names := [*options.settings, *options.overrides]):
        problems.found.append(
            f"overrides apply to sweep files only; change the Sweep itself: {', '.join(names)}"
        )
    if workdir == "":
        problems.found.append("--workdir= is empty; name a folder, or leave the flag out")
    if options.overwrite and not workdir:
        problems.found.append("--overwrite needs --workdir, the run directory to remove")
    if options.profile and (options.workers or options.scheduler):
        problems.found.append(
            "--profile traces this process only, so it cannot be combined with --workers or "
            "--scheduler"
        )
    problems.raise_any()


class Stopwatch:
    """Wall-clock seconds of each part of the job, from a value of ``time.perf_counter`` on."""

    def __init__(self, started: float) -> None:
        parts = ("import", "load", "compile", "train", "write", "retrain")
        self.seconds = dict.fromkeys(parts, 0.0)
        self._last = started

    def lap(self, part: str, compiling: float = 0.0) -> None:
        """Adds the time since the last lap to ``part``, of which ``compiling`` to ``compile``."""
        now = time.perf_counter()
        self.seconds[part] += now - self._last - compiling
        self.seconds["compile"] += compiling
        self._last = now


@dataclass(frozen=True)
class Job:
    """A sweep, its data, seeds, run directory and backend."""

    sweep: Sweep  # without configs that its search has not proposed yet
    seeds: Sequence[int]
    splits: Splits
    data: str  # the table as the user named it
    run: RunDir
    options: SweepOptions
    backend: Backend

    @property
    def table(self) -> FeatureTable:
        """The feature table."""
        return self.splits.table

    @property
    def num_runs(self) -> int:
        """Trials of each config."""
        return len(self.splits.folds) * len(self.seeds)

    @property
    def resume(self) -> str:
        """The command, or the Python call, that resumes the run."""
        options, path = self.options, self.run.path
        if not options.is_command:
            return f"run_sweep with the same arguments and workdir={str(path)!r}"
        words = [w for w in shlex.split(options.command) if not w.startswith("--overwrite")]
        return shlex.join(words + ([] if options.workdir else [f"--workdir={path}"]))

    def trials_of(self, configs: Sequence[Config]) -> list[Trial]:
        """Returns the trials of configs, config by config: folds, then seeds."""
        folds = range(len(self.splits.folds))
        return [Trial(c.id, fold, seed) for c in configs for fold in folds for seed in self.seeds]


def make_job(options: SweepOptions, backend: Backend) -> Job:
    """Reads the sweep and the table, and splits the table."""
    sweep, data = options.sweep, options.data
    if not isinstance(sweep, Sweep):
        sweep = load_sweep(sweep, [*options.overrides, *as_overrides(options.settings)])
    if sweep.search.kind in SAMPLERS and not sweep.chosen:
        import_optuna(sweep.search.kind)  # before anything is written
    table = _table_of(sweep, data, options.columns)
    splits = make_splits(table, sweep.protocol, options.split_seed, sweep.num_folds)
    smallest = min(len(fold.train) for fold in splits.folds)
    for batch_size in sweep.axes.get("batch_size") or (sweep.batch_size or 1,):
        if batch_size > smallest:
            fitting = min(32, 1 << (smallest.bit_length() - 1))
            raise InputError(
                f"batch_size {batch_size} is larger than the train part, {smallest} of "
                f"{len(table.y)} {table.words.rows}; choose one that fits, such as "
                f"--set=batch_size={fitting}"
            )
    count = options.num_seeds or sweep.num_seeds
    seeds = range(options.seed, options.seed + count)
    run = RunDir(options.workdir or directory.default_folder(sweep.name))
    name = os.fspath(data) if isinstance(data, (str, os.PathLike)) else table.source
    job = Job(sweep, seeds, splits, name, run, options, backend)
    try:
        directory.check_place(run.path)
        if not run.manifest_path.exists():  # a rough upper estimate
            trial_bytes = 20.0 * sweep.epochs * len(METRICS) + 2.0 * splits.sizes.num_judged
            needed = sweep.num_configs * (300.0 + job.num_runs * trial_bytes)
            directory.check_folder(run.path, 20e6 + needed)
        if options.profile:
            directory.check_place(options.profile, name="profile")
    except InputError:
        if not options.workdir:
            run.path.rmdir()  # created for this run
        raise
    return job


def _table_of(sweep: Sweep, data: Any, columns: Columns) -> FeatureTable:
    """Loads the table or spectrograms of a sweep. Raises InputError if its family needs others."""
    is_cnn = sweep.family == "cnn"
    if is_cnn and not isinstance(data, FeatureTable):
        check_no_options(columns)
        return load_spectrograms(data, watch_songs)
    table = load_data(data, watch_songs, columns)
    if table.is_spectrogram != is_cnn:
        kinds = {True: "spectrograms", False: "a feature table"}
        needed, given = kinds[is_cnn], kinds[not is_cnn]
        raise InputError(f"{sweep.name}: a sweep of {sweep.family} needs {needed}, not {given}")
    return table


def describe(job: Job) -> Manifest:
    """Returns the manifest of a run before it starts."""
    folds = [
        Parts(train=len(f.train), validation=len(f.validation), test=len(f.test))
        for f in job.splits.folds
    ]
    return Manifest(
        status="running",
        resume=job.resume,
        sweep=job.sweep.to_dict(),
        seeds=list(job.seeds),
        data=directory.describe_data(job.table, job.data),
        split=Split(seed=job.splits.split_seed, folds=folds, left_out=list(job.splits.left_out)),
        matmul_precision=job.options.matmul_precision,
    )


class Training(contextlib.ExitStack[bool | None]):
    """Creates the trainer of a job, and its session in the manifest, when training first begins.

    Use as a context manager.
    """

    trainer: Trainer | None = None

    def __init__(self, job: Job, manifest: Manifest, trials_before: int) -> None:
        super().__init__()
        self._job, self._manifest, self._before = job, manifest, trials_before

    def begin(self, configs: Sequence[Config]) -> Trainer:
        """Returns the trainer, created for these configs at the first call."""
        job, backend = self._job, self._job.backend
        if self.trainer is None:
            mode, sizes = job.options.batching, job.splits.sizes
            trainer = backend.trainer(job.sweep, sizes, job.num_runs, mode=mode, configs=configs)
            self.trainer = self.enter_context(trainer)
            session = directory.describe_session(
                job.options.command, self._before, backend.platform, backend.devices
            )
            self._manifest.sessions.append(session)
            job.run.write_manifest(self._manifest)
            views = ("gtzan_jax.views.overview", "gtzan_jax.views.plots")
            messages.import_meanwhile("pandas", *views, "scipy.special")
        return self.trainer
