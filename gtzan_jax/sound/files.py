"""Sound files: which there are in a folder, and their samples."""

import os
import re
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
_ESTIMATES = "MP3"  # whose length is libsndfile's guess: twice the true one and more
_UNKNOWN_LENGTH = 2**62  # frames: libsndfile's for a FLAC that was written to a pipe
_PROMISE = re.compile(r"^ *(?:data|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)  # bytes
_NO_PROMISE = 2**31 - 1  # bytes or more: of a WAV that was written to a pipe
_LEAST_SHARE = 0.99  # of the promised length; a last frame may be missing


@dataclass(frozen=True)
class Song:
    """A sound file and what a table says of it."""

    path: Path
    name: str  # the table's filename: GTZAN's blues.00000.wav, or the path within the folder
    label: str  # the genre


def songs_in(folder: str | os.PathLike[str]) -> list[Song]:
    """Finds the sound files of a folder, at any depth, sorted by name.

    The genre of a song is the name of the folder's subfolder that it lies in, at any depth. A song
    that is called as GTZAN's are, ``rock.00000.wav``, has the genre that it is called after, if it
    lies in a folder of that name or in no subfolder at all. Any other song that lies in no
    subfolder has the genre ``NO_GENRE``. Neither links nor what is hidden are followed.

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
            if is_sound and path.is_file() and not path.is_symlink():
                yield path


def _song(root: Path, path: Path) -> Song:
    place = path.relative_to(root)
    folders = place.parts[:-1]
    gtzan = GTZAN_NAME.fullmatch(path.stem)
    if gtzan and (not folders or gtzan["genre"] in folders):
        return Song(path, path.name, gtzan["genre"])
    return Song(path, place.as_posix(), folders[0] if folders else NO_GENRE)


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
        check_file(path)
    except OSError as error:
        raise SoundError(f"{printable(path)}: cannot be read: {error.strerror}") from None
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


def check_file(path: Path) -> None:
    """Checks what can be said of a sound file without reading it.

    Raises:
      SoundError: it is no file, empty or too large; names it.
      OSError: it cannot be looked at.
    """
    size = path.stat().st_size
    if not path.is_file():
        problem = "it is no file"
    elif not size:
        problem = "it is empty"
    elif size > _MAX_BYTES:
        problem = f"it has {size:,} bytes, and more than {_MAX_BYTES:,} are not read"
    else:
        return
    raise SoundError(f"{printable(path)}: {problem}")


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
    try:
        sound = soundfile.SoundFile(os.fspath(path))
    except soundfile.SoundFileError as error:
        raise SoundError(f"no sound that can be read: {_why_not(path, error)}") from None
    with sound:
        _check_header(sound)
        try:
            samples = _mono(sound)
        except soundfile.SoundFileError as error:
            raise SoundError(f"damaged or truncated ({_reason(error)})") from None
        _check_whole(sound, len(samples))
        return sound.samplerate, samples


def _why_not(path: Path, error: Exception) -> str:
    """Returns why a file was not opened as sound."""
    with path.open("rb") as file:
        start = file.read(4)
    if path.suffix.lower() == ".wav" and start not in (b"RIFF", b"RIFX", b"RF64"):
        return f"it has no RIFF header ({_reason(error)})"
    return _reason(error)


def _reason(error: Exception) -> str:
    reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
    # What libsndfile says of a file that it tried as MP3 in the end.
    return "Format not recognised" if "does not exist" in reason else reason


def _check_header(sound: "soundfile.SoundFile") -> None:
    """Refuses what a header says that no song has, before memory is taken for it."""
    low, high = _RATES_HZ
    if sound.format == "RAW":  # libsndfile takes anything called .au for the oldest telephones'
        raise SoundError("no sound that can be read: it has no header")
    if not low <= sound.samplerate <= high:
        raise SoundError(
            f"a sample rate of {sound.samplerate:,} Hz; it must be {low:,} to {high:,} Hz"
        )
    if not 1 <= sound.channels <= _MAX_CHANNELS:
        raise SoundError(f"{sound.channels:,} channels, and at most {_MAX_CHANNELS} are read")
    if sound.format == _ESTIMATES:
        return
    if sound.frames >= _UNKNOWN_LENGTH:
        raise SoundError("its header has no length; write it anew, as ffmpeg -i OLD NEW does")
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
    """Refuses a file that ends long before its header says so, where a header says it.

    libsndfile takes what there is of a WAV or AU for its length, and notes what was promised.
    """
    share = 1.0 if sound.format == _ESTIMATES else frames / sound.frames
    noted = _PROMISE.search(sound.extra_info)
    if noted and int(noted[1]) < _NO_PROMISE:
        share = min(share, int(noted[2]) / int(noted[1]))
    if share < _LEAST_SHARE:
        raise SoundError(f"truncated: it ends after {100 * share:.0f} % of what its header says")
