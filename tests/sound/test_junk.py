"""Sound files with other bytes in front of the sound, behind it or between, and wrong sizes."""

import io
import struct

import numpy as np
import pytest
import soundfile
from sounds import bare_mp3, noise, write

from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.sound import decoding as module
from gtzan_jax.sound.files import SAMPLE_RATE, read
from gtzan_jax.sound.streams import frame_length

SECONDS = 3
SUFFIXES = [".mp3", ".ogg", ".opus", ".flac", ".wav"]
RANDOM = np.random.default_rng(7).bytes(200_000)
ID3V1 = b"TAG" + b"a song".ljust(125, b"\0")
HTML = b"<html>" + b"<p>Not found</p>\n" * 5_000
LYRICS = b"LYRICSBEGININD0000200LYR85000" + b"la \xe4\xf6 " * 17_000


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The bytes of three seconds in each format; ``bare`` is an MP3 without its length."""
    folder = tmp_path_factory.mktemp("files")
    paths = {suffix: write_song(folder / f"a{suffix}") for suffix in SUFFIXES}
    paths["bare"] = bare_mp3(folder / "bare.mp3", noise(SECONDS * SAMPLE_RATE))
    return {kind: path.read_bytes() for kind, path in paths.items()}


def write_song(path):
    if path.suffix == ".opus":
        return write(path, noise(SECONDS * 24_000), 24_000, format="OGG", subtype="OPUS")
    samples = noise(SECONDS * SAMPLE_RATE)
    return write(path, np.stack([samples] * 2, axis=1) if path.suffix == ".mp3" else samples)


def read_bytes(folder, suffix, content):
    path = folder / f"song{suffix}"
    path.write_bytes(content)
    return read(path)


def id3(size, frames=bytes(500)):
    """An ID3 tag that says that it has so many bytes."""
    return b"ID3\x03\0\0" + bytes(size >> 7 * n & 127 for n in (3, 2, 1, 0)) + frames


def ape(content):
    """An APE tag with a footer alone."""
    return content + b"APETAGEX" + struct.pack("<4I", 2_000, len(content) + 32, 1, 0) + bytes(8)


IN_FRONT = {
    "nothing": b"",
    "zeros": bytes(4),
    "a frame of zeros": bytes(1_152),
    "an empty line": b"\r\n",
    "half of a frame's mark": b"\xff",
    "text": b"HTTP/1.1 200 OK\r\n" * 500,
    "random bytes": RANDOM[:10_000],
    "a tag": id3(500),
    "a tag with padding that it does not count": id3(500, bytes(3_500)),
    "a tag with a picture": id3(40_000, RANDOM[:40_000]),
    **{f"a tag that is {n:+,} bytes": id3(500 + n) for n in (-100, -3, 1, 3, 100, 5_000)},
    "a tag larger than a file": id3(2**28 - 1),
    "a tag of no valid size": b"ID3\x03\0\0" + b"\xff" * 4 + bytes(500),
}


@pytest.mark.parametrize("kind", [".mp3", "bare"])
@pytest.mark.parametrize("front", IN_FRONT.values(), ids=IN_FRONT)
def test_an_mp3_may_begin_with_other_bytes(tmp_path, files, kind, front):
    whole = read_bytes(tmp_path, ".mp3", files[kind])
    assert len(whole) == pytest.approx(SECONDS * SAMPLE_RATE, abs=2_000)
    np.testing.assert_array_equal(read_bytes(tmp_path, ".mp3", front + files[kind]), whole)


@pytest.mark.parametrize("kind", [".mp3", "bare"])
@pytest.mark.parametrize("cut", [1, 50, 150, 1_000, 4_001])
def test_an_mp3_that_begins_in_the_middle_of_a_frame_is_read(tmp_path, files, kind, cut):
    left = SECONDS * (1 - cut / len(files[kind]))
    found = read_bytes(tmp_path, ".mp3", files[kind][cut:])
    assert len(found) == pytest.approx(left * SAMPLE_RATE, abs=0.15 * SAMPLE_RATE)


@pytest.mark.parametrize("suffix", [".ogg", ".flac", ".wav"])
def test_other_sound_may_begin_with_a_tag(tmp_path, files, suffix):
    found = read_bytes(tmp_path, suffix, id3(500) + files[suffix])
    np.testing.assert_array_equal(found, read_bytes(tmp_path, suffix, files[suffix]))


BEHIND = {
    "text": b"x" * 10_000,
    "a page of the web": HTML,
    "UTF-8": "Пісня\n".encode() * 5_000,
    "text, then zeros": HTML + bytes(300_000),
    "zeros": bytes(200_000),
    "zeros, then a tag": bytes(200_000) + ID3V1,
    "an APE footer": ape(RANDOM[:60_000]),
    "an APE footer, then a tag": ape(RANDOM[:60_000]) + ID3V1,
    "lyrics": LYRICS + b"%06dLYRICS200" % len(LYRICS),
    "lyrics, then a tag": LYRICS + b"%06dLYRICS200" % len(LYRICS) + ID3V1,
    "random bytes": RANDOM,
    "a picture": b"\xff\xd8\xff\xe0" + RANDOM,
}


@pytest.mark.parametrize("kind", [*SUFFIXES, "bare"])
@pytest.mark.parametrize("behind", BEHIND)
def test_what_is_no_sound_may_lie_behind_it(tmp_path, files, kind, behind):
    suffix = ".mp3" if kind == "bare" else kind
    whole = read_bytes(tmp_path, suffix, files[kind])
    content = files[kind] + BEHIND[behind]
    undecided = {".flac": ["random bytes", "a picture"], ".wav": ["random bytes"]}
    if behind in undecided.get(suffix, []):  # they may as well be samples
        reason = r"its header states 3\.0 s, but [12]\d\d,\d{3} more bytes may be sound;"
        with pytest.raises(SoundError, match=reason):
            read_bytes(tmp_path, suffix, content)
        return
    np.testing.assert_array_equal(read_bytes(tmp_path, suffix, content), whole)


@pytest.mark.parametrize("first", [".mp3", "bare"])
@pytest.mark.parametrize("second", [".mp3", "bare"])
@pytest.mark.parametrize("between", [HTML, bytes(5_000), RANDOM[:50_000], id3(2**28 - 1), b"\xff"])
def test_joined_mp3s_are_read_on_whatever_lies_between(tmp_path, files, first, second, between):
    found = read_bytes(tmp_path, ".mp3", files[first] + between + files[second])
    assert len(found) == pytest.approx(2 * SECONDS * SAMPLE_RATE, abs=4_000)


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
@pytest.mark.parametrize("share", [0.5, 0.995])
@pytest.mark.parametrize("padding", [0, 20_000, 300_000])
def test_an_ogg_of_which_the_end_is_missing_is_refused(tmp_path, files, suffix, share, padding):
    """As of a download into a file that had its size from the beginning."""
    content = files[suffix]
    with pytest.raises(SoundError, match="truncated: its last page is missing"):
        read_bytes(tmp_path, suffix, content[: int(len(content) * share)] + bytes(padding))


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
@pytest.mark.parametrize("left", [0, 10, 40])
@pytest.mark.parametrize("padding", [0, 300_000])
def test_an_ogg_that_is_cut_at_its_last_page_is_refused(tmp_path, files, suffix, left, padding):
    content = files[suffix]
    content = content[: content.rindex(b"OggS") + left] + bytes(padding)
    with pytest.raises(SoundError, match="truncated: its last page is missing"):
        read_bytes(tmp_path, suffix, content)


HEADS = [  # of frames: of MPEG 1, 2 and 2.5 and layers 2 and 3, mono
    bytes([0xFF, mark, bits << 4 | rate << 2, 0xC0])
    for mark in (0xFD, 0xFB, 0xF5, 0xF3, 0xE3)
    for bits in range(1, 15)
    for rate in range(3)
    if mark != 0xFD or bits <= 10  # as mono MP2 has them
]


def test_frames_are_as_long_as_the_decoder_finds_them():
    """Frames of silence without padding: were they longer or shorter, none would be in its place.

    The decoder alone tolerates a few bytes between them, but not that every one is displaced.
    """
    for head in HEADS:
        content = 20 * head.ljust(frame_length(head), b"\0")
        per_frame = 1_152 if head[1] & 6 == 4 or head[1] & 8 else 576
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            found = len(sound.read())
        assert found == pytest.approx(20 * per_frame, abs=per_frame), head.hex()


def mp2_of(count):
    """An MP2 of so many frames of silence, 44.1 kHz, mono, 64 kbit/s."""
    frames = []
    for place in range(count):  # padding as the rate needs it
        pad = (place + 1) * 144 * 64_000 % 44_100 < 144 * 64_000 % 44_100
        frames.append(b"\xff\xfd" + bytes([0x40 | pad << 1, 0xC0]) + bytes(204 + pad))
    return b"".join(frames)


@pytest.mark.parametrize("front", IN_FRONT.values(), ids=IN_FRONT)
def test_an_mp2_may_begin_with_other_bytes(tmp_path, front):
    found = read_bytes(tmp_path, ".mp2", front + mp2_of(100))
    assert len(found) == pytest.approx(100 * 1_152 / 2, abs=1_200)
    assert not found.any()


def test_two_frames_that_end_the_file_are_found(tmp_path):
    assert len(read_bytes(tmp_path, ".mp2", b"text\n" + mp2_of(2))) == 2 * 1_152 / 2


@pytest.mark.parametrize("error", [ValueError("negative"), IndexError("beyond")])
def test_a_file_that_no_reader_foresaw_costs_only_itself(tmp_path, files, error, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(module, "streams_of", fail)
    with pytest.raises(SoundError, match=rf"song\.wav: damaged \({error}\); rewrite it with"):
        read_bytes(tmp_path, ".wav", files[".wav"])


def test_a_missing_package_is_no_damage(tmp_path, files, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    with pytest.raises(InputError) as caught:
        read_bytes(tmp_path, ".wav", files[".wav"])
    assert not isinstance(caught.value, SoundError)


def junk(random):
    """Random bytes, zeros, text, a tag, or nothing."""
    size = int(random.choice([1, 3, 30, 1_000, 5_000, 150_000]))
    tag = id3(int(random.choice([0, size, size + 3, 2 * size, 2**28 - 1])), bytes(size))
    kinds = [b"", random.bytes(size), bytes(size), b"text\n" * (size // 5 + 1), tag]
    return kinds[random.integers(len(kinds))]


def cut(content, random):
    """A part of it, or all."""
    if random.random() < 0.5:
        return content
    start, stop = sorted(random.integers(0, len(content), 2))
    return content[start:] if random.random() < 0.5 else content[:stop]


def seconds_of(folder, suffix, content):
    """How long the sound is that is read; None if it is refused, on a line."""
    try:
        return len(read_bytes(folder, suffix, content)) / SAMPLE_RATE
    except SoundError as error:
        assert str(error).isprintable()  # noqa: PT017
        return None


@pytest.mark.parametrize("kind", [*SUFFIXES, "bare"])
@pytest.mark.parametrize("seed", range(5))
def test_any_change_leaves_sound_of_its_length_or_a_reason(tmp_path, files, kind, seed, capfd):
    random = np.random.default_rng(seed)
    suffix = ".mp3" if kind == "bare" else kind
    for _ in range(12):
        part = cut(files[kind], random)
        found = seconds_of(tmp_path, suffix, junk(random) + part + junk(random))
        if found is None:
            assert suffix != ".mp3" or part != files[kind]
        else:  # zeros behind a cut WAV are samples
            share = 1 if suffix == ".wav" else len(part) / len(files[kind])
            assert found == pytest.approx(SECONDS * share, abs=0.3)
    assert "Traceback" not in capfd.readouterr().err  # of a function that libsndfile calls
