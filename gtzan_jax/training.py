"""One training run, as a pure function: ``make_train(static) -> train(hparams, seed, data)``.

Nothing here knows of batches of members, devices or files: :mod:`gtzan_jax.engine` batches.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from gtzan_jax.model import (
    MLP,
    Array,
    Params,
    apply_model,
    dropout_factors,
    initial_limits,
    initial_params,
    noise_bits,
)
from gtzan_jax.optimizers import Coefficients, OptimizerState, coefficients, optimizer
from gtzan_jax.space import Config, Sweep

# What the columns of a history are.
METRICS = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")

# Purposes of random numbers, with room for the number of an epoch. Keys are made from names
# (seed, purpose, epoch; then layer, row, block), never from a member's place in a batch:
# members that share a seed share their random numbers.
_WEIGHTS, _ORDER, _DROPOUT = 0 << 24, 1 << 24, 2 << 24


class HParams(NamedTuple):
    """The hyperparameters that are numbers to the compiled program."""

    limits: Array  # (layers,) float32, bounds of the initial weights
    dropout: Array  # (hidden layers,) float32 rates
    slope: Array  # () float32, of leaky ReLU; 0 is ReLU
    optimizer: Coefficients


class Data(NamedTuple):
    """The arrays of a dataset."""

    x_train: Array  # (train, features) float32, standardised
    y_train: Array  # (train,) int32
    x_test: Array  # (test, features) float32, standardised
    y_test: Array  # (test,) int32


def hparams_of(config: Config, sweep: Sweep, num_features: int, num_classes: int) -> HParams:
    """Returns the numbers that stand for a config in the compiled program."""
    slope = sweep.leaky_slope if config.activation == "leaky_relu" else 0.0
    return HParams(
        limits=np.asarray(initial_limits(config, num_features, num_classes), np.float32),
        dropout=np.asarray(config.dropout, np.float32),
        slope=np.float32(slope),
        optimizer=coefficients(config.optimizer, sweep.learning_rates[config.optimizer]),
    )


def losses(logits: jax.Array, labels: jax.Array, loss: str) -> jax.Array:
    """Returns the loss of every row.

    ``cross_entropy`` is -log softmax(logits)[label]. ``softmax_twice`` takes the softmax of
    the logits for logits once more, which a softmax layer followed by a loss that expects
    logits amounts to; with ten classes it cannot fall below log(1 + 9/e) = 1.461.

    Args:
      logits: (batch, classes) float32.
      labels: (batch,) int32.
      loss: a name from ``space.LOSSES``.

    Returns:
      (batch,) float32.
    """
    if loss == "softmax_twice":
        logits = jax.nn.softmax(logits)
    return jnp.asarray(optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels))


def make_train(
    shape: tuple[int, ...], num_classes: int, epochs: int, batch_size: int, loss: str
) -> Callable[[HParams, jax.Array, Data], tuple[Params, jax.Array]]:
    """Makes the function that trains one member.

    Args:
      shape: units of the hidden layers.
      num_classes: units of the output layer.
      epochs: passes over the train part.
      batch_size: rows of a batch; the last, partial batch is kept, as Keras keeps it.
      loss: a name from ``space.LOSSES``.

    Returns:
      ``train(hparams, seed, data) -> (params, history)``, pure, with ``seed`` () uint32 and
      ``history`` (epochs, 4) float32 in the order of ``METRICS``. Train figures are Keras's:
      averaged over the batches of the epoch while the weights change, dropout on. Test
      figures are taken at the end of the epoch, dropout off.
    """
    model = MLP(shape, num_classes)

    def train(hparams: HParams, seed: jax.Array, data: Data) -> tuple[Params, jax.Array]:
        rule = optimizer(hparams.optimizer)
        num_rows, num_features = data.x_train.shape
        steps = -(-num_rows // batch_size)

        def score(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
            right = jnp.argmax(logits, axis=-1).astype(labels.dtype) == labels
            return losses(logits, labels, loss), right.astype(jnp.float32)

        def step(
            carry: tuple[Params, OptimizerState, jax.Array],
            batch: tuple[jax.Array, jax.Array, list[jax.Array]],
        ) -> tuple[tuple[Params, optax.OptState, jax.Array], None]:
            params, state, totals = carry
            rows, weight, bits = batch
            x, labels = jnp.asarray(data.x_train)[rows], jnp.asarray(data.y_train)[rows]
            rates = jnp.unstack(jnp.asarray(hparams.dropout))
            keep = [dropout_factors(b, rate) for b, rate in zip(bits, rates, strict=True)]

            def mean_loss(params: Params) -> tuple[jax.Array, jax.Array]:
                loss_rows, right = score(apply_model(model, params, x, hparams.slope, keep), labels)
                sums = jnp.stack([jnp.sum(loss_rows * weight), jnp.sum(right * weight)])
                return sums[0] / jnp.sum(weight), sums

            grads, sums = jax.grad(mean_loss, has_aux=True)(params)
            updates, new_state = rule.update(grads, state)
            return (optax.apply_updates(params, updates), new_state, totals + sums), None

        def epoch(
            carry: tuple[Params, OptimizerState], keys: tuple[jax.Array, jax.Array]
        ) -> tuple[tuple[Params, OptimizerState], jax.Array]:
            order_key, noise_key = keys
            rows, weight = _batches(order_key, num_rows, steps, batch_size)
            bits = noise_bits(noise_key, shape, (steps, batch_size))
            totals = jnp.zeros((2,), jnp.float32)
            (params, state, totals), _ = lax.scan(step, (*carry, totals), (rows, weight, bits))
            test = score(
                apply_model(model, params, jnp.asarray(data.x_test), hparams.slope),
                jnp.asarray(data.y_test),
            )
            figures = [totals / num_rows, jnp.stack([jnp.mean(test[0]), jnp.mean(test[1])])]
            return (params, state), jnp.concatenate(figures)

        sizes = (num_features, *shape, num_classes)
        names = jnp.arange(epochs, dtype=jnp.uint32)
        named = jnp.concatenate(
            [jnp.array([_WEIGHTS], jnp.uint32), _ORDER + names, _DROPOUT + names]
        )
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(seed), named)
        params = initial_params(keys[0], sizes, jnp.asarray(hparams.limits))
        epoch_keys = (keys[1 : epochs + 1], keys[epochs + 1 :])
        (params, _), history = lax.scan(epoch, (params, rule.init(params)), epoch_keys)
        return params, history

    return train


def _batches(
    key: jax.Array, num_rows: int, steps: int, batch_size: int
) -> tuple[jax.Array, jax.Array]:
    """Shuffles the train rows into batches.

    Returns:
      rows (steps, batch) int32 and their weights (steps, batch) float32, which are 0 for
      the places of the last batch that no row fills.
    """
    order = jax.random.permutation(key, num_rows)
    missing = steps * batch_size - num_rows
    rows = jnp.pad(order, (0, missing)).reshape(steps, batch_size)
    weight = (jnp.arange(steps * batch_size) < num_rows).astype(jnp.float32)
    return rows, weight.reshape(steps, batch_size)
