"""Options of the commands: a dataclass for each, which defines flags, checks and help texts."""

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
    "Feature table: 'auto' (data/features_30_sec.csv, else the cached copy, else a download from "
    "Kaggle, else the synthetic sample); 'sample' or 'kaggle'; 'sample3' or 'kaggle3', with "
    "segments of three seconds; the path of any table, CSV or Parquet; or a folder with a "
    "subfolder of songs for each genre, whose features a pretrained network computes. For networks "
    "on spectrograms: a folder of songs, 'sounds' (synthetic), or 'kaggle' (1.2 GB)."
)
_DATA_OF_RUN = "Feature table of the run. Default: found by checksum in data/ or the cache."
_FOLDS = "Folds of the protocol kfold. Default: the sweep's, or 5."
_SEED = re.compile(r",[^,]*split seed.*")
_PROTOCOLS = "Split protocol. " + "; ".join(
    f"{name}: {_SEED.sub('', protocol.summary).replace('; ', ', ')}"
    for name, protocol in PROTOCOLS.items()
).format(num_folds="several")
_PROTOCOL = (
    f"{_PROTOCOLS}. Default: the sweep's, or assignment, or holdout for halving, tpe, cma and qmc."
)
_PRECISION = "Precision of products on a GPU or TPU; tensorfloat32 and bfloat16 are faster."
_PLATFORM = "Devices to compute on."
_WORKERS = (
    "Worker processes on this machine; 0 trains in this process. Default: one per core, fewer if "
    "memory is short; 0 on a GPU or TPU."
)
_SCHEDULER = (
    "Dask scheduler of the cluster to train on: tcp://host:8786, tls://…, or the scheduler's file. "
    "Default: this machine. Needs pip install -e '.[cluster]'."
)
_SEARCH = (
    "Search method: grid, all configs; one_at_a_time, those that differ from the first in one "
    "value; random, random draws; halving, successive halving; tpe, cma, qmc, Optuna's samplers, "
    "which need pip install -e '.[search]'. --set=search.num_configs=50 sets the number of "
    "configs. Default: the sweep's, or grid."
)
_SEEDS = "Seeds of the retraining on each fold. Default: as many as make 10 trainings in all."
_FEATURES = (
    "Features to compute: gtzan, the 57 of the assignment's table; musicnn, 200 units of a network "
    "trained to tag songs; musicnn_tags, its 50 tags."
)
_WEIGHTS = (
    "File with musicnn's weights, the wheel musicnn 0.1.0, copied into the cache. Default: the "
    "cached copy, or a download."
)
_MODEL = "Run directory, or folder of one of its retrainings."
_HOP = "Seconds between the starts of windows. Default: a window's length."
_BASELINES = (
    "Folder written by gtzan_jax.baselines. Default: every baselines-* beside the run directory "
    "with the same feature table. The newest folder of each protocol is used."
)


def option(default: Any, check: Check, text: str, is_shown: bool = True, **more: Any) -> Any:
    """Returns a dataclass field with the check and the help of an option.

    ``is_shown`` is False for values too long for the repr. More metadata: ``flag``, the flag if it
    has another name, or "" for none; ``argument``, the name of a positional argument in messages;
    ``shorts``, flags whose values are added to a list as ``key=value``, with their help.
    """
    return field(default=default, repr=is_shown, metadata={"check": check, "help": text, **more})


def argument(check: Check, text: str, name: str) -> Any:
    """Returns the dataclass field of a required positional argument."""
    return field(metadata={"check": check, "help": text, "argument": name})


def _sweep(value: Any, where: str) -> Any:
    return checks.path(value, where, Sweep)


def _constant(name: str, text: str, **more: Any) -> Any:
    """Returns an option that overrides a constant of the sweep file."""
    return option(None, CONSTANTS[name][0], text, **more)


def _command(default: str = "") -> Any:
    return option(default, checks.text, "Command line to record in the run.", flag="")


@dataclass(frozen=True)
class TrainingOptions:
    """Options that choose where to train."""

    _: KW_ONLY
    platform: str = option("auto", Choice(PLATFORMS), _PLATFORM)
    workers: int | None = option(None, Whole(0, 1000), _WORKERS)
    scheduler: str | None = option(None, checks.text, _SCHEDULER)


@dataclass(frozen=True)
class TableOptions:
    """Options for the columns of a table."""

    _: KW_ONLY
    label: str = option("label", checks.text, "Column of classes.")
    group: str = option("", checks.text, "Column of groups, each on one side of every split.")
    drop: Sequence[str] = option((), checks.names, "Columns to leave out, separated by commas.")
    impute: str | None = option(
        None,
        Choice(("median",)),
        "Replaces missing values by the median of each train part. Default: they are errors.",
    )

    @property
    def columns(self) -> Columns:
        """The options as ``load_table`` takes them."""
        return Columns(self.label, self.group, tuple(self.drop), self.impute or "")


@dataclass(frozen=True)
class SweepOptions(TableOptions, TrainingOptions):
    """Options of a sweep, for the command and for ``run_sweep``."""

    sweep: "str | os.PathLike[str] | Sweep" = option(
        "assignment", _sweep, "Sweep: a name in sweeps/, or the path of a TOML file."
    )
    data: "str | os.PathLike[str] | FeatureTable | pd.DataFrame | tuple[Any, ...]" = option(
        "auto", check_data, DATA, is_shown=False
    )
    workdir: "str | os.PathLike[str] | None" = option(
        None,
        checks.path,
        "Run directory; an unfinished run there is resumed. Default: runs/<sweep>-<UTC time>.",
    )
    _: KW_ONLY
    epochs: int | None = _constant("epochs", "Epochs of each config. Default: the sweep's, or 10.")
    batch_size: int | None = _constant("batch_size", "Rows of a batch.", flag="")  # in SHORT_NAMES
    loss: str | None = _constant("loss", "Loss function. Default: the sweep's, or cross_entropy.")
    protocol: str | None = _constant("protocol", _PROTOCOL)
    num_folds: int | None = _constant("num_folds", _FOLDS)
    search: str | None = option(None, Choice(KINDS), _SEARCH)
    overrides: Sequence[str] = option(
        (),
        checks.texts,
        "key=value that overrides the sweep file, such as --set=axes.dropout1=[0.0,0.5].",
        flag="set",
        shorts=SHORT_NAMES,
    )
    overwrite: bool = option(False, checks.yes_or_no, "Delete the run in --workdir first.")
    matmul_precision: MatmulPrecision = option("float32", Choice(MATMUL_PRECISIONS), _PRECISION)
    batching: str = option(
        "auto",
        Choice(MODES),
        "Compiled programs: shape, one for each combination of layer widths; padded, one for all; "
        "auto, the fastest choice.",
    )
    seed: int = option(0, Whole(0, 2**31), "First seed of initial weights, order and noise.")
    num_seeds: int | None = _constant(
        "num_seeds", "Seeds for each config and fold. Default: the sweep's, or 1."
    )
    split_seed: int = option(0, Whole(0, 2**32 - 1), "Seed of the splits.")
    retrain_epochs: int = option(50, Whole(0, 100_000), "Epochs of the retraining; 0 skips it.")
    retrain_seeds: int | None = option(None, Whole(1, 1000), _SEEDS)
    profile: "str | os.PathLike[str] | None" = option(
        None,
        checks.path,
        "Folder for a JAX profiler trace (TensorBoard, Perfetto); not with --workers or "
        "--scheduler. Default: none.",
    )
    command: str = _command("gtzan_jax.run_sweep")

    @property
    def is_command(self) -> bool:
        """True if the command runs the sweep, not a call of ``run_sweep``."""
        return self.command != SweepOptions.command

    @property
    def settings(self) -> dict[str, object]:
        """The options that override the sweep file."""
        names = ("epochs", "batch_size", "loss", "protocol", "num_folds", "search")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass(frozen=True)
class RetrainOptions(TrainingOptions):
    """Options of a retraining."""

    workdir: str = field(
        metadata={"check": checks.text, "help": "Run directory of a finished sweep; required."}
    )
    _: KW_ONLY
    rank: int = option(1, Whole(1, 1_000_000), "Rank in results.csv of the config to retrain.")
    retrain_epochs: int = option(50, Whole(1, 100_000), "Epochs of the retraining.")
    protocol: str | None = option(
        None, Choice(tuple(PROTOCOLS)), f"{_PROTOCOLS}. Default: the run's."
    )
    num_folds: int | None = option(None, Whole(2, 1000), _FOLDS)
    retrain_seeds: int | None = option(None, Whole(1, 1000), _SEEDS)
    data: "str | os.PathLike[str] | FeatureTable | pd.DataFrame | tuple[Any, ...] | None" = option(
        None, check_data, _DATA_OF_RUN, is_shown=False
    )
    matmul_precision: MatmulPrecision | None = option(
        None, Choice(MATMUL_PRECISIONS), f"{_PRECISION} Default: the run's."
    )
    command: str = _command("gtzan_jax.retrain_run")


@dataclass(frozen=True)
class BaselinesOptions(TableOptions, TrainingOptions):
    """Options of the comparison with classical models."""

    data: str = option("auto", checks.text, DATA)
    workdir: str | None = option(
        None, checks.text, "Output folder. Default: runs/baselines-<UTC time>."
    )
    _: KW_ONLY
    protocol: str = option(
        ALL_PROTOCOLS,
        Choice((*PROTOCOLS, ALL_PROTOCOLS)),
        "A split protocol, or all that the table allows.",
    )
    num_folds: int | None = option(None, Whole(2, 1000), _FOLDS)
    split_seed: int = option(0, Whole(0, 2**32 - 1), "Seed of the splits.")
    sweep: str = option(
        "baselines", checks.text, "Sweep that each fold selects from: a name in sweeps/, or a path."
    )
    overrides: Sequence[str] = option(
        (),
        checks.texts,
        "key=value that overrides the sweep file, such as --set=epochs=20.",
        flag="set",
    )
    seed: int = option(0, Whole(0, 2**31), "First seed of the networks and the other models.")
    num_seeds: int = option(
        5, Whole(1, 1000), "Seeds of networks and of other random models on each fold."
    )
    command: str = _command("gtzan_jax.run_baselines")


@dataclass(frozen=True)
class PredictOptions:
    """Options of predictions."""

    run: str = argument(checks.text, _MODEL, "RUN")
    songs: Sequence[str] = argument(checks.texts, "Files and folders.", "SONG …")
    _: KW_ONLY
    hop_seconds: float | None = option(None, Number(0.1, 1e6), _HOP)
    explain: bool = option(
        False,
        checks.yes_or_no,
        "Show the features for and against the first genre, by integrated gradients.",
    )
    json: bool = option(False, checks.yes_or_no, "Print one JSON document instead of text.")
    plot: str | None = option(
        None,
        checks.text,
        "Plot to write, .png or .svg: probabilities over time. With --explain and a network on "
        "spectrograms also the attribution of each song, in a file of its own.",
    )
    platform: str = option("auto", Choice(PLATFORMS), _PLATFORM)


@dataclass(frozen=True)
class DemoOptions:
    """Options of the page that predicts songs."""

    run: str = argument(checks.text, _MODEL, "RUN")
    _: KW_ONLY
    port: int | None = option(
        None, Whole(1, 65_535), "Port of this machine. Default: the first free one from 7860 on."
    )
    max_megabytes: int = option(100, Whole(1, 4_000), "Size of the largest accepted file.")
    hop_seconds: float | None = option(None, Number(0.1, 1e6), _HOP)
    share: bool = option(
        False, checks.yes_or_no, "Create a public link through Gradio's servers; Colab needs it."
    )
    platform: str = option("auto", Choice(PLATFORMS), _PLATFORM)


@dataclass(frozen=True)
class EdaOptions(TableOptions):
    """Options of the exploration of a table."""

    data: str = option("auto", checks.text, DATA)
    workdir: str | None = option(None, checks.text, "Output folder. Default: runs/eda-<UTC time>.")


@dataclass(frozen=True)
class ExtractOptions:
    """Options of feature extraction."""

    folder: str = argument(checks.text, "Folder of songs.", "FOLDER")
    output: str = option("features.csv", checks.text, "Table to write.")
    features: str = option("gtzan", Choice(tuple(EXTRACTORS)), _FEATURES)
    weights: str | None = option(None, checks.text, _WEIGHTS)
    segment_seconds: str | None = option(
        None, Choice(("3",)), "Write a row for each three seconds. Default: a row for each song."
    )
    workers: int | None = option(None, Whole(1, 1000), "Worker processes. Default: one per core.")
    overwrite: bool = option(False, checks.yes_or_no, "Replace an existing table.")
    command: str = _command()


@dataclass(frozen=True)
class ReportOptions:
    """Options of a report."""

    run: str = argument(checks.text, "Run directory.", "RUNDIR")
    others: Sequence[str] = option((), checks.texts, "Other run directories.", argument="MORE …")
    data: str | None = option(None, checks.text, _DATA_OF_RUN)
    baselines: Sequence[str] = option((), checks.texts, _BASELINES)
    output: str | None = option(None, checks.text, "File to write. Default: RUNDIR/report.html.")


@dataclass(frozen=True)
class CompareOptions:
    """Options of a comparison of runs."""

    run: str = argument(checks.text, "First run directory.", "RUN_A")
    others: Sequence[str] = argument(checks.texts, "Other runs.", "RUN_B …")
    output: str | None = option(
        None, checks.text, "CSV file to write with all matched configs. Default: none."
    )


def takes(
    options: Callable[P, OptionsT],
) -> Callable[[Callable[[OptionsT], Result]], Callable[P, Result]]:
    """Gives a function of an options dataclass the fields as parameters, checked and documented."""

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
