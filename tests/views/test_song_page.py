"""What the page of gtzan_jax.demo shows of songs, without a browser."""

import base64
import dataclasses
import io
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from test_predictions_text import FAR, a_prediction
from test_predictions_text import MODEL as STRANGER

from gtzan_jax.inference.front_end import Span
from gtzan_jax.inference.prediction import Explanation, Part
from gtzan_jax.views import predictions, song_page
from gtzan_jax.views.predictions import Answer

MODEL = dataclasses.replace(STRANGER, genres=("blues", "jazz", "pop", "rock"))
EVIL = "<img src=x onerror=alert(1)>\x1b[31m & \"'"
WHY = Explanation(
    "rock", (Part("tempo", 0.5), Part("mfcc1_mean", -0.25)), -0.5, -0.75, 0.0, np.zeros((1, 2))
)


class Page(HTMLParser):
    """Texts of a page, and its tags with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.texts, self.tags = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, text):
        self.texts += [text.strip().replace("\N{NO-BREAK SPACE}", " ")] * bool(text.strip())


def shown(explanation=WHY, path="song.mp3", **changes):
    found = a_prediction(**{"spans": [Span(n, n + 9) for n in range(8)]} | changes)
    model = dataclasses.replace(MODEL, genres=tuple(sorted(found.genres)))
    return [Page(html) for html in song_page.song(model, Answer(path, found, explanation))]


def test_a_song_has_its_genres_in_order_with_their_probabilities():
    page, _ = shown()
    assert page.texts[:2] == ["song.mp3", "4:10, 8 windows"]
    genres = ["rock", "61.0 %", "blues", "29.9 %", "pop", "7.1 %", "jazz", "2.0 %"]
    assert page.texts[2:10] == genres
    bars = [attributes["style"] for tag, attributes in page.tags if tag == "i"]
    assert bars == ["width: 61.0%", "width: 29.9%", "width: 7.1%", "width: 2.0%"]


@pytest.mark.parametrize(
    "changes", [{"trained_on": True}, {"notes": ("it lasts 1.0 s",)}, {"unlike": FAR}]
)
def test_doubts_are_those_of_the_terminal(changes):
    page, _ = shown(**changes)
    (doubt,) = predictions.warnings(a_prediction(**changes))
    assert doubt in page.texts
    assert doubt not in shown()[0].texts


@pytest.mark.parametrize("trained_on", [None, False, True])
def test_a_song_is_called_unknown_only_where_that_is_known(trained_on):
    like = dataclasses.replace(FAR, distance=FAR.limit)
    text = " ".join(shown(trained_on=trained_on, unlike=like)[0].texts)
    assert ("not recognised as a training song" in text) is (trained_on is False)
    assert ("Not out of distribution" in text) is (trained_on is not True)


def test_probabilities_that_are_not_calibrated_say_so():
    assert "4:10, 8 windows, not calibrated" in shown(is_calibrated=False)[0].texts


def test_reasons_stand_on_their_sides_and_add_up():
    _, page = shown()
    texts = page.texts[page.texts.index("Why rock") + 1 :]
    assert texts[:6] == ["for it", "tempo", "+0.50", "against it", "mfcc1_mean", "−0.25"]
    assert texts[6] == predictions.sums(WHY)


def test_the_figure_is_of_several_windows():
    pictures = [attributes for tag, attributes in shown()[1].tags if tag == "img"]
    assert base64.b64decode(pictures[0]["src"].partition(",")[2])[:4] == b"\x89PNG"
    one = {"spans": [Span(0, 22_050)], "by_window": np.full((1, 4), 0.25)}
    _, page = shown(**one)
    assert "img" not in dict(page.tags)
    assert any("one window" in text for text in page.texts)


def test_names_of_files_features_and_genres_are_text_alone():
    odd = Explanation(EVIL, (Part(EVIL, 0.5),), -0.5, -0.75, 0.0, np.zeros((1, 2)))
    song = shown(odd, EVIL, genres=(EVIL, "blues", "pop", "jazz"), notes=(EVIL,))
    bad = Answer(EVIL, error=EVIL)
    table = Page(song_page.table(MODEL, [bad, Answer(EVIL, a_prediction())]))
    for page in (*song, Page(song_page.song(MODEL, bad)[0]), table):
        pictures = [attributes for tag, attributes in page.tags if tag == "img"]
        assert all(attributes["src"].startswith("data:") for attributes in pictures)
        assert "\x1b" not in "".join(page.texts)
    assert predictions.printable(EVIL) in song[0].texts


def test_the_model_is_described_as_in_the_terminal():
    texts = Page(song_page.about(MODEL, "runs/mine")).texts
    head = predictions.head(MODEL, "runs/mine")
    assert " ".join(head.split()) in " ".join(texts)


def test_where_songs_go_is_said():
    private, shared = (song_page.about(MODEL, "run", is_shared) for is_shared in (False, True))
    assert "Gradio's servers" not in private
    assert "Gradio's servers" in shared


def csv_of(page):
    (link,) = (a["href"] for tag, a in page.tags if tag == "a" and a["download"] == "genres.csv")
    kind, _, content = link.partition(",")
    assert kind == "data:text/csv;base64"
    return pd.read_csv(io.BytesIO(base64.b64decode(content)))


def test_the_table_has_a_row_a_song_and_its_csv_all_genres():
    genres = tuple(reversed(MODEL.genres))
    found = a_prediction(genres=genres, trained_on=True, unlike=FAR)
    page = Page(song_page.table(MODEL, [Answer("a.mp3", found), Answer("b, c.mp3", error="empty")]))
    texts = page.texts
    first = texts.index("a.mp3")
    assert texts[first + 1 : first + 4] == [
        f"{genres[0]} 61 %",
        f"{genres[1]} 30 %",
        f"{genres[2]} 7 %",
    ]
    assert texts[texts.index("b, c.mp3") + 1] == "not predicted: empty"
    rows = csv_of(page)
    assert list(rows.filename) == ["a.mp3", "b, c.mp3"]
    assert rows.genre[0] == genres[0]
    for genre, probability in zip(genres, found.probabilities, strict=True):
        assert rows[f"probability_{genre}"][0] == pytest.approx(probability, abs=1e-6)
    assert rows.loc[0, ["calibrated", "trained_on", "unlike"]].tolist() == [True, True, True]
    assert "in the training set" in rows.notes[0]
    assert rows.error[1] == "empty"
    assert rows.iloc[1][[f"probability_{genre}" for genre in genres]].isna().all()
