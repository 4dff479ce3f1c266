"""Where the training songs of a model lie, how far out a song is, and whether it is one of them."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

_LEAST = 1e-12  # below it a variance counts as this: silence has one of 0, and no logarithm

_STEPS = 32  # of a training row's fingerprint in a deviation
_MOST_BYTES = 2**21  # of fingerprints; of more rows none is kept
_FEWEST = 8  # features that a fingerprint needs

SAME = 0.1
"""The median difference in deviations up to which two rows are of one song.

docs/predicting.md has how far copies of a song lie from it, and how far the nearest other songs do.
"""

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
      rows: the fingerprints of the training rows, (rows, features) int8: deviations in steps of a
        thirty-second, up to four. None where they are too many, or a model is older.
    """

    mean: Numbers
    deviation: Numbers
    is_log: list[bool]
    percentiles: Annotated[list[float], msgspec.Meta(min_length=101, max_length=101)]
    rows: bytes | None = None

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
        deviations = (values - mean) / deviation
        rows = _fingerprints(deviations)
        squares = (deviations**2).mean(axis=1)
        number = np.unique(songs, return_inverse=True)[1]
        distances = np.sqrt(np.bincount(number, squares) / np.bincount(number))
        percentiles = np.percentile(distances, np.arange(101)).tolist()
        return cls(
            **place,
            percentiles=percentiles,
            rows=rows.tobytes() if rows.nbytes <= _MOST_BYTES else None,
        )

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

    def knows(self, deviations: NDArray[np.float64]) -> bool | None:
        """Returns whether a song was trained on; None where the training rows are not kept.

        Half of its windows must be like training rows: the median difference of their features at
        most ``SAME``. A median, for a copy that is louder differs in a few features alone.

        Args:
          deviations: (windows, features) of the song.
        """
        if self.rows is None:
            return None
        rows = np.frombuffer(self.rows, np.int8).reshape(-1, len(self.mean)).astype(np.float32)
        varies = np.ptp(rows, axis=0) > 0
        if varies.sum() < _FEWEST:
            return None
        rows = rows[:, varies]
        windows = _fingerprints(deviations)[:, varies].astype(np.float32)
        least = [np.median(np.abs(rows - window), axis=1).min() for window in windows]
        return bool(np.median(least) <= SAME * _STEPS)


def _fingerprints(deviations: NDArray[np.float64]) -> NDArray[np.int8]:
    return np.rint(_STEPS * deviations).clip(-127, 127).astype(np.int8)


def _measured(x: NDArray[np.floating], is_log: Sequence[bool]) -> NDArray[np.float64]:
    values = np.array(x, np.float64)
    values[:, is_log] = np.log(np.maximum(values[:, is_log], _LEAST))
    return values
