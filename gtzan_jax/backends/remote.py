"""A trainer whose tasks run in worker processes: sends requests, receives answers."""

import hashlib
import pickle
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax.backends.work import Answer, Request
from gtzan_jax.space.config import Trial
from gtzan_jax.tables.folds import FoldArrays
from gtzan_jax.trainer.plan import Plan
from gtzan_jax.trainer.task import Task, Trained, task_groups
from gtzan_jax.trainer.trainer import Trainer

if TYPE_CHECKING:
    from gtzan_jax.backends.cluster import Cluster
    from gtzan_jax.backends.processes import Processes


class RemoteTrainer(Trainer):
    """Trains trials with a pool of workers; the plan is for the devices of one worker."""

    def __init__(self, pool: "Processes | Cluster", matmul_precision: str, plan: Plan) -> None:
        super().__init__(plan)
        self._pool = pool
        self._planned = frozenset(plan.config_of)
        self._blobs: dict[str, bytes] = {}
        self._folds: dict[int, tuple[FoldArrays, str]] = {}  # with its digest, by identity
        self._ready: set[int] = set()  # buckets that at least one worker has trained
        self._peaks: dict[str, int] = {}  # peak memory by worker
        self._answers: Generator[tuple[int, Answer]] | None = None
        self._waits: defaultdict[str, float] = defaultdict(float)  # for programs, by worker
        self._spec = self._packed((plan, matmul_precision))

    def __exit__(self, *_: object) -> None:
        if self._answers:
            self._answers.close()

    def run(
        self,
        tasks: Sequence[Task],
        folds: Sequence[FoldArrays],
        states: Mapping[Trial, Any] | None = None,
    ) -> Iterator[Trained]:
        """Trains tasks, see :meth:`Trainer.run`."""
        requests = [
            self._request_of(group, folds, states or {})
            for group in task_groups(tasks, self.plan.sweep.stops_early)
        ]
        self._answers = self._pool.run(requests, self._blobs)
        for place, answer in self._answers:
            self._take_note(answer)
            self._ready.add(requests[place].tasks[0].bucket)
            self.num_compiled = len(self._ready)
            yield from answer.trained

    def _request_of(
        self,
        tasks: Sequence[Task],
        folds: Sequence[FoldArrays],
        states: Mapping[Trial, Any],
    ) -> Request:
        fold = folds[tasks[0].fold]
        if id(fold) not in self._folds:
            host = FoldArrays(*map(np.asarray, fold))
            self._folds[id(fold)] = fold, self._packed(host)
        ids = dict.fromkeys(i for task in tasks for i in task.config_ids)
        return Request(
            self._spec,
            self._folds[id(fold)][1],
            tuple(tasks),
            # Configs admitted after the plan was sent.
            tuple(self.plan.config_of[i] for i in ids if i not in self._planned),
            {m: states[m] for task in tasks if task.first_epoch for m in task.trials},
        )

    def _packed(self, value: object) -> str:
        """Pickles a value that requests refer to, and returns its digest."""
        blob = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        digest = hashlib.sha256(blob).hexdigest()
        self._blobs[digest] = blob
        return digest

    def _take_note(self, answer: Answer) -> None:
        self._peaks[answer.worker] = max(self._peaks.get(answer.worker, 0), answer.peak_rss_bytes)
        self.peak_rss_bytes = sum(self._peaks.values())
        self._waits[answer.worker] += answer.compile_s
        self.compile_wait_s = sum(self._waits.values()) / len(self._waits)  # mean over workers
