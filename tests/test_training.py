import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpy_mlp
import pytest
from conftest import make_dataset, make_sweep

from gtzan_jax.engine import data_of
from gtzan_jax.model import layer_names
from gtzan_jax.optimizers import optimizer
from gtzan_jax.space import Config
from gtzan_jax.training import (
    Draws,
    State,
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
    num_rows = len(DATASET.y_train)
    layers = [keras.Input((len(DATASET.features),))]
    # The string, and with it Keras's slope, is what a sweep's activation means.
    layers += [keras.layers.Dense(width, activation=config.activation) for width in config.shape]
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


RATES = [(0.0, 0.3, 0.6), (0.6, 0.3, 0.0), (0.3, 0.6, 0.0)]


def known_layers():
    """Returns (kernel, bias) of each layer, none of them zero anywhere."""
    random = np.random.default_rng(0)
    sizes = (len(DATASET.features), *SHAPE, GENRES)
    return [
        (random.normal(0, fan_in**-0.5, (fan_in, fan_out)), random.normal(0, 0.1, fan_out))
        for fan_in, fan_out in itertools.pairwise(sizes)
    ]


def known_numbers(epochs, num_rows):
    """Returns by epoch and step a batch's rows, and by layer, epoch and step its bits."""
    random = np.random.default_rng(1)
    orders = [random.permutation(num_rows) for _ in range(epochs)]
    batches = [np.split(order, range(32, num_rows, 32)) for order in orders]
    steps = (epochs, len(batches[0]), 32)
    return batches, [random.integers(0, 2**16, (*steps, width), np.uint16) for width in SHAPE]


@functools.cache
def compiled_training():
    return jax.jit(make_train(SHAPE, GENRES, "cross_entropy"))


def train_on_known_numbers(config, epochs, rates_of_learning, dataset):
    """Trains from ``known_layers`` on ``known_numbers``; returns layers and history."""
    sweep = make_sweep(learning_rates=rates_of_learning)
    hparams = hparams_of(config, sweep, len(dataset.features), GENRES)
    names = layer_names(len(SHAPE))
    params = {
        name: {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
        for name, (kernel, bias) in zip(names, known_layers(), strict=True)
    }
    state = State(params, optimizer(hparams.optimizer).init(params))
    batches, bits = known_numbers(epochs, len(dataset.y_train))
    rows = [[np.pad(rows, (0, 32 - len(rows))) for rows in steps] for steps in batches]
    draws = Draws(jnp.asarray(np.array(rows), jnp.int32), [jnp.asarray(b) for b in bits])
    state, history = compiled_training()(hparams, state, draws, jnp.int32(epochs), data_of(dataset))
    layers = [
        tuple(np.asarray(state.params[n][part]) for part in ("kernel", "bias")) for n in names
    ]
    return layers, np.asarray(history)


@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_gradients_with_dropout_are_those_of_numpy(activation, rates):
    dataset = make_dataset(num_train=32)
    ones = dict.fromkeys(("adam", "sgd", "rmsprop"), 1.0)
    chosen = config(activation, "sgd", rates)
    after, history = train_on_known_numbers(chosen, 1, ones, dataset)
    ((rows,),), bits = known_numbers(1, 32)
    factors = [
        numpy_mlp.dropout_factors(b[0, 0], rate) for b, rate in zip(bits, rates, strict=True)
    ]
    slope = {"relu": 0.0, "leaky_relu": 0.2}[activation]
    before = known_layers()
    batch = dataset.x_train[rows], dataset.y_train[rows]
    expected, row_losses, right = numpy_mlp.gradients(before, *batch, slope, factors)
    np.testing.assert_allclose(history[0, :2], [row_losses.mean(), right.mean()], rtol=1e-5)
    for old, new, wanted in zip(before, after, expected, strict=True):
        for part in range(2):
            np.testing.assert_allclose(old[part] - new[part], wanted[part], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop"])
def test_training_with_dropout_is_that_of_numpy(name, rates):
    learning_rates = {"adam": 0.001, "sgd": 0.01, "rmsprop": 0.001}
    layers, history = train_on_known_numbers(
        config("leaky_relu", name, rates), 3, learning_rates, DATASET
    )
    expected_layers, expected = numpy_mlp.train(
        known_layers(),
        *known_numbers(3, len(DATASET.y_train)),
        rates,
        0.2,
        (name, learning_rates[name]),
        (DATASET.x_train, DATASET.y_train),
        (DATASET.x_test, DATASET.y_test),
    )
    # Ten times what was measured: 4e-7 in the history, 2e-7 in the parameters.
    np.testing.assert_allclose(history, expected, rtol=4e-6)
    for got, wanted in zip(layers, expected_layers, strict=True):
        for part in range(2):
            np.testing.assert_allclose(got[part], wanted[part], rtol=0, atol=2e-6)


@functools.cache
def drawn_from(first):
    """Returns the numbers of four epochs of 70 rows: two full batches of 32 and one of 6."""
    return drawing()(np.uint32(SEED), np.uint32(first))


@functools.cache
def drawing():
    return jax.jit(lambda seed, first: draw_epochs(seed, first, 4, (130, 130), 70, 32))


def test_the_order_differs_between_epochs():
    rows = np.asarray(drawn_from(0).rows).reshape(4, 96)
    orders = rows[:, :70]
    np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(70), (4, 1)))
    # Of two random orders one row has the same place in both, on average; of a seed's orders
    # and that of the table likewise.
    same = [np.sum(a == b) for a, b in itertools.combinations([*orders, np.arange(70)], 2)]
    assert max(same) < 7
    assert not rows[:, 70:].any()  # the last batch is filled up with row 0


@pytest.mark.parametrize("axis", ["layers", "epochs", "steps", "rows", "units"])
def test_noise_differs_along_every_axis(axis):
    axes = ("layers", "epochs", "steps", "rows", "units")
    bits = np.moveaxis(np.array(drawn_from(0).bits, np.float64), axes.index(axis), 0)
    vectors = bits.reshape(len(bits), -1)
    # Five deviations of the correlation of independent numbers.
    bound = 5 / np.sqrt(vectors.shape[1])
    assert np.abs(np.corrcoef(vectors) - np.eye(len(bits))).max() < bound


def test_an_epoch_has_its_own_numbers_wherever_the_drawing_begins():
    early, late = drawn_from(0), drawn_from(2)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[2:], b[:2]), early, late)
