"""The 57 features: against the published table, closed forms, and librosa one by one."""

import librosa
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import median_filter
from sounds import clicks, noise, tone

from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.sound import features as module
from gtzan_jax.sound.features import MIN_SAMPLES, SEGMENT_SAMPLES, features_of, segments_of
from gtzan_jax.sound.files import SAMPLE_RATE, read, songs_in
from gtzan_jax.tables.schema import FEATURES

BIN_HZ = SAMPLE_RATE / 2048  # from one frequency of a spectrum to the next


def named(samples):
    """The features by name."""
    return dict(zip(FEATURES, features_of(samples), strict=True))


def test_real_songs_have_the_features_of_the_published_table(real_songs, real_table_path):
    table = pd.read_csv(real_table_path).set_index("filename")
    deviations = table[list(FEATURES)].std(ddof=0)
    songs = songs_in(real_songs)
    assert songs
    for song in songs:
        samples = read(song.path)
        published = table.loc[song.name]
        assert (song.label, len(samples)) == (published["label"], published["length"])
        errors = (features_of(samples) - published[list(FEATURES)].astype(float)).abs() / deviations
        assert errors["tempo"] < 1e-12
        assert errors.max() < 1e-5, (
            f"{song.name}: {errors.idxmax()}"
        )  # 1e-6 on the writer's machine


def test_a_sine_has_the_features_of_its_closed_form():
    found = named(tone(4.0, hertz=1000.0, amplitude=0.5))
    assert found["rms_mean"] == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    assert found["spectral_centroid_mean"] == pytest.approx(1000, abs=BIN_HZ)
    assert found["rolloff_mean"] == pytest.approx(1000, abs=2 * BIN_HZ)
    assert found["zero_crossing_rate_mean"] == pytest.approx(2 * 1000 / SAMPLE_RATE, rel=0.02)
    # What lasts is harmonic: all of the power, amplitude² / 2.
    assert found["harmony_var"] == pytest.approx(0.5**2 / 2, rel=0.02)
    assert found["perceptr_var"] < 0.01 * found["harmony_var"]


@pytest.mark.parametrize("frames", [20, 22, 25])
def test_clicks_have_their_tempo_and_are_percussive(frames):
    found = named(clicks(40, every=512 * frames))
    assert found["tempo"] == pytest.approx(60 * SAMPLE_RATE / (512 * frames))
    assert found["perceptr_var"] > 10 * found["harmony_var"]


def test_silence_has_finite_features():
    found = named(np.zeros(SAMPLE_RATE, np.float32))
    # All bands are at the floor of -100 dB: the orthonormal cosine transform of a constant.
    expected = dict.fromkeys(FEATURES, 0.0) | {"mfcc1_mean": -100 * np.sqrt(128)}
    assert found == pytest.approx(expected, abs=1e-3)


def test_twice_as_loud_changes_what_measures_loudness_only():
    samples = noise(3 * SAMPLE_RATE)
    quiet, loud = named(samples), named(2 * samples)
    factors = {"rms_mean": 2, "harmony_mean": 2, "perceptr_mean": 2}
    factors |= {"rms_var": 4, "harmony_var": 4, "perceptr_var": 4}
    for name in FEATURES:
        shift = 20 * np.log10(2) * np.sqrt(128) if name == "mfcc1_mean" else 0
        expected = factors.get(name, 1) * quiet[name] + shift
        assert loud[name] == pytest.approx(expected, rel=1e-4, abs=1e-4), name


def one_by_one(samples):
    """The features as librosa computes each for itself, with the maker's padding."""
    feature, pad = librosa.feature, {"pad_mode": "reflect"}
    common = {"y": samples, "sr": SAMPLE_RATE} | pad
    series = [
        feature.chroma_stft(**common),
        feature.rms(y=samples, **pad),
        feature.spectral_centroid(**common),
        feature.spectral_bandwidth(**common),
        feature.spectral_rolloff(**common),
        feature.zero_crossing_rate(samples),
        *librosa.effects.hpss(samples, **pad),
    ]
    onsets = librosa.onset.onset_strength(aggregate=np.median, **common)
    tempo, _ = librosa.beat.beat_track(onset_envelope=onsets, sr=SAMPLE_RATE)
    mfcc = feature.mfcc(n_mfcc=20, **common)
    before, after = ([m for x in s for m in (x.mean(), x.var())] for s in (series, mfcc))
    return np.array([*before, float(np.squeeze(tempo)), *after], float)


@pytest.mark.parametrize("length", [512 * 5, 512 * 40, 512 * 129])
@pytest.mark.parametrize("kind", ["noise", "tone and noise", "clicks"])
def test_what_is_computed_once_is_what_librosa_computes_one_by_one(length, kind):
    samples = {
        "noise": noise(length),
        "tone and noise": tone(length / SAMPLE_RATE) + noise(length, seed=1, amplitude=0.01),
        "clicks": np.resize(clicks(8, 9000), length),
    }[kind]
    # A whole number of hops: else the waveforms of hpss end otherwise, which the next test has.
    # The variances of a tone's MFCCs and tuning hang on the last bit of a maximum.
    np.testing.assert_allclose(features_of(samples), one_by_one(samples), rtol=1e-5, atol=1e-6)


def test_the_waveforms_have_zeros_behind_the_last_whole_hop():
    samples = noise(512 * 30 + 300)
    stft = librosa.stft(samples, pad_mode="reflect")
    found = module._harmonic_and_percussive(stft, len(samples))
    whole = librosa.effects.hpss(samples, pad_mode="reflect")
    for waveform, theirs in zip(found, whole, strict=True):
        assert waveform.shape == samples.shape
        assert not waveform[512 * 30 :].any()
        assert theirs[512 * 30 :].any()
        np.testing.assert_allclose(waveform[: 512 * 29], theirs[: 512 * 29], atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 1), (2, 2), (5, 30), (4, 31), (7, 100)])
def test_medians_are_those_of_two_dimensions(shape):
    rows = np.random.default_rng(0).exponential(size=shape).astype(np.float32)
    rows[:, ::3] = 0  # ties
    expected = median_filter(rows, size=(1, 31), mode="reflect")
    np.testing.assert_array_equal(module._medians(rows), expected)
    np.testing.assert_array_equal(module._medians(np.asfortranarray(rows)), expected)


@pytest.mark.parametrize("count", [0, 1, MIN_SAMPLES - 1])
def test_too_few_samples_are_refused(count):
    with pytest.raises(SoundError, match=f"^too short: {count:,} samples"):
        features_of(np.zeros(count, np.float32))
    assert np.isfinite(features_of(noise(MIN_SAMPLES))).all()


@pytest.mark.parametrize("amplitude", [1.1e6, 1e20, 3e38, np.inf, np.nan])
def test_samples_that_cannot_be_squared_are_refused(amplitude):
    with pytest.raises(SoundError, match="larger than 1,000,000 times full scale"):
        features_of(np.full(MIN_SAMPLES, amplitude, np.float32))


@pytest.mark.parametrize("amplitude", [1e-44, 1e-30, 1e-15, 1e-6, 1e3, 1e6])
@pytest.mark.parametrize("kind", ["noise", "constant", "impulse", "square"])
def test_all_other_samples_have_finite_features(kind, amplitude):
    wave = {
        "noise": noise(5000, amplitude=0.2),
        "constant": np.ones(5000),
        "impulse": np.arange(5000) == 2500,
        "square": np.where(np.arange(5000) // 50 % 2, 1, -1),
    }[kind]
    found = features_of((amplitude * wave).astype(np.float32))
    assert np.isfinite(found.astype(np.float32)).all()  # the table is one of float32


def test_features_do_not_depend_on_what_was_computed_before():
    samples = noise(SAMPLE_RATE)
    before = features_of(samples)
    features_of(tone())
    np.testing.assert_array_equal(features_of(samples), before)
    assert before.shape == (57,)
    assert before.dtype == np.float64


@pytest.mark.parametrize(
    ("length", "count"),
    [
        (SEGMENT_SAMPLES, 1),
        (3 * SAMPLE_RATE, 1),
        (2 * 3 * SAMPLE_RATE, 1),
        (2 * 3 * SAMPLE_RATE + 1, 2),
        (660_000, 9),  # the shortest song of GTZAN
        (661_500, 9),
        (661_501, 10),
        (675_808, 10),  # the longest
        (20 * 60 * SAMPLE_RATE, 399),
    ],
)
def test_songs_are_cut_as_gtzans_maker_cut_them(length, count):
    samples = np.arange(length, dtype=np.float32)
    segments = segments_of(samples)
    assert [len(task) for task in segments] == [66_149] * count
    assert [task[0] for task in segments] == [66_150 * k for k in range(count)]


def test_too_few_samples_for_a_segment_are_refused():
    with pytest.raises(SoundError, match=r"too short: 3\.00 s, less than a segment"):
        segments_of(np.zeros(SEGMENT_SAMPLES - 1, np.float32))


def test_without_librosa_the_remedy_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "librosa", None)
    with pytest.raises(InputError, match=r"librosa.*pip install -e '\.\[audio\]'"):
        features_of(noise(MIN_SAMPLES))
