"""The protocol of a model family, and the registry. Imports no JAX.

A family's functions that compute are pure and work on one trial; callers use ``vmap``.
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
"""Widths of layers. Configs whose structures are of one kind may share a program that is as wide as
the widest in each place; the others are padded with zeros."""


class Family(Protocol):
    """A kind of model. Implementations are hashable, as parts of a program's key."""

    @property
    def name(self) -> str:
        """As in the manifest."""
        ...

    def structure(self, config: Config) -> Structure:
        """Returns a config's widths, without padding."""
        ...

    def kind(self, structure: Structure) -> Hashable:
        """Returns a key that structures of one program have in common."""
        ...

    def shapes(
        self, config: Config, num_features: int, num_classes: int
    ) -> Mapping[str, tuple[int, ...]]:
        """Returns the shapes of a config's parameters, without padding.

        Names are the keys of the nested parameters, joined by dots: ``logits.kernel``.
        """
        ...

    def trial_bytes(self, structure: Structure, sizes: Sizes, batch_size: int) -> int:
        """Returns an estimate of the memory of a trial that trains."""
        ...

    def flops(self, structure: Structure, sizes: Sizes) -> float:
        """Returns the floating-point operations of one epoch of one trial."""
        ...

    def trains_singly(self, platform: str) -> bool:
        """Tells whether a platform trains trials one after another, not side by side."""
        ...

    def traced(self, config: Config, sizes: Sizes, slope: float, parts: Set[str]) -> "Tree":
        """Returns the traced numbers of a config: tuples of NumPy arrays.

        The slope is of (leaky) ReLU for negative inputs; for parts, see ``Sweep.parts``.
        """
        ...

    def draw_initial(self, key: "Key", structure: Structure, sizes: Sizes) -> "Tree":
        """Draws numbers for initial weights; a wider structure begins with those of a narrower."""
        ...

    def draw_noise(self, key: "Key", structure: Structure, positions: int) -> "Tree":
        """Draws an epoch's noise: arrays (positions, …), one for each row of all batches."""
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
"""Every kind of model by its name."""


def register_family(family: Family, axes: Sequence[Hyperparameter]) -> None:
    """Adds a model family; the first of its own axes names it. See docs/own_table.md.

    Raises:
      InputError: a name is taken by another family.
    """
    own = {axis.name: replace(axis, families=(family.name,)) for axis in axes}
    taken = [
        name
        for name, axis in own.items()
        if HYPERPARAMETERS.get(name, axis).families != axis.families
    ]
    if taken or FIRST.get(family.name, axes[0].name) != axes[0].name:
        raise InputError(f"{', '.join(taken) or family.name} is taken already")
    HYPERPARAMETERS.update(own)
    FIRST[family.name] = axes[0].name
    FAMILIES[family.name] = family


def num_weights(config: Config, num_features: int, num_classes: int) -> int:
    """Returns the number of weights of a config, biases included."""
    shapes = FAMILIES[config.family].shapes(config, num_features, num_classes)
    return sum(map(math.prod, shapes.values()))
