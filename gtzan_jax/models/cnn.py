"""The convolutional network: blocks of convolution, normalisation, activation, pooling, dropout.

Kernel side, blocks and filters are static. Padded filters stay 0, since no group of normalised
channels mixes them with others.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gtzan_jax.models.mlp import STATE_BYTES, flops_of
from gtzan_jax.space.config import Config
from gtzan_jax.space.hyperparameters import MAX_BLOCKS
from gtzan_jax.tables.folds import Sizes

if TYPE_CHECKING:
    import jax

    from gtzan_jax.models.layers import Activation, Array, Drawn, Key, Tree
    from gtzan_jax.models.networks import Augmentation

_ROWS = 32  # rows evaluated at a time, since their columns for convolution are large

# Names of random numbers, besides kernels and channels of blocks.
_LOGITS, _AUGMENT = MAX_BLOCKS, 255


class Traced(NamedTuple):
    """The traced numbers of a config."""

    scales: Array  # (blocks + 1,) float32, of the initial weights
    filters: Array  # (blocks,) int32, without padding
    dropout: Array  # () float32, rate
    activation: Activation
    augmentation: Augmentation
    normal: Array | None = None  # () bool, whether initial convolutions are normal; None: none is


class Noise(NamedTuple):
    """The noise of an epoch; see :meth:`CnnFamily.draw_noise`."""

    channels: Sequence[Any]  # for each block (positions, filters) uint16
    augment: Drawn  # (positions, 5) uint16


@dataclass(frozen=True)
class CnnFamily:
    """The CNN family. A structure is the kernel side, then the filters of each block."""

    name: str = "cnn"

    def structure(self, config: Config) -> tuple[int, ...]:
        """Returns the kernel side, and the filters, which double from block to block."""
        first, blocks = config["filters"], config.setting("blocks")
        return (config.setting("kernel"), *(first * 2**block for block in range(blocks)))

    def kind(self, structure: tuple[int, ...]) -> tuple[int, int]:
        """Returns the kernel side and the number of blocks."""
        return structure[0], len(structure)

    def shapes(
        self,
        config: Config,
        num_features: int,  # noqa: ARG002
        num_classes: int,
    ) -> Mapping[str, tuple[int, ...]]:
        """Returns the shapes of kernels (side, side, filters in, filters out), biases and norms."""
        kernel, *widths = self.structure(config)
        shapes: dict[str, tuple[int, ...]] = {}
        for block, (fan_in, width) in enumerate(itertools.pairwise((1, *widths)), 1):
            shapes[f"conv{block}.kernel"] = (kernel, kernel, fan_in, width)
            of_filters = (f"conv{block}.bias", f"norm{block}.scale", f"norm{block}.bias")
            shapes |= dict.fromkeys(of_filters, (width,))
        last = (widths[-1], num_classes)
        return shapes | {"logits.kernel": last, "logits.bias": last[1:]}

    def trial_bytes(self, structure: tuple[int, ...], sizes: Sizes, batch_size: int) -> int:
        """Returns the bytes of weights, and of columns and six outputs of each block in a step."""
        kernel, *widths = structure
        pairs = zip(_areas(structure, sizes), itertools.pairwise((1, *widths)), strict=True)
        kept = sum(area * (kernel**2 * fan_in + 6 * width) for area, (fan_in, width) in pairs)
        return STATE_BYTES * sum(_weights(structure, sizes)) + 4 * batch_size * kept

    def flops(self, structure: tuple[int, ...], sizes: Sizes) -> float:
        """Returns the floating-point operations of one epoch, matrix products only."""
        areas, weights = (*_areas(structure, sizes), 1), _weights(structure, sizes)
        return flops_of([a * count for a, count in zip(areas, weights, strict=True)], sizes)

    def trains_singly(self, platform: str) -> bool:
        """Returns True on a CPU, where the arrays of one trial fill the cache."""
        return platform == "cpu"

    def traced(self, config: Config, sizes: Sizes, slope: float, parts: Set[str]) -> Traced:
        """Returns initial scales, filters, dropout, activation and augmentation."""
        from gtzan_jax.models.layers import NORMAL, Activation, initial_scale
        from gtzan_jax.models.networks import Augmentation

        (kernel, *widths), initializer = self.structure(config), config.setting("initializer")
        scales = [
            initial_scale(initializer, kernel**2 * fan_in, kernel**2 * width)
            for fan_in, width in itertools.pairwise((1, *widths))
        ]
        scales.append(initial_scale("glorot_uniform", widths[-1], sizes.num_classes))
        augmentation = {
            axis: np.int32(config.setting(axis)) for axis in Augmentation._fields if axis in parts
        }
        return Traced(
            scales=np.asarray(scales, np.float32),
            filters=np.asarray(widths, np.int32),
            dropout=np.float32(config.setting("dropout")),
            activation=Activation.of(config.setting("activation"), slope, parts),
            augmentation=Augmentation(**augmentation),
            normal=np.asarray(initializer in NORMAL) if parts & NORMAL else None,
        )

    def draw_initial(self, key: Key, structure: tuple[int, ...], sizes: Sizes) -> list[Drawn]:
        """Draws kernels in (-1, 1); smaller kernels are the centres of larger ones.

        Returns:
          for each block (side, side, filters in, filters out), then (filters, classes), float32.
        """
        side, *widths = structure
        shapes = [(side, *pair) for pair in itertools.pairwise((1, *widths))]
        shapes.append((1, max(widths), sizes.num_classes))
        layers = [*range(len(widths)), _LOGITS]
        kernels = [_draw_kernel(key, layer, *s) for layer, s in zip(layers, shapes, strict=True)]
        return [*kernels[:-1], kernels[-1][0, 0]]

    def draw_noise(self, key: Key, structure: tuple[int, ...], positions: int) -> Noise:
        """Draws random bits for channel dropout in each block, and for augmentation."""
        from gtzan_jax.models.layers import draw, noise_bits

        augment = draw(key, [_AUGMENT << 16], (positions, 5), np.uint16)[0]
        return Noise(noise_bits(key, structure[1:], positions), augment)

    def init(self, traced: Traced, drawn: Sequence[jax.Array], structure: tuple[int, ...]) -> Tree:
        """Scales the drawn kernels; weights of padded filters are 0."""
        import jax.numpy as jnp

        from gtzan_jax.models.layers import initial_kernel

        side, *widths = structure
        scales, filters = jnp.asarray(traced.scales), jnp.asarray(traced.filters)
        used = [None, *(np.arange(width) < filters[b] for b, width in enumerate(widths)), None]
        params: dict[str, dict[str, jax.Array]] = {}
        for block, (fan_in, width) in enumerate(itertools.pairwise((1, *widths))):
            edge = (drawn[block].shape[0] - side) // 2
            cut = drawn[block][edge : edge + side, edge : edge + side, :fan_in, :width]
            kernel = initial_kernel(cut, scales[block], traced.normal, *used[block : block + 2])
            zeros = jnp.zeros((width,), jnp.float32)
            params[f"conv{block + 1}"] = {"kernel": kernel, "bias": zeros}
            params[f"norm{block + 1}"] = {"scale": jnp.ones_like(zeros), "bias": zeros}
        kernel = initial_kernel(drawn[-1][: widths[-1]], scales[len(widths)], None, *used[-2:])
        bias = jnp.zeros((kernel.shape[1],), jnp.float32)
        return params | {"logits": {"kernel": kernel, "bias": bias}}

    def apply(self, params: Tree, x: jax.Array, traced: Traced, noise: Noise | None) -> jax.Array:
        """Returns (batch, classes) logits for (batch, bands, frames).

        Without noise, the logits are computed in blocks of rows.
        """
        from gtzan_jax.models import layers, networks

        network = functools.partial(networks.cnn, params, traced.activation)
        if noise is None:
            return networks.by_blocks(network, x, _ROWS)
        widths = [params[name]["bias"].shape[0] for name in params if name.startswith("conv")]
        factors = [
            layers.dropout_factors(bits[:, :width], traced.dropout)
            for bits, width in zip(noise.channels, widths, strict=False)
        ]
        return network(networks.augmented(x, traced.augmentation, noise.augment), factors)


def _areas(structure: tuple[int, ...], sizes: Sizes) -> list[int]:
    """Returns bands × frames of the input of each block; pooling halves both."""
    blocks = range(len(structure) - 1)
    return [(sizes.num_features >> block) * (sizes.frames >> block) for block in blocks]


def _weights(structure: tuple[int, ...], sizes: Sizes) -> list[int]:
    """Returns the number of weights of each layer, without biases."""
    kernel, *widths = structure
    pairs = itertools.pairwise((1, *widths))
    convolutions = [kernel**2 * fan_in * width for fan_in, width in pairs]
    return [*convolutions, widths[-1] * sizes.num_classes]


def _draw_kernel(key: Key, layer: int, side: int, fan_in: int, fan_out: int) -> Drawn:
    """Returns (side, side, fan_in, fan_out) numbers in (-1, 1), named from the centre."""
    from gtzan_jax.models.layers import BLOCK, draw_uniform

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
