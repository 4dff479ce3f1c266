"""How far the songs that a model was trained on lie from their middle, and how far another does."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

_LEAST = 1e-12  # below it a variance counts as this: silence has one of 0, and no logarithm

Numbers = Annotated[list[float], msgspec.Meta(min_length=1)]

UNLIKE = 99
"""The percentile of training songs beyond which a song is called unlike them."""


class Reach(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the training songs lie, one number a feature, and how far from there.

    Variances are measured by their logarithms: over songs they are skewed, so that as they are a
    variance of nothing, silence, is within two deviations of the mean.

    Attributes:
      mean: of each feature, or of its logarithm, over the training rows.
      deviation: likewise, above 0.
      is_log: for each feature whether its logarithm is meant.
      percentiles: the 101 from 0 to 100 of the distances of training songs.
    """

    mean: Numbers
    deviation: Numbers
    is_log: list[bool]
    percentiles: Annotated[list[float], msgspec.Meta(min_length=101, max_length=101)]

    def __repr__(self) -> str:
        return f"Reach({len(self.mean)} features, distances up to {self.percentiles[-1]:.2f})"

    @classmethod
    def of(
        cls, x: NDArray[np.float32], songs: NDArray[np.int32], features: Sequence[str]
    ) -> "Reach":
        """Measures training rows.

        Args:
          x: (rows, features).
          songs: (rows,) the number of each row's song.
          features: their names; those that end in ``_var`` are variances.
        """
        lowest = x.min(axis=0).tolist()
        is_log = [f.endswith("_var") and low > 0 for f, low in zip(features, lowest, strict=True)]
        values = _measured(x, is_log)
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        deviation[deviation <= 10 * np.finfo(np.float64).eps * np.abs(mean)] = 1.0
        place = {"mean": mean.tolist(), "deviation": deviation.tolist(), "is_log": is_log}
        squares = (((values - mean) / deviation) ** 2).mean(axis=1)
        number = np.unique(songs, return_inverse=True)[1]
        distances = np.sqrt(np.bincount(number, squares) / np.bincount(number))
        percentiles = np.percentile(distances, np.arange(101)).tolist()
        return cls(**place, percentiles=percentiles)

    def deviations(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns (rows, features) how many deviations above the mean each number is."""
        deviations: NDArray[np.float64] = (_measured(x, self.is_log) - self.mean) / self.deviation
        return deviations

    def distance(self, deviations: NDArray[np.float64]) -> float:
        """Returns the root of a song's mean square deviation, over its windows and features."""
        return float(np.sqrt((deviations**2).mean()))

    def percentile(self, distance: float) -> int:
        """Returns the largest percentile of training songs that a distance is beyond, 0 to 100."""
        return max(0, int(np.searchsorted(self.percentiles, distance, side="left")) - 1)


def _measured(x: NDArray[np.floating], is_log: Sequence[bool]) -> NDArray[np.float64]:
    values = np.array(x, np.float64)
    values[:, is_log] = np.log(np.maximum(values[:, is_log], _LEAST))
    return values
