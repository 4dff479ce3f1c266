import math

import numpy as np
import pytest
from conftest import make_sweep
from scipy import stats

from gtzan_jax.errors import InputError
from gtzan_jax.space.hyperparameters import HYPERPARAMETERS
from gtzan_jax.space.ranges import Range, draw
from gtzan_jax.space.sweep_file import parse_range

LOG = {"low": 1e-4, "high": 1e-1, "log": True}


def drawn(count, seed=0, **choices):
    """Returns the values of the axes of many draws, an array each."""
    configs = draw(choices, count, seed, "test")
    return {name: np.array([config[name] for config in configs]) for name in choices}


def test_draws_of_a_logarithmic_range_are_uniform_in_the_logarithm():
    rates = drawn(2000, learning_rate=Range(1e-4, 1e-1, log=True))["learning_rate"]
    uniform = (np.log10(rates) + 4) / 3
    assert stats.kstest(uniform, "uniform").pvalue > 0.01
    assert stats.kstest(rates, "uniform", (1e-4, 0.0999)).pvalue < 1e-9


def test_draws_of_a_range_are_uniform():
    rates = drawn(2000, dropout1=Range(0.1, 0.6))["dropout1"]
    assert stats.kstest(rates, "uniform", (0.1, 0.5)).pvalue > 0.01


@pytest.mark.parametrize(
    ("found", "values"),
    [
        (Range(3, 6), [3, 4, 5, 6]),
        (Range(16, 64, step=16), [16, 32, 48, 64]),
        (Range(16, 70, step=16), [16, 32, 48, 64]),
        (Range(0.1, 0.4, step=0.1), [0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_every_value_of_few_is_equally_likely(found, values):
    quantiles = (np.arange(4000) + 0.5) / 4000
    got, counts = np.unique([found.value(q) for q in quantiles], return_counts=True)
    assert got.tolist() == values
    assert counts.tolist() == [1000] * 4


def test_a_logarithmic_range_of_whole_numbers_gives_each_its_interval():
    found = Range(1, 4, log=True)
    quantiles = (np.arange(40_000) + 0.5) / 40_000
    got, counts = np.unique([found.value(q) for q in quantiles], return_counts=True)
    shares = [math.log((k + 0.5) / (k - 0.5)) / math.log(4.5 / 0.5) for k in (1, 2, 3, 4)]
    assert got.tolist() == [1, 2, 3, 4]
    assert counts / 40_000 == pytest.approx(shares, abs=1e-4)


def test_draws_of_values_are_uniform_and_independent():
    values = drawn(
        3000,
        num_units1=Range(1, 8000),
        optimizer=("adam", "sgd", "rmsprop"),
        activation=("relu", "leaky_relu"),
    )
    pairs = [f"{o} {a}" for o, a in zip(values["optimizer"], values["activation"], strict=True)]
    assert stats.chisquare(np.unique(pairs, return_counts=True)[1]).pvalue > 0.01


def test_draws_have_few_digits_and_lie_within_the_bounds():
    found = Range(0.123456, 0.123654)
    # 0.1237 would be nearest to the upper bound, and beyond it.
    values = {found.value(quantile) for quantile in np.linspace(0, 0.999999, 99).tolist()}
    assert values == {0.1235, 0.1236, 0.123654}


# Whoever runs a sweep file draws the same configs, whatever the version of NumPy.
def test_draws_are_these():
    choices = {"num_units1": Range(8, 512, log=True), "learning_rate": Range(1e-4, 0.1, log=True)}
    configs = [dict(config) for config in draw(choices, 3, 0, "test")]
    assert configs == [
        {"num_units1": 8, "learning_rate": 0.0005933},
        {"num_units1": 55, "learning_rate": 0.000188},
        {"num_units1": 469, "learning_rate": 0.0005865},
    ]


def test_the_first_draws_of_many_are_those_of_few_and_another_seed_draws_others():
    choices = {"num_units1": tuple(range(1, 60)), "dropout1": Range(0.0, 0.5)}
    many = draw(choices, 50, 3, "test")
    assert len(set(many)) == 50
    assert draw(choices, 20, 3, "test") == many[:20]
    assert not set(draw(choices, 50, 4, "test")) & set(many)


def test_all_of_a_grid_can_be_drawn():
    choices = {"num_units1": (1, 2, 3), "activation": ("relu", "leaky_relu")}
    assert len(draw(choices, 6, 0, "test")) == 6


@pytest.mark.parametrize(
    "choices", [{"num_units1": (1, 2, 3), "dropout1": (0.1, 0.2)}, {"num_units1": Range(1, 6)}]
)
def test_more_than_there_are_cannot_be_drawn(choices):
    with pytest.raises(InputError, match=r"search\.num_configs is 7, .* only 6 different configs"):
        draw(choices, 7, 0, "test")


@pytest.mark.parametrize(
    ("axis", "table", "problem"),
    [
        ("dropout1", {"low": 0.1}, "'high' is missing"),
        ("dropout1", LOG | {"hihg": 1}, "unknown key 'hihg'"),
        ("dropout1", {"low": 0.5, "high": 0.5}, "low must be below high"),
        ("dropout1", {"low": 0.5, "high": 2.0}, r"high must be a number from 0 to 1, not 2\.0"),
        ("dropout1", {"low": 0.0, "high": 0.5, "log": True}, "begins above 0"),
        ("learning_rate", LOG | {"log": 1}, "log must be true or false"),
        ("learning_rate", LOG | {"step": 0.1}, "log and step exclude each other"),
        ("num_units1", {"low": 1, "high": 9, "step": 0.5}, "step must be a whole number"),
        ("num_units1", {"low": 1, "high": 9, "step": 20}, "step must be a number"),
        ("num_units1", {"low": 1.5, "high": 9}, "low must be a whole number"),
        ("batch_size", {"low": 16, "high": 64}, "would need its own program"),
        ("optimizer", {"low": "adam", "high": "sgd"}, "a range is of numbers"),
        ("nesterov", {"low": False, "high": True}, "a range is of numbers"),
    ],
)
def test_a_range_that_cannot_be_is_refused(axis, table, problem):
    with pytest.raises(InputError, match=problem) as caught:
        parse_range(HYPERPARAMETERS[axis], table, f"test: axes.{axis}")
    assert str(caught.value).startswith(f"test: axes.{axis}")
    assert "\n" not in str(caught.value)


def test_a_sweep_draws_its_configs():
    axes = {"learning_rate": LOG, "num_units1": {"low": 8, "high": 12}, "optimizer": ["adam"]}
    search = {"kind": "random", "num_configs": 30, "seed": 5}
    sweep = make_sweep(axes=axes, search=search, learning_rates=None)
    assert (sweep.num_configs, len(sweep.places), sweep.is_grid) == (30, 30, False)
    assert sweep.to_dict()["axes"]["learning_rate"] == LOG
    assert sweep.to_dict()["search"] == search
    assert set(sweep.axes["num_units1"]) <= set(range(8, 13))
    assert sweep.axes["learning_rate"] == tuple(sorted({c["learning_rate"] for c in sweep.configs}))
