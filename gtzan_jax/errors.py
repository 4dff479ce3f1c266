"""Errors and signals that end a command early."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """A table, flag or sweep file that cannot be used as it is; commands exit with code 2.

    The message is one line and names the remedy; ``problems`` are the single ones, where several.
    """

    problems: Sequence[str] = ()


class SoundError(InputError):
    """A sound file, or samples of one, that cannot be used."""


class RunError(RuntimeError):
    """A failure that no other flag or table would have avoided, on one line; exit code 1."""


class WorkerLostError(RunError):
    """A worker ended during its work. The message says how."""


class WorkerStartError(WorkerLostError):
    """A worker ended during its start. The message is its last line, or says how."""


class BackendLostError(RunError):
    """The training backend is lost. Progress is saved; the same command resumes."""


class Interrupted(BaseException):
    """A signal, by its number, asked the process to stop; no Exception, like KeyboardInterrupt."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal
        self.hint = ""  # how to resume


def nearest(name: str, valid: Iterable[str]) -> str:
    """Returns `` (did you mean 'x'?)`` for the valid name nearest to ``name``, or ``''``.

    Names with it as a word are nearest: ``seeds`` means ``num_seeds`` rather than ``seed``.
    """
    from difflib import get_close_matches  # slow to import

    by_lower = {other.lower(): other for other in valid}
    with_it = [other for other in by_lower if "_" in other and name.lower() in other.split("_")]
    close = get_close_matches(name.lower(), with_it or by_lower, n=1, cutoff=0.6 * (not with_it))
    return f" (did you mean {by_lower[close[0]]!r}?)" if close else ""


def described(error: OSError) -> str:
    """Returns the system's reason for an error, behind the file's name if there is one."""
    reason = error.strerror or str(error) or type(error).__name__
    return reason if error.filename is None else f"{error.filename}: {reason}"
