"""Worker processes of this machine: one a core, each with one device and one thread.

``python -m gtzan_jax.backends.processes CORE ERRORS`` is such a process; with core -1 it goes where
the system puts it, and ERRORS is where its errors go once it has started. It reads what to call
from its standard input, pickled, and writes the result to its standard output, one thing at a
time. It ends with its input, so that it outlives nobody: not even a process that is killed.

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
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import IO, Any, BinaryIO, TypeVar

from gtzan_jax.backends.work import Host
from gtzan_jax.console import replace_unencodable
from gtzan_jax.errors import InputError, RunError, WorkerLostError, WorkerStartError
from gtzan_jax.trainer.platforms import free_bytes, own_cores, usable_cores, worker_devices

T = TypeVar("T")

_EARLY = 4  # processes that start at once
_PATIENCE_S = 5.0  # for which a process may end what it is at, such as writing to JAX's cache
_ENDING_S = 2.0  # in which a process ends that has closed its pipes
_BYTES = 600e6  # of memory that a process takes, or more on a table of chunks


class Process(Executor):
    """A process that is pinned to a core, and started anew whenever it is lost.

    A call fails with :class:`WorkerLostError` where the process ends under it, and with
    :class:`WorkerStartError` where the process ends before it can take the call.

    Args:
      core: number of the core; None where the system is to choose.
    """

    def __init__(self, core: int | None = None) -> None:
        self._core = core
        self._popen: subprocess.Popen[bytes] | None = None
        self._printed: IO[bytes] | None = None  # errors while it starts; None once it has started
        self._lock = threading.Lock()  # of the above
        self._caller = ThreadPoolExecutor(1, "worker")

    def __repr__(self) -> str:
        return f"Process({self.where}, {self.pid or 'not started'})"

    @property
    def where(self) -> str:
        """Where it runs."""
        return "any core" if self._core is None else f"core {self._core}"

    @property
    def pid(self) -> int | None:
        """Its number; None where it is not running."""
        popen = self._popen
        return popen.pid if popen and popen.poll() is None else None

    def start(self) -> None:
        """Starts the process unless it is running: it imports JAX before it is asked for work."""
        with self._lock:
            # One that has ended before it started is left for whoever asks it for work to find.
            if self._popen and self._popen.poll() is not None and self._printed is None:
                self._forget(self._popen)
            if self._popen is None:
                printed = tempfile.TemporaryFile()  # noqa: SIM115 — lives with the process
                try:
                    self._popen = _started(self._core, printed)
                except OSError:
                    printed.close()
                    raise
                self._printed = printed

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Has the process call a function that it can import, after what it was asked before."""
        return self._caller.submit(self._call, functools.partial(fn, *args, **kwargs))

    def leave(self) -> None:
        """Has the process end with what it is at, or in a few seconds, and does not wait for it."""
        with self._lock:
            if self._popen is not None and self._popen.stdin is not None:
                with contextlib.suppress(OSError):
                    self._popen.stdin.close()

    def end(self) -> None:
        """Waits until the process has left, and ends it if it does not."""
        self.leave()
        with self._lock:
            if self._popen is not None:
                try:
                    self._popen.wait(2 * _PATIENCE_S)
                except subprocess.TimeoutExpired:
                    self._popen.kill()
                    self._popen.wait()
                self._forget(self._popen)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the process and what talks to it."""
        self.end()
        self._caller.shutdown(wait=wait, cancel_futures=cancel_futures)

    def _call(self, call: Callable[[], T]) -> T:
        try:
            self.start()
        except OSError as failure:  # the system has no room for it
            raise WorkerStartError(f"{failure.strerror}") from None
        popen = self._popen
        if popen is None or popen.stdin is None or popen.stdout is None:
            raise AssertionError("a process that was started has pipes")
        try:
            pickle.dump(pickle.dumps(call), popen.stdin)  # what cannot be opened there is one piece
            popen.stdin.flush()
            if self._printed is not None:
                pickle.load(popen.stdout)  # noqa: S301 — from a process of our own
                with self._lock:
                    self._close_printed()
            value, error, warned = pickle.load(popen.stdout)  # noqa: S301 — likewise
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            raise self._loss(popen) from None
        for sentence in warned:  # here, where those of several processes are one
            warnings.warn(sentence, stacklevel=1)
        if error is not None:
            raise error
        result: T = value
        return result

    def _loss(self, popen: "subprocess.Popen[bytes]") -> WorkerLostError:
        """Waits for the end of a process that does not answer; returns what that means."""
        try:
            popen.wait(_ENDING_S)
        except subprocess.TimeoutExpired:  # it has only closed its pipes
            popen.kill()
            popen.wait()
        with self._lock:
            is_starting, last = self._printed is not None, ""
            if self._printed is not None:
                self._printed.seek(0)
                lines = self._printed.read().decode(errors="replace").split("\n")
                last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            self._forget(popen)
        if not is_starting:
            return WorkerLostError(_ending(popen.returncode))
        return WorkerStartError(last or _ending(popen.returncode, is_starting=True))

    def _close_printed(self) -> None:
        if self._printed is not None:
            self._printed.close()
            self._printed = None

    def _forget(self, popen: "subprocess.Popen[bytes]") -> None:
        """Lets another process be started in the place of one that has ended."""
        _closed(popen)
        if self._popen is popen:
            self._popen = None
            self._close_printed()


class Processes:
    """A pool of processes, one pinned to each core.

    Args:
      count: how many. Default: as many as there are cores.
    """

    depth = 1
    patience_s = math.inf
    strikes = 3  # processes that a task may cost: nobody takes a core of this machine back
    host = Host("cpu", ("cpu",))

    def __init__(self, count: int | None = None) -> None:
        cores = own_cores() if count is None or count == usable_cores() else []
        count = count or _default_count()
        at = cores if len(cores) == count else [None] * count
        self._processes = {f"process {i}": _process(i, core) for i, core in enumerate(at)}
        # Those that there is work for in any case import JAX while the table is read.
        for process in list(self._processes.values())[:_EARLY]:
            with contextlib.suppress(OSError):  # told when it is asked for work
                process.start()

    @property
    def place(self) -> str:
        """What is at work, in words."""
        count = len(self._processes)
        return f"{count} worker process{'es' * (count > 1)}"

    @property
    def devices(self) -> list[str]:
        """What a manifest calls the processes."""
        return [f"{name} ({process.where})" for name, process in self._processes.items()]

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
            process.leave()
        for process in self._processes.values():
            process.end()

    def close(self) -> None:
        """Keeps the processes: a notebook's next sweep finds them and their programs."""


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
    made = Process(core)
    atexit.register(made.shutdown)
    return made


if hasattr(os, "register_at_fork"):  # a child of this process has not the threads to talk to them
    os.register_at_fork(after_in_child=_process.cache_clear)


def _started(core: int | None, printed: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Starts a process whose errors go to a file until it has started."""
    threads = ("NPROC", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {"JAX_PLATFORMS": "cpu"} | dict.fromkeys(threads, "1")
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":  # JAX's, imported here before us
        environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # The package may lie beside a notebook, which looks for modules where it is.
    here = [path or "." for path in sys.path if isinstance(path, str)]
    errors = []
    with contextlib.suppress(OSError):  # nobody listens to errors
        errors = [os.dup(2)] if os.name == "posix" else []
    places = [-1 if core is None else core, *errors]
    try:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", __name__, *map(str, places)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed if os.name == "posix" else None,
            pass_fds=errors,
            env=os.environ | environment | {"PYTHONPATH": os.pathsep.join(here)},
            # Not the terminal's group: its Ctrl-C is for this process, which decides for them.
            process_group=0 if os.name == "posix" else None,
        )
    finally:
        for file in errors:
            os.close(file)


def _closed(popen: "subprocess.Popen[bytes]") -> None:
    """Closes the pipes of a process, which ends it unless it has ended."""
    for pipe in (popen.stdin, popen.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what is left to flush reaches nobody
                pipe.close()


def _ending(code: int, is_starting: bool = False) -> str:
    """Returns how a process has ended, from what ``Popen.wait`` returns."""
    if code >= 0:
        return f"ended with code {code}"
    if -code == signal.SIGKILL and not is_starting:
        return "was ended by SIGKILL, as where memory runs out: fewer --workers need less"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def main(core: int = -1, errors: int | None = None) -> None:
    """Works until the input ends."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        os.dup2(2, 1)  # what a library prints must not get among the answers
    except OSError:  # nobody listens to errors
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    replace_unencodable()
    if core >= 0:
        os.sched_setaffinity(0, {core})
    calls: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, calls), daemon=True).start()
    warned: list[str] = []
    warnings.showwarning = lambda message, *_, **__: warned.append(str(message))
    worker_devices()
    import gtzan_jax.models.mlp
    import gtzan_jax.trainer.engine  # noqa: F401

    gc.collect()
    gc.freeze()  # JAX's million objects stay: to look through them takes longer than any garbage
    if errors is not None:
        _direct(errors)
    _send(None, answers)  # it has started
    while True:
        call, value, error = calls.get(), None, None
        if call is None:
            os._exit(0)
        try:
            value = pickle.loads(call)()  # noqa: S301 — from the process that started us
        except Exception as failure:
            error = _to_travel(failure)
        _send((value, error, tuple(warned)), answers)
        warned.clear()


def _send(value: object, answers: BinaryIO) -> None:
    try:
        pickle.dump(value, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()
    except BrokenPipeError:
        os._exit(0)


def _direct(errors: int) -> None:
    """Sends errors, and what is printed, to a file descriptor; those so far, too."""
    sys.stderr.flush()
    with open(2, "rb", closefd=False) as printed:
        printed.seek(0)
        os.write(errors, printed.read())
    os.dup2(errors, 2)
    os.dup2(errors, 1)
    os.close(errors)


def _read(requests: BinaryIO, calls: "queue.SimpleQueue[bytes | None]") -> None:
    """Reads calls; when they end, lets the one under way end, if it does so soon."""
    while True:
        try:
            calls.put(pickle.load(requests))  # noqa: S301 — as the calls
        except Exception:  # whatever it is, there is nobody to tell
            calls.put(None)
            time.sleep(_PATIENCE_S)
            os._exit(0)


def _to_travel(error: Exception) -> Exception:
    """Returns an error that can be unpickled where neither JAX nor its classes are imported."""
    if isinstance(error, (InputError, RunError)):
        return error
    traceback.print_exception(error)
    return RunError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
