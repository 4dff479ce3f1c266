import math

import numpy as np
import pandas as pd
import pytest

from gtzan_jax.views.text import Table, cell, counted, interval, percent, points


def test_numbers_align_on_the_right():
    rows = [["1,000", "−0.5 to +1.2", "relu", "12 %"], ["2e-07", "–", "1", "3 %"]]
    assert Table(("a", "b", "c", "d"), rows).numeric == [True, True, False, True]
    assert Table(("a",), []).numeric == [False]


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("test_accuracy", 0.123456, "0.1235"),
        ("test_accuracy", math.nan, "–"),
        ("test_loss", math.inf, "–"),
        ("learning_rate", 1e-05, "1e-05"),
        ("dropout6", 0.25, "0.25"),
        ("value", 0.1, "0.1"),
        ("epoch", 12.0, "12"),
        ("rank", 3, "3"),
        ("genre", "a\x1b\nb", "a  b"),
        ("genre", "x" * 100, "x" * 79 + "…"),
        ("same_best", np.True_, "True"),
    ],
)
def test_cells(column, value, text):
    assert cell(column, value) == text


def test_a_table_in_markdown_keeps_its_columns():
    frame = pd.DataFrame({"config": ["a|b"], "test_loss": [0.5]})
    assert Table.of(frame).markdown == "| config | test_loss |\n| --- | --- |\n| a/b | 0.5000 |"


def test_shares_and_differences():
    assert percent(0.1234, 1) == "12.3 %"
    assert percent(math.nan) == points(math.nan) == interval(math.nan, 1.0) == "–"
    assert points(-0.0123) == "−1.23"
    assert points(0.0123, "") == "1.23"
    assert interval(-0.01, 0.02) == "−1.00 to +2.00"
    assert [counted(1, "seed"), counted(2000, "seed")] == ["1 seed", "2,000 seeds"]
