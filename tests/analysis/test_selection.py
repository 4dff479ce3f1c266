"""Sets and intervals against statsmodels, scipy and plain loops; simulations are elsewhere."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats
from simulations import GROUP, hits_of
from statsmodels.regression.linear_model import OLS

from gtzan_jax.analysis import selection
from gtzan_jax.analysis.selection import (
    FEWEST_SEEDS,
    accuracy_interval,
    compare_with_best,
    difference_interval,
    mean_interval,
    scope,
    selected_on_test,
    selected_on_validation,
)


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_the_error_is_that_of_a_regression_clustered_by_group(random):
    hits = hits_of(random, np.array([0.5]))[0][0, 0].astype(float)
    low, high = accuracy_interval(hits, GROUP)
    model = OLS(hits, np.ones_like(hits)).fit(cov_type="cluster", cov_kwds={"groups": GROUP})
    sizes = np.bincount(GROUP).astype(float)
    alike = np.square(sizes).sum() ** 2 / (sizes**4).sum()  # as many equal groups vary as much
    assert (low + high) / 2 == pytest.approx(hits.mean())
    assert (high - low) / 2 == pytest.approx(stats.t(alike - 1).ppf(0.975) * model.bse[0])


def test_groups_of_one_give_students_interval(random):
    shares = random.uniform(size=50)
    expected = stats.ttest_1samp(shares, 0).confidence_interval(0.95)
    found = accuracy_interval(shares, random.permutation(50))
    assert found == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("hits", [np.ones(30), np.full(30, 1 / 3), np.tile([0.0, 1.0], 15)])
def test_an_accuracy_that_does_not_vary_has_no_interval(hits):
    assert np.isnan(accuracy_interval(hits, np.repeat([0, 1, 2], 10))).all()
    assert np.isnan(accuracy_interval(np.arange(30) / 30, np.zeros(30))).all()


FOUR = np.repeat([3, 1, 7, 5], 10)  # groups of ten tracks each


def four_groups(means):
    """Returns (…, 40) figures of which each group has its mean, (…, 4), and varies inside."""
    return np.repeat(means, 10, axis=-1) + np.tile(np.linspace(-0.1, 0.1, 10), 4)


def test_an_interval_over_four_equal_groups_is_students_over_their_means():
    means = np.array([0.4, 0.7, 0.55, 0.6])
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert accuracy_interval(four_groups(means), FOUR) == pytest.approx(
        (expected.low, expected.high)
    )


def test_one_group_that_outweighs_all_others_leaves_one_degree_of_freedom():
    """(Σn²)² / Σn⁴ - 1 is 0.005 there; t with one degree of freedom has a 97.5 % point of 12.7."""
    group = np.repeat([0, 1, 2, 3], [1, 1, 1, 40])
    hits = np.random.default_rng(0).random(43)
    low, high = accuracy_interval(hits, group)
    sums = np.bincount(group, hits - hits.mean())
    error = np.sqrt(4 / 3 * np.square(sums).sum()) / 43
    assert (high - low) / 2 == pytest.approx(np.tan(np.pi * (0.975 - 0.5)) * error)
    assert (high + low) / 2 == pytest.approx(hits.mean())


@pytest.mark.parametrize("shifts", [[-0.05, 0.05], [-0.06, 0.01, 0.05]])
def test_a_difference_varies_over_four_groups_and_over_two_or_three_seeds(shifts):
    """Both variances of a mean, n - 1 each, with Welch's degrees of freedom."""
    means, count = np.array([0.02, 0.05, -0.01, 0.04]), len(shifts)
    differences = four_groups(means + np.array(shifts)[:, None])
    of_groups, of_seeds = stats.sem(means) ** 2, stats.sem(shifts) ** 2
    freedom = (of_groups + of_seeds) ** 2 / (of_groups**2 / 3 + of_seeds**2 / (count - 1))
    expected = stats.t(freedom, means.mean(), np.sqrt(of_groups + of_seeds)).interval(0.95)
    assert difference_interval(differences, FOUR) == pytest.approx(expected)


def test_a_difference_without_seeds_or_groups_has_no_interval(random):
    one, equal = random.random((1, 40)), np.full((3, 40), 0.1)
    for differences, group in ((one, FOUR), (equal, FOUR), (random.random((3, 40)), np.zeros(40))):
        assert np.isnan(difference_interval(differences, group)).all()


def test_of_two_configs_the_detectable_distance_is_a_normal_point_over_groups(monkeypatch):
    """Four groups: their deviation is over n - 1. 1.645 errors of the mean difference."""
    monkeypatch.setattr(selection, "_DRAWS", 200_000)
    means = np.array([[0.5, 0.6, 0.7, 0.8], [0.45, 0.62, 0.6, 0.7]])
    for num_seeds in (1, 2):  # two seeds do not tell what a seed does
        correct = np.repeat(four_groups(means)[:, None], num_seeds, axis=1)
        error = stats.sem(means[0] - means[1])
        found = compare_with_best(correct, FOUR)
        assert found.detectable == pytest.approx(stats.norm.ppf(0.95) * error, rel=0.01)
        assert found.indistinguishable.tolist() == [True, False]  # 2.3 errors behind


@pytest.mark.parametrize("shifts", [[-0.03, 0.01, 0.02], [-0.02, 0.03, 0.01, -0.02]])
def test_what_seeds_shift_on_all_tracks_has_the_tails_of_t(monkeypatch, shifts):
    """No group differs: the distance that shows is t's 95 % point over the seeds, n - 1."""
    monkeypatch.setattr(selection, "_DRAWS", 200_000)
    count = len(shifts)
    correct = np.full((2, count, 40), 0.6)
    correct[1] += np.array(shifts)[:, None] - 0.001
    correct[:, 0] += 0.05  # what a seed does to both is no difference
    expected = stats.t(count - 1).ppf(0.95) * stats.sem(shifts)
    found = compare_with_best(correct, FOUR)
    assert found.detectable == pytest.approx(expected, rel=0.02)
    assert found.indistinguishable.all()


def test_of_seeds_what_differs_from_track_to_track_is_taken_off(random, monkeypatch):
    """Seeds that shift group by group and not as a whole are in the residuals already."""
    monkeypatch.setattr(selection, "_DRAWS", 200_000)
    means = np.array([[0.5, 0.6, 0.7, 0.8], [0.45, 0.62, 0.6, 0.7]])
    noise = random.normal(0, 0.05, (2, 3, 4))
    noise -= noise.mean(axis=1, keepdims=True)
    noise -= noise.mean(axis=2, keepdims=True)
    correct = four_groups(means[:, None] + noise)
    expected = stats.norm.ppf(0.95) * stats.sem(means[0] - means[1])
    assert compare_with_best(correct, FOUR).detectable == pytest.approx(expected, rel=0.01)
    # A shift as a whole besides, of which such noise explains half: Σ noise² / 4² = Σ shift² / 2.
    shifts = np.array([-0.03, 0.01, 0.02])
    noise = noise[1] * np.sqrt(8 * np.square(shifts).sum() / np.square(noise[1]).sum())
    correct = np.stack([np.zeros((3, 4)), shifts[:, None] + noise])
    correct = four_groups(0.6 + correct + np.array([[0.2], [-0.1], [0.0]]))  # of both alike
    correct[1] -= 0.001
    expected = stats.t(2).ppf(0.95) * stats.sem(shifts) * np.sqrt(0.5)
    assert compare_with_best(correct, FOUR).detectable == pytest.approx(expected, rel=0.02)


def test_what_is_detectable_is_that_of_configs_near_the_best(monkeypatch):
    """A hopeless one, whose hits vary more, is no measure of it."""
    monkeypatch.setattr(selection, "_DRAWS", 200_000)
    means = np.array([[0.5, 0.6, 0.7, 0.8], [0.47, 0.6, 0.66, 0.8], [0.1, 0.0, 0.1, 0.0]])
    near = compare_with_best(four_groups(means[:2, None]), FOUR)
    found = compare_with_best(four_groups(means[:, None]), FOUR)
    assert found.detectable == pytest.approx(near.detectable, rel=0.02)
    assert found.indistinguishable.tolist() == [True, near.indistinguishable[1], False]
    alone = compare_with_best(four_groups(means[[0, 2], None]), FOUR)
    assert alone.detectable > 1.5 * near.detectable  # none is near: that of all others


def alike(correct, group):
    return compare_with_best(correct, group).indistinguishable


def test_of_two_configs_the_set_is_a_one_sided_test(random):
    group = np.repeat(np.arange(40), 1 + np.arange(40) % 10)
    decided = set()
    for _ in range(40):
        hits = random.random((2, len(group))) < [[0.7], [0.6]]
        first, second = hits[np.argsort(-hits.sum(axis=1))]
        model = OLS(1.0 * first - second, np.ones(len(group)))
        z = model.fit(cov_type="cluster", cov_kwds={"groups": group}).tvalues[0]
        found, detectable = compare_with_best(np.stack([first, second])[:, None], group)
        assert found[0]
        error = model.fit(cov_type="cluster", cov_kwds={"groups": group}).bse[0]
        if first.sum() > second.sum():
            assert detectable == pytest.approx(1.645 * error, rel=0.25)  # 1,000 draws
        if abs(z - 1.645) > 0.15:
            assert found[1] == (z < 1.645)
            decided.add(found[1])
    assert decided == {True, False}


@pytest.mark.parametrize("num_seeds", [1, 4])
def test_the_set_has_what_is_close_and_lacks_what_is_not(random, num_seeds):
    accuracy = np.repeat([0.5, 0.3, 0.1], [5, 10, 10])
    hits, _ = hits_of(random, accuracy, num_seeds, own=0.002)
    found = alike(hits, GROUP)
    assert found[hits.mean(axis=(1, 2)).argmax()]
    assert found[:5].sum() >= 3
    assert not found[5:].any()


def test_the_set_knows_no_order_and_treats_equals_alike(random):
    hits = hits_of(random, random.normal(0.5, 0.03, 30), 3)[0]
    hits = np.concatenate([hits, hits])
    found = alike(hits, GROUP)
    assert 0 < found.sum() < 60
    np.testing.assert_array_equal(found[:30], found[30:])
    order = random.permutation(60)
    np.testing.assert_array_equal(alike(hits[order], GROUP), found[order])
    np.testing.assert_array_equal(alike(hits, GROUP), found)


def test_what_seeds_shift_widens_the_set_of_three_and_more(random):
    """Half of the configs are ahead with each seed, but with the last one far behind."""
    base = hits_of(random, np.full(2, 0.5))[0][:, 0]
    shifted = np.repeat(base[:, None], 4, axis=1)
    shifted[1] = base[0]
    for seed, share in enumerate([0.10, 0.10, 0.10, -0.15]):
        wrong, right = np.flatnonzero(~base[0]), np.flatnonzero(base[0])
        changed = random.choice(wrong if share > 0 else right, int(abs(share) * len(GROUP)))
        shifted[1, seed, changed] = share > 0
    assert FEWEST_SEEDS == 3
    assert alike(shifted[:, :2], GROUP).tolist() == [False, True]
    assert alike(shifted, GROUP).all()


@pytest.mark.parametrize("spoilt", [0, 300])
def test_seeds_that_tell_no_configs_apart_widen_nothing(random, spoilt):
    """Of equally good configs 5 % are left out, as they must be, even if a seed spoils tracks."""
    left_out = []
    for _ in range(40):
        hits = hits_of(random, np.full(60, 0.5), 4)[0]
        hits[:, 0, random.permutation(len(GROUP))[:spoilt]] = False
        left_out.append(1 - alike(hits, GROUP).mean())
    assert 0.025 < np.mean(left_out) < 0.1


def test_configs_far_behind_change_nothing(random):
    """As they are noisy, they would widen the maximum."""
    hits = hits_of(random, np.linspace(0.45, 0.55, 40))[0]
    behind = random.random((300, 1, GROUP[-1] + 1))[..., GROUP] < 0.1
    found = alike(np.concatenate([hits, behind]), GROUP)
    np.testing.assert_array_equal(found[:40], alike(hits, GROUP))
    assert not found[40:].any()


def test_one_group_cannot_tell(random):
    hits = random.random((3, 1, 20)) < [[[0.1]], [[0.5]], [[0.9]]]
    assert alike(hits, np.zeros(20)).all()


def test_what_the_set_holds_for_is_said():
    assert "this train part and seed 7. Another seed gives another set" in scope(1, [7])
    assert "these train parts and seeds 4 and 5. " in scope(3, [4, 5])
    assert (
        scope(3, [1, 2, 3]) == "It allows for other songs and other seeds, with these train parts."
    )


def test_of_many_rows_too_the_set_is_a_test_in_little_memory(random, monkeypatch):
    """A matrix of rows by rows would take 2 GB. 4,000 draws, and 5,000 sums of rows: within 5 %."""
    monkeypatch.setattr(selection, "_DRAWS", 4000)
    correct = random.random((3, 1, 20_000)) < np.array([0.8, 0.799, 0.7])[:, None, None]
    correct[1] = np.where(random.random(20_000) < 0.9, correct[0], correct[1])
    rows = np.arange(20_000)
    tracemalloc.start()
    found = compare_with_best(correct, rows)
    curve = selected_on_test(correct, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e9
    error = stats.sem(1.0 * correct[0, 0] - correct[1, 0])
    assert found.detectable == pytest.approx(stats.norm.ppf(0.95) * error, rel=0.05)
    assert found.indistinguishable.tolist() == [True, True, False]
    assert curve["held_out"].iloc[-1] == pytest.approx(correct[0].mean(), abs=0.002)
    drawn = 1 / np.e  # of the rows are out of a resample, without replacement
    width = 2 * stats.norm.ppf(0.975) * correct[0].std() * np.sqrt((1 - drawn) / drawn / 20_000)
    assert (curve["high"] - curve["low"]).iloc[-1] == pytest.approx(width, rel=0.1)


def test_bias_is_corrected_as_in_a_plain_loop(random):
    hits = hits_of(random, random.normal(0.5, 0.02, 8))[0][:, 0]
    artists = np.unique(GROUP)
    trials = [np.flatnonzero(artist == GROUP) for artist in artists]
    scores = []
    for _ in range(400):
        drawn = random.integers(len(artists), size=len(artists))
        inside = np.concatenate([trials[artist] for artist in drawn])
        outside = np.flatnonzero(~np.isin(GROUP, artists[drawn]))
        scores.append(hits[hits[:, inside].mean(axis=1).argmax()][outside].mean())
    found = selected_on_test(hits[:, None], GROUP)
    assert found["configs"].to_list() == [1, 3, 8]
    assert found["apparent"].iloc[-1] == pytest.approx(hits.mean(axis=1).max())
    assert found["apparent"].iloc[0] == pytest.approx(hits.mean(), abs=0.002)
    error = np.std(scores) * np.sqrt(1 / 400 + 1 / 1000)
    assert found["held_out"].iloc[-1] == pytest.approx(np.mean(scores), abs=3 * error)
    ends = np.percentile(scores, (2.5, 97.5))
    np.testing.assert_allclose(found[["low", "high"]].iloc[-1], ends, atol=np.ptp(ends) / 10)
    np.testing.assert_allclose(found["optimism"], found["apparent"] - found["held_out"])
    assert found["optimism"].is_monotonic_increasing


def test_one_config_is_no_selection(random):
    hits = hits_of(random, np.array([0.5]), 2)[0]
    (row,) = selected_on_test(hits, GROUP).itertuples()
    assert row.apparent == pytest.approx(hits.mean())
    assert abs(row.optimism) < 0.005


def test_each_fold_scores_the_winner_of_its_own_validation_part(random):
    validation, test = random.uniform(size=(2, 12, 3, 2))
    found = selected_on_validation(validation, test)
    assert found["configs"].to_list() == [1, 3, 10, 12]
    winners = validation.mean(axis=2).argmax(axis=0)
    of_winners = [part.mean(axis=2)[winners, range(3)].mean() for part in (validation, test)]
    assert found.iloc[-1][["apparent", "held_out"]].to_list() == pytest.approx(of_winners)
    means = [validation.mean(), test.mean()]
    assert found.iloc[0][["apparent", "held_out"]].to_list() == pytest.approx(means, abs=0.02)
    assert found["apparent"].is_monotonic_increasing


def test_the_curve_ends_with_all_configs(random):
    accuracy = random.uniform(size=(768, 1, 1))
    found = selected_on_validation(accuracy, accuracy)
    assert found["configs"].to_list() == [1, 3, 10, 30, 100, 300, 768]
    assert not found["optimism"].any()
    # The highest of n uniform numbers is n / (n + 1) on average.
    np.testing.assert_allclose(found["apparent"][:3], [1 / 2, 3 / 4, 10 / 11], atol=0.03)


def test_an_accuracy_is_no_more_than_one_and_no_less_than_nothing():
    hits = np.r_[np.ones(28), 0.5, 0.0]
    low, high = mean_interval(hits, np.arange(30))
    assert accuracy_interval(hits, np.arange(30)) == (low, 1.0)
    assert high > 1
    assert accuracy_interval(1 - hits, np.arange(30)) == pytest.approx((0.0, 1 - low))
