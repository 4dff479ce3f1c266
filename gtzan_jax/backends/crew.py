"""Workers that train what this process plans: tasks out, answers in.

Each worker has the programs that it has compiled, so that it is handed what needs one of them
first, and what needs another's only where there is nothing else. Whatever ends a worker costs its
tasks, which others do again, to the same bytes.
"""

import hashlib
import pickle
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, NamedTuple, Protocol

import numpy as np

from gtzan_jax import process
from gtzan_jax.backends import work
from gtzan_jax.backends.losses import Losses
from gtzan_jax.backends.waiting import Item, Waiting
from gtzan_jax.backends.work import Answer, Host, Spec, Task
from gtzan_jax.errors import WorkerLostError
from gtzan_jax.models.layout import Layout
from gtzan_jax.space.config import Config, Member
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import FoldArrays, Sizes
from gtzan_jax.trainer.chunk import Chunk, Trained, waves
from gtzan_jax.trainer.plan import Plan
from gtzan_jax.trainer.trainer import Trainer

_LOOK_S = 1.0  # after which new workers are looked for


class Executor(Protocol):
    """A worker."""

    def submit(self, fn: Callable[..., Answer], /, *args: Any) -> "Future[Answer]":
        """Has the worker call a function that it can import, after the calls before."""


class Pool(Protocol):
    """Workers, of this machine or of a cluster."""

    depth: int  # tasks that a worker is handed at a time
    patience_s: float  # beyond what tasks take, until an idle worker does a slow one's, too
    strikes: int  # workers that a task may cost where most are lost at others
    host: Host  # what each of them computes on

    @property
    def place(self) -> str:
        """What is at work, in words."""
        ...

    @property
    def devices(self) -> list[str]:
        """What a manifest calls the workers."""
        ...

    def slots(self) -> Mapping[str, Executor]:
        """Returns the workers that there are now, each as an executor.

        Raises:
          RunError: there will be none any more.
        """
        ...

    def explained(self, error: BaseException) -> Exception:
        """Returns what an executor's error means; a lost worker is a :class:`WorkerLostError`."""
        ...

    def stop(self) -> None:
        """Ends what is under way."""
        ...

    def close(self) -> None:
        """Leaves what others keep."""
        ...


class _Handed(NamedTuple):
    """A task that a worker is at, or has waiting."""

    slot: str
    item: Item
    since: float  # when it was handed out


_Running = dict["Future[Answer]", _Handed]  # in the order in which they were handed out


class Crew(Trainer):
    """Has members trained by a pool of workers.

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
        layout: Layout,
        sizes: Sizes,
        num_runs: int = 1,
        **options: Any,
    ) -> None:
        platform, count = pool.host.platform, len(pool.host.devices)
        super().__init__(Plan(sweep, layout, sizes, num_runs, platform, count, **options))
        self._pool = pool
        self._planned = frozenset(self.plan.config_of)
        self._blobs: dict[str, bytes] = {}
        self._folds: dict[int, tuple[FoldArrays, str]] = {}  # with its digest, by identity
        self._compiled: defaultdict[str, set[Hashable]] = defaultdict(set)  # by worker
        self._ready: set[int] = set()  # buckets that some worker has trained
        self._losses = Losses(pool.strikes)
        self._peaks: dict[str, int] = {}
        self._longest_s = 0.0  # that a task has taken, with its wait behind another
        self._compile_wait_s = 0.0
        self._spec = self._packed(Spec(self.plan, matmul_precision))

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if error is not None:
            self._pool.stop()

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
        return self._compile_wait_s

    def run(
        self,
        chunks: Sequence[Chunk],
        folds: Sequence[FoldArrays],
        states: Mapping[Member, Any] | None = None,
    ) -> Iterator[Trained]:
        """Trains chunks, see :meth:`Trainer.run`."""
        groups = dict(enumerate(waves(chunks, self.plan.sweep.stops_early)))
        items = [self._item_of(*each, folds, states or {}) for each in groups.items()]
        for number, answer in self._answers(items):
            for chunk, outcome in zip(groups.pop(number), answer.outcomes, strict=True):
                yield Trained(chunk, *outcome)

    def _item_of(
        self,
        number: int,
        group: Sequence[Chunk],
        folds: Sequence[FoldArrays],
        states: Mapping[Member, Any],
    ) -> Item:
        first = group[0]
        given = [m for c in group if c.first_epoch for m in c.members]
        task = Task(
            self._spec,
            self._fold(folds[first.fold]),
            chunks=tuple(group),
            configs=self._unplanned(i for c in group for i in c.config_ids),
            states={member: states[member] for member in given},
        )
        name = repr(first)
        if first.keep == "params":
            name = f"the retraining of {self.plan.config_of[first.config_ids[0]].name}"
        return Item(number, first.program, task, name)

    def _unplanned(self, ids: Iterable[str]) -> tuple[Config, ...]:
        """Returns the configs that were admitted after the workers' plan was made."""
        return tuple(self.plan.config_of[i] for i in dict.fromkeys(ids) if i not in self._planned)

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

    def _answers(self, items: Sequence[Item]) -> Iterator[tuple[int, Answer]]:
        """Has tasks done; yields their numbers and answers as they come.

        Raises:
          RunError: a task has cost too many workers, or there are none any more.
        """
        waiting, left = Waiting(items), {item.number for item in items}
        running: _Running = {}
        try:
            while left:
                self._hand_out(waiting, running)
                if not running:
                    time.sleep(_LOOK_S)
                done, _ = wait(running, _LOOK_S, FIRST_COMPLETED)
                for future in [future for future in running if future in done]:
                    if future not in running:  # the slower of two, or its worker is lost
                        continue
                    handed = running[future]
                    item = handed.item
                    if error := future.exception():
                        self._lose(handed.slot, self._pool.explained(error), waiting, running)
                        continue
                    del running[future]
                    answer = future.result()
                    if answer.missing:
                        item.blobs = answer.missing  # all that it lacks
                        _put_back([item], waiting, running)
                        continue
                    for other in [f for f, other in running.items() if other.item is item]:
                        running.pop(other)  # the slower of two
                        other.cancel()
                    self._take_note(handed, answer)
                    left.discard(item.number)
                    yield item.number, answer
        finally:
            if running:  # whoever asked has gone, or a task has failed
                for future in running:
                    future.cancel()
                self._pool.stop()

    def _hand_out(self, waiting: Waiting, running: _Running) -> None:
        slots = self._pool.slots()
        self._losses.look(slots)
        busy: Counter[str] = Counter()
        for handed in running.values():
            busy[handed.slot] += self._pool.depth if handed.item.strikes else 1
        trusted = self._losses.trusted
        for depth in range(self._pool.depth):  # one to each before anyone gets a second
            for slot, executor in slots.items():
                # The last are for whoever has nothing to do; suspects, too, and they go first.
                more = len(waiting) > len(slots) and not waiting.suspects
                if busy[slot] > depth or (depth and not more):
                    continue
                if item := waiting.take(slot, self._compiled, slot in trusted):
                    self._hand(running, item, slot, executor)
                    busy[slot] += self._pool.depth if item.strikes else 1
        idle = iter(slots.keys() - busy.keys())
        while (late := self._late(running)) and (name := next(idle, None)):
            self._hand(running, late, name, slots[name])

    def _hand(self, running: _Running, item: Item, slot: str, executor: Executor) -> None:
        self._compiled[slot].add(item.program)
        blobs = {digest: self._blobs[digest] for digest in item.blobs}
        pickled = pickle.dumps(item.task, pickle.HIGHEST_PROTOCOL)
        future = executor.submit(work.work, process.computing(), pickled, blobs)
        running[future] = _Handed(slot, item, time.monotonic())

    def _late(self, running: _Running) -> Item | None:
        """Returns what has been waited for much longer than any task has taken so far.

        Once more if need be, and each time for longer: whoever was handed it may stand still, too.
        """
        last = {handed.item.number: handed for handed in running.values()}
        times = Counter(handed.item.number for handed in running.values())
        patience, now = 2 * self._longest_s + self._pool.patience_s, time.monotonic()
        late = (h.item for h in last.values() if now - h.since > patience * times[h.item.number])
        return next(late, None) if self._longest_s else None

    def _lose(self, slot: str, error: Exception, waiting: Waiting, running: _Running) -> None:
        """Puts back what a worker had in hand that was lost.

        Which of it the worker was at cannot be known: an answer may be lost with whoever gave it.
        From then on each of it is handed out alone, so that it costs others for no fault of its own
        but once.

        Raises:
          Exception: the error, where it is none of a worker that others can stand in for.
          RunError: there is no going on, see :meth:`Losses.charge`.
        """
        if not isinstance(error, WorkerLostError):
            raise error
        gone = [f for f, handed in running.items() if handed.slot == slot and not _answered(f)]
        items = [running.pop(future).item for future in gone]
        for future in gone:
            future.cancel()
        self._losses.charge(slot, items, error)
        _put_back(items, waiting, running)

    def _take_note(self, handed: _Handed, answer: Answer) -> None:
        slot, item, since = handed
        self._compile_wait_s += answer.compile_s / len(self._compiled)
        self._longest_s = max(self._longest_s, time.monotonic() - since)
        self._peaks[slot] = max(self._peaks.get(slot, 0), answer.peak_rss_bytes)
        self.peak_rss_bytes = sum(self._peaks.values())
        self._losses.answered()
        self._ready.add(item.task.chunks[0].bucket)


def _answered(future: "Future[Answer]") -> bool:
    return future.done() and future.exception() is None


def _put_back(items: Iterable[Item], waiting: Waiting, running: _Running) -> None:
    """Lets tasks wait again, unless another worker is at them."""
    under_way = {handed.item.number for handed in running.values()}
    for item in reversed([item for item in items if item.number not in under_way]):
        waiting.put_back(item)
