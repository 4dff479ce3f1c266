"""The work of a worker: any process that has JAX, on this machine or another.

A *request* names tasks, and by digest what it takes to train them: the *spec* of the trainer and a
fold, which travel once to each worker. The result does not depend on who computes it.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gtzan_jax import process
from gtzan_jax.errors import RunError
from gtzan_jax.models import backend
from gtzan_jax.space.config import Config, Trial
from gtzan_jax.tables.folds import FoldArrays
from gtzan_jax.trainer.plan import Plan
from gtzan_jax.trainer.task import Task

if TYPE_CHECKING:  # imports JAX
    from gtzan_jax.trainer.engine import Engine

# Of folds that a worker remembers: hundreds of songs' features, dozens of their segments'.
REMEMBERED_BYTES = 128e6


class Host(NamedTuple):
    """The devices of a worker."""

    platform: str
    devices: tuple[str, ...]

    @property
    def place(self) -> str:
        """It in words."""
        return f"{len(self.devices)} × {self.platform}"


@dataclass(frozen=True)
class Spec:
    """The arguments of an engine."""

    plan: Plan
    matmul_precision: str


@dataclass(frozen=True)
class Request:
    """Tasks to train.

    Attributes:
      spec: digest of a pickled :class:`Spec`.
      fold: digest of pickled ``FoldArrays``.
      tasks: of one fold and one program, which are trained together.
      configs: those of the trials that the spec does not know.
      states: from which trials resume, as an earlier answer gave them.
    """

    spec: str
    fold: str
    tasks: tuple[Task, ...]
    configs: tuple[Config, ...] = ()
    states: Mapping[Trial, bytes] | None = field(default=None, repr=False)


class Outcome(NamedTuple):
    """The result of training a task; see ``task.Trained``."""

    history: np.ndarray
    predicted: np.ndarray
    last: np.ndarray
    best: np.ndarray
    states: tuple[bytes, ...]
    params: tuple[Mapping[str, np.ndarray], ...]


class Answer(NamedTuple):
    """The result of a request."""

    outcomes: tuple[Outcome, ...]  # of the tasks
    known: tuple[str, ...]  # digests that the worker remembers
    worker: str
    compile_s: float  # seconds that the request waited for programs
    peak_rss_bytes: int  # of the worker's process, so far


def prepare() -> None:
    """Imports JAX and the engine where a process starts, before it is asked for work."""
    from gtzan_jax.trainer.platforms import worker_devices

    worker_devices()
    import gtzan_jax.models.mlp
    import gtzan_jax.trainer.engine  # noqa: F401


def host_for(wanted: Mapping[str, str]) -> Host:
    """Returns the devices of this process.

    Args:
      wanted: versions of the process that it is to work for, from ``process.computing``.

    Raises:
      RunError: this process has other versions; the message names each.
    """
    from gtzan_jax.trainer.platforms import worker_devices

    _check_versions(wanted)
    devices = worker_devices()
    return Host(devices[0].platform, tuple(map(str, devices)))


def _check_versions(wanted: Mapping[str, str]) -> None:
    who = f"the worker, {process.name()},"
    if different := process.mismatch(who, process.computing(), wanted):
        raise RunError(different)


def work(
    wanted: Mapping[str, str], pickled: bytes, spec: bytes | None, fold: bytes | None
) -> Answer:
    """Trains what a request names.

    Args:
      wanted: as in :func:`host_for`.
      pickled: a :class:`Request`; opened only where the versions agree.
      spec: pickled; None if this process remembers it.
      fold: likewise.

    Raises:
      RunError: this process has other versions.
    """
    _check_versions(wanted)
    with backend.pinned():
        return _desk.work(pickle.loads(pickled), spec, fold)  # noqa: S301 — from who gives orders


class _Desk:
    """What this process remembers from request to request: an engine and folds, by digest."""

    def __init__(self) -> None:
        self._engine: tuple[str, Engine] | None = None
        self._folds: dict[str, FoldArrays] = {}

    def work(self, request: Request, spec: bytes | None, fold: bytes | None) -> Answer:
        if spec and (self._engine is None or self._engine[0] != request.spec):
            if self._engine:
                self._engine[1].__exit__(None, None, None)
            self._engine = None
            self._engine = request.spec, _engine_of(pickle.loads(spec))  # noqa: S301 — as the request
        if self._engine is None or self._engine[0] != request.spec:
            raise AssertionError("this worker was not handed the spec of its request")
        engine = self._engine[1]
        if fold and request.fold not in self._folds:
            self._remember(request.fold, pickle.loads(fold), engine)  # noqa: S301 — as the request
        engine.plan.admit(request.configs)
        waited = engine.compile_wait_s
        outcomes = _train(engine, request, self._folds[request.fold])
        return Answer(
            outcomes,
            known=(request.spec, *self._folds),
            worker=process.name(),
            compile_s=engine.compile_wait_s - waited,
            peak_rss_bytes=process.peak_rss_bytes() or 0,
        )

    def _remember(self, digest: str, fold: FoldArrays, engine: "Engine") -> None:
        room = REMEMBERED_BYTES - _num_bytes(fold)
        while self._folds and sum(map(_num_bytes, self._folds.values())) > room:
            engine.forget(self._folds.pop(next(iter(self._folds))))
        self._folds[digest] = fold


_desk = _Desk()


def _num_bytes(fold: FoldArrays) -> int:
    return sum(array.nbytes for array in fold)


def _engine_of(spec: Spec) -> "Engine":
    from gtzan_jax.trainer.engine import Engine
    from gtzan_jax.trainer.platforms import set_precision, worker_devices

    set_precision(spec.matmul_precision)
    plan = spec.plan
    return Engine(
        plan.sweep, plan.family, plan.sizes, plan.num_runs, devices=worker_devices(),
        task_size=plan.task_size, mode=plan.mode, configs=plan.configs,
    )  # fmt: skip


def _train(engine: "Engine", request: Request, fold: FoldArrays) -> tuple[Outcome, ...]:
    folds = [fold] * (request.tasks[0].fold + 1)  # looked up by its place
    states = {m: pickle.loads(state) for m, state in (request.states or {}).items()}  # noqa: S301
    return tuple(
        Outcome(
            t.history, t.predicted, t.last, t.best, tuple(map(pickle.dumps, t.states)),
            tuple(t.params),
        )
        for t in engine.run(request.tasks, folds, states)
    )  # fmt: skip
