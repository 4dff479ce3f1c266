"""The random bits of ``jax.random`` in NumPy: Threefry-2x32, partitionable (Salmon et al. 2011).

Keys are those of ``jax.random.key_data``, (..., 2) uint32.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

Words = np.ndarray[Any, np.dtype[np.uint32]]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
_BLOCK = 1 << 15  # numbers at a time, so that they stay in the processor's cache


def key(seed: ArrayLike) -> Words:
    """Returns the (2,) key of a seed, uint32."""
    return np.stack([np.uint32(0), np.asarray(seed, np.uint32)])


def fold_in(key: Words, data: ArrayLike) -> Words:
    """Returns (*data, 2) keys, made of one key (2,) and each number of ``data``."""
    low = np.array(data, np.uint32)
    high = np.zeros_like(low)
    _threefry(key[0], key[1], high, low)
    return np.stack([high, low], axis=-1)


def bits(keys: Words, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Returns (keys, *shape) random bits for keys (keys, 2), at most 32 bits each."""
    count = math.prod(shape)
    drawn = np.empty((len(keys), count), dtype)
    together = max(1, _BLOCK // max(1, count))
    for first in range(0, len(keys), together):
        some = keys[first : first + together, :, None]
        for start in range(0, count, _BLOCK):
            place = drawn[first : first + together, start : start + _BLOCK]
            high, low = np.zeros((2, *place.shape), np.uint32)
            low += np.arange(start, start + place.shape[1], dtype=np.uint32)
            _threefry(some[:, 0], some[:, 1], high, low)
            place[...] = high ^ low
    return drawn.reshape(len(keys), *shape)


def _threefry(key0: Words, key1: Words, high: Words, low: Words) -> None:
    """Replaces counters, two words each, by random words."""
    schedule = (key0, key1, key0 ^ key1 ^ _PARITY)
    high += schedule[0]
    low += schedule[1]
    shifted = np.empty_like(low)
    for i in range(5):
        for rotation in _ROTATIONS[i % 2]:
            high += low
            np.left_shift(low, np.uint32(rotation), out=shifted)
            np.right_shift(low, np.uint32(32 - rotation), out=low)
            low |= shifted
            low ^= high
        high += schedule[(i + 1) % 3]
        low += schedule[(i + 2) % 3]
        low += np.uint32(i + 1)
