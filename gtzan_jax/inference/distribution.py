"""The distribution of a model's training songs, and the distance of another song from it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.tables.schema import TAGS

_LEAST = 1e-12  # the smallest variance: silence has none, and no logarithm
_STEPS = 32  # of a training row's fingerprint in a deviation
_MOST_BYTES = 2**21  # of fingerprints; of more rows none is kept
_FEWEST = 8  # features that a fingerprint needs
_MOST_SONGS = 4000  # whose distances to the nearest other are measured
_AT_ONCE = 256  # rows whose distances to all others are in memory together

SAME = 0.1
"""The largest median difference in deviations of rows of one song; see docs/sound.md."""

SAME_SHARE = 0.25
"""The same for :class:`Neighbours`, as a share of the median training song's distance."""

UNLIKE = 99
"""The percentile of training songs beyond which a song is out of distribution."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """The training songs of a model: mean and deviation of each feature, and their distances.

    Variances are skewed over songs: their logarithms are used, else silence would be near the mean.
    """

    mean: NDArray[np.float64] = field(repr=False)  # (features,), or of the logarithm, over rows
    deviation: NDArray[np.float64] = field(repr=False)  # (features,) likewise, above 0
    is_log: NDArray[np.bool_] = field(repr=False)  # (features,), whether the logarithm is used
    percentiles: NDArray[np.float64] = field(repr=False)  # (101,), 0 to 100, of songs' distances
    # (rows, features), the fingerprints of the training rows: deviations in steps of a
    # thirty-second, up to four. None if they are too many.
    rows: NDArray[np.int8] | None = field(repr=False)

    @classmethod
    def of(
        cls, x: NDArray[np.float32], songs: NDArray[np.int32], features: Sequence[str]
    ) -> "Distribution":
        """Measures training rows (rows, features), of songs (rows,).

        Features whose names end in ``_var`` are variances; tags are probabilities, as skewed.
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
        """Returns (rows, features), each number's deviations above the mean."""
        return np.asarray((_measured(x, self.is_log) - self.mean) / self.deviation)

    def distance(self, deviations: NDArray[np.float64]) -> float:
        """Returns the root mean square deviation of a song, over windows and features."""
        return float(np.sqrt((deviations**2).mean()))

    def percentile(self, distance: float) -> int:
        """Returns the largest percentile of training songs below a distance, 0 to 100."""
        return max(0, int(np.searchsorted(self.percentiles, distance, side="left")) - 1)

    def knows(self, deviations: NDArray[np.float64]) -> bool | None:
        """Returns whether a song was trained on, by its (windows, features); None if unknown.

        Half of its windows must have a median difference to a training row of at most ``SAME``: a
        louder copy differs in a few features alone.
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
    """The training songs of a model on a pretrained network's features, by their nearest.

    Such features are skewed, and strange sounds lie amid the songs, not around them. So a number
    is taken as its percentile among the training rows, and the distance of a song is that to the
    nearest training row: the root mean square difference in percentiles, over windows and features.
    ``percentiles`` are those of training songs' distances, each to the rows of the others.
    """

    rows: NDArray[np.int8] = field(repr=False)  # all of them

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
        """Returns whether a song was trained on, by its (windows, features); None if unknown.

        Half of its windows must be near a training row: within ``SAME_SHARE`` of the median
        distance of training songs.
        """
        if (self.rows != self.rows[0]).any(axis=0).sum() < _FEWEST:
            return None
        nearest = np.median(self._nearest(_fingerprints(deviations)))
        return bool(nearest <= SAME_SHARE * self.percentiles[50])

    @property
    def row_deviations(self) -> NDArray[np.float64]:
        """(rows, features) of the training rows, to a thirty-second, up to four."""
        return self.rows / _STEPS

    def _nearest(
        self,
        windows: NDArray[np.int8],
        of_windows: NDArray[np.intp] | None = None,
        of_rows: NDArray[np.intp] | None = None,
    ) -> NDArray[np.float64]:
        """Returns (windows,) distances of fingerprints to the nearest row, of another song."""
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
