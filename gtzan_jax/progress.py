"""How far a sweep is: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from gtzan_jax.engine import Chunk, Compiled
from gtzan_jax.space import Shape
from gtzan_jax.training import METRICS


class SweepProgress:
    """Shows compiled and finished groups, members per second and the best accuracy so far.

    Use as a context manager and hand it every event of :meth:`engine.Engine.run`.

    Args:
      group_members: members of every shape group, all seeds.
    """

    def __init__(self, group_members: Mapping[Shape, int]) -> None:
        self._left = Counter(group_members)
        self._num_groups = len(group_members)
        self._num_members = sum(group_members.values())
        self._compiled = 0
        self._finished = 0  # groups
        self._members = 0
        self._best = 0.0
        self._started = time.perf_counter()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task("compiling", total=self._num_members)

    def __enter__(self) -> "SweepProgress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, event: Compiled | Chunk) -> None:
        """Takes in an event of the engine."""
        if isinstance(event, Compiled):
            self._compiled += 1
        else:
            self._members += len(event.config_ids)
            self._left[event.shape] -= len(event.config_ids)
            final = event.history[:, -1]
            finite = final[np.isfinite(final).all(axis=1)]
            best = finite[:, METRICS.index("test_accuracy")].max(initial=0.0)
            self._best = max(self._best, float(best))
            if not self._left[event.shape]:
                self._finished += 1
                if not self._bar:
                    print(f"  {self._members:,}/{self._num_members:,} members; {self._line()}")
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=self._members, description=self._line())

    def _line(self) -> str:
        speed = self._members / (time.perf_counter() - self._started)
        groups = f"groups: {self._compiled} compiled, {self._finished}/{self._num_groups} done"
        return f"{groups}; {speed:.0f}/s; best {self._best:.3f}"
