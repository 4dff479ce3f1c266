"""Log-mel spectrograms of chunks of three seconds: a network's input instead of features.

The sizes are a compromise, not tuned: 64 bands lie 51 Hz apart up to 1 kHz and a little less than
a semitone (5 %) apart above, and a frame each 46 ms leaves rhythm in them, since a semiquaver lasts
75 ms at 200 beats a minute. A chunk is then nearly square, 64 × 65, and halves six times. Twice the
bands or twice the frames would double what every convolution costs.
"""

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import SoundError
from gtzan_jax.sound.decoding import audio_module
from gtzan_jax.sound.features import CHUNK_SAMPLES
from gtzan_jax.sound.files import SAMPLE_RATE

BANDS = 64
FRAMES = 65
"""Frames of a chunk: 1 + 66,149 // 1,024, since each is centred at a multiple of the hop."""

N_FFT = 2_048
"""Samples of a frame: 93 ms, bins of 10.8 Hz."""
HOP = 1_024
"""Samples from one frame to the next: 46 ms."""

FLOOR = 1e-10
"""The least power: silence is -100 dB, whatever else is in the chunk."""

BAND_NAMES = tuple(f"mel{band:02d}" for band in range(1, BANDS + 1))
"""The bands from low to high; ``band_frequencies`` has their centres."""

PARAMETERS = {
    "sr": SAMPLE_RATE,
    "n_fft": N_FFT,
    "hop_length": HOP,
    "n_mels": BANDS,
    "power": 2.0,
    "pad_mode": "reflect",
}
"""Arguments of librosa's ``melspectrogram``: its own are Hann windows, Slaney's scale and norm.

A chunk is padded by reflection, as the feature table's spectrograms are: with zeros, the first and
the last frame of every chunk would be quieter than the song is.
"""


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float16]:
    """Computes the spectrogram of a chunk.

    Decibels are relative to a power of 1, not to the chunk's loudest, and end at -100 dB, not 80 dB
    below the loudest: equal sound has equal numbers, whatever is beside it. float16 holds them to
    0.03 dB, 0.06 dB from 64 dB on, which is far less than one hears, in half the memory.

    Args:
      samples: (CHUNK_SAMPLES,) at ``SAMPLE_RATE``, full scale from -1 to 1.

    Returns:
      (BANDS, FRAMES) in dB, the lowest band first.

    Raises:
      SoundError: the samples are too large to compute with.
      InputError: librosa is not installed.
      ValueError: the chunk has another length.
    """
    if samples.shape != (CHUNK_SAMPLES,):
        raise ValueError(f"a chunk has {CHUNK_SAMPLES:,} samples, not {samples.shape}")
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
    """Returns (BANDS,) the centre of each band in Hz, equally far apart on Slaney's mel scale.

    The scale (Slaney, Auditory Toolbox, 1998) is linear up to 1 kHz, 15 mels, and has 27 mels from
    there to 6.4 kHz. It is written out here for axes of plots, which need no librosa.
    """
    step = np.log(6.4) / 27
    highest = 15 + np.log(SAMPLE_RATE / 2_000) / step
    mels = np.linspace(0, highest, BANDS + 2)[1:-1]
    return np.where(mels < 15, 200 / 3 * mels, 1_000 * np.exp(step * (mels - 15)))
