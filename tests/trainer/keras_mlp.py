"""The training of one network in Keras, batch by batch, from known weights in a known order."""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from gtzan_jax.models.mlp import layer_names
from gtzan_jax.space.config import Config
from gtzan_jax.tables.folds import FoldArrays

CLASSES = 4


def keras_history(
    keras: object,
    config: Config,
    params: dict[str, dict[str, np.ndarray]],
    order: np.ndarray,
    fold: FoldArrays,
    *,
    batch_size: int = 32,
    loss: str = "cross_entropy",
    noise: np.ndarray | None = None,
    shares: np.ndarray | None = None,
) -> np.ndarray:
    """Trains without dropout, on the fold's rows only.

    Args:
      keras: the module.
      config: whose activation and optimizer are names that Keras knows.
      params: the initial parameters.
      order: (epochs, rows) indices into the train arrays, for every epoch all of the fold's.
      fold: the arrays; rows of weight 0 are cut off.
      batch_size: the last batch of an epoch may be smaller.
      loss: a name from ``metrics.LOSSES``.
      noise: (epochs, rows, features), added to the features times the config's ``input_noise``.
      shares: (epochs, steps) of mixup.

    Returns:
      (epochs, metrics), 0 for parts without rows.
    """
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        model = _model(keras, config, fold, loss)
        names = layer_names(len(config.units))
        model.set_weights([np.asarray(params[n][p]) for n in names for p in ("kernel", "bias")])
        history = []
        for epoch, rows in enumerate(order):
            assert sorted(rows) == list(np.flatnonzero(fold.train_weight))
            x, wanted = fold.x_train[rows], np.eye(CLASSES, dtype=np.float32)[fold.y_train[rows]]
            added = np.zeros_like(x) if noise is None else config["input_noise"] * noise[epoch]
            trained = np.zeros(2)
            for step, first in enumerate(range(0, len(rows), batch_size)):
                batch = slice(first, first + batch_size)
                share = 1.0 if shares is None else shares[epoch, step]
                mixed, targets = (
                    share * rows + (1 - share) * np.roll(rows, -1, axis=0)
                    for rows in (x[batch], wanted[batch])
                )
                mixed = (mixed + added[batch]).astype(np.float32)
                trained += _figures(keras, model, mixed, targets) * len(mixed) / len(rows)
                model.train_on_batch(mixed, targets)
            history.append([*trained, *_evaluated(keras, model, fold)])
        return np.array(history)


def _model(keras, config, fold, loss):
    def dense(units: int, activation: str | None):
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_regularizer=keras.regularizers.L2(config.setting("l2")),
            kernel_constraint=_constraint(keras, config),
        )

    # The string, and with it Keras's slope, is what a sweep's activation means.
    layers = [keras.Input((fold.x_train.shape[1],))]
    layers += [dense(units, config.setting("activation")) for units in config.units]
    layers.append(dense(CLASSES, None))
    if loss == "softmax_twice":
        layers.append(keras.layers.Softmax())
    model = keras.Sequential(layers)
    names = ("learning_rate", "momentum", "nesterov", "weight_decay")
    chosen = {name: config[name] for name in names if name in config}
    optimizer = {"class_name": config.setting("optimizer"), "config": chosen}
    cross_entropy = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=config.setting("label_smoothing")
    )
    model.compile(keras.optimizers.get(optimizer), cross_entropy, run_eagerly=True)
    return model


def _constraint(keras, config: Config) -> Callable | None:
    limit, norm = config.setting("weight_limit"), config.setting("max_norm")

    def constraint(kernel):
        kernel = keras.ops.clip(kernel, -limit, limit) if limit else kernel
        return keras.constraints.MaxNorm(norm, axis=0)(kernel) if norm else kernel

    return constraint if limit or norm else None


def _figures(keras, model, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns mean loss and accuracy; a row is a hit of the share that its class has."""
    logits = model(x)
    losses = keras.losses.categorical_crossentropy(targets, logits, from_logits=True)
    hits = np.take_along_axis(targets, np.argmax(logits, axis=1)[:, None], axis=1)
    return np.array([np.mean(losses), np.mean(hits)])


def _evaluated(keras, model, fold: FoldArrays) -> Sequence[float]:
    figures: list[float] = []
    for weight in (fold.validation_weight, fold.test_weight):
        part = weight > 0
        targets = np.eye(CLASSES, dtype=np.float32)[fold.y_eval[part]]
        figures += [*_figures(keras, model, fold.x_eval[part], targets)] if part.any() else [0, 0]
    return [*figures, 0.0, 0.0]  # no segments
