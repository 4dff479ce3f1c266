"""The interface of a model family, and the registry. Imports no JAX.

Functions that compute are pure and work on one trial; callers use ``vmap``.
"""

import math
from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from gtzan_jax.errors import InputError
from gtzan_jax.models.cnn import CnnFamily
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.space.config import Config
from gtzan_jax.space.hyperparameters import FAMILIES as FIRST
from gtzan_jax.space.hyperparameters import HYPERPARAMETERS, Hyperparameter
from gtzan_jax.tables.folds import Sizes

if TYPE_CHECKING:
    import jax

    from gtzan_jax.models.layers import Key, Tree

Structure = tuple[int, ...]
"""Widths of layers. Configs with structures of one kind may share a program with the greatest width
of each layer; narrower networks are padded with zeros."""


class Family(Protocol):
    """A kind of model. Implementations are hashable, since they are part of a program's key."""

    @property
    def name(self) -> str:
        """Its name in the manifest."""
        ...

    def structure(self, config: Config) -> Structure:
        """Returns the widths of a config, without padding."""
        ...

    def kind(self, structure: Structure) -> Hashable:
        """Returns a key that all structures of a program share."""
        ...

    def shapes(
        self, config: Config, num_features: int, num_classes: int
    ) -> Mapping[str, tuple[int, ...]]:
        """Returns the shapes of a config's parameters, without padding.

        Names are the keys of the nested parameters, joined by dots: ``logits.kernel``.
        """
        ...

    def trial_bytes(self, structure: Structure, sizes: Sizes, batch_size: int) -> int:
        """Returns an estimate of the bytes that a trial needs to train."""
        ...

    def flops(self, structure: Structure, sizes: Sizes) -> float:
        """Returns the floating-point operations of one epoch of one trial."""
        ...

    def trains_singly(self, platform: str) -> bool:
        """Returns whether a platform trains trials one after another instead of together."""
        ...

    def traced(self, config: Config, sizes: Sizes, slope: float, parts: Set[str]) -> "Tree":
        """Returns the traced numbers of a config, as tuples of NumPy arrays.

        ``slope`` is that of (leaky) ReLU for negative inputs; for ``parts``, see ``Sweep.parts``.
        """
        ...

    def draw_initial(self, key: "Key", structure: Structure, sizes: Sizes) -> "Tree":
        """Draws numbers for initial weights; wider structures extend those of narrower ones."""
        ...

    def draw_noise(self, key: "Key", structure: Structure, positions: int) -> "Tree":
        """Draws the noise of an epoch: arrays (positions, …), for the rows of all batches."""
        ...

    def init(self, traced: "Tree", drawn: "Tree", structure: Structure) -> "Tree":
        """Returns the initial parameters, float32."""
        ...

    def apply(
        self, params: "Tree", x: "jax.Array", traced: "Tree", noise: "Tree | None"
    ) -> "jax.Array":
        """Returns logits (rows, classes); ``noise`` is None in evaluation."""
        ...


FAMILIES: dict[str, Family] = {family.name: family for family in (MlpFamily(), CnnFamily())}
"""All model families by name."""


def register_family(family: Family, axes: Sequence[Hyperparameter]) -> None:
    """Adds a model family; the first of its own hyperparameters selects it. See docs/own_table.md.

    Raises:
      InputError: another family has the name already.
    """
    own = {axis.name: replace(axis, families=(family.name,)) for axis in axes}
    taken = [
        name
        for name, axis in own.items()
        if HYPERPARAMETERS.get(name, axis).families != axis.families
    ]
    if taken or FIRST.get(family.name, axes[0].name) != axes[0].name:
        raise InputError(f"{', '.join(taken) or family.name} is already taken by another family")
    HYPERPARAMETERS.update(own)
    FIRST[family.name] = axes[0].name
    FAMILIES[family.name] = family


def num_weights(config: Config, num_features: int, num_classes: int) -> int:
    """Returns the number of weights of a config, biases included."""
    shapes = FAMILIES[config.family].shapes(config, num_features, num_classes)
    return sum(map(math.prod, shapes.values()))
