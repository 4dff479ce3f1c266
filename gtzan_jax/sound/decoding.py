"""Decodes sound files, and checks header, bytes and samples against each other."""

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
    Content,
    Stream,
    has_last_page,
    next_frame,
    streams_of,
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
"""Endings of sound files that libsndfile decodes."""

NOT_DECODED = (
    ".m4a", ".m4b", ".mp4", ".aac", ".ac3", ".amr", ".ape", ".dff", ".dsf", ".mka", ".mpc", ".ra",
    ".spx", ".tta", ".webm", ".wma", ".wv",
)  # fmt: skip
"""Endings of other sound files: an error each."""

MAX_MINUTES = 20  # an hour's spectrograms take several GB

_MP3_ENDINGS = (".mp3", ".mp2", ".mpga")
_MAX_CHANNELS = 32
_RATES_HZ = (2_000, 192_000)
_BLOCK = 2**20  # values decoded at once
_MOST_READ = 2**26  # bytes of a file; a larger one is mapped
_MOST_IN_MEMORY = 2**29  # bytes of an MP3, or of a file in a joined one
_UNKNOWN_LENGTH = 2**62  # frames: libsndfile's value for a FLAC written to a pipe
_STATED = re.compile(  # lengths in libsndfile's log, in bytes: stated and actual
    r"^ *(?:data|Data Size|Data length|SSND|BODY|riff|Riff size) *:? (\d+) \(?should be (\d+)",
    re.MULTILINE,
)
_NOT_STATED = 2**31 - 1  # bytes or more: a WAV written to a pipe
_LEAST_SHARE = 0.99  # of the stated length; a last frame may be missing
_MP3_FRAMES = 2 * 1_152  # samples by which MP3 encoders and decoders may differ
_LEAST_UNREAD = 4_096  # bytes; fewer are a tag or padding
_REWRITE = "rewrite it with: ffmpeg -i OLD NEW"
_UNKNOWN_FORMAT = "Format not recognised"  # libsndfile's words


def audio_module(name: str) -> ModuleType:
    """Imports a package of the extra ``audio``.

    Raises:
      InputError: the package, or one that it needs, is not installed.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise InputError(
            f"sound needs the package {name} ({printable(error)}): pip install -e '.[audio]'"
        ) from None


def decode(path: Path) -> list[tuple[int, NDArray[np.float32]]]:
    """Decodes a sound file.

    Returns:
      sample rate in Hz and mean of the channels, for each stream of the file; usually one.

    Raises:
      SoundError: the file is no sound, damaged, truncated or out of bounds; gives only the reason.
      OSError: the file cannot be read.
      InputError: soundfile is not installed.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size <= _MOST_READ:
                return _decode_streams(path, file, file.read())
            return _decode_streams(path, file, mmap(file.fileno(), 0, access=ACCESS_COPY))
    except InputError:
        raise
    except (ValueError, IndexError) as error:  # from damaged files
        raise SoundError(f"damaged ({printable(error)}); {_REWRITE}") from None


def _decode_streams(
    path: Path, file: BinaryIO, content: Content
) -> list[tuple[int, NDArray[np.float32]]]:
    streams = streams_of(content, path.suffix.lower() in _MP3_ENDINGS)
    decoded: list[tuple[int, NDArray[np.float32]]] = []
    for place, stream in enumerate(streams):  # which grows
        try:
            if (stream.start, stream.end) == (0, len(content)):
                rate, samples, stop = _decode(path, file, content, stream)
            else:
                part = content[stream.start : _checked_size(stream.end, stream.start)]
                rate, samples, stop = _decode(path, io.BytesIO(part), part, stream)
            decoded.append((rate, samples))
            _check_minutes(sum(len(samples) / rate for rate, samples in decoded))
        except SoundError as error:
            where = f"part {len(decoded) + 1} of joined files: " if len(streams) > 1 else ""
            raise SoundError(f"{where}{error}") from None
        if stop:
            streams.insert(place + 1, Stream(stream.start + stop, stream.end, False))
    return decoded


def _checked_size(end: int, start: int = 0) -> int:
    """Returns the end of a part; raises SoundError if the part is too large for memory."""
    if end - start > _MOST_IN_MEMORY:
        raise SoundError(
            f"{end - start:,} bytes of one MP3 or joined file; at most {_MOST_IN_MEMORY:,} are "
            "read: cut it"
        )
    return end


def _decode(
    path: Path, source: BinaryIO, content: Content, stream: Stream
) -> tuple[int, NDArray[np.float32], int]:
    """Decodes a stream; ``source`` and ``content`` are the same bytes.

    Returns:
      sample rate in Hz, mean of the channels, and the byte at which an MP3 continues after its
      stated length, else 0.
    """
    low, high = _RATES_HZ
    with _opened(path, source) as sound:
        if not low <= sound.samplerate <= high:
            raise SoundError(
                f"sample rate {sound.samplerate:,} Hz; it must be {low:,} to {high:,} Hz"
            )
        if not 1 <= sound.channels <= _MAX_CHANNELS:
            raise SoundError(f"{sound.channels:,} channels; at most {_MAX_CHANNELS} are read")
        if stream.has_length or sound.format != "MP3":
            if sound.frames >= _UNKNOWN_LENGTH:
                raise SoundError(f"its header has no length; {_REWRITE}")
            _check_minutes(sound.frames / sound.samplerate)
            samples = _mono(sound)
            _check_whole(sound, len(samples))
            return sound.samplerate, samples, _check_end(sound, content, source.tell())
        if sound.subtype != "MPEG_LAYER_III":
            return sound.samplerate, _mono(sound), 0
    # libsndfile estimates the length of such an MP3 from its first frame, and decodes no more.
    _checked_size(len(content))
    with _opened(path, io.BytesIO(with_length(content))) as sound:
        return sound.samplerate, _mono(sound), 0


def _opened(path: Path, source: BinaryIO) -> "soundfile.SoundFile":
    soundfile = audio_module("soundfile")
    source.seek(0)
    try:
        return soundfile.SoundFile(source)
    except soundfile.SoundFileError as error:
        reason = _reason(error)
    except TypeError:  # for a name that ends in .raw
        reason = "it has no header"
    with path.open("rb") as file:
        start = file.read(4)
    suffix = path.suffix.lower()
    if suffix == ".wav" and start not in (b"RIFF", b"RIFX", b"RF64"):
        reason = f"it has no RIFF header ({reason})"
    elif reason == _UNKNOWN_FORMAT and suffix in NOT_DECODED:
        reason = f"{suffix[1:].upper()} is not supported"
    if _UNKNOWN_FORMAT not in reason:
        reason += "; convert it with: ffmpeg -i OLD NEW.flac"
    raise SoundError(f"cannot be decoded: {reason}")


def _reason(error: Exception) -> str:
    reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
    # libsndfile's message if the last format that it tried was MP3
    return _UNKNOWN_FORMAT if "does not exist" in reason else reason


def _check_minutes(seconds: float) -> None:
    if seconds > MAX_MINUTES * 60:
        minutes = f"{seconds / 60:,.0f} minutes long"
        raise SoundError(f"{minutes}; at most {MAX_MINUTES} are read: cut it")


def _mono(sound: "soundfile.SoundFile") -> NDArray[np.float32]:
    """Decodes a stream block by block, since its header may state a wrong length."""
    blocks, frames = [], 0
    try:
        while len(block := sound.read(_BLOCK // sound.channels, dtype="float32", always_2d=True)):
            frames += len(block)
            _check_minutes(frames / sound.samplerate)
            blocks.append(block.mean(axis=1))
            if not np.isfinite(blocks[-1]).all():
                raise SoundError("a sample is not finite")
    except audio_module("soundfile").SoundFileError as error:
        raise SoundError(f"damaged or truncated ({_reason(error)})") from None
    if not frames:
        raise SoundError("it has no samples")
    return np.concatenate(blocks)


def _check_whole(sound: "soundfile.SoundFile", frames: int) -> None:
    """Raises SoundError for a stream much shorter than its header states, or a longer MP3."""
    if sound.format == "MP3" and frames > sound.frames:  # bytes that look like other frames
        raise SoundError(f"damaged: it has more samples than its header states; {_REWRITE}")
    share = (frames + _MP3_FRAMES * (sound.format == "MP3")) / max(sound.frames, 1)
    # For a WAV or AIFF libsndfile takes the actual length, and logs the stated one.
    noted = _STATED.search(sound.extra_info)
    if noted and int(noted[1]) < _NOT_STATED:
        share = min(share, int(noted[2]) / int(noted[1]))
    if share < _LEAST_SHARE:
        raise SoundError(f"truncated: it ends after {100 * share:.0f} % of its stated length")


def _check_end(sound: "soundfile.SoundFile", content: Content, stop: int) -> int:
    """Checks that a stream ends with its samples, and an Ogg with its last page.

    Returns:
      the byte at which an MP3 continues, else 0.
    """
    least = max(_LEAST_UNREAD, len(content) * (1 - _LEAST_SHARE))
    if sound.format == "MP3":
        place = next_frame(content, stop)
        return place if place is not None and len(content) - place > least else 0
    if sound.format == "OGG":
        if not has_last_page(content):
            raise SoundError(f"truncated: its last page is missing; {_REWRITE}")
    elif (left := unread(content, stop)) > least:
        stated = f"its header states {sound.frames / sound.samplerate:.1f} s"
        raise SoundError(f"{stated}, but {left:,} more bytes may be sound; {_REWRITE}")
    return 0
