"""Searches: propose configs and numbers of epochs, and learn from the scores."""

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
    """Mean accuracy and loss of a config over folds and seeds, on the part that ranks configs."""

    accuracy: float
    loss: float

    @property
    def diverged(self) -> bool:
        """True if accuracy or loss is not finite."""
        return not (math.isfinite(self.accuracy) and math.isfinite(self.loss))

    @property
    def key(self) -> tuple[float, float]:
        """The sort key, best first: by accuracy, then by loss; diverged scores last."""
        return (math.inf, math.inf) if self.diverged else (-self.accuracy, self.loss)


class Search(Protocol):
    """Protocol of searches: ``ask`` returns a proposal, ``tell`` takes its scores.

    Proposals are a pure function of the scores, so a resumed sweep repeats them.
    """

    def ask(self) -> Proposal | None:
        """Returns the next proposal, the same one until ``tell``; None at the end."""
        ...

    def tell(self, scores: Mapping[str, Score]) -> None:
        """Records the scores at the end of the proposal, by config id."""
        ...


class Grid:
    """All configs of a sweep for all epochs, in one proposal: a grid, or random draws."""

    def __init__(self, sweep: Sweep) -> None:
        self._proposals = self._rungs(sweep)
        self._next: Proposal | None = next(self._proposals)

    def ask(self) -> Proposal | None:
        """Returns the next proposal; None after the last one."""
        return self._next

    def tell(self, scores: Mapping[str, Score]) -> None:
        """Continues with the scores of the proposal."""
        try:
            self._next = self._proposals.send(scores)
        except StopIteration:
            self._next = None

    @staticmethod
    def _rungs(sweep: Sweep) -> Generator[Proposal, Mapping[str, Score], None]:
        yield Proposal(sweep.configs, 0, sweep.epochs)


class Halving(Grid):
    """Successive halving, and Hyperband's brackets of it (Jamieson 2016; Li et al. 2018).

    All configs of a bracket train to the end of its first rung, the best one in η to the end of the
    next, and so on; see ``SearchSettings.rungs``. Bracket b begins with rung b, so that later
    brackets do not depend on scores after few epochs. Brackets cost about the same.
    """

    @staticmethod
    def _rungs(sweep: Sweep) -> Generator[Proposal, Mapping[str, Score], None]:
        eta, ends = sweep.search.eta, sweep.search.rungs(sweep.epochs)
        brackets = [ends[bracket:] for bracket in range(sweep.search.brackets)]
        costs = [  # mean epochs of a config of each bracket
            sum((e - b) / eta**k for k, (b, e) in enumerate(itertools.pairwise((0, *rungs))))
            for rungs in brackets
        ]
        whole = sum(1 / cost for cost in costs)
        shares = [sum(1 / cost for cost in costs[:n]) / whole for n in range(len(costs) + 1)]
        cuts = itertools.pairwise(round(share * sweep.num_configs) for share in shares)
        for (start, stop), rungs in zip(cuts, brackets, strict=True):
            left, first = list(sweep.configs[start:stop]), 0
            for end in rungs if left else ():
                scores = yield Proposal(tuple(left), first, end)
                # A stable sort keeps the first of equal scores.
                left.sort(key=lambda config, scores=scores: scores[config.id].key)  # type: ignore[misc]
                left, first = left[: max(1, len(left) // eta)], end


def config_epochs(sweep: Sweep) -> int:
    """Returns the cost of a search: epochs of all configs, for one fold and seed."""
    if sweep.search.kind != "halving":
        return sweep.num_configs * sweep.epochs
    search, total = Halving(sweep), 0
    while proposal := search.ask():  # the number of kept configs does not depend on scores
        total += proposal.config_epochs
        search.tell({config.id: Score(0.0, 0.0) for config in proposal.configs})
    return total
