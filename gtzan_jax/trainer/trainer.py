"""Base class of what trains. Imports no JAX: a process that plans need not train."""

import abc
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gtzan_jax.space.config import Trial
from gtzan_jax.tables.folds import FoldArrays
from gtzan_jax.trainer.plan import Plan
from gtzan_jax.trainer.task import Task, Trained


class Trainer(contextlib.AbstractContextManager["Trainer", None]):
    """Trains the tasks of a plan. A context manager; an error in it cancels work in progress."""

    num_compiled = 0  # programs that have trained
    compile_wait_s = 0.0  # for which training waited for programs
    peak_rss_bytes = 0  # of other processes

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @property
    def num_programs(self) -> int:
        """Training programs that the sweep needs, one for each bucket."""
        return len(self.plan.buckets)

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
