"""How far a job is: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Mapping

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.text import Text

from gtzan_jax.engine import Chunk, Engine
from gtzan_jax.training import METRICS


class _Bar(Progress):
    """A bar on standard error, with its state behind it; nothing without a terminal.

    Use as a context manager.
    """

    def __init__(self, total: int, state: ProgressColumn) -> None:
        columns = (BarColumn(bar_width=12), MofNCompleteColumn(), state)
        console = Console(stderr=True)
        super().__init__(*columns, console=console, disable=not sys.stderr.isatty())
        self._total = total
        self._task = self.add_task("", total=total)
        self._started = time.perf_counter()


class SweepProgress(_Bar):
    """Shows compiled and finished groups, members per second and the best accuracy so far.

    Use as a context manager and hand it every chunk of :meth:`engine.Engine.run`.

    Args:
      engine: tells how many programs are compiled.
      num_seeds: replicates of each config.
    """

    def __init__(self, engine: Engine, num_seeds: int) -> None:
        self._engine = engine
        self._left = Counter(
            {bucket: len(bucket.config_ids) * num_seeds for bucket in engine.chunks}
        )
        self._members = 0
        self._best = 0.0
        super().__init__(self._left.total(), _StateColumn(self))

    def take(self, chunk: Chunk) -> None:
        """Takes in a chunk that has been trained."""
        final = chunk.history[:, -1]
        finite = final[np.isfinite(final).all(axis=1)]
        best = finite[:, METRICS.index("test_accuracy")].max(initial=0.0)
        self._best = max(self._best, float(best))
        self._members += len(chunk.config_ids)
        self._left[chunk.bucket] -= len(chunk.config_ids)
        self.update(self._task, completed=self._members)
        if self.disable and not self._left[chunk.bucket]:
            print(f"  {self._members:,}/{self._total:,} members, {self.state()}", flush=True)

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


class PartsProgress(_Bar):
    """Shows how many steps of a job in parts are done, and which part it is at.

    Use as a context manager.

    Args:
      parts: steps of every part, by its name, in their order.
    """

    def __init__(self, parts: Mapping[str, int]) -> None:
        self._left = Counter(parts)
        super().__init__(self._left.total(), TextColumn("{task.description}"))
        self.update(self._task, description=next(iter(parts)))

    def take(self, part: str, steps: int = 1) -> None:
        """Takes in that steps of a part are done."""
        self._left[part] -= steps
        done = self._total - self._left.total()
        self.update(self._task, completed=done, description=part)
        if self.disable and not self._left[part]:
            seconds = time.perf_counter() - self._started
            print(f"  {done}/{self._total} steps; {seconds:.0f} s; {part} done", flush=True)
