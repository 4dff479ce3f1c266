"""Made-up songs: always the same, unlike one another, and hard in the way that is meant."""

import hashlib
import subprocess
import sys
import wave

import numpy as np
import pytest
from made_songs import write_songs

from gtzan_jax.errors import InputError
from gtzan_jax.sound.features import segments_of
from gtzan_jax.sound.files import SAMPLE_RATE, read
from gtzan_jax.sound.mel import log_mel
from gtzan_jax.sound.synthetic import GENRES, song


def test_a_song_is_always_the_same_in_every_process():
    code = (
        "import hashlib; from gtzan_jax.sound.synthetic import song; "
        "print(hashlib.sha256(song('jazz', 3, 4.0).tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    song("jazz", 4, 4.0)
    assert hashlib.sha256(song("jazz", 3, 4.0).tobytes()).hexdigest() == other.stdout.strip()


@pytest.mark.parametrize("seconds", [0.5, 3.0, 9.1])
def test_samples_are_those_of_16_bits(seconds):
    samples = song("rock", 0, seconds)
    assert samples.shape == (round(seconds * SAMPLE_RATE),)
    assert samples.dtype == np.float32
    bits = samples * 2**15
    np.testing.assert_array_equal(bits, np.round(bits))
    assert -(2**15) <= bits.min() < bits.max() < 2**15


def test_no_two_songs_are_alike():
    songs = [song(genre, number, 2.0) for genre in GENRES for number in range(3)]
    alike = np.abs(np.corrcoef(songs)) - np.eye(len(songs))
    assert alike.max() < 0.5


def test_there_is_no_such_genre():
    with pytest.raises(InputError, match=r"no genre 'regae' .did you mean 'reggae'"):
        song("regae", 0)


def test_files_hold_what_is_played(tmp_path):
    write_songs(tmp_path, 2, 1.0)
    paths = sorted(tmp_path.rglob("*.wav"))
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        f"{genre}/{genre}.{number:05d}.wav" for genre in GENRES for number in range(2)
    ]
    np.testing.assert_array_equal(read(paths[3]), song("classical", 1, 1.0))
    with wave.open(str(paths[3])) as file:
        assert file.getparams()[:4] == (1, 2, SAMPLE_RATE, SAMPLE_RATE)


@pytest.fixture(scope="module")
def changes():
    """By genre: spectrograms of 8 songs, changes from a frame to the next one, in dB."""
    spectrograms = {
        genre: [log_mel(segments_of(song(genre, number, 3.1))[0]) for number in range(8)]
        for genre in GENRES
    }
    return {genre: np.diff(np.float64(x), axis=2) for genre, x in spectrograms.items()}


def mean_skewness(changes):
    """The mean over songs of the skewness of the changes of their middle bands."""
    x = changes[:, 15:40].reshape(len(changes), -1)
    x = x - x.mean(axis=1, keepdims=True)
    return ((x**3).mean(axis=1) / (x**2).mean(axis=1) ** 1.5).mean()


@pytest.mark.parametrize("swelling", ["classical", "pop"])
@pytest.mark.parametrize("plucked", ["country", "reggae", "blues"])
def test_plucked_notes_begin_suddenly_and_swelling_ones_end_so(changes, plucked, swelling):
    assert mean_skewness(changes[plucked]) > 0.5 + mean_skewness(changes[swelling])


@pytest.mark.parametrize("drummed", sorted(set(GENRES) - {"classical"}))
def test_classical_music_has_no_drums(changes, drummed):
    hiss = {genre: x[:, 55:].std() for genre, x in changes.items()}
    assert hiss["classical"] < hiss[drummed]
