"""A folder of sound files becomes a table: as users run it, and step by step."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import command, command_here
from conftest import ROOT
from made_weights import put_weights
from threadpoolctl import threadpool_limits

from gtzan_jax.errors import InputError, RunError, SoundError
from gtzan_jax.inference import extractor
from gtzan_jax.jobs import extracting as module
from gtzan_jax.jobs.extracting import extract
from gtzan_jax.sound.files import SAMPLE_RATE
from gtzan_jax.sound.rows import rows_of
from gtzan_jax.tables.schema import COLUMNS, EXTRACTORS
from gtzan_jax.tables.sources import load_table

soundfile = pytest.importorskip("soundfile")


def put(folder, *names, seconds=0.5):
    """Writes songs of noise, each other than the others."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(list(name.encode()))
        soundfile.write(path, 0.1 * random.normal(size=round(seconds * SAMPLE_RATE)), SAMPLE_RATE)


@pytest.fixture
def computed(monkeypatch):
    """Has files computed here, one after another; gives the names of those that are."""
    names = []

    def here(compute, paths, workers):
        assert workers >= 1
        for path in paths:
            names.append(path.name)
            try:
                with threadpool_limits(1):  # as the processes: else last bits differ
                    rows = compute(path)
                yield path, rows
            except SoundError as error:
                yield path, error

    monkeypatch.setattr(extractor, "of_many", here)
    return names


TWO_GENRES = [f"{genre}/{genre}.{n:05d}.wav" for genre in ("blues", "jazz") for n in range(10)]


def test_the_table_is_one_that_data_takes(tmp_path, computed, capsys):
    put(tmp_path / "music", *TWO_GENRES)
    done = extract(tmp_path / "music", tmp_path / "new" / "features.csv")
    assert (done.songs, done.rows, done.failures) == (20, 20, {})
    table = load_table(done.output)
    assert table.tracks == tuple(name.split("/")[1] for name in TWO_GENRES)
    assert table.genres == ("blues", "jazz")
    assert f"sweep --protocol=holdout --data={done.output}\n" in capsys.readouterr().out
    assert os.listdir(tmp_path / "new") == ["features.csv"]
    assert len(computed) == 20


@pytest.mark.usefixtures("computed")
def test_numbers_come_back_to_the_bit(tmp_path):
    put(tmp_path / "music", "rock/a, b.wav")
    extract(tmp_path / "music", tmp_path / "t.csv")
    text = (tmp_path / "t.csv").read_text()
    assert text.startswith(",".join(COLUMNS) + "\n")
    _, (name, length, *features, label) = csv.reader(text.splitlines())
    with threadpool_limits(1):
        (row,) = rows_of(tmp_path / "music" / "rock" / "a, b.wav", False)
    assert [float(length), *map(float, features)] == row
    assert (name, length, label) == ("rock/a, b.wav", str(SAMPLE_RATE // 2), "rock")


@pytest.mark.usefixtures("computed")
def test_the_published_text_comes_out_again(tmp_path, real_songs, real_table_path):
    name = sorted(path.name for path in real_songs.iterdir())[0]
    put(tmp_path / "music", "other/b.wav")
    shutil.copy(real_songs / name, tmp_path / "music" / name)
    extract(tmp_path / "music", tmp_path / "t.csv")
    lines = {line.split(",")[0]: line.split(",") for line in real_table_path.read_text().split()}
    ours = (tmp_path / "t.csv").read_text().splitlines()[1].split(",")
    theirs = lines[name]
    exact = [
        i for i, column in enumerate(COLUMNS) if column in ("filename", "length", "tempo", "label")
    ]
    assert [ours[i] for i in exact] == [theirs[i] for i in exact]
    assert (
        sum(a == b for a, b in zip(ours, theirs, strict=True)) > 10
    )  # most differ in a last digit


@pytest.mark.usefixtures("computed")
def test_a_table_of_segments_knows_its_songs(tmp_path, capsys):
    put(tmp_path / "music", *TWO_GENRES[:5], *TWO_GENRES[10:14], seconds=6.1)
    put(tmp_path / "music", *(f"jazz/album {n}/01.flac" for n in range(11)), seconds=6.1)
    put(tmp_path / "music", "blues/short.wav")
    done = extract(tmp_path / "music", tmp_path / "c.csv", segment_seconds=3)
    assert (done.songs, done.rows) == (20, 40)
    table = load_table(done.output)
    assert table.rows_note == "40 segments of 20 songs"
    assert [path.name for path in done.failures] == ["short.wav"]
    assert "too short: 0.50 s, less than a segment" in capsys.readouterr().out
    lengths = pd.read_csv(done.output)["length"]
    assert set(lengths) == {66_149}
    with pytest.raises(InputError, match="segment_seconds=5"):
        extract(tmp_path / "music", tmp_path / "d.csv", segment_seconds=5)


@pytest.mark.usefixtures("computed")
@pytest.mark.parametrize("features", ["musicnn", "musicnn_tags"])
def test_a_table_of_pretrained_features(tmp_path, computed, monkeypatch, features):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    put_weights()
    put(tmp_path / "music", *TWO_GENRES)
    put(tmp_path / "music", "rock/short.wav", seconds=0.05)
    done = extract(tmp_path / "music", tmp_path / "t.csv", features=features)
    assert (done.songs, len(done.failures)) == (20, 1)
    table = load_table(tmp_path / "t.csv")
    assert table.features == EXTRACTORS[features]
    assert table.is_of_songs
    computed.clear()
    again = extract(tmp_path / "music", tmp_path / "u.csv", features=features)
    assert again.songs == 20
    assert len(computed) == 21  # of another table
    extract(tmp_path / "music", tmp_path / "t.csv", features=features, overwrite=True)
    assert computed[21:] == ["short.wav"]
    assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "u.csv").read_bytes()


def test_weights_are_of_a_pretrained_network(tmp_path):
    put(tmp_path / "music", "rock/a.wav")
    with pytest.raises(InputError, match="--weights is for a pretrained network"):
        extract(tmp_path / "music", tmp_path / "t.csv", weights="a.whl")


def test_songs_without_a_genre_are_said(tmp_path, capsys):
    put(tmp_path / "music", "a.wav", "b.wav")
    done = extract(tmp_path / "music", tmp_path / "t.csv")
    assert set(pd.read_csv(done.output)["label"]) == {"unknown"}
    told = capsys.readouterr().err
    assert "2 songs in no genre's folder, such as a.wav: labelled 'unknown'" in told
    assert "--data cannot use this table: " in told


@pytest.mark.usefixtures("computed")
def test_what_is_left_out_is_told_and_genres_that_end_up_empty(tmp_path, capsys):
    music = tmp_path / "music"
    put(music, *TWO_GENRES, "folk/a.aiff", "folk/b.AIFF", "folk/c.w64", "folk/d.caf")
    for name in ("soul/a.m4a", "soul/b.M4A", "pop/a.txt", "pop/b.txt", "cover.jpg"):
        (music / name).parent.mkdir(exist_ok=True)
        (music / name).write_bytes(b"\0\0\0\x20ftypM4A " + bytes(2_000))
    done = extract(music, tmp_path / "t.csv")
    assert set(pd.read_csv(done.output)["label"]) == {"blues", "folk", "jazz"}
    assert done.songs == 24
    shown = capsys.readouterr()
    assert "26 sound files in" in shown.out
    listed = shown.out.partition("2 files could not be used:\n")[2].splitlines()[:2]
    for line, name in zip(listed, ("soul/a.m4a", "soul/b.M4A"), strict=True):
        assert name in line
        assert "M4A is not supported; convert it with: ffmpeg -i OLD NEW.flac" in line
    warned = shown.err.splitlines()
    assert "warning: left out: 2 .txt, 1 .jpg" in warned
    assert "warning: folders without a sound file: pop" in warned
    assert "warning: genres without a song in the table: soul" in warned


def test_what_is_done_is_not_done_again(tmp_path, computed):
    music, output = tmp_path / "music", tmp_path / "t.csv"
    put(music, "rock/a.wav", "rock/b.wav")
    (music / "rock" / "bad.wav").write_text("no sound")
    extract(music, output)
    assert computed == ["a.wav", "b.wav", "bad.wav"]
    part = output.with_name("t.csv.part")
    assert len(list(part.iterdir())) == 2
    before = output.read_bytes()

    computed.clear()
    output.unlink()
    extract(music, output)
    assert computed == ["bad.wav"]
    assert output.read_bytes() == before

    computed.clear()
    put(music, "rock/bad.wav")  # repaired
    put(music, "rock/a.wav", seconds=0.6)  # changed
    put(music, "rock/c.wav")  # new
    shutil.copy(music / "rock" / "b.wav", music / "rock" / "d.wav")  # known by another name
    done = extract(music, output, overwrite=True)
    assert computed == ["a.wav", "bad.wav", "c.wav"]
    assert (done.songs, done.failures) == (5, {})
    assert not part.exists()
    frame = pd.read_csv(output).set_index("filename")
    assert list(frame.index) == [f"rock/{name}.wav" for name in ("a", "b", "bad", "c", "d")]
    pd.testing.assert_series_equal(
        frame.loc["rock/b.wav"], frame.loc["rock/d.wav"], check_names=False
    )


def test_another_version_does_all_anew(tmp_path, computed, monkeypatch):
    put(tmp_path / "music", "rock/a.wav")
    (tmp_path / "music" / "rock" / "bad.wav").write_text("no sound")
    extract(tmp_path / "music", tmp_path / "t.csv")
    computed.clear()
    monkeypatch.setattr(extractor, "made_by", lambda _: "another librosa")
    extract(tmp_path / "music", tmp_path / "t.csv", overwrite=True)
    assert computed == ["a.wav", "bad.wav"]


@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_what_is_there_is_not_replaced(tmp_path, computed, there):
    put(tmp_path / "music", "rock/a.wav")
    output = tmp_path / "t.csv"
    if there == "folder":
        output.mkdir()
    elif there == "file":
        output.write_text("mine")
    else:
        output.symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match=r"--output=.*t\.csv: it (is a folder|already exists)"):
        extract(tmp_path / "music", output)
    assert not computed
    if there != "folder":
        extract(tmp_path / "music", output, overwrite=True)
        assert output.is_file()
        assert not (tmp_path / "gone").exists()


@pytest.mark.usefixtures("computed")
def test_no_good_file_leaves_no_table(tmp_path):
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "bad.wav").write_text("no sound")
    with pytest.raises(RunError, match="no file could be used"):
        extract(tmp_path / "music", tmp_path / "t.csv")
    assert sorted(os.listdir(tmp_path)) == ["music"]


@pytest.mark.usefixtures("computed")
def test_a_full_disk_is_told_in_one_line(tmp_path, monkeypatch):
    put(tmp_path / "music", "rock/a.wav")

    def full(*_):
        raise OSError(28, "No space left on device", "t.csv")

    monkeypatch.setattr(module, "write_csv", full)
    with pytest.raises(RunError, match=r"t\.csv: No space left on device; progress is saved"):
        extract(tmp_path / "music", tmp_path / "t.csv")
    assert (tmp_path / "t.csv.part").exists()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The command on a folder of good, bad and hostile files, and the folder."""
    folder = tmp_path_factory.mktemp("hostile")
    put(folder / "music", "rock/rock.00000.wav", "jazz/é, ü.flac")
    music = folder / "music" / "rock"
    (music / "empty.wav").touch()
    (music / "text.mp3").write_text("no sound")
    (music / "jazz.00054.wav").write_bytes(bytes(5000))
    put(folder / "music", "rock/a\x1b[2J.wav")
    with (music / "tera.wav").open("wb") as file:
        file.truncate(2**40)
    (music / "locked.wav").symlink_to("/dev/zero")
    return folder, command("extract", "music", "--output=t.csv", "--workers=1", folder=folder)


def test_bad_files_are_listed_and_the_rest_is_written(hostile):
    folder, done = hostile
    assert done.returncode == 1
    assert list(pd.read_csv(folder / "t.csv")["filename"]) == ["jazz/é, ü.flac", "rock.00000.wav"]
    listed = done.stdout.partition("5 files could not be used:\n")[2].splitlines()[:5]
    for name, reason in {
        "empty.wav": "it is empty",
        "text.mp3": "cannot be decoded: Format not recognised",
        "jazz.00054.wav": "it has no RIFF header",
        "a [2J.wav": "rename it",
        "tera.wav": "bytes; at most",
    }.items():
        (line,) = [line for line in listed if name in line]
        assert reason in line
        (warning,) = [line for line in done.stderr.splitlines() if name in line]
        assert warning.startswith("warning: music/rock/")
    assert "\x1b" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "Illegal Audio-MPEG-Header" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["music", "more"], "unexpected argument 'more'; give one FOLDER"),
        (["gone"], "gone is not a folder"),
        (["music", "--output=t.csv"], "it already exists; --overwrite replaces it"),
        (["music", "--output=t.csv/deep.csv", "--overwrite"], "--output"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(hostile, arguments, message):
    done = command_here("extract", *arguments, folder=hostile[0])
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line


def start(folder):
    """Starts the command on a folder of many songs and waits until some are done."""
    part = folder / "t.csv.part"
    before = len(list(part.glob("[0-9a-f]*")))
    process = subprocess.Popen(
        [sys.executable, "-m", "gtzan_jax.extract", "music", "--output=t.csv", "--workers=2"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0,
    )  # fmt: skip
    for _ in range(1200):
        if len(list(part.glob("[0-9a-f]*"))) >= before + 2:
            return process
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    raise AssertionError("no song is done")


def workers_of(pid):
    """The processes that have this one as their parent and are joblib's workers."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            line = (folder / "cmdline").read_text()
        except OSError:
            continue
        if parent == pid and "gtzan_jax.workers" in line:
            found.append(folder)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_killed_command_goes_on_and_leaves_nobody_behind(tmp_path, computed):
    names = [f"rock/{n:02d}.wav" for n in range(40)]
    put(tmp_path / "music", *names, seconds=8)
    part = tmp_path / "t.csv.part"
    for number in (signal.SIGKILL, signal.SIGINT):
        process = start(tmp_path)
        workers = workers_of(process.pid)
        assert len(workers) == 2
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as Ctrl-C, which reaches the workers, too
        else:
            process.send_signal(number)
        _, err = process.communicate(timeout=60)
        if number == signal.SIGINT:
            assert process.returncode == 130
            assert "progress is saved in t.csv.part; resume with\n  python -m gtzan_jax" in err
            assert "Traceback" not in err
            assert "its process" not in err
        for _ in range(100):
            if not any(worker.exists() for worker in workers):
                break
            time.sleep(0.1)
        else:
            pytest.fail("a worker outlives the command")
    kept = list(part.glob("[0-9a-f]*"))
    assert 4 <= len(kept) < 40
    done = extract(tmp_path / "music", tmp_path / "t.csv")
    assert len(computed) == 40 - len(kept)
    assert (done.songs, done.failures) == (40, {})
    assert list(pd.read_csv(done.output)["filename"]) == names
    # Whatever was killed in between: the same bytes as in one go.
    before = done.output.read_bytes()
    computed.clear()
    extract(tmp_path / "music", tmp_path / "t.csv", overwrite=True)
    assert len(computed) == 40
    assert done.output.read_bytes() == before
