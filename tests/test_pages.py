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


def any_part(script, intervals, ours=10.0, per_fit=0.1, tried=768):
    """Returns a part of any_table.json: differences of a model are its interval's middle."""
    of = script("any_table_parts")
    names = (of["GRID"], of["HALVING"], of["LINEAR"], of["BOOSTING"])
    rows = [
        {"model": name, "difference": sum(pair) / 2, "low": pair[0], "high": pair[1]}
        for name, pair in zip(names, intervals, strict=True)
    ]
    scores = [{"model": of["OURS"], "accuracy": 0.9, "settings_tried": 7680}]
    scores += [
        {"model": row["model"], "accuracy": 0.9 - row["difference"], "settings_tried": tried}
        for row in rows
    ]
    seconds = {name: {"search": 20.0, "per_fit": per_fit} for name in names}
    seconds[of["GRID"]]["search"] = tried * per_fit + 1
    seconds[of["OURS"]] = {"cold": ours, "warm": ours / 2}
    return {"comparison": rows, "scores": scores, "seconds": seconds}


NONE = (-0.01, 0.01)


@pytest.mark.parametrize(
    ("intervals", "sentences"),
    [
        (
            [NONE, NONE, (-0.03, -0.01), NONE],
            ["A linear model wins: logistic regression, ours −2.0 (−3.0 to −1.0); use it;"],
        ),
        (
            [NONE, NONE, (-0.03, 0.01), NONE],
            ["regression, a linear model, is no worse than ours, ours −1.0", "takes 20 s: nothing"],
        ),
        ([NONE, NONE, (-0.01, 0.03), NONE], ["linear model, is not clearly worse than ours"]),
        (
            [NONE, NONE, (0.01, 0.03), (-0.05, -0.03)],
            [
                "- **t**: Our sweep is clearly better than logistic regression by +2.0 (+1.0 to",
                "clearly better than ours: histogram boosting, ours −4.0 (−5.0 to −3.0);",
                "not clearly different from ours: GridSearchCV, HalvingGridSearchCV.",
            ],
        ),
    ],
)
def test_a_table_says_what_its_intervals_allow(script, intervals, sentences):
    text = script("make_any_table")["verdict"]("t", any_part(script, intervals))
    for sentence in sentences:
        assert sentence in text
    assert ("nothing speaks for networks" in text) is (intervals[2][0] * intervals[2][1] < 0)


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        (10.0, "less time than GridSearchCV on wine, breast cancer"),
        (100.0, "more time than GridSearchCV on all."),
    ],
)
def test_the_seconds_of_all_settings_are_projected_from_those_that_were_fitted(
    script, ours, verdict
):
    page = script("make_any_table")
    part = any_part(script, [NONE] * 4, ours, per_fit=0.1, tried=68)
    assert page["projected"](part) == pytest.approx(68 * 0.1 + 1 + 700 * 0.1)
    assert page["projected"](any_part(script, [NONE] * 4)) == pytest.approx(768 * 0.1 + 1)
    assert page["in_our_time"](part, "cold") == pytest.approx(10 * ours)
    text = page["seconds_text"](dict.fromkeys(page["TABLES"], part))
    assert f"Cold, our 768 take {verdict}" in text
    assert f"wine: {10 * ours:,.0f} cold, {5 * ours:,.0f} warm" in text


@pytest.mark.parametrize(
    ("differences", "sentence"),
    [
        ([(0.05, 0.01, 0.09), (0.02, -0.01, 0.05)], "ahead of tags in 2 of 2 comparisons, clearly"),
        ([(-0.02, -0.05, 0.01), (0.0, -0.1, 0.1)], "ahead of tags in 0 of 2 comparisons, clearly"),
    ],
)
def test_units_are_ahead_where_their_difference_is_above_0(script, differences, sentence):
    make_pretrained = script("make_pretrained")
    rows = [{"features": "units", "model": "m", "songs": 2, "less tags": of} for of in differences]
    text = make_pretrained["default_text"]({"known": [{"features": "tags"}, *rows]})
    assert f"{sentence} in {sum(low > 0 for _, low, _ in differences)}, by" in text
