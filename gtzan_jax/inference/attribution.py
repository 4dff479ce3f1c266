"""Integrated gradients (Sundararajan, Taly, Yan, ICML 2017).

The attribution of input i is (xᵢ − x′ᵢ) · ∫₀¹ ∂F/∂xᵢ(x′ + t (x − x′)) dt for a baseline x′. The
attributions of all inputs sum to F(x) − F(x′).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

_NODES = 32  # of the Gauss-Legendre rule on each piece of the path
_MOST_PIECES = 512
_AT_ONCE = 1e6  # inputs whose gradients are in memory together
_INPUTS = 5e5  # of all pieces of the path, to limit the time


class Attributions(NamedTuple):
    """Attributions of an output to an input."""

    values: NDArray[np.float64]  # shaped as the input
    slopes: NDArray[np.float64]  # shaped as the input: mean gradients on the path
    output: float  # F(x)
    baseline: float  # F(x′)

    @property
    def gap(self) -> float:
        """The sum of the values, minus F(x) − F(x′)."""
        return float(self.values.sum() - (self.output - self.baseline))


def integrated_gradients(
    function: Callable[[jax.Array], jax.Array],
    x: np.ndarray,
    baseline: np.ndarray,
    tolerance: float = 1e-3,
) -> Attributions:
    """Integrates the gradients of a function on the straight path from a baseline to an input.

    Gradients of rectified units jump, so a piece of the path is halved, up to a limit, until its
    sum is F at its end minus F at its start within the tolerance. F maps an array shaped as the
    input to () float32.
    """
    nodes_at_once = min(_NODES, max(1, int(_AT_ONCE // x.size)))
    most_pieces = min(_MOST_PIECES, max(10, int(_INPUTS // x.size)))
    places, weights = np.polynomial.legendre.leggauss(_NODES)
    origin, way = jnp.asarray(baseline), jnp.asarray(x - baseline)

    @jax.jit
    def piece(start: jax.Array, width: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        def weighted(point: tuple[jax.Array, jax.Array]) -> jax.Array:
            share, weight = point
            gradient: jax.Array = jax.grad(function)(origin + share * way)
            return weight * gradient

        shares = start + width * jnp.asarray((places + 1) / 2, jnp.float32)
        each = jnp.asarray(weights / 2, jnp.float32) * width
        mean = jax.lax.map(weighted, (shares, each), batch_size=nodes_at_once).sum(axis=0)
        return mean, function(origin + start * way), function(origin + (start + width) * way)

    total, slopes = np.zeros(np.shape(x)), np.zeros(np.shape(x))
    waiting, done = [(0.0, 1.0)], 0
    ends: dict[float, float] = {}
    while waiting:
        start, width = waiting.pop()
        found = piece(np.float32(start), np.float32(width))
        mean = np.asarray(found[0], np.float64)
        values = mean * np.asarray(way, np.float64)
        low, high = float(found[1]), float(found[2])
        ends |= {start: low, start + width: high}
        done += 1
        off = abs(values.sum() - (high - low)) > tolerance * width
        if off and done + len(waiting) < most_pieces:
            waiting += [(start + width / 2, width / 2), (start, width / 2)]
        else:
            total += values
            slopes += mean
    return Attributions(total, slopes, ends[1.0], ends[0.0])
