import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_sweep
from scipy import stats

from gtzan_jax.models.layers import Activation, dropout_factors, noise_bits, unpadded
from gtzan_jax.models.mlp import MlpFamily, Traced, initial_scales, layer_names
from gtzan_jax.models.networks import MLP
from gtzan_jax.space.config import Config
from gtzan_jax.space.hyperparameters import INITIALIZERS
from gtzan_jax.tables.folds import Sizes


def key_of(seed):
    """A key with which the host draws, and compiles nothing; test_draws has programs' numbers."""
    return np.asarray(jax.random.key_data(jax.random.key(seed)))


KEY = key_of(0)
FAMILY = MlpFamily()
SIZES = Sizes(num_train=700, num_eval=300, num_features=57, num_classes=10)


def sizes_of(widths):
    return SIZES._replace(num_features=widths[0], num_classes=widths[-1])


DEPTHS = [(9,), (9, 7), (9, 7, 4), (9, 7, 4, 8, 3, 6)]


@functools.cache
def kernels_of(sizes, seed=0):
    return FAMILY.draw_initial(key_of(seed), sizes[1:-1], sizes_of(sizes))


def drawn_params(sizes, scales=None, units=None, normal=None):
    """Returns initial parameters; with ``units``, those of a network padded to ``sizes``."""
    units = np.asarray(units or sizes[1:-1], np.int32)
    scales = np.asarray(scales or [1.0] * (len(sizes) - 1), np.float32)
    kernels = [np.asarray(kernel) for kernel in kernels_of(sizes)]
    numbers = Traced(scales, units, dropout=np.zeros(0), activation=None, normal=normal)
    return FAMILY.init(numbers, kernels, sizes[1:-1])


def random_params(sizes):
    """Returns parameters of which none is zero, biases included."""
    random = np.random.default_rng(1)
    return {
        name: {
            "kernel": random.normal(size=(fan_in, fan_out)).astype(np.float32),
            "bias": random.normal(size=fan_out).astype(np.float32),
        }
        for name, (fan_in, fan_out) in zip(
            layer_names(len(sizes) - 2), itertools.pairwise(sizes), strict=True
        )
    }


def config(units, **values):
    return Config.of(**{f"num_units{i + 1}": width for i, width in enumerate(units)}, **values)


def traced(chosen, sizes=SIZES):
    sweep = make_sweep()
    return FAMILY.traced(chosen, sizes, sweep.slope_of(chosen), sweep.parts)


@pytest.mark.parametrize("units", DEPTHS)
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@pytest.mark.parametrize("rows", [7, 2**14 + 5])  # the latter by blocks
def test_forward_pass_is_the_textbook_one(units, activation, rows):
    random = np.random.default_rng(0)
    params = random_params((5, *units, 2))
    x = random.normal(size=(rows, 5)).astype(np.float32)
    slope, h = {"relu": 0.0, "leaky_relu": 0.2}[activation], x
    for layer in range(len(units)):
        dense = params[f"hidden{layer + 1}"]
        h = h @ dense["kernel"] + dense["bias"]
        h = np.where(h > 0, h, slope * h)
    expected = h @ params["logits"]["kernel"] + params["logits"]["bias"]
    logits = FAMILY.apply(
        params, jnp.asarray(x), traced(config(units, activation=activation)), None
    )
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_many_rows_are_evaluated_in_little_memory():
    """The units of all rows together would take 200 MB."""
    of = random_params((5, 128, 128, 2)), traced(config((128, 128)))
    apply = jax.jit(lambda x: FAMILY.apply(of[0], x, of[1], None))
    program = apply.lower(jax.ShapeDtypeStruct((200_000, 5), np.float32)).compile()
    assert program.memory_analysis().temp_size_in_bytes < 5e7


@pytest.mark.parametrize("units", DEPTHS)
def test_dropout_multiplies_what_each_hidden_layer_gives(units):
    random = np.random.default_rng(0)
    params = random_params((5, *units, 2))
    x = random.normal(size=(7, 5)).astype(np.float32)
    rates = {f"dropout{i + 1}": [0.3, 0.0, 0.6][i % 3] for i in range(len(units))}
    chosen = config(units, **rates)
    # Wider than the layers, as drawn for the widest program: the first columns are used.
    bits = [random.integers(0, 2**16, (7, width + 5)).astype(np.uint16) for width in units]
    h = x
    for layer, rate in enumerate(rates.values()):
        dense = params[f"hidden{layer + 1}"]
        h = np.maximum(h @ dense["kernel"] + dense["bias"], 0)
        h = h * (bits[layer][:, : units[layer]] / 2**16 >= np.float32(rate)) / (1 - rate)
    expected = h @ params["logits"]["kernel"] + params["logits"]["bias"]
    logits = FAMILY.apply(params, jnp.asarray(x), traced(chosen), [jnp.asarray(b) for b in bits])
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(logits - FAMILY.apply(params, jnp.asarray(x), traced(chosen), None)).max() > 0.01


@pytest.mark.parametrize("units", DEPTHS)
def test_parameters_are_those_that_flax_expects(units):
    initial = functools.partial(
        MLP(units, 4).init, jax.random.key(0), jnp.ones((1, 7)), Activation(0.0)
    )
    expected = jax.eval_shape(initial)["params"]
    sizes = Sizes(70, 30, 7, 4)
    params = jax.eval_shape(
        lambda: FAMILY.init(
            traced(config(units), sizes), FAMILY.draw_initial(KEY, units, sizes), units
        )
    )
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, expected)
    assert list(params) == layer_names(len(units))


def keras_weights(keras, initializer, shape, seed):
    described = {"class_name": initializer, "config": {"seed": seed}}
    return np.asarray(keras.initializers.get(described)(shape))


@pytest.mark.parametrize("initializer", INITIALIZERS)
@pytest.mark.filterwarnings("ignore")  # Keras's own
def test_initial_weights_are_distributed_as_kerass(initializer):
    keras = pytest.importorskip("keras")
    sizes, is_normal = (57, 128, 64, 32, 10), initializer.endswith("_normal")
    scales = initial_scales(config(sizes[1:-1], initializer=initializer), 57, 10)
    params = drawn_params(sizes, scales, normal=jnp.asarray(is_normal))
    for layer, (name, pair) in enumerate(zip(params, itertools.pairwise(sizes), strict=True)):
        # The output layer keeps Keras's default, whatever the hidden layers use.
        reference = "glorot_uniform" if layer == 3 else initializer
        with jax.numpy_dtype_promotion("standard"):
            drawn = np.ravel([keras_weights(keras, reference, pair, seed) for seed in range(8)])
        kernel, scale = np.ravel(params[name]["kernel"]), scales[layer]
        uniform, normal = stats.uniform(-scale, 2 * scale), stats.truncnorm(-2, 2, scale=scale)
        expected = normal if is_normal and layer < 3 else uniform
        assert drawn.std() == pytest.approx(expected.std(), rel=0.03)
        assert np.abs(drawn).max() == pytest.approx(expected.support()[1], rel=0.02)
        assert np.abs(kernel).max() <= expected.support()[1] * (1 + 1e-6)
        assert stats.kstest(kernel, expected.cdf).pvalue > 0.001
        assert not np.asarray(params[name]["bias"]).any()


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.5, 0.9])
def test_dropout_keeps_the_mean_at_the_rate(rate):
    (bits,) = noise_bits(KEY, (100,), 2000)
    factors = np.asarray(jax.jit(dropout_factors)(bits, rate))
    kept = factors > 0
    # Five standard deviations of a binomial share, and the rounding of the rate.
    tolerance = 5 * np.sqrt(rate * (1 - rate) / kept.size) + 2**-16
    assert kept.mean() == pytest.approx(1 - rate, abs=tolerance)
    np.testing.assert_allclose(factors[kept], 1 / (1 - rate), rtol=1e-6)
    assert rate or kept.all()


def test_noise_of_a_wider_longer_and_deeper_draw_begins_with_the_same():
    small = noise_bits(KEY, (5, 70, 130), 12)
    large = noise_bits(KEY, (64, 300, 131, 20, 70), 33)
    for layer, bits in enumerate(small):
        assert bits.dtype == jnp.uint16
        np.testing.assert_array_equal(bits, large[layer][:12, : bits.shape[1]])


def test_kernels_of_a_wider_network_begin_with_those_of_a_narrower_one():
    small, large = kernels_of((7, 5, 70, 130, 3)), kernels_of((9, 64, 128, 150, 10))
    for narrow, wide in zip(small, large, strict=True):
        np.testing.assert_array_equal(narrow, wide[: narrow.shape[0], : narrow.shape[1]])


def test_layers_blocks_and_keys_draw_different_numbers():
    (first, second), (other, _) = (noise_bits(key_of(seed), (128, 128), 100) for seed in (0, 1))
    draws = [first[:, :64], first[:, 64:], second[:, :64], second[:, 64:], other[:, :64]]
    assert np.abs(np.corrcoef([np.ravel(bits) for bits in draws]) - np.eye(5)).max() < 0.05
    kernels = [np.asarray(kernel) for kernel in kernels_of((64, 128, 64, 64, 64))]
    blocks = [
        kernels[0][:, :64],
        kernels[0][:, 64:],
        kernels[1][:64],
        kernels[1][64:],
        *kernels[2:],
    ]
    blocks.append(kernels_of((64, 128, 64, 64, 64), seed=1)[3])
    different = np.corrcoef([np.ravel(block) for block in blocks])
    assert np.abs(different - np.eye(len(blocks))).max() < 0.08
    # Rows, too, are drawn from keys of their own.
    assert np.abs(np.corrcoef(kernels[2]) - np.eye(64)).max() < 0.7


@pytest.mark.parametrize("units", [(9,), (9, 7, 4, 8)])
def test_padding_changes_no_weight_and_is_zero(units):
    small = drawn_params((6, *units, 4))
    padded = drawn_params((6, *(width + 3 + 60 * (width == 7) for width in units), 4), units=units)
    kept = unpadded(padded, FAMILY.shapes(config(units), 6, 4))
    assert list(kept) == [
        f"{name}.{part}" for name in layer_names(len(units)) for part in ("kernel", "bias")
    ]
    for name, array in kept.items():
        layer, part = name.split(".")
        np.testing.assert_array_equal(array, small[layer][part])
    total = sum(np.abs(leaf).sum() for leaf in jax.tree.leaves(padded))
    assert total == pytest.approx(sum(np.abs(leaf).sum() for leaf in jax.tree.leaves(small)))


def test_a_config_is_numbers_to_the_family():
    chosen = config((8, 6), dropout2=0.25, activation="leaky_relu", initializer="random_uniform")
    numbers = traced(chosen)
    np.testing.assert_array_equal(numbers.units, [8, 6])
    np.testing.assert_array_equal(numbers.dropout, np.float32([0.0, 0.25]))
    np.testing.assert_allclose(numbers.scales, [0.05, 0.05, np.sqrt(6 / 16)], rtol=1e-6)
    assert numbers.activation.slope == np.float32(0.2)
    assert traced(config((8, 6))).activation.slope == 0
    assert {leaf.dtype for leaf in jax.tree.leaves(numbers)} == {
        np.dtype(np.float32),
        np.dtype(np.int32),
    }
    assert FAMILY.structure(chosen) == (8, 6)


def products(jaxpr):
    """Returns the floating-point operations of the matrix products in a traced function."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            inner = np.prod([left[axis] for axis in contracted])
            total += 2 * inner * np.prod(equation.outvars[0].aval.shape)
        for value in equation.params.values():  # of a function that is called
            total += products(value.jaxpr) if hasattr(value, "jaxpr") else 0
    return total


@pytest.mark.parametrize("units", [(64,), (64, 64, 64), (128, 64, 32, 16)])
def test_operations_are_those_of_the_traced_products(units):
    numbers, params = traced(config(units)), drawn_params((57, *units, 10))

    def total(params, rows):
        return FAMILY.apply(params, jnp.ones((rows, SIZES.num_features)), numbers, None).sum()

    train = jax.make_jaxpr(jax.grad(total), static_argnums=1)(params, SIZES.num_train)
    evaluated = jax.make_jaxpr(total, static_argnums=1)(params, SIZES.num_eval)
    expected = products(train.jaxpr) + products(evaluated.jaxpr)
    assert FAMILY.flops(units, SIZES) == pytest.approx(expected)
