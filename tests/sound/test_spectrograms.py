"""Tables of spectrograms from folders, Kaggle and made-up songs."""

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import requests
from conftest import slow
from made_songs import write_songs
from sounds import noise, of_many_here, tone, write
from threadpoolctl import threadpool_limits

from gtzan_jax.errors import InputError
from gtzan_jax.sound import spectrograms as module
from gtzan_jax.sound import synthetic
from gtzan_jax.sound.features import segments_of
from gtzan_jax.sound.files import read
from gtzan_jax.sound.mel import BAND_NAMES, BANDS, FRAMES, log_mel
from gtzan_jax.sound.processes import of_many
from gtzan_jax.sound.spectrograms import find_spectrograms, load_spectrograms
from gtzan_jax.tables import kaggle
from gtzan_jax.tables.sources import find_table


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """An empty current folder, checkout and cache, no network, and no process but this one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "checkout" / "gtzan_jax")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(requests, "head", refuse)
    monkeypatch.setattr(module, "of_many", of_many_here)
    return tmp_path


def refuse(*_args, **_options):
    raise requests.ConnectionError("no network")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of 20 made-up songs, of two segments each."""
    folder = tmp_path_factory.mktemp("made")
    write_songs(folder, 2, 6.1)
    return folder


@pytest.fixture
def songs(made, tmp_path):
    """A copy of it, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "songs"))


@pytest.mark.parametrize("of_many", [of_many_here, slow(of_many)])
def test_each_row_is_the_spectrogram_of_a_segment(songs, monkeypatch, of_many):
    monkeypatch.setattr(module, "of_many", of_many)
    table = load_spectrograms(songs)
    assert table.x.shape == (40, BANDS, FRAMES)
    assert (table.x.dtype, table.features, table.source) == (np.float16, BAND_NAMES, str(songs))
    assert table.genres == synthetic.GENRES
    row = 0
    for path in sorted(songs.rglob("*.wav")):
        for number, segment in enumerate(segments_of(read(path))):
            assert table.tracks[row] == f"{path.stem}.{number}.wav"
            assert table.genres[table.y[row]] == path.parent.name
            with threadpool_limits(1):  # as in the processes: else last bits differ
                np.testing.assert_array_equal(table.x[row], log_mel(segment))
            row += 1
    assert row == len(table.y)


def test_the_table_knows_its_songs(songs):
    table = load_spectrograms(songs)
    assert table.is_spectrogram
    np.testing.assert_array_equal(table.songs, np.arange(40) // 2)
    assert table.by_song.x.shape == (20, BANDS, FRAMES)
    assert repr(table).startswith(
        "FeatureTable(40 segments of 20 songs × 64 bands × 65 frames, 10 genres, source "
    )


@pytest.mark.parametrize(
    ("name", "segments"),
    [
        ("rock/my song.wav", ["rock/my song.00000.0.wav", "rock/my song.00000.1.wav"]),
        ("rock/live.2020.3.wav", ["rock/live.2020.3.00000.0.wav", "rock/live.2020.3.00000.1.wav"]),
        ("rock/album/a.WAV", ["rock/album/a.00000.0.WAV", "rock/album/a.00000.1.WAV"]),
        ("rock/blues.00000.wav", ["rock/blues.00000.0.wav", "rock/blues.00000.1.wav"]),
        ("rock.00007.wav", ["rock.00007.0.wav", "rock.00007.1.wav"]),
    ],
)
def test_segments_are_of_one_song_whatever_it_is_called(songs, name, segments):
    write(songs / name, noise(140_000))
    table = load_spectrograms(songs)
    rows = [table.tracks.index(task) for task in segments]
    assert len(table.y) == 42
    assert table.num_songs == 21
    assert len(set(table.songs[rows])) == 1
    assert {table.genres[table.y[row]] for row in rows} == {"rock"}


def test_long_songs_stay_one_song(songs):
    write(songs / "rock" / "long.wav", np.tile(noise(66_150), 104))
    table = load_spectrograms(songs)
    assert table.num_songs == 21
    assert (table.songs == table.songs[-1]).sum() == 103  # the last segment ends with the song


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("rock/broken.wav", b"RIFF and no more", "cannot be decoded"),
        ("rock/empty.wav", b"", "it is empty"),
        ("rock/text.mp3", b"no sound" * 999, "cannot be decoded"),
        ("rock/short.wav", tone(2.9), "short.wav: too short: 2.90 s"),
        ("rock/loud.wav", np.float32(1e30) * noise(70_000), "loud.wav: its samples are too large"),
        ("free.wav", tone(3.1), "it is in no genre's folder"),
        ("rock/z/rock.00000.wav", tone(3.1), "rock/rock.00000.wav has the same name; keep one"),
        ("rock/bell\x07.wav", tone(3.1), "bell .wav: .* rename it"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_told_each_time(songs, name, content, reason):
    whole = load_spectrograms(songs)
    if isinstance(content, bytes):
        (songs / name).write_bytes(content)
    else:
        options = {"subtype": "FLOAT"} if "loud" in name else {}
        write(songs / name, content, **options)
    for _ in range(2):
        with pytest.warns(UserWarning, match=f"left out: .*{reason}"):
            table = load_spectrograms(songs)
        assert table.sha256 == whole.sha256


def test_what_is_left_out_is_counted_and_genres_that_end_up_empty_are_named(songs):
    whole = load_spectrograms(songs)
    (songs / "soul").mkdir()
    (songs / "soul" / "a.m4a").write_bytes(bytes(999))
    (songs / "soul" / "b.m4a").write_bytes(bytes(999))
    (songs / "folk").mkdir()
    (songs / "rock" / "cover.jpg").touch()
    with pytest.warns(UserWarning, match=r"left out|without a ") as caught:
        table = load_spectrograms(songs)
    assert table.sha256 == whole.sha256
    told = [str(warning.message) for warning in caught]
    assert told[:2] == ["left out: 1 .jpg", "folders without a sound file: folk"]
    for line, name in zip(told[2:4], "ab", strict=True):
        assert line.startswith(f"left out: {songs / 'soul' / name}.m4a: cannot be decoded")
    assert told[4:] == ["genres without a usable song: soul"]


def test_links_and_pipes_are_not_followed(songs, tmp_path):
    whole = load_spectrograms(songs)
    write(tmp_path / "elsewhere.wav", tone(3.1))
    (songs / "rock" / "link.wav").symlink_to(tmp_path / "elsewhere.wav")
    (songs / "rock" / "more").symlink_to(songs)
    with pytest.warns(UserWarning, match="left out: 2 links"):
        assert load_spectrograms(songs).sha256 == whole.sha256


AGAIN = "rock/again.00000.0.wav"


def test_equal_segments_are_repeats(songs):
    shutil.copy(songs / "metal" / "metal.00000.wav", songs / "rock" / "again.wav")
    write(songs / "pop" / "silence.wav", np.zeros(200_000, np.float32))
    table = load_spectrograms(songs)
    groups = {
        tuple(np.flatnonzero((table.x == segment).all(axis=(1, 2))).tolist()) for segment in table.x
    }
    assert set(table.repeats) == {group for group in groups if len(group) > 1}
    assert len(table.repeats) == 3
    again = [table.by_song.tracks.index(name) for name in ("metal.00000.0.wav", AGAIN)]
    assert table.by_song.repeats == (tuple(again),)  # the silence repeats itself alone


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda songs: keep(songs, "rock", "pop"), "4 songs, but at least 20 are needed"),
        (
            lambda songs: write(songs / "polka" / "one.wav", tone(3.1)),
            "genre 'polka' has 1 song, but each needs at least 2",
        ),
        (
            lambda songs: [write(songs / "Hip-Hop" / f"{i}.wav", noise(70_000)) for i in range(2)],
            "'hiphop' and 'Hip-Hop': use one name for one genre",
        ),
        (
            lambda songs: (songs / "rock" / "rock.00000.wav").write_bytes(b"broken"),
            "19 songs, but at least 20 are needed .1 left out, such as .*rock.00000.wav",
        ),
    ],
)
def test_folders_that_are_no_table(songs, change, message):
    change(songs)
    with pytest.raises(InputError, match=message):
        load_spectrograms(songs)


def keep(songs, *genres):
    for folder in songs.iterdir():
        if folder.name not in genres:
            shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("table.csv", "table.csv is a file, but a network on spectrograms needs sound: give auto"),
        ("sonds", "no sound 'sonds' .did you mean 'sounds'"),
        ("no/such", "no sound 'no/such': give auto, sounds, sample, kaggle, or a folder"),
        ("", "no sound ''"),
        ("empty", "holds no sound file"),
    ],
)
def test_data_that_is_no_sound(places, data, message):
    (places / "table.csv").write_text("filename\n")
    (places / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        load_spectrograms(data)


# ------------------------------------------------------------------------------------ made-up songs


@pytest.fixture
def few(monkeypatch):
    """As many made-up songs as the folder has."""
    monkeypatch.setattr(module, "SYNTHETIC_SONGS", 2)
    monkeypatch.setattr(module, "SYNTHETIC_SECONDS", 6.1)


@pytest.mark.parametrize("data", ["sounds", "sample", "auto"])
@pytest.mark.usefixtures("few")
def test_made_up_songs_are_those_that_files_hold(songs, data):
    table = load_spectrograms(data)
    assert (table.source, table.is_sample) == ("sounds", True)
    assert table.sha256 == load_spectrograms(songs).sha256
    assert "SYNTHETIC" in table.note()
    if data == "auto":
        assert "no folder data/genres_original" in table.notice
        assert "say nothing about music" in table.notice
    else:
        assert not table.notice


@pytest.mark.parametrize("place", ["data/genres_original", "data/genres"])
@pytest.mark.parametrize("root", [".", "checkout"])
def test_auto_takes_the_folder_that_is_there(songs, place, root):
    Path(root, place).parent.mkdir(parents=True)
    songs.rename(Path(root, place))
    table = load_spectrograms("auto")
    assert (table.source, table.notice, table.is_sample) == (place, "", False)


@pytest.mark.usefixtures("few")
def test_tables_of_features_know_nothing_of_sounds():
    assert find_table(load_spectrograms("sounds").sha256, "sounds") is None


def test_the_made_up_songs_of_everyday(monkeypatch):
    """20 songs of each genre, of three segments each."""
    samples = np.zeros(len(synthetic.song("pop", 0, module.SYNTHETIC_SECONDS)), np.float32)
    segments = np.zeros((len(segments_of(samples)), BANDS, FRAMES), np.float16)
    monkeypatch.setattr(module, "of_many", lambda _, sounds, __: ((s, segments) for s in sounds))
    assert load_spectrograms("sounds").rows_note == "600 segments of 200 songs"


# -------------------------------------------------------------------------------------------- again


def test_a_second_load_imports_nothing_that_reads_sound(songs):
    load_spectrograms(songs)
    code = (
        f"import sys; from gtzan_jax.sound.spectrograms import load_spectrograms as load; "
        f"table = load({str(songs)!r}); "
        "print(len(table.y), *sorted({'librosa', 'soundfile', 'numba', 'jax'} & {*sys.modules}))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["40"]


def test_progress_is_watched_where_there_is_some(songs):
    seen = []

    def watch(found, total):
        for song in found:
            seen.append(total)
            yield song

    for _ in range(2):
        load_spectrograms(songs, watch)
        assert seen == [20] * 20


@pytest.mark.usefixtures("few")
def test_spectrograms_are_found_by_their_checksum(songs):
    table = load_spectrograms(songs)
    shutil.rmtree(songs)
    found = find_spectrograms(table.sha256, "data/gone")
    np.testing.assert_array_equal(found.x, table.x)
    assert (found.tracks, found.source) == (table.tracks, "data/gone")
    assert find_spectrograms("0" * 64, "data/gone") is None
    shutil.rmtree("cache")
    assert find_spectrograms(table.sha256, "data/gone") is None
    assert find_spectrograms(table.sha256, "sounds").source == "sounds"  # made anew
    assert find_spectrograms("0" * 64, "sounds") is None


# ------------------------------------------------------------------------------------------- Kaggle


@pytest.fixture
def downloads(songs, monkeypatch):
    """Kaggle within reach, serving the songs."""
    calls = []

    def download(handle, **options):
        calls.append((handle, options))
        return str(songs.parent / "downloaded")

    (songs.parent / "downloaded" / "Data").mkdir(parents=True)
    songs.rename(songs.parent / "downloaded" / "Data" / "genres_original")
    monkeypatch.setattr(requests, "head", lambda *_args, **_options: None)
    monkeypatch.setattr("kagglehub.dataset_download", download)
    return calls


def test_kaggles_songs_are_downloaded_after_a_word(downloads, capsys):
    table = load_spectrograms("kaggle")
    assert (table.source, table.num_songs) == ("kaggle", 20)
    assert downloads == [(kaggle.HANDLE, {})]
    assert "1.2 GB" in capsys.readouterr().out


@pytest.mark.usefixtures("downloads")
def test_a_download_without_songs(places):
    shutil.rmtree(places / "downloaded" / "Data")
    with pytest.raises(InputError, match="no folder Data/genres_original"):
        load_spectrograms("kaggle")


def test_kaggle_out_of_reach():
    with pytest.raises(InputError, match="Kaggle is unreachable"):
        load_spectrograms("kaggle")


def test_nothing_else_warns(songs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_spectrograms(songs)
