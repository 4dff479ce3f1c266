"""A trained model: what it takes to use it again, its two files, and its predictions."""

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from gtzan_jax.errors import InputError
from gtzan_jax.features import FeatureTable
from gtzan_jax.files import is_sealed, refuse_links, sealed, write_atomically
from gtzan_jax.model import MLP, Params, apply_model, layer_names
from gtzan_jax.space import Config, Sweep, parse_config
from gtzan_jax.splits import Dataset
from gtzan_jax.text import printable

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = 3
_MAX_JSON = 2**20  # bytes of model.json, many times what the names of features and genres take
_MAX_HEADER = 2**12  # bytes of model.safetensors before the weights, a few times what they take

# What reading files raises that are not as they were written, by accident or on purpose.
_UNUSABLE = (
    OSError, ValueError, KeyError, TypeError, SafetensorError,
    OverflowError, RecursionError,  # a whole number without end, too many brackets
)  # fmt: skip


@functools.partial(jax.jit, static_argnums=0)
def _probabilities(model: MLP, params: Params, x: jax.Array, slope: float) -> jax.Array:
    return jax.nn.softmax(apply_model(model, params, x, slope))


@dataclass(frozen=True)
class TrainedModel:
    """An MLP with the scaler in front of it and the genres behind it.

    Attributes:
      config: its hyperparameters.
      params: for each layer kernel (fan_in, fan_out) and bias (fan_out,), float32.
      features: names of the features, in the order of the input.
      genres: names of the classes, in the order of the output.
      mean: (features,) float64, subtracted from the features.
      scale: (features,) float64, by which the difference is divided.
      leaky_slope: slope of leaky ReLU, if the config has it.
      data: what the model was trained on; ``sample`` for the synthetic table.
    """

    config: Config
    params: Params
    features: tuple[str, ...]
    genres: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    leaky_slope: float
    data: str

    def __repr__(self) -> str:
        return (
            f"TrainedModel({self.config.name}, {len(self.features)} features, "
            f"{len(self.genres)} genres, trained on {reprlib.repr(self.data)})"
        )

    @classmethod
    def of(
        cls, config: Config, params: Params, sweep: Sweep, table: FeatureTable, dataset: Dataset
    ) -> "TrainedModel":
        """Puts a model together from what it was trained with.

        Args:
          config: its hyperparameters.
          params: what training returned.
          sweep: gives the leaky slope.
          table: the feature table.
          dataset: the standardised split of it that the model was trained on.
        """
        return cls(
            config=config,
            params=params,
            features=table.features,
            genres=table.genres,
            mean=dataset.mean,
            scale=dataset.scale,
            leaky_slope=sweep.leaky_slope,
            data=table.source,
        )

    def predict_proba(self, table: "FeatureTable | pd.DataFrame") -> np.ndarray:
        """Returns (tracks, genres) float32 probabilities.

        Args:
          table: a feature table, or a DataFrame that has the model's features by name.

        Raises:
          InputError: a feature is missing or not a finite number.
        """
        x = (self._matrix(table) - self.mean) / self.scale
        return self.predict_standardised(x.astype(np.float32))

    def predict_standardised(self, x: np.ndarray) -> np.ndarray:
        """Returns (tracks, genres) float32 probabilities.

        Args:
          x: (tracks, features) float32, standardised, in the order of ``features``.
        """
        slope = self.leaky_slope if self.config.activation == "leaky_relu" else 0.0
        model = MLP(self.config.shape, len(self.genres))
        return np.asarray(_probabilities(model, self.params, x, slope))

    def predict(self, table: "FeatureTable | pd.DataFrame") -> np.ndarray:
        """Returns (tracks,) names of the most probable genres; see :meth:`predict_proba`."""
        best = self.predict_proba(table).argmax(axis=1)
        return np.array([self.genres[i] for i in best])

    def _matrix(self, table: "FeatureTable | pd.DataFrame") -> np.ndarray:
        """Returns (tracks, features) float64 in the model's order."""
        names = list(table.features if isinstance(table, FeatureTable) else table.columns)
        for feature in self.features:
            if feature not in names:
                raise InputError(f"the table lacks the model's feature '{feature}'")
        if isinstance(table, FeatureTable):
            return table.x[:, [names.index(feature) for feature in self.features]]
        try:
            values = table[list(self.features)].to_numpy(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"the table's features must be numbers: {error}") from None
        for row, column in np.argwhere(~np.isfinite(values))[:1]:
            raise InputError(f"row {row}, column '{self.features[column]}': not a finite number")
        return values

    def save(self, folder: Path) -> None:
        """Writes ``model.safetensors`` (the weights) and ``model.json`` (all else)."""
        description = {
            "format": _FORMAT,
            "data": self.data,
            "config": dataclasses.asdict(self.config),
            "leaky_slope": self.leaky_slope,
            "genres": list(self.genres),
            "features": list(self.features),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
        }
        arrays = {
            f"{layer}.{part}": np.ascontiguousarray(array)
            for layer, parts in self.params.items()
            for part, array in parts.items()
        }
        weights = safetensors.numpy.save(arrays)
        description["weights_sha256"] = hashlib.sha256(weights).hexdigest()
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "model.safetensors", weights)
        write_atomically(folder / "model.json", json.dumps(sealed(description), indent=2) + "\n")


def load_model(path: str | Path) -> TrainedModel:
    """Reads a trained model. Nothing in its files is executed.

    Args:
      path: a run directory, or the ``best`` folder inside it.

    Raises:
      InputError: there is no model, or its files do not fit together.
    """
    folder = Path(path)
    if not (folder / "model.json").is_file():
        folder = folder / "best"
    if not (folder / "model.json").is_file():
        raise InputError(f"{path}: no trained model there; give a run directory or its best/")
    refuse_links(Path(path))
    try:
        described = json.loads(_read(folder / "model.json", _MAX_JSON))
        if described["format"] != _FORMAT:
            raise ValueError(
                f"format {described['format']!r}, and this version reads {_FORMAT}: retrain it"
            )
        if not is_sealed(described):
            raise ValueError("the checksum of model.json does not fit: damaged, or edited")
        return _assemble(described, folder / "model.safetensors")
    except _UNUSABLE as error:
        reason = printable(f"{type(error).__name__}: {' '.join(str(error).split())}")
        raise InputError(f"{folder}: the model's files cannot be used ({reason[:200]})") from None


def _read(path: Path, limit: int) -> bytes:
    """Reads a file, and no more of it than it may have."""
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{path.name} has more than {limit:,} bytes")
    return content


def _assemble(described: Mapping[str, Any], path: Path) -> TrainedModel:
    """Checks what model.json says, then reads the weights, which must be just those it implies."""
    config = parse_config(described["config"], "config")
    features, genres = _names(described["features"]), _names(described["genres"])
    mean, scale = (np.asarray(described[name], np.float64) for name in ("mean", "scale"))
    shape = (len(features),)
    if mean.shape != shape or scale.shape != shape or not (scale > 0).all():
        raise ValueError(f"mean and scale are not {len(features)} numbers each, the scale above 0")
    slope = float(described["leaky_slope"])
    if not (np.isfinite(mean).all() and np.isfinite(slope)):
        raise ValueError("mean or leaky_slope is not finite")
    sizes = (len(features), *config.shape, len(genres))
    return TrainedModel(
        config=config,
        params=_read_weights(path, sizes, described["weights_sha256"]),
        features=features,
        genres=genres,
        mean=mean,
        scale=scale,
        leaky_slope=slope,
        data=str(described["data"]),
    )


def _names(value: Any) -> tuple[str, ...]:
    if not value or not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ValueError("features or genres are no list of names")
    return tuple(value)


def _read_weights(path: Path, sizes: Sequence[int], sha256: str) -> dict[str, dict[str, Any]]:
    """Reads the layers between ``sizes``: features, units of the hidden layers, genres."""
    shapes: dict[str, tuple[int, ...]] = {}
    layers = layer_names(len(sizes) - 2)
    for layer, (fan_in, fan_out) in zip(layers, itertools.pairwise(sizes), strict=True):
        shapes |= {f"{layer}.kernel": (fan_in, fan_out), f"{layer}.bias": (fan_out,)}
    content = _read(path, 4 * sum(map(math.prod, shapes.values())) + _MAX_HEADER)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path.name} is not the one that model.json describes")
    arrays = safetensors.numpy.load(content)
    if arrays.keys() != shapes.keys():
        raise ValueError(f"{path.name} holds {sorted(arrays)}, not {sorted(shapes)}")
    params: dict[str, dict[str, Any]] = {layer: {} for layer in layers}
    for name, array in arrays.items():
        if array.shape != shapes[name] or array.dtype != np.float32:
            raise ValueError(f"{name} is {array.dtype}{array.shape}, not {shapes[name]}")
        layer, part = name.split(".")
        params[layer][part] = array
    return params
