"""Parts of the families, for one trial: activation, inverted dropout, initial weights, votes.

Every activation is 0 at 0, so padded units stay 0.
"""

import functools
import math
from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax import lax
from jax.typing import DTypeLike

from gtzan_jax.models import threefry

Array = jax.Array | np.ndarray | np.number[Any]  # on a device or the host

Key = jax.Array | np.ndarray
"""A JAX key in a program, or its (2,) uint32 words for ``models.threefry`` on the host."""

Tree = Any  # a JAX pytree of arrays
Drawn = jax.Array | np.ndarray  # in a program, or on the host

# Units per key of random numbers, so that wider layers extend the numbers of narrower ones.
BLOCK = 64

NORMAL = frozenset({"he_normal", "glorot_normal", "lecun_normal"})
_TRUNCATED_DEVIATION = 0.87962566103423978  # of N(0, 1), truncated at two deviations


class Activation(NamedTuple):
    """The traced activation: leaky ReLU unless another is true; those that are None are omitted."""

    slope: Array | float  # () float32, of leaky ReLU for negative inputs; 0 is ReLU
    elu: Array | None = None  # () bool
    gelu: Array | None = None
    silu: Array | None = None
    tanh: Array | None = None

    @classmethod
    def of(cls, name: str, slope: float, parts: Set[str]) -> "Activation":
        """Returns an activation by name, with an array for each activation in ``parts``."""
        chosen: dict[str, Any] = {
            other: np.asarray(other == name) for other in cls._fields[1:] if other in parts
        }
        return cls(np.float32(slope), **chosen)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Applies it to each element, as Keras defines it."""
        y = jnp.where(x >= 0, x, self.slope * x)
        for chosen, function in (
            (self.elu, jax.nn.elu),
            (self.gelu, functools.partial(jax.nn.gelu, approximate=False)),
            (self.silu, jax.nn.silu),
            (self.tanh, jnp.tanh),
        ):
            if chosen is not None:
                y = jnp.where(chosen, function(x), y)
        return y


def noise_bits(key: Key, widths: Sequence[int], positions: int) -> list[Drawn]:
    """Draws (positions, width) uint16 for each hidden layer, independent of other widths."""
    blocks = [-(-width // BLOCK) for width in widths]
    names = [layer << 16 | block for layer, n in enumerate(blocks) for block in range(n)]
    drawn = draw(key, names, (positions, BLOCK), jnp.uint16, axis=1)
    return [
        drawn[:, end - n : end].reshape(positions, -1)[:, :width]
        for end, n, width in zip(np.cumsum(blocks), blocks, widths, strict=True)
    ]


def draw(
    key: Key, names: Sequence[int], shape: tuple[int, ...], dtype: DTypeLike, axis: int = 0
) -> Drawn:
    """Draws random bits for all names at once, each from its own key; see ``threefry.bits``."""
    if isinstance(key, np.ndarray):
        keys = threefry.fold_in(key, names)
    else:  # without the barrier, XLA computes a key again for each number
        keys = lax.optimization_barrier(threefry.fold_in(jax.random.key_data(key), names))
    drawn: Drawn = threefry.bits(keys, shape, dtype, axis)
    return drawn


def draw_uniform(key: Key, names: Sequence[int]) -> Drawn:
    """Draws (names, BLOCK) float32 in (-1, 1), each name from its own key."""
    # The centres of 2**23 equal steps, exact in float32.
    steps = (draw(key, names, (BLOCK,), jnp.uint32) >> 9).astype(jnp.float32)
    return (steps + 0.5) / 2.0**22 - 1.0


def dropout_factors(bits: jax.Array, rate: Array | float) -> jax.Array:
    """Returns the factors of inverted dropout, 0 or 1 / (1 - rate), for uint16 bits, as in Keras.

    Drops a unit if its bits, as a fraction, are below the rate, rounded to 2**-16.
    """
    threshold = jnp.round(jnp.asarray(rate, jnp.float32) * 65536.0).astype(jnp.uint16)
    return jnp.where(bits >= threshold, 1.0 / (1.0 - rate), 0.0).astype(jnp.float32)


def initial_scale(initializer: str, fan_in: int, fan_out: int) -> float:
    """Returns the factor for initial weights, drawn in (-1, 1) or from a truncated normal.

    Uniform: 0.05 for Keras's ``random_uniform``, else sqrt(3 v) of a variance v of
    2 / (fan_in + fan_out) for glorot (Glorot and Bengio 2010), 2 / fan_in for he (He et al. 2015),
    1 / fan_in for lecun (LeCun et al. 1998). Normal: sqrt(v) over the deviation after truncation.
    """
    if initializer == "random_uniform":
        return 0.05
    kind = initializer.partition("_")[0]
    variance = {"glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in, "lecun": 1 / fan_in}[kind]
    if initializer in NORMAL:
        return math.sqrt(variance) / _TRUNCATED_DEVIATION
    return math.sqrt(3 * variance)


def initial_kernel(
    drawn: jax.Array, scale: Array, normal: Array | None, rows: Any, columns: Any
) -> jax.Array:
    """Returns a kernel (…, fan_in, fan_out) from numbers uniform in (-1, 1).

    Maps them to N(0, 1), truncated at two deviations, if ``normal`` () is true. Weights from and to
    padding, where rows or columns are False, are 0 and stay 0, since their gradient is 0.
    """
    if normal is not None:
        inside = math.erf(math.sqrt(2))  # the probability of less than two deviations
        quantiles = math.sqrt(2) * jax.scipy.special.erfinv(inside * drawn)
        drawn = jnp.where(normal, quantiles, drawn)
    kernel = drawn * scale
    if rows is not None:
        kernel = jnp.where(rows[:, None], kernel, 0.0)
    return kernel if columns is None else jnp.where(columns, kernel, 0.0)


def voted(logits: jax.Array, songs: jax.Array, num_songs: int) -> jax.Array:
    """Returns (songs, classes) mean log-probabilities; songs: (rows,) int32, each row's song."""
    rows = jax.ops.segment_sum(jnp.ones_like(songs, jnp.float32), songs, num_songs)
    votes = jax.ops.segment_sum(jax.nn.log_softmax(logits), songs, num_songs)
    return jnp.asarray(votes / rows[:, None])


def unpadded(params: Tree, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Returns parameters by name on the host, without padding; see ``Family.shapes``."""
    arrays = traverse_util.flatten_dict(params, sep=".")  # type: ignore[no-untyped-call]
    return {
        name: np.asarray(arrays[name])[tuple(slice(size) for size in shape)]
        for name, shape in shapes.items()
    }
