"""The audio front end of a model: divides a song into windows and computes an input of each."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from gtzan_jax.sound.features import CHUNK_SAMPLES, features_of
from gtzan_jax.sound.files import SAMPLE_RATE
from gtzan_jax.sound.mel import log_mel

_SONG = 661_794  # samples, where a table does not say: the commonest of GTZAN's
_SHORTEST = SAMPLE_RATE // 2  # of windows, so that no song has more than a few thousand

Samples = Annotated[int, msgspec.Meta(ge=_SHORTEST, lt=2**31)]


class Span(msgspec.Struct, frozen=True):
    """A window of a song, in samples from its start."""

    start: int
    end: int


class FrontEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Divides songs into windows and computes inputs.

    Attributes:
      kind: of the inputs.
      samples: of a window, at 22,050 Hz.
      step: samples from the start of a window to that of the next, where windows have just this
        length, as three-second segments have. None where a song is divided into parts of about
        this length, all equally long: features that are means over time hardly depend on it, and a
        song of one part is one window, as in a table.
    """

    kind: Literal["features", "spectrogram"] = "features"
    samples: Samples
    step: Samples | None

    @classmethod
    def of_rows(cls, samples: int, is_chunked: bool) -> "FrontEnd":
        """Returns the front end of a model of a table's rows.

        Args:
          samples: of a row; GTZAN's replace less than half a second, which is a made-up number.
          is_chunked: whether the rows are segments of songs.
        """
        known = samples if samples > _SHORTEST else CHUNK_SAMPLES if is_chunked else _SONG
        return cls(samples=known, step=known + 1 if is_chunked else None)

    def spans(self, num_samples: int, hop: int | None = None) -> list[Span]:
        """Divides a song into windows, the first of which begins with the song.

        Segments are cut as by ``sound.features.chunks_of``: less than a step at the end is left
        out. Else the last window ends with the song. A song that is shorter than a window is one.

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
        """Returns inputs of windows of a song: (windows, 57), or (windows, bands, frames) in dB.

        Args:
          samples: of the song, mono at 22,050 Hz.
          spans: the windows; the samples of a spectrogram's are repeated until it is a segment.
        """
        windows = [samples[span.start : span.end] for span in spans]
        if self.kind == "features":
            return np.stack([features_of(window) for window in windows])
        made = [log_mel(np.resize(window, CHUNK_SAMPLES)) for window in windows]
        return np.stack(made).astype(np.float64)


SPECTROGRAMS = FrontEnd(kind="spectrogram", samples=CHUNK_SAMPLES, step=CHUNK_SAMPLES + 1)
"""Of a CNN."""

WHOLE_SONGS = FrontEnd.of_rows(0, is_chunked=False)
"""Of a model of GTZAN's table of a row a song."""
