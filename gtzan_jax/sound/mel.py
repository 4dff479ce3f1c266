"""Log-mel spectrograms of segments of three seconds: a network's input instead of features.

The sizes are a compromise, not tuned: 64 bands are 51 Hz apart up to 1 kHz and nearly a semitone
(5 %) above, frames of 46 ms resolve rhythm, and 64 × 65 can be halved six times.
"""

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import SoundError
from gtzan_jax.sound.decoding import audio_module
from gtzan_jax.sound.features import SEGMENT_SAMPLES
from gtzan_jax.sound.files import SAMPLE_RATE

BANDS = 64
FRAMES = 65  # of a segment: 1 + 66,149 // 1,024, each centred at a multiple of the hop
N_FFT = 2_048  # samples of a frame: 93 ms, bins of 10.8 Hz
HOP = 1_024  # samples between frames: 46 ms
FLOOR = 1e-10  # the least power, -100 dB

BAND_NAMES = tuple(f"mel{band:02d}" for band in range(1, BANDS + 1))
"""The bands from low to high; see ``band_frequencies``."""

PARAMETERS = {
    "sr": SAMPLE_RATE,
    "n_fft": N_FFT,
    "hop_length": HOP,
    "n_mels": BANDS,
    "power": 2.0,
    "pad_mode": "reflect",
}
"""Arguments of librosa's ``melspectrogram``, with its Hann windows, Slaney's scale and norm.

Padding by reflection, as in the feature table: zeros would make the first and last frame quieter.
"""


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float16]:
    """Computes (BANDS, FRAMES) in dB, at least -100, of a segment; the lowest band is first.

    Decibels are relative to a power of 1, not to the segment's maximum, so that equal sounds have
    equal numbers. float16 is exact to 0.06 dB. ``samples`` is (SEGMENT_SAMPLES,) at
    ``SAMPLE_RATE``, full scale from -1 to 1.

    Raises:
      SoundError: the samples are too large to compute with.
      InputError: librosa is not installed.
      ValueError: the segment has another length.
    """
    if samples.shape != (SEGMENT_SAMPLES,):
        raise ValueError(f"a segment has {SEGMENT_SAMPLES:,} samples, not {samples.shape}")
    librosa = audio_module("librosa")
    with np.errstate(over="ignore", invalid="ignore"):
        power = librosa.feature.melspectrogram(y=samples, **PARAMETERS)
    if not np.isfinite(power).all():
        raise SoundError("its samples are too large to compute with")
    decibels: NDArray[np.float16] = librosa.power_to_db(
        power, ref=1.0, amin=FLOOR, top_db=None
    ).astype(np.float16)
    return decibels


def band_frequencies() -> NDArray[np.float64]:
    """Returns (BANDS,) centres of the bands in Hz, without librosa.

    Slaney's mel scale (Auditory Toolbox, 1998) is linear up to 1 kHz, 15 mels, and has 27 mels from
    there to 6.4 kHz.
    """
    step = np.log(6.4) / 27
    highest = 15 + np.log(SAMPLE_RATE / 2_000) / step
    mels = np.linspace(0, highest, BANDS + 2)[1:-1]
    return np.where(mels < 15, 200 / 3 * mels, 1_000 * np.exp(step * (mels - 15)))
