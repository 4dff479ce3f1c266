"""The rates at which intervals and tests err; see tests/simulations.py."""

import pytest
from scipy import stats
from simulations import EXPERIMENTS, calibration_of_few, error_rate, winner_bias

from gtzan_jax.inference.calibration import FEWEST

PROMISED = [name for name, each in EXPERIMENTS.items() if each.nominal is not None]


@pytest.mark.parametrize("name", PROMISED)
def test_errors_are_as_rare_as_promised(name):
    each = EXPERIMENTS[name]
    most = stats.binom.ppf(0.999, each.quick, each.nominal)
    assert error_rate(each, each.quick)[0] * each.quick <= most


@pytest.mark.parametrize(
    "name",
    ["pairs", "f_plain10", "terms_plain", "splits_plain", "binomial", "paired_artists",
     "chance_fold_plain"],
)  # fmt: skip
def test_simulations_can_tell_what_errs_more_often(name):
    each = EXPERIMENTS[name]
    assert error_rate(each, each.quick)[0] * each.quick > stats.binom.ppf(0.999, each.quick, 0.05)


def test_a_calibration_of_fewer_songs_than_are_asked_for_is_mostly_chance():
    few, enough = (calibration_of_few(songs, 60) for songs in (6, FEWEST))
    assert 0.75 < enough.low < 1 < enough.high < 1.25
    assert enough.below < 0.1 < few.below
    assert few.mean > 0.2 > enough.most


def test_the_winners_bias_is_taken_off():
    apparent, held_out = winner_bias(0.01, 12)
    assert apparent > 0.01
    assert abs(held_out) < 0.008
