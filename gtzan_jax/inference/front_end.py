"""The audio front end of a model: divides a song into windows and computes their inputs."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from gtzan_jax.inference.pretrained import features_of_windows
from gtzan_jax.sound import musicnn
from gtzan_jax.sound.features import SEGMENT_SAMPLES, features_of
from gtzan_jax.sound.files import SAMPLE_RATE
from gtzan_jax.sound.mel import BAND_NAMES, log_mel
from gtzan_jax.tables.schema import FEATURES

_SONG = 661_794  # samples of a window by default: GTZAN's most common length
_SHORTEST = SAMPLE_RATE // 2  # samples of a window, to limit their number

Kind = Literal["features", "spectrogram", "musicnn"]
Samples = Annotated[int, msgspec.Meta(ge=_SHORTEST, lt=2**31)]


class Span(msgspec.Struct, frozen=True):
    """A window of a song, in samples from its start."""

    start: int
    end: int


class FrontEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Divides songs into windows and computes inputs, all in samples at 22,050 Hz."""

    kind: Kind = "features"  # of the inputs
    samples: Samples  # of a window
    # Between the starts of windows that are exactly ``samples`` long, as segments are. None if a
    # song is divided into equal parts of about that length, as for a table of songs.
    step: Samples | None

    @classmethod
    def of_rows(cls, samples: int, is_segmented: bool, kind: Kind = "features") -> "FrontEnd":
        """Returns the front end of a table's rows; less than half a second is a placeholder."""
        known = samples if samples > _SHORTEST else SEGMENT_SAMPLES if is_segmented else _SONG
        return cls(kind=kind, samples=known, step=known + 1 if is_segmented else None)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs."""
        return {"features": FEATURES, "spectrogram": BAND_NAMES, "musicnn": musicnn.NAMES}[
            self.kind
        ]

    def spans(self, num_samples: int, hop: int | None = None) -> list[Span]:
        """Divides a song into windows, at least one, with at most ``hop`` samples between starts.

        Segments are cut as by ``sound.features.segments_of``: less than a step at the end is left
        out. Otherwise the last window ends with the song. By default windows are contiguous.
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
        """Returns (windows, names), or spectrograms (windows, bands, frames) in dB.

        The song is mono at 22,050 Hz; short windows are repeated for a spectrogram.

        Raises:
          SoundError: the song is too short or its samples too large.
          InputError: a package or the weights of the pretrained network are missing.
        """
        if self.kind == "musicnn":
            parts = [(span.start, span.end) for span in spans]
            return features_of_windows([musicnn.windows_of(samples, parts)])[0]
        windows = [samples[span.start : span.end] for span in spans]
        if self.kind == "features":
            return np.stack([features_of(window) for window in windows])
        made = [log_mel(np.resize(window, SEGMENT_SAMPLES)) for window in windows]
        return np.stack(made).astype(np.float64)


SPECTROGRAMS = FrontEnd(kind="spectrogram", samples=SEGMENT_SAMPLES, step=SEGMENT_SAMPLES + 1)
"""The front end of a CNN."""
