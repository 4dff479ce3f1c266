import re
import xml.etree.ElementTree as ET

import numpy as np
from matplotlib.figure import Figure

from gtzan_jax.views.plots.style import GREY, ON_LIGHT, TEST, TRAIN
from gtzan_jax.views.plots.svg import inline, svg_of

EVIL = "</text><script>evil()</script>\"'&"


def drawn(colour=TRAIN):
    """Returns a figure with a line, a marker, a text that would break out, and its frame."""
    figure = Figure((3, 2))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], "o-", color=colour)
    axes.set_title(EVIL, fontweight="bold", color=GREY)
    return figure


def test_the_same_figure_is_the_same_file():
    assert svg_of(drawn(), "one") == svg_of(drawn(), "one")


def test_texts_stay_texts():
    file = svg_of(drawn(), "one")
    for svg in (file.decode(), inline(file)):
        assert "<script" not in svg
    titles = [each.text for each in ET.fromstring(file).iter("{http://www.w3.org/2000/svg}text")]
    assert EVIL in titles


def test_what_stands_in_a_page_has_its_colours_letters_and_no_size():
    file = svg_of(drawn(), "one").decode()
    assert TRAIN.lower() in file
    svg = inline(file.encode())
    assert set(re.findall(r"#[0-9a-f]{6}(?=[;\"])", svg)) == set()
    assert {"var(--blue)", "var(--ink)", "var(--paper)", "var(--soft)"} <= set(
        re.findall(r"var\(--\w+\)", svg)
    )
    assert "font-family" not in svg
    assert "font-size: 10px" in svg
    assert re.match(r'<svg viewBox="0 0 216 144" style="max-width: 3\.3in">', svg)
    assert "http" not in svg
    assert "<style" not in svg


def test_colours_that_are_not_the_pages_stay():
    assert f": {ON_LIGHT}" in inline(svg_of(drawn(ON_LIGHT), "one"))


def test_figures_on_a_page_share_no_names():
    names = []
    for name, colour in (("one", TRAIN), ("two", TRAIN)):
        svg = inline(svg_of(drawn(colour), name))
        mine = re.findall(r' id="([^"]*)"', svg)
        assert mine
        assert set(re.findall(r"#(\w{5,})\)?\"", svg)) <= set(mine)
        names += mine
    assert len(names) == len(set(names))


def test_shapes_are_where_they_were():
    """Nothing of the drawing itself is lost on the way into a page."""
    file = svg_of(drawn(TEST), "one")
    paths = [re.findall(r' d="([^"]*)"', text) for text in (file.decode(), inline(file))]
    assert [path.split() for path in paths[0]] == [path.split() for path in paths[1]]
    assert np.all([len(path) > 10 for path in paths[1]])
