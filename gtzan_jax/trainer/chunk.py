"""A chunk: the unit of work, which says what it is, and what training it has come to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.space.config import Member
from gtzan_jax.trainer.planner import Bucket

if TYPE_CHECKING:  # imports JAX, and the run directory reads chunks without it
    from gtzan_jax.trainer.member import State


@dataclass(frozen=True)
class Chunk:
    """Members that train together, from one epoch to another.

    A unit of work that says what it is, and whose results do not depend on who does it.
    """

    bucket: Bucket
    fold: int
    seed: int
    config_ids: tuple[str, ...]
    first_epoch: int
    epochs: int  # at the end

    def __repr__(self) -> str:
        members = f"{len(self.config_ids)} members of fold {self.fold}, seed {self.seed}"
        epochs = f"epochs {self.first_epoch} to {self.epochs}"
        return f"Chunk({members}, {epochs}, widths {self.bucket.structure})"

    @property
    def members(self) -> list[Member]:
        """The members, in the order of the chunk."""
        return [Member(config_id, self.fold, self.seed) for config_id in self.config_ids]


@dataclass(frozen=True)
class Trained:
    """What training a chunk has come to.

    Attributes:
      history: (members, epochs from first to last, metrics) float32, as ``metrics.METRICS``.
      predicted: (members, num_judged) uint8, classes predicted after the last of these epochs for
        what is judged of the fold: its rows to evaluate, or their songs where those vote.
      states: of every member, on the host; empty unless they were asked for.
    """

    chunk: Chunk
    history: np.ndarray = field(repr=False)
    predicted: np.ndarray = field(repr=False)
    states: "Sequence[State]" = field(repr=False)

    def __repr__(self) -> str:
        return f"Trained({self.chunk!r})"
