"""How far a sweep is: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter
from types import TracebackType

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task
from rich.text import Text

from gtzan_jax.engine import Chunk, Engine
from gtzan_jax.training import METRICS


class SweepProgress:
    """Shows compiled and finished groups, members per second and the best accuracy so far.

    Use as a context manager and hand it every chunk of :meth:`engine.Engine.run`.

    Args:
      engine: tells how many programs are compiled.
      num_seeds: replicates of each config.
    """

    def __init__(self, engine: Engine, num_seeds: int) -> None:
        groups = engine.sweep.shape_groups()
        self._engine = engine
        self._left = Counter({shape: len(ids) * num_seeds for shape, ids in groups.items()})
        self._num_members = sum(self._left.values())
        self._members = 0
        self._best = 0.0
        self._started = time.perf_counter()
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            columns = (BarColumn(bar_width=12), MofNCompleteColumn(), _StateColumn(self))
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("", total=self._num_members)

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

    def update(self, chunk: Chunk) -> None:
        """Takes in a chunk that has been trained."""
        final = chunk.history[:, -1]
        finite = final[np.isfinite(final).all(axis=1)]
        best = finite[:, METRICS.index("test_accuracy")].max(initial=0.0)
        self._best = max(self._best, float(best))
        self._members += len(chunk.config_ids)
        self._left[chunk.shape] -= len(chunk.config_ids)
        if self._bar:
            self._bar.update(self._task, completed=self._members)
        elif not self._left[chunk.shape]:
            print(f"  {self._members:,}/{self._num_members:,} members, {self.state()}", flush=True)

    def state(self) -> str:
        """Returns the line behind the bar."""
        finished = sum(not left for left in self._left.values())
        programs = f"{self._engine.num_compiled}/{self._engine.num_programs}"
        speed = self._members / (time.perf_counter() - self._started)
        return (
            f"groups: {programs} compiled, {finished} done; {speed:,.0f}/s; best {self._best:.3f}"
        )


class _StateColumn(ProgressColumn):
    """The state as a column, read anew each time the bar is drawn."""

    def __init__(self, progress: SweepProgress) -> None:
        super().__init__()
        self._progress = progress

    def render(self, task: Task) -> Text:
        """Returns the column's text."""
        del task
        return Text(self._progress.state())
