"""Sentences of docs/*.md that scripts choose by their figures, and tables written from the code."""

import contextlib
import re
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from claim_simulations import CLAIM_EXPERIMENTS
from scipy import stats
from simulations import EXPERIMENTS

from gtzan_jax.errors import InputError
from gtzan_jax.space.hyperparameters import HYPERPARAMETERS, filters, kernel, rate

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
        (-0.1, 4.7, "none; largest gain: `patience` +2.3 (−0.1 to +4.7).", "none"),
    ],
)
def test_a_proposal_helps_or_costs_only_where_all_intervals_allow_it(
    script, low, high, sentence, all_together
):
    """Of three: Bonferroni's p is thrice that of a z test."""
    rows = [["patience", low, high], ["l2", -2.0, 1.0], ["mixup", -2.0, 1.0]]
    table = pd.DataFrame(rows, columns=["axis", "low", "high"])
    table[["low", "high"]] /= 100
    table["difference"] = table[["low", "high"]].mean(axis=1)
    found = script("make_which_number")["findings"]({"one": table})
    assert sentence in found
    error = (high - low) / 2 / stats.norm.ppf(0.975)
    p = min(1.0, 3 * 2 * stats.norm.sf(abs(low + high) / 2 / error))
    assert (f"(Bonferroni p {p:.1g})" in found) is (low * high > 0)
    assert f"(Bonferroni), {all_together} excludes 0." in found


def test_a_method_errs_as_often_as_its_worst_case_and_exceeded_promises_are_counted(script):
    page, experiments = script("make_which_number"), EXPERIMENTS | CLAIM_EXPERIMENTS
    promised = [name for name, each in experiments.items() if each.nominal is not None]
    shown = {name for names, *_ in page["METHODS"].values() for name in names.split()}
    assert shown == {*promised}
    record = {name: [4.0, 0.5, 100] for name in experiments}
    assert "promises 0 were exceeded, 0 of them by more" in page["rates"](record, experiments)
    text = page["rates"](record | {"f3": [5.9, 0.5, 1], "f10": [6.1, 0.5, 1]}, experiments)
    assert "| F of three values | 6.1 % | plain F | 4.0 % |" in text
    assert f"Of {len(promised)} promises 2 were exceeded, 1 of them by more than two such" in text
    assert text.endswith(f": {experiments['f10'].what} ({experiments['f10'].null}).")


@pytest.mark.parametrize(
    ("halving", "grid", "sentence"),
    [
        (0.003, 0.010, "Halving and the whole grid differ by 0.7 points, too little for these"),
        (0.003, 0.020, "Halving is 1.7 points better."),
        (0.020, 0.003, "Halving is 1.7 points worse."),
    ],
)
def test_halving_is_better_only_by_more_than_its_seeds_can_make(script, halving, grid, sentence):
    make_search = script("make_search")
    curves = pd.DataFrame({"search": list(make_search["MARKED"]), "budget": 0.1})
    curves = curves.assign(space="space", below_largest=0.01)
    curves["median"] = np.where(curves["search"] == "halving", halving, grid)
    assert sentence in make_search["verdict"](curves, 0.7)


@pytest.mark.parametrize(
    ("regrets", "sentence"),
    [
        ([0.06, 0.03, 0.019], "From 50.0 % of the grid's cost on, every search"),
        ([0.06, 0.019, 0.0], "From 10.0 % of the grid's cost on, every search"),
        ([0.02, 0.06, 0.019], "From 50.0 % of the grid's cost on, every search"),
        ([0.02, 0.06, 0.03], "No search is reliably within a point of the whole grid."),
    ],
)
def test_the_picture_of_regret_names_the_cost_from_which_on_searches_are_as_good(
    script, regrets, sentence
):
    make_search = script("make_search")
    searches = {"search": "random", "budget": [0.01, 0.1, 0.5], "median": regrets}
    grid = {"search": "grid", "budget": [0.1, 1.0], "median": [0.9, 0.0101]}
    curves = pd.concat(map(pd.DataFrame, (grid, searches))).assign(space="space")
    assert make_search["takeaway"](curves).startswith(sentence)
    (axes,) = make_search["draw_regret"](curves).axes
    assert sentence in axes.get_title(loc="left").replace("\n", " ")


def test_the_page_of_sweeps_has_the_tables_of_the_code(script):
    page = (DOCS / "sweeps.md").read_text("utf-8")
    blocks = script("make_sweeps")["blocks"]()
    for name, block in blocks.items():
        assert f"<!-- {name} -->\n{block}\n<!-- /{name} -->" in page
    tables = blocks["axes"] + blocks["axes_cnn"]
    texts = [re.sub(r"layer \d", "layer n", axis.text) for axis in HYPERPARAMETERS.values()]
    assert [text for text in texts if text.partition(" Default: ")[0] not in tables] == []


def test_values_of_the_table_of_hyperparameters_are_those_that_are_allowed(script):
    def is_allowed(check, value):
        with contextlib.suppress(InputError):
            return check(value, "x") == value
        return False

    checked = script("make_sweeps")["CHECKED"]
    for check, values in ((kernel, range(300)), (filters, range(300)), (rate, [0, 0.99, 0.991])):
        taken = [value for value in values if is_allowed(check, value)]
        expected = {
            "0 to 0.99": [0, 0.99],
            "1, 3, 5, 7": [1, 3, 5, 7],
            "multiples of 8, to 256": list(range(8, 257, 8)),
        }
        assert taken == expected[checked[check]]


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
    rows = [{"features": "units", "model": "m", "songs": 2, "less tags": of} for of in differences]
    text = make_pretrained["default_text"]({"known": [{"features": "tags"}, *rows]})
    assert f"{sentence} in {sum(low > 0 for _, low, _ in differences)}, by" in text
