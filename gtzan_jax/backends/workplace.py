"""Where a job trains: in this process, by processes of this machine, or by a cluster's workers."""

import abc
import contextlib
from collections.abc import Sequence
from typing import Any

from gtzan_jax.backends.crew import Crew, Pool
from gtzan_jax.errors import InputError
from gtzan_jax.models import backend
from gtzan_jax.models.family import FAMILIES
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import Sizes
from gtzan_jax.trainer import platforms
from gtzan_jax.trainer.trainer import Trainer


class Workplace(abc.ABC):
    """What makes trainers. Use as a context manager.

    Attributes:
      platform: what computes: cpu, gpu or tpu.
      devices: their names.
      place: both, in words.
    """

    platform: str
    devices: Sequence[str]
    place: str

    def __enter__(self) -> "Workplace":
        return self

    def __exit__(self, *_: object) -> None:  # noqa: B027 — most have nothing to do
        """Leaves what others keep, such as a cluster."""

    @abc.abstractmethod
    def trainer(
        self,
        sweep: Sweep,
        sizes: Sizes,
        num_runs: int = 1,
        *,
        mode: str = "auto",
        configs: Sequence[Config] | None = None,
    ) -> Trainer:
        """Returns a trainer; see its arguments."""


class Here(Workplace):
    """The devices of this process."""

    _precision: str | None = None  # of the process before

    def __init__(self, platform: str, matmul_precision: str) -> None:
        self._precision = platforms.precision()
        devices = platforms.select_platform(platform, matmul_precision)
        self.platform, self.devices = devices[0].platform, list(map(str, devices))
        self.place = f"{len(devices)} {self.platform} device{'s' * (len(devices) > 1)}"

    def __enter__(self) -> "Here":
        self._settings = contextlib.ExitStack()
        self._settings.callback(platforms.set_precision, self._precision)
        self._settings.enter_context(backend.pinned())
        return self

    def __exit__(self, *_: object) -> None:
        """Restores a notebook's own settings."""
        self._settings.close()

    def trainer(self, sweep: Sweep, sizes: Sizes, num_runs: int = 1, **options: Any) -> Trainer:
        """Returns an engine, which has begun to compile."""
        from gtzan_jax.trainer.engine import Engine

        return Engine(sweep, FAMILIES[sweep.family], sizes, num_runs, **options)


class Elsewhere(Workplace):
    """A pool of workers. What this process computes, such as predictions, it does on a CPU."""

    def __init__(self, pool: Pool, matmul_precision: str) -> None:
        self._pool, self._matmul_precision = pool, matmul_precision
        self.platform, self.place = pool.host.platform, pool.place
        self.devices = pool.devices
        self._settings = contextlib.ExitStack()
        backend.prepare_with(self._prepare)

    def _prepare(self) -> None:
        """Chooses a CPU, unless a notebook has begun to compute on something else."""
        self._settings.callback(platforms.set_precision, platforms.precision())
        try:
            platforms.select_platform("cpu", self._matmul_precision)
        except InputError:
            platforms.set_precision(self._matmul_precision)

    def __exit__(self, *_: object) -> None:
        """Leaves the pool, and restores a notebook's own settings."""
        backend.prepare_with(None)
        self._settings.close()
        self._pool.close()

    def trainer(self, sweep: Sweep, sizes: Sizes, num_runs: int = 1, **options: Any) -> Trainer:
        """Returns a crew."""
        pool, precision = self._pool, self._matmul_precision
        return Crew(pool, precision, sweep, FAMILIES[sweep.family], sizes, num_runs, **options)


def workplace(
    platform: str = "auto",
    matmul_precision: str = "float32",
    workers: int | None = None,
    scheduler: str | None = None,
) -> Workplace:
    """Chooses where to train.

    Args:
      platform: a name from ``platforms.PLATFORMS``.
      matmul_precision: a name from ``platforms.MATMUL_PRECISIONS``.
      workers: processes of this machine; 0 for this process. Default: one for each core where
        there is no accelerator, this process where there is one.
      scheduler: of a Dask cluster, whose workers train then.

    Raises:
      InputError: that is not to be had here.
    """
    platforms.check_flags()
    if scheduler:
        from gtzan_jax.backends.cluster import Cluster

        if workers is not None:
            raise InputError(
                "--workers are processes of this machine, and --scheduler names a cluster whose "
                "workers train; leave one out"
            )
        cluster = Cluster(scheduler)
        if platform not in ("auto", cluster.host.platform):
            raise InputError(
                f"--platform={platform}: the workers of {scheduler} compute on {cluster.host.place}"
            )
        return Elsewhere(cluster, matmul_precision)
    surely_cpu = platform == "cpu" or (platform == "auto" and not platforms.may_find_accelerator())
    if workers == 0 or not surely_cpu:
        here = Here(platform, matmul_precision)
        if workers == 0 or (here.platform != "cpu" and workers is None):
            return here
        if here.platform != "cpu":
            raise InputError(
                f"--workers={workers}: processes are for a CPU's cores, and here are "
                f"{here.place}, which one process drives; leave --workers out"
            )
    from gtzan_jax.backends.processes import Processes

    return Elsewhere(Processes(workers), matmul_precision)
