"""Decodes a sound file, and checks that its header, its bytes and its samples agree.

A file may be several, joined byte by byte, as ``cat a.mp3 b.mp3`` does. libsndfile decodes the
first alone and reports no error, so that the streams are found here and decoded one after another.
"""

import io
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError, SoundError
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
"""Endings of the sound files that it does not: such files are reported, each as an error."""

MAX_MINUTES = 20
"""Longer files are refused: an hour's spectrograms take several GB."""

_MAX_CHANNELS = 32
_RATES_HZ = (2_000, 192_000)  # the least and the most; an 8-bit telephone has 8,000
_BLOCK = 2**20  # values that are decoded at once
_WINDOW = 2**20  # bytes that are searched at once
_UNKNOWN_LENGTH = 2**62  # frames: libsndfile's for a FLAC that was written to a pipe
_PROMISE = re.compile(  # in libsndfile's log, bytes
    r"^ *(?:data|Data Size|Data length|SSND|BODY|riff|Riff size) *:? (\d+) \(?should be (\d+)",
    re.MULTILINE,
)
_NO_PROMISE = 2**31 - 1  # bytes or more: of a WAV that was written to a pipe
_LEAST_SHARE = 0.99  # of the promised length; a last frame may be missing
_MP3_FRAMES = 2 * 1_152  # samples that encoders and decoders of MP3 may differ by
_MP3_RATES = (44_100, 48_000, 32_000)  # of MPEG 1; half as many of MPEG 2
_MP3_KBITS = {  # a second, by layer and whether it is MPEG 1
    (3, True): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, True): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, False): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, False): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_ENDINGS = (".mp3", ".mp2", ".mpga")
_MOST_IN_MEMORY = 2**29  # bytes
_MANY_FRAMES = 2**20  # of an MP3: seven hours and more
_LEAST_UNREAD = 4_096  # bytes: less than that is a tag, or padding
_TEXT_SHARE = 0.95  # of the bytes
_ANEW = "write it anew, as ffmpeg -i OLD NEW does"
_CONVERTED = "convert it, as ffmpeg -i OLD NEW.flac does"
_UNKNOWN_FORMAT = "Format not recognised"  # libsndfile's words

_BEGINNINGS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        rb"(?:RIFF|RIFX|RF64).{4}WAVE",
        rb"FORM.{4}(?:AIFF|AIFC|8SVX|16SV)",
        rb"fLaC[\x00\x80]\x00\x00\x22",
        rb"OggS\x00[\x02\x03]\x00{8}",  # a page that begins a stream
        rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1",  # W64
        rb"caff\x00\x01\x00\x00desc",
        rb"\.snd\x00\x00.{6}\x00\x00\x00[\x01-\x1b]",  # AU
        rb"Creative Voice File\x1a",
    )
)
"""First bytes of files; long enough not to be found in a file's sound by chance."""

_MP3_TAG = re.compile(
    rb"\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x10-\xef].(?:.{2})?\x00{9,32}(?:Xing|Info)", re.DOTALL
)
"""The frame in front of a stream of MP3 that has its length, where an encoder writes one."""
_MP3_FRAME = re.compile(rb"\xff(?=[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x10-\xef])")  # of MP2, too
_OGG_PAGE = re.compile(rb"OggS\0")
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # bits
_PICTURE = re.compile(rb"\xff\xd8\xff[\xe0-\xef]|\x89PNG\r\n")
_NO_ZERO = re.compile(rb"[^\0]")
_LYRICS = re.compile(rb"(\d{6})LYRICS200$")  # behind so many bytes of a Lyrics3 tag
_LONGEST_MARK = 64  # bytes, at least as many as any of these match


class _Stream(NamedTuple):
    """Where a stream lies in a file, in bytes, and whether it says how long it is."""

    start: int
    end: int
    has_length: bool


def decode(path: Path) -> list[tuple[int, NDArray[np.float32]]]:
    """Decodes a sound file.

    Returns:
      the sample rate in Hz, and the mean of the channels, of each stream; mostly there is one.

    Raises:
      SoundError: it is no sound, damaged, incomplete or unreasonable; says the reason alone.
      OSError: it cannot be read.
      InputError: soundfile is not installed.
    """
    try:
        with path.open("rb") as file:
            return _decode_streams(path, file)
    except InputError:
        raise
    except (ValueError, IndexError) as error:  # a damaged file shall cost itself alone
        raise SoundError(f"damaged ({printable(error)}); {_ANEW}") from None


def _decode_streams(path: Path, file: BinaryIO) -> list[tuple[int, NDArray[np.float32]]]:
    streams = _streams(path, file)
    decoded: list[tuple[int, NDArray[np.float32]]] = []
    for stream in streams:  # which grows
        source = _source(file, stream)
        try:
            rate, samples, stop = _decode_stream(path, source, stream.has_length)
            decoded.append((rate, samples))
            _check_minutes(sum(len(samples) / rate for rate, samples in decoded))
        except SoundError as error:
            part = f"part {len(decoded) + 1} of joined files: " if len(streams) > 1 else ""
            raise SoundError(f"{part}{error}") from None
        if stop:  # an MP3 goes on behind the length that it has
            place = streams.index(stream) + 1
            streams.insert(place, _Stream(stream.start + stop, stream.end, False))
    return decoded


def _source(file: BinaryIO, stream: _Stream) -> BinaryIO:
    """Returns a stream of a file as a file of its own."""
    whole = stream.start == 0 and stream.end == file.seek(0, os.SEEK_END)
    file.seek(stream.start)
    return file if whole else io.BytesIO(_bytes(file, stream.end - stream.start))


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


def _streams(path: Path, file: BinaryIO) -> list[_Stream]:
    """Finds the streams of a file."""
    size = file.seek(0, os.SEEK_END)
    first = _behind_tags(file, 0)
    file.seek(first)
    head = file.read(_LONGEST_MARK)
    pattern = next((pattern for pattern in _BEGINNINGS if pattern.match(head)), None)
    if pattern is None:
        return _mp3_streams(path, file, size)
    starts = list(_places(file, pattern, size, first))
    return [_Stream(*ends, True) for ends in zip(starts, [*starts[1:], size], strict=True)]


def _mp3_streams(path: Path, file: BinaryIO, size: int) -> list[_Stream]:
    """Finds the streams of a file that is an MP3, or has none of the known beginnings.

    What lies in front of the first frame is left out: libsndfile would refuse the MP3 for it.
    """
    starts = list(_places(file, _MP3_TAG, size))
    has_length = [True] * len(starts)
    file.seek(0)
    head = file.read(4)
    is_mp3 = head[:3] == b"ID3" or _MP3_FRAME.match(head) or path.suffix.lower() in _MP3_ENDINGS
    first = _next_frame(file, 0) if is_mp3 else None
    if not starts or (first is not None and first < starts[0]):
        starts, has_length = [first or 0, *starts], [False, *has_length]
    return [_Stream(*s) for s in zip(starts, [*starts[1:], size], has_length, strict=True)]


def _places(file: BinaryIO, pattern: re.Pattern[bytes], size: int, start: int = 0) -> Iterator[int]:
    """Yields where a pattern is found."""
    for place in range(start, size, _WINDOW):
        file.seek(place)
        window = file.read(_WINDOW + _LONGEST_MARK)
        yield from (place + m.start() for m in pattern.finditer(window) if m.start() < _WINDOW)


def _next_frame(source: BinaryIO, place: int) -> int | None:
    """Returns where frames of MP3 begin, behind a place and its tags; None if there are none."""
    behind = _behind_tags(source, place)
    if _is_frame(source, behind):
        return behind
    # A tag's size may be wrong, and anything may lie in front of the frames.
    size = source.seek(0, os.SEEK_END)
    places = _places(source, _MP3_FRAME, size, place)
    return next((found for found in places if _is_frame(source, found)), None)


def _is_frame(source: BinaryIO, place: int) -> bool:
    """Returns whether a frame of MP3 is at a place, and two more of its kind, or one and the end.

    One alone is found by chance, once in 8,000 bytes.
    """
    kinds = set()
    for count in range(3):
        source.seek(place)
        head = source.read(4)
        if count == 2 and not head:
            break
        length = _frame_length(head)
        if not length:
            return False
        kinds.add((head[1] & 0xFE, head[2] & 0x0C))  # version, layer, sample rate
        place += length
    return len(kinds) == 1


def _frame_length(head: bytes) -> int:
    """Returns how many bytes a frame of MP2 or MP3 has that begins so; 0 if none does."""
    if len(head) < 4 or not _MP3_FRAME.match(head) or head[2] & 0x0C == 0x0C:
        return 0
    version = {3: 0, 2: 1, 0: 2}[head[1] >> 3 & 3]  # MPEG 1, 2 and 2.5
    layer = 4 - (head[1] >> 1 & 3)
    kbits = _MP3_KBITS[layer, version == 0][(head[2] >> 4) - 1]
    rate = _MP3_RATES[head[2] >> 2 & 3] >> version
    samples = 576 if layer == 3 and version else 1_152
    return samples // 8 * kbits * 1_000 // rate + (head[2] >> 1 & 1)


def _decode_stream(
    path: Path, source: BinaryIO, has_length: bool
) -> tuple[int, NDArray[np.float32], int]:
    """Decodes a stream.

    Returns:
      the sample rate in Hz, the mean of the channels, and the place in bytes where an MP3 goes on
      behind its length; 0 where nothing does.
    """
    with _opened(path, source) as sound:
        _check_header(sound)
        if has_length or sound.format != "MP3":
            samples = _whole(sound)
            return sound.samplerate, samples, _check_end(sound, source, len(samples))
        if sound.subtype != "MPEG_LAYER_III":
            return sound.samplerate, _mono(sound), 0
        rate, channels = sound.samplerate, sound.channels
    # The length of such an MP3 is a guess by its first frame, and no more than that is decoded.
    with _opened(path, io.BytesIO(_with_length(source, rate, channels))) as sound:
        return rate, _mono(sound), 0


def _opened(path: Path, source: BinaryIO) -> "soundfile.SoundFile":
    soundfile = audio_module("soundfile")
    source.seek(0)
    try:
        return soundfile.SoundFile(source)
    except soundfile.SoundFileError as error:
        raise SoundError(f"no sound that can be read: {_why_not(path, error)}") from None
    except TypeError:  # of a name that ends in .raw
        raise SoundError("no sound that can be read: it has no header") from None


def _whole(sound: "soundfile.SoundFile") -> NDArray[np.float32]:
    """Returns the mean of the channels of a stream that has its length, if all of it is there."""
    if sound.frames >= _UNKNOWN_LENGTH:
        raise SoundError(f"its header has no length; {_ANEW}")
    _check_minutes(sound.frames / sound.samplerate)
    samples = _mono(sound)
    _check_whole(sound, len(samples))
    return samples


def _with_length(source: BinaryIO, rate: int, channels: int) -> bytes:
    """Returns the frames of an MP3 behind one that says that they are very many.

    Args:
      source: the MP3.
      rate: samples a second, which also says which version of MPEG it is.
      channels: 1 or 2.
    """
    content = b"".join(_frames(source))
    version = next(v for v in range(3) if rate << v in _MP3_RATES)  # 1, 2 and 2.5
    index = _MP3_RATES.index(rate << version) << 2
    sync, bits = (0xFB, 0x90) if version == 0 else (0xF3 if version == 1 else 0xE3, 0x80)
    side = (17 if version == 0 else 9) if channels == 1 else (32 if version == 0 else 17)
    head = bytes([0xFF, sync, bits | index, 0xC0 if channels == 1 else 0])
    tag = head + bytes(side) + b"Xing\0\0\0\1" + _MANY_FRAMES.to_bytes(4, "big")
    length = (144 * 128_000 if version == 0 else 72 * 64_000) // rate
    return tag.ljust(length, b"\0") + content


def _frames(source: BinaryIO) -> Iterator[bytes]:
    """Yields the frames of an MP3 without what lies between them and behind them.

    Behind 1,024 other bytes the decoder gives up.
    """
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    content = _bytes(source, size)
    place = _next_frame(source, 0)
    if place is None:  # they do not say how long they are
        yield content
    while place is not None:
        length = _frame_length(content[place : place + 4])
        yield content[place : place + length]
        place = place + length if length else _next_frame(source, place)


def _bytes(source: BinaryIO, size: int) -> bytes:
    """Reads so many bytes into memory, if they are not too many."""
    if size > _MOST_IN_MEMORY:
        raise SoundError(f"{size:,} bytes of a joined file, or of an MP3; cut it")
    return source.read(size)


def _why_not(path: Path, error: Exception) -> str:
    """Returns why a file was not opened as sound."""
    reason = _reason(error)
    with path.open("rb") as file:
        start = file.read(4)
    if path.suffix.lower() == ".wav" and start not in (b"RIFF", b"RIFX", b"RF64"):
        return f"it has no RIFF header ({reason})"
    if reason == _UNKNOWN_FORMAT and path.suffix.lower() in NOT_DECODED:
        reason = f"{path.suffix[1:].upper()} is not decoded here"
    return reason if reason == _UNKNOWN_FORMAT else f"{reason}; {_CONVERTED}"


def _reason(error: Exception) -> str:
    reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
    # What libsndfile says of a file that it tried as MP3 in the end.
    return _UNKNOWN_FORMAT if "does not exist" in reason else reason


def _check_header(sound: "soundfile.SoundFile") -> None:
    """Refuses what a header says that no song has, before memory is taken for it."""
    low, high = _RATES_HZ
    if not low <= sound.samplerate <= high:
        raise SoundError(
            f"a sample rate of {sound.samplerate:,} Hz; it must be {low:,} to {high:,} Hz"
        )
    if not 1 <= sound.channels <= _MAX_CHANNELS:
        raise SoundError(f"{sound.channels:,} channels, and at most {_MAX_CHANNELS} are read")


def _check_minutes(seconds: float) -> None:
    if seconds > MAX_MINUTES * 60:
        raise SoundError(
            f"{seconds / 60:,.0f} minutes long, and at most {MAX_MINUTES} are read; cut it"
        )


def _mono(sound: "soundfile.SoundFile") -> NDArray[np.float32]:
    """Decodes a stream, a block after another: its header may promise more than there is."""
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
    """Refuses a stream that ends long before its header says so, or an MP3 behind it.

    libsndfile takes what there is of a WAV or AIFF for its length, and notes what was promised.
    """
    if sound.format == "MP3" and frames > sound.frames:  # bytes that look like other frames
        raise SoundError(f"damaged: it has more samples than its header says; {_ANEW}")
    share = (frames + _MP3_FRAMES * (sound.format == "MP3")) / max(sound.frames, 1)
    noted = _PROMISE.search(sound.extra_info)
    if noted and int(noted[1]) < _NO_PROMISE:
        share = min(share, int(noted[2]) / int(noted[1]))
    if share < _LEAST_SHARE:
        raise SoundError(f"truncated: it ends after {100 * share:.0f} % of what its header says")


def _check_end(sound: "soundfile.SoundFile", source: BinaryIO, frames: int) -> int:
    """Checks that the bytes of a stream end with its samples, and an Ogg with its last page.

    Returns:
      the place where an MP3 goes on; 0 where nothing does.
    """
    stop = source.tell()
    size = source.seek(0, os.SEEK_END)
    least = max(_LEAST_UNREAD, size * (1 - _LEAST_SHARE))
    if sound.format == "MP3":
        place = _next_frame(source, stop)
        return place if place is not None and size - place > least else 0
    if sound.format == "OGG":
        if not _has_last_page(source, size):
            raise SoundError(f"truncated: its last page is missing; {_ANEW}")
        return 0
    stop, end = _behind_tags(source, stop), _before_tags(source, size)
    if end - stop > least and _may_be_sound(source, stop, end):
        said = f"its header says {frames / sound.samplerate:.1f} s"
        raise SoundError(f"{said}, and {end - stop:,} bytes follow that may be sound; {_ANEW}")
    return 0


def _behind_tags(source: BinaryIO, place: int) -> int:
    """Returns where ID3 and APE tags end that begin at a place."""
    while True:
        source.seek(place)
        head = source.read(16)
        if head.startswith(b"ID3"):
            place += 10 + sum(byte << 7 * (3 - n) for n, byte in enumerate(head[6:10]))
        elif head.startswith(b"TAG"):
            place += 128
        elif head.startswith(b"APETAGEX"):
            place += 32 + int.from_bytes(head[12:16], "little")
        else:
            return place


def _before_tags(source: BinaryIO, end: int) -> int:
    """Returns where ID3, APE and Lyrics3 tags begin that end at a place."""
    while end > 0:
        source.seek(max(0, end - 128))
        tail = source.read(min(end, 128))
        lyrics = _LYRICS.search(tail)
        if tail.startswith(b"TAG"):
            end -= 128
        elif tail[-32:].startswith(b"APETAGEX"):
            end -= max(32, int.from_bytes(tail[-20:-16], "little"))  # but for a head of its own
        elif lyrics:
            end -= 15 + int(lyrics[1])
        else:
            break
    return end


def _may_be_sound(source: BinaryIO, place: int, end: int) -> bool:
    """Returns whether what follows may be sound: not zeros, text, a picture or another chunk."""
    source.seek(place)
    head = source.read(9)
    chunk = head[1:] if head[:1] == b"\0" else head  # chunks begin at even places
    sizes = (int.from_bytes(chunk[4:8], order) for order in ("little", "big"))
    if re.match(rb"[ -~]{4}", chunk) and min(sizes) <= end - place:
        return False
    source.seek(place)
    if _PICTURE.match(head) or _is_text(source.read(min(_WINDOW, end - place)).strip(b"\0")):
        return False
    return next(_places(source, _NO_ZERO, end, place), end) < end


def _is_text(content: bytes) -> bool:
    """Returns whether nearly all of it is UTF-8 that can be printed."""
    text = content.decode("utf-8", "ignore")
    printed = "".join(letter for letter in text if letter.isprintable() or letter in "\t\r\n")
    return len(printed.encode()) > _TEXT_SHARE * len(content)


def _has_last_page(source: BinaryIO, size: int) -> bool:
    """Returns whether the last page of an Ogg says that it is the last, and is whole."""
    last = max(_places(source, _OGG_PAGE, size), default=size)
    source.seek(last)
    page = source.read(2**16)  # it has 65,307 bytes at most
    if len(page) < 27 or not page[5] & 4:
        return False
    length = 27 + page[26] + sum(page[27 : 27 + page[26]])
    summed = (page[:22] + bytes(4) + page[26:length]).translate(_REVERSED)
    # Ogg's checksum is zlib's without its inversions and with all bits in reverse.
    checksum = (zlib.crc32(summed, 2**32 - 1) ^ (2**32 - 1)).to_bytes(4, "big")
    return checksum.translate(_REVERSED) == page[22:26]
