"""Sound files: which there are in a folder, and their samples."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.text import printable

if TYPE_CHECKING:
    import soundfile

SAMPLE_RATE = 22_050
"""Samples a second, in Hz; other rates are resampled to it."""

SUFFIXES = (".wav", ".au", ".mp3", ".ogg", ".flac")

MAX_MINUTES = 20
"""Longer files are refused: an hour's spectrograms take several GB."""

NO_GENRE = "unknown"
"""The label of a song that lies in no genre's folder."""

GTZAN_NAME = re.compile(r"(?P<genre>[^.]+)\.\d{5}", re.ASCII)
"""What GTZAN calls its songs, without the suffix: ``blues.00000``."""

_MAX_CHANNELS = 32
_RATES_HZ = (2_000, 192_000)  # the least and the most; an 8-bit telephone has 8,000
_MAX_BYTES = 2**32  # WAV's own bound
_BLOCK = 2**20  # values that are decoded at once
_SEEKS_EXACTLY = ("WAV", "WAVEX", "AU", "FLAC", "RF64", "W64")  # formats whose length is written


@dataclass(frozen=True)
class Song:
    """A sound file and what a table says of it."""

    path: Path
    name: str  # the table's filename: GTZAN's blues.00000.wav, or the path within the folder
    label: str  # the genre


def songs_in(folder: str | os.PathLike[str]) -> list[Song]:
    """Finds the sound files of a folder, at any depth, sorted by name.

    The genre is the folder's subfolder that a song lies in, at any depth. A song that lies in no
    subfolder has the genre that its name begins with, if GTZAN would call it so, else
    ``NO_GENRE``. Neither links nor what is hidden are followed.

    Raises:
      InputError: the folder cannot be looked into, or holds no sound file.
    """
    root = Path(os.path.expanduser(folder))
    if not root.is_dir():
        raise InputError(f"{printable(folder)} is no folder; give one with sound files in it")
    songs = [_song(root, path) for path in _sound_files(root)]
    if not songs:
        raise InputError(
            f"{printable(folder)} holds no sound file ({', '.join(SUFFIXES)}); links and hidden "
            "files are not followed"
        )
    return sorted(songs, key=lambda song: song.name)


def _sound_files(root: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise InputError(f"{printable(error.filename)}: cannot be looked into: {error.strerror}")

    for folder, subfolders, names in os.walk(root, onerror=fail):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in names:
            path = Path(folder, name)
            is_sound = path.suffix.lower() in SUFFIXES and not name.startswith(".")
            if is_sound and stat.S_ISREG(path.lstat().st_mode):
                yield path


def _song(root: Path, path: Path) -> Song:
    place = path.relative_to(root)
    gtzan = GTZAN_NAME.fullmatch(path.stem)
    own = gtzan["genre"] if gtzan else NO_GENRE
    label = place.parts[0] if len(place.parts) > 1 else own
    is_gtzan = gtzan is not None and gtzan["genre"] == label
    return Song(path, path.name if is_gtzan else place.as_posix(), label)


def read(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Reads a sound file: the mean of its channels at 22,050 Hz.

    Returns:
      (samples,) float32, finite, at least one; full scale is from -1 to 1.

    Raises:
      SoundError: it cannot be read, is damaged or unreasonable; names the file and the reason.
      InputError: the packages that read sound are not installed.
    """
    path = Path(os.path.expanduser(path))
    try:
        rate, samples = _decoded(path)
    except OSError as error:
        raise SoundError(f"{printable(path)}: cannot be read: {error.strerror}") from None
    except SoundError as error:
        raise SoundError(f"{printable(path)}: {error}") from None
    if rate == SAMPLE_RATE:
        return samples
    resampled: NDArray[np.float32] = audio_module("librosa").resample(
        samples, orig_sr=rate, target_sr=SAMPLE_RATE
    )
    return resampled


def audio_module(name: str) -> ModuleType:
    """Imports a package of the extra ``audio``.

    Raises:
      InputError: it is not installed, or its own parts are missing.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise InputError(
            f"sound needs the package {name} ({printable(error)}): pip install -e '.[audio]'"
        ) from None


def _decoded(path: Path) -> tuple[int, NDArray[np.float32]]:
    """Returns the sample rate in Hz, and the mean of the channels."""
    soundfile = audio_module("soundfile")
    size = path.stat().st_size
    if not path.is_file():
        raise SoundError("it is no file")
    if not size:
        raise SoundError("it is empty")
    if size > _MAX_BYTES:
        raise SoundError(f"it has {size:,} bytes, and more than {_MAX_BYTES:,} are not read")
    try:
        with soundfile.SoundFile(os.fspath(path)) as sound:
            _check_header(sound)
            samples = _mono(sound)
            if sound.format in _SEEKS_EXACTLY:
                _check_whole(sound, len(samples))
            return sound.samplerate, samples
    except soundfile.SoundFileError as error:
        reason = getattr(error, "error_string", str(error)).strip().rstrip(".")
        raise SoundError(f"no sound that can be read: {_missing_header(path)}{reason}") from None


def _missing_header(path: Path) -> str:
    """Says that a file is no WAV, as which it is named."""
    with path.open("rb") as file:
        start = file.read(4)
    is_wave = start in (b"RIFF", b"RIFX", b"RF64") or path.suffix.lower() != ".wav"
    return "" if is_wave else "it has no RIFF header; "


def _check_header(sound: "soundfile.SoundFile") -> None:
    """Refuses what a header says that no song has, before memory is taken for it."""
    low, high = _RATES_HZ
    if not low <= sound.samplerate <= high:
        raise SoundError(
            f"a sample rate of {sound.samplerate:,} Hz; it must be {low:,} to {high:,} Hz"
        )
    if not 1 <= sound.channels <= _MAX_CHANNELS:
        raise SoundError(f"{sound.channels:,} channels, and at most {_MAX_CHANNELS} are read")
    _check_length(sound.frames, sound.samplerate)


def _check_length(frames: int, rate: int) -> None:
    if frames > MAX_MINUTES * 60 * rate:
        raise SoundError(
            f"{frames / rate / 60:,.0f} minutes long, and at most {MAX_MINUTES} are read; cut it"
        )


def _mono(sound: "soundfile.SoundFile") -> NDArray[np.float32]:
    """Decodes a file, a block after another: its header may promise more than there is."""
    blocks, frames = [], 0
    while len(block := sound.read(_BLOCK // sound.channels, dtype="float32", always_2d=True)):
        frames += len(block)
        _check_length(frames, sound.samplerate)
        blocks.append(block.mean(axis=1))
        if not np.isfinite(blocks[-1]).all():
            raise SoundError("a sample is no finite number")
    if not frames:
        raise SoundError("it has no samples")
    return np.concatenate(blocks)


def _check_whole(sound: "soundfile.SoundFile", frames: int) -> None:
    """Refuses a file that ends before its header says so.

    libsndfile takes what there is of a WAV or AU for its length, and notes what was promised.
    """
    width = re.search(r"^ *(?:data|Data Size) *: (\d+) \(should be (\d+)\)", sound.extra_info, re.M)
    share = frames / sound.frames
    if width and int(width[1]) < 2**31 - 1:  # those that write to a pipe promise the most there is
        share = min(share, int(width[2]) / int(width[1]))
    if share < 1:
        raise SoundError(f"truncated: it ends after {100 * share:.0f} % of what its header says")
