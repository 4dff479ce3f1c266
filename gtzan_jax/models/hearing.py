"""How a model hears a song: in windows, each of which becomes one input."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from gtzan_jax.sound.features import CHUNK_SAMPLES
from gtzan_jax.sound.files import SAMPLE_RATE

_SONG = 661_794  # samples, where a table does not say: the commonest of GTZAN's

_SHORTEST = SAMPLE_RATE // 2  # of windows, so that no song has more than a few thousand

Samples = Annotated[int, msgspec.Meta(ge=_SHORTEST, lt=2**31)]


class Span(msgspec.Struct, frozen=True):
    """A window of a song, in samples from its start."""

    start: int
    end: int


class Hearing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a song goes into a model.

    Attributes:
      kind: what a window is turned into, one of ``INPUTS``.
      samples: of a window, at 22,050 Hz.
      step: samples from the start of a window to that of the next, where windows have just this
        length, as chunks have. None where a song is divided into parts of about this length, all
        equally long: features that are means over time hardly depend on it, and a song of one part
        is heard whole, as those of a table were.
    """

    kind: Literal["features", "spectrogram"] = "features"
    samples: Samples
    step: Samples | None

    @classmethod
    def of_rows(cls, samples: int, is_chunked: bool) -> "Hearing":
        """Returns how a model of a table's rows hears.

        Args:
          samples: that a row is of; GTZAN's take the place of less than half a second, which is a
            number that somebody made up.
          is_chunked: whether the rows are chunks of songs.
        """
        known = samples if samples > _SHORTEST else CHUNK_SAMPLES if is_chunked else _SONG
        return cls(samples=known, step=known + 1 if is_chunked else None)

    def spans(self, num_samples: int, hop: int | None = None) -> list[Span]:
        """Divides a song into windows, the first of which begins with the song.

        Chunks are cut as ``sound.features.chunks_of`` does: what is left at the end, less than a
        step, is left out. Else the last window ends with the song. A song that is shorter than a
        window is one of its own.

        Args:
          num_samples: of the song, at least 1.
          hop: samples from one start to the next, at most; None for windows side by side.
        """
        if self.step is not None:
            length = min(self.samples, num_samples)
            starts = np.arange(0, max(num_samples - self.step, 1), hop or self.step)
        else:
            parts = max(1, math.floor(num_samples / self.samples + 0.5))
            length = math.ceil(num_samples / parts)
            last = num_samples - length
            steps = parts - 1 if hop is None else math.ceil(last / hop)
            starts = np.linspace(0, last, steps + 1).round().astype(int)
        return [Span(int(start), int(start) + length) for start in starts]

    def inputs(self, samples: NDArray[np.float32], spans: Sequence[Span]) -> NDArray[np.float64]:
        """Returns what the model gets of windows of a song: (windows, …).

        Args:
          samples: of the song, mono at 22,050 Hz.
          spans: the windows.
        """
        make = INPUTS[self.kind]
        return np.stack([make(samples[span.start : span.end]) for span in spans])


SPECTROGRAMS = Hearing(kind="spectrogram", samples=CHUNK_SAMPLES, step=CHUNK_SAMPLES + 1)
"""As a CNN was trained."""

WHOLE_SONGS = Hearing.of_rows(0, is_chunked=False)
"""As GTZAN's table of a row a song."""


def _features(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns (57,) features in the order of ``tables.schema.FEATURES``."""
    from gtzan_jax.sound.features import features_of  # librosa, which only sound needs

    return np.asarray(features_of(samples), np.float64)


def _spectrogram(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns (bands, frames) in dB; what is shorter than a chunk is repeated until it is one."""
    from gtzan_jax.sound.mel import log_mel

    return log_mel(np.resize(samples, CHUNK_SAMPLES)).astype(np.float64)


INPUTS: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float64]]] = {
    "features": _features,
    "spectrogram": _spectrogram,
}
"""What makes an input of a window's samples, by the kind that a model's description names."""
