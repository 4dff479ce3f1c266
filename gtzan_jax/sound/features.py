"""The 57 features of a sound, computed as in GTZAN's published table.

As in the older librosa used there, spectrograms are padded by reflection, and the harmonic and the
percussive waveform are zero after the last whole hop. See docs/sound.md.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import SoundError
from gtzan_jax.sound.decoding import audio_module
from gtzan_jax.sound.files import SAMPLE_RATE

SEGMENT_SAMPLES = 66_149
"""Samples of a segment in GTZAN's table of segments: three seconds less one sample."""

MIN_SAMPLES = 2_048  # of a frame

_SEGMENT_STEP = 66_150  # samples between the beginnings of segments
_LARGEST = 1e6  # sample; powers of spectra must be float32
_NUM_MFCC = 20
_KERNEL = 31  # frames, or bins, of a median


def features_of(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Computes (57,) float64 features of a sound, in the order of ``tables.schema.FEATURES``.

    Means and population variances over time (over all values of the chroma, and of each MFCC), and
    the tempo in beats a minute. ``samples`` is float32 at ``SAMPLE_RATE``, at least
    ``MIN_SAMPLES``.

    Raises:
      SoundError: the samples are too few or too large, or one is NaN.
      InputError: librosa is not installed.
    """
    check_samples(samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa's for a sound without pitch
        before, tempo, after = _series(samples)
    return np.array([*_moments(before), tempo, *_moments(after)])


def check_samples(samples: NDArray[np.float32]) -> None:
    """Raises SoundError if samples are too few or too large, or one is NaN."""
    if len(samples) < MIN_SAMPLES:
        raise SoundError(f"too short: {len(samples):,} samples; at least {MIN_SAMPLES:,} needed")
    if not np.abs(samples).max() <= _LARGEST:  # nor is NaN
        raise SoundError(f"a sample is larger than {_LARGEST:,.0f} times full scale")


def segments_of(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Cuts a sound into segments of ``SEGMENT_SAMPLES``, one every three seconds.

    A segment must end before the sound does: GTZAN's songs have ten, those of at most 661,500
    samples nine. A sound as long as a segment, or longer by a sample, is one segment; a shorter
    one raises SoundError.
    """
    starts = segment_starts(len(samples))
    return [samples[start : start + SEGMENT_SAMPLES] for start in starts]


def segment_starts(num_samples: int) -> range:
    """Returns the first sample of each segment; see :func:`segments_of`."""
    count = (num_samples - 1) // _SEGMENT_STEP or int(num_samples >= SEGMENT_SAMPLES)
    if not count:
        seconds = num_samples / SAMPLE_RATE
        raise SoundError(f"too short: {seconds:.2f} s, less than a segment of three seconds")
    return range(0, count * _SEGMENT_STEP, _SEGMENT_STEP)


def _moments(series: list[Any]) -> list[float]:
    return [float(moment) for values in series for moment in (values.mean(), values.var())]


def _series(samples: NDArray[np.float32]) -> tuple[list[Any], float, list[Any]]:
    """Returns the series of the columns before the tempo, the tempo, and the MFCCs."""
    librosa, rate = audio_module("librosa"), {"sr": SAMPLE_RATE}
    feature = librosa.feature
    stft = librosa.stft(samples, pad_mode="reflect")
    magnitude = np.abs(stft)
    power = magnitude**2
    mel = librosa.power_to_db(feature.melspectrogram(S=power, **rate))
    before = [
        feature.chroma_stft(S=power, **rate),
        feature.rms(y=samples, pad_mode="reflect"),
        feature.spectral_centroid(S=magnitude, **rate),
        feature.spectral_bandwidth(S=magnitude, **rate),
        feature.spectral_rolloff(S=magnitude, **rate),
        feature.zero_crossing_rate(samples),
        *_harmonic_and_percussive(stft, len(samples)),
    ]
    # Beats a minute, as by librosa.beat.beat_track of a waveform; 0 without onsets.
    onsets = librosa.onset.onset_strength(S=mel, aggregate=np.median, **rate)
    tempo = float(feature.tempo(onset_envelope=onsets, **rate).item()) if onsets.any() else 0.0
    return before, tempo, list(feature.mfcc(S=mel, n_mfcc=_NUM_MFCC))


def _harmonic_and_percussive(stft: NDArray[np.complex64], length: int) -> list[NDArray[np.float32]]:
    """Returns the waveforms of ``librosa.effects.hpss``, with zeros after the last whole hop.

    The harmonic part is a median over time, the percussive part one over frequency (Fitzgerald,
    2010). ``stft`` is (bins, frames), ``length`` a number of samples.
    """
    librosa = audio_module("librosa")
    magnitude, phase = librosa.magphase(stft)
    lasting, sudden = _medians(magnitude), _medians(magnitude.T).T
    waveforms = []
    for own, other in ((lasting, sudden), (sudden, lasting)):
        mask = librosa.util.softmask(own, other, power=2.0, split_zeros=True)
        part = librosa.istft(magnitude * mask * phase, dtype=np.float32)
        waveforms.append(librosa.util.fix_length(part, size=length))
    return waveforms


def _medians(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the running median of each row, reflected at its ends."""
    from scipy.ndimage import median_filter  # not at the top: a sweep of a table needs no scipy

    # Row by row: faster than in two dimensions, and equal to the bit.
    return np.stack(
        [median_filter(row, _KERNEL, mode="reflect") for row in np.ascontiguousarray(rows)]
    )
