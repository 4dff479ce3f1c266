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
    """A value of a feature, a band or a tag."""

    feature: str
    value: float


@dataclass(frozen=True)
class Unlike:
    """The out-of-distribution score of a song."""

    distance: float  # from the mean of the training songs, or to the nearest of them
    percentile: int  # of the training songs' distances
    limit: float  # the largest distance within the distribution
    farthest: Sequence[Part]  # differences from the mean in deviations, largest first

    @property
    def is_unlike(self) -> bool:
        """True if the song is out of distribution."""
        return self.distance > self.limit


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction of a song."""

    path: str
    seconds: float
    genres: tuple[str, ...]  # the most probable first, as in all fields below
    probabilities: NDArray[np.float64]  # (genres,)
    is_calibrated: bool
    spans: Sequence[Span]  # the windows
    by_window: NDArray[np.float64]  # (windows, genres) probabilities
    unlike: Unlike | None  # None if the model has no distribution of its training songs
    trained_on: bool | None  # whether the song was in the training set, by its sound; as above
    notes: tuple[str, ...]  # warnings about the windows
    inputs: NDArray[np.float32]  # (windows, …), of the network
    tags: tuple[Part, ...] = ()  # of a pretrained tagger: probabilities, largest first

    def __repr__(self) -> str:
        first = f"{reprlib.repr(self.genres[0])} {self.probabilities[0]:.3f}"
        how = "calibrated" if self.is_calibrated else "not calibrated"
        windows = f"{len(self.spans)} window{'s' if len(self.spans) > 1 else ''}"
        far = ", out of distribution" if self.unlike and self.unlike.is_unlike else ""
        return f"Prediction({reprlib.repr(self.path)}, {first} {how}, {windows}{far})"

    @property
    def times(self) -> NDArray[np.float64]:
        """(windows, 2) starts and ends, in seconds."""
        return np.array([(span.start, span.end) for span in self.spans]) / SAMPLE_RATE


@dataclass(frozen=True, eq=False)
class Explanation:
    """Attributions of a song's first genre, by integrated gradients, in nats."""

    genre: str
    parts: tuple[Part, ...] = field(repr=False)  # every feature, or tag, the largest first
    output: float  # log-probability of the genre
    baseline: float  # that of a song of average features; parts sum to the difference
    gap: float  # the error of this sum
    values: NDArray[np.float64] = field(repr=False)  # (windows, …), of all inputs of the network
    # If parts are tags: those that the song has less of than the average song, and the part of the
    # sum that no tag explains, None if the model's features are tags themselves.
    less: frozenset[str] = field(default=frozenset(), repr=False)
    rest: float | None = field(default=None, repr=False)
