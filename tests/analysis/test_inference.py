"""Tests and intervals against scipy and closed forms."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import helmert
from statsmodels.stats.multitest import multipletests

from gtzan_jax.analysis.inference import (
    FEWEST_SPLITS,
    holm,
    sphericity_free_f_test,
    t_test,
)


def test_the_corrected_test_by_hand():
    # With five degrees of freedom the distribution of t has a closed form.
    differences = np.array([0.02, -0.01, 0.03, 0.01, 0.02, 0.05])
    mean = 0.02
    variance = (0 + 0.03**2 + 0.01**2 + 0.01**2 + 0 + 0.03**2) / 5
    error = math.sqrt((1 / 6 + 300 / 700) * variance)
    angle = math.atan(mean / error / math.sqrt(5))
    tail = 1 - (angle + math.sin(angle) * (math.cos(angle) + 2 / 3 * math.cos(angle) ** 3)) * (
        2 / math.pi
    )
    found = t_test(differences, 300 / 700)
    assert found.difference == pytest.approx(mean)
    assert found.p_value == pytest.approx(tail)
    assert found.high - mean == pytest.approx(2.570581836 * error)  # of Student's table
    assert mean - found.low == pytest.approx(2.570581836 * error)


@pytest.mark.parametrize("count", [5, 10])
def test_without_overlap_it_is_the_paired_t_test(count):
    ours, others = np.random.default_rng(count).uniform(0.6, 0.8, (2, count))
    expected = stats.ttest_rel(ours, others)
    interval = expected.confidence_interval(0.95)
    found = t_test(ours - others)
    np.testing.assert_allclose(found[1:], [interval.low, interval.high, expected.pvalue])
    corrected = t_test(ours - others, 3 / 7)
    assert corrected.low < found.low
    assert corrected.high > found.high
    assert corrected.p_value > found.p_value


def test_the_interval_and_the_p_value_agree():
    random = np.random.default_rng(0)
    outcomes = set()
    for shift in np.linspace(-0.1, 0.1, 201):
        found = t_test(random.normal(shift, 0.03, size=5), 3 / 7)
        outside = not found.low <= 0 <= found.high
        assert outside == (found.p_value < 0.05)
        outcomes.add(outside)
    assert outcomes == {True, False}


@pytest.mark.parametrize(
    "differences",
    [[], [0.1], [0.0] * 10, [0.25] * 10, [0.7 - 0.6, 0.8 - 0.7] * 5],
    ids=["none", "one", "all zero", "all alike", "alike but for rounding"],
)
def test_without_an_estimate_of_the_variance_there_is_no_test(differences):
    for found in (t_test(np.array(differences)), t_test(np.array(differences), 3 / 7)):
        assert np.isnan(found[1:]).all()
        np.testing.assert_allclose(found.difference, np.mean(differences or [np.nan]))


def test_fewer_than_five_splits_have_no_test():
    differences = np.random.default_rng(0).normal(size=5)
    assert FEWEST_SPLITS == 5
    assert np.isfinite(t_test(differences, 3 / 7)).all()
    assert np.isnan(t_test(differences[:4], 3 / 7)[1:]).all()


def f_test_by_contrasts(effects, df):
    """The slow way: Greenhouse and Geisser's ε from the covariance of orthonormal contrasts."""
    contrasts = helmert(df + 1) @ effects
    n = effects.shape[1]
    covariance = np.atleast_2d(np.cov(contrasts))
    epsilon = np.trace(covariance) ** 2 / (df * np.trace(covariance @ covariance))
    f = n * np.square(contrasts.mean(axis=1)).sum() / np.trace(covariance)
    return epsilon, stats.f.sf(f, epsilon * df, epsilon * df * (n - 1))


@pytest.mark.parametrize("df", [1, 2, 5])
@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_f_test_is_that_of_contrasts(df, count):
    values = np.random.default_rng(0).normal(size=(df + 1, count)) * np.arange(1, df + 2)[:, None]
    effects = values - values.mean(axis=0)
    epsilon, p_value = f_test_by_contrasts(effects, df)
    assert 1 / df - 1e-9 <= epsilon <= 1 + 1e-9
    assert sphericity_free_f_test(effects, df) == pytest.approx(p_value)


def test_in_one_dimension_the_f_test_is_the_t_test():
    differences = np.random.default_rng(0).normal(0.5, size=6)
    effects = np.stack([-differences / 2, differences / 2])
    for overlap in (0.0, 0.25):
        expected = t_test(differences, overlap).p_value
        assert sphericity_free_f_test(effects, 1, overlap) == pytest.approx(expected)


@pytest.mark.parametrize(
    "effects",
    [
        np.array([[0.1], [-0.1]]),
        np.full((2, 4), [[0.1], [-0.1]]),
        np.array([[0.7 - 0.6, 0.8 - 0.7], [0.6 - 0.7, 0.7 - 0.8]]),
    ],
    ids=["one run", "all alike", "alike but for rounding"],
)
def test_without_noise_there_is_no_f_test(effects):
    assert math.isnan(sphericity_free_f_test(effects, 1))


def test_holms_p_values_are_those_of_statsmodels():
    p_values = np.random.default_rng(0).uniform(size=45) ** 4
    _, expected, *_ = multipletests(p_values, method="holm")
    np.testing.assert_allclose(holm(p_values), expected)
    some = holm([0.04, math.nan, 0.01])
    np.testing.assert_allclose(some, [0.04, math.nan, 0.02])
    assert np.isnan(holm([math.nan, math.nan])).all()
