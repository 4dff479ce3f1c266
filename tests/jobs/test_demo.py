"""The page that predicts songs: what it is given, what it keeps, and how it refuses."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import command_here
from test_predicting import RATE, model_of

from gtzan_jax.inference.model_files import save_model
from gtzan_jax.jobs import page as module
from gtzan_jax.jobs.options import DemoOptions
from gtzan_jax.jobs.page import Page
from gtzan_jax.sound.files import read
from gtzan_jax.views import song_page

MODEL = model_of()


def visitor(name="a"):
    return types.SimpleNamespace(session_hash=name)


@pytest.fixture
def upload(tmp_path):
    """Puts sound where Gradio would, in a folder of its own; returns the path."""

    def make(name="song.wav", seconds=7):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        samples = 0.2 * np.sin(2 * np.pi * 330 * np.arange(seconds * RATE) / RATE)
        soundfile.write(folder / name, samples, RATE)
        return str(folder / name)

    return make


def left(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_a_song_is_predicted_as_by_the_model(upload):
    path = upload()
    page = Page(MODEL, DemoOptions("run"))
    answer = page.answer(path, explain=True)
    expected = MODEL.predict_file(path)
    assert answer.path == "song.wav"
    assert answer.prediction.genres == expected.genres
    np.testing.assert_array_equal(answer.prediction.probabilities, expected.probabilities)
    assert page.predict_one(path, visitor()) == song_page.song(MODEL, answer)


def test_the_hop_is_that_of_the_flag(upload):
    path = upload()
    answer = Page(MODEL, DemoOptions("run", hop_seconds=1.0)).answer(path)
    assert len(answer.prediction.spans) == len(MODEL.sound.spans(len(read(path)), RATE))
    assert len(answer.prediction.spans) > len(MODEL.predict_file(path).spans)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"no sound at all", "no RIFF header"),
        (b"RIFF and no more", "cannot be decoded"),
    ],
)
def test_bad_files_are_sentences_without_a_path(upload, tmp_path, content, words):
    path = upload()
    Path(path).write_bytes(content)
    page = Page(MODEL, DemoOptions("run"))
    shown = page.predict_one(path, visitor())[0] + [*page.predict_several([path])][-1]
    assert shown.count(words) == 2
    assert shown.count("song.wav") == 2
    assert str(tmp_path) not in shown
    assert "Traceback" not in shown


def test_a_song_stays_while_its_player_needs_it(upload, tmp_path):
    page = Page(MODEL, DemoOptions("run"))
    first, second, other = upload("first.wav"), upload("second.wav"), upload("other.wav")
    page.predict_one(first, visitor())
    page.predict_one(other, visitor("b"))
    assert {"first.wav", "other.wav"} <= set(left(tmp_path))
    page.predict_one(first, visitor())  # again
    assert "first.wav" in left(tmp_path)
    page.predict_one(second, visitor())
    assert left(tmp_path) == ["1", "2", "other.wav", "second.wav"]
    page.predict_one(None, visitor())
    page.leave(visitor("b"))
    page.leave(visitor("who never dropped one"))
    assert left(tmp_path) == []


def test_several_songs_are_removed_one_by_one_but_for_what_is_played(upload, tmp_path):
    page = Page(MODEL, DemoOptions("run"))
    paths = [upload(f"{n}.wav") for n in range(3)]
    page.predict_one(paths[0], visitor("b"))
    tables = page.predict_several(paths)
    for count in range(1, 4):
        assert next(tables).count("<tr>") == 1 + count
        assert len(list(tmp_path.rglob("*.wav"))) == min(3, 4 - count)
    assert next(tables, None) is None
    assert [path.name for path in tmp_path.rglob("*.wav")] == ["0.wav"]
    assert [*page.predict_several(None)] == []


def test_copies_of_a_song_are_predicted_once_and_each_has_its_row(upload, tmp_path):
    page, path = Page(MODEL, DemoOptions("run")), upload()
    *_, table = page.predict_several([path, path])
    assert table.count("<tr>") == 3
    assert "not predicted" not in table
    assert left(tmp_path) == []


def test_songs_that_wait_are_removed_where_the_page_is_closed(upload, tmp_path):
    page = Page(MODEL, DemoOptions("run"))
    tables = page.predict_several([upload(f"{n}.wav") for n in range(3)])
    next(tables)
    tables.close()
    assert left(tmp_path) == []


def test_a_model_that_takes_no_sound_is_refused_in_a_line(tmp_path):
    save_model(model_of(front_end=None), tmp_path / "run" / "best")
    done = command_here("demo", "run", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "not made from sound" in done.stderr


def test_without_gradio_there_is_a_line_that_says_so(tmp_path, monkeypatch):
    save_model(MODEL, tmp_path / "run" / "best")
    monkeypatch.delitem(sys.modules, module.__name__)
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in ("TEMP_DIR", "ANALYTICS_ENABLED", "RUN_HISTORY"):
        monkeypatch.setenv(f"GRADIO_{name}", "")  # put back at the end
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "")
    done = command_here("demo", "run", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install -e '.[demo]'" in done.stderr
