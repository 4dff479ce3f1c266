"""Many sound files at once, each process at one: a file that ends its process costs only itself.

joblib's loky starts the processes, and does not import the caller's script in them. Each is an
executor of its own, because an executor breaks as a whole and does not say which file it was at.
"""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

from gtzan_jax.console import replace_unencodable
from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.text import printable

S = TypeVar("S")
T = TypeVar("T")

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


def of_many(
    compute: Callable[[S], T], sounds: Iterable[S], workers: int
) -> Iterator[tuple[S, T | SoundError]]:
    """Computes something of each of many sound files and yields it when it is there.

    Args:
      compute: is given a sound, and raises SoundError where it cannot be used.
      sounds: paths, or what else messages can name by its text; a few are taken in advance.
      workers: processes, with one thread each.

    Yields:
      the sound, and what was computed or why it was not, in any order.

    Raises:
      InputError: the packages that read sound are not installed.
    """
    idle = [_executor() for _ in range(workers)]
    busy: dict[Future[T], tuple[S, Any]] = {}
    left = iter(sounds)
    try:
        while True:
            while idle and (sound := next(left, None)) is not None:
                executor = idle.pop()
                busy[executor.submit(compute, sound)] = sound, executor
            if not busy:
                return
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                sound, executor = busy.pop(future)
                found, is_alive = _outcome(future, sound)
                idle.append(executor if is_alive else _executor())
                yield sound, found
    finally:
        for executor in (*idle, *(executor for _, executor in busy.values())):
            executor.shutdown(kill_workers=True)


def _outcome(future: "Future[Any]", sound: object) -> tuple[Any, bool]:
    """Returns the result of a file, and whether its process is still there."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    try:
        return future.result(), True
    except SoundError as error:
        return error, True
    except InputError:
        raise
    except BrokenProcessPool as error:
        told = re.search(r"SIG[A-Z]+", str(error))
        how = f" by {told[0]}" if told else ""
        return SoundError(
            f"{printable(sound)}: its process was ended{how}, as by a damaged file or for want of "
            "memory"
        ), False
    except Exception as error:  # a decoder may raise anything, and other files may do
        return SoundError(f"{printable(sound)}: {type(error).__name__}: {printable(error)}"), True


def _executor() -> Any:
    from joblib.externals.loky.process_executor import ProcessPoolExecutor

    return ProcessPoolExecutor(1, initializer=_begin, initargs=(os.getpid(),), env=_ONE_THREAD)


def _begin(command: int) -> None:
    """Prepares a process: it leaves Ctrl-C to the command, prints nothing, and does not outlive it.

    Args:
      command: the number of the process that this one works for.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replace_unencodable()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders in C write what they think there
    threading.Thread(target=_end_with, args=(command,), daemon=True).start()


def _end_with(command: int) -> None:
    """Ends this process soon after another has; loky's wait for work for ever."""
    while os.name != "posix" or os.getppid() == command:
        time.sleep(1)
    os._exit(0)
