"""Searches: what proposes configs and how long they train, and is told their results."""

import itertools
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

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

    @property
    def config_epochs(self) -> int:
        """What it costs: epochs of all configs, for one fold and seed."""
        return len(self.configs) * (self.epochs - self.first_epoch)


class Score(NamedTuple):
    """How a config did on the part that is selected on, means over folds and seeds."""

    accuracy: float
    loss: float

    @property
    def diverged(self) -> bool:
        """Whether a figure is not finite."""
        return not (math.isfinite(self.accuracy) and math.isfinite(self.loss))

    @property
    def key(self) -> tuple[float, float]:
        """Sorts the best first: by accuracy, ties by the loss, what diverged last."""
        return (math.inf, math.inf) if self.diverged else (-self.accuracy, self.loss)


class Search(Protocol):
    """Asked for proposals until there is none; told how each config did after a proposal.

    A search is a pure function of what it was told, so that a resumed sweep asks again and
    tells what is on the disk.
    """

    def ask(self) -> Proposal | None:
        """Returns what to train next, the same until it is told of; None at the end."""
        ...

    def tell(self, scores: Mapping[str, Score]) -> None:
        """Takes in how the configs of the proposal did at its end, by their ids."""
        ...


class Grid:
    """Every config of a sweep, for all its epochs, in one proposal: a grid, or random draws."""

    def __init__(self, sweep: Sweep) -> None:
        self._next: Proposal | None = Proposal(sweep.configs, 0, sweep.epochs)

    def ask(self) -> Proposal | None:
        """Returns the whole grid; None when it has been trained."""
        return self._next

    def tell(self, scores: Mapping[str, Score]) -> None:
        """Ignores the results: a grid does not depend on them."""
        del scores
        self._next = None


class Halving:
    """Successive halving, and Hyperband's brackets of it.

    All configs of a bracket train to the end of its first rung, the best of them, one in η, to the
    end of the next, and so on; ``SearchSettings.rungs`` says where rungs end. Bracket b of several
    begins with rung b: should figures after few epochs mislead, a later bracket has not gone by
    them. The configs are shared out so that the brackets cost about the same.

    References:
      Jamieson, Talwalkar (2016), Non-stochastic best arm identification and hyperparameter
      optimization.
      Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar (2018), Hyperband.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._proposals = self._rungs(sweep)
        self._next: Proposal | None = next(self._proposals)

    def ask(self) -> Proposal | None:
        """Returns the next rung; None after the last one."""
        return self._next

    def tell(self, scores: Mapping[str, Score]) -> None:
        """Takes in how the configs of the rung did."""
        try:
            self._next = self._proposals.send(scores)
        except StopIteration:
            self._next = None

    @staticmethod
    def _rungs(sweep: Sweep) -> Generator[Proposal, Mapping[str, Score], None]:
        eta = sweep.search.eta
        for configs, ends in _brackets(sweep):
            left, first = list(configs), 0
            for end in ends:
                scores = yield Proposal(tuple(left), first, end)
                # Stable, so that of what is equal in both figures the first goes on.
                left.sort(key=lambda config, scores=scores: scores[config.id].key)  # type: ignore[misc]
                left, first = left[: max(1, len(left) // eta)], end


def _brackets(sweep: Sweep) -> list[tuple[Sequence[Config], Sequence[int]]]:
    """Returns the configs of each bracket, and the ends of its rungs."""
    eta, ends = sweep.search.eta, sweep.search.rungs(sweep.epochs)
    several = [ends[bracket:] for bracket in range(sweep.search.brackets)]
    # A config's epochs on average, over those that are left on the way.
    costs = [
        sum((end - begin) / eta**k for k, (begin, end) in enumerate(itertools.pairwise((0, *e))))
        for e in several
    ]
    whole = sum(1 / cost for cost in costs)
    shares = [sum(1 / cost for cost in costs[:count]) / whole for count in range(len(costs) + 1)]
    cuts = [round(share * sweep.num_configs) for share in shares]
    parts = [sweep.configs[start:stop] for start, stop in itertools.pairwise(cuts)]
    return [(part, e) for part, e in zip(parts, several, strict=True) if part]


def config_epochs(sweep: Sweep) -> int:
    """Returns what a search costs: epochs of all configs, for one fold and seed."""
    if sweep.search.kind != "halving":
        return sweep.num_configs * sweep.epochs
    search, total = Halving(sweep), 0
    while proposal := search.ask():  # what is told does not change how many go on
        total += proposal.config_epochs
        search.tell({config.id: Score(0.0, 0.0) for config in proposal.configs})
    return total
