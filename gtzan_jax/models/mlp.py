"""The multilayer perceptron: dense layers and inverted dropout. Only widths are static."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gtzan_jax.space.config import Config
from gtzan_jax.tables.folds import Sizes

if TYPE_CHECKING:
    import jax

    from gtzan_jax.models.layers import Activation, Array, Drawn, Key

_ROWS = 2**14  # rows evaluated at a time

STATE_BYTES = 5 * 4
"""Bytes for a weight: value, two moments, gradient and new value, four each."""


class Traced(NamedTuple):
    """The traced numbers of a config."""

    scales: Array  # (layers,) float32, of the initial weights
    units: Array  # (hidden layers,) int32, without padding
    dropout: Array  # (hidden layers,) float32 rates
    activation: Activation
    normal: Array | None = None  # () bool, whether initial weights are normal; None: none is


@dataclass(frozen=True)
class MlpFamily:
    """The MLP family. A structure is the units of each hidden layer."""

    name: str = "mlp"

    def structure(self, config: Config) -> tuple[int, ...]:
        """Returns the units of each hidden layer."""
        return config.units

    def kind(self, structure: tuple[int, ...]) -> int:
        """Returns the number of hidden layers."""
        return len(structure)

    def shapes(
        self, config: Config, num_features: int, num_classes: int
    ) -> Mapping[str, tuple[int, ...]]:
        """Returns the shapes of kernels (fan_in, fan_out) and biases (fan_out,)."""
        shapes: dict[str, tuple[int, ...]] = {}
        pairs = itertools.pairwise((num_features, *config.units, num_classes))
        for name, pair in zip(layer_names(len(config.units)), pairs, strict=True):
            shapes |= {f"{name}.kernel": pair, f"{name}.bias": pair[1:]}
        return shapes

    def trial_bytes(self, structure: tuple[int, ...], sizes: Sizes, batch_size: int) -> int:  # noqa: ARG002
        """Returns the bytes of the weights; rows are small in comparison."""
        return STATE_BYTES * sum(_weights(structure, sizes))

    def flops(self, structure: tuple[int, ...], sizes: Sizes) -> float:
        """Returns the floating-point operations of one epoch, matrix products only."""
        return flops_of(_weights(structure, sizes), sizes)

    def trains_singly(self, platform: str) -> bool:  # noqa: ARG002
        """Returns False: the product of a layer is too small for a processor."""
        return False

    def traced(self, config: Config, sizes: Sizes, slope: float, parts: Set[str]) -> Traced:
        """Returns initial scales, units, dropout rates and activation."""
        from gtzan_jax.models.layers import NORMAL, Activation

        initializer = config.setting("initializer")
        scales = initial_scales(config, sizes.num_features, sizes.num_classes)
        return Traced(
            scales=np.asarray(scales, np.float32),
            units=np.asarray(config.units, np.int32),
            dropout=np.asarray(config.dropout, np.float32),
            activation=Activation.of(config.setting("activation"), slope, parts),
            normal=np.asarray(initializer in NORMAL) if parts & NORMAL else None,
        )

    def draw_initial(self, key: Key, structure: tuple[int, ...], sizes: Sizes) -> list[Drawn]:
        """Draws kernels in (-1, 1), (fan_in, fan_out) float32; numbers do not depend on widths."""
        from gtzan_jax.models.layers import BLOCK, draw_uniform

        shapes = list(itertools.pairwise((sizes.num_features, *structure, sizes.num_classes)))
        blocks = [-(-fan_out // BLOCK) for _, fan_out in shapes]
        names = [
            layer << 24 | row << 8 | block
            for layer, (fan_in, _) in enumerate(shapes)
            for row in range(fan_in)
            for block in range(blocks[layer])
        ]
        drawn = draw_uniform(key, names)
        counts = [fan_in * n for (fan_in, _), n in zip(shapes, blocks, strict=True)]
        return [
            drawn[end - count : end].reshape(fan_in, -1)[:, :fan_out]
            for end, count, (fan_in, fan_out) in zip(np.cumsum(counts), counts, shapes, strict=True)
        ]

    def draw_noise(self, key: Key, structure: tuple[int, ...], positions: int) -> list[Drawn]:
        """Draws random bits for the units of each hidden layer."""
        from gtzan_jax.models.layers import noise_bits

        return noise_bits(key, structure, positions)

    def init(
        self, traced: Traced, drawn: Sequence[jax.Array], structure: tuple[int, ...]
    ) -> Mapping[str, Mapping[str, jax.Array]]:
        """Returns scaled kernels (fan_in, fan_out) and zero biases (fan_out,)."""
        import jax.numpy as jnp

        from gtzan_jax.models.layers import initial_kernel

        scales, units = jnp.asarray(traced.scales), jnp.asarray(traced.units)
        sizes = (drawn[0].shape[0], *structure, drawn[-1].shape[1])
        used = [None, *(np.arange(w) < units[layer] for layer, w in enumerate(structure)), None]
        params: dict[str, dict[str, jax.Array]] = {}
        for layer, name in enumerate(layer_names(len(structure))):
            cut = drawn[layer][: sizes[layer], : sizes[layer + 1]]
            normal = traced.normal if layer < len(structure) else None
            kernel = initial_kernel(cut, scales[layer], normal, used[layer], used[layer + 1])
            params[name] = {"kernel": kernel, "bias": jnp.zeros((sizes[layer + 1],), jnp.float32)}
        return params

    def apply(
        self,
        params: Mapping[str, Mapping[str, jax.Array]],
        x: jax.Array,
        traced: Traced,
        noise: Sequence[jax.Array] | None,
    ) -> jax.Array:
        """Returns (batch, classes) logits; the parameters determine the structure."""
        import jax.numpy as jnp

        from gtzan_jax.models.layers import dropout_factors
        from gtzan_jax.models.networks import MLP, by_blocks

        *hidden, output = layer_names(len(params) - 1)
        widths = tuple(params[name]["bias"].shape[0] for name in hidden)
        model = MLP(widths, params[output]["bias"].shape[0])
        network = functools.partial(model.apply, {"params": params}, activation=traced.activation)
        if noise is None:
            return by_blocks(network, x, _ROWS)
        factors = [
            dropout_factors(bits[:, :width], rate)
            for bits, width, rate in zip(noise, widths, jnp.unstack(traced.dropout), strict=True)
        ]
        return jnp.asarray(network(x, factors=factors))


def flops_of(products: Sequence[int], sizes: Sizes) -> float:
    """Returns the floating-point operations of an epoch, from the number of weights of each layer.

    Two for each weight and product: three products for a train row (forward, gradients of kernel
    and input, the latter not in the first layer), one for an evaluated row.
    """
    train, evaluated = 6.0 * sum(products) - 2.0 * products[0], 2.0 * sum(products)
    return sizes.num_train * train + sizes.num_eval * evaluated


def layer_names(num_hidden: int) -> list[str]:
    """Returns the names of the dense layers in the parameters: hidden1, …, logits."""
    return [f"hidden{layer + 1}" for layer in range(num_hidden)] + ["logits"]


def initial_scales(config: Config, num_features: int, num_classes: int) -> tuple[float, ...]:
    """Returns ``layers.initial_scale`` by layer; the last uses glorot_uniform, Keras's default."""
    from gtzan_jax.models.layers import initial_scale

    *hidden, last = itertools.pairwise((num_features, *config.units, num_classes))
    scales = [initial_scale(config.setting("initializer"), *pair) for pair in hidden]
    return (*scales, initial_scale("glorot_uniform", *last))


def _weights(widths: Sequence[int], sizes: Sizes) -> list[int]:
    """Returns the number of weights of each layer, without biases."""
    units = (sizes.num_features, *widths, sizes.num_classes)
    return [fan_in * fan_out for fan_in, fan_out in itertools.pairwise(units)]
