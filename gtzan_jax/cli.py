"""Runs a command: flags from a dataclass of options, errors in one line."""

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
from gtzan_jax.errors import InputError, RunError, nearest
from gtzan_jax.text import command_line
from gtzan_jax.views import messages

OptionsT = TypeVar("OptionsT")

# So that --help lists only the flags of the command.
flags.disclaim_key_flags()


def run(main: Callable[[OptionsT], int | None], options: type[OptionsT]) -> None:
    """Parses the flags and arguments of a command and runs it.

    Exits with 2 for wrong input (flags, tables, sweep files), 1 for failures, 130 and 143 for
    SIGINT and SIGTERM, 141 for a closed pipe. ``options`` is its dataclass, see ``jobs.options``;
    ``main`` returns the exit code, or None for 0.
    """
    define_flags(options)
    atexit.register(gc.freeze)  # saves a garbage collection at exit, a third of a second
    console.begin()
    with console.ended():
        app.run(lambda given: work(main, given), flags_parser=lambda argv: parse(options, argv))


def define_flags(options: type) -> None:
    """Defines a flag for each option that is not a positional argument."""
    for each in dataclasses.fields(options):
        about = each.metadata
        name = about.get("flag", each.name)
        if not name or "argument" in about:
            continue
        default: Any = None if each.default is dataclasses.MISSING else each.default
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
                flags.DEFINE_multi_string(name, list(default), text.rstrip("."))
            case checks.names:
                flags.DEFINE_list(name, list(default), text)
            case _:
                flags.DEFINE_string(name, default, text)
        for short, meaning in about.get("shorts", {}).items():  # --help omits other modules' flags
            flags.DEFINE_string(short, None, meaning, module_name=__name__)


def parse(options: type[OptionsT], argv: Sequence[str]) -> OptionsT:
    """Returns the options of a command line; exits with an error if it is wrong."""
    fields = dataclasses.fields(options)  # type: ignore[arg-type]
    try:
        rest = flags.FLAGS(argv)[1:]
    except flags.UnrecognizedFlagError as error:
        names = [
            name
            for each in fields
            if "argument" not in each.metadata
            for name in (each.metadata.get("flag", each.name), *each.metadata.get("shorts", ()))
            if name
        ]
        hint = nearest(error.flagname, names, "--{}".format)
        console.fail(f"unknown flag --{error.flagname}{hint}; --help lists the flags", USAGE_ERROR)
    except flags.Error as error:
        console.fail(f"{error}; --help lists the flags", USAGE_ERROR)
    except SystemExit:  # absl ends --help as a failure
        sys.exit(0)
    arguments = [each for each in fields if "argument" in each.metadata]
    required = [each for each in fields if each.default is dataclasses.MISSING]
    needed = [each.metadata["argument"] for each in required if each in arguments]
    given = flags.FLAGS
    absent = [f"--{e.name}" for e in required if e not in arguments and not given[e.name].value]
    if missing := needed[len(rest) :] + absent:
        console.fail(f"missing {' and '.join(missing)}; --help shows examples", USAGE_ERROR)
    values: dict[str, Any] = {}
    for each in arguments:
        if each.metadata["argument"].endswith("…"):
            values[each.name], rest = rest, []
        else:
            values[each.name] = rest.pop(0)
    if rest:
        remedy = f"give one {' '.join(needed)}" if needed else "flags begin with --; see --help"
        console.fail(f"unexpected argument '{rest[0]}'; {remedy}", USAGE_ERROR)
    for each in fields:
        name = each.metadata.get("flag", each.name)
        if name and each not in arguments:
            values[each.name] = given[name].value
        elif each.name == "command":
            values["command"] = command_line(Path(argv[0]).stem, argv[1:])
        for short in each.metadata.get("shorts", ()):
            if given[short].present:
                values[each.name] = [*values[each.name], f"{short}={given[short].value}"]
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
        print(*getattr(error, "__notes__", ()), sep="", end="", file=sys.stderr)  # a traceback
        console.fail(str(error), FAILURE)


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Prints a warning on one line."""
    messages.warn(str(message))
