"""Keras's optimizers with its defaults and arithmetic, as one Optax transformation.

Under ``vmap`` a ``switch`` between optimizers would compute all of them for every trial. They are
one rule with the coefficients of ``_RULES`` instead:

    m ← β₁ m + γ₁ g
    v ← β₂ v + γ₂ g²
    Δ = -lr · √(1 - δ₂ᵗ) / (1 - δ₁ᵗ) · m / (√(v + ε_in) + ε_out)

For ``nadam``, and SGD's ``nesterov``, u_t = δ₁ (1 - h · 0.96ᵗ), P_t = u_1 ⋯ u_t and

    m / (1 - δ₁ᵗ)  becomes  m (μ + u_{t+1}) / (1 - P_{t+1}) + g (1 - u_t) / (1 - P_t)
    ε_out          becomes  ε_out √(1 - δ₂ᵗ)

with h = 1/2 for nadam and else 0, and μ the momentum of SGD, else 0. For ``lion`` m is replaced by
sign(0.9 m + 0.1 g) with the m before the step. Weight decay λ adds -lr · λ · w to Δ.

Sources: ``keras.optimizers`` 3.15; Kingma and Ba 2015, section 2, for the form of Adam with ε
outside the bias correction (``optax.adam`` has it inside); Dozat 2016; Chen et al. 2023
(Lion); Loshchilov and Hutter 2019 (AdamW).
"""

from collections.abc import Set
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gtzan_jax.models.layers import Array

_LION_SHARE = 0.9  # of the old momentum
_SCHEDULE = 0.96  # base of Nadam's momentum schedule


class Nesterov(NamedTuple):
    """The numbers of Nesterov's momentum; () float32 each."""

    used: Array  # 1 or 0
    momentum: Array  # μ
    schedule: Array  # h


class Coefficients(NamedTuple):
    """The coefficients of the common rule, () float32 each; None if no config has them."""

    learning_rate: Array
    beta1: Array
    gamma1: Array
    beta2: Array
    gamma2: Array
    delta1: Array
    delta2: Array
    epsilon_inside: Array
    epsilon_outside: Array
    nesterov: Nesterov | None = None
    lion: Array | None = None  # 1 or 0
    weight_decay: Array | None = None


#                  β₁    γ₁    β₂     γ₂     δ₁   δ₂     ε_in  ε_out
_RULES = {
    "adam":    (0.9,  0.1,  0.999, 0.001, 0.9, 0.999, 0.0,  1e-7),
    "sgd":     (0.0,  1.0,  0.0,   0.0,   0.0, 0.0,   1.0,  0.0),
    "rmsprop": (0.0,  1.0,  0.9,   0.1,   0.0, 0.0,   1e-7, 0.0),
    "lion":    (0.99, 0.01, 0.0,   0.0,   0.0, 0.0,   1.0,  0.0),
}  # fmt: skip
_RULES |= dict.fromkeys(("adamw", "nadam"), _RULES["adam"])


def coefficients(
    optimizer: str,
    learning_rate: float,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    parts: Set[str] = frozenset(),
) -> Coefficients:
    """Returns the coefficients of an optimizer, with the optional ``parts``, see ``Sweep.parts``.

    Momentum and Nesterov apply to SGD only, decoupled weight decay to any optimizer.
    """
    numbers: list[Any] = [np.float32(number) for number in (learning_rate, *_RULES[optimizer])]
    rule = Coefficients(*numbers)
    if optimizer == "sgd":
        rule = rule._replace(beta1=np.float32(momentum))
    if parts & {"nadam", "nesterov"}:
        is_nadam, looks = optimizer == "nadam", optimizer == "sgd" and nesterov
        ahead = (is_nadam or looks, momentum * looks, 0.5 * is_nadam)
        rule = rule._replace(nesterov=Nesterov(*map(np.float32, ahead)))
    if "lion" in parts:
        rule = rule._replace(lion=np.float32(optimizer == "lion"))
    if parts & {"adamw", "weight_decay"}:
        rule = rule._replace(weight_decay=np.float32(weight_decay))
    return rule


class OptimizerState(NamedTuple):
    """Steps taken () float32, and the two moments, shaped like the parameters."""

    step: jax.Array
    first: optax.Updates
    second: optax.Updates
    product: jax.Array | None = None  # () float32, P_t; None without Nesterov's momentum


def optimizer(c: Coefficients) -> optax.GradientTransformation:
    """Returns the common rule for coefficients that may be traced."""

    def init(params: optax.Params) -> OptimizerState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        product = None if c.nesterov is None else jnp.ones((), jnp.float32)
        return OptimizerState(jnp.zeros((), jnp.float32), zeros, zeros, product)

    def update(
        grads: optax.Updates, state: Any, params: optax.Params | None = None
    ) -> tuple[optax.Updates, OptimizerState]:
        step = state.step + 1.0
        correction = jnp.sqrt(1.0 - c.delta2**step)
        rate = c.learning_rate * correction
        if c.nesterov is None:
            rate = rate / (1.0 - c.delta1**step)
        first = jax.tree.map(lambda m, g: c.beta1 * m + c.gamma1 * g, state.first, grads)
        second = jax.tree.map(lambda v, g: c.beta2 * v + c.gamma2 * g * g, state.second, grads)
        direction, product, epsilon = first, None, jnp.asarray(c.epsilon_outside)
        if c.nesterov is not None:
            of_first, of_gradient, product = _ahead(c, c.nesterov, step, state.product)
            direction = jax.tree.map(lambda m, g: of_first * m + of_gradient * g, first, grads)
            epsilon = epsilon * jnp.where(c.nesterov.used > 0, correction, 1.0)
        if c.lion is not None:
            is_lion = c.lion > 0
            direction = jax.tree.map(
                lambda d, m, g: jnp.where(
                    is_lion, jnp.sign(_LION_SHARE * m + (1.0 - _LION_SHARE) * g), d
                ),
                direction,
                state.first,
                grads,
            )
        updates = jax.tree.map(
            lambda d, v: -rate * d / (jnp.sqrt(v + c.epsilon_inside) + epsilon), direction, second
        )
        if c.weight_decay is not None:
            shrink = c.learning_rate * c.weight_decay
            updates = jax.tree.map(lambda u, w: u - shrink * w, updates, params)
        return updates, OptimizerState(step, first, second, product)

    return optax.GradientTransformation(init, update)


def _ahead(
    c: Coefficients, nesterov: Nesterov, step: jax.Array, product: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the factors of m and g, and P_t, from P_{t-1}; see the formulas of the module."""
    used = jnp.asarray(nesterov.used)
    now, soon = (c.delta1 * (1.0 - nesterov.schedule * _SCHEDULE**t) for t in (step, step + 1.0))
    product = product * now
    of_first = (1.0 - used) / (1.0 - product)
    of_first += used * (nesterov.momentum + soon) / (1.0 - product * soon)
    return of_first, used * (1.0 - now) / (1.0 - product), product
