"""Base class of the training backends. Imports no JAX: a process that plans need not train."""

import abc
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from gtzan_jax.space.config import Trial
from gtzan_jax.tables.folds import FoldArrays
from gtzan_jax.text import counted
from gtzan_jax.trainer.plan import Plan
from gtzan_jax.trainer.task import Task, Trained

Self = TypeVar("Self", bound="Trainer")


class Trainer(abc.ABC):
    """Trains the tasks of a plan. Use as a context manager."""

    peak_rss_bytes: int = 0  # of other processes

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({reprlib.repr(self.plan.sweep.name)}, "
            f"{counted(len(self.plan.config_of), 'config')}, "
            f"{counted(self.num_programs, 'program')}, {self.place})"
        )

    def __enter__(self: Self) -> Self:
        return self

    @abc.abstractmethod
    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        """Waits for work in progress; after an error, cancels it."""

    @property
    @abc.abstractmethod
    def place(self) -> str:
        """The place of training, in words."""

    @property
    def num_programs(self) -> int:
        """Training programs that the sweep needs, one for each bucket."""
        return len(self.plan.buckets)

    @property
    @abc.abstractmethod
    def num_compiled(self) -> int:
        """The number of compiled programs."""

    @property
    @abc.abstractmethod
    def compile_wait_s(self) -> float:
        """Seconds for which training waited for programs."""

    @abc.abstractmethod
    def run(
        self,
        tasks: Sequence[Task],
        folds: Sequence[FoldArrays],
        states: Mapping[Trial, Any] | None = None,
    ) -> Iterator[Trained]:
        """Trains tasks, and yields the results in any order.

        Trials whose first epoch is not 0 resume from states of a trainer of this class.

        Raises:
          InputError: not even one trial a device fits into memory.
          RunError: training failed.
        """
