"""What the commands share: flags, and errors as one line instead of a traceback."""

import functools
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from absl import app, flags, logging

from gtzan_jax.errors import InputError, Interrupted, RunError
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.text import printable
from gtzan_jax.trainer.platforms import MATMUL_PRECISIONS, PLATFORMS

FAILURE = 1
USAGE_ERROR = 2

# The flags below belong to the command that asks for them: its --help lists its own ones only.
flags.disclaim_key_flags()


def define_data_flag() -> None:
    """Defines --data."""
    flags.DEFINE_string(
        "data",
        "auto",
        "The feature table: 'auto' (data/features_30_sec.csv, else the cached copy, else a "
        "download from Kaggle, else the synthetic sample), 'sample', 'kaggle', 'sample3' or "
        "'kaggle3' (chunks of three seconds), or the path of a CSV file. Of a sweep of networks on "
        "spectrograms: a folder of sound files, 'sounds' (made up), or 'kaggle' (1.2 GB).",
    )


def define_platform_flag() -> None:
    """Defines --platform."""
    flags.DEFINE_enum("platform", "auto", PLATFORMS, "Where to compute.")


def define_workers_flags() -> None:
    """Defines --workers and --scheduler."""
    flags.DEFINE_integer(
        "workers", None, "Processes of this machine that train; 0: this one. Default: one for each "
        "core, or this one where there is a GPU or TPU.", lower_bound=0, upper_bound=1000,
    )  # fmt: skip
    flags.DEFINE_string(
        "scheduler", None, "A Dask cluster whose workers train: tcp://host:8786, tls://…, or the "
        "scheduler's file. pip install -e '.[cluster]' brings Dask.",
    )  # fmt: skip


def define_precision_flag(default: str | None = "float32") -> None:
    """Defines --matmul_precision; without a default the run that is gone on with gives it."""
    flags.DEFINE_enum(
        "matmul_precision", default, MATMUL_PRECISIONS, "How exactly a GPU or TPU multiplies: "
        "float32, or faster with factors rounded to TF32 or bfloat16; a CPU is always exact."
        + ("" if default else " Default: as the sweep did."),
    )  # fmt: skip


def define_protocol_flags(default: str) -> None:
    """Defines --protocol and --num_folds; ``default`` says what counts without the first."""
    summaries = {name: protocol.summary.split(",")[0] for name, protocol in PROTOCOLS.items()}
    names = "; ".join(f"{name}: {summary}" for name, summary in summaries.items())
    names = names.format(num_folds="several")
    flags.DEFINE_enum(
        "protocol", None, list(PROTOCOLS), f"How the songs are divided. {names}. "
        f"Default: {default}.",
    )  # fmt: skip
    flags.DEFINE_integer(
        "num_folds", None, "Folds of kfold. Default: what the sweep says, or 5.",
        lower_bound=2, upper_bound=1000,
    )  # fmt: skip


def define_retrain_seeds_flag() -> None:
    """Defines --retrain_seeds."""
    flags.DEFINE_integer(
        "retrain_seeds", None, "Networks of the retraining on each fold, with a seed each. "
        "Default: as many as make 10 in all.",
        lower_bound=1, upper_bound=1000,
    )  # fmt: skip


def run(main: Callable[[], int | None]) -> None:
    """Parses the flags and runs a command.

    Exit code 2 for what the user can mend (flags, tables, sweep files), 1 for failures, both
    told in one line; 130 and 143 for SIGINT and SIGTERM.
    """
    app.run(lambda _: _run(main), flags_parser=_parse_flags)


def run_on(main: Callable[[Sequence[str]], int | None], names: str, at_least: int = 1) -> None:
    """Like ``run``, for a command that also takes arguments without a name.

    Args:
      main: is given these arguments.
      names: what they are called in an error, such as ``RUN_A RUN_B …``.
      at_least: how many there must be.
    """
    parser = functools.partial(_parse_flags, names=names, at_least=at_least)
    app.run(lambda argv: _run(lambda: main(argv[1:])), flags_parser=parser)


def _parse_flags(argv: Sequence[str], names: str = "", at_least: int = 0) -> list[str]:
    try:
        rest: list[str] = flags.FLAGS(argv)
    except flags.Error as error:
        _fail(f"{error}; --help lists the flags")
    except SystemExit:  # absl ends --help as a failure
        sys.exit(0)
    if not names and len(rest) > 1:
        _fail(f"unexpected argument '{rest[1]}'; flags begin with --, and --help lists them")
    if len(rest) <= at_least and names:
        _fail(f"{names} is missing; --help says what to give")
    return rest


def _run(main: Callable[[], int | None]) -> None:
    warnings.showwarning = _show_warning
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # JAX tells of every platform it does not find
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        sys.exit(main())
    except InputError as error:
        _fail(str(error))
    except RunError as error:
        _fail(str(error), FAILURE)
    except Interrupted as interrupted:
        print(f"\nstopped by {signal.Signals(interrupted.signal).name}", file=sys.stderr)
        if interrupted.hint:
            print(interrupted.hint, file=sys.stderr)
        sys.stdout.flush()
        os._exit(128 + interrupted.signal)  # threads that compile would hold up sys.exit


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Stops the command where it is; a second signal does so without any more ado."""
    del frame
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_DFL)
    raise Interrupted(number)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(printable(f"warning: {message}"), file=sys.stderr)


def _fail(message: str, code: int = USAGE_ERROR) -> NoReturn:
    # Names from files may hold what breaks a line, or worse, means something to a terminal.
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(code)
