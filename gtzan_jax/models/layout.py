"""What can be said of a kind of model without computing: widths, weights, memory, operations.

Imports no JAX: who plans what workers train does not need it.
"""

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gtzan_jax.space.config import Config
from gtzan_jax.tables.folds import Sizes

Structure = tuple[int, ...]
"""Widths of layers. Configs whose structures are of one kind may share a program that is as wide as
the widest in each place; the others are padded with zeros."""

_STATE_BYTES = 5 * 4
"""Of a weight: itself, two moments, its gradient and its new value, of four bytes each."""


class Layout(Protocol):
    """Sizes and costs of a kind of model. Implementations are hashable."""

    @property
    def name(self) -> str:
        """As in the manifest."""
        ...

    def structure(self, config: Config) -> Structure:
        """Returns a config's widths, without padding."""
        ...

    def kind(self, structure: Structure) -> Hashable:
        """Returns what structures must have in common to share a program."""
        ...

    def member_bytes(self, structure: Structure, sizes: Sizes, batch_size: int) -> int:
        """Returns about what a member's memory takes while it trains."""
        ...

    def shapes(
        self, config: Config, num_features: int, num_classes: int
    ) -> Mapping[str, tuple[int, ...]]:
        """Returns the shapes of a config's parameters by name, without padding."""
        ...

    def flops(self, structure: Structure, sizes: Sizes) -> float:
        """Returns the floating-point operations of one epoch of one member."""
        ...

    def trains_singly(self, platform: str) -> bool:
        """Whether a platform trains members one after another, not side by side."""
        ...


@dataclass(frozen=True)
class MlpLayout:
    """The MLP's: a structure is the units of each hidden layer."""

    name: str = "mlp"

    def structure(self, config: Config) -> Structure:
        """Returns the units of each hidden layer."""
        return config.units

    def kind(self, structure: Structure) -> Hashable:
        """Returns the number of hidden layers."""
        return len(structure)

    def member_bytes(self, structure: Structure, sizes: Sizes, batch_size: int) -> int:  # noqa: ARG002
        """Returns what the weights take, beside which rows are small."""
        return _STATE_BYTES * sum(_weights(structure, sizes))

    def shapes(
        self, config: Config, num_features: int, num_classes: int
    ) -> Mapping[str, tuple[int, ...]]:
        """Returns kernels (fan_in, fan_out) and biases (fan_out,)."""
        widths = (num_features, *config.units, num_classes)
        shapes: dict[str, tuple[int, ...]] = {}
        for name, pair in zip(
            layer_names(len(config.units)), itertools.pairwise(widths), strict=True
        ):
            shapes |= {f"{name}.kernel": pair, f"{name}.bias": pair[1:]}
        return shapes

    def flops(self, structure: Structure, sizes: Sizes) -> float:
        """Returns the floating-point operations of one epoch, matrix products only.

        A product of a row with a kernel of n weights takes 2n operations. A train row meets
        each kernel three times (forward, gradient of the kernel, gradient of the layer's input,
        which the first layer does not need), an evaluated row once.
        """
        weights = _weights(structure, sizes)
        train, evaluated = 6.0 * sum(weights) - 2.0 * weights[0], 2.0 * sum(weights)
        return sizes.num_train * train + sizes.num_eval * evaluated

    def trains_singly(self, platform: str) -> bool:  # noqa: ARG002
        """Nowhere: a layer is too small a product to fill a processor."""
        return False


@dataclass(frozen=True)
class CnnLayout:
    """The CNN's: a structure is the side of the kernels, then the filters of each block."""

    name: str = "cnn"

    def structure(self, config: Config) -> Structure:
        """Returns the kernel's side, and filters that double from block to block."""
        first, blocks = config["filters"], config.setting("blocks")
        return (config.setting("kernel"), *(first * 2**block for block in range(blocks)))

    def kind(self, structure: Structure) -> Hashable:
        """Returns the kernel's side and the number of blocks."""
        return structure[0], len(structure)

    def member_bytes(self, structure: Structure, sizes: Sizes, batch_size: int) -> int:
        """Returns what the weights take, and what a step keeps for its gradients.

        That is, of each block, the columns that the kernel is multiplied with, and some six arrays
        of the size of its output.
        """
        kernel, *widths = structure
        kept = sum(
            area * (kernel**2 * fan_in + 6 * width)
            for area, fan_in, width in zip(
                _areas(structure, sizes), (1, *widths), widths, strict=False
            )
        )
        return _STATE_BYTES * sum(_conv_weights(structure, sizes)) + 4 * batch_size * kept

    def shapes(
        self,
        config: Config,
        num_features: int,  # noqa: ARG002
        num_classes: int,
    ) -> Mapping[str, tuple[int, ...]]:
        """Returns kernels (side, side, filters in, filters out), and numbers of each filter."""
        kernel, *widths = self.structure(config)
        shapes: dict[str, tuple[int, ...]] = {}
        for block, (fan_in, width) in enumerate(itertools.pairwise((1, *widths)), 1):
            shapes[f"conv{block}.kernel"] = (kernel, kernel, fan_in, width)
            of_filters = (f"conv{block}.bias", f"norm{block}.scale", f"norm{block}.bias")
            shapes |= dict.fromkeys(of_filters, (width,))
        last = (widths[-1], num_classes)
        return shapes | {"logits.kernel": last, "logits.bias": last[1:]}

    def flops(self, structure: Structure, sizes: Sizes) -> float:
        """Returns the floating-point operations of one epoch, products only, as an MLP's."""
        areas = (*_areas(structure, sizes), 1)
        weights = _conv_weights(structure, sizes)
        products = [area * count for area, count in zip(areas, weights, strict=True)]
        train, evaluated = 6.0 * sum(products) - 2.0 * products[0], 2.0 * sum(products)
        return sizes.num_train * train + sizes.num_eval * evaluated

    def trains_singly(self, platform: str) -> bool:
        """On a CPU, where the arrays of one member fill the cache."""
        return platform == "cpu"


LAYOUTS: Mapping[str, MlpLayout | CnnLayout] = {
    layout.name: layout for layout in (MlpLayout(), CnnLayout())
}
"""Every kind of model by its name."""


def num_weights(config: Config, num_features: int, num_classes: int) -> int:
    """Returns how many numbers a config's training finds, biases included."""
    shapes = LAYOUTS[config.family].shapes(config, num_features, num_classes)
    return sum(map(math.prod, shapes.values()))


def layer_names(num_hidden: int) -> list[str]:
    """Returns the names of the dense layers, as in the parameters: hidden1 … logits."""
    return [f"hidden{layer + 1}" for layer in range(num_hidden)] + ["logits"]


def _weights(widths: Sequence[int], sizes: Sizes) -> list[int]:
    """Returns how many weights each layer has, without biases."""
    units = (sizes.num_features, *widths, sizes.num_classes)
    return [fan_in * fan_out for fan_in, fan_out in itertools.pairwise(units)]


def _areas(structure: Structure, sizes: Sizes) -> list[int]:
    """Returns bands × frames that each block of a CNN convolves; pooling halves both."""
    blocks = range(len(structure) - 1)
    return [(sizes.num_features >> block) * (sizes.frames >> block) for block in blocks]


def _conv_weights(structure: Structure, sizes: Sizes) -> list[int]:
    """Returns how many weights each layer of a CNN has, without biases."""
    kernel, *widths = structure
    pairs = itertools.pairwise((1, *widths))
    convolutions = [kernel**2 * fan_in * width for fan_in, width in pairs]
    return [*convolutions, widths[-1] * sizes.num_classes]
