"""Tasks that wait for a worker, and their order."""

import itertools
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from gtzan_jax.backends.work import Task


@dataclass
class Item:
    """A task on its way."""

    number: int
    program: Hashable  # what must be compiled for it
    task: Task
    name: str  # for messages
    blobs: tuple[str, ...] = ()  # digests that a worker has said it lacks
    strikes: int = 0  # workers that were lost with it


class Waiting:
    """Tasks that wait, by the program that they need; those that were lost with a worker first."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items: dict[Hashable, deque[Item]] = {}
        self.suspects: deque[Item] = deque()
        for item in items:
            self._items.setdefault(item.program, deque()).append(item)

    def __len__(self) -> int:
        return len(self.suspects) + sum(map(len, self._items.values()))

    def put_back(self, item: Item) -> None:
        """Takes an item in again, as the next, or as the next of its program."""
        if item.strikes:
            self.suspects.appendleft(item)
        else:
            self._items.setdefault(item.program, deque()).appendleft(item)

    def take(
        self, slot: str, compiled: Mapping[str, set[Hashable]], suspects: bool = True
    ) -> Item | None:
        """Returns the next item for a worker: a suspect, if it may have one, of whatever program.

        Else of the programs that it has the first, so that it draws the numbers of a seed but once;
        else of the one with the most items to each worker that has it.
        """
        if suspects and self.suspects:
            return self.suspects.popleft()
        if not self._items:
            return None
        own = [program for program in self._items if program in compiled[slot]]
        if own:
            program = min(own, key=lambda p: self._items[p][0].number)
        else:
            owners = Counter(itertools.chain.from_iterable(compiled.values()))
            program = max(self._items, key=lambda p: len(self._items[p]) / (owners[p] or 0.1))
        item = self._items[program].popleft()
        if not self._items[program]:
            del self._items[program]
        return item
