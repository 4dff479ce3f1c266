"""How far a job is: a bar in a terminal or in Jupyter, plain lines elsewhere."""

import importlib.util
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

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

from gtzan_jax.metrics import METRICS
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.protocols import PROTOCOLS

if TYPE_CHECKING:
    from gtzan_jax.trainer.chunk import Trained
    from gtzan_jax.trainer.trainer import Trainer

T = TypeVar("T")


class _Bar(Progress):
    """A bar with its state behind it; nothing where there is no place for one.

    Use as a context manager. In a terminal it is on standard error.
    """

    def __init__(self, total: int, state: ProgressColumn) -> None:
        columns = (BarColumn(bar_width=12), MofNCompleteColumn(), state)
        console = Console(stderr=True)
        super().__init__(*columns, console=console, disable=not _can_draw(console))
        self._total = total
        self._task = self.add_task("", total=total)
        self._started = time.perf_counter()


def _can_draw(console: Console) -> bool:
    """Whether a bar can be drawn: Jupyter needs ipywidgets, all else a terminal."""
    if console.is_jupyter:
        return importlib.util.find_spec("ipywidgets") is not None
    return sys.stderr.isatty()


class SweepProgress(_Bar):
    """Shows compiled programs, epochs of members and the best accuracy of one of them so far.

    The accuracy is that of the part by which the protocol ranks configs. Without a bar, a line
    is printed after every eighth of the epochs.

    Args:
      trainer: tells how many programs are compiled.
      total: epochs that all members together train.
      there: those of them that are trained already.
    """

    def __init__(self, trainer: "Trainer", sweep: Sweep, total: int, there: int = 0) -> None:
        self._trainer = trainer
        self._there = self._epochs = there
        self._metric = METRICS.index(f"{PROTOCOLS[sweep.protocol].select_on}_accuracy")
        self._best = 0.0
        super().__init__(total, _StateColumn(self))
        self.update(self._task, completed=there)

    def take(self, trained: "Trained") -> None:
        """Takes in a chunk that has been trained."""
        finite = trained.kept[np.isfinite(trained.kept).all(axis=1)]
        self._best = max(self._best, float(finite[:, self._metric].max(initial=0.0)))
        before, chunk = self._epochs, trained.chunk
        # A chunk may hold what was there: of a run on other devices, or whose states were lost.
        epochs = len(chunk.config_ids) * (chunk.epochs - chunk.first_epoch)
        self._epochs = min(before + epochs, self._total)
        self.update(self._task, completed=self._epochs)
        if self.disable and before * 8 // self._total != self._epochs * 8 // self._total:
            done = f"{self._epochs:,}/{self._total:,} member-epochs"
            print(f"  {done}, {self.state()}", flush=True)

    def state(self) -> str:
        """Returns the line behind the bar."""
        programs = f"{self._trainer.num_compiled}/{self._trainer.num_programs}"
        speed = (self._epochs - self._there) / (time.perf_counter() - self._started)
        return f"programs: {programs} compiled; {speed:,.0f}/s; best {self._best:.3f}"


class _StateColumn(ProgressColumn):
    """The state as a column, read anew each time the bar is drawn."""

    def __init__(self, progress: "SweepProgress | SongsProgress") -> None:
        super().__init__()
        self._progress = progress

    def render(self, task: Task) -> Text:
        """Returns the column's text."""
        del task
        return Text(self._progress.state())


class PartsProgress(_Bar):
    """Shows how many steps of a job in parts are done, and which part it is at.

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


class SongsProgress(_Bar):
    """Shows how many songs are done, and how long the others will take.

    Without a bar, a line is printed after every eighth of the songs.
    """

    def __init__(self, total: int) -> None:
        self._done = self._new = 0
        super().__init__(total, _StateColumn(self))

    def take(self, is_new: bool = True) -> None:
        """Takes in a song; ``is_new``: it took time, and was not kept from before or refused."""
        before, self._done = self._done, self._done + 1
        self._new += is_new
        self.update(self._task, completed=self._done)
        if self.disable and before * 8 // self._total != self._done * 8 // self._total:
            print(f"  {self._done:,}/{self._total:,} songs; {self.state()}", flush=True)

    def state(self) -> str:
        """Returns the line behind the bar."""
        if not self._new:
            return "begins"
        seconds = (time.perf_counter() - self._started) / self._new
        left = seconds * (self._total - self._done)
        return f"{1 / seconds:.1f} songs/s; {_duration(left)} left"


def watch_songs(songs: Iterable[T], total: int) -> Iterator[T]:
    """Hands songs on as they come, and shows how many of all are done."""
    with SongsProgress(total) as progress:
        for song in songs:
            progress.take()
            yield song


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
