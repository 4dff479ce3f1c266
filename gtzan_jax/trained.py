"""A trained model: what it takes to use it again, its two files, and its predictions."""

import dataclasses
import functools
import io
import json
import reprlib
import struct
import tokenize
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import jax
import numpy as np

from gtzan_jax.errors import InputError
from gtzan_jax.features import FeatureTable
from gtzan_jax.files import digest, is_sealed, sealed, write_atomically
from gtzan_jax.model import MLP, Params, apply_model, layer_names
from gtzan_jax.space import HYPERPARAMETERS, Config, Sweep
from gtzan_jax.splits import Dataset

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = 2

# What reading files raises that are not as they were written, by accident or on purpose.
_UNUSABLE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError,
    RuntimeError,  # too many brackets, an encrypted or an unknown kind of archive
    BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError,
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
        """Writes ``model.npz`` (the weights) and ``model.json`` (all else)."""
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
            f"{layer}.{part}": np.asarray(array)
            for layer, parts in self.params.items()
            for part, array in parts.items()
        }
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "model.npz", buffer.getvalue())
        description["weights_sha256"] = digest(folder / "model.npz")
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
    try:
        described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if described["format"] != _FORMAT:
            raise ValueError(f"format {described['format']}, and this version reads {_FORMAT}")
        if not is_sealed(described):
            raise ValueError("the checksum of model.json does not fit: damaged, or edited")
        if described["weights_sha256"] != digest(folder / "model.npz"):
            raise ValueError("model.npz is not the one that model.json describes")
        with (folder / "model.npz").open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            arrays = {name: stored[name] for name in stored.files}
        return _assemble(described, arrays)
    except _UNUSABLE as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"{folder}: the model's files cannot be used ({reason[:200]})") from None


def _assemble(described: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> TrainedModel:
    config = Config(**{name: described["config"][name] for name in HYPERPARAMETERS})
    sizes = (len(described["features"]), *config.shape, len(described["genres"]))
    params: dict[str, dict[str, np.ndarray]] = {}
    for layer, name in enumerate(layer_names(len(config.shape))):
        fan_in, fan_out = sizes[layer], sizes[layer + 1]
        params[name] = {}
        for part, shape in (("kernel", (fan_in, fan_out)), ("bias", (fan_out,))):
            array = arrays[f"{name}.{part}"]
            if array.shape != shape or array.dtype != np.float32:
                raise ValueError(f"{name}.{part} is {array.dtype}{array.shape}, not {shape}")
            params[name][part] = array
    mean, scale = (np.asarray(described[name], np.float64) for name in ("mean", "scale"))
    slope = float(described["leaky_slope"])
    if mean.shape != sizes[:1] or scale.shape != sizes[:1] or not (scale > 0).all():
        raise ValueError(f"mean and scale are not {sizes[0]} numbers each, the scale above 0")
    if not (np.isfinite(mean).all() and np.isfinite(slope)):
        raise ValueError("mean or leaky_slope is not finite")
    return TrainedModel(
        config=config,
        params=params,
        features=tuple(described["features"]),
        genres=tuple(described["genres"]),
        mean=mean,
        scale=scale,
        leaky_slope=slope,
        data=str(described["data"]),
    )
