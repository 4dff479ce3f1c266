"""The file of a trained model, safetensors: arrays, and a description in the metadata.

Nothing in a file is executed, and its sizes are checked before it is read.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from gtzan_jax import checks
from gtzan_jax.errors import InputError
from gtzan_jax.files import Kind, load_arrays, refuse_links, save_arrays
from gtzan_jax.inference.calibration import Calibration
from gtzan_jax.inference.distribution import Distribution, Neighbours
from gtzan_jax.inference.front_end import FrontEnd
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.models.family import FAMILIES
from gtzan_jax.space.sweep_file import parse_config
from gtzan_jax.tables.schema import NO_OPTIONS, Columns
from gtzan_jax.text import command_line, printable

NAME = "model.safetensors"
_FORMAT = 7
_MOST_ROWS = 2**21  # fingerprints
_SAME = (
    "data", "slope", "genres", "features", "front_end", "protocol", "calibration", "columns",
)  # fmt: skip

Names = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class _About(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The description of a model, in the metadata."""

    format: int
    data: str
    config: dict[str, Any]
    slope: float
    genres: Names
    features: Names
    front_end: FrontEnd | None
    protocol: str
    calibration: Calibration | None
    rows: Annotated[int, msgspec.Meta(ge=0, le=_MOST_ROWS)] | None  # of the distribution
    columns: Columns = NO_OPTIONS
    checksum: str = ""


def save_model(model: TrainedModel, folder: Path) -> None:
    """Writes ``model.safetensors``."""
    known = model.distribution
    about = _About(
        format=_FORMAT,
        config=dict(model.config),
        rows=None if known is None else 0 if known.rows is None else len(known.rows),
        **{name: getattr(model, name) for name in _SAME},
    )
    arrays = {f"network.{name}": array for name, array in model.params.items()}
    scaler = {"mean": model.mean, "scale": model.scale, "fill": model.fill}
    arrays |= {f"scaler.{name}": array for name, array in scaler.items() if array is not None}
    if known:
        parts = {f"distribution.{name}": array for name, array in vars(known).items()}
        arrays |= {name: array for name, array in parts.items() if array is not None}
    folder.mkdir(parents=True, exist_ok=True)
    save_arrays(folder / NAME, arrays, msgspec.to_builtins(about))


@checks.known_names
def load_model(path: str | os.PathLike[str]) -> TrainedModel:
    """Loads a trained model from a folder such as ``retrained/rank2``, or from a run's ``best``.

    ``load_model("runs/RUN").predict(pandas.read_csv("rows.csv"))`` predicts the rows of a table.

    Raises:
      InputError: there is no model, or its file is damaged or of another version.
      TypeError: a parameter is unknown.
    """
    folder = Path(checks.path(path, "path"))
    if not (folder / NAME).is_file():
        folder = folder / "best"
    if not (folder / NAME).is_file():
        raise InputError(f"{path}: no trained model there; {_remedy(Path(path))}")
    refuse_links(Path(path))
    try:
        arrays, description = load_arrays(folder / NAME, _FORMAT, _expected)
        return _assemble(msgspec.convert(description, _About), arrays)
    except ValueError as error:
        raise InputError(
            printable(f"{folder}: {error}; retrain it with this version, or copy it again")
        ) from None


def _remedy(path: Path) -> str:
    """Names the folders of models, or the command that makes one."""
    patterns = ("retrained/*", "*")  # in a run directory, and in its folder retrained
    found = [p.parent for each in patterns for p in sorted(path.glob(f"{each}/{NAME}"))]
    if found:
        return f"give one of {', '.join(map(str, found))}"
    if (path / "manifest.json").is_file():
        return f"make one of a finished run with: {command_line('retrain', [f'--workdir={path}'])}"
    return "give a run directory, or a folder with a model in it, such as its best/"


def _expected(description: dict[str, Any]) -> Mapping[str, Kind]:
    """Returns the types and shapes of a model's arrays."""
    about = msgspec.convert(description, _About)
    config = parse_config(about.config, "config")
    width, wide = len(about.features), len(about.features) * (1 + (config.family == "cnn"))
    shapes = FAMILIES[config.family].shapes(config, width, len(about.genres))
    kinds: dict[str, Kind] = {f"network.{name}": ("F32", shape) for name, shape in shapes.items()}
    scaler = ("mean", "scale", "fill") if about.columns.impute else ("mean", "scale")
    kinds |= {f"scaler.{name}": ("F64", (width,)) for name in scaler}
    if about.rows is not None:
        kinds |= dict.fromkeys(("distribution.mean", "distribution.deviation"), ("F64", (wide,)))
        kinds["distribution.is_log"] = ("BOOL", (wide,))
        kinds["distribution.percentiles"] = ("F64", (101,))
    if about.rows:
        kinds["distribution.rows"] = ("I8", (about.rows, wide))
    return kinds


def _assemble(about: _About, arrays: Mapping[str, np.ndarray]) -> TrainedModel:
    """Checks the values, and returns the model."""
    config = parse_config(about.config, "config")
    parts: dict[str, dict[str, Any]] = {"network": {}, "scaler": {}, "distribution": {"rows": None}}
    for name, array in arrays.items():
        room, _, rest = name.partition(".")
        parts[room][rest] = array
        if room != "network" and array.dtype == np.float64 and not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")
    kind = about.front_end and about.front_end.kind
    if kind == "musicnn" and about.rows == 0:
        raise ValueError("the distribution has no rows")
    measure = Neighbours if kind == "musicnn" else Distribution
    distribution = measure(**parts["distribution"]) if about.rows is not None else None
    positive = [parts["scaler"]["scale"], *([distribution.deviation] if distribution else [])]
    if not all((each > 0).all() for each in positive):
        raise ValueError("a scale or a deviation is not above 0")
    if distribution and (np.diff(distribution.percentiles) < 0).any():
        raise ValueError("the percentiles of the distribution do not ascend")
    for names in (about.features, about.genres):
        if len(set(names)) < len(names):
            raise ValueError("features or genres have a name twice")
    if (kind == "spectrogram") != (config.family == "cnn"):
        raise ValueError(f"a {config.family} has no front end of kind {kind}")
    return TrainedModel(
        config=config,
        params=parts["network"],
        distribution=distribution,
        **parts["scaler"],
        **{name: getattr(about, name) for name in _SAME},
    )
