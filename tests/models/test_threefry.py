import jax
import numpy as np
import pytest

from gtzan_jax.models import threefry

SEEDS = [0, 1, 2**31, 2**32 - 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_keys_are_those_of_jax(seed):
    theirs = jax.random.key(np.uint32(seed))
    key = threefry.key(seed)
    np.testing.assert_array_equal(key, jax.random.key_data(theirs))
    folded = [jax.random.key_data(jax.random.fold_in(theirs, np.uint32(n))) for n in SEEDS]
    np.testing.assert_array_equal(threefry.fold_in(key, SEEDS), folded)
    np.testing.assert_array_equal(threefry.fold_in(key, SEEDS[-1]), folded[-1])


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (70_000,), (0,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_bits_are_those_of_jax(shape, dtype):
    keys = threefry.fold_in(threefry.key(7), np.arange(3))
    drawn = threefry.bits(keys, shape, dtype)
    assert drawn.dtype == dtype
    theirs = [jax.random.bits(jax.random.wrap_key_data(key), shape, dtype) for key in keys]
    np.testing.assert_array_equal(drawn, theirs)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_bits_of_compiled_keys_are_the_same_along_any_axis(axis):
    keys = threefry.fold_in(threefry.key(7), np.arange(3))
    expected = np.moveaxis(threefry.bits(keys, (4, 5), np.uint16), 0, axis)
    drawn = jax.jit(lambda k: threefry.bits(k, (4, 5), np.uint16, axis))(keys)
    np.testing.assert_array_equal(drawn, expected)
    np.testing.assert_array_equal(threefry.bits(keys, (4, 5), np.uint16, axis), expected)
