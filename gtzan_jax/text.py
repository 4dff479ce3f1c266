"""Text for terminals: printable text, counted nouns, commands."""

import shlex
from collections.abc import Iterable


def printable(text: object) -> str:
    """Returns a text on one line, with spaces for unprintable characters."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def counted(count: int, noun: str) -> str:
    """Returns a number and its noun, such as ``1 seed`` or ``2 seeds``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def command_line(name: str, arguments: Iterable[object] = ()) -> str:
    """Returns a command of this package, quoted for a shell."""
    return shlex.join(["python", "-m", f"gtzan_jax.{name}", *map(str, arguments)])


def flag(name: str, value: object) -> str:
    """Returns a flag, quoted for a shell."""
    return shlex.quote(f"--{name}={value}")


def tensorboard_line(folder: object) -> str:
    """Returns the command that shows a log directory, quoted for a shell."""
    return shlex.join(["tensorboard", "--logdir", str(folder)])
