"""What the commands share: flags, and errors as one line instead of a traceback."""

import functools
import sys
import warnings
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from gtzan_jax import console
from gtzan_jax.console import FAILURE, USAGE_ERROR
from gtzan_jax.errors import InputError, RunError
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.trainer.platforms import MATMUL_PRECISIONS, PLATFORMS
from gtzan_jax.views import messages

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
    """Defines --matmul_precision; without a default it is that of the finished run."""
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
    told in one line; 130 and 143 for SIGINT and SIGTERM, 141 where nobody reads the output.
    """
    _run(lambda _: main(), _parse_flags)


def run_on(main: Callable[[Sequence[str]], int | None], names: str, at_least: int = 1) -> None:
    """Like ``run``, for a command that also takes arguments without a name.

    Args:
      main: is given these arguments.
      names: what they are called in an error, such as ``RUN_A RUN_B …``.
      at_least: how many there must be.
    """
    parser = functools.partial(_parse_flags, names=names, at_least=at_least)
    _run(lambda argv: main(argv[1:]), parser)


def _parse_flags(argv: Sequence[str], names: str = "", at_least: int = 0) -> list[str]:
    try:
        rest: list[str] = flags.FLAGS(argv)
    except flags.Error as error:
        console.fail(f"{error}; --help lists the flags", USAGE_ERROR)
    except SystemExit:  # absl ends --help as a failure
        sys.exit(0)
    if not names and len(rest) > 1:
        console.fail(
            f"unexpected argument '{rest[1]}'; flags begin with --, and --help lists them",
            USAGE_ERROR,
        )
    if len(rest) <= at_least and names:
        console.fail(f"{names} is missing; --help says what to give", USAGE_ERROR)
    return rest


def _run(main: Callable[[Sequence[str]], int | None], parser: Callable[..., list[str]]) -> None:
    console.begin()
    with console.ended():
        app.run(lambda argv: _work(main, argv), flags_parser=parser)


def _work(main: Callable[[Sequence[str]], int | None], argv: Sequence[str]) -> int | None:
    warnings.showwarning = _show_warning
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # JAX tells of every platform it does not find
    try:
        with console.interruptible(), messages.each_warning_once():
            return main(argv)
    except InputError as error:
        console.fail(str(error), USAGE_ERROR)
    except RunError as error:
        console.fail(str(error), FAILURE)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    messages.warn(str(message))
