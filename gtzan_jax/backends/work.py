"""The work of a worker: any process with JAX, on this machine or another.

A *request* lists tasks, and the digests of the data to train them: the *spec* (a plan and the
matmul precision) and a fold, which are sent to each worker once. The result does not depend on the
worker.
"""

import dataclasses
import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from gtzan_jax import process
from gtzan_jax.errors import RunError, WorkerLostError
from gtzan_jax.models import jax_settings
from gtzan_jax.space.config import Config, Trial
from gtzan_jax.tables.folds import FoldArrays
from gtzan_jax.trainer.plan import Plan
from gtzan_jax.trainer.platforms import set_precision, worker_devices
from gtzan_jax.trainer.task import Task, Trained

if TYPE_CHECKING:  # imports JAX
    from gtzan_jax.trainer.engine import Engine

# Folds that a worker caches: hundreds of folds of songs' features, or dozens of segments'.
REMEMBERED_BYTES = 128e6


class Host(NamedTuple):
    """The devices of a worker."""

    platform: str
    devices: tuple[str, ...]

    @property
    def label(self) -> str:
        """The number and platform of the devices."""
        return f"{len(self.devices)} × {self.platform}"


class Request(NamedTuple):
    """Tasks of one fold and one program that train together."""

    spec: str  # digest of a pickled plan and precision
    fold: str  # digest of pickled ``FoldArrays``
    tasks: tuple[Task, ...]
    configs: tuple[Config, ...]  # configs of trials that are not in the spec
    states: Mapping[Trial, bytes]  # pickled states of an earlier answer, to resume from


class Answer(NamedTuple):
    """The result of a request."""

    trained: tuple[Trained, ...]  # the tasks, with pickled states
    known: tuple[str, ...]  # digests that the worker has cached
    worker: str
    compile_s: float  # seconds of waiting for programs
    peak_rss_bytes: int  # of the worker process so far


def prepare() -> None:
    """Imports JAX and the engine when a process starts, before the first request."""
    worker_devices()
    import gtzan_jax.models.mlp
    import gtzan_jax.trainer.engine  # noqa: F401


def host_for(wanted: Mapping[str, str]) -> Host:
    """Returns the devices of this process.

    Raises:
      RunError: its versions differ from ``wanted``, the client's ``process.computing``.
    """
    if different := process.mismatch(f"the worker, {process.name()},", process.computing(), wanted):
        raise RunError(different)
    devices = worker_devices()
    return Host(devices[0].platform, tuple(map(str, devices)))


def work(
    wanted: Mapping[str, str], pickled: bytes, spec: bytes | None, fold: bytes | None
) -> Answer:
    """Trains the tasks of a pickled request, which is unpickled only if the versions match.

    Spec and fold are pickled, or None if this process has cached them.

    Raises:
      RunError: see :func:`host_for`.
      WorkerLostError: the process that cached them has ended, and this is another.
    """
    host_for(wanted)
    with jax_settings.pinned():
        return _worker.work(pickle.loads(pickled), spec, fold)  # noqa: S301 — from the client


class _Worker:
    """The cache of this process between requests: an engine and folds, by digest."""

    def __init__(self) -> None:
        self._engine: tuple[str, Engine] | None = None
        self._folds: dict[str, FoldArrays] = {}

    def work(self, request: Request, spec: bytes | None, fold: bytes | None) -> Answer:
        if spec and (self._engine is None or self._engine[0] != request.spec):
            if self._engine:
                self._engine[1].__exit__(None, None, None)
            self._engine = None
            self._engine = request.spec, _engine_of(*pickle.loads(spec))  # noqa: S301 — as the request
        if self._engine is None or self._engine[0] != request.spec:
            raise WorkerLostError("ended while it waited for work")
        engine = self._engine[1]
        if fold and request.fold not in self._folds:
            self._cache(request.fold, pickle.loads(fold), engine)  # noqa: S301 — as the request
        if request.fold not in self._folds:
            raise WorkerLostError("ended while it waited for work")
        engine.plan.admit(request.configs)
        waited, first = engine.compile_wait_s, request.tasks[0]
        folds = [self._folds[request.fold]] * (first.fold + 1)  # indexed by fold
        states = {m: pickle.loads(state) for m, state in request.states.items()}  # noqa: S301
        trained = tuple(
            dataclasses.replace(each, states=tuple(map(pickle.dumps, each.states)))
            for each in engine.run(request.tasks, folds, states)
        )
        return Answer(
            trained,
            known=(request.spec, *self._folds),
            worker=process.name(),
            compile_s=engine.compile_wait_s - waited,
            peak_rss_bytes=process.peak_rss_bytes() or 0,
        )

    def _cache(self, digest: str, fold: FoldArrays, engine: "Engine") -> None:
        room = REMEMBERED_BYTES - _num_bytes(fold)
        while self._folds and sum(map(_num_bytes, self._folds.values())) > room:
            engine.forget(self._folds.pop(next(iter(self._folds))))
        self._folds[digest] = fold


_worker = _Worker()


def _num_bytes(fold: FoldArrays) -> int:
    return sum(array.nbytes for array in fold)


def _engine_of(plan: Plan, matmul_precision: str) -> "Engine":
    from gtzan_jax.trainer.engine import Engine

    set_precision(matmul_precision)
    return Engine(
        plan.sweep, plan.family, plan.sizes, plan.num_runs, devices=worker_devices(),
        task_size=plan.task_size, mode=plan.mode, configs=plan.configs,
    )  # fmt: skip
