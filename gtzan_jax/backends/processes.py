"""Worker processes of this machine: one a core, each with one device and one thread."""

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

_EARLY = 4  # processes that start at once
_BYTES = 600e6  # of memory that a process takes, or more on a table of segments
_TRIES = 3  # of a request, and of starting a process

_Waiting = dict[ProgramKey, deque[int]]  # places of requests


class Processes:
    """A pool of processes, one pinned to each core.

    Args:
      count: how many. Default: as many as there are cores.
    """

    host = Host("cpu", ("cpu",))

    def __init__(self, count: int | None = None) -> None:
        cores = own_cores() if count is None or count == usable_cores() else []
        count = count or _default_count()
        at = cores if len(cores) == count else [None] * count
        self.processes = [_process(number, core) for number, core in enumerate(at)]
        self._known: dict[Process, tuple[str, ...]] = {}  # digests; of idle processes
        self._compiled: defaultdict[Process, set[ProgramKey]] = defaultdict(set)
        # Those that there is work for in any case import JAX while the table is read.
        for each in self.processes[:_EARLY]:
            with contextlib.suppress(OSError):  # reported when it is asked for work
                each.start()

    @property
    def label(self) -> str:
        """The processes in words."""
        count = len(self.processes)
        return f"{count} worker process{'es' * (count > 1)}"

    @property
    def devices(self) -> list[str]:
        """What a manifest calls the processes."""
        return [f"process {i} ({each.where})" for i, each in enumerate(self.processes)]

    def run(
        self, requests: Sequence[Request], blobs: Mapping[str, bytes]
    ) -> Generator[tuple[int, Answer]]:
        """Has requests done; yields the place of each and its answer, in any order.

        A request whose worker is lost is repeated by another, at most three times in all. What is
        under way ends when the iterator is closed, or raises.

        Args:
          requests: those that share random numbers one after another.
          blobs: pickled specs and folds by digest.

        Raises:
          RunError: a request has cost three workers, or three in a row failed to start.
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
                        if isinstance(error, WorkerStartError):  # no fault of the request
                            unstarted += 1
                        else:
                            lost[place] += 1
                        task, kept = requests[place].tasks[0], "what is finished is kept"
                        if unstarted == _TRIES:
                            raise RunError(
                                f"{unstarted} workers in a row failed to start, the last: {error}; "
                                f"{kept}"
                            ) from None
                        if lost[place] == _TRIES:
                            raise RunError(
                                f"{task!r} has cost {_TRIES} workers, the last {error}; {kept}"
                            ) from None
                        waiting.setdefault(task.program, deque()).appendleft(place)
                        continue
                    unstarted = 0
                    self._known[worker] = answer.known
                    hand_out()  # before the caller looks at the answer
                    yield place, answer
        finally:
            if running:  # the caller has gone, or a request has failed; calls start them anew
                self._known.clear()
                self._compiled.clear()
                for each in self.processes:
                    each.leave()
                for each in self.processes:
                    each.end()

    def close(self) -> None:
        """Keeps the processes: a notebook's next sweep finds them and their programs."""

    def _begin(
        self, worker: Process, request: Request, blobs: Mapping[str, bytes]
    ) -> "Future[Answer]":
        known = self._known.pop(worker, ())
        if worker.pid is None:  # its successor knows nothing
            known = ()
        lacks = (None if d in known else blobs[d] for d in (request.spec, request.fold))
        pickled = pickle.dumps(request, pickle.HIGHEST_PROTOCOL)
        return worker.submit(work.work, process.computing(), pickled, *lacks)

    def _take(self, worker: Process, waiting: _Waiting) -> int:
        """Returns the next request for a process: of the programs that it has compiled, if any.

        Else of the one with the most requests to each process that has it: a program takes seconds
        to compile, so that each process compiles as few as it can.
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
    """Returns the number of usable cores, or as many processes as there is memory for."""
    cores, room = usable_cores(), free_bytes()
    count = max(1, int(min(cores, room // _BYTES)))
    if count < cores:
        warnings.warn(
            f"{room / 1e9:.1f} GB of memory are free: {count} of {cores} cores get a worker, "
            f"of {_BYTES / 1e9:.1f} GB each; --workers says otherwise",
            stacklevel=2,
        )
    return count


@functools.cache
def _process(number: int, core: int | None) -> Process:
    """Returns always the same process."""
    del number  # of the process, whose place in the cache it is
    made = Process(core, work.__name__)
    atexit.register(made.shutdown)
    return made


if hasattr(os, "register_at_fork"):  # a child of this process has not the threads to talk to them
    os.register_at_fork(after_in_child=_process.cache_clear)
