import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpy_mlp
import pandas as pd
import pytest
from conftest import make_arrays, make_fold, make_segments, make_sweep, make_table, slow
from keras_mlp import keras_history
from scipy.special import log_softmax

from gtzan_jax.metrics import LOSSES, METRICS
from gtzan_jax.models.mlp import MlpFamily, layer_names
from gtzan_jax.space.config import Config, Trial
from gtzan_jax.tables.folds import arrays_of, sizes_of
from gtzan_jax.tables.protocols import make_splits
from gtzan_jax.trainer.drawing import everywhere
from gtzan_jax.trainer.draws import Draws
from gtzan_jax.trainer.engine import Engine
from gtzan_jax.trainer.optimizers import optimizer
from gtzan_jax.trainer.trial import (
    State,
    Static,
    _evaluate,
    hyperparameters,
    losses,
    make_train,
    positions,
    start,
)

FAMILY = MlpFamily()
UNITS = (12, 10, 8)
ROWS = np.random.default_rng(0).permutation(100)
TABLE = make_table(num_features=9)
# 72 train rows: two full batches of 32 and one of 8. The small fold has 40 of them.
WITH_VALIDATION = make_fold(ROWS[:72], ROWS[72:86], ROWS[86:])
ALL_TESTED = make_fold(ROWS[:72], test=ROWS[72:])
FEW = make_fold(ROWS[20:60], ROWS[60:74], ROWS[5:15])
FOLD, LARGE, PADDED = make_arrays(TABLE, WITH_VALIDATION, ALL_TESTED, FEW)
[SMALL] = make_arrays(TABLE, FEW)
SIZES = sizes_of(TABLE, [WITH_VALIDATION])
RATES = [(0.0, 0.3, 0.6), (0.6, 0.3, 0.0), (0.3, 0.6, 0.0)]
LEARNING_RATES = {"adam": 0.001, "sgd": 0.01, "rmsprop": 0.001}


def config(activation="leaky_relu", optimizer="adam", dropout=(0.0, 0.0, 0.0), units=UNITS):
    values = {f"num_units{i + 1}": width for i, width in enumerate(units)}
    values |= {f"dropout{i + 1}": rate for i, rate in enumerate(dropout)}
    return Config.of(**values, activation=activation, optimizer=optimizer)


def known_params(units=UNITS):
    """Returns parameters of which none is zero, biases included."""
    random, sizes = np.random.default_rng(0), (9, *units, 4)
    return {
        name: {
            "kernel": random.normal(0, sizes[i] ** -0.5, sizes[i : i + 2]).astype(np.float32),
            "bias": random.normal(0, 0.1, sizes[i + 1]).astype(np.float32),
        }
        for i, name in enumerate(layer_names(len(units)))
    }


def known_draws(epochs, fold=FOLD, units=UNITS, batch_size=32):
    """Returns orders with padding last, and noise for more units and rows than there are."""
    random = np.random.default_rng(1)
    used, unused = np.flatnonzero(fold.train_weight), np.flatnonzero(fold.train_weight == 0)
    order = [np.append(random.permutation(used), unused) for _ in range(epochs)]
    rows = positions(len(order[0]), batch_size) + 3
    noise = [
        np.random.default_rng(layer).integers(0, 2**16, (epochs, 150, width + 2), np.uint16)
        for layer, width in enumerate(units)
    ]
    return Draws(jnp.asarray(np.array(order), jnp.int32), [jnp.asarray(b[:, :rows]) for b in noise])


@functools.cache
def compiled(units, batch_size, loss):
    return jax.jit(make_train(Static(FAMILY, units, batch_size, loss)))


def train(chosen, epochs=3, loss="cross_entropy", fold=FOLD, *, batch_size=32, **changes):
    """Trains from known parameters on known numbers; returns the state and the history."""
    sweep = make_sweep(loss=loss, **changes)
    hyper = hyperparameters(FAMILY, chosen, sweep, SIZES)
    params = jax.tree.map(jnp.asarray, known_params(chosen.units))
    state = State(params, optimizer(hyper.optimizer).init(params))
    draws = known_draws(epochs, fold, chosen.units, batch_size)
    trained = compiled(chosen.units, batch_size, loss)
    state, history, *_ = trained(hyper, state, draws, jnp.int32(epochs), fold)
    assert history.shape == (epochs, len(METRICS))
    return state, np.asarray(history)


@pytest.mark.parametrize(
    ("activation", "name", "loss"),
    [
        ("relu", "adam", "cross_entropy"),
        ("leaky_relu", "sgd", "softmax_twice"),
        slow("leaky_relu", "rmsprop", "cross_entropy"),
        slow("relu", "rmsprop", "softmax_twice"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # Keras's own
def test_equals_keras(activation, name, loss):
    keras = pytest.importorskip("keras")
    chosen = config(activation, name)
    _, history = train(chosen, 3, loss)
    order = np.asarray(known_draws(3).order)[:, :72]
    expected = keras_history(keras, chosen, known_params(), order, FOLD, loss=loss)
    np.testing.assert_allclose(history, expected, rtol=1e-4)
    assert (expected[:, METRICS.index("validation_loss")] > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.filterwarnings("ignore")  # Keras's own
def test_equals_keras_at_other_depths_rates_and_batch_sizes_in_padded_arrays(depth):
    keras = pytest.importorskip("keras")
    units, batch_size = (*UNITS, 8)[:depth], {1: 32, 2: 16, 4: 32}[depth]
    name, rate = {1: ("rmsprop", 0.01), 2: ("adam", 0.01), 4: ("sgd", 0.3)}[depth]
    chosen = Config.of(**config("relu", name, (), units), learning_rate=rate)
    _, history = train(chosen, 3, fold=PADDED, batch_size=batch_size)
    order = np.asarray(known_draws(3, PADDED, units, batch_size).order)[:, :40]
    expected = keras_history(
        keras, chosen, known_params(units), order, PADDED, batch_size=batch_size
    )
    np.testing.assert_allclose(history, expected, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Keras's own
def test_an_engine_equals_keras():
    keras = pytest.importorskip("keras")
    sweep = make_sweep(
        epochs=2, batch_size=None, learning_rates=None, loss="softmax_twice",
        axes={
            "num_units1": [12], "num_units2": [10], "num_units3": None,
            "dropout1": [0.0], "dropout2": [0.0], "dropout3": None, "activation": ["leaky_relu"],
            "optimizer": ["adam"], "learning_rate": [0.01, 0.002], "batch_size": [16, 32],
        },
    )  # fmt: skip
    folds, seed = [LARGE, PADDED], 5
    trials = [
        Trial(config.id, fold, seed)
        for config in sweep.configs
        for fold in (0, 1)
        if (config["learning_rate"], config["batch_size"]) in ((0.01, 16), (0.002, 32))
    ]
    assert len(trials) == 4
    with Engine(sweep, FAMILY, SIZES) as engine:
        numbers = engine.programs.numbers()
        for trained in engine.run(engine.plan.tasks(trials), folds):
            for trial, history in zip(trained.task.trials, trained.history, strict=True):
                if trial not in trials:
                    continue
                chosen, fold = engine.plan.config_of[trial.config_id], folds[trial.fold]
                hyper = hyperparameters(FAMILY, chosen, sweep, SIZES)
                params = FAMILY.init(hyper.model, numbers.initial(seed, trial.fold), chosen.units)
                order = numbers.draws(everywhere(fold, engine.devices), seed, 0).order
                order = np.asarray(order)[:, : int(fold.train_weight.sum())]
                expected = keras_history(
                    keras,
                    chosen,
                    params,
                    order,
                    fold,
                    batch_size=chosen["batch_size"],
                    loss=sweep.loss,
                )
                np.testing.assert_allclose(history, expected, rtol=1e-4)
                trials.remove(trial)
    assert not trials


def test_learns():
    _, history = train(config(), 60, learning_rates=dict.fromkeys(LEARNING_RATES, 0.01))
    assert history[-1, METRICS.index("train_accuracy")] > 0.95
    assert history[-1, 0] < history[0, 0] / 4


def layers_of(params):
    names = layer_names(len(params) - 1)
    return [(np.asarray(params[n]["kernel"]), np.asarray(params[n]["bias"])) for n in names]


@pytest.mark.parametrize(("activation", "rates"), [("relu", RATES[0]), ("leaky_relu", RATES[1])])
def test_gradients_with_dropout_are_those_of_numpy(activation, rates):
    chosen = config(activation, "sgd", rates)
    ones = dict.fromkeys(LEARNING_RATES, 1.0)
    # One batch of all 72 rows: one step, whose size is the gradient.
    state, history = train(chosen, 1, batch_size=72, learning_rates=ones)
    draws = known_draws(1, batch_size=72)
    rows = np.asarray(draws.order[0])
    factors = [
        numpy_mlp.dropout_factors(np.asarray(bits)[0, :72, :width], rate)
        for bits, width, rate in zip(draws.noise, UNITS, rates, strict=True)
    ]
    slope = {"relu": 0.0, "leaky_relu": 0.2}[activation]
    before = layers_of(known_params())
    batch = FOLD.x_train[rows], FOLD.y_train[rows]
    expected, row_losses, right = numpy_mlp.gradients(before, *batch, slope, factors)
    np.testing.assert_allclose(history[0, :2], [row_losses.mean(), right.mean()], rtol=1e-5)
    for old, new, wanted in zip(before, layers_of(state.params), expected, strict=True):
        for part in range(2):
            np.testing.assert_allclose(old[part] - new[part], wanted[part], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "rates", "fold"),
    [
        ("adam", RATES[0], PADDED),
        ("sgd", RATES[1], LARGE),
        ("rmsprop", RATES[2], PADDED),
        ("adam", RATES[1], LARGE),
    ],
)
def test_training_with_dropout_is_that_of_numpy(name, rates, fold):
    epochs, count = 3, int(fold.train_weight.sum())
    state, history = train(config("leaky_relu", name, rates), epochs, fold=fold)
    draws = known_draws(epochs, fold)
    batches = [np.split(rows[:count], range(32, count, 32)) for rows in np.asarray(draws.order)]
    steps = len(batches[0])
    bits = [
        np.asarray(b)[:, : 32 * steps, :width].reshape(epochs, steps, 32, width)
        for b, width in zip(draws.noise, UNITS, strict=True)
    ]
    tested = fold.test_weight > 0
    expected_layers, expected = numpy_mlp.train(
        layers_of(known_params()), batches, bits, rates, 0.2, (name, LEARNING_RATES[name]),
        (fold.x_train, fold.y_train), (fold.x_eval[tested], fold.y_eval[tested]),
    )  # fmt: skip
    # Ten times what was measured: 4e-7 in the history, 2e-7 in the parameters.
    np.testing.assert_allclose(history[:, [0, 1, 4, 5]], expected, rtol=4e-6)
    for got, wanted in zip(layers_of(state.params), expected_layers, strict=True):
        for part in range(2):
            np.testing.assert_allclose(got[part], wanted[part], rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop"])
def test_a_batch_without_rows_changes_nothing(name):
    chosen = config("leaky_relu", name, (0.2, 0.0, 0.3))
    # Batches of 32: 40 rows have two of them, arrays of 72 rows three.
    alone, history = train(chosen, fold=SMALL)
    padded, expected = train(chosen, fold=PADDED)
    assert padded.optimizer.step == alone.optimizer.step == 3 * 2
    np.testing.assert_allclose(history, expected, rtol=1e-6)
    for got, wanted in zip(jax.tree.leaves(padded), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-8)
    used = {"adam": ("first", "second"), "sgd": ("first",), "rmsprop": ("first", "second")}[name]
    for moment in used:
        assert any(leaf.any() for leaf in jax.tree.leaves(getattr(padded.optimizer, moment)))


def test_rows_of_weight_zero_mean_nothing():
    wild = [np.where(PADDED.train_weight[:, None] > 0, PADDED.x_train, 1e3)]
    wild.append(np.where((PADDED.validation_weight + PADDED.test_weight)[:, None] > 0,
                         PADDED.x_eval, 1e3))  # fmt: skip
    changed = PADDED._replace(
        x_train=wild[0],
        x_eval=wild[1],
        y_train=np.where(PADDED.train_weight > 0, PADDED.y_train, 3).astype(np.int32),
    )
    assert (changed.x_train != PADDED.x_train).any()
    assert (changed.x_eval != PADDED.x_eval).any()
    chosen = config(dropout=(0.1, 0.2, 0.3))
    np.testing.assert_array_equal(train(chosen, fold=changed)[1], train(chosen, fold=PADDED)[1])


def test_the_validation_part_is_measured_and_not_trained_on():
    _, history = train(config())
    _, other = train(config(), fold=LARGE)  # the same rows, all of them tested
    places = {metric: place for place, metric in enumerate(METRICS)}
    assert not other[:, [places["validation_loss"], places["validation_accuracy"]]].any()
    np.testing.assert_allclose(history[:, :2], other[:, :2], rtol=1e-6)
    for figure in ("loss", "accuracy"):
        parts = [history[:, places[f"{part}_{figure}"]] for part in ("validation", "test")]
        np.testing.assert_allclose(
            np.mean(parts, axis=0), other[:, places[f"test_{figure}"]], rtol=1e-5
        )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("protocol", ["holdout", "leaky_segments"])
def test_the_segments_of_a_song_vote_by_part(protocol, loss):
    table = make_segments(60, num_features=9)
    [fold] = make_splits(table, protocol, 0, 5).folds
    sizes = sizes_of(table, [fold])
    # Padded: other folds may have more rows and songs.
    sizes = sizes._replace(num_eval=sizes.num_eval + 3, num_songs=sizes.num_songs + 2)
    arrays = arrays_of(table, fold, sizes)
    arrays.x_eval[-3:] = 1e3 * np.array([[1], [-1], [1]])  # has no say: its weight is 0
    hyper = hyperparameters(FAMILY, config(), make_sweep(loss=loss), sizes)
    params = known_params()
    static = Static(FAMILY, UNITS, 32, loss)
    figures, predicted, means = jax.jit(lambda: _evaluate(static, hyper, params, arrays))()

    tested = np.concatenate([fold.validation, fold.test])
    logits = np.asarray(FAMILY.apply(params, arrays.x_eval, hyper.model, None), np.float64)
    frame = pd.DataFrame(log_softmax(logits[: len(tested)], axis=1))
    frame["part"] = np.repeat([0, 1], [len(fold.validation), len(fold.test)])
    frame["song"], frame["y"] = table.songs[tested], table.y[tested]
    frame["right"] = frame[[0, 1, 2, 3]].to_numpy().argmax(axis=1) == frame["y"]
    songs = frame.groupby(["part", "song"], sort=False)
    expected = songs[[0, 1, 2, 3]].mean().to_numpy()
    np.testing.assert_allclose(means[: len(expected)], expected, rtol=1e-4)
    assert np.isfinite(means).all()
    voted = expected.argmax(axis=1)
    right = pd.Series(voted == songs["y"].first(), songs["y"].first().index)
    by_song = right.groupby("part").mean().reindex([0, 1], fill_value=0.0)
    by_segment = frame.groupby("part")["right"].mean().reindex([0, 1], fill_value=0.0)
    assert set(by_song) != set(by_segment)
    np.testing.assert_allclose(np.asarray(figures)[[1, 3]], by_song, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(figures)[[4, 5]], by_segment, rtol=1e-6)
    np.testing.assert_array_equal(predicted[: len(voted)], voted)
    assert predicted.shape == (sizes.num_judged,)


@pytest.mark.slow
def test_a_trainings_segment_figures_stand_behind_the_others():
    table = make_segments(60, num_features=9)
    [fold] = make_splits(table, "holdout", 0, 5).folds
    of_segments, history = train(config(), 2, fold=arrays_of(table, fold, sizes_of(table, [fold])))
    renamed = dataclasses.replace(table, tracks=tuple(map(str, range(len(table.y)))))
    assert not renamed.is_segmented
    rows = arrays_of(renamed, fold, sizes_of(renamed, [fold]))
    of_rows, by_row = train(config(), 2, fold=rows)
    jax.tree.map(np.testing.assert_array_equal, of_segments, of_rows)
    places = {metric: place for place, metric in enumerate(METRICS)}
    for part in ("validation", "test"):
        segments, rows = places[f"{part}_segment_accuracy"], places[f"{part}_accuracy"]
        np.testing.assert_allclose(history[:, segments], by_row[:, rows], rtol=1e-6)
        assert not by_row[:, segments].any()
    same = [places[f"{part}_loss"] for part in ("train", "validation", "test")]
    np.testing.assert_array_equal(history[:, same], by_row[:, same])


@pytest.mark.parametrize(("loss", "floor"), [("cross_entropy", 0.0), ("softmax_twice", 1.4612)])
def test_loss_of_a_perfect_prediction(loss, floor):
    logits = 100.0 * jnp.eye(10)
    np.testing.assert_allclose(losses(logits, jnp.arange(10), loss), floor, atol=1e-4)


def test_a_trial_starts_with_scaled_kernels_and_moments_of_zero():
    static = Static(FAMILY, (12, 10), 32, "cross_entropy")
    random = np.random.default_rng(0)
    drawn = [
        jnp.asarray(random.uniform(-1, 1, s), jnp.float32) for s in ((9, 12), (12, 10), (10, 4))
    ]
    chosen = Config.of(num_units1=8, num_units2=10, initializer="random_uniform")
    state = start(static, hyperparameters(FAMILY, chosen, make_sweep(), SIZES), drawn)
    kernel = np.asarray(state.params["hidden1"]["kernel"])
    np.testing.assert_allclose(kernel[:, :8], 0.05 * drawn[0][:, :8], rtol=1e-6)
    assert not kernel[:, 8:].any()
    assert jax.tree.map(jnp.shape, state.optimizer.first) == jax.tree.map(jnp.shape, state.params)
    assert not any(leaf.any() for leaf in jax.tree.leaves(state.optimizer))


def test_hyperparameters_are_those_of_config_and_sweep():
    sweep = make_sweep(learning_rates=LEARNING_RATES | {"sgd": 0.25})
    assert hyperparameters(FAMILY, config(optimizer="sgd"), sweep, SIZES).optimizer[0] == 0.25
    own = Config.of(**config(optimizer="sgd"), learning_rate=0.5)
    assert hyperparameters(FAMILY, own, sweep, SIZES).optimizer.learning_rate == 0.5


@pytest.mark.parametrize(
    ("rows", "batch_size", "expected"), [(70, 32, 96), (64, 32, 64), (5, 8, 8)]
)
def test_positions(rows, batch_size, expected):
    assert positions(rows, batch_size) == expected
