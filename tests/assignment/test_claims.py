import numpy as np
import pytest
from conftest import make_sweep
from finished_runs import history_of, random_history, write_best_history, write_run
from scipy.special import log_softmax

from gtzan_jax.assignment.claims import concern, judge, softmax_twice_floor
from gtzan_jax.assignment.published import published_best
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.rundir.manifest import Data
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.sources import load_table

SWEEP = load_sweep("assignment")
# The claims, in their order.
RATIOS, CORRELATION, GLOROT, OPTIMIZERS, LEAKY, OTHERS, CONFIG, ACCURACY = range(8)
TRAIN_1, TEST_1, TRAIN_MAX, TEST_MAX, PLATEAU, LOSS = range(8, 14)

# What a manifest says of a table that is not the sample, and not at hand.
GONE = Data(
    flag="gone.csv",
    source="gone.csv",
    sha256="0" * 64,
    tracks=1000,
    features=57,
    genres=["blues", "rock"],
    repeats=[],
)


def as_published(config):
    """Returns an accuracy that bears the published ranking out."""
    if config == published_best():
        return 0.71667
    points = 0.0 if config["optimizer"] == "sgd" else 0.15
    points += 0.1 * (config["initializer"] == "glorot_uniform")
    return 0.4 + points + 0.01 * (config["activation"] == "leaky_relu")


def history_by(rule, num_seeds=1):
    """Returns a history that ends with a rule's accuracy, and a dither that favours no value."""
    dither = 1e-4 * np.random.default_rng(0).normal(size=(SWEEP.num_configs, num_seeds))
    return history_of(SWEEP, np.array([[rule(c)] for c in SWEEP.configs]) + dither)


def judged(tmp_path, history, sweep=SWEEP, curves=None, table=None, data=GONE):
    folder = write_run(tmp_path / "run", sweep, history, data=data)
    if curves:
        write_best_history(folder, **curves)
    return judge(read_finished(folder), table)


def published_curves():
    """Returns a retraining's curves with every published figure in them."""
    test = np.minimum(0.4633 + 0.0083 * np.arange(50), 0.70)
    test[37] = 0.7367
    train = np.minimum(0.4386 + 0.02 * np.arange(50), 0.92)
    loss = 1.75 + 0.4 * np.exp(-np.arange(50) / 5)
    return {"test_accuracy": test, "train_accuracy": train, "test_loss": loss}


def test_a_ranking_as_published_bears_the_claims_out(tmp_path):
    claims = judged(tmp_path, history_by(as_published))
    for claim in (GLOROT, OPTIMIZERS, LEAKY, OTHERS, CONFIG, ACCURACY):
        assert claims[claim].holds is True, claims[claim]
    assert claims[GLOROT].measured == "99 of 99"
    assert claims[LEAKY].measured == "100 of 100"
    assert claims[OPTIMIZERS].measured.endswith(", 0 sgd")
    assert claims[CONFIG].measured == "rank 1 of 768, 0.7167"
    assert all(claim.holds is None for claim in claims[TRAIN_1:])
    assert claims[LOSS].measured == "not retrained"


@pytest.mark.parametrize(
    ("claim", "change", "measured"),
    [
        (GLOROT, {"initializer": "random_uniform", "optimizer": "adam"}, "97 of 99"),
        (OPTIMIZERS, {"optimizer": "sgd", "initializer": "glorot_uniform"}, "2 sgd"),
    ],
)
def test_two_exceptions_are_counted(tmp_path, claim, change, measured):
    exceptions = {"activation": "relu", "num_units1": 64, "num_units2": 64, "num_units3": 64}
    exceptions |= {"dropout1": 0.1, "dropout2": 0.1} | change

    def rule(config):
        matches = all(config[name] == value for name, value in exceptions.items())
        return 0.69 if matches else as_published(config)

    found = judged(tmp_path, history_by(rule))[claim]
    assert found.holds is False
    assert measured in found.measured


def test_activation_and_best_config_may_be_others(tmp_path):
    def rule(config):
        return as_published(config) - 0.05 * (config["activation"] == "leaky_relu")

    claims = judged(tmp_path, history_by(rule))
    assert claims[LEAKY].holds is False
    assert claims[CONFIG].holds is True
    assert claims[LEAKY].measured == "1 of 100"


@pytest.mark.parametrize(
    ("name", "size", "holds"),
    [("num_units2", 1e-2, False), ("dropout3", 1e-2, False), ("dropout3", 1e-6, True)],
)
def test_a_consistent_effect_of_the_rest_is_seen(tmp_path, name, size, holds):
    def rule(config):
        return as_published(config) + size * (config[name] in (128, 0.2))

    found = judged(tmp_path, history_by(rule, num_seeds=3))[OTHERS]
    assert found.holds is holds
    if not holds:
        best = "128" if name == "num_units2" else "0.2"
        assert f"{name} {best}: 100 %, 1.0 points" in found.measured


@pytest.mark.parametrize(("shifts", "holds"), [([1e-2], None), ([1e-2, 4e-3, -5e-3], True)])
def test_what_a_seed_does_to_all_pairs_alike_refutes_nothing(tmp_path, shifts, holds):
    """A null that all pairs of a seed share, under which they agree nevertheless."""
    dither = 1e-4 * np.random.default_rng(0).normal(size=(SWEEP.num_configs, len(shifts)))
    wide = np.array([config["num_units2"] == 128 for config in SWEEP.configs])
    rule = np.array([as_published(config) for config in SWEEP.configs])
    accuracy = rule[:, None] + wide[:, None] * shifts + dither
    found = judged(tmp_path, history_of(SWEEP, accuracy))[OTHERS]
    assert "num_units2 128: 100 %" in found.measured
    assert found.holds is holds


def test_curves_as_published_bear_the_claims_out(tmp_path):
    claims = judged(tmp_path, history_by(as_published), curves=published_curves())
    assert [claim.holds for claim in claims[ACCURACY:]] == [True] * 7
    assert claims[TRAIN_1].measured == "0.4386"
    assert claims[TRAIN_MAX].measured == "0.9200 at epoch 26"
    assert claims[TEST_MAX].measured == "0.7367 at epoch 38; 0.7000 after 50"
    assert claims[PLATEAU].measured.startswith("from epoch 27, at 0.700")
    assert claims[LOSS].measured.startswith("level: 1.750")


@pytest.mark.parametrize(
    ("claim", "curves", "measured"),
    [
        (TRAIN_1, {"train_accuracy": np.linspace(0.37, 0.98, 50)}, "0.3700"),
        (TEST_1, {"test_accuracy": np.linspace(0.53, 0.73, 50)}, "0.5300"),
        (TRAIN_MAX, {"train_accuracy": np.linspace(0.44, 0.98, 50)}, "0.9800 at epoch 50"),
        (TEST_MAX, {"test_accuracy": np.full(50, 0.6)}, "0.6000 at epoch 1"),
        (PLATEAU, {"test_accuracy": np.full(50, 0.7)}, "from epoch 1, at 0.700"),
        (PLATEAU, {"test_accuracy": np.linspace(0.4, 0.9, 50)}, "from epoch 44"),
        (LOSS, {"test_loss": np.linspace(0.9, 1.75, 50)}, "rising"),
        (LOSS, {"test_loss": np.full(50, 0.9)}, "level: 0.900"),
    ],
)
def test_other_curves_do_not(tmp_path, claim, curves, measured):
    claims = judged(tmp_path, history_by(as_published), curves=published_curves() | curves)
    assert claims[claim].holds is False
    assert measured in claims[claim].measured


def test_a_longer_retraining_is_judged_by_its_first_50_epochs(tmp_path):
    curves = {name: np.append(curve, [0.99] * 9) for name, curve in published_curves().items()}
    claims = judged(tmp_path, history_by(as_published), curves=curves)
    assert all(claim.holds for claim in claims[TRAIN_1:])


def test_a_small_sweep_says_what_it_lacks(tmp_path):
    sweep = make_sweep()
    curves = {name: curve[:3] for name, curve in published_curves().items()}
    claims = judged(tmp_path, random_history(sweep), sweep, curves)
    assert len(claims) == 14
    assert all(claim.holds is None for claim in claims)
    assert claims[GLOROT].measured == "needs ≥ 100 configurations; the run has 12"
    assert "widths and dropout rates" in claims[OTHERS].measured
    assert "does not have" in claims[CONFIG].measured
    assert claims[TRAIN_1].measured == "0.4386 (another sweep than the assignment's)"
    assert claims[LOSS].measured == "needs 50 epochs; the retraining has 3"


def test_a_sweep_that_does_not_vary_a_value_cannot_tell(tmp_path):
    sweep = load_sweep("assignment", ['axes.initializer=["glorot_uniform"]'])
    claims = judged(tmp_path, random_history(sweep), sweep)
    assert claims[GLOROT].holds is None
    assert "does not vary initializer" in claims[GLOROT].measured
    assert claims[LEAKY].holds is not None


def test_diverged_configs_do_not_count_as_wins(tmp_path):
    history = history_by(as_published)
    history.figures[5, 0, 0] = np.nan
    claims = judged(tmp_path, history)
    assert claims[GLOROT].holds is True
    assert claims[OTHERS].holds is True


def test_a_sweep_that_diverged_cannot_tell(tmp_path):
    history = history_by(as_published)
    history.figures[:] = np.nan
    claims = judged(tmp_path, history)
    assert claims[GLOROT].measured == "needs ≥ 100 configurations; the run has 0"
    assert claims[ACCURACY].measured == "every configuration diverged"
    assert claims[CONFIG].measured.endswith("of 768, diverged")
    assert claims[CONFIG].holds is False
    assert all(claim.holds is None for i, claim in enumerate(claims) if i != CONFIG)


def test_on_the_sample_nothing_is_judged(tmp_path):
    table = load_table("sample")
    folder = write_run(tmp_path / "run", SWEEP, history_by(as_published))
    claims = judge(read_finished(folder), table)
    assert all(claim.holds is None for claim in claims)
    assert claims[GLOROT].measured == "99 of 99"


def test_claims_about_the_features(tmp_path, real_table_path):
    history = history_by(as_published)
    without = judged(tmp_path, history)
    assert without[RATIOS].measured == "the feature table is not at hand"
    claims = judge(read_finished(tmp_path / "run"), load_table(real_table_path))
    assert claims[RATIOS].measured == "0.24645, 0.22028, 0.09804"
    assert claims[RATIOS].holds is True
    assert claims[CORRELATION].measured == "−0.9402"
    assert claims[CORRELATION].holds is False
    other = judge(read_finished(tmp_path / "run"), load_table("sample"))
    assert other[RATIOS].holds is False


def test_every_claim_has_its_source_and_rule(tmp_path):
    claims = judged(tmp_path, history_by(as_published), curves=published_curves())
    assert len({claim.sentence for claim in claims}) == len(claims) == 14
    assert all(c.sentence and c.published and c.source and c.rule for c in claims)


@pytest.mark.parametrize("genres", [2, 10])
def test_the_floor_is_that_of_a_certain_prediction(genres):
    certain = np.eye(genres)[0]
    assert softmax_twice_floor(genres) == pytest.approx(-log_softmax(certain)[0])


@pytest.mark.parametrize(
    ("changes", "concerned"),
    [
        ({}, True),
        ({"loss": "softmax_twice", "epochs": 3}, True),
        ({"protocol": "holdout"}, False),
        ({"axes": {"num_units2": None, "num_units3": None}}, False),
        ({"axes": {"num_units4": [8]}}, False),
        ({"axes": {"learning_rate": [0.1]}, "learning_rates": None}, False),
        ({"axes": {"batch_size": [16, 32]}, "batch_size": None}, False),
    ],
)
def test_claims_concern_sweeps_of_the_assignments_axes_and_protocol(changes, concerned):
    if changes.get("axes", {}).get("num_units3", 1) is None:
        changes["axes"] |= {"dropout2": None, "dropout3": None}
    assert concern(make_sweep(**changes)) is concerned


def test_the_published_best_is_a_config_of_the_assignment():
    name = "128-128-64_0.1-0.2-0.1_leaky_relu_glorot_uniform_adam"
    assert published_best().name == name
    assert published_best().id in SWEEP.places
