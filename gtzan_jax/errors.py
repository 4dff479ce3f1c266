"""What ends a command early: a mistake, a failure, a signal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """A table, flag or sweep file that cannot be used as it is.

    The message is one line and names what to change. Commands print it without a
    traceback and exit with code 2.

    Attributes:
      problems: the messages that it is put together from, where they are several.
    """

    problems: Sequence[str] = ()


class SoundError(InputError):
    """A sound file, or samples of one, that no features can be computed of. The others may do."""


class RunError(RuntimeError):
    """Something went wrong that no other flag or table would have avoided.

    The message is one line. Commands print it without a traceback and exit with code 1.
    """


class WorkerLostError(RunError):
    """A worker ended while it was at work. The message says how."""


class WorkerStartError(WorkerLostError):
    """A worker ended before it could take work. The message is its last line, or says how."""


class PlaceLostError(RunError):
    """Where members are trained is gone. What is finished is kept; the same command goes on."""


class Interrupted(BaseException):
    """A signal asked the process to stop.

    Like KeyboardInterrupt, not an Exception: nothing on the way takes it for an error.

    Args:
      signal: its number.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal
        self.hint = ""  # how to go on later, for the person who stopped it


def nearest(name: str, valid: Iterable[str]) -> str:
    """Returns `` (did you mean 'x'?)`` for the valid name nearest to ``name``, or ``''``.

    Names of which it is a word are nearer than any other: ``seeds`` is meant for ``num_seeds``
    rather than for ``seed``.
    """
    from difflib import get_close_matches  # takes as long to import as all else that lists commands

    by_lower = {other.lower(): other for other in valid}
    with_it = [other for other in by_lower if "_" in other and name.lower() in other.split("_")]
    close = get_close_matches(name.lower(), with_it or by_lower, n=1, cutoff=0.6 * (not with_it))
    return f" (did you mean {by_lower[close[0]]!r}?)" if close else ""


def described(error: OSError) -> str:
    """Returns what the system says of an error, behind the file's name where it names one."""
    reason = error.strerror or str(error) or type(error).__name__
    return reason if error.filename is None else f"{error.filename}: {reason}"
