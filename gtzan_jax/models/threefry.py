"""The random bits of ``jax.random``: Threefry-2x32, partitionable (Salmon et al. 2011).

NumPy arrays are computed at once; JAX arrays in compiled programs, on a CPU much faster than by
``jax.random``. Keys are those of ``jax.random.key_data``, (..., 2) uint32.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Words = Any  # uint32 array of NumPy or JAX

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
_BLOCK = 1 << 15  # numbers that NumPy draws at a time, to fit the processor's cache


def key(seed: ArrayLike) -> NDArray[np.uint32]:
    """Returns the (2,) key of a seed, uint32."""
    return np.stack([np.uint32(0), np.asarray(seed, np.uint32)])


def fold_in(key: Words, data: ArrayLike) -> Words:
    """Returns keys (*data, 2) from a key (2,) and each number of ``data``."""
    xp = jnp if isinstance(key, jax.Array) or isinstance(data, jax.Array) else np
    low = xp.asarray(data, np.uint32)
    return xp.stack(_threefry(key[0], key[1], xp.zeros_like(low), low), axis=-1)


def bits(keys: Words, shape: tuple[int, ...], dtype: DTypeLike, axis: int = 0) -> Any:
    """Returns random bits for keys (keys, 2), at most 32 bits each.

    The result is (keys, *shape), with the axis of the keys moved to ``axis``.
    """
    xp = jnp if isinstance(keys, jax.Array) else np
    together = max(1, _BLOCK // max(1, math.prod(shape)))
    if xp is np and len(keys) > together:
        blocks = (keys[start : start + together] for start in range(0, len(keys), together))
        return np.concatenate([bits(block, shape, dtype, axis) for block in blocks], axis)
    low = xp.expand_dims(xp.arange(math.prod(shape), dtype=np.uint32).reshape(shape), axis)
    others = [each for each in range(low.ndim) if each != axis]
    key0, key1 = (xp.expand_dims(keys[:, word], others) for word in range(2))
    high, low = _threefry(key0, key1, xp.zeros_like(low), low)
    return (high ^ low).astype(dtype)


def _threefry(key0: Words, key1: Words, high: Words, low: Words) -> tuple[Words, Words]:
    """Returns the random words of counters, two words each."""
    with np.errstate(over="ignore"):
        schedule = (key0, key1, key0 ^ key1 ^ _PARITY)
        high, low = high + schedule[0], low + schedule[1]
        for i in range(5):
            for rotation in _ROTATIONS[i % 2]:
                high = high + low
                low = (low << np.uint32(rotation)) | (low >> np.uint32(32 - rotation))
                low = low ^ high
            high = high + schedule[(i + 1) % 3]
            low = low + schedule[(i + 2) % 3] + np.uint32(i + 1)
    return high, low
