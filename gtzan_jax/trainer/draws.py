"""Random numbers from keys derived from names: (seed, purpose, epoch, layer, row, block).

Trials with the same seed have the same order and noise; with the same seed and fold, also the same
initial weights. Traced seeds are computed by JAX, NumPy's by NumPy, to the same bits.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gtzan_jax.models import threefry
from gtzan_jax.models.family import Family, Structure
from gtzan_jax.models.layers import Array, Key, Tree
from gtzan_jax.tables.folds import Sizes

# Purposes; the number of an epoch or a fold is added.
_WEIGHTS, _ORDER, _NOISE, _INPUTS, _MIXUP = (purpose << 24 for purpose in range(5))


class Draws(NamedTuple):
    """The random numbers of some epochs, for all trials with the same fold and seed."""

    order: Array  # (epochs, num_train) int32, shuffled rows of the train arrays, padding last
    noise: Tree  # as the family defines: arrays (epochs, positions, …)
    inputs: Array | None = None  # (epochs, positions, features) float32, normal
    mixup: Array | None = None  # (epochs, steps or more) float32, uniform in [0, 1)


def draw_initial(
    family: Family, structure: Structure, sizes: Sizes, seed: Array, fold: Array
) -> Tree:
    """Draws the numbers for initial weights; seed and fold are () uint32."""
    return family.draw_initial(_key(seed, _WEIGHTS + fold), structure, sizes)


def draw_noise(
    family: Family, structure: Structure, positions: int, epochs: int, seed: Array, first: Array
) -> Tree:
    """Draws the noise of some epochs; seed and first epoch are () uint32.

    ``positions`` counts rows, padding included.
    """

    def one(epoch: Array) -> Tree:
        return family.draw_noise(_key(seed, _NOISE + epoch), structure, positions)

    return _by_epoch(one, first, epochs)


def draw_inputs(
    num_features: int, positions: int, epochs: int, seed: Array, first: Array
) -> jax.Array:
    """Draws the noise of the features, (epochs, positions, features) float32, normal."""

    def one(epoch: jax.Array) -> jax.Array:
        return jax.random.normal(
            _key(jnp.asarray(seed), _INPUTS + epoch), (positions, num_features)
        )

    return jax.vmap(one)(_epochs(first, epochs))


def draw_mixup(steps: int, epochs: int, seed: Array, first: Array) -> jax.Array:
    """Draws the quantile of mixup's λ for each step, (epochs, steps) float32."""

    def one(epoch: jax.Array) -> jax.Array:
        return jax.random.uniform(_key(jnp.asarray(seed), _MIXUP + epoch), (steps,))

    return jax.vmap(one)(_epochs(first, epochs))


def draw_order(row: Array, weight: Array, epochs: int, seed: Array, first: Array) -> Tree:
    """Shuffles the rows of a fold's train arrays for some epochs, padding last.

    Rows are sorted by random numbers from their names, ``row`` (num_train,) uint32, so that rows
    common to several folds are in the same order. ``weight`` is (num_train,), 0 for padding.

    Returns:
      (epochs, num_train) int32 indices into the train arrays.
    """
    return _by_epoch(lambda epoch: _sorted_rows(row, weight, seed, epoch), first, epochs)


def _sorted_rows(row: Array, weight: Array, seed: Array, epoch: Array) -> Tree:
    # Equal numbers are sorted by name, so that the order depends on the names only.
    name = _ORDER + epoch
    if not isinstance(seed, jax.Array):
        row, weight = np.asarray(row), np.asarray(weight)
        keys = threefry.fold_in(threefry.fold_in(threefry.key(seed), name), row)
        bits = threefry.bits(keys, (), np.uint32)
        return np.lexsort((row, bits, weight == 0)).astype(np.int32)
    row, padding = jnp.asarray(row), jnp.asarray(weight == 0, jnp.uint32)
    of_rows = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(_key(seed, name), row)
    drawn, index = jax.vmap(jax.random.bits)(of_rows), lax.iota(jnp.int32, row.shape[0])
    return lax.sort((padding, drawn, row, index), num_keys=3)[-1]


def _key(seed: Array, name: Array | int) -> Key:
    if isinstance(seed, jax.Array):
        return jax.random.fold_in(jax.random.key(seed), name)
    return np.asarray(threefry.fold_in(threefry.key(seed), name))


def _by_epoch(draw: Callable[[Array], Tree], first: Array, count: int) -> Tree:
    """Draws for some epochs, along a new first axis."""
    if isinstance(first, jax.Array):
        return jax.vmap(draw)(_epochs(first, count))
    drawn = [draw(np.uint32(first + epoch)) for epoch in range(count)]
    return jax.tree.map(lambda *arrays: np.stack(arrays), *drawn)


def _epochs(first: Array, count: int) -> jax.Array:
    return jnp.asarray(first) + lax.iota(jnp.uint32, count)
