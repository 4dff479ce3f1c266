"""The networks of the families in Flax, for one trial.

Convolutions are matrix products: those of XLA are many times slower on a CPU.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from gtzan_jax.models.layers import Activation, Array, Tree
from gtzan_jax.space.hyperparameters import CHANNELS

_EPSILON = 1e-3  # keras.layers.GroupNormalization's


class Augmentation(NamedTuple):
    """Limits of the augmentation of train spectrograms; None if no config of the sweep has it.

    A circular shift in time, then one mask of bands and one of frames (SpecAugment, Park et al.
    2019). Widths are uniform from 0 to the limit, shifts within ± limit. Masks are 0, the mean.
    """

    frequency_mask: Array | None = None  # () int32 bands
    time_mask: Array | None = None  # () int32 frames
    time_shift: Array | None = None  # () int32 frames


class MLP(nn.Module):
    """Dense layers with an activation and dropout between them."""

    widths: Sequence[int]  # units of each hidden layer
    num_classes: int

    @nn.compact
    def __call__(
        self, x: jax.Array, activation: Activation, factors: Sequence[jax.Array] | None = None
    ) -> jax.Array:
        """Returns (batch, classes); factors of dropout are (batch, width) for each hidden layer."""
        for layer, width in enumerate(self.widths):
            x = activation(nn.Dense(width, name=f"hidden{layer + 1}")(x))
            if factors is not None:
                x = x * factors[layer]
        return nn.Dense(self.num_classes, name="logits")(x)


class CNN(nn.Module):
    """Blocks, the mean over time and frequency, and a dense layer."""

    widths: Sequence[int]  # filters of each block
    kernel: int  # side of the kernel
    num_classes: int

    @nn.compact
    def __call__(
        self, x: jax.Array, activation: Activation, factors: Sequence[jax.Array] | None = None
    ) -> jax.Array:
        """Returns (batch, classes) logits of (batch, bands, frames, 1) float32; see MLP."""
        side = (self.kernel, self.kernel)
        for block, width in enumerate(self.widths):
            number = block + 1
            x = nn.Conv(width, side, conv_general_dilated=convolve, name=f"conv{number}")(x)
            x = nn.GroupNorm(
                num_groups=None,
                group_size=CHANNELS,
                epsilon=_EPSILON,
                use_fast_variance=False,
                name=f"norm{number}",
            )(x)
            x = pooled(activation(x))
            if factors is not None:
                x = x * factors[block][:, None, None]
        return nn.Dense(self.num_classes, name="logits")(x.mean((1, 2)))


def convolve(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """Convolves (batch, height, width, channels) with stride 1, padded with zeros.

    The kernel is (side, side, channels in, channels out), with an odd side. Flax passes stride and
    padding as further arguments.
    """
    side, (height, width) = kernel.shape[0], x.shape[1:3]
    edge = side // 2
    padded = jnp.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    columns = jnp.concatenate(
        [
            padded[:, row : row + height, column : column + width]
            for row in range(side)
            for column in range(side)
        ],
        axis=-1,
    )
    return columns @ kernel.reshape(-1, kernel.shape[-1])


def pooled(x: jax.Array) -> jax.Array:
    """Returns maxima of 2 × 2 points of (batch, height, width, channels); drops odd ends."""
    batch, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))


def cnn(
    params: Tree,
    activation: Activation,
    x: jax.Array,
    factors: Sequence[jax.Array] | None = None,
) -> jax.Array:
    """Returns (rows, classes) logits of a CNN for (rows, bands, frames)."""
    kernels = [params[f"conv{block}"]["kernel"] for block in range(1, len(params) // 2 + 1)]
    widths = tuple(kernel.shape[-1] for kernel in kernels)
    model = CNN(widths, kernels[0].shape[0], params["logits"]["bias"].shape[0])
    x = x.astype(jnp.float32)[..., None]
    return jnp.asarray(model.apply({"params": params}, x, activation, factors))


def by_blocks(network: Callable[[jax.Array], Any], x: jax.Array, most: int) -> jax.Array:
    """Applies a network to at most ``most`` rows at a time, to save memory."""
    if len(x) <= most:
        return jnp.asarray(network(x))
    padded = jnp.pad(x, ((0, -len(x) % most), *[(0, 0)] * (x.ndim - 1)))
    logits = lax.map(network, padded.reshape(-1, most, *x.shape[1:]))
    return jnp.asarray(logits.reshape(-1, logits.shape[-1])[: len(x)])


def augmented(x: jax.Array, augmentation: Augmentation, bits: Array) -> jax.Array:
    """Shifts and masks spectrograms (batch, bands, frames).

    Bits are (batch, 5) uint16: for the shift, then for width and start of each mask.
    """
    x, uniform = x.astype(jnp.float32), jnp.asarray(bits).astype(jnp.float32) / 65536.0
    if augmentation.time_shift is not None:
        most = jnp.asarray(augmentation.time_shift)
        shift = _whole(uniform[:, 0], 2 * most + 1) - most
        frames = (jnp.arange(x.shape[2])[None] - shift[:, None]) % x.shape[2]
        x = jnp.take_along_axis(x, frames[:, None], axis=2)
    masks = ((augmentation.frequency_mask, 1), (augmentation.time_mask, 2))
    for (widest, axis), drawn in zip(masks, (uniform[:, 1:3], uniform[:, 3:5]), strict=True):
        if widest is not None:
            size = x.shape[axis]
            width = _whole(drawn[:, 0], jnp.asarray(widest) + 1)
            start = _whole(drawn[:, 1], size - width + 1)
            place = jnp.arange(size)[None] - start[:, None]
            masked = (place >= 0) & (place < width[:, None])
            x = jnp.where(masked[:, :, None] if axis == 1 else masked[:, None], 0.0, x)
    return x


def _whole(uniform: jax.Array, count: jax.Array) -> jax.Array:
    """Returns integers from 0 to ``count`` - 1, for numbers in [0, 1)."""
    return jnp.floor(uniform * jnp.asarray(count, jnp.float32)).astype(jnp.int32)
