"""The convolutional network: blocks of convolution, normalisation, activation, pooling, dropout.

Everything here works on one member, as in :mod:`gtzan_jax.models.mlp`. The sides of kernels, the
number of blocks and the filters of a program are static; filters that pad a narrower network are 0
and stay 0, since the channels that are normalised together are all of the network, or all padding.

A convolution is a product of columns, the neighbourhoods of every point laid out in rows, with the
kernel as a matrix. XLA's own convolution is many times slower in the loops of a training on a CPU,
by itself as well as grouped, which ``vmap`` makes of it; docs/cnn.md has the measurements.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gtzan_jax.models.family import Array, Key, Tree
from gtzan_jax.models.layers import (
    BLOCK,
    NORMAL,
    Activation,
    Drawn,
    draw,
    draw_uniform,
    dropout_factors,
    initial_scale,
    noise_bits,
    truncated_normal,
)
from gtzan_jax.models.layout import CnnLayout, Structure
from gtzan_jax.space.axes import CHANNELS, MAX_BLOCKS
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import Sizes

_ROWS = 32  # that are evaluated at a time: the columns of all would not fit into memory

# Names of what is drawn besides the blocks' kernels and channels.
_LOGITS, _AUGMENT = MAX_BLOCKS, 255

_EPSILON = 1e-3  # keras.layers.GroupNormalization's


class Augmentation(NamedTuple):
    """What is done to spectrograms that are trained on, as far as a sweep has it.

    One mask of bands and one of frames (SpecAugment, Park et al. 2019), after a shift in time, in
    which what leaves at one end comes in at the other. Widths are uniform from 0 to the given, and
    shifts from minus the given to the given. Masks are 0, the train part's mean.
    """

    frequency_mask: Array | None = None  # () int32 bands
    time_mask: Array | None = None  # () int32 frames
    time_shift: Array | None = None  # () int32 frames


class Traced(NamedTuple):
    """The numbers that stand for a config in a program."""

    scales: Array  # (blocks + 1,) float32, of the initial weights
    filters: Array  # (blocks,) int32, without padding
    dropout: Array  # () float32, rate
    activation: Activation
    augmentation: Augmentation
    normal: Array | None = None  # () bool, whether convolutions start normal; None: none does


class Noise(NamedTuple):
    """An epoch's noise; see :meth:`CnnFamily.draw_noise`."""

    channels: Sequence[Drawn]  # of each block (positions, filters) uint16
    augment: Drawn  # (positions, 5) uint16


class CNN(nn.Module):
    """Blocks, the mean over what is left of time and frequency, and a dense layer; returns logits.

    Attributes:
      widths: filters of each block.
      kernel: side of the kernels.
      num_classes: units of the output layer.
    """

    widths: Sequence[int]
    kernel: int
    num_classes: int

    @nn.compact
    def __call__(
        self, x: jax.Array, activation: Activation, factors: Sequence[jax.Array] | None = None
    ) -> jax.Array:
        """Applies the network.

        Args:
          x: (batch, bands, frames, 1) float32.
          activation: of the blocks.
          factors: for each block (batch, filters), from ``layers.dropout_factors``; None at test
            time.

        Returns:
          (batch, classes) float32 logits.
        """
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
            x = _pooled(activation(x))
            if factors is not None:
                x = x * factors[block][:, None, None]
        return nn.Dense(self.num_classes, name="logits")(x.mean((1, 2)))


def convolve(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """Convolves with stride 1 and zeros around, as a product of matrices.

    Args:
      x: (batch, height, width, channels in).
      kernel: (side, side, channels in, channels out), the side odd.
      *_: what else Flax tells a convolution: that stride and padding.
      **__: likewise.

    Returns:
      (batch, height, width, channels out).
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


def _pooled(x: jax.Array) -> jax.Array:
    """Returns the largest of each 2 × 2 points of (batch, height, width, channels).

    The last of an odd number of rows or columns is left out.
    """
    batch, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))


@dataclass(frozen=True)
class CnnFamily(CnnLayout):
    """The CNN as a family."""

    def traced(self, config: Config, sweep: Sweep, sizes: Sizes) -> Traced:
        """Returns what the weights start from, filters, dropout, activation and augmentation."""
        name, initializer = config.setting("activation"), config.setting("initializer")
        augmentation = {
            axis: np.int32(config.setting(axis))
            for axis in Augmentation._fields
            if axis in sweep.parts
        }
        return Traced(
            scales=np.asarray(self._scales(config, sizes), np.float32),
            filters=np.asarray(self.structure(config)[1:], np.int32),
            dropout=np.float32(config.setting("dropout")),
            activation=Activation.of(name, sweep.slope_of(config), sweep.parts),
            augmentation=Augmentation(**augmentation),
            normal=np.asarray(initializer in NORMAL) if sweep.parts & NORMAL else None,
        )

    def _scales(self, config: Config, sizes: Sizes) -> list[float]:
        """Returns what the drawn kernels are scaled by; see ``layers.initial_scale``."""
        kernel, *widths = self.structure(config)
        name, area = config.setting("initializer"), kernel**2
        pairs = itertools.pairwise((1, *widths))
        blocks = [initial_scale(name, area * fan_in, area * width) for fan_in, width in pairs]
        return [*blocks, initial_scale("glorot_uniform", widths[-1], sizes.num_classes)]

    def draw_initial(self, key: Key, structure: Structure, sizes: Sizes) -> list[Drawn]:
        """Draws kernels in (-1, 1).

        A weight depends on its layer, its place from the kernel's middle, and the filters that it
        leads from and to: wider and larger kernels have narrower ones in their middles.

        Returns:
          for each block (side, side, filters in, filters out), then (filters, classes), float32.
        """
        side, *widths = structure
        shapes = [(side, *pair) for pair in itertools.pairwise((1, *widths))]
        shapes.append((1, max(widths), sizes.num_classes))
        layers = [*range(len(widths)), _LOGITS]
        kernels = [_draw_kernel(key, layer, *s) for layer, s in zip(layers, shapes, strict=True)]
        return [*kernels[:-1], kernels[-1][0, 0]]

    def draw_noise(self, key: Key, structure: Structure, positions: int) -> Noise:
        """Draws random bits for the channels of each block, and for augmentation."""
        augment = draw(key, [_AUGMENT << 16], (positions, 5), jnp.uint16)[0]
        return Noise(noise_bits(key, structure[1:], positions), augment)

    def init(self, traced: Traced, drawn: Sequence[jax.Array], structure: Structure) -> Tree:
        """Scales what was drawn; weights to and from filters of padding are 0."""
        side, *widths = structure
        blocks = len(widths)
        used = [np.arange(width) < jnp.asarray(traced.filters)[b] for b, width in enumerate(widths)]
        params: dict[str, dict[str, jax.Array]] = {}
        for block, (fan_in, width) in enumerate(itertools.pairwise((1, *widths))):
            edge = (drawn[block].shape[0] - side) // 2
            kernel = drawn[block][edge : edge + side, edge : edge + side, :fan_in, :width]
            if traced.normal is not None:
                kernel = jnp.where(traced.normal, truncated_normal(kernel), kernel)
            kernel = jnp.where(used[block], kernel * jnp.asarray(traced.scales)[block], 0.0)
            if block:
                kernel = jnp.where(used[block - 1][:, None], kernel, 0.0)
            zeros = jnp.zeros((width,), jnp.float32)
            params[f"conv{block + 1}"] = {"kernel": kernel, "bias": zeros}
            params[f"norm{block + 1}"] = {"scale": jnp.ones_like(zeros), "bias": zeros}
        kernel = drawn[-1][: widths[-1]] * jnp.asarray(traced.scales)[blocks]
        kernel = jnp.where(used[-1][:, None], kernel, 0.0)
        bias = jnp.zeros((kernel.shape[1],), jnp.float32)
        return params | {"logits": {"kernel": kernel, "bias": bias}}

    def apply(self, params: Tree, x: jax.Array, traced: Traced, noise: Noise | None) -> jax.Array:
        """Returns (batch, classes) logits of (batch, bands, frames) spectrograms of any type."""
        if noise is None:
            return self.logits(params, x, traced.activation)
        x = augmented(x.astype(jnp.float32), traced.augmentation, noise.augment)
        widths = [params[f"conv{block}"]["bias"].shape[0] for block in _blocks(params)]
        factors = [
            dropout_factors(jnp.asarray(bits)[:, :width], traced.dropout)
            for bits, width in zip(noise.channels, widths, strict=False)
        ]
        return self._network(params, traced.activation, x, factors)

    def logits(self, params: Tree, x: jax.Array, activation: Activation) -> jax.Array:
        """Returns (rows, classes) logits without dropout, some rows at a time."""
        return _by_blocks(functools.partial(self._network, params, activation), x)

    def _network(
        self,
        params: Tree,
        activation: Activation,
        x: jax.Array,
        factors: Sequence[jax.Array] | None = None,
    ) -> jax.Array:
        kernels = [params[f"conv{block}"]["kernel"] for block in _blocks(params)]
        widths = tuple(kernel.shape[-1] for kernel in kernels)
        model = CNN(widths, kernels[0].shape[0], params["logits"]["bias"].shape[0])
        x = x.astype(jnp.float32)[..., None]
        return jnp.asarray(model.apply({"params": params}, x, activation, factors))

    def kept(self, params: Tree, config: Config) -> dict[str, np.ndarray]:
        """Returns the parameters of ``CnnLayout.shapes``."""
        classes = params["logits"]["bias"].shape[0]
        kept = {}
        for name, shape in self.shapes(config, 0, classes).items():
            layer, part = name.split(".")
            kept[name] = np.asarray(params[layer][part])[tuple(slice(size) for size in shape)]
        return kept


def _blocks(params: Tree) -> range:
    """Returns the numbers of the blocks, from 1; each has two layers, and then there is one."""
    return range(1, len(params) // 2 + 1)


def _draw_kernel(key: Key, layer: int, side: int, fan_in: int, fan_out: int) -> Drawn:
    """Returns (side, side, fan_in, fan_out) numbers in (-1, 1), named from the middle."""
    blocks, middle = -(-fan_out // BLOCK), side // 2
    places = range(-middle, middle + 1)
    names = [
        layer << 24 | (row % 8) << 21 | (column % 8) << 18 | channel << 6 | block
        for row in places
        for column in places
        for channel in range(fan_in)
        for block in range(blocks)
    ]
    drawn = draw_uniform(key, names)
    return drawn.reshape(side, side, fan_in, blocks * BLOCK)[..., :fan_out]


def _by_blocks(network: Any, x: jax.Array) -> jax.Array:
    """Applies a network to rows, some at a time."""
    if len(x) <= _ROWS:
        return jnp.asarray(network(x))
    padded = jnp.pad(x, ((0, -len(x) % _ROWS), *[(0, 0)] * (x.ndim - 1)))
    logits = lax.map(network, padded.reshape(-1, _ROWS, *x.shape[1:]))
    return jnp.asarray(logits.reshape(-1, logits.shape[-1])[: len(x)])


def augmented(x: jax.Array, augmentation: Augmentation, bits: Array) -> jax.Array:
    """Shifts and masks spectrograms, each by numbers of its own.

    Args:
      x: (batch, bands, frames) float32, standardised.
      augmentation: at most how far.
      bits: (batch, 5) uint16: of the shift, then of width and start of each mask.
    """
    uniform = jnp.asarray(bits).astype(jnp.float32) / 65536.0
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
    """Returns whole numbers from 0 up to ``count``, for numbers in [0, 1)."""
    return jnp.floor(uniform * jnp.asarray(count, jnp.float32)).astype(jnp.int32)
