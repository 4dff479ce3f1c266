"""The job of a sweep: made from the user's options."""

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
    """Checks that no option contradicts another, before anything is read."""
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
    """Wall-clock seconds by part of the job, counted from a reading of ``time.perf_counter``."""

    def __init__(self, started: float) -> None:
        parts = ("import", "load", "compile", "train", "write", "retrain")
        self.seconds = dict.fromkeys(parts, 0.0)
        self._last = started

    def lap(self, part: str, compiling: float = 0.0) -> None:
        """Adds the time since the last lap to a part, what it compiled to another."""
        now = time.perf_counter()
        self.seconds[part] += now - self._last - compiling
        self.seconds["compile"] += compiling
        self._last = now


@dataclass(frozen=True)
class Job:
    """The parts of a sweep's run."""

    sweep: Sweep  # without the configs that its search is yet to propose
    seeds: Sequence[int]
    splits: Splits
    data: str  # the name by which the user gave the table
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
        """The command, or the call, that resumes the run."""
        options, path = self.options, self.run.path
        if not options.is_command:
            return f"run_sweep with the same arguments and workdir={str(path)!r}"
        words = [w for w in shlex.split(options.command) if not w.startswith("--overwrite")]
        return shlex.join(words + ([] if options.workdir else [f"--workdir={path}"]))

    def trials_of(self, configs: Sequence[Config]) -> list[Trial]:
        """Returns the trials of configs, in their order: folds, then seeds of each."""
        folds = range(len(self.splits.folds))
        return [Trial(c.id, fold, seed) for c in configs for fold in folds for seed in self.seeds]


def make_job(options: SweepOptions, backend: Backend) -> Job:
    """Reads the sweep and the table, and divides it."""
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
                f"{len(table.y)} {table.words.rows}; --set=batch_size={fitting} makes it smaller"
            )
    count = options.num_seeds or sweep.num_seeds
    seeds = range(options.seed, options.seed + count)
    run = RunDir(options.workdir or directory.default_folder(sweep.name))
    name = os.fspath(data) if isinstance(data, (str, os.PathLike)) else table.source
    job = Job(sweep, seeds, splits, name, run, options, backend)
    try:
        directory.check_place(run.path)
        if not run.manifest_path.exists():  # roughly, and rather too much:
            trial_bytes = 20.0 * sweep.epochs * len(METRICS) + 2.0 * splits.sizes.num_judged
            needed = sweep.num_configs * (300.0 + job.num_runs * trial_bytes)
            directory.check_folder(run.path, 20e6 + needed)
        if options.profile:
            directory.check_place(options.profile, name="profile")
    except InputError:
        if not options.workdir:
            run.path.rmdir()  # it was made for this run
        raise
    return job


def _table_of(sweep: Sweep, data: Any, columns: Columns) -> FeatureTable:
    """Loads the inputs of a sweep's family. Raises InputError for those of another family."""
    is_cnn = sweep.family == "cnn"
    if is_cnn and not isinstance(data, FeatureTable):
        check_no_options(columns)
        return load_spectrograms(data, watch_songs)
    table = load_data(data, watch_songs, columns)
    if table.is_spectrogram != is_cnn:
        kinds = {True: "spectrograms", False: "a feature table"}
        wanted, given = kinds[is_cnn], kinds[not is_cnn]
        raise InputError(f"{sweep.name}: a sweep of {sweep.family} wants {wanted}, not {given}")
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
    """Makes the trainer of a job, and a session in the manifest, at the first training.

    Use as a context manager.
    """

    trainer: Trainer | None = None

    def __init__(self, job: Job, manifest: Manifest, trials_before: int) -> None:
        super().__init__()
        self._job, self._manifest, self._before = job, manifest, trials_before

    def begin(self, configs: Sequence[Config]) -> Trainer:
        """Returns the trainer; makes it for these configs at the first call."""
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
