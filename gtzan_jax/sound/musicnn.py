"""Inputs of musicnn, a network that tags songs: log-mel windows of three seconds.

The sizes are musicnn's (Pons and Serra, ISMIR 2019 late-breaking); see docs/pretrained.md.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.sound.decoding import audio_module
from gtzan_jax.sound.features import SEGMENT_SAMPLES, check_samples, segment_starts
from gtzan_jax.sound.files import SAMPLE_RATE, named, read
from gtzan_jax.tables.schema import TAGS, UNITS

NAMES = (*TAGS, *UNITS)
"""Outputs of the network for a window."""

BANDS = 96
FRAMES = 187  # of a window: 2.992 s
AT_ONCE = 160  # windows, of several songs, in one computation

_RATE = 16_000  # Hz
_HOP = 256  # samples between frames: 16 ms
_N_FFT = 512  # samples of a frame
_SECONDS = 3  # between windows of one part
_GRID = 2  # starts of windows a second, so that overlapping parts share windows


class Windows(NamedTuple):
    """The windows of parts of a song; a part's features are the means over its windows."""

    mel: NDArray[np.float32]  # (windows, FRAMES, BANDS)
    places: Sequence[NDArray[np.int64]]  # of each part's windows among them
    samples: Sequence[int]  # of each part at ``SAMPLE_RATE``


def windows_of(samples: NDArray[np.float32], parts: Sequence[tuple[int, int]]) -> Windows:
    """Returns the windows of parts of a song; a part is (start, end) in samples.

    A part has a window every three seconds from its start, to the nearest half second; a part
    shorter than six seconds has one, and a song shorter than a window is repeated. ``samples`` is
    float32 at ``SAMPLE_RATE``.

    Raises:
      SoundError: the samples are too few or too large, or one is NaN.
      InputError: librosa is not installed.
    """
    frames = _log_mel(samples)
    starts = []
    for start, end in parts:
        count = max(1, int(((end - start) / SAMPLE_RATE + 1 / 100) / _SECONDS))
        seconds = np.round(_GRID * start / SAMPLE_RATE) / _GRID + _SECONDS * np.arange(count)
        first = (seconds * (_RATE / _HOP)).astype(int)
        starts.append(np.minimum(first, len(frames) - FRAMES))
    used, places = np.unique(np.concatenate(starts), return_inverse=True)
    cuts = np.cumsum([len(each) for each in starts])[:-1]
    mel = np.stack([frames[start : start + FRAMES] for start in used])
    return Windows(mel, np.split(places, cuts), [end - start for start, end in parts])


def windows_of_file(path: Path, segmented: bool) -> Windows:
    """Returns the windows of a sound file: one part, or one part a segment."""
    samples = read(path)
    with named(path):
        parts = [(0, len(samples))]
        if segmented:
            parts = [(n, n + SEGMENT_SAMPLES) for n in segment_starts(len(samples))]
        return windows_of(samples, parts)


def _log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns (frames, BANDS), log10(1 + 10,000 power), at least FRAMES."""
    librosa = audio_module("librosa")
    check_samples(samples)
    at_rate = librosa.resample(
        np.resize(samples, max(len(samples), _SECONDS * SAMPLE_RATE)),
        orig_sr=SAMPLE_RATE,
        target_sr=_RATE,
    )
    power = librosa.feature.melspectrogram(
        y=at_rate, sr=_RATE, n_fft=_N_FFT, hop_length=_HOP, n_mels=BANDS
    )
    frames: NDArray[np.float32] = np.log10(10_000 * power.T + 1).astype(np.float32)
    return frames
