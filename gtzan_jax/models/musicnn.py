"""The network of musicnn in Flax: tags and units of windows of sound, with published weights.

Pons et al., "End-to-end learning for music audio tagging at scale", ISMIR 2018.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from numpy.typing import NDArray

from gtzan_jax.models import jax_settings
from gtzan_jax.sound.musicnn import AT_ONCE
from gtzan_jax.sound.musicnn_weights import layer_name

_BATCH = 10  # windows at a time on a CPU, thirty seconds of sound; more are no faster
_OVER_TIME = ((3, 3), (0, 0))  # padding of time only
_OURS = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}


class Musicnn(nn.Module):
    """Maps windows (windows, 187 frames, 96 bands) to (windows, 50 tags) and (windows, 200 units).

    Layers have the names of the checkpoint.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the probabilities of tags, and the units of the layer before."""

        def block(
            x: jax.Array, number: int, kernel: tuple[int, int], filters: int, padding: Any
        ) -> jax.Array:
            name = layer_name("conv2d", number)
            convolution = nn.Conv(filters, kernel, padding=padding, name=name)
            made: jax.Array = _norm(number + 1)(nn.relu(convolution(x)))
            return made

        x = _norm(0)(x[..., None])
        timbre = [block(x, i, (7, width), 204, _OVER_TIME) for i, width in enumerate((38, 67))]
        rhythm = [block(x, i, (time, 1), 51, "SAME") for i, time in enumerate((128, 64, 32), 2)]
        front = jnp.concatenate([part.max(axis=2) for part in (*timbre, *rhythm)], axis=-1)
        first = block(front[..., None], 5, (7, 561), 64, _OVER_TIME)[:, :, 0]
        second = block(first[..., None], 6, (7, 64), 64, _OVER_TIME)[:, :, 0] + first
        third = block(second[..., None], 7, (7, 64), 64, _OVER_TIME)[:, :, 0] + second
        every = jnp.concatenate([front, first, second, third], axis=-1)
        pooled = jnp.stack([every.max(axis=1), every.mean(axis=1)], axis=-1)
        units = nn.Dense(200, name="dense")(_norm(9)(pooled.reshape(len(x), -1)))
        units = _norm(10)(nn.relu(units))
        return nn.sigmoid(nn.Dense(50, name="dense_1")(units)), units


def _norm(number: int) -> nn.BatchNorm:
    name = layer_name("batch_normalization", number)
    return nn.BatchNorm(use_running_average=True, epsilon=1e-3, name=name)


def variables(weights: Mapping[str, np.ndarray]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Returns the variables of Flax for the arrays of the checkpoint."""
    made: dict[str, dict[str, dict[str, np.ndarray]]] = {"params": {}, "batch_stats": {}}
    for name, array in weights.items():
        layer, _, part = name.partition("/")
        kind = "batch_stats" if part.startswith("moving_") else "params"
        made[kind].setdefault(layer, {})[_OURS.get(part, part)] = array
    return made


def outputs(weights: Mapping[str, np.ndarray], mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns (windows, 250), tags and units, of log-mel windows (windows, 187, 96)."""
    with jax_settings.pinned(), jax.default_matmul_precision("float32"):
        size = _BATCH if jax.default_backend() == "cpu" else AT_ONCE
        on_device = jax.device_put(variables(weights))
        made = []
        for start in range(0, len(mel), size):
            batch = mel[start : start + size]
            filled = np.concatenate([batch, np.zeros((size - len(batch), *mel.shape[1:]), "f4")])
            made.append(np.asarray(_outputs(on_device, filled))[: len(batch)])
    return np.concatenate(made)


@jax.jit
def _outputs(variables: dict[str, dict[str, dict[str, jax.Array]]], mel: jax.Array) -> jax.Array:
    made: Any = Musicnn().apply(variables, mel)
    return jnp.concatenate(made, axis=1)
