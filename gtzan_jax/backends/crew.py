"""A trainer whose tasks are trained by other processes: requests out, answers in."""

import hashlib
import pickle
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from gtzan_jax.backends.work import Answer, Host, Request, Spec
from gtzan_jax.models.family import Family
from gtzan_jax.space.config import Trial
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import FoldArrays, Sizes
from gtzan_jax.trainer.plan import Plan
from gtzan_jax.trainer.task import Task, Trained, waves
from gtzan_jax.trainer.trainer import Trainer


class Pool(Protocol):
    """Workers, of this machine or of a cluster."""

    host: Host  # the devices of each

    @property
    def place(self) -> str:
        """The workers in words."""
        ...

    @property
    def devices(self) -> list[str]:
        """What a manifest calls the workers."""
        ...

    def run(
        self, requests: Sequence[Request], blobs: Mapping[str, bytes]
    ) -> Generator[tuple[int, Answer]]:
        """Has requests done; yields the place of each and its answer, in any order.

        A request whose worker is lost is repeated by another. What is under way ends when the
        iterator is closed, or raises.

        Args:
          requests: those that share random numbers one after another.
          blobs: pickled specs and folds by digest.

        Raises:
          RunError: a request has cost too many workers, or there will be none any more.
        """
        ...

    def close(self) -> None:
        """Leaves the workers."""
        ...


class Crew(Trainer):
    """Has trials trained by a pool of workers.

    Args:
      pool: the workers.
      matmul_precision: of their products.
      sweep: and what follows: see :class:`Plan`.
    """

    def __init__(
        self,
        pool: Pool,
        matmul_precision: str,
        sweep: Sweep,
        family: Family,
        sizes: Sizes,
        num_runs: int = 1,
        **options: Any,
    ) -> None:
        platform, count = pool.host.platform, len(pool.host.devices)
        super().__init__(Plan(sweep, family, sizes, num_runs, platform, count, **options))
        self._pool = pool
        self._planned = frozenset(self.plan.config_of)
        self._blobs: dict[str, bytes] = {}
        self._folds: dict[int, tuple[FoldArrays, str]] = {}  # with its digest, by identity
        self._ready: set[int] = set()  # buckets that some worker has trained
        self._peaks: dict[str, int] = {}  # by worker
        self._answers: Generator[tuple[int, Answer]] | None = None
        self._waits: defaultdict[str, float] = defaultdict(float)  # seconds for programs, by worker
        self._spec = self._packed(Spec(self.plan, matmul_precision))

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if self._answers:
            self._answers.close()

    @property
    def place(self) -> str:
        """The workers."""
        return self._pool.place

    @property
    def num_compiled(self) -> int:
        """Programs that some worker has trained with."""
        return len(self._ready)

    @property
    def compile_wait_s(self) -> float:
        """Seconds for which a worker has waited for programs, on average."""
        return sum(self._waits.values()) / max(1, len(self._waits))

    def run(
        self,
        tasks: Sequence[Task],
        folds: Sequence[FoldArrays],
        states: Mapping[Trial, Any] | None = None,
    ) -> Iterator[Trained]:
        """Trains tasks, see :meth:`Trainer.run`."""
        together = list(waves(tasks, self.plan.sweep.stops_early))
        requests = [self._request_of(group, folds, states or {}) for group in together]
        self._answers = self._pool.run(requests, self._blobs)
        for place, answer in self._answers:
            self._take_note(answer)
            self._ready.add(together[place][0].bucket)
            for task, outcome in zip(together[place], answer.outcomes, strict=True):
                yield Trained(task, *outcome)

    def _request_of(
        self,
        group: Sequence[Task],
        folds: Sequence[FoldArrays],
        states: Mapping[Trial, Any],
    ) -> Request:
        ids = dict.fromkeys(i for task in group for i in task.config_ids)
        return Request(
            self._spec,
            self._fold(folds[group[0].fold]),
            tuple(group),
            # Admitted after the workers' plan was made.
            tuple(self.plan.config_of[i] for i in ids if i not in self._planned),
            {m: states[m] for task in group if task.first_epoch for m in task.trials},
        )

    def _fold(self, fold: FoldArrays) -> str:
        if id(fold) not in self._folds:
            host = FoldArrays(*map(np.asarray, fold))
            self._folds[id(fold)] = fold, self._packed(host)
        return self._folds[id(fold)][1]

    def _packed(self, value: object) -> str:
        blob = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        digest = hashlib.sha256(blob).hexdigest()
        self._blobs[digest] = blob
        return digest

    def _take_note(self, answer: Answer) -> None:
        self._peaks[answer.worker] = max(self._peaks.get(answer.worker, 0), answer.peak_rss_bytes)
        self.peak_rss_bytes = sum(self._peaks.values())
        self._waits[answer.worker] += answer.compile_s
