"""A chunk: the unit of work, and the result of training it."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from gtzan_jax.space.config import Member
from gtzan_jax.text import counted

Keep = Literal["nothing", "states", "params"]
"""What returns of the members besides their figures: states to resume from, or parameters."""

# Chunks of a wave. The more, the fuller the chunks of the members that are left, and the more
# states are in memory at a time.
_WAVE = 16


@dataclass(frozen=True)
class Chunk:
    """Members of one fold that train together, from one epoch to another.

    The unit of work, of storage and of retry: results do not depend on who trains it.
    """

    bucket: int  # its place in the plan
    size: int  # members that its program is for, more or fewer than it has
    members: tuple[Member, ...]
    first_epoch: int
    epochs: int  # at the end
    keep: Keep = "nothing"

    def __repr__(self) -> str:
        seeds = ", ".join(str(seed) for seed in dict.fromkeys(m.seed for m in self.members))
        members = f"{counted(len(self.members), 'member')} of fold {self.fold}, seed {seeds}"
        return f"Chunk({members}, epochs {self.first_epoch} to {self.epochs})"

    @property
    def fold(self) -> int:
        """The fold's place."""
        return self.members[0].fold

    @property
    def seed(self) -> int:
        """The seed of the first member, which all share unless they have seeds of their own."""
        return self.members[0].seed

    @property
    def config_ids(self) -> tuple[str, ...]:
        """The configs of the members."""
        return tuple(member.config_id for member in self.members)

    @property
    def program(self) -> "ProgramKey":
        """Names the program: of members that differ in the seed, one with draws for each."""
        return ProgramKey(self.bucket, any(m.seed != self.seed for m in self.members), self.size)


class ProgramKey(NamedTuple):
    """What tells a plan's programs apart."""

    bucket: int
    own_seeds: bool  # whether each member has random numbers of its own
    size: int  # members that it is for


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
      states: of every member, on the host; empty unless the chunk keeps them. Opaque to all but
        the trainer.
      params: of every member by name, without padding, after the best epoch; likewise.
    """

    chunk: Chunk
    history: np.ndarray = field(repr=False)
    predicted: np.ndarray = field(repr=False)
    last: np.ndarray = field(repr=False)
    best: np.ndarray = field(repr=False)
    states: Sequence[Any] = field(default=(), repr=False)
    params: Sequence[Mapping[str, np.ndarray]] = field(default=(), repr=False)

    def __repr__(self) -> str:
        return f"Trained({self.chunk!r})"

    @property
    def kept(self) -> np.ndarray:
        """(members, metrics) float32, the figures of the best of these epochs."""
        places = np.maximum(self.best - 1 - self.chunk.first_epoch, 0)
        figures: np.ndarray = self.history[np.arange(len(places)), places]
        return figures


def waves(chunks: Sequence[Chunk], stops_early: bool) -> Iterator[list[Chunk]]:
    """Yields chunks that are trained together: several where members may stop early.

    See ``engine``, which does not repack members whose parameters are kept.
    """
    key = lambda c: (c.bucket, c.fold, c.seed, c.keep)  # noqa: E731
    for _, alike in itertools.groupby(chunks, key=key):
        together = list(alike)
        most = _WAVE if stops_early and together[0].keep != "params" else 1
        for start in range(0, len(together), most):
            yield together[start : start + most]
