import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gtzan_jax.model import (
    MLP,
    apply_model,
    dropout_factors,
    initial_kernels,
    initial_limits,
    initial_params,
    noise_bits,
    without_padding,
)
from gtzan_jax.space import Config

KEY = jax.random.key(0)


def drawn_params(sizes, limits=(1.0, 1.0, 1.0, 1.0), units=None):
    """Returns initial parameters; with ``units``, those of a network padded to ``sizes``."""
    units = jnp.asarray(units or sizes[1:-1], jnp.int32)
    kernels = initial_kernels(KEY, sizes)
    return initial_params(kernels, jnp.asarray(limits, jnp.float32), units, sizes[1:-1])


def config(initializer="glorot_uniform", shape=(128, 64, 32)):
    return Config(*shape, 0.1, 0.1, 0.1, "relu", initializer, "adam")


def test_forward_pass_is_the_textbook_one():
    sizes = (5, 4, 3, 3, 2)
    params = drawn_params(sizes)
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(np.float32), params)
    x = random.normal(size=(7, 5)).astype(np.float32)
    h = x
    for layer in ("hidden1", "hidden2", "hidden3"):
        h = h @ params[layer]["kernel"] + params[layer]["bias"]
        h = np.maximum(h, 0.2 * h)
    expected = h @ params["logits"]["kernel"] + params["logits"]["bias"]
    logits = apply_model(MLP((4, 3, 3), 2), params, jnp.asarray(x), 0.2)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_parameters_are_those_that_flax_expects():
    model = MLP((8, 6, 5), 4)
    expected = model.init(KEY, jnp.ones((1, 7)), 0.0)["params"]
    params = drawn_params((7, 8, 6, 5, 4))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, expected)


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
@pytest.mark.parametrize("initializer", ["glorot_uniform", "random_uniform"])
def test_initial_weights_are_uniform_within_keras_limits(initializer, layer):
    keras = pytest.importorskip("keras")
    sizes = (57, 128, 64, 32, 10)
    limits = initial_limits(config(initializer), 57, 10)
    params = drawn_params(sizes, limits)
    name = ("hidden1", "hidden2", "hidden3", "logits")[layer]
    kernel = np.asarray(params[name]["kernel"]).ravel()
    # The output layer keeps Keras's default, whatever the hidden layers use.
    reference = "glorot_uniform" if layer == 3 else initializer
    with jax.numpy_dtype_promotion("standard"):
        drawn = keras.initializers.get(reference)((sizes[layer], sizes[layer + 1]))
    bound = np.abs(np.asarray(drawn)).max()
    assert limits[layer] == pytest.approx(bound, rel=0.02)
    assert np.abs(kernel).max() <= limits[layer]
    assert stats.kstest(kernel, stats.uniform(-limits[layer], 2 * limits[layer]).cdf).pvalue > 0.001
    assert not np.asarray(params[name]["bias"]).any()


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.5, 0.9])
def test_dropout_keeps_the_mean_at_the_rate(rate):
    (bits,) = noise_bits(KEY, [100], (2000,))
    factors = np.asarray(jax.jit(dropout_factors)(bits, rate))
    kept = factors > 0
    # Five standard deviations of a binomial share, and the rounding of the rate.
    tolerance = 5 * np.sqrt(rate * (1 - rate) / kept.size) + 2**-16
    assert kept.mean() == pytest.approx(1 - rate, abs=tolerance)
    np.testing.assert_allclose(factors[kept], 1 / (1 - rate), rtol=1e-6)
    assert rate or kept.all()


def test_a_wider_layer_begins_with_the_numbers_of_a_narrower_one():
    narrow = noise_bits(KEY, [5, 70, 130], (4, 3))
    wide = noise_bits(KEY, [64, 128, 512], (4, 3))
    for small, large in zip(narrow, wide, strict=True):
        np.testing.assert_array_equal(small, large[..., : small.shape[-1]])


def test_padding_changes_no_weight_and_is_zero():
    units = (64, 5, 70)
    small = drawn_params((57, *units, 10))
    padded = drawn_params((57, 128, 64, 130, 10), units=units)
    jax.tree.map(np.testing.assert_array_equal, without_padding(padded, units), small)
    total = sum(np.abs(leaf).sum() for leaf in jax.tree.leaves(padded))
    assert total == pytest.approx(sum(np.abs(leaf).sum() for leaf in jax.tree.leaves(small)))


def test_layers_draw_different_numbers():
    first, second = noise_bits(KEY, [64, 64], (100,))
    assert abs(np.corrcoef(np.ravel(first), np.ravel(second))[0, 1]) < 0.05
    params = drawn_params((64, 64, 64, 64, 64))
    kernels = [np.ravel(layer["kernel"]) for layer in params.values()]
    assert np.abs(np.corrcoef(kernels) - np.eye(4)).max() < 0.08
