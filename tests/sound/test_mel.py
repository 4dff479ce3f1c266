"""Spectrograms against the same written out slowly, and against sounds that are known."""

import numpy as np
import pytest
from scipy.signal import get_window
from sounds import noise, tone

from gtzan_jax.errors import SoundError
from gtzan_jax.sound.features import SEGMENT_SAMPLES
from gtzan_jax.sound.files import SAMPLE_RATE
from gtzan_jax.sound.mel import BAND_NAMES, BANDS, FRAMES, HOP, N_FFT, band_frequencies, log_mel

ROUNDING = 0.04  # dB, half a step of float16 below 128, and float32's products


def segment_of(samples):
    return np.resize(samples, SEGMENT_SAMPLES).astype(np.float32)


def hz_of(mel):
    """Slaney's scale: 66.7 Hz a mel up to 1 kHz, then 27 mels for a factor of 6.4."""
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def slow_log_mel(samples):
    """The definition, a frame, a band and a bin at a time, in float64."""
    padded = np.pad(samples.astype(np.float64), N_FFT // 2, mode="reflect")
    window = get_window("hann", N_FFT)
    bins = np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    highest = 15 + 27 * np.log(SAMPLE_RATE / 2 / 1000) / np.log(6.4)
    edges = [hz_of(mel) for mel in np.linspace(0, highest, BANDS + 2)]
    decibels = np.zeros((BANDS, FRAMES))
    for frame in range(FRAMES):
        power = np.abs(np.fft.rfft(window * padded[frame * HOP : frame * HOP + N_FFT])) ** 2
        for band, (low, centre, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
            up, down = (bins - low) / (centre - low), (high - bins) / (high - centre)
            triangle = np.maximum(0, np.minimum(up, down)) * 2 / (high - low)
            decibels[band, frame] = 10 * np.log10(max(triangle @ power, 1e-10))
    return decibels


@pytest.mark.parametrize(
    "samples",
    [
        noise(SEGMENT_SAMPLES),
        segment_of(tone(3.1, 330) * np.linspace(0, 1, 68_355)),
        noise(2000) ** 3,
    ],
    ids=["noise", "swelling tone", "uneven noise"],
)
def test_it_is_the_definition(samples):
    spectrogram = log_mel(segment_of(samples))
    assert spectrogram.shape == (BANDS, FRAMES)
    assert spectrogram.dtype == np.float16
    np.testing.assert_allclose(
        spectrogram, slow_log_mel(segment_of(samples)), rtol=0, atol=ROUNDING
    )


@pytest.mark.parametrize("band", [3, 10, 20, 33, 50, 63])
def test_a_sine_is_loudest_in_its_band(band):
    hertz = band_frequencies()[band]
    spectrogram = log_mel(segment_of(tone(3.1, hertz)))
    assert (spectrogram.argmax(axis=0) == band).all()


def test_ten_times_the_amplitude_is_twenty_decibels_more():
    quiet = segment_of(noise(SEGMENT_SAMPLES))
    difference = log_mel(10 * quiet).astype(np.float64) - log_mel(quiet)
    np.testing.assert_allclose(difference, 20, rtol=0, atol=2 * ROUNDING)


def test_silence_is_the_floor():
    assert (log_mel(np.zeros(SEGMENT_SAMPLES, np.float32)) == -100).all()


def test_equal_sound_has_equal_numbers_whatever_is_beside_it():
    quiet = noise(SEGMENT_SAMPLES, amplitude=1e-6)
    loud = quiet.copy()
    loud[-20_000:] += tone(1.0)[:20_000]
    before = (SEGMENT_SAMPLES - 20_000 - N_FFT // 2) // HOP
    np.testing.assert_array_equal(log_mel(loud)[:, :before], log_mel(quiet)[:, :before])
    assert log_mel(loud).max() - log_mel(quiet).max() > 80


def test_the_bands_lie_where_librosa_has_them():
    import librosa

    edges = librosa.mel_frequencies(BANDS + 2, fmin=0, fmax=SAMPLE_RATE / 2)
    np.testing.assert_allclose(band_frequencies(), edges[1:-1])
    assert (BAND_NAMES[0], BAND_NAMES[-1], len(BAND_NAMES)) == ("mel01", "mel64", BANDS)


def test_samples_that_are_too_large_to_compute_with():
    with pytest.raises(SoundError, match="too large"):
        log_mel(np.full(SEGMENT_SAMPLES, 1e30, np.float32))


@pytest.mark.parametrize("samples", [0, SEGMENT_SAMPLES - 1, SEGMENT_SAMPLES + 1])
def test_a_segment_has_one_length(samples):
    with pytest.raises(ValueError, match="66,149 samples"):
        log_mel(np.zeros(samples, np.float32))
