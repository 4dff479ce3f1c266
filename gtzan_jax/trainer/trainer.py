"""Base class of the trainers. Does not import JAX, since a client only plans."""

import abc
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gtzan_jax.space.config import Trial
from gtzan_jax.tables.folds import FoldArrays
from gtzan_jax.trainer.plan import Plan
from gtzan_jax.trainer.task import Task, Trained


class Trainer(contextlib.AbstractContextManager["Trainer", None]):
    """Trains the tasks of a plan. A context manager; an error inside cancels the work."""

    num_compiled = 0  # compiled programs
    compile_wait_s = 0.0  # seconds that training waited for programs
    peak_rss_bytes = 0  # of worker processes

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @property
    def num_programs(self) -> int:
        """The number of training programs of the sweep, one for each bucket."""
        return len(self.plan.buckets)

    @abc.abstractmethod
    def run(
        self,
        tasks: Sequence[Task],
        folds: Sequence[FoldArrays],
        states: Mapping[Trial, Any] | None = None,
    ) -> Iterator[Trained]:
        """Trains tasks and yields the results, in any order.

        Tasks whose first epoch is not 0 resume from ``states``, those of a trainer of this class.

        Raises:
          InputError: a single trial does not fit into the memory of a device.
          RunError: training failed.
        """
