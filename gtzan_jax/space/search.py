"""Searches: what proposes configs and how long they train, and is told their results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep


@dataclass(frozen=True)
class Proposal:
    """Configs to train from one epoch to another, on every fold with every seed.

    Those whose first epoch is not 0 go on from the states that they have reached.
    """

    configs: Sequence[Config]
    first_epoch: int
    epochs: int  # at the end


class Search(Protocol):
    """Asked for proposals until there is none; told how each config did after a proposal.

    A search is a pure function of what it was told, so that a resumed sweep asks again and
    tells what is on the disk.
    """

    def ask(self) -> Proposal | None:
        """Returns what to train next; None at the end."""
        ...

    def tell(self, values: Mapping[str, float]) -> None:
        """Takes in the figure that configs are ranked by, by config id; higher is better."""
        ...


class Grid:
    """Every config of a sweep, for all its epochs, in one proposal."""

    def __init__(self, sweep: Sweep) -> None:
        self._proposals = [Proposal(sweep.configs, 0, sweep.epochs)]

    def ask(self) -> Proposal | None:
        """Returns the whole grid, once."""
        return self._proposals.pop() if self._proposals else None

    def tell(self, values: Mapping[str, float]) -> None:
        """Ignores the results: a grid does not depend on them."""
