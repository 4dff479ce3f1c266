import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_cnn_sweep, slow
from scipy import signal, stats
from test_mlp import keras_weights, products

from gtzan_jax.models import networks
from gtzan_jax.models.cnn import CnnFamily
from gtzan_jax.models.family import num_weights
from gtzan_jax.models.layers import unpadded
from gtzan_jax.models.networks import Augmentation, augmented, convolve
from gtzan_jax.space.config import Config
from gtzan_jax.space.hyperparameters import INITIALIZERS
from gtzan_jax.tables.folds import Sizes

KEY = np.asarray(jax.random.key_data(jax.random.key(0)))  # the host draws, and compiles nothing
FAMILY = CnnFamily()
SIZES = Sizes(num_train=40, num_eval=70, num_features=16, num_classes=4, frames=17)


def traced_of(config, sweep):
    return FAMILY.traced(config, SIZES, sweep.slope_of(config), sweep.parts)


def started(structure, sweep=None, config=None):
    """Returns the traced numbers and initial parameters of a config in a program."""
    sweep = sweep or make_cnn_sweep()
    traced = traced_of(config or sweep.configs[0], sweep)
    return traced, FAMILY.init(traced, FAMILY.draw_initial(KEY, structure, SIZES), structure)


# Convolution.


@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize(("fan_in", "fan_out"), [(1, 2), (3, 4)])
def test_a_convolution_is_scipys(side, fan_in, fan_out):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 6, 9, fan_in)).astype(np.float32)
    kernel = random.normal(size=(side, side, fan_in, fan_out)).astype(np.float32)
    expected = np.stack(
        [
            sum(
                signal.correlate2d(row[..., i], kernel[..., i, o], mode="same")
                for i in range(fan_in)
            )
            for row in x
            for o in range(fan_out)
        ]
    ).reshape(2, fan_out, 6, 9)
    got = np.moveaxis(np.asarray(convolve(x, jnp.asarray(kernel))), -1, 1)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_pooling_leaves_the_last_odd_row_and_column_out():
    x = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)
    expected = [
        [[x[n, i : i + 2, j : j + 2].max((0, 1)) for j in range(0, 6, 2)] for i in range(0, 4, 2)]
        for n in range(2)
    ]
    np.testing.assert_array_equal(networks.pooled(jnp.asarray(x)), expected)


# Padding, and what is drawn.


@pytest.mark.parametrize("wide", [slow((3, 24, 32, 40)), (7, 8, 16)])
def test_a_wider_structure_begins_with_the_numbers_of_a_narrower_one(wide):
    narrow = (3, 8, 16)
    drawn, fewer = (FAMILY.draw_initial(KEY, s, SIZES) for s in (wide, narrow))
    edge = (wide[0] - narrow[0]) // 2
    for big, small in zip(drawn, fewer[:-1], strict=False):
        middle = big[edge : edge + narrow[0], edge : edge + narrow[0]]
        np.testing.assert_array_equal(middle[:, :, : small.shape[2], : small.shape[3]], small)
    np.testing.assert_array_equal(drawn[-1][: narrow[-1]], fewer[-1])
    every, few = (FAMILY.draw_noise(KEY, s, 5) for s in (wide, narrow))
    for big, small in zip(every.channels, few.channels, strict=False):
        np.testing.assert_array_equal(big[:, : small.shape[1]], small)
    np.testing.assert_array_equal(every.augment, few.augment)


def test_all_draws_differ():
    drawn = FAMILY.draw_initial(KEY, (3, 16, 72), SIZES)
    numbers = np.concatenate([np.ravel(kernel) for kernel in drawn])
    assert len(np.unique(numbers)) > 0.99 * len(numbers)
    assert np.abs(numbers).max() < 1.0
    assert abs(numbers.mean()) < 0.02


@pytest.mark.parametrize(
    "initializer", ["he_normal", *map(slow, sorted({*INITIALIZERS} - {"he_normal"}))]
)
@pytest.mark.filterwarnings("ignore")  # Keras's own
def test_initial_weights_are_distributed_as_kerass(initializer):
    """Fans count the kernel's area, inwards and outwards; the output layer keeps the default."""
    keras = pytest.importorskip("keras")
    sweep = make_cnn_sweep(filters=[16], blocks=[2], initializer=[initializer])
    traced, params = started((3, 16, 32), sweep)
    for scale, layer in zip(traced.scales, ("conv1", "conv2", "logits"), strict=True):
        kernel, name = np.asarray(params[layer]["kernel"]), initializer
        name = "glorot_uniform" if layer == "logits" else initializer
        with jax.numpy_dtype_promotion("standard"):
            theirs = np.ravel([keras_weights(keras, name, kernel.shape, seed) for seed in range(8)])
        uniform, normal = stats.uniform(-scale, 2 * scale), stats.truncnorm(-2, 2, scale=scale)
        expected = normal if name.endswith("_normal") else uniform
        assert theirs.std() == pytest.approx(expected.std(), rel=0.05)
        assert np.abs(theirs).max() == pytest.approx(expected.support()[1], rel=0.02)
        assert stats.kstest(np.ravel(kernel), expected.cdf).pvalue > 0.001
        assert not np.asarray(params[layer]["bias"]).any()


def test_augmentation_has_bits_of_its_own():
    """Of dropout's key they would be dropout's bits: equal one in 65,536 times by chance."""
    noise = FAMILY.draw_noise(KEY, (3, 64, 64, 64, 64, 64), 300)
    augment = np.ravel(noise.augment)
    for bits in noise.channels:
        assert np.mean(np.ravel(bits)[: augment.size] == augment) < 0.01
        assert np.mean(bits[:, :5] == noise.augment) < 0.01
    assert np.abs(np.corrcoef(noise.augment.T) - np.eye(5)).max() < 0.3


def test_the_host_draws_what_a_program_draws():
    drawn, noise = FAMILY.draw_initial(KEY, (3, 8, 16), SIZES), FAMILY.draw_noise(KEY, (3, 8), 6)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves((drawn, noise)))
    key = jax.random.key(0)
    expected = FAMILY.draw_initial(key, (3, 8, 16), SIZES), FAMILY.draw_noise(key, (3, 8), 6)
    jax.tree.map(np.testing.assert_array_equal, (drawn, noise), expected)


def test_what_pads_a_start_is_zero():
    """From padded filters, too: what l2 adds up has no padding."""
    sweep = make_cnn_sweep(filters=[8], blocks=[2], initializer=["he_normal"])
    narrow, wide = (started(structure, sweep)[1] for structure in ((3, 8, 16), (3, 16, 24)))
    for layer in ("conv1", "conv2", "logits"):
        kernel, padded = (np.asarray(params[layer]["kernel"]) for params in (narrow, wide))
        inside = tuple(slice(size) for size in kernel.shape)
        np.testing.assert_array_equal(padded[inside], kernel)
        assert np.count_nonzero(padded) == np.count_nonzero(kernel) == kernel.size


@pytest.mark.slow
@pytest.mark.parametrize("structure", [(3, 16, 24, 32), (3, 8, 16, 32)])
def test_padding_is_zero_and_exact(structure):
    sweep = make_cnn_sweep(filters=[8], blocks=[3])
    config = sweep.configs[0]
    x = np.random.default_rng(0).normal(size=(3, 16, 17)).astype(np.float16)
    (_, plain), (traced, padded) = (started(s, sweep) for s in ((3, 8, 16, 32), structure))

    def loss(params):
        return jnp.sum(jnp.sin(FAMILY.apply(params, x, traced, None)))

    np.testing.assert_allclose(loss(padded), loss(plain), rtol=1e-5)
    # A step changes what is kept as without padding, and of the padding nothing.
    stepped, expected = (
        jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(loss)(params))
        for params in (padded, plain)
    )
    shapes = FAMILY.shapes(config, 16, 4)
    kept, wanted = (unpadded(params, shapes) for params in (stepped, expected))
    assert {name: array.shape for name, array in kept.items()} == shapes
    for name, array in kept.items():
        np.testing.assert_allclose(array, wanted[name], rtol=1e-4, atol=1e-6)
    changed = jax.tree.map(lambda a, b: np.count_nonzero(a != b), stepped, padded)
    most = {name: np.prod(shape) for name, shape in shapes.items()}
    for layer, parts in changed.items():
        for part, count in parts.items():
            assert count <= most[f"{layer}.{part}"]


# What is said of it without computing.


@pytest.mark.parametrize("structure", [(5, 16, 32), *map(slow, ((3, 8), (3, 8, 16, 32)))])
def test_operations_are_those_of_the_traced_products(structure):
    traced, params = started(structure, make_cnn_sweep(filters=[structure[1]]))
    network = functools.partial(networks.cnn, params, traced.activation)

    def total(params, rows):
        x = jnp.ones((rows, SIZES.num_features, SIZES.frames))
        return networks.cnn(params, traced.activation, x).sum()

    assert network(jnp.ones((1, 16, 17))).shape == (1, 4)
    train = jax.make_jaxpr(jax.grad(total), static_argnums=1)(params, SIZES.num_train)
    evaluated = jax.make_jaxpr(total, static_argnums=1)(params, SIZES.num_eval)
    expected = products(train.jaxpr) + products(evaluated.jaxpr)
    assert FAMILY.flops(structure, SIZES) == pytest.approx(expected)


def test_weights_are_counted():
    config = Config.of(filters=8, blocks=2, kernel=5)
    by_hand = 25 * 8 + 3 * 8 + 25 * 8 * 16 + 3 * 16 + 16 * 10 + 10
    assert num_weights(config, 64, 10) == by_hand
    assert num_weights(Config.of(num_units1=7), 57, 10) == 57 * 7 + 7 + 7 * 10 + 10


def test_only_equal_kernels_and_blocks_share_a_program():
    sweep = make_cnn_sweep(filters=[8, 16], blocks=[1, 2], kernel=[3, 5])
    kinds = {FAMILY.kind(FAMILY.structure(config)) for config in sweep.configs}
    assert kinds == {(kernel, blocks + 1) for kernel in (3, 5) for blocks in (1, 2)}


def test_a_batch_takes_more_memory_than_the_weights():
    small, large = (FAMILY.trial_bytes((3, 8, 16), SIZES, size) for size in (1, 32))
    columns = 16 * 17 * (9 + 6 * 8) + 8 * 8 * (9 * 8 + 6 * 16)
    assert large - small == 31 * 4 * columns


# Evaluation by blocks of rows.


@pytest.mark.parametrize("rows", [33, *map(slow, (1, 32, 70))])
def test_rows_are_evaluated_some_at_a_time(rows):
    traced, params = started((3, 8, 16))
    x = np.random.default_rng(0).normal(size=(rows, 16, 17)).astype(np.float32)
    at_once = networks.cnn(params, traced.activation, x)
    got = FAMILY.apply(params, jnp.asarray(x), traced, None)
    np.testing.assert_allclose(got, at_once, rtol=1e-4, atol=1e-5)


# Augmentation.


def test_a_spectrogram_is_shifted_then_masked():
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 16, 17)).astype(np.float32) + 10.0
    bits = random.integers(0, 2**16, (200, 5)).astype(np.uint16)
    limits = Augmentation(np.int32(4), np.int32(3), np.int32(5))
    got = np.asarray(augmented(jnp.asarray(x), limits, bits))
    widths = {"frequency": set(), "time": set(), "shift": set()}
    for row, expected, drawn in zip(got, x, bits / 65536.0, strict=True):
        shift = int(drawn[0] * 11) - 5
        expected = np.roll(expected, shift, axis=1)
        for axis, most, (width, start) in ((0, 4, drawn[1:3]), (1, 3, drawn[3:5])):
            size = int(width * (most + 1))
            first = int(start * (expected.shape[axis] - size + 1))
            expected[(slice(None),) * axis + (slice(first, first + size),)] = 0.0
            widths["time" if axis else "frequency"].add(size)
        widths["shift"].add(shift)
        np.testing.assert_array_equal(row, expected)
    assert widths == {"frequency": set(range(5)), "time": set(range(4)), "shift": set(range(-5, 6))}


@pytest.mark.parametrize("parts", list(itertools.product([None, 0], repeat=3)))
def test_an_augmentation_of_nothing_changes_nothing(parts):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 16, 17)), jnp.float32)
    bits = np.full((5, 5), 65535, np.uint16)
    limits = Augmentation(*(part if part is None else np.int32(part) for part in parts))
    np.testing.assert_array_equal(augmented(x, limits, bits), x)


def test_only_what_a_sweep_has_is_computed():
    plain = make_cnn_sweep()
    assert traced_of(plain.configs[0], plain).augmentation == Augmentation()
    some = make_cnn_sweep(time_mask=[0, 4])
    limits = [traced_of(config, some).augmentation for config in some.configs]
    assert [each.time_mask for each in limits] == [0, 4]
    assert {(each.frequency_mask, each.time_shift) for each in limits} == {(None, None)}
