"""Options of the commands: a dataclass each, of which flags, checks and help are made."""

import inspect
import os
import shlex
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any, ParamSpec, TypeVar

from gtzan_jax import checks
from gtzan_jax.checks import Check, Choice, Number, Problems, Whole
from gtzan_jax.space.overrides import SHORT_NAMES
from gtzan_jax.space.sweep import KINDS, Sweep
from gtzan_jax.space.sweep_file import CONSTANTS
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.trainer.plan import MODES
from gtzan_jax.trainer.platforms import MATMUL_PRECISIONS, PLATFORMS, MatmulPrecision

P = ParamSpec("P")
OptionsT = TypeVar("OptionsT")
Result = TypeVar("Result")

ALL_PROTOCOLS = "all"

DATA = (
    "The feature table: 'auto' (data/features_30_sec.csv, else the cached copy, else a download "
    "from Kaggle, else the synthetic sample), 'sample', 'kaggle', 'sample3' or 'kaggle3' (segments "
    "of three seconds), or the path of a CSV file. Of a sweep of networks on spectrograms: a "
    "folder of sound files, 'sounds' (made up), or 'kaggle' (1.2 GB)."
)
_DATA_OF_RUN = (
    "The feature table that the run was trained on, if it is neither in data/ nor in the cache; "
    "as for the sweep."
)
_FOLDS = "Folds of kfold. Default: what the sweep says, or 5."
_PROTOCOLS = "How the songs are divided. " + "; ".join(
    f"{name}: {protocol.summary.split(',')[0].format(num_folds='several')}"
    for name, protocol in PROTOCOLS.items()
)
_PRECISION = (
    "How exactly a GPU or TPU multiplies: float32, or faster with factors rounded to TF32 or "
    "bfloat16; a CPU is always exact."
)
_SEEDS = (
    "Networks of the retraining on each fold, with a seed each. Default: as many as make 10 in all."
)
_SPLIT_SEED = "Seed of the division into parts."


def option(default: Any, check: Check, text: str, **more: Any) -> Any:
    """Returns a dataclass field with the check and the help of an option.

    Also ``flag``, a flag of another name, or "" for none; ``argument``, the name in the help of a
    positional one; ``shorts``, flags that are added to a list as ``key=value``.
    """
    return field(default=default, metadata={"check": check, "help": text, **more})


def argument(check: Check, text: str, name: str) -> Any:
    """Returns the metadata of a required positional argument."""
    return {"check": check, "help": text, "argument": name}


def path_or(kind: type) -> Check:
    """Returns a check for paths or objects of a type."""
    return lambda value, where: checks.path(value, where, kind)


@dataclass(frozen=True)
class TrainingOptions:
    """Where a command trains."""

    _: KW_ONLY
    platform: str = option("auto", Choice(PLATFORMS), "Where to compute.")
    workers: int | None = option(
        None,
        Whole(0, 1000),
        "Processes of this machine that train; 0: this one. Default: one for each core, or this "
        "one where there is a GPU or TPU.",
    )
    scheduler: str | None = option(
        None,
        checks.text,
        "A Dask cluster whose workers train: tcp://host:8786, tls://…, or the scheduler's file. "
        "pip install -e '.[cluster]' brings Dask.",
    )


@dataclass(frozen=True)
class SweepOptions(TrainingOptions):
    """Options of a sweep, of the command and of ``run_sweep`` alike."""

    sweep: "str | os.PathLike[str] | Sweep" = option(
        "assignment", path_or(Sweep), "A name in sweeps/, or the path of a TOML file."
    )
    data: "str | os.PathLike[str] | FeatureTable" = option("auto", path_or(FeatureTable), DATA)
    workdir: "str | os.PathLike[str] | None" = option(
        None,
        checks.path,
        "Run directory; an unfinished run there is resumed. Default: runs/<sweep>-<UTC time>.",
    )
    _: KW_ONLY
    epochs: int | None = option(
        None,
        CONSTANTS["epochs"][0],
        "Passes over the train part. Default: what the sweep says, or 10.",
    )
    batch_size: int | None = option(
        None, CONSTANTS["batch_size"][0], "Rows of a batch.", flag=""
    )  # which is a flag of an axis
    loss: str | None = option(
        None, CONSTANTS["loss"][0], "The loss. Default: what the sweep says, or cross_entropy."
    )
    protocol: str | None = option(
        None,
        CONSTANTS["protocol"][0],
        f"{_PROTOCOLS}. Default: what the sweep says, or assignment, or holdout where the search "
        "needs a validation part.",
    )
    num_folds: int | None = option(None, CONSTANTS["num_folds"][0], _FOLDS)
    search: str | None = option(
        None,
        Choice(KINDS),
        "How configs are chosen: all of a grid, random draws, successive halving, or Optuna's "
        "samplers, which pip install -e '.[search]' brings. They try a quarter of the grid, "
        "halving all of it; --set=search.num_configs=50 and the like say otherwise. Default: what "
        "the sweep says, or grid.",
    )
    overrides: Sequence[str] = option(
        (),
        checks.texts,
        "key=value over the sweep file, as --set=epochs=20 or --set=axes.dropout1=[0.0,0.5]; "
        "repeatable.",
        flag="set",
        shorts=SHORT_NAMES,
    )
    overwrite: bool = option(False, checks.yes_or_no, "Remove the run that is in --workdir.")
    matmul_precision: MatmulPrecision = option("float32", Choice(MATMUL_PRECISIONS), _PRECISION)
    batching: str = option(
        "auto",
        Choice(MODES),
        "Which networks share a compiled program: those of the same shape, all (padded with "
        "zeros), or as many as seems fastest.",
    )
    seed: int = option(
        0, Whole(0, 2**31), "First seed of the training: initial weights, order, noise."
    )
    num_seeds: int | None = option(
        None,
        CONSTANTS["num_seeds"][0],
        "Replicates of each config. Default: what the sweep says, or 1.",
    )
    split_seed: int = option(0, Whole(0, 2**32 - 1), _SPLIT_SEED)
    retrain_epochs: int = option(
        50, Whole(0, 100_000), "Epochs of the best config's retraining; 0 skips it."
    )
    retrain_seeds: int | None = option(None, Whole(1, 1000), _SEEDS)
    profile: "str | os.PathLike[str] | None" = option(
        None,
        checks.path,
        "A folder for the JAX profiler's trace of the training, for TensorBoard or Perfetto.",
    )
    command: str = option(
        "gtzan_jax.run_sweep", checks.text, "Of the command only: what the run records.", flag=""
    )

    @property
    def is_command(self) -> bool:
        """Whether a command runs the sweep, and not a call."""
        return self.command != SweepOptions.command

    @property
    def settings(self) -> dict[str, object]:
        """The options that override the sweep file."""
        names = ("epochs", "batch_size", "loss", "protocol", "num_folds", "search")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def command_elsewhere(self) -> str:
        """The command without ``--workdir`` and ``--overwrite``."""
        kept, skip = [], False
        for word in shlex.split(self.command):
            name, equals, _ = word.lstrip("-").partition("=")
            is_flag = word.startswith("-")
            if not skip and not (is_flag and name in ("overwrite", "nooverwrite", "workdir")):
                kept.append(word)
            skip = is_flag and name == "workdir" and not equals
        return shlex.join(kept)


@dataclass(frozen=True)
class RetrainOptions(TrainingOptions):
    """Which config of a finished run to retrain, and how."""

    workdir: str = field(
        metadata={"check": checks.text, "help": "The run directory of a finished sweep."}
    )
    _: KW_ONLY
    rank: int = option(1, Whole(1, 1_000_000), "Which config of results.csv.")
    retrain_epochs: int = option(50, Whole(1, 100_000), "For how many epochs.")
    protocol: str | None = option(
        None, Choice(tuple(PROTOCOLS)), f"{_PROTOCOLS}. Default: the run's."
    )
    num_folds: int | None = option(None, Whole(2, 1000), _FOLDS)
    retrain_seeds: int | None = option(None, Whole(1, 1000), _SEEDS)
    data: str | None = option(None, checks.text, _DATA_OF_RUN)
    matmul_precision: MatmulPrecision | None = option(
        None, Choice(MATMUL_PRECISIONS), f"{_PRECISION} Default: as the sweep did."
    )
    name: str | None = option(
        None,
        checks.text,
        "The folder in RUN/retrained/. Default: what tells this retraining from any other, such "
        "as rank2 or rank1-artist_kfold.",
    )
    overwrite: bool = option(False, checks.yes_or_no, "Replace another retraining of this name.")
    command: str = option("gtzan_jax.retrain_run", checks.text, "", flag="")


@dataclass(frozen=True)
class BaselinesOptions(TrainingOptions):
    """Options of the comparison with classical models."""

    data: str = option("auto", checks.text, DATA)
    workdir: str | None = option(
        None, checks.text, "Where to write. Default: runs/baselines-<UTC time>."
    )
    _: KW_ONLY
    protocol: str = option(
        ALL_PROTOCOLS,
        Choice((*PROTOCOLS, ALL_PROTOCOLS)),
        "How the songs are divided; 'all' compares under every protocol, or every one that the "
        "table's tracks allow.",
    )
    num_folds: int | None = option(None, Whole(2, 1000), _FOLDS)
    split_seed: int = option(0, Whole(0, 2**32 - 1), _SPLIT_SEED)
    sweep: str = option(
        "baselines",
        checks.text,
        "The sweep whose configs our network is chosen from in each fold: a name in sweeps/, or "
        "the path of a TOML file.",
    )
    overrides: Sequence[str] = option(
        (),
        checks.texts,
        "key=value over the sweep file, as --set=epochs=20; repeatable.",
        flag="set",
    )
    seed: int = option(0, Whole(0, 2**31), "First seed of our networks; it also seeds the models.")
    num_seeds: int = option(
        5,
        Whole(1, 1000),
        "Networks of the chosen config on each fold, with a seed each, and fits of each other "
        "model that draws random numbers.",
    )
    command: str = option("gtzan_jax.run_baselines", checks.text, "", flag="")


@dataclass(frozen=True)
class PredictOptions:
    """Which songs to predict, with which model, and how to show it."""

    run: str = field(metadata=argument(checks.text, "A run, or one of its retrainings.", "RUN"))
    songs: Sequence[str] = field(metadata=argument(checks.texts, "Files and folders.", "SONG …"))
    _: KW_ONLY
    hop_seconds: float | None = option(
        None,
        Number(0.1, 1e6),
        "From the start of a window to that of the next. Default: windows side by side.",
    )
    explain: bool = option(
        False,
        checks.yes_or_no,
        "Which features speak for and against the first genre, by integrated gradients: a sum "
        "that adds up to the logarithm of its probability.",
    )
    json: bool = option(False, checks.yes_or_no, "One document of JSON instead of text.")
    plot: str | None = option(
        None,
        checks.text,
        "A file, .png or .svg, for the probabilities over time; with --explain, of a network on "
        "spectrograms, one more for each song, of what in it speaks for and against.",
    )
    platform: str = option("auto", Choice(PLATFORMS), "Where to compute.")


@dataclass(frozen=True)
class EdaOptions:
    """Which table to explore."""

    data: str = option("auto", checks.text, DATA)
    workdir: str | None = option(None, checks.text, "Where to write. Default: runs/eda-<UTC time>.")


@dataclass(frozen=True)
class ExtractOptions:
    """Which songs to compute features of, and where to write them."""

    folder: str = field(metadata=argument(checks.text, "The songs.", "FOLDER"))
    output: str = option("features.csv", checks.text, "The table to write.")
    chunk_seconds: str | None = option(
        None,
        Choice(("3",)),
        "A row for each three seconds, as in Kaggle's features_3_sec.csv. Default: a row a song.",
    )
    workers: int | None = option(None, Whole(1, 1000), "Processes. Default: one a core.")
    overwrite: bool = option(False, checks.yes_or_no, "Whether to replace a table that is there.")
    command: str = option("", checks.text, "", flag="")


@dataclass(frozen=True)
class ReportOptions:
    """Which run to report on."""

    run: str = field(metadata=argument(checks.text, "The run.", "RUNDIR"))
    others: Sequence[str] = option((), checks.texts, "Other runs.", argument="MORE …")
    data: str | None = option(None, checks.text, _DATA_OF_RUN)
    baselines: Sequence[str] = option(
        (),
        checks.texts,
        "A folder of gtzan_jax.baselines; repeatable. Default: every baselines-* beside the run "
        "directory that was made from the same feature table. Of several with one protocol the "
        "newest counts.",
    )
    output: str | None = option(None, checks.text, "Where to write. Default: RUNDIR/report.html.")


@dataclass(frozen=True)
class CompareOptions:
    """Which runs to compare."""

    run: str = field(metadata=argument(checks.text, "The first run.", "RUN_A"))
    others: Sequence[str] = field(metadata=argument(checks.texts, "The others.", "RUN_B …"))
    output: str | None = option(None, checks.text, "A CSV file to write all matched configs to.")


def check_options(options: Any) -> None:
    """Checks the type and range of every option.

    Raises:
      InputError: names all that are impossible.
    """
    problems = Problems()
    for each in fields(options):
        value = getattr(options, each.name)
        if value is not None or each.default is not None:
            problems.check(each.metadata["check"], value, each.name)
    problems.raise_any()


def takes(
    options: Callable[P, OptionsT],
) -> Callable[[Callable[[OptionsT], Result]], Callable[P, Result]]:
    """Gives a function of options the parameters of their dataclass, checked and documented."""

    def decorate(function: Callable[[OptionsT], Result]) -> Callable[P, Result]:
        def call(*args: P.args, **kwargs: P.kwargs) -> Result:
            chosen = options(*args, **kwargs)
            check_options(chosen)
            return function(chosen)

        head, end, rest = (inspect.getdoc(function) or "").partition("\n\nReturns:")
        lines = [
            textwrap.fill(f"{f.name}: {f.metadata['help']}", 96, initial_indent="  ",
                          subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
            for f in fields(options)  # type: ignore[arg-type]
        ]  # fmt: skip
        call.__name__, call.__qualname__ = function.__name__, function.__qualname__
        call.__module__ = function.__module__
        call.__doc__ = "\n".join([f"{head}\n\nArgs:", *lines]) + end + rest
        signature = inspect.signature(options)
        answer = inspect.signature(function).return_annotation
        call.__signature__ = signature.replace(return_annotation=answer)  # type: ignore[attr-defined]
        return checks.known_names(call)

    return decorate
