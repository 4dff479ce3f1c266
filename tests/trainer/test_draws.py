import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_arrays, make_fold, make_table

from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.tables.folds import Sizes
from gtzan_jax.trainer.drawing import RandomNumbers, drawn_sizes
from gtzan_jax.trainer.draws import draw_initial, draw_noise, draw_order

FAMILY = MlpFamily()
# As the trainer compiles what draws: quickly.
compiled = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})
EPOCHS = 3


_orders = compiled(functools.partial(draw_order, epochs=EPOCHS))


def orders(names, seed=0, first=0, padding=0):
    """Returns the shuffled names of rows, (epochs, rows), padding as -1."""
    row = jnp.asarray([*names, *[0] * padding], jnp.uint32)
    weight = jnp.asarray([1.0] * len(names) + [0.0] * padding, jnp.float32)
    drawn = _orders(row, weight, seed=np.uint32(seed), first=np.uint32(first))
    assert drawn.dtype == jnp.int32
    return np.append(names, [-1] * padding)[np.asarray(drawn)]


@functools.cache
def _noise(structure, positions, epochs):
    return compiled(functools.partial(draw_noise, FAMILY, structure, positions, epochs))


def noise(structure=(5, 70), positions=6, epochs=2, seed=0, first=0):
    drawn = _noise(structure, positions, epochs)(np.uint32(seed), np.uint32(first))
    return [np.asarray(bits) for bits in drawn]


NAMES = np.random.default_rng(0).permutation(200)[:60]


def test_an_epochs_order_has_every_row_once():
    for order in orders(NAMES):
        assert sorted(order) == sorted(NAMES)


def test_orders_are_uniform():
    # Each of 40 × 3 epochs puts each row in a place of its own.
    places = [np.argsort(order)[:10] for seed in range(40) for order in orders(np.arange(60), seed)]
    mean = np.mean(places, axis=0)
    assert np.abs(mean - 29.5).max() < 4.5 * np.sqrt((60**2 - 1) / 12 / 120)


def test_padding_comes_last():
    padded = orders(NAMES, padding=20)
    np.testing.assert_array_equal(padded[:, :60], orders(NAMES))
    np.testing.assert_array_equal(padded[:, 60:], -1)


def test_rows_that_two_folds_share_are_in_the_same_order():
    one, other = NAMES[:45], NAMES[20:][::-1]
    shared = set(one) & set(other)
    assert len(shared) == 25
    whole = orders(NAMES)
    for fold in (one, other):
        for order, expected in zip(orders(fold), whole, strict=True):
            np.testing.assert_array_equal(order, [row for row in expected if row in set(fold)])


def test_the_place_of_a_row_in_the_arrays_means_nothing():
    np.testing.assert_array_equal(orders(NAMES), orders(NAMES[::-1]))


def test_orders_differ_by_epoch_and_seed():
    drawn = [*orders(NAMES), *orders(NAMES, seed=1), *orders(NAMES, first=3)]
    assert len({tuple(order) for order in drawn}) == 9


def test_numbers_of_an_epoch_do_not_depend_on_the_first():
    np.testing.assert_array_equal(orders(NAMES)[1:], orders(NAMES, first=1)[:2])
    for all_of_it, later in zip(noise(), noise(first=1), strict=True):
        np.testing.assert_array_equal(all_of_it[1], later[0])


def test_noise_differs_by_epoch_seed_layer_block_and_row():
    structure, rows = (128, 128), 64
    first, other = (noise(structure, rows, seed=seed) for seed in (0, 1))
    blocks = [
        bits[epoch, :, block : block + 64].ravel()
        for draw in (first, other)
        for bits in draw
        for epoch in (0, 1)
        for block in (0, 64)
    ]
    assert np.abs(np.corrcoef(blocks) - np.eye(16)).max() < 0.08
    assert np.abs(np.corrcoef(first[0][0]) - np.eye(rows)).max() < 0.5


def test_weights_order_and_noise_are_drawn_from_keys_of_their_own():
    sizes = Sizes(60, 30, 64, 4)
    weights, _ = compiled(functools.partial(draw_initial, FAMILY, (64,), sizes))(
        np.uint32(0), np.uint32(0)
    )
    bits = noise((64,), 64, 1)[0][0]
    assert abs(np.corrcoef(np.ravel(weights), np.ravel(bits))[0, 1]) < 0.05
    [order] = orders(np.arange(64))[:1]
    assert abs(np.corrcoef(np.argsort(order), np.argsort(bits[:, 0]))[0, 1]) < 0.5


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_initial_draws_are_the_seeds(seed):
    sizes = Sizes(60, 30, 5, 4)
    draw = compiled(functools.partial(draw_initial, FAMILY, (6,), sizes))
    first, again, other = (draw(np.uint32(s), np.uint32(0)) for s in (seed, seed, seed ^ 1))
    assert [kernel.shape for kernel in first] == [(5, 6), (6, 4)]
    for kernel, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(kernel, same)
        assert not np.isin(kernel, different).any()


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
@pytest.mark.parametrize("number", [0, 9])  # of a fold or an epoch
def test_the_host_draws_what_programs_draw(seed, number):
    sizes, structure = Sizes(60, 30, 5, 4), (64, 70, 5)
    weight = np.append(np.ones(len(NAMES) - 20, np.float32), np.zeros(20, np.float32))
    for draw in (
        functools.partial(draw_initial, FAMILY, structure, sizes),
        functools.partial(draw_noise, FAMILY, structure, 7, EPOCHS),
        functools.partial(draw_order, NAMES.astype(np.uint32), weight, EPOCHS),
    ):
        arguments = np.uint32(seed), np.uint32(number)
        host, program = (jax.tree.leaves(d(*arguments)) for d in (draw, compiled(draw)))
        for one, other in zip(host, program, strict=True):
            assert isinstance(one, np.ndarray)
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_a_training_of_several_calls_has_the_numbers_of_one():
    """Calls are about equally long, and each begins with the epoch after the last one's."""
    parts, devices = {"mixup", "input_noise"}, tuple(jax.devices()[:1])
    sizes = Sizes(20, 10, 3, 4)
    drawn = drawn_sizes(FAMILY, (5,), sizes, [8, 16], 11, parts)
    assert (drawn.epochs, drawn.positions) == (6, 32)  # 6 and 5, not 10 and 1
    numbers = RandomNumbers(drawn._replace(epochs=2), devices, 2)
    [one] = make_arrays(make_table(30, num_features=3), make_fold(range(20), test=range(20, 30)))
    other = one._replace(row=one.row[::-1].copy())
    first, second = numbers.draws(one, 3, 0), numbers.draws(one, 3, 1)
    assert len(jax.tree.leaves(first)) == 4
    for now, later in zip(*map(jax.tree.leaves, (first, second)), strict=True):
        np.testing.assert_array_equal(now[1], later[0])
        assert (np.asarray(now[0]) != np.asarray(later[0])).any()
    both = numbers.draws(one, (4, 3), 0)
    jax.tree.map(lambda of_seeds, own: np.testing.assert_array_equal(of_seeds[1], own), both, first)
    # A sweep's tasks find them where they were; those of several seeds would fill the memory.
    for seeds, kept in (((3, 3), True), ((4, 3), False)):
        twice = [jax.tree.leaves(numbers.draws(one, seeds, 0)) for _ in range(2)]
        assert {first is again for first, again in zip(*twice, strict=True)} == {kept}
    # Of another fold, and of this one again.
    turned = 19 - np.asarray(numbers.draws(other, 3, 0).order)
    np.testing.assert_array_equal(turned, first.order)
    np.testing.assert_array_equal(numbers.draws(one, 3, 0).order, first.order)
    weights = [np.asarray(numbers.initial(3, fold)[0]) for fold in (0, 1)]
    expected = draw_initial(FAMILY, (5,), sizes, np.uint32(3), np.uint32(1))[0]
    np.testing.assert_array_equal(weights[1], expected)
    assert not np.isin(*weights).any()
