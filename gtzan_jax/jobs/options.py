"""Options of the commands: a dataclass each, of which flags, checks and help are made."""

import inspect
import os
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from gtzan_jax import checks
from gtzan_jax.checks import Check, Choice, Number, Problems, Whole
from gtzan_jax.space.overrides import SHORT_NAMES
from gtzan_jax.space.sweep import KINDS, Sweep
from gtzan_jax.space.sweep_file import CONSTANTS
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.tables.schema import EXTRACTORS, Columns, FeatureTable
from gtzan_jax.tables.sources import check_data
from gtzan_jax.trainer.plan import MODES
from gtzan_jax.trainer.platforms import MATMUL_PRECISIONS, PLATFORMS, MatmulPrecision

if TYPE_CHECKING:
    import pandas as pd

P = ParamSpec("P")
OptionsT = TypeVar("OptionsT")
Result = TypeVar("Result")

ALL_PROTOCOLS = "all"

DATA = (
    "The feature table: 'auto' (data/features_30_sec.csv, else the cached copy, else a download "
    "from Kaggle, else the synthetic sample), 'sample', 'kaggle', 'sample3' or 'kaggle3' (segments "
    "of three seconds), the path of any table, CSV or Parquet, or a folder of songs, a subfolder a "
    "genre, whose features a pretrained network computes. Of a sweep of networks on spectrograms: "
    "a folder of songs, 'sounds' (made up), or 'kaggle' (1.2 GB)."
)
_DATA_OF_RUN = "The run's feature table, if it is neither in data/ nor in the cache."
_FOLDS = "Folds of kfold. Default: what the sweep says, or 5."
_SEED = re.compile(r",[^,]*split seed.*")
_PROTOCOLS = "How the songs are divided. " + "; ".join(
    f"{name}: {_SEED.sub('', protocol.summary).format(num_folds='several')}"
    for name, protocol in PROTOCOLS.items()
)
_PROTOCOL = (
    f"{_PROTOCOLS}. Default: the sweep's, or assignment, or holdout for a search by results."
)
_PRECISION = "How exactly a GPU or TPU multiplies; tensorfloat32 and bfloat16 are faster."
_SCHEDULER = (
    "A Dask cluster whose workers train: tcp://host:8786, tls://…, or the scheduler's file. "
    "pip install -e '.[cluster]' brings Dask."
)
_SEARCH = (
    "How configs are chosen: all of a grid, random draws, successive halving, or Optuna's "
    "samplers, which pip install -e '.[search]' brings. --set=search.num_configs=50 and the like "
    "say how many. Default: what the sweep says, or grid."
)
_SEEDS = "Networks of the retraining on each fold. Default: as many as make 10 in all."
_FEATURES = (
    "Which features: gtzan, the 57 of the assignment's table; musicnn, 200 units of a network that "
    "was trained to tag songs; musicnn_tags, its 50 tags."
)
_WEIGHTS = (
    "The file of musicnn's weights, where they cannot be downloaded: the wheel musicnn 0.1.0. They "
    "are then kept in the cache."
)
_HOP = "Between the starts of windows. Default: they are side by side."
_BASELINES = (
    "A folder of gtzan_jax.baselines; repeatable. Default: every baselines-* beside the run "
    "directory that was made from the same feature table. The newest of a protocol counts."
)


def option(default: Any, check: Check, text: str, is_shown: bool = True, **more: Any) -> Any:
    """Returns a dataclass field with the check and the help of an option.

    Also ``flag``, a flag of another name, or "" for none; ``argument``, the name in the help of a
    positional one; ``shorts``, flags that are added to a list as ``key=value``, with their help.
    ``is_shown`` says whether the value is in the repr.
    """
    return field(default=default, repr=is_shown, metadata={"check": check, "help": text, **more})


def argument(check: Check, text: str, name: str) -> Any:
    """Returns the metadata of a required positional argument."""
    return {"check": check, "help": text, "argument": name}


def path_or(kind: type) -> Check:
    """Returns a check for paths or objects of a type."""
    return lambda value, where: checks.path(value, where, kind)


def _constant(name: str, text: str, **more: Any) -> Any:
    """Returns an option that overrides a constant of the sweep file."""
    return option(None, CONSTANTS[name][0], text, **more)


def _command(default: str = "") -> Any:
    return option(default, checks.text, "The command line, which the run records.", flag="")


@dataclass(frozen=True)
class TrainingOptions:
    """Where a command trains."""

    _: KW_ONLY
    platform: str = option("auto", Choice(PLATFORMS), "Where to compute.")
    workers: int | None = option(
        None, Whole(0, 1000), "Processes that train; 0: this one. Default: one a core; 0 on a GPU."
    )
    scheduler: str | None = option(None, checks.text, _SCHEDULER)


@dataclass(frozen=True)
class TableOptions:
    """How the columns of a table are read."""

    _: KW_ONLY
    label: str = option("label", checks.text, "The column of classes.")
    group: str = option("", checks.text, "A column whose rows stay on one side of every split.")
    drop: Sequence[str] = option((), checks.names, "Columns to leave out, separated by commas.")
    impute: str | None = option(
        None, Choice(("median",)), "What missing values get: the median of each train part."
    )

    @property
    def columns(self) -> Columns:
        """The options of the table."""
        return Columns(self.label, self.group, tuple(self.drop), self.impute or "")


@dataclass(frozen=True)
class SweepOptions(TableOptions, TrainingOptions):
    """Options of a sweep, of the command and of ``run_sweep`` alike."""

    sweep: "str | os.PathLike[str] | Sweep" = option(
        "assignment", path_or(Sweep), "A name in sweeps/, or the path of a TOML file."
    )
    data: "str | os.PathLike[str] | FeatureTable | pd.DataFrame | tuple[Any, ...]" = option(
        "auto", check_data, DATA, is_shown=False
    )
    workdir: "str | os.PathLike[str] | None" = option(
        None, checks.path, "Run directory, resumed if unfinished. Default: runs/<sweep>-<UTC time>."
    )
    _: KW_ONLY
    epochs: int | None = _constant("epochs", "Epochs. Default: what the sweep says, or 10.")
    batch_size: int | None = _constant("batch_size", "Rows of a batch.", flag="")  # an axis has it
    loss: str | None = _constant("loss", "The loss. Default: the sweep's, or cross_entropy.")
    protocol: str | None = _constant("protocol", _PROTOCOL)
    num_folds: int | None = _constant("num_folds", _FOLDS)
    search: str | None = option(None, Choice(KINDS), _SEARCH)
    overrides: Sequence[str] = option(
        (),
        checks.texts,
        "key=value over the sweep file, as --set=axes.dropout1=[0.0,0.5]; repeatable.",
        flag="set",
        shorts=SHORT_NAMES,
    )
    overwrite: bool = option(False, checks.yes_or_no, "Remove the run that is in --workdir.")
    matmul_precision: MatmulPrecision = option("float32", Choice(MATMUL_PRECISIONS), _PRECISION)
    batching: str = option(
        "auto", Choice(MODES), "Configs that share a program: of one shape, all padded, or fastest."
    )
    seed: int = option(0, Whole(0, 2**31), "First seed: initial weights, order, noise.")
    num_seeds: int | None = _constant(
        "num_seeds", "Networks of each config on each fold. Default: the sweep's, or 1."
    )
    split_seed: int = option(0, Whole(0, 2**32 - 1), "Seed of the splits.")
    retrain_epochs: int = option(50, Whole(0, 100_000), "Of the best config; 0 retrains nothing.")
    retrain_seeds: int | None = option(None, Whole(1, 1000), _SEEDS)
    profile: "str | os.PathLike[str] | None" = option(
        None, checks.path, "A folder for the JAX profiler's trace, for TensorBoard or Perfetto."
    )
    command: str = _command("gtzan_jax.run_sweep")

    @property
    def is_command(self) -> bool:
        """Whether a command runs the sweep, and not a call."""
        return self.command != SweepOptions.command

    @property
    def settings(self) -> dict[str, object]:
        """The options that override the sweep file."""
        names = ("epochs", "batch_size", "loss", "protocol", "num_folds", "search")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass(frozen=True)
class RetrainOptions(TrainingOptions):
    """Which config of a finished run to retrain, and how."""

    workdir: str = field(metadata={"check": checks.text, "help": "The run of a finished sweep."})
    _: KW_ONLY
    rank: int = option(1, Whole(1, 1_000_000), "Which config of results.csv.")
    retrain_epochs: int = option(50, Whole(1, 100_000), "For how many epochs.")
    protocol: str | None = option(
        None, Choice(tuple(PROTOCOLS)), f"{_PROTOCOLS}. Default: the run's."
    )
    num_folds: int | None = option(None, Whole(2, 1000), _FOLDS)
    retrain_seeds: int | None = option(None, Whole(1, 1000), _SEEDS)
    data: "str | os.PathLike[str] | FeatureTable | pd.DataFrame | tuple[Any, ...] | None" = option(
        None, check_data, _DATA_OF_RUN, is_shown=False
    )
    matmul_precision: MatmulPrecision | None = option(
        None, Choice(MATMUL_PRECISIONS), f"{_PRECISION} Default: as the sweep did."
    )
    command: str = _command("gtzan_jax.retrain_run")


@dataclass(frozen=True)
class BaselinesOptions(TableOptions, TrainingOptions):
    """Options of the comparison with classical models."""

    data: str = option("auto", checks.text, DATA)
    workdir: str | None = option(None, checks.text, "Default: runs/baselines-<UTC time>.")
    _: KW_ONLY
    protocol: str = option(
        ALL_PROTOCOLS,
        Choice((*PROTOCOLS, ALL_PROTOCOLS)),
        "A protocol, or all that the table allows.",
    )
    num_folds: int | None = option(None, Whole(2, 1000), _FOLDS)
    split_seed: int = option(0, Whole(0, 2**32 - 1), "Seed of the splits.")
    sweep: str = option(
        "baselines", checks.text, "Whose configs each fold chooses from: in sweeps/, or a path."
    )
    overrides: Sequence[str] = option(
        (),
        checks.texts,
        "key=value over the sweep file, as --set=epochs=20; repeatable.",
        flag="set",
    )
    seed: int = option(0, Whole(0, 2**31), "First seed of the networks and the other models.")
    num_seeds: int = option(5, Whole(1, 1000), "Networks, and fits of random models, on each fold.")
    command: str = _command("gtzan_jax.run_baselines")


@dataclass(frozen=True)
class PredictOptions:
    """Which songs to predict, with which model, and how to show it."""

    run: str = field(metadata=argument(checks.text, "A run, or one of its retrainings.", "RUN"))
    songs: Sequence[str] = field(metadata=argument(checks.texts, "Files and folders.", "SONG …"))
    _: KW_ONLY
    hop_seconds: float | None = option(None, Number(0.1, 1e6), _HOP)
    explain: bool = option(
        False, checks.yes_or_no, "Features for and against the first genre: integrated gradients."
    )
    json: bool = option(False, checks.yes_or_no, "One document of JSON instead of text.")
    plot: str | None = option(
        None,
        checks.text,
        "A .png or .svg of probabilities, by window; with --explain of a spectrogram network, its "
        "reasons, too, a file a song.",
    )
    platform: str = option("auto", Choice(PLATFORMS), "Where to compute.")


@dataclass(frozen=True)
class DemoOptions:
    """Which model the page predicts with, and who may use it."""

    run: str = field(metadata=argument(checks.text, "A run, or one of its retrainings.", "RUN"))
    _: KW_ONLY
    port: int | None = option(
        None, Whole(1, 65_535), "Of this machine. Default: the first free one from 7860 on."
    )
    max_megabytes: int = option(100, Whole(1, 4_000), "The largest file that is taken.")
    hop_seconds: float | None = option(None, Number(0.1, 1e6), _HOP)
    share: bool = option(
        False, checks.yes_or_no, "A public link through Gradio's servers, as needed on Colab."
    )
    platform: str = option("auto", Choice(PLATFORMS), "Where to compute.")


@dataclass(frozen=True)
class EdaOptions(TableOptions):
    """Which table to explore."""

    data: str = option("auto", checks.text, DATA)
    workdir: str | None = option(None, checks.text, "Where to write. Default: runs/eda-<UTC time>.")


@dataclass(frozen=True)
class ExtractOptions:
    """Which songs to compute features of, and where to write them."""

    folder: str = field(metadata=argument(checks.text, "The songs.", "FOLDER"))
    output: str = option("features.csv", checks.text, "The table to write.")
    features: str = option("gtzan", Choice(tuple(EXTRACTORS)), _FEATURES)
    weights: str | None = option(None, checks.text, _WEIGHTS)
    segment_seconds: str | None = option(
        None, Choice(("3",)), "A row for each three seconds. Default: a row a song."
    )
    workers: int | None = option(None, Whole(1, 1000), "Processes. Default: one a core.")
    overwrite: bool = option(False, checks.yes_or_no, "Whether to replace a table that is there.")
    command: str = _command()


@dataclass(frozen=True)
class ReportOptions:
    """Which run to report on."""

    run: str = field(metadata=argument(checks.text, "The run.", "RUNDIR"))
    others: Sequence[str] = option((), checks.texts, "Other runs.", argument="MORE …")
    data: str | None = option(None, checks.text, _DATA_OF_RUN)
    baselines: Sequence[str] = option((), checks.texts, _BASELINES)
    output: str | None = option(None, checks.text, "Where to write. Default: RUNDIR/report.html.")


@dataclass(frozen=True)
class CompareOptions:
    """Which runs to compare."""

    run: str = field(metadata=argument(checks.text, "The first run.", "RUN_A"))
    others: Sequence[str] = field(metadata=argument(checks.texts, "The others.", "RUN_B …"))
    output: str | None = option(None, checks.text, "A CSV file to write all matched configs to.")


def takes(
    options: Callable[P, OptionsT],
) -> Callable[[Callable[[OptionsT], Result]], Callable[P, Result]]:
    """Gives a function of options the parameters of their dataclass, checked and documented."""

    def decorate(function: Callable[[OptionsT], Result]) -> Callable[P, Result]:
        def call(*args: P.args, **kwargs: P.kwargs) -> Result:
            chosen, problems = options(*args, **kwargs), Problems()
            for each in fields(chosen):  # type: ignore[arg-type]
                value = getattr(chosen, each.name)
                if value is not None or each.default is not None:
                    problems.check(each.metadata["check"], value, each.name)
            problems.raise_any()
            return function(chosen)

        head, end, rest = (inspect.getdoc(function) or "").partition("\n\nReturns:")
        wrap = textwrap.TextWrapper(
            96, "  ", "    ", break_long_words=False, break_on_hyphens=False
        )
        lines = [wrap.fill(f"{f.name}: {f.metadata['help']}") for f in fields(options)]  # type: ignore[arg-type]
        call.__name__, call.__qualname__ = function.__name__, function.__qualname__
        call.__module__ = function.__module__
        call.__doc__ = "\n".join([f"{head}\n\nArgs:", *lines]) + end + rest
        signature = inspect.signature(options)
        answer = inspect.signature(function).return_annotation
        call.__signature__ = signature.replace(return_annotation=answer)  # type: ignore[attr-defined]
        return checks.known_names(call)

    return decorate
