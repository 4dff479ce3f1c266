import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_dataset, make_sweep

from gtzan_jax.engine import data_of
from gtzan_jax.model import initial_limits, initial_params, layer_names
from gtzan_jax.space import Config
from gtzan_jax.training import _ORDER, _WEIGHTS, hparams_of, losses, make_train

SHAPE = (12, 10, 8)
DATASET = make_dataset()  # 70 train rows: two full batches of 32 and one of 6
GENRES = len(DATASET.genres)
SEED = 3


def config(activation="leaky_relu", optimizer="adam", dropout=(0.0, 0.0, 0.0)):
    return Config(*SHAPE, *dropout, activation, "glorot_uniform", optimizer)


@functools.cache
def program(shape, epochs, batch_size, loss):
    return jax.jit(make_train(shape, GENRES, epochs, batch_size, loss))


def train(config, epochs, loss="cross_entropy", dataset=DATASET):
    sweep = make_sweep(epochs=epochs, loss=loss)
    hparams = hparams_of(config, sweep, len(dataset.features), GENRES)
    trained = program(config.shape, epochs, sweep.batch_size, loss)
    params, history = trained(hparams, np.uint32(SEED), data_of(dataset))
    return params, np.asarray(history)


def keras_history(keras, config, epochs, loss):
    """Trains the same network in Keras, batch by batch, from the same weights."""
    slope = 0.2 if config.activation == "leaky_relu" else 0.0
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
    root = jax.random.key(SEED)
    sizes = (len(DATASET.features), *config.shape, GENRES)
    limits = jnp.asarray(initial_limits(config, sizes[0], GENRES), jnp.float32)
    params = initial_params(jax.random.fold_in(root, _WEIGHTS), sizes, limits)
    names = layer_names(len(config.shape))
    model.set_weights([np.asarray(params[n][part]) for n in names for part in ("kernel", "bias")])
    history = []
    for epoch in range(epochs):
        key = jax.random.fold_in(root, _ORDER + epoch)
        order = np.asarray(jax.random.permutation(key, len(DATASET.y_train)))
        trained = np.zeros(2)
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            figures = model.train_on_batch(DATASET.x_train[rows], DATASET.y_train[rows])
            trained += np.array(figures) * len(rows) / len(order)
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
