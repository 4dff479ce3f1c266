"""Early stopping on the validation loss; keeps the weights of the best epoch.

As ``keras.callbacks.EarlyStopping(patience=…, restore_best_weights=True)``, except that patience 0
is off.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gtzan_jax.models.layers import Array, Tree


class Stopping(NamedTuple):
    """The state of early stopping between epochs."""

    params: Tree  # of the best epoch; of the last if patience is off
    loss: Array  # () float32, the validation loss of that epoch
    best: Array  # () int32, epoch of the params, from 1
    epochs: Array  # () int32, trained so far
    waited: Array  # () int32, epochs since the best one
    stopped: Array  # () bool


def begin(params: Tree) -> Stopping:
    """Returns the state before the first epoch."""
    zero = jnp.zeros((), jnp.int32)
    return Stopping(params, jnp.zeros((), jnp.float32), zero, zero, zero, jnp.zeros((), jnp.bool_))


def after_epoch(before: Stopping, patience: Array, loss: jax.Array, params: Tree) -> Stopping:
    """Returns the state after an epoch of a trial that has not stopped.

    Patience is () int32, 0 is off; loss is () float32, on the validation part.
    """
    patience = jnp.asarray(patience)
    off = patience == 0
    epochs = before.epochs + 1
    # The first epoch is the best so far even if its loss is NaN, as in Keras.
    better = off | (epochs == 1) | (loss < before.loss)
    waited = jnp.where(better, 0, before.waited + 1)
    return Stopping(
        params=chosen(better, params, before.params),
        loss=jnp.where(better, loss, before.loss),
        best=jnp.where(better, epochs, before.best),
        epochs=epochs,
        waited=waited,
        stopped=~off & (waited >= patience),
    )


def chosen(condition: Array, here: Tree, there: Tree) -> Tree:
    """Returns one of two trees of the same shapes; the condition is () bool."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), here, there)
