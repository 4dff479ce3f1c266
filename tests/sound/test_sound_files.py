"""Which songs a folder has, and the samples of whatever may be in them."""

import hashlib
import io
import os
import struct

import numpy as np
import pytest
import soundfile
from sounds import bare_mp3, noise, tone, write

from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.sound import decoding as module
from gtzan_jax.sound.files import SAMPLE_RATE, Song, digest_of, left_out, read, songs_in
from gtzan_jax.sound.streams import with_length


def test_samples_are_those_of_the_file(tmp_path):
    integers = np.random.default_rng(0).integers(-(2**15), 2**15, 5000).astype(np.int16)
    samples = read(write(tmp_path / "a.wav", integers))
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, integers / np.float32(2**15))


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_channels_are_averaged(tmp_path, channels):
    samples = noise(4000 * channels).reshape(4000, channels)
    path = write(tmp_path / "a.wav", samples, subtype="FLOAT")
    np.testing.assert_allclose(read(path), samples.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000, 96_000, 192_000])
def test_other_rates_are_resampled(tmp_path, rate):
    path = write(tmp_path / "a.wav", tone(1.0, hertz=440, rate=rate), rate)
    samples = read(path)
    assert len(samples) == SAMPLE_RATE
    inner = slice(500, -500)  # the ends ring
    np.testing.assert_allclose(samples[inner], tone(1.0, hertz=440)[inner], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("a.wav", {"subtype": "PCM_U8"}, 1 / 127),
        ("a.wav", {"subtype": "PCM_24"}, 1e-6),
        ("a.wav", {"subtype": "FLOAT"}, 0),
        ("a.wav", {"subtype": "ULAW"}, 0.02),
        ("a.wav", {"format": "RF64"}, 1e-4),
        ("a.wav", {"format": "WAVEX"}, 1e-4),
        ("a.au", {}, 1e-4),
        ("a.flac", {}, 1e-4),
        ("a.ogg", {}, 0.05),
        ("a.mp3", {}, 0.05),
        ("a.aiff", {}, 1e-4),
        ("a.caf", {}, 1e-4),
        ("a.w64", {}, 1e-4),
        ("a.oga", {"format": "OGG", "subtype": "VORBIS"}, 0.05),
        ("A.FLAC", {}, 1e-4),
    ],
)
def test_every_format_comes_back(tmp_path, name, options, error):
    samples = tone(2.0, hertz=440)
    found = read(write(tmp_path / name, samples, **options))
    assert len(found) == len(samples)
    inner = slice(2000, -2000)
    np.testing.assert_allclose(found[inner], samples[inner], atol=error)


@pytest.mark.parametrize(("limit", "value"), [("_BLOCK", 1000), ("_MOST_READ", 1000)])
def test_a_long_file_is_decoded_in_blocks_and_a_large_one_mapped(
    tmp_path, monkeypatch, limit, value
):
    samples = noise(20_000).reshape(10_000, 2)
    path = write(tmp_path / "a.wav", samples, subtype="FLOAT")
    whole = read(path)
    monkeypatch.setattr(module, limit, value)
    np.testing.assert_array_equal(read(path), whole)


SOUND = noise(8_000)


@pytest.fixture
def wave(tmp_path):
    """The bytes of a WAV of 16-bit samples."""
    return write(tmp_path / "good.wav", SOUND).read_bytes()


def at(content, mark, offset, kind, value):
    """Changes a number, ``offset`` bytes behind a mark."""
    place = content.index(mark) + len(mark) + offset
    packed = struct.pack(kind, value)
    return content[:place] + packed + content[place + len(packed) :]


BAD_WAVES = {
    "empty": (lambda _: b"", "it is empty"),
    "text": (lambda _: b"no sound at all\n" * 50, "it has no RIFF header"),
    "no RIFF header": (lambda wave: b"\0" * 12 + wave[12:], "it has no RIFF header"),
    "the header alone": (lambda wave: wave[:44], "truncated|no samples"),
    "half a header": (lambda wave: wave[:30], "cannot be decoded"),
    "half of it": (lambda wave: wave[: len(wave) // 2], "truncated: it ends after 50 %"),
    "promises 2 GB": (lambda wave: at(wave, b"data", 0, "<I", 2**31 - 9), "truncated"),
    "no samples": (lambda wave: at(wave, b"data", 0, "<I", 0), "it has no samples"),
    "0 Hz": (lambda wave: at(wave, b"fmt ", 8, "<I", 0), "cannot be decoded"),
    "1 Hz": (lambda wave: at(wave, b"fmt ", 8, "<I", 1), "sample rate 1 Hz"),
    "2 GHz": (lambda wave: at(wave, b"fmt ", 8, "<I", 2**31 - 1), "sample rate 2,147,483,647"),
    "no channels": (lambda wave: at(wave, b"fmt ", 6, "<H", 0), "cannot be decoded"),
    "100 channels": (lambda wave: at(wave, b"fmt ", 6, "<H", 100), "100 channels"),
    "65,535 channels": (lambda wave: at(wave, b"fmt ", 6, "<H", 65_535), "cannot be decoded"),
    "an unknown encoding": (lambda wave: at(wave, b"fmt ", 4, "<H", 0x7777), "cannot be decoded"),
}  # fmt: skip


@pytest.mark.parametrize(("edit", "reason"), BAD_WAVES.values(), ids=BAD_WAVES)
def test_a_bad_wave_is_refused_on_one_line(tmp_path, wave, edit, reason):
    path = tmp_path / "bad.wav"
    path.write_bytes(edit(wave))
    with pytest.raises(SoundError, match=reason) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()


@pytest.mark.parametrize("size", [2**31 - 1, 2**32 - 1])
def test_a_wave_that_was_written_to_a_pipe_promises_nothing(tmp_path, wave, size):
    path = tmp_path / "piped.wav"
    path.write_bytes(at(wave, b"data", 0, "<I", size))
    assert len(read(path)) == len(SOUND)


def test_a_wave_without_its_last_samples_is_whole_enough(tmp_path, wave):
    path = tmp_path / "a.wav"
    path.write_bytes(wave[:-20])
    assert len(read(path)) == len(SOUND) - 10


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path, value):
    path = write(tmp_path / "a.wav", np.array([0, value, 0], np.float32), subtype="FLOAT")
    with pytest.raises(SoundError, match="a sample is not finite"):
        read(path)


def test_no_samples_and_one_sample(tmp_path):
    with pytest.raises(SoundError, match="no samples"):
        read(write(tmp_path / "none.wav", np.zeros(0, np.float32)))
    assert read(write(tmp_path / "one.wav", np.zeros(1, np.float32))).shape == (1,)


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac", "au"])
@pytest.mark.parametrize(
    "content", [b"", b"no sound\n" * 99, b"\0" * 999, b"\xff\xfb\x90\x64" * 99]
)
def test_other_formats_are_refused_as_well(tmp_path, suffix, content):
    path = tmp_path / f"bad.{suffix}"
    path.write_bytes(content)
    with pytest.raises(
        SoundError, match=r"bad\.\w+: (it is empty|cannot be decoded|damaged|it has no)"
    ) as c:
        read(path)
    assert "does not exist" not in str(c.value)


# Old formats whose headers have no length, or one that libsndfile does not tell of.
WITHOUT_LENGTH = {".avr", ".fap", ".ircam", ".nist", ".paf", ".pvf", ".sf", ".sph", ".voc"}

WRITTEN = {  # as libsndfile calls what it writes
    ".wav": "WAV", ".wave": "WAV", ".rf64": "RF64", ".w64": "W64", ".aif": "AIFF", ".aiff": "AIFF",
    ".aifc": "AIFF", ".au": "AU", ".snd": "AU", ".caf": "CAF", ".flac": "FLAC", ".ogg": "OGG",
    ".oga": "OGG", ".opus": "OGG", ".mp3": "MP3", ".mpga": "MP3", ".voc": "VOC", ".8svx": "SVX",
    ".avr": "AVR", ".htk": "HTK", ".ircam": "IRCAM", ".sf": "IRCAM", ".nist": "NIST",
    ".sph": "NIST", ".paf": "PAF", ".fap": "PAF", ".pvf": "PVF", ".sds": "SDS", ".wve": "WVE",
}  # fmt: skip
RATES = {".opus": 24_000, ".wve": 8_000}
SUBTYPES = {".opus": "OPUS"}
NO_SOUND = {"MAT4", "MAT5"}  # numbers of any kind
NO_HEADER = {"RAW"}
WITHOUT_ENDING = {"MPC2K", "SD2", "XI"}  # endings of other things, and samples of instruments
ALSO_WAVE = {"WAVEX"}


def song_of(folder, suffix, seconds, seed=0, **options):
    """Writes a sound in the format of an ending."""
    rate = RATES.get(suffix, SAMPLE_RATE)
    options = {"format": WRITTEN[suffix], "subtype": SUBTYPES.get(suffix)} | options
    return write(folder / f"{seed}{suffix}", noise(round(seconds * rate), seed), rate, **options)


def test_every_format_of_the_reader_has_its_ending_in_the_list():
    """Independent of the list: libsndfile's own list of what it has."""
    others = NO_SOUND | NO_HEADER | WITHOUT_ENDING | ALSO_WAVE
    assert set(soundfile.available_formats()) - others == set(WRITTEN.values())
    assert set(WRITTEN) | {".mp2"} == set(module.DECODED)  # MP2 is not written


@pytest.mark.parametrize("suffix", WRITTEN)
def test_a_whole_file_of_every_ending_is_read(tmp_path, suffix):
    path = song_of(tmp_path, suffix, 1.5)
    path = path.rename(path.with_suffix(suffix.upper()))
    assert [song.path for song in songs_in(tmp_path)] == [path]
    assert len(read(path)) == pytest.approx(1.5 * SAMPLE_RATE, abs=2_000)


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_file_is_refused(tmp_path, suffix, share):
    path = song_of(tmp_path, suffix, 6)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    if suffix in WITHOUT_LENGTH:
        assert len(read(path)) == pytest.approx(6 * share * SAMPLE_RATE, rel=0.05)
        return
    with pytest.raises(SoundError, match=r"truncated|damaged|malformed|cannot be decoded"):
        read(path)


STREAMED = [s for s in WRITTEN if s not in WITHOUT_LENGTH | {".8svx", ".htk", ".sds", ".wve"}]


@pytest.mark.parametrize("suffix", [*STREAMED, ".voc"])
def test_joined_files_are_read_one_after_another(tmp_path, suffix):
    parts = [song_of(tmp_path, suffix, seconds, seed) for seed, seconds in enumerate((2, 4, 1))]
    joined = tmp_path / f"joined{suffix}"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    np.testing.assert_array_equal(read(joined), np.concatenate([read(part) for part in parts]))
    if suffix == ".voc":
        return
    content = joined.read_bytes()
    joined.write_bytes(content[: -len(parts[2].read_bytes()) // 2])
    reason = r"part 3 of joined files: (truncated|damaged|cannot be decoded|it has no samples)"
    with pytest.raises(SoundError, match=reason):
        read(joined)


def test_joined_files_of_other_rates_are_read(tmp_path):
    write(tmp_path / "a.mp3", noise(2 * SAMPLE_RATE))
    write(tmp_path / "b.mp3", noise(6 * 44_100).reshape(-1, 2), 44_100)
    both = [tmp_path / name for name in ("a.mp3", "b.mp3")]
    (tmp_path / "c.mp3").write_bytes(b"".join(path.read_bytes() for path in both))
    np.testing.assert_array_equal(
        read(tmp_path / "c.mp3"), np.concatenate([read(path) for path in both])
    )


def test_joined_files_may_not_be_longer_than_one(tmp_path, monkeypatch):
    path = song_of(tmp_path, ".wav", 2)
    path.write_bytes(2 * path.read_bytes())
    monkeypatch.setattr(module, "MAX_MINUTES", 3 / 60)
    with pytest.raises(SoundError, match="minutes long"):
        read(path)


VARIABLE = {"bitrate_mode": "VARIABLE", "compression_level": 0.1}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("loud_first", [True, False])
def test_an_mp3_without_its_length_is_read_to_its_end(tmp_path, loud_first, channels):
    """libsndfile guesses the length by the first frame, and reads no more than that: 4 s of 24."""
    parts = [noise(4 * SAMPLE_RATE), np.zeros(20 * SAMPLE_RATE, np.float32)]
    samples = np.concatenate(parts if loud_first else parts[::-1])
    path = bare_mp3(tmp_path / "a.mp3", np.stack([samples] * channels, axis=1), **VARIABLE)
    guess = soundfile.info(path).frames / len(samples)
    assert guess < 0.5 if loud_first else guess > 2
    assert len(read(path)) == pytest.approx(len(samples), abs=2_000)


@pytest.mark.parametrize("rate", [11_025, 22_050, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_length_is_put_in_front_of_mp3s_of_every_kind(tmp_path, rate, channels):
    """The frame that is added belongs to the stream that it is added to."""
    samples = np.stack([noise(2 * rate)] * channels, axis=1)
    content = write(tmp_path / "a.mp3", samples, rate).read_bytes()
    for part in (content, content[1_000:]):  # and where a frame is cut in two
        made = with_length(part)
        with soundfile.SoundFile(io.BytesIO(made)) as sound:
            assert (sound.samplerate, sound.channels) == (rate, channels)
            assert sound.frames > 1_200 * rate
            count = 0
            while block := len(sound.read(50_000)):
                count += block
        assert count == pytest.approx(2 * rate, abs=0.3 * rate)


def test_an_mp3_that_goes_on_behind_its_length_is_read_on(tmp_path):
    first = song_of(tmp_path, ".mp3", 3)
    bare = bare_mp3(tmp_path / "bare.mp3", noise(3 * SAMPLE_RATE, 1)).read_bytes()
    joined = tmp_path / "joined.mp3"
    tag = b"TAG" + b"a song".ljust(125, b"\0")
    for content in (first.read_bytes() + bare, first.read_bytes() + tag + bare):
        joined.write_bytes(content)
        samples = read(joined)
        assert len(samples) == pytest.approx(6 * SAMPLE_RATE, abs=2_000)
        np.testing.assert_array_equal(samples[: 3 * SAMPLE_RATE], read(first))
    joined.write_bytes(bare + first.read_bytes())
    assert len(read(joined)) == pytest.approx(6 * SAMPLE_RATE, abs=2_000)


TAGS = {
    "ID3v1": b"TAG" + b"a song".ljust(125, b"\0"),
    "ID3v2": b"ID3\x04\0\0\0\1\0\0" + b"\xff\xfb\x90\x64" * 4_096,
    "APE": b"APETAGEX" + struct.pack("<III", 2_000, 40_000, 1) + bytes(12) + b"\xff\xfb" * 20_000,
    "padding": bytes(100_000),
}


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg", ".au"])
@pytest.mark.parametrize("kind", TAGS)
def test_tags_and_padding_are_no_sound(tmp_path, suffix, kind):
    path = song_of(tmp_path, suffix, 2)
    whole = read(path)
    if kind not in ("ID3v2", "APE") or suffix in (".mp3", ".au"):  # as players write them
        path.write_bytes(path.read_bytes() + TAGS[kind])
    np.testing.assert_array_equal(read(path), whole)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "FLOAT"])
def test_a_wave_that_is_longer_than_its_header_says_is_told(tmp_path, subtype):
    samples = 0.5 + tone(6.0, hertz=50, amplitude=0.3)
    path = write(tmp_path / "a.wav", samples, subtype=subtype)
    content = path.read_bytes()
    size = struct.unpack("<I", content[content.index(b"data") + 4 :][:4])[0]
    picture = b"id3 " + struct.pack("<I", 200_000) + b"\xff\xd8" * 100_000
    path.write_bytes(content + picture)
    assert len(read(path)) == len(samples)
    path.write_bytes(at(content, b"data", 0, "<I", size // 2))
    with pytest.raises(SoundError, match=r"header states 3\.0 s, but [\d,]+ more bytes may be"):
        read(path)


def test_what_is_not_decoded_is_told_with_a_remedy(tmp_path):
    """The first bytes of MPEG-4, as phones record it."""
    path = tmp_path / "a.m4a"
    path.write_bytes(b"\0\0\0\x1cftypM4A \0\0\2\0M4A isomiso2" + bytes(5_000))
    assert [song.path for song in songs_in(tmp_path)] == [path]
    with pytest.raises(SoundError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}: cannot be decoded: M4A is not supported; convert it with: ffmpeg -i OLD NEW.flac"
    )


@pytest.mark.parametrize("name", ["a.raw", "a.gsm", "a.vox"])
def test_sound_without_a_header_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(noise(4_000).tobytes())
    with pytest.raises(SoundError, match="cannot be decoded"):
        read(path)


def flac_of(path, frames):
    """Writes a FLAC whose header says that it has so many samples."""
    content = bytearray(write(path, SOUND).read_bytes())
    content[21] = content[21] & 0xF0 | frames >> 32
    content[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (2**36 - 1, "51,942 minutes long; at most 20"),
        (2 * len(SOUND), "damaged or truncated"),
        (len(SOUND) // 2, "its header states 0.2 s, but 5,745 more bytes may be sound"),
        (0, "its header has no length"),
    ],
)
def test_a_flac_that_promises_what_is_not_there(tmp_path, frames, reason):
    with pytest.raises(SoundError, match=reason):
        read(flac_of(tmp_path / "a.flac", frames))


def test_a_long_mp3_is_refused_by_what_is_in_it(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp3", noise(2 * SAMPLE_RATE))
    assert len(read(path)) == 2 * SAMPLE_RATE
    monkeypatch.setattr(module, "MAX_MINUTES", 1 / 60)
    with pytest.raises(SoundError, match="minutes long"):
        read(path)


def test_an_mp3_without_its_first_frame_is_read(tmp_path):
    """Without the frame that tells the length, libsndfile guesses far more than there is."""
    samples = np.concatenate([np.zeros(4 * SAMPLE_RATE, np.float32), noise(SAMPLE_RATE)])
    path = write(tmp_path / "a.mp3", samples, bitrate_mode="VARIABLE", compression_level=0.1)
    content = path.read_bytes()
    start = next(place for place in range(40, 2000) if content[place : place + 2] == b"\xff\xf3")
    path.write_bytes(content[start:])
    assert soundfile.info(path).frames > 1.2 * len(samples)
    assert len(read(path)) == pytest.approx(len(samples), rel=0.05)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("a\n.wav", "rock"),
        ("\udcff.wav", "rock"),
        ("a\u202e.wav", "rock"),
        ("rock /a.wav", "rock "),
    ],
)
def test_names_that_no_table_takes_are_refused(tmp_path, wave, name, label):
    (tmp_path / "a.wav").write_bytes(wave)
    with pytest.raises(SoundError, match="rename it") as caught:
        digest_of(Song(tmp_path / "a.wav", name, label))
    assert str(caught.value).isprintable()
    digest = digest_of(Song(tmp_path / "a.wav", "björk, 'á'.wav", "rock"))
    assert digest == hashlib.sha256(wave).hexdigest()


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path in (tmp_path, tmp_path / "pipe.wav", "/dev/zero"):
        with pytest.raises(SoundError, match="it is not a regular file"):
            read(path)
    with pytest.raises(SoundError, match=r"gone\.wav: cannot be read: No such file"):
        read(tmp_path / "gone.wav")


def test_a_sparse_terabyte_is_not_read(tmp_path):
    path = tmp_path / "large.wav"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(SoundError, match="1,099,511,627,776 bytes"):
        read(path)


def test_a_name_means_nothing_to_a_terminal(tmp_path):
    path = tmp_path / "a\x1b[31m\nb.wav"
    path.write_bytes(b"x")
    with pytest.raises(SoundError) as caught:
        read(path)
    assert str(caught.value).isprintable()


def test_without_soundfile_the_remedy_is_said(tmp_path, wave, monkeypatch):
    (tmp_path / "a.wav").write_bytes(wave)
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    with pytest.raises(InputError, match=r"soundfile.*pip install -e '\.\[audio\]'") as caught:
        read(tmp_path / "a.wav")
    assert not isinstance(caught.value, SoundError)


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(folder):
    return [(song.name, song.label) for song in songs_in(folder)]


def test_gtzans_layout_gives_gtzans_names(tmp_path):
    put(tmp_path, "blues/blues.00000.wav", "blues/blues.00001.au", "jazz/jazz.00000.wav")
    expected = [
        ("blues.00000.wav", "blues"),
        ("blues.00001.au", "blues"),
        ("jazz.00000.wav", "jazz"),
    ]
    assert found(tmp_path) == expected
    put(tmp_path / "Data" / "genres_original", *(f"{g}/{n}" for n, g in expected))
    assert found(tmp_path / "Data") == expected  # as Kaggle packs it
    put(tmp_path / "flat", *(name for name, _ in expected))
    assert found(tmp_path / "flat") == expected


def test_other_songs_have_the_genre_of_the_first_folder(tmp_path):
    put(tmp_path, "rock/a/b/1.MP3", "rock/2.flac", "rock/jazz.00000.wav", "jazz/2.flac", "3.ogg")
    assert found(tmp_path) == [
        ("3.ogg", "unknown"),
        ("jazz/2.flac", "jazz"),
        ("rock/2.flac", "rock"),
        ("rock/a/b/1.MP3", "rock"),
        ("rock/jazz.00000.wav", "rock"),
    ]


def test_only_plain_sound_files_are_taken(tmp_path):
    put(
        tmp_path / "music",
        "rock/a.wav",
        "rock/notes.txt",
        "rock/.b.wav",
        ".trash/c.wav",
        "rock/wav",
    )
    put(tmp_path / "elsewhere", "d.wav")
    (tmp_path / "music" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "music" / "rock" / "link.wav").symlink_to(tmp_path / "elsewhere" / "d.wav")
    (tmp_path / "music" / "rock" / "circle").symlink_to(tmp_path / "music")
    (tmp_path / "music" / "rock" / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "music" / "rock" / "pipe.wav")
    assert found(tmp_path / "music") == [("rock/a.wav", "rock")]
    assert left_out(tmp_path / "music") == [
        "left out: 3 links, 1 .txt, 1 pipes or devices, 1 without an ending"
    ]
    (tmp_path / "way").symlink_to(tmp_path / "music")
    assert found(tmp_path / "way") == [("rock/a.wav", "rock")]  # the folder itself may be a link


def test_a_folder_without_songs_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no sound file$"):
        songs_in(tmp_path)
    put(tmp_path / "texts", "a.txt", "b.txt", "rock/notes")
    with pytest.raises(InputError) as caught:
        songs_in(tmp_path / "texts")
    assert str(caught.value).endswith(
        "holds no sound file; left out: 2 .txt, 1 without an ending; folders without a sound file: "
        "rock"
    )
    with pytest.raises(InputError, match="is not a folder"):
        songs_in(tmp_path / "gone")
    put(tmp_path, "a.wav")
    with pytest.raises(InputError, match="is not a folder"):
        songs_in(tmp_path / "a.wav")


def test_what_is_left_out_of_a_folder_is_counted(tmp_path):
    put(tmp_path, "rock/a.m4a", "jazz/a.txt", "jazz/b.TXT", "jazz/c.jpg", "pop/x/y/a.opus", ".a/b")
    (tmp_path / "folk").mkdir()
    assert found(tmp_path) == [("pop/x/y/a.opus", "pop"), ("rock/a.m4a", "rock")]
    assert left_out(tmp_path) == [
        "left out: 2 .txt, 1 .jpg",
        "folders without a sound file: folk, jazz",
    ]
    put(tmp_path, *(f"pop/a.{letter}" for letter in "abcdefg"))
    assert left_out(tmp_path)[0] == "left out: 2 .txt, 1 .a, 1 .b, 1 .c, 1 .d, 4 others"
    assert left_out(tmp_path / "rock") == []
