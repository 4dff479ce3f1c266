"""What can be said of a kind of model without computing: widths, weights, operations.

Imports no JAX: who plans what workers train does not need it.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gtzan_jax.space.config import Config
from gtzan_jax.tables.folds import Sizes

Structure = tuple[int, ...]
"""Widths of layers. Configs whose structures are equally long share a program that is as wide as
the widest in each place; the others are padded with zeros."""


class Layout(Protocol):
    """Sizes and costs of a kind of model. Implementations are hashable."""

    @property
    def name(self) -> str:
        """As in the manifest."""
        ...

    def structure(self, config: Config) -> Structure:
        """Returns a config's widths, without padding."""
        ...

    def num_weights(self, structure: Structure, sizes: Sizes) -> int:
        """Returns how many weights a member has; about what its memory takes."""
        ...

    def flops(self, structure: Structure, sizes: Sizes) -> float:
        """Returns the floating-point operations of one epoch of one member."""
        ...


@dataclass(frozen=True)
class MlpLayout:
    """The MLP's: a structure is the units of each hidden layer."""

    name: str = "mlp"

    def structure(self, config: Config) -> Structure:
        """Returns the units of each hidden layer."""
        return config.units

    def num_weights(self, structure: Structure, sizes: Sizes) -> int:
        """Returns how many weights there are, without biases."""
        return sum(_weights(structure, sizes))

    def flops(self, structure: Structure, sizes: Sizes) -> float:
        """Returns the floating-point operations of one epoch, matrix products only.

        A product of a row with a kernel of n weights takes 2n operations. A train row meets
        each kernel three times (forward, gradient of the kernel, gradient of the layer's input,
        which the first layer does not need), an evaluated row once.
        """
        weights = _weights(structure, sizes)
        train, evaluated = 6.0 * sum(weights) - 2.0 * weights[0], 2.0 * sum(weights)
        return sizes.num_train * train + sizes.num_eval * evaluated


def layer_names(num_hidden: int) -> list[str]:
    """Returns the names of the dense layers, as in the parameters: hidden1 … logits."""
    return [f"hidden{layer + 1}" for layer in range(num_hidden)] + ["logits"]


def _weights(widths: Sequence[int], sizes: Sizes) -> list[int]:
    """Returns how many weights each layer has, without biases."""
    units = (sizes.num_features, *widths, sizes.num_classes)
    return [fan_in * fan_out for fan_in, fan_out in itertools.pairwise(units)]
