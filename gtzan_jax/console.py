"""The console of a command: output in any encoding, closed pipes, and signals.

At the start and the end of a command a signal ends the process at once. In between it raises
``Interrupted``, so that files are closed and the hint to resume is printed. During an import or a
finalizer the signal is delayed: C extensions turn exceptions into errors of their own, and
finalizers lose them.
"""

import _thread
import contextlib
import functools
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn, TextIO

from gtzan_jax.errors import Interrupted, described
from gtzan_jax.text import printable

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_IMPORT = "<frozen importlib._bootstrap>"
_AGAIN_S = 0.05  # until a delayed signal is raised again
_PIPE = 13  # SIGPIPE
_delayed: set[int] = set()  # signals still to be raised

FAILURE = 1
USAGE_ERROR = 2


def begin() -> None:
    """Prepares the process of a command, before anything else."""
    for number in _SIGNALS:
        signal.signal(number, lambda got, _: stop(got))
    # A broken matplotlibrc would end the command.
    os.environ["MATPLOTLIBRC"] = os.devnull
    os.environ.pop("MPLBACKEND", None)
    replace_unencodable()
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    sys.stdout, sys.stderr = _guarded(sys.stdout), _guarded(sys.stderr)


def replace_unencodable() -> None:
    """Makes the output replace characters that its encoding lacks, instead of raising errors."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def ended() -> Iterator[None]:
    """Flushes the output at the end; reports interruptions and output errors on one line."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        fail(described(error), FAILURE)
    except Interrupted as interrupted:
        stop(interrupted.signal, interrupted.hint)


def fail(message: str, code: int) -> NoReturn:
    """Ends the process with an error message."""
    # Names from files may contain escape sequences.
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(code)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Makes signals raise ``Interrupted``: inside, or at the end if they were delayed."""
    before = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    hook = sys.unraisablehook
    sys.unraisablehook = functools.partial(_lost, hook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            if signal.getsignal(number) is _interrupt:  # else a second signal ends the process
                signal.signal(number, handler)
    if _delayed:  # the command ended first
        raise Interrupted(_delayed.pop())


def stop(number: int, hint: str = "") -> NoReturn:
    """Ends the process as a signal does, without waiting for compiling threads.

    Exit codes are the shell's: 130, 143, and 141 for a closed pipe, which is not reported.
    """
    with contextlib.suppress(Interrupted, OSError):
        sys.stdout.flush()
    lines = [f"\nstopped by {signal.Signals(number).name}", *([hint] if hint else [])]
    if number != _PIPE:
        with contextlib.suppress(OSError):  # not print: a signal may interrupt one
            os.write(2, ("\n".join(lines) + "\n").encode(sys.stderr.encoding, "replace"))
    os._exit(128 + number)


class _Guarded(io.TextIOWrapper):
    """An output stream that ends the command when its pipe is closed; errors name the stream."""

    def write(self, text: str, /) -> int:
        with _guarding(self):
            return super().write(text)

    def flush(self) -> None:
        with _guarding(self):
            super().flush()


@contextlib.contextmanager
def _guarding(stream: _Guarded) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # for the rest of the buffer
        if isinstance(error, BrokenPipeError):
            raise Interrupted(_PIPE) from None
        raise OSError(error.errno, error.strerror, stream.name.strip("<>")) from None


def _guarded(stream: TextIO | None) -> TextIO:
    if stream is None:
        return _Guarded(open(os.devnull, "wb"), "utf-8")
    if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, _Guarded):
        return stream
    return _Guarded(
        stream.buffer,
        stream.encoding,
        stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raises Interrupted; a second signal ends the process."""
    if importer := _importer(frame):
        if importer.f_globals.get("__name__") == "__main__":
            stop(number)  # the command is still starting
        _delay(number)
        return
    _delayed.clear()
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_DFL)
    raise Interrupted(number)


def _lost(
    hook: "Callable[[sys.UnraisableHookArgs], object]", unraisable: "sys.UnraisableHookArgs"
) -> None:
    """Raises a signal again if a finalizer lost its exception."""
    if isinstance(unraisable.exc_value, Interrupted):
        for number in _SIGNALS:
            signal.signal(number, _interrupt)
        _delay(unraisable.exc_value.signal)
    else:
        hook(unraisable)


def _delay(number: int) -> None:
    _delayed.add(number)
    _thread.start_new_thread(_again, (number,))


def _again(number: int) -> None:
    time.sleep(_AGAIN_S)
    if signal.getsignal(number) is _interrupt:
        signal.pthread_kill(threading.main_thread().ident or 0, number)  # interrupts a wait


def _importer(frame: FrameType | None) -> FrameType | None:
    """Returns the outermost frame that is importing a module; None if none is."""
    found = None
    while frame:
        if frame.f_code.co_filename == _IMPORT:
            found = frame.f_back
        frame = frame.f_back
    return found
