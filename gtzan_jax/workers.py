"""Worker processes: each calls functions for its parent, one at a time, and is replaced if lost.

``python -m gtzan_jax.workers CORE PREPARE`` runs a worker, pinned to CORE unless -1. It first calls
``prepare`` of the module PREPARE, if any. It reads pickled calls from its standard input, writes
results to its standard output, and ends with its input, even if its parent is killed.

The standard library's pool will not do: it imports the caller's script again, so a script without a
guard would train twice, and it breaks as a whole if one process does.
"""

import contextlib
import functools
import gc
import importlib
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
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any, BinaryIO, TypeVar

from gtzan_jax.console import replace_unencodable
from gtzan_jax.errors import InputError, RunError, WorkerLostError, WorkerStartError

T = TypeVar("T")

_PATIENCE_S = 5.0  # for the current call after the end of the input
_ENDING_S = 2.0  # from closed pipes to the end of a process
_THREADS = ("NPROC", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
            "NUMBA_NUM_THREADS")  # fmt: skip


class Process:
    """A worker process that calls functions, one at a time, pinned to a core unless that is None.

    A call fails with :class:`WorkerLostError` if the process ends during it, and with
    :class:`WorkerStartError` if it ends before. ``prepare`` names a module whose ``prepare`` is
    called when the process starts. Printed output is not shown.
    """

    def __init__(self, core: int | None = None, prepare: str = "") -> None:
        self._core, self._prepare = core, prepare
        self._popen: subprocess.Popen[bytes] | None = None
        self._printed: IO[bytes] | None = None  # by the process
        self._is_starting = False
        self._lock = threading.Lock()  # of the above
        self._caller = ThreadPoolExecutor(1, "worker")

    def __repr__(self) -> str:
        return f"Process({self.where}, {self.pid or 'not started'})"

    @property
    def where(self) -> str:
        """The core of the process, in words."""
        return "any core" if self._core is None else f"core {self._core}"

    @property
    def pid(self) -> int | None:
        """The process id; None if it is not running."""
        popen = self._popen
        return popen.pid if popen and popen.poll() is None else None

    def start(self) -> None:
        """Starts the process unless it is running; does not wait for it."""
        with self._lock:
            # The next call reports a process that ended during its start.
            if self._popen and self._popen.poll() is not None and not self._is_starting:
                self._forget(self._popen)
            if self._popen is None:
                printed = tempfile.TemporaryFile()  # noqa: SIM115 — lives with the process
                try:
                    self._popen = self._started(printed)
                except OSError:
                    printed.close()
                    raise
                self._printed, self._is_starting = printed, True

    def submit(self, fn: Callable[..., T], /, *args: Any) -> "Future[T]":
        """Makes the process call an importable function after all earlier calls."""
        return self._caller.submit(self._call, functools.partial(fn, *args))

    def leave(self) -> None:
        """Closes the process's input, which ends the process in a few seconds; does not wait."""
        with self._lock:
            if self._popen is not None and self._popen.stdin is not None:
                with contextlib.suppress(OSError):
                    self._popen.stdin.close()

    def end(self, at_once: bool = False) -> None:
        """Ends the process; the next call starts another."""
        self.leave()
        with self._lock:
            if self._popen is not None:
                try:
                    self._popen.wait(0 if at_once else 2 * _PATIENCE_S)
                except subprocess.TimeoutExpired:
                    self._popen.kill()
                    self._popen.wait()
                self._forget(self._popen)

    def shutdown(self, at_once: bool = False) -> None:
        """Ends the process for good."""
        self.end(at_once)
        self._caller.shutdown()

    def _started(self, printed: IO[bytes]) -> "subprocess.Popen[bytes]":
        environment = {"JAX_PLATFORMS": "cpu"} | dict.fromkeys(_THREADS, "1")
        if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":  # JAX's default, if imported before
            environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
        # A notebook may find the package in its own folder.
        here = [path or "." for path in sys.path if isinstance(path, str)]
        core = str(-1 if self._core is None else self._core)
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", __name__, core, self._prepare],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            env=os.environ | environment | {"PYTHONPATH": os.pathsep.join(here)},
            # Not the terminal's group: only this process gets Ctrl-C, and ends its workers.
            process_group=0 if os.name == "posix" else None,
        )

    def _call(self, call: Callable[[], T]) -> T:
        try:
            self.start()
        except OSError as failure:  # such as too many processes
            raise WorkerStartError(f"{failure.strerror}") from None
        popen = self._popen
        if popen is None or popen.stdin is None or popen.stdout is None:
            raise AssertionError("a process that was started has pipes")
        try:
            pickle.dump(pickle.dumps(call), popen.stdin)  # twice: calls may not unpickle there
            popen.stdin.flush()
            if self._is_starting:
                pickle.load(popen.stdout)  # noqa: S301 — from a process of our own
                self._is_starting = False
            value, error, warned = pickle.load(popen.stdout)  # noqa: S301 — likewise
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            raise self._loss(popen) from None
        for sentence in warned:
            warnings.warn(sentence, stacklevel=1)
        if error is not None:
            raise error
        result: T = value
        return result

    def _loss(self, popen: "subprocess.Popen[bytes]") -> WorkerLostError:
        """Waits for the end of a process that does not answer; returns the error."""
        try:
            popen.wait(_ENDING_S)
        except subprocess.TimeoutExpired:  # it has only closed its pipes
            popen.kill()
            popen.wait()
        with self._lock:
            is_starting, last = self._is_starting, ""
            if self._printed is not None:
                self._printed.seek(0)
                lines = self._printed.read().decode(errors="replace").split("\n")
                last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            self._forget(popen)
        if is_starting:
            return WorkerStartError(last or _ending(popen.returncode, is_starting=True))
        return WorkerLostError(_ending(popen.returncode) + (last and f"; its last line: {last}"))

    def _forget(self, popen: "subprocess.Popen[bytes]") -> None:
        """Closes a process's pipes, which ends it, so that another can start."""
        for pipe in (popen.stdin, popen.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # nobody reads the rest of the buffer
                    pipe.close()
        if self._popen is popen:
            if self._printed is not None:
                self._printed.close()
            self._popen = self._printed = None


def _ending(code: int, is_starting: bool = False) -> str:
    """Returns a description of a return code."""
    if code >= 0:
        return f"ended with code {code}"
    if -code == signal.SIGKILL and not is_starting:
        return "was ended by SIGKILL, perhaps out of memory: try fewer --workers"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def main(core: str, prepare: str) -> None:
    """Runs calls until the input ends."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # output of libraries must not mix with answers
    replace_unencodable()
    if int(core) >= 0:
        os.sched_setaffinity(0, {int(core)})
    calls: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, calls), daemon=True).start()
    warned: list[str] = []
    warnings.showwarning = lambda message, *_, **__: warned.append(str(message))
    if prepare:
        gc.disable()  # JAX's million objects are slow to scan
        importlib.import_module(prepare).prepare()
        gc.collect()
        gc.freeze()
        gc.enable()
    _send(None, answers)  # it has started
    while True:
        call, value, error = calls.get(), None, None
        if call is None:
            os._exit(0)
        os.ftruncate(2, 0)  # what earlier calls printed
        os.lseek(2, 0, os.SEEK_SET)
        try:
            value = pickle.loads(call)()  # noqa: S301 — from the process that started us
        except (InputError, RunError) as failure:
            error = failure
        except Exception as failure:  # may not unpickle where JAX is not imported
            error = RunError(f"{type(failure).__name__}: {failure}")
            error.add_note("".join(traceback.format_exception(failure)))
        _send((value, error, tuple(warned)), answers)
        warned.clear()


def _send(value: object, answers: BinaryIO) -> None:
    try:
        pickle.dump(value, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()
    except BrokenPipeError:
        os._exit(0)


def _read(requests: BinaryIO, calls: "queue.SimpleQueue[bytes | None]") -> None:
    """Reads calls; after their end gives the current one a few seconds."""
    while True:
        try:
            calls.put(pickle.load(requests))  # noqa: S301 — as the calls
        except Exception:
            calls.put(None)
            time.sleep(_PATIENCE_S)
            os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
