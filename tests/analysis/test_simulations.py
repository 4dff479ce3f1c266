"""The rates at which intervals and tests err; see tests/simulations.py."""

import pytest
from scipy import stats
from simulations import EXPERIMENTS, error_rate, winner_bias

PROMISED = [name for name, each in EXPERIMENTS.items() if each.nominal is not None]


@pytest.mark.parametrize("name", PROMISED)
def test_errors_are_as_rare_as_promised(name):
    each = EXPERIMENTS[name]
    most = stats.binom.ppf(0.999, each.quick, each.nominal)
    assert error_rate(each, each.quick) * each.quick <= most


@pytest.mark.parametrize(
    "name", ["pairs", "f_plain10", "terms_plain", "splits_plain", "binomial", "paired_artists"]
)
def test_simulations_can_tell_what_errs_more_often(name):
    each = EXPERIMENTS[name]
    assert error_rate(each, each.quick) * each.quick > stats.binom.ppf(0.999, each.quick, 0.05)


def test_the_winners_bias_is_taken_off():
    apparent, held_out = winner_bias(0.01, 12)
    assert apparent > 0.01
    assert abs(held_out) < 0.008
