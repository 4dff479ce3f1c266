"""The protocol of a model family, so that the trainer can train many at once, and the registry.

Imports no JAX: planning needs names, shapes and costs alone. A family's functions that compute are
pure and work on one member, without a batch axis; callers use ``vmap``.
"""

import math
from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from gtzan_jax.errors import InputError
from gtzan_jax.models.cnn import CnnFamily
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.space.axes import AXES, Axis
from gtzan_jax.space.axes import FAMILIES as FIRST_AXES
from gtzan_jax.space.config import Config
from gtzan_jax.tables.folds import Sizes

if TYPE_CHECKING:
    import jax

    from gtzan_jax.models.layers import Key, Tree

Structure = tuple[int, ...]
"""Widths of layers. Configs whose structures are of one kind may share a program that is as wide as
the widest in each place; the others are padded with zeros."""


class Family(Protocol):
    """A kind of model. Implementations are hashable: they are part of a program's key."""

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

    def shapes(
        self, config: Config, num_features: int, num_classes: int
    ) -> Mapping[str, tuple[int, ...]]:
        """Returns the shapes of a config's parameters, without padding.

        Names are the keys of the nested parameters, joined by dots: ``logits.kernel``.
        """
        ...

    def member_bytes(self, structure: Structure, sizes: Sizes, batch_size: int) -> int:
        """Returns about how much memory a member takes while it trains."""
        ...

    def flops(self, structure: Structure, sizes: Sizes) -> float:
        """Returns the floating-point operations of one epoch of one member."""
        ...

    def trains_singly(self, platform: str) -> bool:
        """Tells whether a platform trains members one after another, not side by side."""
        ...

    def traced(self, config: Config, sizes: Sizes, slope: float, parts: Set[str]) -> "Tree":
        """Returns the numbers that stand for a config in a program: tuples of NumPy arrays.

        Args:
          config: the config.
          sizes: of the arrays.
          slope: of the activation for negative inputs, where it is ReLU or leaky ReLU.
          parts: the optional computations that the program has, see ``Sweep.parts``.
        """
        ...

    def draw_initial(self, key: "Key", structure: Structure, sizes: Sizes) -> "Tree":
        """Draws numbers that initial weights are made of, once for all members that share a seed.

        A wider structure begins with the numbers of a narrower one.
        """
        ...

    def draw_noise(self, key: "Key", structure: Structure, positions: int) -> "Tree":
        """Draws an epoch's noise: arrays (positions, …), a position for each row of a batch."""
        ...

    def init(self, traced: "Tree", drawn: "Tree", structure: Structure) -> "Tree":
        """Returns the initial parameters, float32."""
        ...

    def apply(
        self, params: "Tree", x: "jax.Array", traced: "Tree", noise: "Tree | None"
    ) -> "jax.Array":
        """Returns logits (rows, classes); ``noise`` is None where nothing is trained."""
        ...


FAMILIES: dict[str, Family] = {family.name: family for family in (MlpFamily(), CnnFamily())}
"""Every kind of model by its name."""


def register_family(family: Family, axes: Sequence[Axis]) -> None:
    """Adds a kind of model with hyperparameters of its own; see docs/own_model.md.

    Args:
      family: its name is new.
      axes: the hyperparameters that only it has; a sweep of the family has the first.

    Raises:
      InputError: a name is taken by another family.
    """
    own = {axis.name: replace(axis, families=(family.name,)) for axis in axes}
    taken = [name for name, axis in own.items() if AXES.get(name, axis).families != axis.families]
    if taken or FIRST_AXES.get(family.name, axes[0].name) != axes[0].name:
        raise InputError(f"{', '.join(taken) or family.name} is taken already")
    AXES.update(own)
    FIRST_AXES[family.name] = axes[0].name
    FAMILIES[family.name] = family


def num_weights(config: Config, num_features: int, num_classes: int) -> int:
    """Returns how many numbers a config's training finds, biases included."""
    shapes = FAMILIES[config.family].shapes(config, num_features, num_classes)
    return sum(map(math.prod, shapes.values()))
