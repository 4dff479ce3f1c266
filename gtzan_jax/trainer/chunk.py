"""A chunk: the unit of work, which says what it is, and what training it has come to.

Replicas are the other unit: seeds of one config, for a retraining.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from gtzan_jax.space.config import Member
from gtzan_jax.text import counted
from gtzan_jax.trainer.planner import Bucket

# Chunks of a wave. The more, the fuller the chunks of the members that are left, and the more
# states are in memory at a time.
_WAVE = 16


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
        members = f"{counted(len(self.config_ids), 'member')} of fold {self.fold}, seed {self.seed}"
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
      history: (members, epochs from first to last, metrics) float32, as ``metrics.METRICS``; 0
        for epochs after a member's last.
      predicted: (members, num_judged) uint8, classes predicted after the best epoch for what is
        judged of the fold: its rows to evaluate, or their songs where those vote.
      last: (members,) int32, the epoch after which training stopped, from 1; the chunk's last
        unless it stopped early.
      best: (members,) int32, the epoch whose weights are kept; the last unless members stop early.
      states: of every member, on the host; empty unless they were asked for. Only the trainer
        knows what is in them.
    """

    chunk: Chunk
    history: np.ndarray = field(repr=False)
    predicted: np.ndarray = field(repr=False)
    last: np.ndarray = field(repr=False)
    best: np.ndarray = field(repr=False)
    states: Sequence[Any] = field(repr=False)

    def __repr__(self) -> str:
        return f"Trained({self.chunk!r})"

    @property
    def kept(self) -> np.ndarray:
        """(members, metrics) float32, the figures of the best of these epochs."""
        places = np.maximum(self.best - 1 - self.chunk.first_epoch, 0)
        figures: np.ndarray = self.history[np.arange(len(places)), places]
        return figures


def waves(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """Yields chunks that are trained together where members may stop early: see ``repacking``."""
    for _, alike in itertools.groupby(chunks, key=lambda c: (c.bucket, c.fold, c.seed)):
        together = list(alike)
        for start in range(0, len(together), _WAVE):
            yield together[start : start + _WAVE]


@dataclass(frozen=True)
class Replicas:
    """Several seeds of one config on one fold: what a retraining trains."""

    config_id: str
    fold: int  # its place
    seeds: tuple[int, ...]  # one replica each
    epochs: int  # of each
    program_size: int = 0  # at a time, of a part of a larger number of seeds; 0: as fits


class Replica(NamedTuple):
    """One seed's training."""

    params: dict[str, np.ndarray]  # by name, without padding
    history: np.ndarray  # (epochs trained, metrics) float32, as metrics.METRICS
    predicted: np.ndarray  # (num_judged,) uint8, classes predicted after the best epoch
    best: int  # the epoch of the params, from 1; the last unless the config stops early
