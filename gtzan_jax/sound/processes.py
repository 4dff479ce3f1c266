"""Computes with many sound files in processes: a crash costs only its own file."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

from gtzan_jax.errors import InputError, RunError, SoundError, WorkerLostError, WorkerStartError
from gtzan_jax.text import printable
from gtzan_jax.workers import Process

S = TypeVar("S")
T = TypeVar("T")


def of_many(
    compute: Callable[[S], T], sounds: Iterable[S], workers: int
) -> Iterator[tuple[S, T | SoundError]]:
    """Applies a function to many sound files, and yields each with its result once finished.

    The result is a SoundError if ``compute`` raised one or its process ended. ``sounds`` are paths,
    or objects whose text names them; they are consumed as processes, of one thread each, become
    idle.
    """
    idle = [Process() for _ in range(workers)]
    busy: dict[Future[T], tuple[S, Process]] = {}
    left = iter(sounds)
    try:
        while True:
            while idle and (sound := next(left, None)) is not None:
                process = idle.pop()
                busy[process.submit(compute, sound)] = sound, process
            if not busy:
                return
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                sound, process = busy.pop(future)
                idle.append(process)
                yield sound, _outcome(future, sound)
    finally:
        for process in (*idle, *(process for _, process in busy.values())):
            process.shutdown(at_once=True)


def _outcome(future: "Future[Any]", sound: object) -> Any:
    """Returns the result of a file, or its SoundError."""
    try:
        return future.result()
    except SoundError as error:
        return error
    except InputError:
        raise
    except WorkerStartError as error:
        raise OSError(f"a process cannot be started: {error}") from None
    except WorkerLostError as error:
        return SoundError(f"{printable(sound)}: its process {error}; is the file damaged?")
    except RunError as error:  # a decoder may raise anything
        return SoundError(f"{printable(sound)}: {printable(error)}")
