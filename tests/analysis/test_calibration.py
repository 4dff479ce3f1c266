import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

from gtzan_jax.analysis.calibration import (
    BINS,
    bins_of,
    calibration_error,
    error_of_chance,
    fit_temperature,
)
from gtzan_jax.inference.calibration import against_chance, tempered


def drawn(songs, classes=4, scale=2.0, seed=0):
    """Logits, and classes that are drawn with their probabilities: a model without an error."""
    random = np.random.default_rng(seed)
    logits = scale * random.normal(size=(songs, classes))
    probabilities = np.exp(log_softmax(logits, axis=1))
    return logits, (probabilities.cumsum(axis=1) > random.random((songs, 1))).argmax(axis=1)


def loss(logits, y, temperature):
    return -log_softmax(logits / temperature, axis=1)[np.arange(len(y)), y].mean()


@pytest.mark.parametrize("seed", range(3))
def test_the_temperature_is_that_of_a_grid_search(seed):
    logits, y = drawn(150, seed=seed)
    logits *= 1.7
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 20_001))
    best = grid[np.argmin([loss(logits, y, t) for t in grid])]
    assert fit_temperature(logits, y) == pytest.approx(best, rel=5e-4)


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_logits_that_are_too_large_by_a_factor_have_it_as_their_temperature(factor):
    logits, y = drawn(200_000)
    assert fit_temperature(factor * logits, y) == pytest.approx(factor, rel=0.01)
    # What the temperature of the logits is, all others are multiples of, on any songs at all.
    few, labels = drawn(80, seed=1)
    expected = factor * fit_temperature(few, labels)
    assert fit_temperature(factor * few, labels) == pytest.approx(expected, rel=1e-4)


def test_the_temperature_of_a_part_without_mistakes_is_bounded():
    logits, _ = drawn(50)
    assert 0.05 <= fit_temperature(logits, logits.argmax(axis=1)) < 0.051
    assert 19.9 < fit_temperature(logits, logits.argmin(axis=1)) <= 20


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 20.0])
def test_no_temperature_changes_the_order(temperature):
    logits, _ = drawn(100)
    cooled = tempered(logits.astype(np.float32), temperature)
    np.testing.assert_array_equal(cooled.argsort(axis=1), logits.argsort(axis=1))
    np.testing.assert_allclose(np.exp(cooled).sum(axis=1), 1)


def test_the_error_of_songs_by_hand():
    # Bins (0.2, 0.3] with three songs, (0.8, 0.9] with two, (0.9, 1] with one.
    probability = np.array([0.25, 0.30, 0.21, 0.85, 0.90, 1.0])
    right = np.array([True, False, False, True, False, True])
    expected = (3 * abs(1 / 3 - 0.76 / 3) + 2 * abs(0.5 - 0.875) + 0) / 6
    assert calibration_error(probability, right) == pytest.approx(expected)
    bins = bins_of(probability, right)
    assert bins["songs"].tolist() == [3, 2, 1]
    np.testing.assert_allclose(bins[["low", "high"]], [(0.2, 0.3), (0.8, 0.9), (0.9, 1.0)])
    np.testing.assert_allclose(bins["accuracy"], [1 / 3, 1 / 2, 1])


def test_the_error_is_that_of_pandas_own_bins():
    random = np.random.default_rng(0)
    probability, right = random.random(300), random.random(300) < 0.4
    frame = pd.DataFrame({"p": probability, "right": right})
    frame["bin"] = pd.cut(frame["p"], np.arange(BINS + 1) / BINS)
    means = frame.groupby("bin", observed=True).agg(p=("p", "mean"), right=("right", "mean"))
    songs = frame.groupby("bin", observed=True).size()
    expected = ((means["p"] - means["right"]).abs() * songs).sum() / 300
    assert calibration_error(probability, right) == pytest.approx(expected)


def chance_of(probability, seed=0):
    """The error of chance of independent songs, of which it does not matter who is right."""
    songs = len(probability)
    return error_of_chance(probability, np.zeros(songs, bool), np.arange(songs), seed)


def test_chance_alone_makes_an_error_that_falls_with_the_root_of_songs():
    few, many = (chance_of(np.full(songs, 0.45)) for songs in (100, 10_000))
    # One bin: a share's mean absolute deviation, sqrt(2/π · p(1 − p)/n), and its 95th percentile.
    assert few[0] == pytest.approx(np.sqrt(2 / np.pi * 0.45 * 0.55 / 100), rel=0.05)
    assert few[1] == pytest.approx(1.96 * np.sqrt(0.45 * 0.55 / 100), rel=0.08)
    assert few[0] / many[0] == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize(("groups", "independent"), [(100_000, 100_000), (4, 4)])
def test_many_songs_take_little_memory(groups, independent):
    """One bin, as above, of a hundred draws. All pairs of 25,000 songs would take 5 GB."""
    group = np.arange(100_000) * groups // 100_000
    right = np.random.default_rng(0).random(groups)[group] < 0.5
    tracemalloc.start()
    mean, _ = error_of_chance(np.full(100_000, 0.5), right, group)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e9
    assert mean == pytest.approx(np.sqrt(2 / np.pi * 0.25 / independent), rel=0.2)


def test_chance_makes_the_error_of_a_model_without_any():
    errors, expected = [], []
    for seed in range(300):
        logits, y = drawn(120, seed=seed)
        probability = np.exp(log_softmax(logits, axis=1))
        errors.append(calibration_error(probability.max(axis=1), probability.argmax(axis=1) == y))
        if seed < 20:
            expected.append(chance_of(probability.max(axis=1), seed))
    assert np.mean(errors) == pytest.approx(np.mean(expected, axis=0)[0], rel=0.05)
    assert np.percentile(errors, 95) == pytest.approx(np.mean(expected, axis=0)[1], rel=0.12)


@pytest.mark.parametrize("likeness", [-0.5, 0.0, 0.6, 1.0])
def test_songs_that_are_right_together_make_a_larger_error_by_chance(likeness):
    # A Gaussian copula at one half: hits correlate by 2/π · arcsin ρ (Sheppard), and the variance
    # of a share is (1 + (4 − 1) · that) times that of independent songs. None is less than that.
    random, group = np.random.default_rng(0), np.repeat(np.arange(1000), 4)
    if likeness < 0:  # two of four are right, always
        right = np.tile([True, True, False, False], 1000)
    else:
        alike, own = random.normal(size=1000)[group], random.normal(size=4000)
        right = np.sqrt(likeness) * alike + np.sqrt(1 - likeness) * own < 0
    order = random.permutation(4000)
    mean, limit = error_of_chance(np.full(4000, 0.5), right[order], group[order])
    design = 1 + 3 * 2 / np.pi * np.arcsin(max(likeness, 0))
    assert mean == pytest.approx(np.sqrt(2 / np.pi * design * 0.25 / 4000), rel=0.06)
    assert limit == pytest.approx(1.96 * np.sqrt(design * 0.25 / 4000), rel=0.08)


def test_pairs_of_unequal_probabilities_that_share_a_draw_count_as_fully_alike():
    # The error is |a − p| + |b − q| over two bins, of songs that share their draws in pairs: the
    # mean is that of two binomials of as many pairs, whatever they have in common.
    random, pairs = np.random.default_rng(0), 600
    level = np.repeat(random.random(pairs), 20)
    probability = np.tile(np.repeat([0.25, 0.85], 10), pairs)
    mean, _ = error_of_chance(probability, level < probability, np.repeat(np.arange(pairs), 20))
    each = [np.sqrt(2 / np.pi * p * (1 - p) / pairs) for p in (0.25, 0.85)]
    assert mean == pytest.approx(np.mean(each), rel=0.06)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [(0.0804, "8.0 is compatible with exact probabilities"), (0.081, "8.1 is more than chance")],
)
def test_an_error_is_held_against_chance_as_it_is_shown(error, verdict):
    expected = f"by chance alone 5.5 on average, and more than 8.0 in 5 % of cases: {verdict}"
    assert against_chance(error, 0.0549, 0.0799) == expected
