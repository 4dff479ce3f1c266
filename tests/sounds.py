"""Sounds made up for tests."""

import numpy as np
import soundfile
from threadpoolctl import threadpool_limits

from gtzan_jax.errors import SoundError
from gtzan_jax.sound.files import SAMPLE_RATE


def tone(seconds=2.0, hertz=1000.0, amplitude=0.5, rate=SAMPLE_RATE):
    """A sine, (samples,) float32."""
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def noise(samples, seed=0, amplitude=0.1):
    """White noise, (samples,) float32."""
    return (amplitude * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


def clicks(count, every):
    """Clicks of 64 samples, one each ``every`` samples."""
    click = np.zeros(every, np.float32)
    click[:64] = noise(64)
    return np.tile(click, count)


def write(path, samples, rate=SAMPLE_RATE, **options):
    """Writes a sound file; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def bare_mp3(path, samples, **options):
    """Writes an MP3 without the frame that has its length."""
    content = write(path, samples, **options).read_bytes()
    bits, pad = content[2] >> 4, content[2] >> 1 & 1
    assert content[:2] == b"\xff\xf3"
    assert content[2] & 12 == 0  # MPEG 2, 22,050 Hz
    assert {b"Info", b"Xing"} & {content[13:17], content[21:25]}
    kbits = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[bits]
    path.write_bytes(content[72_000 * kbits // SAMPLE_RATE + pad :])
    return path


def of_many_here(compute, sounds, workers):
    """Stands in for ``processes.of_many``: in this process, which needs none to start."""
    assert workers >= 1
    for sound in sounds:
        try:
            with threadpool_limits(1):  # as in the processes: else last bits differ
                computed = compute(sound)
            yield sound, computed
        except SoundError as error:
            yield sound, error
