"""Errors and signals that end a command early."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence


class InputError(ValueError):
    """An unusable table, flag or sweep file; commands exit with code 2.

    The message is one line and names the remedy. If it joins several problems, ``problems`` lists
    them.
    """

    problems: Sequence[str] = ()


class SoundError(InputError):
    """An unusable sound file, or array of samples."""


class RunError(RuntimeError):
    """A failure that is not due to user input; the message is one line, the exit code 1."""


class DamagedError(RunError):
    """A damaged file or folder of a run; the message has the remedy."""


class WorkerLostError(RunError):
    """A worker ended during a call; the message has the exit status."""


class WorkerStartError(WorkerLostError):
    """A worker ended during its start; the message is its last line, or the exit status."""


class BackendLostError(RunError):
    """All workers, or their cluster, are lost. Progress is saved; the same command resumes."""


class Interrupted(BaseException):
    """A signal, by its number, that stops the process; no Exception, like KeyboardInterrupt."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal
        self.hint = ""  # how to resume


def nearest(name: str, valid: Iterable[str], shown: Callable[[str], str] = repr) -> str:
    """Returns `` (did you mean 'x'?)`` for the valid name nearest to ``name``, or ``''``.

    Names that contain it as a word are nearest: ``seeds`` means ``num_seeds``, not ``seed``.
    """
    from difflib import get_close_matches  # slow to import

    by_lower = {other.lower(): other for other in valid}
    with_it = [other for other in by_lower if "_" in other and name.lower() in other.split("_")]
    close = get_close_matches(name.lower(), with_it or by_lower, n=1, cutoff=0.6 * (not with_it))
    return f" (did you mean {shown(by_lower[close[0]])}?)" if close else ""


def described(error: OSError) -> str:
    """Returns the system's reason for an error, after the file's name if there is one."""
    reason = error.strerror or str(error) or type(error).__name__
    return reason if error.filename is None else f"{error.filename}: {reason}"
