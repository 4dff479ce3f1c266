"""Worker processes of this machine: one a core, each with one device and one thread."""

import atexit
import contextlib
import functools
import math
import os
import warnings
from collections.abc import Mapping

from gtzan_jax.backends import work
from gtzan_jax.backends.work import Host
from gtzan_jax.errors import RunError
from gtzan_jax.trainer.platforms import free_bytes, own_cores, usable_cores
from gtzan_jax.workers import Process

_EARLY = 4  # processes that start at once
_BYTES = 600e6  # of memory that a process takes, or more on a table of chunks


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

    def slots(self) -> Mapping[str, Process]:
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
    made = Process(core, work.__name__)
    atexit.register(made.shutdown)
    return made


if hasattr(os, "register_at_fork"):  # a child of this process has not the threads to talk to them
    os.register_at_fork(after_in_child=_process.cache_clear)
