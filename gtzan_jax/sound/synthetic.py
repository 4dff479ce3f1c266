"""Synthetic songs for use without real sound; they are not GTZAN's.

Ten genres have GTZAN's names, each a *style*. A song draws its own key, tempo, loudness of parts,
deviations from the patterns, and noise. Songs are hard to classify, as real ones are: each is
filtered by its own curve, so that a band's mean loudness is less informative than rhythm and the
shapes of notes, and some have a trait of another genre. Figures from them say nothing about music.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from gtzan_jax.errors import InputError, nearest
from gtzan_jax.sound.files import SAMPLE_RATE

SEED = 0

Samples = NDArray[np.float64]  # (samples,) at SAMPLE_RATE

_STEPS = 16  # of a bar of four beats
_PARTIALS = 10
_BORROWED = 0.08  # probability that each of three traits is from another genre
_SLIPS = 0.06  # share of a pattern's steps that deviate
_CURVE_DB = 12.0  # deviation of a song's filter
_NOISE_DB = (-45.0, -20.0)  # below the music
_LEVEL_DB = (-30.0, -14.0)  # root mean square, full scale being 0


class Rhythm(NamedTuple):
    """Patterns of a bar, a letter a step: "x" sounds, "." does not."""

    tempo: tuple[float, float]  # beats a minute, of the slowest and the fastest song
    swing: float  # of a step, by which every second quaver is late
    kick: str
    snare: str
    hat: str


class Harmony(NamedTuple):
    """Chords, one a bar, in semitones above the song's key, and their patterns."""

    roots: tuple[int, ...]
    chord: tuple[int, ...]  # above the root
    chords: str  # pattern
    bass: str  # pattern: a digit is semitones above the root


class Timbre(NamedTuple):
    """The sound of notes."""

    slope: float  # partial n has the amplitude n ** -slope
    odd: bool  # whether even partials are missing
    shape: str  # of loudness over time: "pluck", "swell", or "hold"
    length: float  # steps
    drive: float  # distortion; 0 is none
    drums: float  # loudness relative to notes


class Style(NamedTuple):
    """Common traits of a genre's songs."""

    rhythm: Rhythm
    harmony: Harmony
    timbre: Timbre


_NONE, _BACKBEAT = "." * _STEPS, "....x.......x..."

STYLES = {
    "blues": Style(
        Rhythm((70, 105), 0.65, "x.......x.......", _BACKBEAT, "x.x.x.x.x.x.x.x."),
        Harmony((0, 5, 0, 7), (0, 4, 7, 10), "x..x....x..x....", "0...4...7...9..."),
        Timbre(1.2, False, "pluck", 5.0, 1.0, 0.7),
    ),
    "classical": Style(
        Rhythm((60, 110), 0.0, _NONE, _NONE, _NONE),
        Harmony((0, 5, 7, 0), (0, 4, 7, 12), "x...x...x...x...", "0.......7......."),
        Timbre(1.6, False, "swell", 7.0, 0.0, 0.0),
    ),
    "country": Style(
        Rhythm((90, 130), 0.0, "x.......x.......", "..x...x...x...x.", _NONE),
        Harmony((0, 0, 5, 7), (0, 4, 7), "..x...x...x...x.", "0...7...0...7..."),
        Timbre(1.0, False, "pluck", 3.0, 0.0, 0.5),
    ),
    "disco": Style(
        Rhythm((112, 128), 0.0, "x...x...x...x...", _BACKBEAT, "..x...x...x...x."),
        Harmony((0, 9, 5, 7), (0, 3, 7), "x..x..x.x..x..x.", "0.c.0.c.0.c.0.c."),
        Timbre(1.1, True, "hold", 2.0, 0.0, 1.0),
    ),
    "hiphop": Style(
        Rhythm((80, 100), 0.2, "x..x......xx....", _BACKBEAT, "x.xxx.x.x.xxx.x."),
        Harmony((0, 0, 3, 0), (0, 3, 10), "x.........x.....", "0..0......33...."),
        Timbre(1.4, True, "pluck", 6.0, 0.0, 1.3),
    ),
    "jazz": Style(
        Rhythm((120, 180), 0.65, _NONE, "......x........x", "x...x.x.x...x.x."),
        Harmony((2, 7, 0, 9), (0, 4, 10, 14), "x.....x.........", "0...3...5...b..."),
        Timbre(1.4, False, "hold", 2.5, 0.0, 0.5),
    ),
    "metal": Style(
        Rhythm((130, 170), 0.0, "xxx.xxx.xxx.xxx.", _BACKBEAT, "x...x...x...x..."),
        Harmony((0, 1, 0, 6), (0, 7, 12), "xxx.xxx.xxx.xxx.", "000.000.000.000."),
        Timbre(0.8, False, "hold", 1.0, 4.0, 0.9),
    ),
    "pop": Style(
        Rhythm((95, 125), 0.0, "x.....x.x.......", _BACKBEAT, "x.x.x.x.x.x.x.x."),
        Harmony((0, 7, 9, 5), (0, 4, 7), "x.......x.......", "0...0...0...0..."),
        Timbre(1.0, True, "swell", 7.0, 0.0, 0.8),
    ),
    "reggae": Style(
        Rhythm((70, 95), 0.3, "........x.......", "........x.......", "x.x.x.x.x.x.x.x."),
        Harmony((0, 5, 0, 7), (0, 4, 7), "....x.......x...", "0.....04..7....."),
        Timbre(1.3, True, "pluck", 1.5, 0.0, 0.7),
    ),
    "rock": Style(
        Rhythm((105, 140), 0.0, "x.....x.x.x.....", _BACKBEAT, "x.x.x.x.x.x.x.x."),
        Harmony((0, 10, 5, 0), (0, 7, 12), "x.x.x.x.x.x.x.x.", "0.0.0.0.0.0.0.0."),
        Timbre(0.9, False, "pluck", 3.0, 3.0, 0.9),
    ),
}  # fmt: skip

GENRES = tuple(STYLES)


def song(genre: str, number: int, seconds: float = 30.0) -> NDArray[np.float32]:
    """Synthesises a song of a genre, ``number`` from 0, always the same up to rounding.

    A longer version does not continue a shorter one, since both have the same overall loudness.
    Returns (samples,) at ``SAMPLE_RATE``, multiples of 2⁻¹⁵ in [-1, 1), as in a WAV of 16 bits.

    Raises:
      InputError: there is no such genre.
    """
    if genre not in STYLES:
        raise InputError(f"no genre {genre!r}{nearest(genre, GENRES)}: {', '.join(GENRES)}")
    # The stream of RandomState is frozen, unlike that of NumPy's newer generators.
    random = RandomState([SEED, GENRES.index(genre), number])
    style = _borrowed(STYLES[genre], random)
    return _recorded(_notes(style, random, round(seconds * SAMPLE_RATE)), random)


def _borrowed(style: Style, random: RandomState) -> Style:
    """Returns a style, sometimes with a trait of another genre."""
    for trait in ("rhythm", "harmony", "timbre"):
        chance, other = random.uniform(), GENRES[random.randint(len(GENRES))]
        if chance < _BORROWED:
            style = style._replace(**{trait: getattr(STYLES[other], trait)})
    return style


def _notes(style: Style, random: RandomState, length: int) -> Samples:
    """Returns (length,) samples of chords, bass and drums."""
    rhythm, harmony, timbre = style
    step = 60 / random.uniform(*rhythm.tempo) / 4 * SAMPLE_RATE  # samples
    key = 110 * 2 ** (random.randint(12) / 12)  # Hz, A to G sharp
    slope, lasting = (own * random.uniform(0.8, 1.25) for own in (timbre.slope, timbre.length))
    timbre = timbre._replace(slope=slope, length=lasting)
    loudness = np.exp(0.3 * random.normal(size=5))
    bars = int(np.ceil(length / (step * _STEPS)))
    chords, bass, *drums = (
        np.tile(_slipped(pattern, random), bars)
        for pattern in (harmony.chords, harmony.bass, rhythm.kick, rhythm.snare, rhythm.hat)
    )
    places = np.arange(len(chords))
    places = places + rhythm.swing * (places % 4 == 2)
    starts: list[int] = (places * step).astype(int).tolist()
    parts = np.zeros((5, length))
    for bar in range(bars):
        root = key * _ratio(harmony.roots[bar % len(harmony.roots)])
        steps = range(bar * _STEPS, (bar + 1) * _STEPS)
        pitches = [root * _ratio(semitones) for semitones in harmony.chord]
        sound = _tones(pitches, timbre, timbre.length * step, random)
        _place(parts[0], [starts[i] for i in steps if chords[i] != "."], sound)
        for letter in sorted(set(bass[steps]) - {"."}):
            pitch = root / 2 * _ratio(int(letter, 16) if letter != "x" else 0)
            note = timbre._replace(slope=timbre.slope + 0.5, drive=0.0)
            sound = 2 * _tones([pitch], note, 2 * step, random)
            _place(parts[1], [starts[i] for i in steps if bass[i] == letter], sound)
    for part, pattern, hit in zip(parts[2:], drums, _drums(random), strict=True):
        _place(part, [starts[i] for i in np.flatnonzero(pattern != ".")], timbre.drums * hit)
    music: Samples = loudness @ parts
    return music


def _slipped(pattern: str, random: RandomState) -> NDArray[np.str_]:
    """Returns the letters of a pattern, some replaced by others of it."""
    letters = np.array(list(pattern))
    slips = random.uniform(size=_STEPS) < _SLIPS
    others = random.permutation(letters)
    return np.where(slips, others, letters)


def _ratio(semitones: int) -> float:
    return float(2 ** (semitones / 12))


def _tones(pitches: list[float], timbre: Timbre, length: float, random: RandomState) -> Samples:
    """Returns the sum of notes with harmonic partials; pitches in Hz, length in samples."""
    seconds = np.arange(int(length)) / SAMPLE_RATE
    total = np.zeros(len(seconds))
    for pitch in pitches:
        turn = np.exp(2j * np.pi * pitch * seconds)
        tone, step = turn, turn**2 if timbre.odd else turn  # turn ** partial, and its factor
        for partial in range(1, _PARTIALS + 1, 1 + timbre.odd):
            phase = np.exp(2j * np.pi * random.uniform())
            if partial * pitch < SAMPLE_RATE / 2:
                total += partial**-timbre.slope * (phase * tone).imag
                tone = tone * step
    total *= 0.3 / np.sqrt(len(pitches))
    if timbre.drive:
        total = np.tanh(timbre.drive * total) / timbre.drive**0.5
    return total * _SHAPES[timbre.shape](np.linspace(0, 1, len(seconds)))


_SHAPES: dict[str, Callable[[Samples], Samples]] = {
    "pluck": lambda t: np.exp(-5 * t) * np.minimum(1, 50 * (1 - t)),
    "swell": lambda t: np.exp(-5 * (1 - t)) * np.minimum(1, 50 * (1 - t)),
    "hold": lambda t: 0.5 * np.minimum(1, 20 * np.minimum(t, 1 - t)),
}
"""Loudness of a note from its start, 0, to its end, 1. A swell is a reversed pluck."""


def _drums(random: RandomState) -> tuple[Samples, Samples, Samples]:
    """Returns a hit of the kick, the snare and the hat: a falling tone, noise, high noise."""
    t = np.arange(round(0.25 * SAMPLE_RATE)) / SAMPLE_RATE
    noise = random.normal(size=(2, len(t)))
    low = random.uniform(45, 60)  # Hz
    kick = np.sin(2 * np.pi * (low * t + 4 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / 0.1)
    snare = (0.4 * noise[0] + np.sin(2 * np.pi * 190 * t)) * np.exp(-t / 0.06)
    hat = 0.2 * np.diff(noise[1], n=2, prepend=[0, 0]) * np.exp(-t / random.uniform(0.02, 0.05))
    return 1.5 * kick, 0.8 * snare, hat


def _place(part: Samples, starts: list[int], sound: Samples) -> None:
    """Adds a sound to a part at each start."""
    for start in starts:
        stop = min(start + len(sound), len(part))
        if start < stop:
            part[start:stop] += sound[: stop - start]


def _recorded(music: Samples, random: RandomState) -> NDArray[np.float32]:
    """Returns a song filtered, with noise, at a random level, in 16 bits."""
    octaves = np.log2(np.fft.rfftfreq(len(music), 1 / SAMPLE_RATE).clip(50) / 50)  # 0 to 7.8
    curve = np.zeros(len(octaves))  # dB
    for waves in (0.5, 1, 1.5):
        phase = random.uniform(0, 2 * np.pi)
        curve += random.normal() * _CURVE_DB * np.cos(2 * np.pi * waves * octaves / 8 + phase)
    filtered = np.fft.irfft(np.fft.rfft(music) * 10 ** (curve / 20), len(music))
    noise = random.normal(size=len(music)) * 10 ** (random.uniform(*_NOISE_DB) / 20)
    sound = filtered / _loudness(filtered) + noise
    sound *= 10 ** (random.uniform(*_LEVEL_DB) / 20) / _loudness(sound)
    bits = np.round(sound * 2**15).clip(-(2**15), 2**15 - 1)
    return (bits / 2**15).astype(np.float32)


def _loudness(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples**2))) or 1.0
