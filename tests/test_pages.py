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


def any_part(script, intervals, tried=768):
    """Returns a part of any_table.json: differences of a model are its interval's middle."""
    of = script("make_any_table")
    names = (of["GRID"], of["HALVING"], of["LINEAR"], of["BOOSTING"])
    rows = [
        {"model": name, "difference": sum(pair) / 2, "low": pair[0], "high": pair[1]}
        for name, pair in zip(names, intervals, strict=True)
    ]
    seconds = {name: {"search": 20.0, "per_fit": 0.1} for name in names}
    seconds[of["GRID"]]["search"] = tried * 0.1 + 1
    scores = [{"model": of["GRID"], "settings_tried": tried}]
    return {"comparison": rows, "scores": scores, "seconds": seconds}


NONE = (-0.01, 0.01)


@pytest.mark.parametrize(
    ("intervals", "clear", "linear_will_do"),
    [
        ([NONE, NONE, NONE, NONE], "nothing", True),
        ([NONE, NONE, (-0.03, -0.01), NONE], "logistic regression −2.0 (−3.0 to −1.0)", True),
        (
            [NONE, NONE, (0.01, 0.03), (-0.05, -0.03)],
            "logistic regression +2.0 (+1.0 to +3.0); wine, histogram boosting −4.0 (−5.0 to −3.0)",
            False,
        ),
    ],
)
def test_what_is_clearly_different_has_an_interval_on_one_side_of_0(
    script, intervals, clear, linear_will_do
):
    page = script("make_any_table")
    others = any_part(script, [NONE, NONE, (0.01, 0.03), NONE])
    parts = dict.fromkeys(page["TABLES"], others) | {"wine": any_part(script, intervals)}
    text = page["verdicts"](parts)
    if clear == "nothing":
        assert "wine, " not in text
        assert page["verdicts"](dict.fromkeys(parts, parts["wine"])).startswith(
            "Clearly different from ours: nothing. "
        )
    else:
        assert f"Clearly different from ours: wine, {clear}; breast cancer, " in text
    assert ("Logistic regression is not clearly worse on wine (20 s): use" in text) is (
        linear_will_do
    )


def test_the_seconds_of_all_settings_are_projected_from_those_that_were_fitted(script):
    projected = script("make_any_table")["projected"]
    assert projected(any_part(script, [NONE] * 4, tried=68)) == pytest.approx(68 * 0.1 + 1 + 70)
    assert projected(any_part(script, [NONE] * 4)) == pytest.approx(768 * 0.1 + 1)


@pytest.mark.parametrize(
    ("differences", "sentence"),
    [
        ([(0.05, 0.01, 0.09), (0.02, -0.01, 0.05)], "ahead of tags in 2 of 2 comparisons, clearly"),
        ([(-0.02, -0.05, 0.01), (0.0, -0.1, 0.1)], "ahead of tags in 0 of 2 comparisons, clearly"),
    ],
)
def test_units_are_ahead_where_their_difference_is_above_0(script, differences, sentence):
    make_pretrained = script("make_pretrained")
    rows = [
        {"features": features, "model": "m", "songs": 2, "less tags": of, "less 57 features": of}
        for of in differences
        for features in ("units", "tags and units")
    ]
    text = make_pretrained["default_text"]({"heard": [{"features": "tags"}, *rows]})
    assert f"{sentence} in {sum(low > 0 for _, low, _ in differences)}." in text


def test_an_expectation_is_right_where_figures_say_so(script):
    page = script("make_pretrained")
    texts = {each.text: each for each in page["PREDICTIONS"]}
    (eight,) = (each for text, each in texts.items() if "8 of the nine" in text)
    (cnn,) = (each for text, each in texts.items() if text.startswith("The CNN"))
    assert [eight.holds({"songs": {"right": right}}) for right in (7, 8, 9)] == [False, True, True]
    for accuracy, seconds, right in ((0.6, 100, True), (0.7, 100, False), (0.6, 99, False)):
        of = {"57 features": {"accuracy": 0.8, "seconds": 10}}
        of["CNN"] = {"accuracy": accuracy, "seconds": seconds}
        assert cnn.holds({"cnn": of}) is right
