"""Regularisation besides dropout: pure functions of traced numbers.

    l2               adds l2 · Σ w² of the kernels to the loss that is differentiated
    max_norm         after each update, w ← w · min(‖w‖, c) / (‖w‖ + 1e-7) for the weights into
                     each unit
    weight_limit     after each update, and before max_norm, w ← min(max(w, -c), c)
    input_noise      adds σ · N(0, 1) to the standardised features of a train batch
    label_smoothing  mixes the true class with the uniform distribution, share s
    mixup            mixes each row with the next one of its batch, one λ from Beta(α, α) for each
                     batch (Zhang et al. 2018); a hit counts as the share of the predicted label

Reported losses exclude ``l2`` and ``label_smoothing``; with ``mixup`` they are of mixed labels. All
except mixup are as in Keras 3.15.
"""

import functools
from collections.abc import Set
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gtzan_jax.models.layers import Array, Tree
from gtzan_jax.space.config import Config

_EPSILON = 1e-7  # keras.backend.epsilon(), in MaxNorm's divisor
_QUANTILES = 1025  # of mixup's λ, for a distribution exact to a thousandth

Path = tuple[Any, ...]  # to a leaf of a tree


class Regularisers(NamedTuple):
    """The numbers of a config, () float32; None if no config of the sweep has them."""

    l2: Array | None = None
    max_norm: Array | None = None  # 0: none
    weight_limit: Array | None = None  # 0: none
    input_noise: Array | None = None
    label_smoothing: Array | None = None
    mixup: Array | None = None  # (quantiles,) of λ, at equal steps from 0 to 1


def regularisers(config: Config, parts: Set[str]) -> Regularisers:
    """Returns the numbers of a config in a program with the given parts."""
    numbers = {
        name: np.float32(config.setting(name))
        for name in Regularisers._fields
        if name in parts and name != "mixup"
    }
    quantiles = mixup_quantiles(config.setting("mixup")) if "mixup" in parts else None
    return Regularisers(**numbers, mixup=quantiles)


@functools.lru_cache(64)
def mixup_quantiles(alpha: float) -> np.ndarray:
    """Returns (quantiles,) float32 of λ's distribution, Beta(α, α); all 1, no mixing, if α is 0."""
    from scipy.special import betaincinv  # JAX has none; a slow import

    if alpha == 0.0:
        return np.ones(_QUANTILES, np.float32)
    return np.asarray(betaincinv(alpha, alpha, np.linspace(0.0, 1.0, _QUANTILES)), np.float32)


def mixup_share(quantiles: Array, uniform: jax.Array) -> jax.Array:
    """Returns λ () for a number () in [0, 1), by interpolation between quantiles."""
    place = uniform * (_QUANTILES - 1)
    below = jnp.floor(place).astype(jnp.int32)
    low, high = jnp.asarray(quantiles)[below], jnp.asarray(quantiles)[below + 1]
    return low + (high - low) * (place - jnp.floor(place))


def partners(rows: jax.Array, weight: jax.Array) -> jax.Array:
    """Returns the next row for each row of a batch, (batch, …); row 0 for the last before padding.

    The weight, (batch,) float32, is 0 for padding, which is last.
    """
    last = jnp.sum((weight > 0).astype(jnp.int32)) - 1
    is_last = jnp.arange(rows.shape[0]) == last
    is_last = is_last.reshape(-1, *[1] * (rows.ndim - 1))
    return jnp.where(is_last, rows[:1], jnp.roll(rows, -1, axis=0))


def penalty(params: Tree, l2: Array) -> jax.Array:
    """Returns the l2 penalty, ()."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    squares = [jnp.sum(leaf * leaf) for path, leaf in leaves if _is_kernel(path)]
    return jnp.asarray(l2 * sum(squares))


def constrained(params: Tree, r: Regularisers) -> Tree:
    """Limits each weight of the kernels, then the norm of each unit."""

    def kernel_of(path: Path, leaf: jax.Array) -> jax.Array:
        if not _is_kernel(path):
            return leaf
        if r.weight_limit is not None:
            limit = jnp.where(r.weight_limit > 0, r.weight_limit, jnp.inf)
            leaf = jnp.clip(leaf, -limit, limit)
        if r.max_norm is not None:
            into_unit = tuple(range(leaf.ndim - 1))
            norm = jnp.sqrt(jnp.sum(leaf * leaf, axis=into_unit, keepdims=True))
            factor = jnp.minimum(norm, r.max_norm) / (norm + _EPSILON)
            leaf = leaf * jnp.where(r.max_norm > 0, factor, 1.0)
        return leaf

    return jax.tree_util.tree_map_with_path(kernel_of, params)


def _is_kernel(path: Path) -> bool:
    return isinstance(path[-1], jax.tree_util.DictKey) and path[-1].key == "kernel"  # Flax's name
