"""Tracks worker failures and decides when to abort."""

from collections.abc import Iterable, Sequence, Set

from gtzan_jax.backends.waiting import Item
from gtzan_jax.errors import RunError, WorkerLostError, WorkerStartError

_STRIKES = 3  # workers that a task costs before it is taken for the cause
_STARTS = 3  # that fail before a run ends, where nothing gets done meanwhile


class Losses:
    """Keeps count of lost workers.

    Args:
      strikes: workers that a task may cost where most are lost at others.
    """

    def __init__(self, strikes: int) -> None:
        self._strikes = strikes
        self._count = self._in_a_row = 0  # workers, and those since the last answer
        self._unstarted = 0  # workers that failed to start since the last answer
        self._most = 0  # workers at once
        self._earlier = self._present = frozenset[str]()  # workers at the last two looks
        self._survivors = frozenset[str]()  # of the last loss

    def look(self, slots: Iterable[str]) -> None:
        """Takes note of the workers that there are."""
        self._earlier, self._present = self._present, frozenset(slots)
        self._most = max(self._most, len(self._present))

    @property
    def trusted(self) -> Set[str]:
        """The workers that were there before the last loss, or else all.

        A worker that joined later may be on the same faulty machine, and end at anything.
        """
        return self._present & self._survivors or self._present

    def answered(self) -> None:
        """Takes note that something got done."""
        self._in_a_row = self._unstarted = 0

    def charge(self, slot: str, items: Sequence[Item], error: WorkerLostError) -> None:
        """Counts a worker that was lost, and each of the tasks that it had in hand.

        A worker that failed to start is no fault of the tasks that it was to do.

        Raises:
          RunError: workers fail to start, a task has cost too many workers, or workers are lost
            and nothing gets done. Where most are lost at other tasks, as where machines are taken
            back, three are no sign of anything.
        """
        if isinstance(error, WorkerStartError):
            self._unstarted += 1
            if self._unstarted >= _STARTS:
                raise RunError(
                    f"{self._unstarted} workers in a row failed to start, the last: {error}; what "
                    "is finished is kept"
                )
            return
        self._count += 1
        self._in_a_row += 1
        self._survivors = self._earlier - {slot}
        for item in items:
            item.strikes += 1
            most = item.strikes > self._count / 2
            if item.strikes >= (_STRIKES if most else self._strikes):
                raise RunError(
                    f"{item.name} has cost {item.strikes} workers, the last {error}; what is "
                    "finished is kept"
                )
        if self._in_a_row >= self._strikes + self._most:
            worst = max(items, key=lambda item: item.strikes)
            raise RunError(
                f"{self._in_a_row} workers were lost and nothing got done meanwhile, the last "
                f"{error}, with {worst.name}; what is finished is kept"
            )
