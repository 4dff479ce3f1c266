"""Made-up songs as files, in GTZAN's layout."""

import wave
from pathlib import Path

from gtzan_jax.sound.files import SAMPLE_RATE
from gtzan_jax.sound.synthetic import GENRES, song


def write_songs(folder, per_genre, seconds):
    """Writes songs as WAV files of 16 bits, ``blues/blues.00000.wav``."""
    for genre in GENRES:
        subfolder = Path(folder, genre)
        subfolder.mkdir(parents=True, exist_ok=True)
        for number in range(per_genre):
            samples = song(genre, number, seconds) * 2**15
            with wave.open(str(subfolder / f"{genre}.{number:05d}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(SAMPLE_RATE)
                file.writeframes(samples.astype("<i2").tobytes())
