"""Every figure against statsmodels or scipy, which know nothing of grids."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import AnovaRM, anova_lm
from statsmodels.stats.multitest import multipletests

from gtzan_jax.analysis.effects import (
    decompose,
    near_best,
    paired_differences,
    units_of,
    value_effects,
)

AXES = {"a": (1, 2), "b": ("x", "y", "z"), "constant": (0.5,), "c": (0.1, 0.2, 0.3)}
VARYING = ("a", "b", "c")


def random_accuracy(num_seeds=1, num_folds=1):
    """Returns (configs, folds, seeds): effects of axes, of their pairs and of runs, and noise."""
    random = np.random.default_rng(0)
    num_runs = num_folds * num_seeds
    shape = [len(values) for values in AXES.values()]
    grid = np.full((*shape, num_runs), 0.5)
    for axis in (0, 1, 3):
        size = [n if i == axis else 1 for i, n in enumerate([*shape, num_runs])]
        grid = grid + 0.1 * random.normal(size=size)
    grid = grid + 0.05 * random.normal(size=(*shape[:2], 1, 1, 1))
    grid = grid + 0.02 * random.normal(size=num_runs)
    grid = grid + 0.01 * random.normal(size=grid.shape)
    return grid.reshape(-1, num_folds, num_seeds)


def long_frame(accuracy):
    """Returns one row a config and run, of (configs, folds, seeds)."""
    accuracy = accuracy.reshape(len(accuracy), -1)
    rows = [
        (*config, run, accuracy[i, run])
        for i, config in enumerate(itertools.product(*AXES.values()))
        for run in range(accuracy.shape[1])
    ]
    return pd.DataFrame(rows, columns=[*AXES, "run", "y"])


def share_of(result, term):
    return result.terms.set_index("term").loc[term, "share"]


@pytest.mark.parametrize("num_runs", [1, 4])
def test_shares_are_those_of_an_analysis_of_variance(num_runs):
    accuracy = random_accuracy(num_runs)
    frame = long_frame(accuracy)
    # The three-way term is what is left where there is one run, so statsmodels gets no F.
    model = ols("y ~ (C(a) + C(b) + C(c))**2", frame).fit()
    squares = anova_lm(model)["sum_sq"]
    whole = ((frame.y - frame.y.mean()) ** 2).sum()
    result = decompose(accuracy, AXES)
    for name in VARYING:
        assert share_of(result, name) == pytest.approx(squares[f"C({name})"] / whole)
    for pair in itertools.combinations(VARYING, 2):
        term = ":".join(f"C({name})" for name in pair)
        assert share_of(result, " × ".join(pair)) == pytest.approx(squares[term] / whole)
    assert result.variance == pytest.approx(frame.y.var(ddof=0))


def test_runs_and_their_noise_are_separated():
    accuracy = random_accuracy(4)
    frame = long_frame(accuracy)
    frame["config"] = frame[list(VARYING)].astype(str).agg(" ".join, axis=1)
    squares = anova_lm(ols("y ~ C(config) + C(run)", frame).fit())["sum_sq"]
    result = decompose(accuracy, AXES)
    whole = squares.sum()
    assert result.runs == pytest.approx(squares["C(run)"] / whole)
    assert result.noise == pytest.approx(squares["Residual"] / whole)
    between = result.terms["share"].sum() + result.higher
    assert between == pytest.approx(squares["C(config)"] / whole)


def test_tests_are_those_of_repeated_measures():
    accuracy = random_accuracy(4)
    expected = AnovaRM(long_frame(accuracy), "y", "run", within=list(VARYING)).fit().anova_table
    terms = decompose(accuracy, AXES).terms.set_index("term")
    for name, row in expected.iterrows():
        if name.count(":") < 2:
            found = terms.loc[name.replace(":", " × ")]
            assert found["df"] == row["Num DF"]
            assert found["share"] / found["noise_share"] == pytest.approx(row["F Value"])
            if found["df"] == 1:  # one dimension is always a sphere
                assert found["p_value"] == pytest.approx(row["Pr > F"], rel=1e-6)
    _, holm, *_ = multipletests(terms["p_value"], method="holm")
    np.testing.assert_allclose(terms["p_holm"], holm)


def test_noise_shares_are_what_noise_alone_would_give():
    random = np.random.default_rng(1)
    many = [decompose(random.normal(size=(18, 1, 5)), AXES).terms for _ in range(300)]
    found = pd.concat(many).groupby("term")[["share", "noise_share"]].mean()
    np.testing.assert_allclose(found["share"], found["noise_share"], rtol=0.2)


@pytest.mark.parametrize("num_runs", [1, 3])
def test_shares_add_up_to_one(num_runs):
    result = decompose(random_accuracy(num_runs), AXES)
    parts = result.terms["share"].sum() + result.higher + result.runs + result.noise
    assert parts == pytest.approx(1)
    assert result.terms["term"].to_list() == [
        *result.terms.query("order == 1").sort_values("share", ascending=False)["term"],
        *result.terms.query("order == 2").sort_values("share", ascending=False)["term"],
    ]
    assert len(result.terms) == 3 + 3
    told = result.terms[["noise_share", "p_value", "p_holm"]].notna()
    assert (told == (num_runs > 1)).all(axis=None)


def test_a_sum_has_no_pairs_and_a_product_nothing_else():
    a, b, _, c = np.meshgrid([-1, 1], [-1, 0, 1], [0], [-1, 0, 1], indexing="ij")
    total = decompose((a + 2.0 * b + c).reshape(-1, 1, 1), AXES)
    assert total.terms.query("order == 2")["share"].max() == pytest.approx(0, abs=1e-12)
    assert total.higher == pytest.approx(0, abs=1e-12)
    product = decompose((1.0 * a * b).reshape(-1, 1, 1), AXES)
    assert share_of(product, "a × b") == pytest.approx(1)
    assert product.terms.query("term != 'a × b'")["share"].max() == pytest.approx(0, abs=1e-12)


def test_nothing_to_explain_has_no_shares():
    result = decompose(np.full((18, 1, 2), 0.1), AXES)
    assert result.terms["share"].isna().all()
    assert result.terms[["p_value", "p_holm"]].isna().all(axis=None)


@pytest.mark.parametrize(("levels", "count"), [(4, 10), (10, 12)])
def test_near_the_best_is_the_grid_of_the_values_of_the_best_tenth(levels, count):
    """Against pandas, with ties at the cut, and statsmodels for the shares."""
    random = np.random.default_rng(levels)
    axes = {"a": tuple(range(levels)), "b": ("x", "y", "z"), "c": (0.1, 0.2, 0.3, 0.4)}
    frame = pd.DataFrame(itertools.product(*axes.values()), columns=list(axes))
    lower = 0.2 * (frame.a == 0) + 0.2 * (frame.b == "y")
    frame["y"] = (0.7 - lower + random.normal(0, 0.02, len(frame))).round(2)
    frame.loc[frame.y.nlargest(count + 1).index[-3:], "y"] = frame.y.nlargest(count).iloc[-1]
    best = frame.nlargest(count, "y", keep="all")
    assert len(best) > count
    kept = frame[np.all([frame[name].isin(best[name]) for name in axes], axis=0)]
    assert len(kept) < len(frame)
    luck = random.permuted(np.tile([-0.01, 0.0, 0.01], (len(frame), 1, 1)), axis=2)  # of seeds
    accuracy, values = near_best(frame.y.to_numpy()[:, None, None] + luck, axes)
    assert values == {name: tuple(kept[name].unique()) for name in axes}
    np.testing.assert_allclose(accuracy.mean(axis=(1, 2)), kept["y"])
    squares = anova_lm(ols("y ~ C(a) + C(b) + C(c)", kept).fit())["sum_sq"]
    terms = decompose(accuracy.mean(axis=2, keepdims=True), values).terms.set_index("term")["share"]
    for name in axes:
        assert terms[name] == pytest.approx(squares[f"C({name})"] / squares.sum())


def test_seeds_in_another_order_make_no_difference_near_the_best():
    """Means of 0.1, 0.2, 0.3 and of 0.3, 0.2, 0.1 differ in their last bit."""
    accuracy = np.array([[[0.1, 0.2, 0.3]]] * 10 + [[[0.3, 0.2, 0.1]]])
    assert near_best(accuracy, {"a": tuple(range(11))})[1] == {"a": tuple(range(11))}


def test_an_incomplete_grid_is_refused():
    accuracy = random_accuracy()
    accuracy[3] = np.nan
    with pytest.raises(ValueError, match="one diverged"):
        decompose(accuracy, AXES)


@pytest.mark.parametrize("function", [decompose, paired_differences, value_effects])
def test_a_grid_without_some_configs_is_refused(function):
    with pytest.raises(ValueError, match="complete grid, 18 configs, not 17"):
        function(random_accuracy(2)[:-1], AXES)


@pytest.mark.parametrize("count", [1, 2, 11])
def test_any_number_of_axes(count):
    axes = {f"axis{i}": (0, 1) for i in range(count)}
    accuracy = np.random.default_rng(0).normal(size=(2**count, 1, 2))
    result = decompose(accuracy, axes)
    assert len(result.terms) == count + count * (count - 1) // 2
    parts = result.terms["share"].sum() + result.higher + result.runs + result.noise
    assert parts == pytest.approx(1)
    assert len(paired_differences(accuracy, axes)) == count


def test_differences_are_paired_and_their_spread_is_that_of_the_pairs():
    accuracy = random_accuracy(3)
    wide = long_frame(accuracy).pivot_table("y", [*VARYING], aggfunc="mean").reset_index()
    found = paired_differences(accuracy, AXES)
    assert len(found) == 1 + 3 + 3
    for row in found.itertuples():
        others = [name for name in VARYING if name != row.hyperparameter]
        ordered = wide.sort_values(others)
        value = ordered.loc[ordered[row.hyperparameter] == row.value, "y"].to_numpy()
        baseline = ordered.loc[ordered[row.hyperparameter] == row.baseline, "y"].to_numpy()
        difference = pd.Series(value - baseline)
        assert row.difference == pytest.approx(difference.mean(), abs=1e-8)
        assert (row.p10, row.p90) == pytest.approx(difference.quantile([0.1, 0.9]), abs=1e-8)
        assert row.pairs == len(value)
        assert row.wins == (value > baseline).mean()
        assert row.losses == (value < baseline).mean()


def test_differences_that_cancel_over_the_runs_are_ties():
    """0.1 + 0.2 - 0.3 is 5e-17: neither a win nor a loss, and a difference of 0 exactly."""
    accuracy = np.zeros((2, 4, 1, 3))  # values of an axis, pairs, folds, seeds
    accuracy[1, :, 0] = [[0.1, 0.2, -0.3], [-0.3, 0.2, 0.1], [0.2, 0.2, 0.2], [-1e-8, -1e-8, -1e-8]]
    axes = {"a": (1, 2), "b": (1, 2, 3, 4)}
    row = paired_differences(accuracy.reshape(8, 1, 3), axes).iloc[0]
    assert (row.pairs, row.wins, row.losses) == (4, 1 / 4, 1 / 4)
    assert (row.p10, row.difference) == pytest.approx((-0.7e-8, (0.2 - 1e-8) / 4), abs=1e-15)


@pytest.mark.parametrize("runs", [[0.02, 0.05], [0.02, 0.05, -0.01]])
def test_two_and_three_seeds_by_hand(runs):
    """One axis of two values: d̄ ± t s/√n, and shares of d̄²/4, the seeds and their noise."""
    runs = np.array(runs)
    count, mean, error = len(runs), runs.mean(), stats.sem(runs)
    common = np.arange(count) / 100
    accuracy = np.stack([common, common + runs])[:, None]
    row = paired_differences(accuracy, {"a": (0, 1)}).iloc[0]
    t = {2: 12.706204736, 3: 4.302652730}[count]  # Student's table
    assert (row.low, row.high) == pytest.approx((mean - t * error, mean + t * error))
    found = decompose(accuracy, {"a": (0, 1)})
    [term] = found.terms.itertuples()
    assert (term.order, term.df) == (1, 1)
    assert found.variance == pytest.approx(accuracy.var())
    assert term.share == pytest.approx(mean**2 / 4 / accuracy.var())
    assert term.noise_share == pytest.approx(error**2 / 4 / accuracy.var())
    assert found.noise == pytest.approx(runs.var() / 4 / accuracy.var())
    assert found.runs == pytest.approx((common + runs / 2).var() / accuracy.var())
    assert term.p_value == pytest.approx(row.p_value)
    assert row.p_value == pytest.approx(stats.ttest_1samp(runs, 0).pvalue)


def test_terms_that_are_equal_stay_in_the_order_of_the_axes():
    a, b = np.meshgrid([0.0, 1.0], [0.0, 1.0], indexing="ij")
    found = decompose((a + b).reshape(4, 1, 1), {"b": (0, 1), "a": (0, 1)})
    assert found.terms["term"].to_list() == ["b", "a", "b × a"]


@pytest.mark.parametrize(
    ("num_folds", "num_seeds"), [(1, 1), (4, 1), (1, 5), (3, 4), (5, 1), (6, 3)]
)
def test_intervals_are_over_seeds_or_over_five_folds(num_folds, num_seeds):
    accuracy = random_accuracy(num_seeds, num_folds)
    row = paired_differences(accuracy, AXES).iloc[0]
    units = units_of(num_folds, num_seeds)
    of_value = accuracy.reshape(2, 9, num_folds, num_seeds)
    differences = (of_value[1] - of_value[0]).mean(axis=0)
    means = differences.mean(axis=1 if units == "folds" else 0)
    if units is None:
        assert np.isnan([row.low, row.high]).all()
    else:
        expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
        # Nadeau and Bengio: 1/n + 1/(n - 1) in place of 1/n, as each fold trains on n - 1 others.
        wider = np.sqrt(1 + num_folds / (num_folds - 1)) if units == "folds" else 1
        middle = means.mean()
        assert row.high - middle == pytest.approx((expected.high - middle) * wider)
        assert middle - row.low == pytest.approx((middle - expected.low) * wider)
    assert (units == "folds") == (num_folds >= 5)
    assert (units == "seeds") == (num_folds < 5 and num_seeds > 1)


def test_tests_over_folds_allow_for_their_overlap():
    accuracy = random_accuracy(2, 6)
    row = paired_differences(accuracy, AXES).iloc[0]
    term = decompose(accuracy, AXES).terms.set_index("term").loc["a"]
    half = stats.t(5).ppf(0.975)
    t = row.difference / (row.high - row.difference) * half
    assert term["p_value"] == pytest.approx(2 * stats.t(5).sf(abs(t)))
    assert term["share"] / term["noise_share"] == pytest.approx(t**2)


def test_diverged_configs_leave_their_pairs():
    accuracy = random_accuracy()
    accuracy[0] = np.nan
    found = paired_differences(accuracy, AXES).set_index(["hyperparameter", "baseline", "value"])
    assert found.loc[("a", 1, 2), "pairs"] == 8
    assert found.loc[("b", "y", "z"), "pairs"] == 6
    assert np.isfinite(found["difference"]).all()


def test_one_pair_has_no_interval_and_none_no_difference():
    found = paired_differences(np.array([[[0.5]], [[0.6]]]), {"a": (1, 2)}).iloc[0]
    assert found.difference == pytest.approx(0.1)
    assert (found.p10, found.p90) == pytest.approx((0.1, 0.1))
    none = paired_differences(np.array([[[0.5]], [[np.nan]]]), {"a": (1, 2)}).iloc[0]
    assert none.pairs == 0
    assert np.isnan(none.difference)


@pytest.mark.parametrize(("num_folds", "num_seeds"), [(1, 1), (1, 4), (2, 3), (5, 2)])
def test_effects_of_values_are_deviations_with_the_interval_of_a_t_test(num_folds, num_seeds):
    accuracy = random_accuracy(num_seeds, num_folds)
    frame = long_frame(accuracy)
    frame["fold"], frame["seed"] = frame["run"] // num_seeds, frame["run"] % num_seeds
    units = units_of(num_folds, num_seeds)
    found = value_effects(accuracy, AXES).set_index(["hyperparameter", "value"])
    assert len(found) == sum(map(len, AXES.values()))
    for (name, value), row in found.iterrows():
        chosen = frame[frame[name] == value]
        assert row["effect"] == pytest.approx(chosen["y"].mean() - frame["y"].mean())
        if units is None or name == "constant":
            assert np.isnan([row["low"], row["high"]]).all()
            continue
        by = units.removesuffix("s")
        shifts = chosen.groupby(by)["y"].mean() - frame.groupby(by)["y"].mean()
        count, overlap = len(shifts), 1 / (num_folds - 1) if units == "folds" else 0
        error = shifts.std() * np.sqrt(1 / count + overlap)
        expected = stats.t(count - 1, shifts.mean(), error).interval(0.95)
        np.testing.assert_allclose([row["low"], row["high"]], expected)


def test_effects_of_values_leave_out_what_diverged():
    accuracy = random_accuracy(2)
    accuracy[0, 0, 1] = np.nan  # a = 1, b = x, c = 0.1
    found = value_effects(accuracy, AXES).set_index(["hyperparameter", "value"])["effect"]
    mean = accuracy[1:].mean()
    assert found["a", 1] == pytest.approx(accuracy[1:9].mean() - mean)
    assert found["a", 2] == pytest.approx(accuracy[9:].mean() - mean)
    accuracy[:9] = np.nan
    assert np.isnan(value_effects(accuracy, AXES)["effect"][0])


def test_folds_of_several_divisions_overlap_as_those_of_one():
    """Bouckaert and Frank: (1/9 + 1/2) s² for three divisions into three folds."""
    accuracy = np.random.default_rng(0).normal(0.5, 0.02, (2, 9, 1))
    row = paired_differences(accuracy, {"a": (0, 1)}, 3).iloc[0]
    by_fold = accuracy[1, :, 0] - accuracy[0, :, 0]
    error = np.sqrt((1 / 9 + 1 / 2) * by_fold.var(ddof=1))
    expected = stats.t.interval(0.95, 8, by_fold.mean(), error)
    assert (row["low"], row["high"]) == pytest.approx(expected)
    effect = value_effects(accuracy, {"a": (0, 1)}, 3)
    assert effect["low"][1] == pytest.approx(expected[0] / 2)
    p = decompose(accuracy, {"a": (0, 1)}, 3).terms["p_value"][0]
    assert p == pytest.approx(2 * stats.t(8).sf(abs(by_fold.mean()) / error))
