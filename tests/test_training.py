import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_dataset, make_sweep

from gtzan_jax.engine import data_of
from gtzan_jax.model import layer_names
from gtzan_jax.space import Config
from gtzan_jax.training import (
    draw_epochs,
    draw_kernels,
    hparams_of,
    losses,
    make_train,
    start,
)

SHAPE = (12, 10, 8)
DATASET = make_dataset()  # 70 train rows: two full batches of 32 and one of 6
GENRES = len(DATASET.genres)
SEED = 3


def config(activation="leaky_relu", optimizer="adam", dropout=(0.0, 0.0, 0.0)):
    return Config(*SHAPE, *dropout, activation, "glorot_uniform", optimizer)


@functools.cache
def program(shape, epochs, batch_size, loss):
    """Returns a function of (hparams, dataset) that draws, starts a member and trains it."""
    train_drawn = make_train(shape, GENRES, loss)
    seed, first = np.uint32(SEED), np.uint32(0)

    @jax.jit
    def whole(hparams, data):
        num_rows, num_features = data.x_train.shape
        kernels = draw_kernels(seed, (num_features, *shape, GENRES))
        draws = draw_epochs(seed, first, epochs, shape, num_rows, batch_size)
        state = start(hparams, kernels, shape)
        state, history = train_drawn(hparams, state, draws, jnp.int32(epochs), data)
        return state.params, history

    return whole


def train(config, epochs, loss="cross_entropy", dataset=DATASET):
    sweep = make_sweep(epochs=epochs, loss=loss)
    hparams = hparams_of(config, sweep, len(dataset.features), GENRES)
    trained = program(config.shape, epochs, sweep.batch_size, loss)
    params, history = trained(hparams, data_of(dataset))
    return params, np.asarray(history)


def keras_history(keras, config, epochs, loss):
    """Trains the same network in Keras, batch by batch, from the same weights."""
    slope = 0.2 if config.activation == "leaky_relu" else 0.0
    num_rows = len(DATASET.y_train)
    layers = [keras.Input((len(DATASET.features),))]
    for width in config.shape:
        layers += [keras.layers.Dense(width), keras.layers.LeakyReLU(negative_slope=slope)]
    layers.append(keras.layers.Dense(GENRES))
    if loss == "softmax_twice":
        layers.append(keras.layers.Softmax())
    model = keras.Sequential(layers)
    model.compile(
        optimizer=config.optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    sizes = (len(DATASET.features), *config.shape, GENRES)
    hparams = hparams_of(config, make_sweep(), sizes[0], GENRES)
    params = start(hparams, draw_kernels(np.uint32(SEED), sizes), config.shape).params
    rows = draw_epochs(np.uint32(SEED), np.uint32(0), epochs, config.shape, num_rows, 32).rows
    names = layer_names(len(config.shape))
    model.set_weights([np.asarray(params[n][part]) for n in names for part in ("kernel", "bias")])
    history = []
    for epoch in range(epochs):
        order = np.asarray(rows[epoch]).ravel()[:num_rows]
        assert sorted(order) == list(range(num_rows))
        trained = np.zeros(2)
        for first in range(0, num_rows, 32):
            batch = order[first : first + 32]
            figures = model.train_on_batch(DATASET.x_train[batch], DATASET.y_train[batch])
            trained += np.array(figures) * len(batch) / num_rows
        tested = model.evaluate(DATASET.x_test, DATASET.y_test, verbose=0)
        history.append([*trained, *tested])
    return np.array(history)


@pytest.mark.parametrize("loss", ["cross_entropy", "softmax_twice"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@pytest.mark.filterwarnings("ignore")  # Keras's own
def test_equals_keras(activation, optimizer, loss):
    keras = pytest.importorskip("keras")
    chosen = config(activation, optimizer)
    _, history = train(chosen, 3, loss)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected = keras_history(keras, chosen, 3, loss)
    np.testing.assert_allclose(history, expected, rtol=1e-4)


def test_learns():
    _, history = train(config(), 60)
    assert history[-1, 1] > 0.95
    assert history[-1, 0] < history[0, 0] / 4


def test_dropout_makes_training_harder():
    kept, without = train(config(), 1)
    dropped, with_dropout = train(config(dropout=(0.5, 0.5, 0.5)), 1)
    assert with_dropout[0, 0] > without[0, 0]
    kernels = [np.asarray(params["hidden1"]["kernel"]) for params in (kept, dropped)]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-4


def test_the_seed_is_the_only_source_of_randomness():
    chosen = config(dropout=(0.1, 0.2, 0.3))
    np.testing.assert_array_equal(train(chosen, 2)[1], train(chosen, 2)[1])


def test_more_epochs_begin_with_the_same_ones():
    chosen = config(dropout=(0.1, 0.2, 0.3))
    np.testing.assert_allclose(train(chosen, 2)[1], train(chosen, 5)[1][:2], rtol=1e-5)


@pytest.mark.parametrize(("loss", "floor"), [("cross_entropy", 0.0), ("softmax_twice", 1.4612)])
def test_loss_of_a_perfect_prediction(loss, floor):
    logits = 100.0 * jnp.eye(10)
    np.testing.assert_allclose(losses(logits, jnp.arange(10), loss), floor, atol=1e-4)


def test_a_batch_as_large_as_the_train_part_is_one_step():
    dataset = make_dataset(num_train=32)
    _, history = train(config(), 1, dataset=dataset)
    assert np.isfinite(history).all()
