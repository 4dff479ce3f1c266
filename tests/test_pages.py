"""Sentences of docs/*.md that scripts choose by their figures, with figures that go either way."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def script(monkeypatch):
    """Returns a function that returns what a script in docs/ defines."""
    monkeypatch.syspath_prepend(str(DOCS))
    return lambda name: runpy.run_path(str(DOCS / f"{name}.py"))


@pytest.mark.parametrize(
    ("low", "high", "sentence", "all_together"),
    [
        (-4.7, -0.1, "`patience` −2.4 (−4.7 to −0.1), which may cost accuracy", "none"),
        (
            -4.7,
            -2.3,
            "`patience` −3.5 (−4.7 to −2.3), which costs accuracy",
            "`patience` under one",
        ),
        (0.1, 4.7, "`patience` +2.4 (+0.1 to +4.7), which may help", "none"),
        (2.3, 4.7, "`patience` +3.5 (+2.3 to +4.7), which helps", "`patience` under one"),
        (-0.1, 4.7, "none; the largest gain is that of `patience`", "none"),
    ],
)
def test_a_proposal_helps_or_costs_only_where_all_intervals_allow_it(
    script, low, high, sentence, all_together
):
    """Of three: Bonferroni's p is thrice that of a z test."""
    rows = [["patience", None, low, high], ["l2", None, -2.0, 1.0], ["mixup", None, -2.0, 1.0]]
    table = pd.DataFrame(rows, columns=["axis", "value", "low", "high"])
    table[["low", "high"]] /= 100
    table["difference"] = table[["low", "high"]].mean(axis=1)
    found = script("make_overfitting")["findings"]({"one": table})
    assert sentence in found
    error = (high - low) / 2 / stats.norm.ppf(0.975)
    p = min(1.0, 3 * 2 * stats.norm.sf(abs(low + high) / 2 / error))
    assert (f"(Bonferroni p {p:.1g})" in found) is (low * high > 0)
    assert f"(Bonferroni), {all_together} excludes 0." in found


@pytest.mark.parametrize(
    ("halving", "grid", "sentence"),
    [
        (0.003, 0.010, "Halving and the whole grid differ by 0.7 points, too little for these"),
        (0.003, 0.020, "Halving is 1.7 points nearer."),
        (0.020, 0.003, "Halving is 1.7 points farther."),
    ],
)
def test_halving_is_better_only_by_more_than_its_seeds_can_make(script, halving, grid, sentence):
    make_search = script("make_search")
    searches = [name for name, _ in make_search["MARKED"]]
    curves = pd.DataFrame({"search": searches, "budget": 0.1, "below_largest": 0.01})
    curves["median"] = np.where(curves["search"] == "halving", halving, grid)

    class Space:
        name, best = "space", 0.7

    assert sentence in make_search["verdict"](curves, Space())
