"""A finished run as notebooks see it: results, history, the best model, the report."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gtzan_jax import checks
from gtzan_jax.rundir.finished import FinishedRun, read_finished

if TYPE_CHECKING:
    from gtzan_jax.inference.model import TrainedModel


class Run(FinishedRun):
    """A finished run; see :class:`FinishedRun`."""

    @property
    def best(self) -> "TrainedModel":
        """The retrained best model.

        Raises:
          InputError: the run has none, or its files are damaged.
        """
        from gtzan_jax.inference.model_files import load_model

        return load_model(self.run.path)

    def report(self) -> Path:
        """Writes report.html into the run directory; returns its path."""
        from gtzan_jax.jobs.reporting import write_report

        return write_report([self])


@checks.known_names
def read_run(path: str | os.PathLike[str]) -> Run:
    """Reads a finished run directory; see ``rundir.finished.read_finished``.

    Raises:
      InputError: it is no finished run directory, or its files do not fit together.
      TypeError: a parameter is unknown.
    """
    checks.path(path, "path")
    return Run(**vars(read_finished(path)))
