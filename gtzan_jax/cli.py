"""The process of a command: flags from a dataclass of options, and one-line errors."""

import atexit
import dataclasses
import gc
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from absl import app, flags, logging

from gtzan_jax import checks, console
from gtzan_jax.checks import Choice, Number, Whole
from gtzan_jax.console import FAILURE, USAGE_ERROR
from gtzan_jax.errors import InputError, RunError
from gtzan_jax.text import command_line
from gtzan_jax.views import messages

OptionsT = TypeVar("OptionsT")

# So that --help lists only the flags of the command.
flags.disclaim_key_flags()


def run(main: Callable[[OptionsT], int | None], options: type[OptionsT]) -> None:
    """Parses the flags and arguments of a command and runs it.

    Exits with 2 for errors of the user (flags, tables, sweep files), 1 for failures, 130 and 143
    for SIGINT and SIGTERM, 141 for a closed pipe. ``options`` is the dataclass of its options, see
    ``jobs.options``; ``main`` returns the exit code, or None for 0.
    """
    define_flags(options)
    atexit.register(gc.freeze)  # else what is left at the end is collected: a third of a second
    console.begin()
    with console.ended():
        app.run(lambda given: work(main, given), flags_parser=lambda argv: parse(options, argv))


def define_flags(options: type) -> None:
    """Defines a flag for each option that is no positional argument."""
    for each in dataclasses.fields(options):
        about = each.metadata
        name = about.get("flag", each.name)
        if not name or "argument" in about:
            continue
        required = each.default is dataclasses.MISSING
        default: Any = None if required else each.default
        text = about["help"]
        match about["check"]:
            case Whole(low, high):
                flags.DEFINE_integer(name, default, text, low, high)
            case Number(low, high):
                flags.DEFINE_float(name, default, text, low, high)
            case Choice(names):
                flags.DEFINE_enum(name, default, names, text)
            case checks.yes_or_no:
                flags.DEFINE_boolean(name, default, text)
            case checks.texts:
                flags.DEFINE_multi_string(name, list(default), text)
            case checks.names:
                flags.DEFINE_list(name, list(default), text)
            case _:
                flags.DEFINE_string(name, default, text, required=required)
        for short, meaning in about.get("shorts", {}).items():  # listed by --helpfull alone
            flags.DEFINE_string(short, None, meaning, module_name=__name__)


def parse(options: type[OptionsT], argv: Sequence[str]) -> OptionsT:
    """Returns the options of a command line; ends the process if it is wrong."""
    try:
        rest = flags.FLAGS(argv)[1:]
    except flags.Error as error:
        console.fail(f"{error}; --help lists the flags", USAGE_ERROR)
    except SystemExit:  # absl ends --help as a failure
        sys.exit(0)
    fields = dataclasses.fields(options)  # type: ignore[arg-type]
    arguments = [each for each in fields if "argument" in each.metadata]
    needed = [each for each in arguments if each.default is dataclasses.MISSING]
    called = " ".join(each.metadata["argument"] for each in needed)
    if len(rest) < len(needed):
        console.fail(f"{called} is missing; --help says what to give", USAGE_ERROR)
    values: dict[str, Any] = {}
    for each in arguments:
        if each.metadata["argument"].endswith("…"):
            values[each.name], rest = rest, []
        else:
            values[each.name] = rest.pop(0)
    if rest:
        remedy = f"give one {called}" if called else "flags begin with --, and --help lists them"
        console.fail(f"unexpected argument '{rest[0]}'; {remedy}", USAGE_ERROR)
    for each in fields:
        name = each.metadata.get("flag", each.name)
        if name and each not in arguments:
            values[each.name] = flags.FLAGS[name].value
        elif each.name == "command":
            values["command"] = command_line(Path(argv[0]).stem, argv[1:])
        for short in each.metadata.get("shorts", ()):
            if flags.FLAGS[short].present:
                values[each.name] = [*values[each.name], f"{short}={flags.FLAGS[short].value}"]
    return options(**values)


def work(main: Callable[[OptionsT], int | None], options: OptionsT) -> int | None:
    """Runs a command and returns its exit code."""
    warnings.showwarning = show_warning
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # JAX logs every missing platform
    try:
        with console.interruptible(), messages.each_warning_once():
            return main(options)
    except InputError as error:
        console.fail(str(error), USAGE_ERROR)
    except RunError as error:
        print(*getattr(error, "__notes__", ()), sep="", end="", file=sys.stderr)  # of an accident
        console.fail(str(error), FAILURE)


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Prints a warning in one line."""
    messages.warn(str(message))
