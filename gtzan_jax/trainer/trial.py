"""The training of one trial: pure functions without a trial axis, files or devices.

The caller batches trials with ``vmap``: see :mod:`gtzan_jax.trainer.programs`.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.custom_batching import custom_vmap

from gtzan_jax.metrics import METRICS
from gtzan_jax.models.family import Family, Structure
from gtzan_jax.models.layers import Array, Tree
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import FoldArrays, Sizes
from gtzan_jax.trainer import regularisers
from gtzan_jax.trainer.draws import Draws
from gtzan_jax.trainer.optimizers import Coefficients, OptimizerState, coefficients, optimizer
from gtzan_jax.trainer.regularisers import Regularisers
from gtzan_jax.trainer.stopping import Stopping, after_epoch, begin, chosen

_VALIDATION_LOSS = METRICS.index("validation_loss")


@dataclass(frozen=True)
class Static:
    """Compile-time constants of a trial's training, besides array sizes."""

    family: Family
    structure: Structure  # padding included
    batch_size: int
    loss: str  # a name from metrics.LOSSES


class Hyperparameters(NamedTuple):
    """The traced hyperparameters. Programs do not compute parts that are None."""

    model: Tree  # of the family
    optimizer: Coefficients
    regularisers: Regularisers
    patience: Array | None  # () int32, see trainer.stopping; None if no config has it


class State(NamedTuple):
    """The state of a trial between epochs."""

    params: Tree
    optimizer: OptimizerState
    stopping: Stopping | None = None  # None without early stopping

    @property
    def kept(self) -> Tree:
        """The parameters of the best epoch with early stopping, else of the last."""
        return self.params if self.stopping is None else self.stopping.params


class Outcome(NamedTuple):
    """The result of training a trial for some epochs."""

    state: State
    history: jax.Array  # (drawn epochs, metrics) float32, 0 for untrained epochs
    predicted: jax.Array  # (num_judged,) uint8, classes predicted by the kept parameters
    logits: jax.Array  # (num_judged, classes) float32; or mean log-probabilities of songs


class _Trained(NamedTuple):
    """The carry of the loop over steps."""

    params: Tree
    optimizer: OptimizerState
    totals: jax.Array  # (2,) float32, loss and hits of the epoch so far


class Batch(NamedTuple):
    """The rows of one step. Rows of weight 0 pad the last batch."""

    rows: jax.Array  # (batch,) int32, of the train arrays
    y: jax.Array  # (batch,) int32
    weight: jax.Array  # (batch,) float32
    noise: Tree  # arrays (batch, …)
    inputs: jax.Array | None  # (batch, features) float32, normal
    mixup: jax.Array | None  # () float32, uniform


def hyperparameters(family: Family, config: Config, sweep: Sweep, sizes: Sizes) -> Hyperparameters:
    """Returns the traced hyperparameters of a config."""
    return Hyperparameters(
        family.traced(config, sizes, sweep.slope_of(config), sweep.parts),
        coefficients(
            config.setting("optimizer"),
            sweep.learning_rate_of(config),
            momentum=config.setting("momentum"),
            nesterov=config.setting("nesterov"),
            weight_decay=sweep.weight_decay_of(config),
            parts=sweep.parts,
        ),
        regularisers.regularisers(config, sweep.parts),
        np.int32(config.setting("patience")) if sweep.stops_early else None,
    )


def losses(logits: jax.Array, labels: jax.Array, loss: str) -> jax.Array:
    """Returns (batch,) float32 losses of logits (batch, classes) for labels (batch,) int32.

    ``cross_entropy`` is -log softmax(logits)[label]. ``softmax_twice``, a softmax layer before a
    loss of logits, is -log softmax(softmax(logits))[label], at least log(1 + 9/e) for ten classes.
    """
    # Not the variant for integer labels: its gradient scatters, row by row on a CPU.
    return _cross_entropy(logits, jax.nn.one_hot(labels, logits.shape[-1]), loss)


def _cross_entropy(logits: jax.Array, wanted: jax.Array, loss: str) -> jax.Array:
    if loss == "softmax_twice":
        logits = jax.nn.softmax(logits)
    return jnp.asarray(optax.losses.softmax_cross_entropy(logits, wanted))


def start(static: Static, hyper: Hyperparameters, drawn: Tree) -> State:
    """Returns the state before the first epoch, from numbers of ``draws.draw_initial``."""
    params = static.family.init(hyper.model, drawn, static.structure)
    stopping = None if hyper.patience is None else begin(params)
    return State(params, optimizer(hyper.optimizer).init(params), stopping)


def positions(num_train: int, batch_size: int) -> int:
    """Returns the number of rows in all batches of an epoch, padding included."""
    return -(-num_train // batch_size) * batch_size


def make_train(
    static: Static,
) -> Callable[[Hyperparameters, State, Draws, jax.Array, FoldArrays], Outcome]:
    """Returns ``train(hyper, state, draws, epochs, fold) -> Outcome``, pure.

    Trains the first ``epochs``, () int32, of the drawn epochs. Train metrics are those of Keras:
    means over the rows of the epoch while weights change, with dropout. The others are computed at
    the end of the epoch, without dropout; 0 for parts without rows. As in Keras, the last batch may
    be partial. A trial that has stopped early does not change.
    """

    def train(
        hyper: Hyperparameters, state: State, draws: Draws, epochs: jax.Array, fold: FoldArrays
    ) -> Outcome:
        def epoch(index: jax.Array, carry: Outcome) -> Outcome:
            drawn: Draws = jax.tree.map(lambda numbers: numbers[index], draws)
            state, totals = _train_epoch(static, hyper, carry.state, drawn, fold)
            figures, predicted, logits = _evaluate(static, hyper, state.params, fold)
            row, before = jnp.concatenate([totals, figures]), carry.state.stopping
            if hyper.patience is not None and before is not None:
                loss = row[_VALIDATION_LOSS]
                stopping = after_epoch(before, hyper.patience, loss, state.params)
                state = chosen(before.stopped, carry.state, state._replace(stopping=stopping))
                row = jnp.where(before.stopped, 0.0, row)
            return Outcome(state, carry.history.at[index].set(row), predicted, logits)

        history = jnp.zeros((draws.order.shape[0], len(METRICS)), jnp.float32)
        evaluated = jax.eval_shape(functools.partial(_evaluate, static), hyper, state.params, fold)
        blank = (jnp.zeros(each.shape, each.dtype) for each in evaluated[1:])
        begun = Outcome(state, history, *blank)
        outcome: Outcome = lax.fori_loop(0, epochs, epoch, begun)
        if outcome.state.stopping is not None:
            _, predicted, logits = _evaluate(static, hyper, outcome.state.kept, fold)
            outcome = outcome._replace(predicted=predicted, logits=logits)
        return outcome

    return train


def _train_epoch(
    static: Static, hyper: Hyperparameters, state: State, draws: Draws, fold: FoldArrays
) -> tuple[State, jax.Array]:
    """Trains one epoch with its draws; returns the state, and mean loss and accuracy, (2,)."""
    batches = _batches(static.batch_size, draws, fold)
    count = jnp.sum((fold.train_weight > 0).astype(jnp.int32))

    def step(index: jax.Array, carry: _Trained) -> _Trained:
        batch: Batch = jax.tree.map(lambda rows: rows[index], batches)
        return _step(static, hyper, fold.x_train[batch.rows], batch, carry)

    # Only batches that have rows in this fold: the same number for all trials of a task.
    steps = (count + static.batch_size - 1) // static.batch_size
    begun = _Trained(state.params, state.optimizer, jnp.zeros((2,), jnp.float32))
    trained: _Trained = lax.fori_loop(0, steps, step, begun)
    after = state._replace(params=trained.params, optimizer=trained.optimizer)
    return after, trained.totals / jnp.sum(fold.train_weight)


def _batches(batch_size: int, draws: Draws, fold: FoldArrays) -> Batch:
    num_train = fold.y_train.shape[0]
    filled = positions(num_train, batch_size)
    rows = jnp.pad(draws.order, (0, filled - num_train))
    weight = jnp.where(np.arange(filled) < num_train, fold.train_weight[rows], 0.0)
    batch = Batch(
        rows=rows,
        y=fold.y_train[rows],
        weight=weight,
        noise=jax.tree.map(lambda numbers: numbers[:filled], draws.noise),
        inputs=None if draws.inputs is None else jnp.asarray(draws.inputs)[:filled],
        mixup=None,
    )
    reshaped: Batch = jax.tree.map(lambda a: a.reshape(-1, batch_size, *a.shape[1:]), batch)
    mixup = None if draws.mixup is None else jnp.asarray(draws.mixup)[: filled // batch_size]
    return reshaped._replace(mixup=mixup)


def _step(
    static: Static, hyper: Hyperparameters, x: jax.Array, batch: Batch, before: _Trained
) -> _Trained:
    """Takes a step on a batch with inputs x, and adds its loss and hits to the totals."""
    r = hyper.regularisers
    x, score = _perturbed(x, batch, r, static.loss)
    x = _by_trial(x, before.totals)

    def mean_loss(params: Tree) -> tuple[jax.Array, jax.Array]:
        logits = static.family.apply(params, x, hyper.model, batch.noise)
        sums = jnp.sum(score(logits) * batch.weight[None], axis=1)
        loss = sums[0] / jnp.sum(batch.weight)
        if r.label_smoothing is not None:
            # The loss is linear in the labels: smoothing mixes it with that of uniform labels.
            even = _cross_entropy(logits, jnp.full_like(logits, 1 / logits.shape[-1]), static.loss)
            even_loss = jnp.sum(even * batch.weight) / jnp.sum(batch.weight)
            loss = loss + r.label_smoothing * (even_loss - loss)
        if r.l2 is not None:
            loss = loss + regularisers.penalty(params, r.l2)
        return loss, sums

    grads, sums = jax.grad(mean_loss, has_aux=True)(before.params)
    rule = optimizer(hyper.optimizer)
    updates, moments = rule.update(grads, before.optimizer, before.params)
    params = regularisers.constrained(optax.apply_updates(before.params, updates), r)
    return _Trained(params, moments, before.totals + sums)


@custom_vmap
def _by_trial(x: jax.Array, like: jax.Array) -> jax.Array:  # noqa: ARG001
    # Without this, rows shared by all trials give one large matrix product, which transposes the
    # first kernels of all trials, and their gradients, in each step.
    return x


@_by_trial.def_vmap
def _repeated(
    size: int, batched: tuple[bool, bool], x: jax.Array, _: jax.Array
) -> tuple[jax.Array, bool]:
    return x if batched[0] else jnp.broadcast_to(x, (size, *x.shape)), True


def _perturbed(
    x: jax.Array, batch: Batch, r: Regularisers, loss: str
) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
    """Applies mixup and noise; returns inputs, and a function of logits that returns (2, batch)."""

    def score(logits: jax.Array) -> jax.Array:
        own = _score(logits, batch.y, loss)
        return own if share is None else own + (1.0 - share) * (_score(logits, others, loss) - own)

    share = None
    if r.mixup is not None and batch.mixup is not None:
        share = regularisers.mixup_share(r.mixup, batch.mixup)
        others = regularisers.partners(batch.y, batch.weight)
        x = x.astype(jnp.float32)  # float16 spectrograms would lose digits or overflow
        x = x + (1.0 - share) * (regularisers.partners(x, batch.weight) - x)
    if r.input_noise is not None and batch.inputs is not None:
        x = x + r.input_noise * batch.inputs
    return x, score


def _evaluate(
    static: Static, hyper: Hyperparameters, params: Tree, fold: FoldArrays
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns metrics (6,), (num_judged,) uint8 classes and (num_judged, classes) logits.

    Metrics are loss and accuracy on the validation part, then on the test part, then the accuracies
    of their segments; 0 without rows or segments. Classes have the greatest logits or, for
    segments, the greatest mean log-probability over a song, which is returned as its logits.
    """
    logits = static.family.apply(params, fold.x_eval, hyper.model, None)
    score = _score(logits, fold.y_eval, static.loss)
    weights = jnp.stack([fold.validation_weight, fold.test_weight])
    means = _means(score, weights)  # (parts, loss and accuracy)
    if not fold.y_song.size:
        segments = jnp.zeros((2,), jnp.float32)
        return jnp.concatenate([means.reshape(-1), segments]), _classes(logits), logits
    counted = jnp.sum(weights, axis=0)[:, None]  # 0 for padding
    of_song = functools.partial(
        jax.ops.segment_sum, segment_ids=fold.song_eval, num_segments=fold.y_song.shape[0]
    )
    votes = of_song(jax.nn.log_softmax(logits) * counted)
    voted = _classes(votes)
    right = (voted == fold.y_song.astype(jnp.uint8)).astype(jnp.float32)
    by_song = jnp.stack([fold.validation_song_weight, fold.test_song_weight])
    songs = jnp.concatenate([means[:, :1], _means(right[None], by_song)], axis=1)
    segments = jnp.concatenate([songs.reshape(-1), means[:, 1]])
    return segments, voted, votes / jnp.maximum(of_song(counted), 1.0)


def _classes(scores: jax.Array) -> jax.Array:
    return jnp.argmax(scores, axis=-1).astype(jnp.uint8)


def _means(figures: jax.Array, weights: jax.Array) -> jax.Array:
    """Returns (parts, figures) means, 0 without rows. figures: (figures, rows), weights by part."""
    sums = jnp.sum(weights[:, None] * figures[None], axis=2)
    return sums / jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1.0)


def _score(logits: jax.Array, labels: jax.Array, loss: str) -> jax.Array:
    """Returns (2, batch): loss and correctness, 0 or 1, of each row."""
    right = jnp.argmax(logits, axis=-1).astype(labels.dtype) == labels
    return jnp.stack([losses(logits, labels, loss), right.astype(jnp.float32)])
