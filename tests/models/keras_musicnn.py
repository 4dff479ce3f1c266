"""musicnn's network in Keras, as an independent source: layer by layer, with the same arrays."""

import jax
import keras
import numpy as np
from flax import traverse_util
from keras import layers, ops

from gtzan_jax.models.musicnn import Musicnn, variables

LAYERS = (
    *("conv2d" + f"_{n}" * bool(n) for n in range(8)),
    *("batch_normalization" + f"_{n}" * bool(n) for n in range(11)),
    *("dense", "dense_1"),
)


def keras_model(weights):
    """Returns a model from (187, 96) to each layer's output by its name, before any rectifier."""
    made = {}

    def apply(layer, x, *names):
        y = layer(x)
        layer.set_weights([weights[f"{layer.name}/{name}"] for name in names])
        made[layer.name] = y
        return y

    def norm(number, x):
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        layer = layers.BatchNormalization(epsilon=1e-3, name=name)
        return apply(layer, x, "gamma", "beta", "moving_mean", "moving_variance")

    def block(number, x):
        name = f"conv2d_{number}" if number else "conv2d"
        height, width, _, filters = weights[f"{name}/kernel"].shape
        if height == 7:
            x = layers.ZeroPadding2D((3, 0))(x)
        layer = layers.Conv2D(
            filters, (height, width), padding="valid" if height == 7 else "same", name=name
        )
        return norm(number + 1, ops.relu(apply(layer, x, "kernel", "bias")))

    inputs = keras.Input((187, 96))
    x = norm(0, ops.expand_dims(inputs, -1))
    front = ops.concatenate([ops.max(block(number, x), axis=2) for number in range(5)], axis=-1)
    every, last = [front], front
    for number in (5, 6, 7):
        new = block(number, ops.expand_dims(last, -1))[:, :, 0]
        last = new if number == 5 else new + last
        every.append(last)
    together = ops.concatenate(every, axis=-1)
    pooled = ops.stack([ops.max(together, axis=1), ops.mean(together, axis=1)], axis=-1)
    x = norm(9, ops.reshape(pooled, (-1, 2 * together.shape[-1])))
    x = ops.relu(apply(layers.Dense(200, name="dense"), x, "kernel", "bias"))
    apply(layers.Dense(50, name="dense_1"), norm(10, x), "kernel", "bias")
    return keras.Model(inputs, made)


def differences(weights, mel):
    """Returns the largest difference of each layer, relative to the layer's largest output."""
    _, seen = Musicnn().apply(variables(weights), mel, capture_intermediates=True)
    ours = traverse_util.flatten_dict(seen["intermediates"])
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        theirs = keras_model(weights).predict(mel, verbose=0)
    found = {}
    for name in LAYERS:
        expected = np.asarray(theirs[name])
        (output,) = ours[name, "__call__"]
        assert output.shape == expected.shape, name
        found[name] = float(np.abs(output - expected).max() / np.abs(expected).max())
    return found
