"""Adam, SGD and RMSprop with Keras's defaults and arithmetic, as one Optax transformation.

Under ``vmap`` a ``switch`` between three optimizers would compute all three for every
member. The three are one rule with different coefficients instead:

    m ← β₁ m + γ₁ g
    v ← β₂ v + γ₂ g²
    Δ = -lr · √(1 - δ₂ᵗ) / (1 - δ₁ᵗ) · m / (√(v + ε_in) + ε_out)

    adam     β = (0.9, 0.999), γ = 1 - β, δ = β, ε_in = 0, ε_out = 1e-7
    rmsprop  β = (0, 0.9),     γ = 1 - β, δ = 0, ε_in = 1e-7, ε_out = 0
    sgd      β = (0, 0), γ = (1, 0), δ = 0, ε_in = 1, ε_out = 0: v stays 0, the divisor 1

Sources: ``keras.optimizers`` 3.15 (Adam, RMSprop, SGD); Kingma and Ba 2015, section 2, for
the form of Adam whose ε stands outside the bias correction. ``optax.adam`` has it inside.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gtzan_jax.models.family import Array


class Coefficients(NamedTuple):
    """The numbers that make the common rule one of the optimizers; () float32 each."""

    learning_rate: Array
    beta1: Array
    gamma1: Array
    beta2: Array
    gamma2: Array
    delta1: Array
    delta2: Array
    epsilon_inside: Array
    epsilon_outside: Array


#                  β₁   γ₁   β₂     γ₂     δ₁   δ₂     ε_in  ε_out
_RULES = {
    "adam":    (0.9, 0.1, 0.999, 0.001, 0.9, 0.999, 0.0,  1e-7),
    "sgd":     (0.0, 1.0, 0.0,   0.0,   0.0, 0.0,   1.0,  0.0),
    "rmsprop": (0.0, 1.0, 0.9,   0.1,   0.0, 0.0,   1e-7, 0.0),
}  # fmt: skip


def coefficients(optimizer: str, learning_rate: float) -> Coefficients:
    """Returns the coefficients of a named optimizer.

    Raises:
      KeyError: there is no such optimizer; sweeps are checked when they are read.
    """
    return Coefficients(*(np.float32(c) for c in (learning_rate, *_RULES[optimizer])))


class OptimizerState(NamedTuple):
    """Steps taken () float32, and the two moments, shaped like the parameters."""

    step: jax.Array
    first: optax.Updates
    second: optax.Updates


def optimizer(c: Coefficients) -> optax.GradientTransformation:
    """Returns the common rule for given coefficients, which may be traced."""

    def init(params: optax.Params) -> OptimizerState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return OptimizerState(jnp.zeros((), jnp.float32), zeros, zeros)

    def update(
        grads: optax.Updates, state: Any, params: optax.Params | None = None
    ) -> tuple[optax.Updates, OptimizerState]:
        del params
        step = state.step + 1.0
        rate = c.learning_rate * jnp.sqrt(1.0 - c.delta2**step) / (1.0 - c.delta1**step)
        first = jax.tree.map(lambda m, g: c.beta1 * m + c.gamma1 * g, state.first, grads)
        second = jax.tree.map(lambda v, g: c.beta2 * v + c.gamma2 * g * g, state.second, grads)
        updates = jax.tree.map(
            lambda m, v: -rate * m / (jnp.sqrt(v + c.epsilon_inside) + c.epsilon_outside),
            first,
            second,
        )
        return updates, OptimizerState(step, first, second)

    return optax.GradientTransformation(init, update)
