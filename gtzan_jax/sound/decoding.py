"""Decodes a sound file, and checks its header, bytes and samples against each other."""

import importlib
import io
import re
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.sound.streams import (
    JOINED,
    Content,
    beginning_of,
    has_last_page,
    next_frame,
    unread,
    with_length,
)
from gtzan_jax.text import printable

if TYPE_CHECKING:
    import soundfile

DECODED = (
    ".wav", ".wave", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".flac",
    ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".mpga", ".voc", ".8svx", ".avr", ".htk", ".ircam",
    ".sf", ".nist", ".sph", ".paf", ".fap", ".pvf", ".sds", ".wve",
)  # fmt: skip
"""Endings of the sound files that libsndfile decodes."""

NOT_DECODED = (
    ".m4a", ".m4b", ".mp4", ".aac", ".ac3", ".amr", ".ape", ".dff", ".dsf", ".mka", ".mpc", ".ra",
    ".spx", ".tta", ".webm", ".wma", ".wv",
)  # fmt: skip
"""Endings of other sound files, which are reported as errors."""

MAX_MINUTES = 20  # an hour's spectrograms take several GB

_MP3_ENDINGS = (".mp3", ".mp2", ".mpga")
_MAX_CHANNELS = 32
_RATES_HZ = (2_000, 192_000)
_BLOCK = 2**20  # values decoded at once
_MOST_READ = 2**26  # bytes of a file; a larger one is mapped
_MOST_IN_MEMORY = 2**29  # bytes of an MP3, or of sound behind a tag
_UNKNOWN_LENGTH = 2**62  # frames: libsndfile's for a FLAC that was written to a pipe
_PROMISE = re.compile(  # in libsndfile's log, bytes
    r"^ *(?:data|Data Size|Data length|SSND|BODY|riff|Riff size) *:? (\d+) \(?should be (\d+)",
    re.MULTILINE,
)
_NO_PROMISE = 2**31 - 1  # bytes or more: of a WAV that was written to a pipe
_LEAST_SHARE = 0.99  # of the promised length; a last frame may be missing
_MP3_FRAMES = 2 * 1_152  # samples that encoders and decoders of MP3 may differ by
_LEAST_UNREAD = 4_096  # bytes: less than that is a tag, or padding
_ANEW = "write it anew, as ffmpeg -i OLD NEW does"
_UNKNOWN_FORMAT = "Format not recognised"  # libsndfile's words


def audio_module(name: str) -> ModuleType:
    """Imports a package of the extra ``audio``."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise InputError(
            f"sound needs the package {name} ({printable(error)}): pip install -e '.[audio]'"
        ) from None


def decode(path: Path) -> tuple[int, NDArray[np.float32]]:
    """Decodes a sound file: returns its sample rate in Hz, and the mean of its channels.

    Raises OSError, or SoundError with the reason alone: no sound, damaged, incomplete,
    unreasonable.
    """
    try:
        with path.open("rb") as file:
            content: Content
            if path.stat().st_size <= _MOST_READ:
                content = file.read()
            else:
                content = mmap(file.fileno(), 0, access=ACCESS_COPY)
            start, has_length = beginning_of(content, path.suffix.lower() in _MP3_ENDINGS)
            if not start:
                return _decode(path, file, content, has_length)
            _check_size(len(content) - start)
            return _decode(path, io.BytesIO(content[start:]), content[start:], has_length)
    except InputError:
        raise
    except (ValueError, IndexError) as error:  # from damaged files
        raise SoundError(f"damaged ({printable(error)}); {_ANEW}") from None


def _check_size(size: int) -> None:
    if size > _MOST_IN_MEMORY:
        raise SoundError(f"{size:,} bytes of an MP3, or behind a tag; cut it")


def _decode(
    path: Path, source: BinaryIO, content: Content, has_length: bool
) -> tuple[int, NDArray[np.float32]]:
    """Decodes sound, whose bytes are both ``source`` and ``content``."""
    low, high = _RATES_HZ
    with _opened(path, source) as sound:
        if not low <= sound.samplerate <= high:
            raise SoundError(
                f"a sample rate of {sound.samplerate:,} Hz; it must be {low:,} to {high:,} Hz"
            )
        if not 1 <= sound.channels <= _MAX_CHANNELS:
            raise SoundError(f"{sound.channels:,} channels, and at most {_MAX_CHANNELS} are read")
        if has_length or sound.format != "MP3":
            if sound.frames >= _UNKNOWN_LENGTH:
                raise SoundError(f"its header has no length; {_ANEW}")
            _check_minutes(sound.frames / sound.samplerate)
            samples = _mono(sound)
            _check_whole(sound, len(samples))
            _check_end(sound, content, source.tell())
            return sound.samplerate, samples
        if sound.subtype != "MPEG_LAYER_III":
            return sound.samplerate, _mono(sound)
    # libsndfile guesses the length of such an MP3 from its first frame, and decodes no more.
    _check_size(len(content))
    with _opened(path, io.BytesIO(with_length(content))) as sound:
        return sound.samplerate, _mono(sound)


def _opened(path: Path, source: BinaryIO) -> "soundfile.SoundFile":
    soundfile = audio_module("soundfile")
    source.seek(0)
    try:
        return soundfile.SoundFile(source)
    except soundfile.SoundFileError as error:
        reason = _reason(error)
    except TypeError:  # of a name that ends in .raw
        reason = "it has no header"
    with path.open("rb") as file:
        start = file.read(4)
    suffix = path.suffix.lower()
    if suffix == ".wav" and start not in (b"RIFF", b"RIFX", b"RF64"):
        reason = f"it has no RIFF header ({reason})"
    elif reason == _UNKNOWN_FORMAT and suffix in NOT_DECODED:
        reason = f"{suffix[1:].upper()} is not decoded here"
    if _UNKNOWN_FORMAT not in reason:
        reason += "; convert it, as ffmpeg -i OLD NEW.flac does"
    raise SoundError(f"no sound that can be read: {reason}")


def _reason(error: Exception) -> str:
    reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
    # libsndfile's message for a file that it tried as MP3 in the end
    return _UNKNOWN_FORMAT if "does not exist" in reason else reason


def _check_minutes(seconds: float) -> None:
    if seconds > MAX_MINUTES * 60:
        raise SoundError(
            f"{seconds / 60:,.0f} minutes long, and at most {MAX_MINUTES} are read; cut it"
        )


def _mono(sound: "soundfile.SoundFile") -> NDArray[np.float32]:
    """Decodes a stream block by block: its header may promise more than there is."""
    blocks, frames = [], 0
    try:
        while len(block := sound.read(_BLOCK // sound.channels, dtype="float32", always_2d=True)):
            frames += len(block)
            _check_minutes(frames / sound.samplerate)
            blocks.append(block.mean(axis=1))
            if not np.isfinite(blocks[-1]).all():
                raise SoundError("a sample is no finite number")
    except audio_module("soundfile").SoundFileError as error:
        raise SoundError(f"damaged or truncated ({_reason(error)})") from None
    if not frames:
        raise SoundError("it has no samples")
    return np.concatenate(blocks)


def _check_whole(sound: "soundfile.SoundFile", frames: int) -> None:
    """Raises SoundError for a stream much shorter than its header says, or a longer MP3."""
    if sound.format == "MP3" and frames > sound.frames:  # bytes that look like other frames
        raise SoundError(f"damaged: it has more samples than its header says; {_ANEW}")
    share = (frames + _MP3_FRAMES * (sound.format == "MP3")) / max(sound.frames, 1)
    # For a WAV or AIFF libsndfile takes the actual length, and logs the promised one.
    noted = _PROMISE.search(sound.extra_info)
    if noted and int(noted[1]) < _NO_PROMISE:
        share = min(share, int(noted[2]) / int(noted[1]))
    if share < _LEAST_SHARE:
        raise SoundError(f"truncated: it ends after {100 * share:.0f} % of what its header says")


def _check_end(sound: "soundfile.SoundFile", content: Content, stop: int) -> None:
    """Checks that a file ends with its samples, and an Ogg with its last page."""
    least = max(_LEAST_UNREAD, len(content) * (1 - _LEAST_SHARE))
    if sound.format == "MP3":
        place = next_frame(content, stop)
        if place is not None and len(content) - place > least:
            raise SoundError(JOINED)
    elif sound.format == "OGG":
        if not has_last_page(content):
            raise SoundError(f"truncated: its last page is missing; {_ANEW}")
    elif (left := unread(content, stop)) > least:
        said = f"its header says {sound.frames / sound.samplerate:.1f} s"
        raise SoundError(f"{said}, and {left:,} bytes follow that may be sound; {_ANEW}")
