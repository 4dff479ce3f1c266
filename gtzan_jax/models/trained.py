"""A trained model: what it takes to use it again, and its predictions."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.errors import InputError
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import scaler_of
from gtzan_jax.tables.protocols import Division
from gtzan_jax.tables.schema import FeatureTable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """An MLP with the scaler in front of it and the genres behind it.

    Attributes:
      params: kernels (fan_in, fan_out) and biases (fan_out,) by name, float32.
      features: names of the features, in the order of the input.
      genres: names of the classes, in the order of the output.
      mean: (features,) float64, subtracted from the features.
      scale: (features,) float64, by which the difference is divided.
      slope: of the activation for negative inputs, where it is ReLU or leaky ReLU.
      data: what the model was trained on; ``sample`` for the synthetic table.
    """

    config: Config
    params: Mapping[str, np.ndarray]
    features: tuple[str, ...]
    genres: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    slope: float
    data: str

    @classmethod
    def of(
        cls,
        config: Config,
        params: Mapping[str, np.ndarray],
        sweep: Sweep,
        division: Division,
        fold: int,
    ) -> "TrainedModel":
        """Puts a model together from what a member was trained with."""
        table = division.table
        mean, scale = scaler_of(table, division.folds[fold])
        slope = sweep.slope_of(config)
        return cls(config, params, table.features, table.genres, mean, scale, slope, table.source)

    def __repr__(self) -> str:
        return (
            f"TrainedModel({self.config.name}, {self.num_weights:,} weights, "
            f"{len(self.genres)} genres, data {reprlib.repr(self.data)})"
        )

    @property
    def num_weights(self) -> int:
        """Weights and biases."""
        return sum(array.size for array in self.params.values())

    def predict(self, table: "FeatureTable | pd.DataFrame") -> np.ndarray:
        """Returns (songs,) names of the most probable genres; see :meth:`predict_proba`."""
        best = self.predict_proba(table).argmax(axis=1)
        return np.array([self.genres[i] for i in best])

    def predict_proba(self, table: "FeatureTable | pd.DataFrame") -> np.ndarray:
        """Returns (songs, genres) float32 probabilities.

        Args:
          table: a feature table, or a DataFrame that has the model's features by name. In a
            feature table of chunks those of a song vote: its probabilities are in proportion to
            the exponential of their mean log-probability. They stand in the order of
            ``table.by_song``. Each row of a frame is a song of its own.

        Raises:
          InputError: a feature is missing or not a finite number.
        """
        x = self._matrix(table)
        if isinstance(table, FeatureTable) and table.is_chunked:
            return self._predict(x, table.songs, table.num_songs)
        return self._predict(x)

    def predict_matrix(self, x: np.ndarray) -> np.ndarray:
        """Returns (rows, genres) float32 probabilities.

        Args:
          x: (rows, features), not standardised, in the order of ``features``.
        """
        return self._predict(x)

    def _predict(
        self, x: np.ndarray, songs: np.ndarray | None = None, num_songs: int = 0
    ) -> np.ndarray:
        from gtzan_jax.models.mlp import probabilities  # imports JAX, which saving does not need

        scaled = ((x.astype(np.float64) - self.mean) / self.scale).astype(np.float32)
        name = self.config.setting("activation")
        return probabilities(self.params, scaled, name, self.slope, songs, num_songs)

    def _matrix(self, table: "FeatureTable | pd.DataFrame") -> np.ndarray:
        """Returns (rows, features) in the model's order."""
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
