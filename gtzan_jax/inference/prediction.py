"""The prediction of a sound file, and its explanation."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.inference.front_end import Span
from gtzan_jax.sound.files import SAMPLE_RATE


class Part(NamedTuple):
    """A number of a feature."""

    feature: str
    value: float


@dataclass(frozen=True)
class Unlike:
    """The out-of-distribution score of a song."""

    distance: float  # root mean square deviation, over windows and features
    percentile: int  # of the training songs' distances
    limit: float  # the largest distance within the distribution
    farthest: Sequence[Part]  # features in deviations above the mean, farthest first

    @property
    def is_unlike(self) -> bool:
        """Whether the song is out of distribution."""
        return self.distance > self.limit


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction of a song.

    Attributes:
      path: of the file.
      seconds: the length of the song.
      genres: the most probable first.
      probabilities: (genres,) float64 in that order.
      is_calibrated: whether they are calibrated.
      spans: the windows, in samples at 22,050 Hz.
      by_window: (windows, genres) float64 probabilities of each window, genres in the same order.
      unlike: None if the model has no distribution of its training songs.
      trained_on: whether the song was in the training set, by its sound; None likewise.
      notes: sentences on the windows.
      inputs: (windows, …) float32, of the network.
    """

    path: str
    seconds: float
    genres: tuple[str, ...]
    probabilities: NDArray[np.float64] = field(repr=False)
    is_calibrated: bool
    spans: Sequence[Span] = field(repr=False)
    by_window: NDArray[np.float64] = field(repr=False)
    unlike: Unlike | None
    trained_on: bool | None
    notes: tuple[str, ...]
    inputs: NDArray[np.float32] = field(repr=False)

    def __repr__(self) -> str:
        first = f"{reprlib.repr(self.genres[0])} {self.probabilities[0]:.3f}"
        how = "calibrated" if self.is_calibrated else "not calibrated"
        windows = f"{len(self.spans)} window{'s' if len(self.spans) > 1 else ''}"
        far = ", unlike the training songs" if self.unlike and self.unlike.is_unlike else ""
        return f"Prediction({reprlib.repr(self.path)}, {first} {how}, {windows}{far})"

    @property
    def times(self) -> NDArray[np.float64]:
        """(windows, 2) starts and ends, in seconds."""
        return np.array([(span.start, span.end) for span in self.spans]) / SAMPLE_RATE


@dataclass(frozen=True, eq=False)
class Explanation:
    """Attributions of a song's first genre to the features, by integrated gradients.

    Attributes:
      genre: the first.
      parts: every feature and its attribution in nats, the largest first; of all windows together.
      output: the logarithm of the genre's probability.
      baseline: that of a song of average features. Parts sum up to the difference.
      gap: the error of their sum.
      values: (windows, …), the attributions of all inputs of the network.
    """

    genre: str
    parts: tuple[Part, ...] = field(repr=False)
    output: float
    baseline: float
    gap: float
    values: NDArray[np.float64] = field(repr=False)
