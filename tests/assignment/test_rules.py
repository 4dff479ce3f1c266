"""The rules against the slow way, and their false alarms under nulls with the runs' dependence."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from claim_simulations import CLAIM_EXPERIMENTS
from scipy import stats
from scipy.special import log_softmax
from simulations import error_rate

from gtzan_jax.assignment import claims, published
from gtzan_jax.assignment.rules import (
    FEWEST,
    clearly_different,
    error_of_best,
    softmax_twice_floor,
    top_range,
)


@pytest.mark.parametrize("seed", range(20))
def test_the_range_is_that_of_all_orders_of_ties(seed):
    random = np.random.default_rng(seed)
    accuracy, has = random.integers(1, 4, 6) / 10, random.integers(0, 2, 6).astype(bool)
    top = int(random.integers(1, 6))
    orders = [o for o in itertools.permutations(range(6)) if (np.diff(accuracy[[*o]]) <= 0).all()]
    counts = [int(has[[*order[:top]]].sum()) for order in orders]
    assert top_range(accuracy, has, top) == (min(counts), max(counts))


def test_diverged_configs_are_never_among_the_best():
    accuracy = np.array([np.nan, 0.5, 0.7, 0.5])
    assert top_range(accuracy, np.array([True, True, False, False]), 2) == (0, 1)


HAS = np.array([True, True, False, False])
BORNE, REFUTED, TIED = [0.9, 0.8, 0.2, 0.1], [0.9, 0.1, 0.8, 0.2], [0.9, 0.5, 0.5, 0.5]
REACHED = "the claimed count is reached with"


@pytest.mark.parametrize(
    ("seeds", "different", "measured"),
    [
        ([BORNE], False, "2 of 2"),
        ([TIED], False, "1–2 of 2"),
        ([REFUTED], False, "1 of 2"),
        ([BORNE] * 7, False, f"2 of 2 over 7 seeds; {REACHED} 7 of 7 seeds"),
        ([BORNE] + [REFUTED] * 7, False, f"1–2 of 2 over 8 seeds; {REACHED} 1 of 8 seeds"),
        ([REFUTED] * 6, False, f"1 of 2 over 6 seeds; {REACHED} 0 of 6 seeds"),
        ([REFUTED] * 6 + [TIED], False, f"1–2 of 2 over 7 seeds; {REACHED} 0 of 7 seeds"),
        ([REFUTED] * 7, True, f"1 of 2 over 7 seeds; {REACHED} 0 of 7 seeds"),
    ],
)
def test_a_count_is_judged_in_every_order_of_every_seed(seeds, different, measured, monkeypatch):
    monkeypatch.setattr(published, "TOP", 2)
    configs = [{"optimizer": "adam" if has else "sgd"} for has in HAS]
    sweep = SimpleNamespace(configs=configs, axes={"optimizer": ["adam", "sgd"]})
    run = SimpleNamespace(accuracy=np.array(seeds).T, sweep=sweep)
    assert claims._count(run, "optimizer", ("adam",), 2, 2) == (measured, different)


def test_the_fewest_seeds_are_those_that_keep_false_alarms_of_counts_below_5_percent():
    """The published seed has a property, and none of n others: at most that, whatever its rate."""
    rate = np.linspace(0, 1, 10_001)
    assert (rate * (1 - rate) ** FEWEST).max() < 0.05 < (rate * (1 - rate) ** (FEWEST - 1)).max()


def test_the_interval_is_a_prediction_interval():
    """Without tracks it is the textbook's; without seeds' spread the test of two proportions."""
    ours = np.array([0.70, 0.72, 0.69, 0.71, 0.73, 0.70, 0.71])
    reach = stats.t.ppf(0.975, 6) * ours.std(ddof=1) * math.sqrt(1 + 1 / 7)
    ends = [ours.mean() + side * f * reach for side in (-1, 1) for f in (0.999, 1.001)]
    assert [clearly_different(end, ours) for end in ends] == [False, True, False, True]
    # Two draws of 300 tracks, by the pooled z test.
    for right in (215, 230):
        pooled = (197 + right) / 600
        error = math.sqrt(pooled * (1 - pooled) / 300)
        rows = [[197, 103], [right, 300 - right]]
        significant = stats.chi2_contingency(rows, correction=False).pvalue < 0.05
        assert clearly_different(right / 300, np.full(7, 197 / 300), error) == significant


@pytest.mark.parametrize(
    ("distance", "count", "different"),
    [(0.02, 1, False), (0.2, 1, False), (0.2, 6, False), (0.02, 7, False), (0.2, 7, True)],
)
def test_few_seeds_exclude_nothing(distance, count, different):
    ours = 0.7 + 0.01 * np.linspace(-1, 1, count) * (count > 1)
    assert clearly_different(0.7 + distance, ours, 0.02) is different
    assert not clearly_different(0.7 + distance, ours, 0.02, slack=0.2)


@pytest.mark.parametrize("name", ["figure", "highest", "best"])
def test_what_is_of_the_same_process_is_seldom_excluded(name):
    """In no more than 5 %; by the binomial of one part's tracks it was in more."""
    for each, promised in ((name, True), (f"{name}_plain", False)):
        experiment = CLAIM_EXPERIMENTS[each]
        limit = stats.binom.ppf(0.999, experiment.quick, 0.05) / experiment.quick
        assert (error_rate(experiment, experiment.quick)[0] <= limit) == promised


def test_the_error_of_one_config_is_that_of_its_mean():
    right = np.random.default_rng(2).random((1, 1, 300)) < 0.7
    share = right.mean()
    assert error_of_best(right) == pytest.approx(math.sqrt(share * (1 - share) / 300), rel=0.15)


@pytest.mark.parametrize("genres", [2, 10])
def test_the_floor_is_that_of_a_certain_prediction(genres):
    certain = np.eye(genres)[0]
    assert softmax_twice_floor(genres) == pytest.approx(-log_softmax(certain)[0])
