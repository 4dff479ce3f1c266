"""Progress of jobs: a bar in a terminal or in Jupyter, lines elsewhere."""

import importlib.util
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task
from rich.table import Column
from rich.text import Text

from gtzan_jax.metrics import METRICS
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.text import counted

if TYPE_CHECKING:
    from gtzan_jax.trainer.task import Trained
    from gtzan_jax.trainer.trainer import Trainer

T = TypeVar("T")


class _StateColumn(ProgressColumn):
    """Shows the state of a bar at each redraw, since it also changes between tasks."""

    def render(self, task: Task) -> Text:
        bar = task.fields["bar"]
        return Text(f"{bar.unit}, {bar.state()}")


class _Bar(Progress):
    """A bar on standard error, or a line after each eighth of the work; a context manager."""

    def __init__(self, total: int, unit: str, done: int = 0, is_quiet: bool = False) -> None:
        console = Console(stderr=True)
        state = _StateColumn(Column(no_wrap=True))
        columns = BarColumn(bar_width=8), MofNCompleteColumn(), state
        super().__init__(*columns, console=console, disable=is_quiet or not _can_draw(console))
        self.unit, self._total, self._done, self._there = unit, total, done, done
        self._is_quiet = is_quiet
        self._started = time.perf_counter()
        self._task = self.add_task("", total=total, completed=done, bar=self)

    def state(self) -> str:
        raise NotImplementedError

    def _reach(self, done: int) -> None:
        before, self._done = self._done, done
        self.update(self._task, completed=done)
        prints = self.disable and not self._is_quiet
        if prints and before * 8 // self._total != done * 8 // self._total:
            print(f"  {done:,} of {self._total:,} {self.unit}, {self.state()}", flush=True)


def _can_draw(console: Console) -> bool:
    """Returns whether a bar can be drawn: in a terminal, or in Jupyter with ipywidgets."""
    if console.is_jupyter:
        return importlib.util.find_spec("ipywidgets") is not None
    return sys.stderr.isatty()


class SweepProgress(_Bar):
    """Shows epochs of all trials, speed, the best accuracy on the ranking part, and programs.

    ``total`` counts the epochs of all trials together; ``there`` of these are already trained.
    """

    def __init__(
        self,
        trainer: "Trainer",
        sweep: Sweep,
        total: int,
        there: int = 0,
        is_quiet: bool = False,
    ) -> None:
        self._trainer, self._best = trainer, 0.0
        self._metric = METRICS.index(f"{PROTOCOLS[sweep.protocol].select_on}_accuracy")
        super().__init__(total, "epochs", there, is_quiet)

    def take(self, trained: "Trained") -> None:
        """Counts a trained task."""
        finite = trained.kept[np.isfinite(trained.kept).all(axis=1)]
        self._best = max(self._best, float(finite[:, self._metric].max(initial=0.0)))
        # Epochs may be trained again: on other devices, or after states were lost.
        epochs = trained.task.epochs - trained.task.first_epoch
        self._reach(min(self._done + len(trained.task.config_ids) * epochs, self._total))

    def state(self) -> str:
        """Returns speed, the best accuracy and compiled programs."""
        compiled, programs = self._trainer.num_compiled, self._trainer.num_programs
        speed = (self._done - self._there) / max(time.perf_counter() - self._started, 1e-9)
        return (
            f"{speed:,.0f}/s, best accuracy {self._best:.3f}, {compiled} of "
            f"{counted(programs, 'program')} compiled"
        )


class PartsProgress(_Bar):
    """Shows finished steps and the current part of a job; ``parts`` has steps by name, in order."""

    def __init__(self, parts: Mapping[str, int]) -> None:
        self._left, self._part = Counter(parts), next(iter(parts))
        super().__init__(self._left.total(), "steps")

    def take(self, part: str, steps: int = 1) -> None:
        """Counts steps of a part."""
        self._left[part] -= steps
        self._part = part
        self._reach(self._total - self._left.total())

    def state(self) -> str:
        """Returns the current part."""
        return self._part


class SongsProgress(_Bar):
    """Shows finished songs and the time left."""

    def __init__(self, total: int) -> None:
        self._new = 0
        super().__init__(total, "songs")

    def take(self, is_new: bool = True) -> None:
        """Counts a song; ``is_new`` if it was processed now, not cached or rejected."""
        self._new += is_new
        self._reach(self._done + 1)

    def state(self) -> str:
        """Returns the speed and the time left."""
        if not self._new:
            return "starting"
        seconds = (time.perf_counter() - self._started) / self._new
        minutes = seconds * (self._total - self._done) / 60
        return f"{1 / seconds:.1f}/s, {minutes:.0f} min left"


def watch_songs(songs: Iterable[T], total: int) -> Iterator[T]:
    """Yields songs, showing progress."""
    with SongsProgress(total) as progress:
        for song in songs:
            progress.take()
            yield song
