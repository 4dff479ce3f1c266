"""Worker processes on this machine: one for each core, with one device and one thread each."""

import atexit
import contextlib
import functools
import itertools
import os
import pickle
import warnings
from collections import Counter, defaultdict, deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from gtzan_jax import process
from gtzan_jax.backends import work
from gtzan_jax.backends.work import Answer, Host, Request
from gtzan_jax.errors import RunError, WorkerLostError, WorkerStartError
from gtzan_jax.trainer.platforms import free_bytes, own_cores, usable_cores
from gtzan_jax.trainer.task import ProgramKey
from gtzan_jax.workers import Process

_EARLY = 4  # processes that start in advance
_BYTES = 600e6  # memory of a process; more with a table of segments
_TRIES = 3  # for a request, and for starting a process

_Waiting = dict[ProgramKey, deque[int]]  # indices of requests


class Processes:
    """A pool of processes, each pinned to a core.

    Args:
      count: number of processes. Default: one for each core, if memory allows.
    """

    host = Host("cpu", ("cpu",))

    def __init__(self, count: int | None = None) -> None:
        cores = own_cores() if count is None or count == usable_cores() else []
        count = count or _default_count()
        at = cores if len(cores) == count else [None] * count
        self.processes = [_process(number, core) for number, core in enumerate(at)]
        self._known: dict[Process, tuple[str, ...]] = {}  # digests that idle processes have
        self._compiled: defaultdict[Process, set[ProgramKey]] = defaultdict(set)
        # The first import JAX while the table is read.
        for each in self.processes[:_EARLY]:
            with contextlib.suppress(OSError):  # reported with its first request
                each.start()

    @property
    def label(self) -> str:
        """The processes, for messages."""
        count = len(self.processes)
        return f"{count} worker process{'es' * (count > 1)}"

    @property
    def devices(self) -> list[str]:
        """The processes, for the manifest."""
        return [f"process {i} ({each.where})" for i, each in enumerate(self.processes)]

    def run(
        self, requests: Sequence[Request], blobs: Mapping[str, bytes]
    ) -> Generator[tuple[int, Answer]]:
        """Runs requests; yields the index and the answer of each, in any order.

        A request whose worker is lost runs again on another, up to three times in all. Running
        requests end when the iterator is closed or raises.

        Args:
          requests: ordered so that those with the same random numbers are adjacent.
          blobs: pickled specs and folds by digest.

        Raises:
          RunError: three workers were lost with a request, or three in a row failed to start.
        """
        waiting: _Waiting = {}
        for place, request in enumerate(requests):
            waiting.setdefault(request.tasks[0].program, deque()).append(place)
        idle, running = list(self.processes), dict[Future[Answer], tuple[Process, int]]()
        lost, unstarted = Counter[int](), 0

        def hand_out() -> None:
            while idle and waiting:
                worker = idle.pop(0)
                place = self._take(worker, waiting)
                running[self._begin(worker, requests[place], blobs)] = worker, place

        try:
            while waiting or running:
                hand_out()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    worker, place = running.pop(future)
                    idle.append(worker)
                    try:
                        answer = future.result()
                    except WorkerLostError as error:
                        self._compiled.pop(worker, None)
                        if isinstance(error, WorkerStartError):  # not caused by the request
                            unstarted += 1
                        else:
                            lost[place] += 1
                        task = requests[place].tasks[0]
                        if unstarted == _TRIES:
                            raise RunError(
                                f"{unstarted} workers in a row failed to start, the last: {error}"
                            ) from None
                        if lost[place] == _TRIES:
                            raise RunError(
                                f"{_TRIES} workers were lost training {task!r}; the last {error}"
                            ) from None
                        waiting.setdefault(task.program, deque()).appendleft(place)
                        continue
                    unstarted = 0
                    self._known[worker] = answer.known
                    hand_out()  # before the caller handles the answer
                    yield place, answer
        finally:
            if running:  # closed early, or failed; the next call starts the processes again
                self._known.clear()
                self._compiled.clear()
                for each in self.processes:
                    each.leave()
                for each in self.processes:
                    each.end()

    def close(self) -> None:
        """Keeps the processes, so that the next sweep of a notebook has their programs."""

    def _begin(
        self, worker: Process, request: Request, blobs: Mapping[str, bytes]
    ) -> "Future[Answer]":
        known = self._known.pop(worker, ())
        if worker.pid is None:  # a new process has no data
            known = ()
        lacks = (None if d in known else blobs[d] for d in (request.spec, request.fold))
        pickled = pickle.dumps(request, pickle.HIGHEST_PROTOCOL)
        return worker.submit(work.work, process.computing(), pickled, *lacks)

    def _take(self, worker: Process, waiting: _Waiting) -> int:
        """Returns the next request for a process: one of a program that it has compiled, if any.

        Else it gets the program with the most requests per process that has compiled it. A program
        takes seconds to compile, so each process compiles as few as possible.
        """
        own = waiting.keys() & self._compiled[worker]
        owners = Counter(itertools.chain.from_iterable(self._compiled.values()))
        if own:
            program = min(own, key=lambda p: waiting[p][0])
        else:
            program = max(waiting, key=lambda p: len(waiting[p]) / (owners[p] or 0.1))
        self._compiled[worker].add(program)
        place = waiting[program].popleft()
        if not waiting[program]:
            del waiting[program]
        return place


def _default_count() -> int:
    """Returns the number of usable cores, or fewer if there is not enough memory."""
    cores, room = usable_cores(), free_bytes()
    count = max(1, int(min(cores, room // _BYTES)))
    if count < cores:
        warnings.warn(
            f"only {room / 1e9:.1f} GB of memory are free: starting {count} worker processes for "
            f"{cores} cores, {_BYTES / 1e9:.1f} GB each; --workers sets another number",
            stacklevel=2,
        )
    return count


@functools.cache
def _process(number: int, core: int | None) -> Process:
    """Returns the process with a number, always the same."""
    del number  # the key of the cache
    made = Process(core, work.__name__)
    atexit.register(made.shutdown)
    return made


if hasattr(os, "register_at_fork"):  # a forked child lacks the threads that communicate with them
    os.register_at_fork(after_in_child=_process.cache_clear)
