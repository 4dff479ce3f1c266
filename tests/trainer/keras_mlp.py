"""The training of one network in Keras, batch by batch, from known weights in a known order."""

from collections.abc import Sequence

import jax
import numpy as np

from gtzan_jax.models.mlp import layer_names
from gtzan_jax.space.config import Config
from gtzan_jax.tables.folds import FoldArrays


def keras_history(
    keras: object,
    config: Config,
    params: dict[str, dict[str, np.ndarray]],
    order: np.ndarray,
    fold: FoldArrays,
    *,
    batch_size: int = 32,
    loss: str = "cross_entropy",
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

    Returns:
      (epochs, metrics), 0 for parts without rows.
    """
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        model = _model(keras, config, fold, loss)
        names = layer_names(len(config.units))
        model.set_weights([np.asarray(params[n][p]) for n in names for p in ("kernel", "bias")])
        return np.array([_epoch(model, rows, fold, batch_size) for rows in order])


def _model(keras, config, fold, loss):
    # The string, and with it Keras's slope, is what a sweep's activation means.
    layers = [keras.Input((fold.x_train.shape[1],))]
    layers += [keras.layers.Dense(u, activation=config["activation"]) for u in config.units]
    layers.append(keras.layers.Dense(4))
    if loss == "softmax_twice":
        layers.append(keras.layers.Softmax())
    model = keras.Sequential(layers)
    optimizer = keras.optimizers.get(config["optimizer"])
    if "learning_rate" in config:
        optimizer.learning_rate = config["learning_rate"]
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=cross_entropy, metrics=["accuracy"], run_eagerly=True)
    return model


def _epoch(model, rows: Sequence[int], fold: FoldArrays, batch_size: int) -> list[float]:
    count = int(fold.train_weight.sum())
    assert sorted(rows) == list(np.flatnonzero(fold.train_weight))
    trained = np.zeros(2)
    for first in range(0, count, batch_size):
        batch = rows[first : first + batch_size]
        figures = model.train_on_batch(fold.x_train[batch], fold.y_train[batch])
        trained += np.array(figures) * len(batch) / count
    history = [*trained]
    for weight in (fold.validation_weight, fold.test_weight):
        part = weight > 0
        figures = [0.0, 0.0]
        if part.any():
            figures = model.test_on_batch(fold.x_eval[part], fold.y_eval[part])
        history += figures
    return [*history, 0.0, 0.0]  # no chunks
