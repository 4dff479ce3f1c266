"""Training backends: this process, worker processes on this machine, or a Dask cluster."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gtzan_jax.backends.remote import RemoteTrainer
from gtzan_jax.errors import InputError
from gtzan_jax.models import jax_settings
from gtzan_jax.models.family import FAMILIES
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import Sizes
from gtzan_jax.trainer import platforms
from gtzan_jax.trainer.plan import Plan
from gtzan_jax.trainer.trainer import Trainer

if TYPE_CHECKING:
    from gtzan_jax.backends.cluster import Cluster
    from gtzan_jax.backends.processes import Processes


class Backend(contextlib.ExitStack[bool | None]):
    """Creates trainers, in this process or for a pool of workers. A context manager."""

    def __init__(
        self,
        platform: str,  # cpu, gpu or tpu
        devices: Sequence[str],
        label: str,  # platform and devices, for messages
        pool: "tuple[Processes | Cluster, str] | None" = None,  # and its matmul precision
    ) -> None:
        super().__init__()
        self.platform, self.devices, self.label = platform, devices, label
        self._pool = pool

    def trainer(self, sweep: Sweep, sizes: Sizes, num_runs: int = 1, **options: Any) -> Trainer:
        """Returns a trainer; the options are those of :class:`Plan`."""
        family = FAMILIES[sweep.family]
        if self._pool:
            host = self._pool[0].host
            of = host.platform, len(host.devices)
            return RemoteTrainer(*self._pool, Plan(sweep, family, sizes, num_runs, *of, **options))
        from gtzan_jax.trainer.engine import Engine

        return Engine(sweep, family, sizes, num_runs, **options)


def open_backend(
    platform: str = "auto",
    matmul_precision: str = "float32",
    workers: int | None = None,
    scheduler: str | None = None,
) -> Backend:
    """Opens a training backend, and sets JAX's platform and precision until its context ends.

    Args:
      platform: a name from ``platforms.PLATFORMS``.
      matmul_precision: a name from ``platforms.MATMUL_PRECISIONS``.
      workers: number of worker processes on this machine; 0 trains in this process. Default: one
        for each core, or 0 if there is an accelerator.
      scheduler: address or file of a Dask scheduler, whose workers train.
    """
    platforms.check_flags()
    if scheduler:
        from gtzan_jax.backends.cluster import Cluster

        if workers is not None:
            raise InputError(
                "--workers sets worker processes on this machine, --scheduler a Dask cluster; "
                "leave one out"
            )
        cluster = Cluster(scheduler)
        if platform not in ("auto", cluster.host.platform):
            raise InputError(
                f"--platform={platform}: the workers of {scheduler} have {cluster.host.label}"
            )
        return _elsewhere(cluster, matmul_precision)
    surely_cpu = platform == "cpu" or (platform == "auto" and not platforms.may_find_accelerator())
    if workers == 0 or not surely_cpu:
        before = platforms.precision()
        devices = platforms.select_platform(platform, matmul_precision)
        kind, count = devices[0].platform, len(devices)
        label = f"{count} {kind} device{'s' * (count > 1)}"
        if workers == 0 or (kind != "cpu" and workers is None):
            made = Backend(kind, list(map(str, devices)), label)
            made.callback(platforms.set_precision, before)
            made.enter_context(jax_settings.pinned())
            return made
        if kind != "cpu":
            raise InputError(
                f"--workers={workers}: worker processes are for CPUs, but JAX found {label}, which "
                "one process uses; leave --workers out, or add --platform=cpu"
            )
    from gtzan_jax.backends.processes import Processes

    return _elsewhere(Processes(workers), matmul_precision)


def _elsewhere(pool: "Processes | Cluster", matmul_precision: str) -> Backend:
    """Returns the backend of a pool; this process itself predicts on a CPU."""
    made = Backend(pool.host.platform, pool.devices, pool.label, (pool, matmul_precision))
    made.callback(pool.close)

    def prepare() -> None:
        """Selects the CPU, if JAX has not started on another platform in a notebook."""
        made.callback(platforms.set_precision, platforms.precision())
        try:
            platforms.select_platform("cpu", matmul_precision)
        except InputError:
            platforms.set_precision(matmul_precision)

    made.callback(jax_settings.prepare_with, None)
    jax_settings.prepare_with(prepare)
    return made
