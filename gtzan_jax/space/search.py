"""Searches: propose configs and numbers of epochs, and take in the scores."""

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

    From a first epoch other than 0, training resumes from the configs' states.
    """

    configs: Sequence[Config]
    first_epoch: int
    epochs: int  # at the end

    @property
    def config_epochs(self) -> int:
        """The cost: epochs of all configs, for one fold and seed."""
        return len(self.configs) * (self.epochs - self.first_epoch)


class Score(NamedTuple):
    """Mean accuracy and loss of a config over folds and seeds, on the part selected on."""

    accuracy: float
    loss: float

    @property
    def diverged(self) -> bool:
        """Whether a figure is not finite."""
        return not (math.isfinite(self.accuracy) and math.isfinite(self.loss))

    @property
    def key(self) -> tuple[float, float]:
        """The sort key, best first: by accuracy, ties by the loss, diverged scores last."""
        return (math.inf, math.inf) if self.diverged else (-self.accuracy, self.loss)


class Search(Protocol):
    """Proposes configs until there are none left, and is told their scores after each proposal.

    A pure function of the scores, so that a resumed sweep repeats the proposals and tells the
    scores on the disk.
    """

    def ask(self) -> Proposal | None:
        """Returns the next proposal, the same until its scores are told; None at the end."""
        ...

    def tell(self, scores: Mapping[str, Score]) -> None:
        """Records the scores at the end of the proposal, by config id."""
        ...


class Grid:
    """All configs of a sweep for all epochs, in one proposal: a grid, or random draws."""

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
    end of the next, and so on; see ``SearchSettings.rungs``. Bracket b begins with rung b, so that
    later brackets are not misled by scores after few epochs. Brackets cost about the same.

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
        """Records the scores of the rung."""
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
                # Stable: of equal scores the first is kept.
                left.sort(key=lambda config, scores=scores: scores[config.id].key)  # type: ignore[misc]
                left, first = left[: max(1, len(left) // eta)], end


def _brackets(sweep: Sweep) -> list[tuple[Sequence[Config], Sequence[int]]]:
    """Returns the configs of each bracket, and the ends of its rungs."""
    eta, ends = sweep.search.eta, sweep.search.rungs(sweep.epochs)
    several = [ends[bracket:] for bracket in range(sweep.search.brackets)]
    # Mean epochs of a config of each bracket.
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
    """Returns the cost of a search: epochs of all configs, for one fold and seed."""
    if sweep.search.kind != "halving":
        return sweep.num_configs * sweep.epochs
    search, total = Halving(sweep), 0
    while proposal := search.ask():  # scores do not change how many are kept
        total += proposal.config_epochs
        search.tell({config.id: Score(0.0, 0.0) for config in proposal.configs})
    return total
