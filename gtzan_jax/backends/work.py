"""What a worker does: any process that has JAX, on this machine or another.

A *task* is a chunk or a wave of chunks: what to train, and the digests of what that
needs to know, the *spec* of the trainer and a fold. Who is handed a task without knowing these
answers what is missing, and is handed them with the task: data travel once to a worker, whoever
it is and whenever it came. What a task comes to does not depend on who does it.
"""

import pickle
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gtzan_jax import process
from gtzan_jax.errors import RunError
from gtzan_jax.models import backend
from gtzan_jax.space.config import Config, Member
from gtzan_jax.tables.folds import FoldArrays
from gtzan_jax.trainer.chunk import Chunk
from gtzan_jax.trainer.plan import Plan

if TYPE_CHECKING:  # imports JAX
    from gtzan_jax.trainer.engine import Engine

# Of folds that a worker remembers: hundreds of songs' features, dozens of their chunks'.
_REMEMBERED_BYTES = 128e6


class Host(NamedTuple):
    """What a worker computes on."""

    platform: str
    devices: tuple[str, ...]

    @property
    def place(self) -> str:
        """It in words."""
        return f"{len(self.devices)} × {self.platform}"


@dataclass(frozen=True)
class Spec:
    """What an engine is made of, and where it is to be."""

    plan: Plan
    matmul_precision: str


@dataclass(frozen=True)
class Task:
    """What is to be trained.

    Attributes:
      spec: digest of a pickled :class:`Spec`.
      fold: digest of pickled ``FoldArrays``.
      chunks: of one fold, which are trained together.
      configs: those of the members that the spec does not know.
      states: what members go on from, as an earlier answer gave them.
    """

    spec: str
    fold: str
    chunks: tuple[Chunk, ...] = ()
    configs: tuple[Config, ...] = ()
    states: Mapping[Member, bytes] | None = field(default=None, repr=False)


class Outcome(NamedTuple):
    """What training a chunk has come to; see ``chunk.Trained``."""

    history: np.ndarray
    predicted: np.ndarray
    last: np.ndarray
    best: np.ndarray
    states: tuple[bytes, ...]
    params: tuple[Mapping[str, np.ndarray], ...]


class Answer(NamedTuple):
    """What a worker answers."""

    outcomes: tuple[Outcome, ...] = ()  # of the chunks
    missing: tuple[str, ...] = ()  # digests; nothing was done
    compile_s: float = 0.0  # seconds that the task waited for programs
    peak_rss_bytes: int = 0  # of the process, so far


def prepare() -> None:
    """Imports JAX and the engine where a process starts, before it is asked for work."""
    from gtzan_jax.trainer.platforms import worker_devices

    worker_devices()
    import gtzan_jax.models.mlp
    import gtzan_jax.trainer.engine  # noqa: F401


def greet(wanted: Mapping[str, str]) -> Host:
    """Returns what this process computes on; see :func:`work`."""
    from gtzan_jax.trainer.platforms import worker_devices

    check_versions(wanted)
    devices = worker_devices()
    return Host(devices[0].platform, tuple(map(str, devices)))


def check_versions(wanted: Mapping[str, str]) -> None:
    """Refuses to work for a process with other versions.

    Raises:
      RunError: they differ; the message names each.
    """
    who = f"the worker, {process.name()},"
    if different := process.mismatch(who, process.computing(), wanted):
        raise RunError(different)


def work(wanted: Mapping[str, str], pickled: bytes, blobs: Mapping[str, bytes]) -> Answer:
    """Does a task.

    Args:
      wanted: versions of the process that asks, from ``process.computing``.
      pickled: a :class:`Task`; opened only where the versions agree.
      blobs: pickled specs and folds by digest, some that this process said it lacked.

    Raises:
      RunError: this process has other versions, or computes on something else.
    """
    check_versions(wanted)
    # A cluster's worker may have several threads, and JAX wants the whole device.
    with _desk.lock, backend.pinned():
        return _desk.work(pickle.loads(pickled), blobs)  # noqa: S301 — from who gives orders here


class _Desk:
    """What this process remembers from task to task."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._spec: tuple[str, Spec, Engine] | None = None
        self._folds: dict[str, FoldArrays] = {}

    def work(self, task: Task, blobs: Mapping[str, bytes]) -> Answer:
        lacks = self._lacks(task)
        if not blobs.keys() >= set(lacks):
            return Answer(missing=tuple(lacks))  # all of them, or it would be one after another
        engine, fold = self._engine(task.spec, blobs), self._fold(task.fold, blobs)
        engine.plan.admit(task.configs)
        waited = engine.compile_wait_s
        outcomes = _train(engine, task, fold)
        waited = engine.compile_wait_s - waited
        peak = process.peak_rss_bytes() or 0
        return Answer(outcomes, compile_s=waited, peak_rss_bytes=peak)

    def _lacks(self, task: Task) -> list[str]:
        known = {self._spec[0] if self._spec else None, *self._folds}
        return [digest for digest in (task.spec, task.fold) if digest not in known]

    def _engine(self, digest: str, blobs: Mapping[str, bytes]) -> "Engine":
        if self._spec is None or self._spec[0] != digest:
            if self._spec:
                self._spec[2].__exit__(None, None, None)
            self._spec = None
            spec: Spec = pickle.loads(blobs[digest])  # noqa: S301 — as the task
            self._spec = digest, spec, _engine_of(spec)
        return self._spec[2]

    def _fold(self, digest: str, blobs: Mapping[str, bytes]) -> FoldArrays:
        if digest not in self._folds:
            fold: FoldArrays = pickle.loads(blobs[digest])  # noqa: S301 — as the task
            room = _REMEMBERED_BYTES - _num_bytes(fold)
            while self._folds and sum(map(_num_bytes, self._folds.values())) > room:
                forgotten = self._folds.pop(next(iter(self._folds)))
                if self._spec:
                    self._spec[2].forget(forgotten)
            self._folds[digest] = fold
        return self._folds[digest]


_desk = _Desk()


def _num_bytes(fold: FoldArrays) -> int:
    return sum(array.nbytes for array in fold)


def _engine_of(spec: Spec) -> "Engine":
    from gtzan_jax.models.families import FAMILIES
    from gtzan_jax.trainer.engine import Engine
    from gtzan_jax.trainer.platforms import set_precision, worker_devices

    set_precision(spec.matmul_precision)
    devices = worker_devices()
    plan, found = spec.plan, (devices[0].platform, len(devices))
    if found != (plan.platform, plan.num_devices):
        raise RunError(
            f"the worker, {process.name()}, computes on {found[1]} × "
            f"{found[0]}, the others on {plan.num_devices} × {plan.platform}: a run's workers must "
            "be of one kind"
        )
    return Engine(
        plan.sweep, FAMILIES[plan.layout.name], plan.sizes, plan.num_runs, devices=devices,
        chunk_size=plan.chunk_size, mode=plan.mode, configs=plan.configs,
    )  # fmt: skip


def _train(engine: "Engine", task: Task, fold: FoldArrays) -> tuple[Outcome, ...]:
    folds = [fold] * (task.chunks[0].fold + 1)  # looked up by its place
    states = {m: pickle.loads(state) for m, state in (task.states or {}).items()}  # noqa: S301
    return tuple(
        Outcome(
            t.history, t.predicted, t.last, t.best, tuple(map(pickle.dumps, t.states)),
            tuple(t.params),
        )
        for t in engine.run(task.chunks, folds, states)
    )  # fmt: skip
