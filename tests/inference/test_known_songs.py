"""A model knows the songs that it was trained on by what they sound like, whatever their names."""

import dataclasses
import functools

import numpy as np
import pytest
import soundfile
from conftest import make_sweep, make_table
from finished_runs import random_model
from scipy.signal import resample_poly
from threadpoolctl import threadpool_limits

from gtzan_jax.inference.distribution import OUT_OF_DISTRIBUTION, Distribution, Neighbours
from gtzan_jax.inference.front_end import SPECTROGRAMS, FrontEnd
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.sound.features import features_of, segments_of
from gtzan_jax.sound.files import SAMPLE_RATE, read
from gtzan_jax.sound.mel import BAND_NAMES, log_mel
from gtzan_jax.sound.summary import summarised
from gtzan_jax.sound.synthetic import GENRES, song
from gtzan_jax.tables.schema import FEATURES, TAGS, UNITS

SECONDS = 9.1
SONGS = [song(genre, number, SECONDS) for number in (0, 1) for genre in GENRES]
LONG = np.concatenate(SONGS[:3])  # three times as long as the others
OTHER = song("rock", 7, SECONDS)


@functools.cache
def model_of(kind):
    """A model of random weights trained on the songs, as songs, segments or spectrograms."""
    with threadpool_limits(1):
        if kind == "songs":
            parts = [[samples] for samples in (*SONGS, LONG)]
        else:
            parts = [segments_of(samples) for samples in SONGS]
        make = log_mel if kind == "spectrograms" else features_of
        x = np.stack([make(part) for of_song in parts for part in of_song])
    names, summary = summarised(BAND_NAMES if kind == "spectrograms" else FEATURES, x)
    number = np.repeat(np.arange(len(parts), dtype=np.int32), [len(p) for p in parts])
    model = dataclasses.replace(
        random_model(make_sweep().configs[3], make_table()),
        distribution=Distribution.of(summary.astype(np.float32), number, names),
    )
    if kind == "spectrograms":
        bands = {"features": BAND_NAMES, "mean": np.zeros(64), "scale": np.ones(64)}
        return dataclasses.replace(model, front_end=SPECTROGRAMS, **bands)
    samples = len(SONGS[0]) if kind == "songs" else 66_149
    return dataclasses.replace(
        model, front_end=FrontEnd.of_rows(samples, is_segmented=kind == "segments")
    )


@pytest.fixture(scope="module", params=["songs", "segments", "spectrograms"])
def model(request):
    return model_of(request.param)


@pytest.fixture(autouse=True)
def any_network(monkeypatch):
    """Leaves out the network, of which there is none for spectrograms here."""

    def equal(_, x, songs=None, num_songs=0):
        del songs, num_songs
        return np.full((len(x), 4), np.log(0.25), np.float32)

    monkeypatch.setattr(TrainedModel, "log_probabilities", equal)


COPIES = {
    "as it is": ("other name.wav", lambda x: (x, SAMPLE_RATE), {"subtype": "FLOAT"}),
    "FLAC": ("a.flac", lambda x: (x, SAMPLE_RATE), {}),
    "MP3": ("a.mp3", lambda x: (x, SAMPLE_RATE), {}),
    "Ogg": ("a.ogg", lambda x: (x, SAMPLE_RATE), {}),
    "44.1 kHz": ("a.wav", lambda x: (resample_poly(x, 2, 1), 2 * SAMPLE_RATE), {}),
    "stereo": ("a.wav", lambda x: (np.stack([x, x], axis=1), SAMPLE_RATE), {}),
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_of_a_training_song_is_known(tmp_path, model, copy):
    name, change, options = COPIES[copy]
    soundfile.write(tmp_path / name, *change(SONGS[4]), **options)
    assert model.predict_file(tmp_path / name).trained_on is True


def test_another_song_of_the_same_name_is_not(tmp_path, model):
    path = tmp_path / f"{GENRES[4]}.00000.wav"
    soundfile.write(path, OTHER, SAMPLE_RATE)
    assert model.predict_file(path).trained_on is False
    soundfile.write(path, SONGS[4][::-1].copy() * np.float32(0.9) + OTHER, SAMPLE_RATE)
    assert model.predict_file(path).trained_on is False


@pytest.mark.parametrize("kind", ["songs", "segments"])
def test_a_softer_copy_is_known_by_its_features(tmp_path, kind):
    soundfile.write(tmp_path / "a.wav", 0.5 * SONGS[4], SAMPLE_RATE)
    assert model_of(kind).predict_file(tmp_path / "a.wav").trained_on is True


@pytest.mark.parametrize("hop", [None, 0.7])
def test_windows_make_no_difference(tmp_path, model, hop):
    soundfile.write(tmp_path / "a.wav", SONGS[4], SAMPLE_RATE)
    assert model.predict_file(tmp_path / "a.wav", hop_seconds=hop).trained_on is True


def test_a_song_of_several_windows_is_known_as_a_whole(tmp_path):
    """A row is of all of a song, however long, and a prediction of parts of the usual length."""
    model = model_of("songs")
    soundfile.write(tmp_path / "a.wav", LONG, SAMPLE_RATE)
    found = model.predict_file(tmp_path / "a.wav")
    assert (len(found.spans), found.trained_on) == (3, True)
    soundfile.write(tmp_path / "b.wav", np.concatenate([*SONGS[5:7], OTHER]), SAMPLE_RATE)
    assert model.predict_file(tmp_path / "b.wav").trained_on is False


def test_a_model_that_keeps_no_rows_does_not_know(tmp_path, model):
    soundfile.write(tmp_path / "a.wav", SONGS[4], SAMPLE_RATE)
    assert (
        dataclasses.replace(model, distribution=None).predict_file(tmp_path / "a.wav").trained_on
        is None
    )


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_by_pretrained_units_sounds_are_unlike_and_copies_known(many_songs, tmp_path):
    """Independent of the network: songs of five a genre, others, copies, and what is no music."""
    songs = [read(path) for path in sorted(many_songs.glob("*/*.0000[0-4].flac"))]
    others = [read(path) for path in sorted(many_songs.glob("*/*.00005.flac"))]
    front_end = FrontEnd.of_rows(661_500, is_segmented=False, kind="musicnn")

    def units(samples):
        spans = front_end.spans(len(samples))
        return front_end.inputs(samples.astype(np.float32), spans)[0, len(TAGS) :]

    x = np.stack([units(samples) for samples in songs])
    known = Neighbours.of(x.astype(np.float32), np.arange(len(songs), dtype=np.int32), UNITS)

    def far(samples):
        return (
            known.distance(known.deviations(units(samples)[None]))
            > known.percentiles[OUT_OF_DISTRIBUTION]
        )

    at = np.arange(30 * SAMPLE_RATE) / SAMPLE_RATE
    hum = sum(np.sin(2 * np.pi * 50 * k * at + k) / k for k in range(1, 8))
    noise = np.random.default_rng(0).normal(size=len(at))
    for sound in (0 * at, 0.3 * noise, 0.3 * hum, np.sin(2 * np.pi * 110 * at)):
        assert far(sound)
    assert sum(far(samples) for samples in others) <= 1
    assert not any(known.knows(known.deviations(units(samples)[None])) for samples in others)
    for number in (0, 20, 40):
        soundfile.write(tmp_path / "a.mp3", songs[number], SAMPLE_RATE, compression_level=0.0)
        assert known.knows(known.deviations(units(read(tmp_path / "a.mp3"))[None]))
