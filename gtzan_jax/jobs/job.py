"""What a run of a sweep is to do, and where: put together from what the user gave."""

import functools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from gtzan_jax.errors import InputError
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir import directory
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.history import members_of
from gtzan_jax.rundir.manifest import Manifest, Parts, Split
from gtzan_jax.sound.spectrograms import load_spectrograms
from gtzan_jax.space.axes import choice, whole
from gtzan_jax.space.config import Member
from gtzan_jax.space.optuna_search import import_optuna
from gtzan_jax.space.settings import SAMPLERS
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.protocols import Division, divide
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import load_table
from gtzan_jax.text import flag
from gtzan_jax.trainer.planner import MODES
from gtzan_jax.trainer.platforms import MATMUL_PRECISIONS, PLATFORMS, MatmulPrecision
from gtzan_jax.trainer.workplace import Workplace
from gtzan_jax.views.progress import watch_songs


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be chosen for a run besides its sweep and its table.

    Attributes:
      overrides: ``key=value`` strings over the sweep file.
      overwrite: whether to remove another run that is in the run directory.
      platform: a name from ``trainer.platforms.PLATFORMS``.
      workers: processes of this machine that train; 0 for this process, None for one a core where
        there is no accelerator.
      scheduler: of a Dask cluster whose workers train.
      matmul_precision: a name from ``trainer.platforms.MATMUL_PRECISIONS``.
      batching: a name from ``trainer.planner.MODES``.
      seed: the first seed.
      num_seeds: replicates of each config; None for what the sweep says.
      split_seed: another one gives other folds.
      retrain_epochs: of the best config; 0 skips it.
      retrain_seeds: networks of the retraining on each fold; None for as many as make 10 in all.
      profile: a folder for a trace of the training, which is done in this process then.
      command: what to record as the command of the session.
      resume: the command that goes on with the run, without its ``--workdir``; "" where none does.

    Raises:
      InputError: a value is impossible.
    """

    overrides: Sequence[str] = ()
    overwrite: bool = False
    platform: str = "auto"
    workers: int | None = None
    scheduler: str | None = None
    matmul_precision: MatmulPrecision = "float32"
    batching: str = "auto"
    seed: int = 0
    num_seeds: int | None = None
    split_seed: int = 0
    retrain_epochs: int = 50
    retrain_seeds: int | None = None
    profile: str | None = None
    command: str = "gtzan_jax.run_sweep"
    resume: str = ""

    def __post_init__(self) -> None:
        choice(PLATFORMS)(self.platform, "platform")
        choice(MATMUL_PRECISIONS)(self.matmul_precision, "matmul_precision")
        choice(MODES)(self.batching, "batching")
        whole(0, 2**31)(self.seed, "seed")
        whole(0, 2**32 - 1)(self.split_seed, "split_seed")
        whole(0, 100_000)(self.retrain_epochs, "retrain_epochs")
        if self.retrain_seeds is not None:
            whole(1, 1000)(self.retrain_seeds, "retrain_seeds")
        if self.num_seeds is not None:
            whole(1, 100_000)(self.num_seeds, "num_seeds")
        if self.workers is not None:
            whole(0, 1000)(self.workers, "workers")
        if self.profile and (self.workers or self.scheduler):
            raise InputError(
                "--profile traces this process, and with --workers or --scheduler others train; "
                "leave one out"
            )


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
    options: Options
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
        if not self.options.resume:
            return f"run_sweep with the same arguments and workdir={str(self.run.path)!r}"
        return f"{self.options.resume} {flag('workdir', self.run.path)}"


def make_job(
    sweep: str | Sweep,
    data: "str | os.PathLike[str] | FeatureTable",
    workdir: "str | os.PathLike[str] | None",
    options: Options,
    place: Workplace,
    clock: Stopwatch,
) -> Job:
    """Puts a job together from what the user gave.

    Raises:
      InputError: a flag, the sweep file or the table cannot be used.
    """
    if workdir is not None and not os.fspath(workdir):
        raise InputError("--workdir= names no folder; give one, or leave the flag out")
    if options.overwrite and not workdir:
        raise InputError("--overwrite removes the run in --workdir, which is not given")
    if isinstance(sweep, str):
        sweep = load_sweep(sweep, options.overrides)
    elif options.overrides:
        raise InputError("overrides are laid over sweep files; change the Sweep itself")
    if options.num_seeds and any(o.startswith("num_seeds=") for o in options.overrides):
        raise InputError("--num_seeds and --set=num_seeds contradict each other; leave one out")
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
    run = RunDir(workdir or directory.default_folder(sweep.name))
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
