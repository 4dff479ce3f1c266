"""Finds the streams of sound in a file: after tags, junk and other streams.

A file may be several joined byte by byte, as by ``cat a.mp3 b.mp3``. libsndfile decodes only the
first and reports no error.
"""

import re
import zlib
from itertools import chain
from mmap import mmap
from typing import NamedTuple

Content = bytes | mmap

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
"""First bytes of files, long enough not to occur in sound by chance."""

_MP3_TAG = re.compile(
    rb"\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x10-\xef].(?:.{2})?\x00{9,32}(?:Xing|Info)", re.DOTALL
)
"""The frame that precedes an MP3 stream and states its length, if the encoder wrote one."""
_MP3_FRAME = re.compile(rb"\xff(?=[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x10-\xef])")  # or of MP2
_MP3_RATES = (44_100, 48_000, 32_000)  # of MPEG 1; half as many of MPEG 2
_MP3_KBITS = {  # a second, by layer, of MPEG 1; and of MPEG 2
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
}
_MPEG_2_KBITS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MANY_FRAMES = (2**20).to_bytes(4, "big")  # of an MP3: seven hours and more
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # bits
_PICTURE = re.compile(rb"\xff\xd8\xff[\xe0-\xef]|\x89PNG\r\n")
_LYRICS = re.compile(rb"(\d{6})LYRICS200$")  # after that many bytes of a Lyrics3 tag
_TEXT_SHARE = 0.95  # of the bytes
_TEXT_BYTES = 2**20  # examined


class Stream(NamedTuple):
    """The bytes of a stream in a file, and whether its header has a length."""

    start: int
    end: int
    has_length: bool


def streams_of(content: Content, is_mp3: bool) -> list[Stream]:
    """Finds the streams of a file.

    Bytes before an MP3's first frame are left out: libsndfile would reject the file.

    Args:
      content: the whole file.
      is_mp3: whether its name ends as an MP3's.
    """
    first = behind_tags(content, 0)
    known = next((pattern for pattern in _BEGINNINGS if pattern.match(content, first)), None)
    pattern, first = (known, first) if known else (_MP3_TAG, 0)
    starts = [match.start() for match in pattern.finditer(content, first)]
    has_length = [True] * len(starts)
    if not known:
        is_mp3 = is_mp3 or content[:3] == b"ID3" or bool(_MP3_FRAME.match(content))
        head = next_frame(content, 0) if is_mp3 else None
        if not starts or (head is not None and head < starts[0]):
            starts, has_length = [head or 0, *starts], [False, *has_length]
    ends = [*starts[1:], len(content)]
    return [Stream(*found) for found in zip(starts, ends, has_length, strict=True)]


def next_frame(content: Content, place: int) -> int | None:
    """Returns the start of the next MP3 frames after a place and its tags; None if none.

    A tag's size may be wrong, and anything may precede the frames.
    """
    places = (match.start() for match in _MP3_FRAME.finditer(content, place))
    tried = chain([behind_tags(content, place)], places)
    return next((found for found in tried if _is_frame(content, found)), None)


def _is_frame(content: Content, place: int) -> bool:
    """Returns whether three MP3 frames of one kind follow each other, or two and the end."""
    kinds = set()  # of several frames: a single one occurs by chance, once in 8,000 bytes
    for count in range(3):
        head = content[place : place + 4]
        if count == 2 and not head:
            break
        length = frame_length(head)
        if not length:
            return False
        kinds.add((head[1] & 0xFE, head[2] & 0x0C))  # version, layer, sample rate
        place += length
    return len(kinds) == 1


def frame_length(head: bytes) -> int:
    """Returns the bytes of the MP2 or MP3 frame with a head; 0 if it is not a head."""
    if len(head) < 4 or not _MP3_FRAME.match(head) or head[2] & 0x0C == 0x0C:
        return 0
    version = {3: 0, 2: 1, 0: 2}[head[1] >> 3 & 3]  # MPEG 1, 2 and 2.5
    layer = 4 - (head[1] >> 1 & 3)
    kbits = (_MPEG_2_KBITS if version else _MP3_KBITS[layer])[(head[2] >> 4) - 1]
    rate = _MP3_RATES[head[2] >> 2 & 3] >> version
    samples = 576 if layer == 3 and version else 1_152
    return samples // 8 * kbits * 1_000 // rate + (head[2] >> 1 & 1)


def with_length(content: Content) -> bytes:
    """Returns the frames of an MP3 after a tag that states very many.

    Bytes between and after frames are left out: the decoder stops after 1,024 of them.
    """
    place, frames = next_frame(content, 0), []
    while place is not None:
        length = frame_length(content[place : place + 4])
        frames.append(content[place : place + length])
        place = place + length if length else next_frame(content, place)
    whole = b"".join(frames) or content[:]  # frames of free bit rate have no length
    mark, bits, mode = whole[1], whole[2], whole[3]
    is_mono, is_mpeg_1 = mode >> 6 == 3, mark & 8
    side = (17 if is_mono else 32) if is_mpeg_1 else (9 if is_mono else 17)
    head = bytes([0xFF, mark | 1, 0x80 | bits & 0x0C, mode & 0xC0])  # 112 kbit/s, or 64
    tag = head + bytes(side) + b"Xing\0\0\0\1" + _MANY_FRAMES
    return tag.ljust(frame_length(head), b"\0") + whole


def behind_tags(content: Content, place: int) -> int:
    """Returns the end of the ID3 and APE tags that begin at a place."""
    while True:
        head = content[place : place + 16]
        if head.startswith(b"ID3"):
            place += 10 + sum(byte << 7 * (3 - n) for n, byte in enumerate(head[6:10]))
        elif head.startswith(b"TAG"):
            place += 128
        elif head.startswith(b"APETAGEX"):
            place += 32 + int.from_bytes(head[12:16], "little")
        else:
            return place


def _before_tags(content: Content) -> int:
    """Returns the beginning of the ID3, APE and Lyrics3 tags at the end of a file."""
    end = len(content)
    while end > 0:
        tail = content[max(0, end - 128) : end]
        if tail.startswith(b"TAG"):
            end -= 128
        elif tail[-32:].startswith(b"APETAGEX"):
            end -= max(32, int.from_bytes(tail[-20:-16], "little"))  # without its own head
        elif lyrics := _LYRICS.search(tail):
            end -= 15 + int(lyrics[1])
        else:
            break
    return end


def unread(content: Content, place: int) -> int:
    """Counts the bytes after a place that may be sound: not tags, zeros, text or other chunks."""
    place, end = behind_tags(content, place), _before_tags(content)
    chunk = content[place : place + 9].removeprefix(b"\0")[:8]  # chunks start at even places
    sizes = (int.from_bytes(chunk[4:8], order) for order in ("little", "big"))
    is_chunk = re.match(rb"[ -~]{4}", chunk) and min(sizes) <= end - place
    if is_chunk or _PICTURE.match(content, place):
        return 0
    if _is_text(content[place : min(end, place + _TEXT_BYTES)].strip(b"\0")):
        return 0
    return max(0, end - place) if re.compile(rb"[^\0]").search(content, place, end) else 0


def _is_text(content: bytes) -> bool:
    """Returns whether nearly all bytes are printable UTF-8."""
    text = content.decode("utf-8", "ignore")
    printed = "".join(letter for letter in text if letter.isprintable() or letter in "\t\r\n")
    return len(printed.encode()) > _TEXT_SHARE * len(content)


def has_last_page(content: Content) -> bool:
    """Returns whether the last page of an Ogg is marked as the last, and complete."""
    last = content.rfind(b"OggS\0")
    page = content[last : last + 2**16]  # it has 65,307 bytes at most
    if last < 0 or len(page) < 27 or not page[5] & 4:
        return False
    length = 27 + page[26] + sum(page[27 : 27 + page[26]])
    summed = (page[:22] + bytes(4) + page[26:length]).translate(_REVERSED)
    # Ogg's checksum is zlib's without its inversions and with all bits in reverse.
    checksum = (zlib.crc32(summed, 2**32 - 1) ^ (2**32 - 1)).to_bytes(4, "big")
    return checksum.translate(_REVERSED) == page[22:26]
