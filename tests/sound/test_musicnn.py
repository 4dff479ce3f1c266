"""The pretrained network's input: spectra by a slow form, and where windows begin."""

import numpy as np
import pytest
from sounds import noise, tone, write

from gtzan_jax.errors import SoundError
from gtzan_jax.inference.front_end import FrontEnd
from gtzan_jax.sound.features import segments_of
from gtzan_jax.sound.files import SAMPLE_RATE
from gtzan_jax.sound.musicnn import FRAMES, windows_of, windows_of_file

librosa = pytest.importorskip("librosa")


def whole(samples):
    return windows_of(samples, [(0, len(samples))])


def test_frames_are_those_of_a_slow_form():
    samples = noise(3 * SAMPLE_RATE) + tone(3.0)
    y = librosa.resample(samples, orig_sr=SAMPLE_RATE, target_sr=16_000).astype(np.float64)
    padded = np.pad(y, 256)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    filters = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=96)
    (mel,) = whole(samples).mel
    assert mel.shape == (FRAMES, 96)
    for frame in (0, 1, 100, 186):
        cut = padded[256 * frame : 256 * frame + 512] * hann
        expected = np.log10(1 + 10_000 * filters @ np.abs(np.fft.rfft(cut)) ** 2)
        np.testing.assert_allclose(mel[frame], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("samples", "count"), [(661_794, 10), (661_500, 10), (661_000, 9), (66_149, 1), (2_048, 1)]
)
def test_a_song_has_a_window_each_three_seconds(samples, count):
    made = whole(noise(samples))
    assert made.mel.shape == (count, FRAMES, 96)
    np.testing.assert_array_equal(made.places, [np.arange(count)])
    assert made.samples == [samples]


def test_windows_of_overlapping_parts_are_shared():
    second, samples = SAMPLE_RATE, noise(40 * SAMPLE_RATE)
    parts = [(start * second, (start + 30) * second) for start in range(10)]
    made = windows_of(samples, parts)
    assert [len(places) for places in made.places] == [10] * 10
    assert len(made.mel) == 37  # each second from 0 to 36, not 100
    alone = windows_of(samples, parts[4:5])
    np.testing.assert_array_equal(made.mel[made.places[4]], alone.mel)


@pytest.mark.parametrize("samples", [66_149, 132_299, 132_300, 661_500, 661_794])
def test_segments_are_those_of_the_57_features_and_of_predictions(tmp_path, samples):
    path = write(tmp_path / "song.wav", noise(samples))
    song, segments = (windows_of_file(path, segmented) for segmented in (False, True))
    count = len(segments_of(noise(samples)))
    assert segments.samples == [66_149] * count
    np.testing.assert_array_equal(song.mel[:count], segments.mel)
    assert [places.tolist() for places in segments.places] == [[i] for i in range(count)]
    front_end = FrontEnd.of_rows(0, is_segmented=True, kind="musicnn")
    assert len(front_end.spans(samples)) == count


def test_a_song_shorter_than_a_window_is_repeated():
    short = noise(SAMPLE_RATE)
    np.testing.assert_array_equal(whole(short).mel, whole(np.tile(short, 3)).mel)


def test_silence_has_no_power():
    assert not whole(np.zeros(3 * SAMPLE_RATE, np.float32)).mel.any()


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (noise(2_047), "too short: 2,047 samples"),
        (np.full(3 * SAMPLE_RATE, np.nan, np.float32), "larger than 1,000,000 times"),
        (1e30 * noise(3 * SAMPLE_RATE), "larger than 1,000,000 times"),
    ],
)
def test_what_cannot_be_computed_with_is_refused(samples, message):
    with pytest.raises(SoundError, match=message):
        whole(samples)


def test_a_file_without_a_segment_is_refused(tmp_path):
    with pytest.raises(SoundError, match=r"short\.wav: too short: 2\.00 s, less than a segment"):
        windows_of_file(write(tmp_path / "short.wav", noise(2 * SAMPLE_RATE)), segmented=True)
