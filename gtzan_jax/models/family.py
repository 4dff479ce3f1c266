"""What a kind of model must say of itself, so that the trainer can train many at once.

Everything is a pure function of one member, without a batch axis; callers use ``vmap``.
"""

from typing import Any, Protocol

import jax
import numpy as np

from gtzan_jax.models.layout import Layout, Structure
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import Sizes

Array = jax.Array | np.ndarray | np.number[Any]  # on a device or the host

Key = jax.Array | np.ndarray
"""A random key: JAX's, in a program, or its (2,) uint32 words, for numbers drawn on the host with
``models.threefry``, which are the same."""

Tree = Any  # nested containers of arrays, which JAX maps over


class Family(Layout, Protocol):
    """A kind of model. Implementations are hashable: they are part of a program's key."""

    def traced(self, config: Config, sweep: Sweep, sizes: Sizes) -> Tree:
        """Returns the numbers that stand for a config in a program."""
        ...

    def draw_initial(self, key: Key, structure: Structure, sizes: Sizes) -> Tree:
        """Draws what initial weights are made of, once for all members that share a seed.

        A wider structure begins with the numbers of a narrower one.
        """
        ...

    def draw_noise(self, key: Key, structure: Structure, positions: int) -> Tree:
        """Draws an epoch's noise: arrays (positions, …), a position for each row of a batch."""
        ...

    def init(self, traced: Tree, drawn: Tree, structure: Structure) -> Tree:
        """Returns the initial parameters."""
        ...

    def apply(self, params: Tree, x: jax.Array, traced: Tree, noise: Tree | None) -> jax.Array:
        """Returns logits (batch, classes); ``noise`` is None where nothing is trained."""
        ...

    def logits(self, params: Tree, x: jax.Array, activation: Any) -> jax.Array:
        """Returns logits (rows, classes) of a trained member; activation: ``layers.Activation``."""
        ...

    def kept(self, params: Tree, config: Config) -> dict[str, np.ndarray]:
        """Returns a trained member's parameters by name, on the host and without padding."""
        ...
