"""Worker processes of this machine: one a core, each with one device and one thread.

``python -m gtzan_jax.trainer.processes CORE`` is such a process. It reads what to call from its
standard input, pickled, and writes what came of it to its standard output, one thing at a time.
It ends with its input, so that it outlives nobody: not even a process that is killed.

The standard library's pool of processes would import the caller's script again in each of them,
which trains twice where a script has no guard, and breaks as a whole with one of them.
"""

import atexit
import contextlib
import functools
import gc
import math
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, BinaryIO, TypeVar

from gtzan_jax.errors import InputError, RunError, WorkerLostError
from gtzan_jax.trainer.platforms import usable_cores, worker_devices
from gtzan_jax.trainer.work import Host

T = TypeVar("T")

_EARLY = 4  # processes that start at once
_PATIENCE_S = 5.0  # for which a process may take its leave


class Process(Executor):
    """A process that is pinned to a core, and started anew whenever it is lost.

    A call fails with :class:`WorkerLostError` where the process ends under it.

    Args:
      core: number of the core; where systems cannot pin, it has but one thread.
    """

    def __init__(self, core: int) -> None:
        self._core = core
        self._popen: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # of the above
        self._caller = ThreadPoolExecutor(1, "worker")

    def __repr__(self) -> str:
        return f"Process(core {self._core}, {self.pid or 'not started'})"

    @property
    def pid(self) -> int | None:
        """Its number; None where it is not running."""
        popen = self._popen
        return popen.pid if popen and popen.poll() is None else None

    def start(self) -> None:
        """Starts the process unless it is running: it imports JAX before it is asked for work."""
        with self._lock:
            if self._popen is not None and self._popen.poll() is not None:
                _closed(self._popen)
                self._popen = None
            if self._popen is None:
                self._popen = _started(self._core)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Has the process call a function that it can import, after what it was asked before."""
        return self._caller.submit(self._call, functools.partial(fn, *args, **kwargs))

    def kill(self) -> None:
        """Ends the process at once, and with it the call that it is at."""
        with self._lock:
            if self._popen is not None:
                self._popen.kill()
                self._popen.wait()
                _closed(self._popen)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the process: after what it was asked, or at once."""
        self._caller.shutdown(wait=wait, cancel_futures=cancel_futures)
        with self._lock:
            if self._popen is not None:
                _closed(self._popen)
                try:
                    self._popen.wait(_PATIENCE_S)
                except subprocess.TimeoutExpired:
                    self._popen.kill()
                    self._popen.wait()

    def _call(self, call: Callable[[], T]) -> T:
        self.start()
        popen = self._popen
        if popen is None or popen.stdin is None or popen.stdout is None:
            raise AssertionError("a process that was started has pipes")
        try:
            pickle.dump(pickle.dumps(call), popen.stdin)  # what cannot be opened there is one piece
            popen.stdin.flush()
            value, error = pickle.load(popen.stdout)  # noqa: S301 — from a process of our own
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            popen.kill()  # it may only have closed its pipes
            popen.wait()
            _closed(popen)
            raise WorkerLostError(_ending(popen.returncode)) from None
        if error is not None:
            raise error
        result: T = value
        return result


class Processes:
    """A pool of processes, one pinned to each core.

    Args:
      count: how many. Default: as many as there are cores.
    """

    depth = 1
    patience_s = math.inf
    host = Host("cpu", ("cpu",))

    def __init__(self, count: int | None = None) -> None:
        self._processes = _processes(count or len(usable_cores()))
        # Those that there is work for in any case import JAX while the table is read.
        for process in list(self._processes.values())[:_EARLY]:
            process.start()

    @property
    def place(self) -> str:
        """What is at work, in words."""
        count = len(self._processes)
        return f"{count} worker process{'es' * (count > 1)}"

    @property
    def devices(self) -> list[str]:
        """What a manifest calls the processes."""
        return [f"{name}, one cpu core" for name in self._processes]

    def slots(self) -> Mapping[str, Executor]:
        """Returns the processes; those that are handed nothing are not started."""
        return self._processes

    def explained(self, error: BaseException) -> Exception:
        """Returns the error: processes fail with what is fit to be read."""
        if isinstance(error, Exception):
            return error
        return RunError(f"a worker process failed: {error!r}")

    def stop(self) -> None:
        """Ends the processes, which start anew when they are asked for the next time."""
        for process in self._processes.values():
            process.kill()


@functools.cache
def _processes(count: int) -> Mapping[str, Process]:
    """Returns this many processes by name, always the same: a notebook's next sweep finds them."""
    cores = usable_cores()
    made = {f"process {i}": Process(cores[i % len(cores)]) for i in range(count)}
    atexit.register(_shut_down, made)
    return made


def _shut_down(made: Mapping[str, Process]) -> None:
    for process in made.values():
        process.shutdown()


def _started(core: int) -> "subprocess.Popen[bytes]":
    flags = "" if core == usable_cores()[0] else "ignore"  # one of them warns, not all
    environment = {"JAX_PLATFORMS": "cpu", "NPROC": "1", "PYTHONWARNINGS": flags}
    here = [path or os.getcwd() for path in sys.path]  # the package may lie beside a notebook
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", "-m", __name__, str(core)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | environment | {"PYTHONPATH": os.pathsep.join(here)},
    )


def _closed(popen: "subprocess.Popen[bytes]") -> None:
    """Closes the pipes of a process, which ends it unless it has ended."""
    for pipe in (popen.stdin, popen.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what is left to flush reaches nobody
                pipe.close()


def _ending(code: int) -> str:
    """Returns how a process has ended, from what ``Popen.wait`` returns."""
    if code >= 0:
        return f"ended with code {code}"
    name = signal.Signals(-code).name
    why = ", as the system does where memory runs out" if name == "SIGKILL" else ""
    return f"was ended by {name}{why}"


def main(core: int) -> None:
    """Works until the input ends."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what a library prints must not get among the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's reaches us too: our caller decides
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, calls), daemon=True).start()
    worker_devices()
    import gtzan_jax.models.mlp
    import gtzan_jax.trainer.engine  # noqa: F401

    gc.collect()
    gc.freeze()  # JAX's million objects stay: to look through them takes longer than any garbage
    while True:
        call, value, error = calls.get(), None, None
        try:
            value = pickle.loads(call)()  # noqa: S301 — from the process that started us
        except Exception as failure:
            error = _to_travel(failure)
        try:
            pickle.dump((value, error), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
        except BrokenPipeError:
            os._exit(0)


def _read(requests: BinaryIO, calls: "queue.SimpleQueue[bytes]") -> None:
    """Reads calls; whoever is at one when the input ends, ends with it."""
    while True:
        try:
            calls.put(pickle.load(requests))  # noqa: S301 — as the calls
        except Exception:
            os._exit(0)


def _to_travel(error: Exception) -> Exception:
    """Returns an error that can be unpickled where neither JAX nor its classes are imported."""
    if isinstance(error, (InputError, RunError)):
        return error
    traceback.print_exception(error)
    return RunError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
