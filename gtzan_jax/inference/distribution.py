"""The out-of-distribution score: the distance of a song from a model's training songs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.tables.schema import TAGS

_LEAST = 1e-12  # the smallest variance: that of silence is 0, without a logarithm
_STEPS = 32  # of a fingerprint, in a deviation
_MOST_BYTES = 2**21  # of fingerprints; if there are more, none are kept
_FEWEST = 8  # features that a fingerprint needs
_MOST_SONGS = 4000  # used for the distances between training songs
_AT_ONCE = 256  # rows whose distances to all others are in memory together

SAME = 0.1
"""The largest median difference in deviations of rows of one song; see docs/sound.md."""

SAME_SHARE = 0.25
"""The same for :class:`Neighbours`, as a share of the training songs' median distance."""

OUT_OF_DISTRIBUTION = 99
"""The percentile of training songs beyond which a song is out of distribution."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """The training songs of a model: mean and deviation of each feature, and their distances.

    Variances are skewed over songs, so their logarithms are used; else silence would be near the
    mean.
    """

    mean: NDArray[np.float64] = field(repr=False)  # (features,), or of the logarithm, over rows
    deviation: NDArray[np.float64] = field(repr=False)  # (features,), as mean, above 0
    is_log: NDArray[np.bool_] = field(repr=False)  # (features,), whether the logarithm is used
    percentiles: NDArray[np.float64] = field(repr=False)  # (101,), 0 to 100, of songs' distances
    # (rows, features), fingerprints of the training rows: deviations in steps of 1/32, up to 4.
    # None if there are too many.
    rows: NDArray[np.int8] | None = field(repr=False)

    @classmethod
    def of(
        cls, x: NDArray[np.float32], songs: NDArray[np.int32], features: Sequence[str]
    ) -> "Distribution":
        """Measures training rows (rows, features), of songs (rows,).

        Features whose names end in ``_var`` are variances; tags are probabilities, equally skewed.
        """
        is_skewed = np.array([name.endswith("_var") or name in TAGS for name in features])
        is_log = is_skewed & (x.min(axis=0) > 0)
        values = _measured(x, is_log)
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        deviation[deviation <= 10 * np.finfo(np.float64).eps * np.abs(mean)] = 1.0
        deviations = (values - mean) / deviation
        number = np.unique(songs, return_inverse=True)[1]
        squares = np.bincount(number, (deviations**2).mean(axis=1))
        percentiles = np.percentile(np.sqrt(squares / np.bincount(number)), np.arange(101))
        rows = _fingerprints(deviations)
        kept = rows if rows.nbytes <= _MOST_BYTES else None
        return cls(mean, deviation, is_log, percentiles, kept)

    def deviations(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns (rows, features) differences from the mean, in deviations."""
        return np.asarray((_measured(x, self.is_log) - self.mean) / self.deviation)

    def distance(self, deviations: NDArray[np.float64]) -> float:
        """Returns the root mean square of a song's deviations, over windows and features."""
        return float(np.sqrt((deviations**2).mean()))

    def percentile(self, distance: float) -> int:
        """Returns the largest percentile of training songs below a distance, 0 to 100."""
        return max(0, int(np.searchsorted(self.percentiles, distance, side="left")) - 1)

    def knows(self, deviations: NDArray[np.float64]) -> bool | None:
        """Returns whether a song was in the training set, by its deviations; None if unknown.

        Half of its windows must have a median difference to a training row of at most ``SAME``. A
        median, since a louder copy differs in a few features only.
        """
        if self.rows is None:
            return None
        varies = (self.rows != self.rows[0]).any(axis=0)
        if varies.sum() < _FEWEST:
            return None
        rows = self.rows[:, varies].astype(np.float32)
        windows = _fingerprints(deviations)[:, varies].astype(np.float32)
        least = [np.median(np.abs(rows - window), axis=1).min() for window in windows]
        return bool(np.median(least) <= SAME * _STEPS)


@dataclass(frozen=True, eq=False)
class Neighbours(Distribution):
    """The training songs of a model on a pretrained network's features, by nearest neighbours.

    These features are skewed, and strange sounds lie among the songs, not around them. So a value
    becomes its percentile among the training rows, and the distance of a song is that to the
    nearest training row: the root mean square difference in percentiles, over windows and features.
    ``percentiles`` are those of the training songs' distances, each to the rows of other songs.
    """

    rows: NDArray[np.int8] = field(repr=False)  # of all training rows

    @classmethod
    def of(
        cls, x: NDArray[np.float32], songs: NDArray[np.int32], features: Sequence[str]
    ) -> "Neighbours":
        """Measures training rows (rows, features), of songs (rows,)."""
        around = Distribution.of(x, songs, features)
        rows = _fingerprints(around.deviations(x.astype(np.float64)))
        made = cls(around.mean, around.deviation, around.is_log, around.percentiles, rows)
        number = np.unique(songs, return_inverse=True)[1]
        step = -(-(number.max() + 1) // _MOST_SONGS)
        measured = np.flatnonzero(number % step == 0)
        squares = made._nearest(rows[measured], number[measured], number) ** 2
        sums, counts = np.bincount(number[measured], squares), np.bincount(number[measured])
        distances = np.sqrt(sums[::step] / counts[::step])
        return replace(made, percentiles=np.percentile(distances, np.arange(101)))

    def distance(self, deviations: NDArray[np.float64]) -> float:
        """Returns the root mean square distance of a song's windows to the nearest training row."""
        return float(np.sqrt((self._nearest(_fingerprints(deviations)) ** 2).mean()))

    def knows(self, deviations: NDArray[np.float64]) -> bool | None:
        """Returns whether a song was in the training set, by its deviations; None if unknown.

        Half of its windows must be within ``SAME_SHARE`` of the training songs' median distance of
        a training row.
        """
        if (self.rows != self.rows[0]).any(axis=0).sum() < _FEWEST:
            return None
        nearest = np.median(self._nearest(_fingerprints(deviations)))
        return bool(nearest <= SAME_SHARE * self.percentiles[50])

    @property
    def row_deviations(self) -> NDArray[np.float64]:
        """(rows, features) deviations of the training rows, in steps of 1/32, up to 4."""
        return self.rows / _STEPS

    def _nearest(
        self,
        windows: NDArray[np.int8],
        of_windows: NDArray[np.intp] | None = None,
        of_rows: NDArray[np.intp] | None = None,
    ) -> NDArray[np.float64]:
        """Returns (windows,) distances to the nearest row, of another song if songs are given."""
        counts = np.stack(
            [np.bincount(column, minlength=256) for column in self.rows.T.astype(np.int16) + 128]
        )
        places = 100 * (counts.cumsum(axis=1) - counts / 2) / len(self.rows) - 50

        def placed(rows: NDArray[np.int8]) -> NDArray[np.float64]:
            return places[np.arange(rows.shape[1]), rows.astype(np.int16) + 128]

        rows = placed(self.rows)
        lengths, found = (rows**2).sum(axis=1), []
        for start in range(0, len(windows), _AT_ONCE):
            part = placed(windows[start : start + _AT_ONCE])
            squares = (part**2).sum(axis=1)[:, None] + lengths - 2 * part @ rows.T
            if of_windows is not None:
                squares[of_windows[start : start + _AT_ONCE, None] == of_rows] = np.inf
            found.append(np.sqrt(squares.min(axis=1).clip(0) / rows.shape[1]))
        return np.concatenate(found)


def _fingerprints(deviations: NDArray[np.float64]) -> NDArray[np.int8]:
    return np.rint(_STEPS * deviations).clip(-127, 127).astype(np.int8)


def _measured(x: NDArray[np.floating], is_log: NDArray[np.bool_]) -> NDArray[np.float64]:
    values = np.array(x, np.float64)
    values[:, is_log] = np.log(np.maximum(values[:, is_log], _LEAST))
    return values
