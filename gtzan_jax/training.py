"""One training run, in pure functions: draw random numbers, start a member, train it.

Nothing here knows of batches of members, devices or files: :mod:`gtzan_jax.engine` batches.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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
    initial_kernels,
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
    units: Array  # (hidden layers,) int32, without padding
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
        units=np.asarray(config.shape, np.int32),
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
    # Not the variant for integer labels: its gradient scatters, row after row on a CPU.
    wanted = jax.nn.one_hot(labels, logits.shape[-1])
    return jnp.asarray(optax.losses.softmax_cross_entropy(logits, wanted))


class State(NamedTuple):
    """What a member carries from epoch to epoch."""

    params: Params
    optimizer: OptimizerState


class Draws(NamedTuple):
    """The random numbers of some epochs, the same for all members that share a seed."""

    rows: Array  # (epochs, steps, batch) int32, shuffled rows of the train part
    bits: Sequence[Array]  # for each hidden layer (epochs, steps, batch, width) uint16


def draw_kernels(seed: Array, sizes: Sequence[int]) -> list[jax.Array]:
    """Draws a seed's initial kernels; see ``model.initial_kernels``.

    Args:
      seed: () uint32.
      sizes: features, units of each hidden layer, classes.
    """
    return initial_kernels(jax.random.fold_in(jax.random.key(seed), _WEIGHTS), sizes)


def draw_epochs(
    seed: Array, first: Array, epochs: int, widths: Sequence[int], num_rows: int, batch_size: int
) -> Draws:
    """Draws the batches and the dropout noise of some epochs.

    Args:
      seed: () uint32.
      first: () uint32, the first of the epochs, from 0.
      epochs: how many.
      widths: units of each hidden layer, for which there is to be noise.
      num_rows: rows of the train part.
      batch_size: rows of a batch; the last one may be partial, and is filled up with row 0.
    """
    steps = -(-num_rows // batch_size)
    missing = steps * batch_size - num_rows

    def draw_epoch(name: jax.Array) -> Draws:
        root = jax.random.key(seed)
        order = jax.random.permutation(jax.random.fold_in(root, _ORDER + name), num_rows)
        rows = jnp.pad(order, (0, missing)).reshape(steps, batch_size)
        bits = noise_bits(jax.random.fold_in(root, _DROPOUT + name), widths, (steps, batch_size))
        return Draws(rows, bits)

    return jax.vmap(draw_epoch)(jnp.asarray(first) + jnp.arange(epochs, dtype=jnp.uint32))


def start(hparams: HParams, kernels: Sequence[jax.Array], widths: Sequence[int]) -> State:
    """Returns a member before its first epoch.

    Args:
      hparams: the member's.
      kernels: from :func:`draw_kernels`, at least as wide as ``widths``.
      widths: units of each hidden layer, padding included.
    """
    limits, units = jnp.asarray(hparams.limits), jnp.asarray(hparams.units)
    params = initial_params(kernels, limits, units, widths)
    return State(params, optimizer(hparams.optimizer).init(params))


def make_train(
    widths: Sequence[int], num_classes: int, loss: str
) -> Callable[[HParams, State, Draws, jax.Array, Data], tuple[State, jax.Array]]:
    """Makes the function that trains one member for some epochs.

    Args:
      widths: units of the hidden layers, padding included.
      num_classes: units of the output layer.
      loss: a name from ``space.LOSSES``.

    Returns:
      ``train(hparams, state, draws, epochs, data) -> (state, history)``, pure. Of the epochs
      that there are draws for, the first ``epochs`` () int32 are trained. ``history`` (drawn
      epochs, 4) float32 is in the order of ``METRICS`` and 0 for epochs that are not trained.
      Train figures are Keras's: averaged over the batches of the epoch while the weights
      change, dropout on. Test figures are taken at the end of the epoch, dropout off. The last,
      partial batch of an epoch is kept, as Keras keeps it.
    """
    model = MLP(widths, num_classes)

    def train(
        hparams: HParams, state: State, draws: Draws, epochs: jax.Array, data: Data
    ) -> tuple[State, jax.Array]:
        rule = optimizer(hparams.optimizer)
        rates = jnp.unstack(jnp.asarray(hparams.dropout))
        num_rows = data.y_train.shape[0]
        drawn, steps, batch_size = draws.rows.shape
        weights = (np.arange(steps * batch_size) < num_rows).astype(np.float32)

        def score(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
            right = jnp.argmax(logits, axis=-1).astype(labels.dtype) == labels
            return losses(logits, labels, loss), right.astype(jnp.float32)

        def step(
            carry: tuple[State, jax.Array], batch: tuple[jax.Array, jax.Array, jax.Array, Any]
        ) -> tuple[tuple[State, jax.Array], None]:
            (params, moments), totals = carry
            x, labels, weight, bits = batch
            keep = [
                dropout_factors(b[:, :width], rate)
                for b, width, rate in zip(bits, widths, rates, strict=True)
            ]

            def mean_loss(params: Params) -> tuple[jax.Array, jax.Array]:
                loss_rows, right = score(apply_model(model, params, x, hparams.slope, keep), labels)
                sums = jnp.stack([jnp.sum(loss_rows * weight), jnp.sum(right * weight)])
                return sums[0] / jnp.sum(weight), sums

            grads, sums = jax.grad(mean_loss, has_aux=True)(params)
            updates, moments = rule.update(grads, moments)
            return (State(optax.apply_updates(params, updates), moments), totals + sums), None

        def epoch(index: jax.Array, carry: tuple[State, jax.Array]) -> tuple[State, jax.Array]:
            state, history = carry
            rows = jnp.asarray(draws.rows)[index]
            batches = (
                jnp.asarray(data.x_train)[rows],
                jnp.asarray(data.y_train)[rows],
                jnp.asarray(weights.reshape(steps, batch_size)),
                [jnp.asarray(bits)[index] for bits in draws.bits],
            )
            totals = jnp.zeros((2,), jnp.float32)
            (state, totals), _ = lax.scan(step, (state, totals), batches)
            logits = apply_model(model, state.params, jnp.asarray(data.x_test), hparams.slope)
            test = [jnp.mean(figure) for figure in score(logits, jnp.asarray(data.y_test))]
            figures = jnp.concatenate([totals / num_rows, jnp.stack(test)])
            return state, history.at[index].set(figures)

        history = jnp.zeros((drawn, len(METRICS)), jnp.float32)
        state, history = lax.fori_loop(0, epochs, epoch, (state, history))
        return state, history

    return train
