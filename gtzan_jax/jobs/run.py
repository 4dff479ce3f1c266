"""A finished run as notebooks see it: results, history, the best model, the report."""

from pathlib import Path
from typing import TYPE_CHECKING

from gtzan_jax.rundir.finished import FinishedRun, read_finished

if TYPE_CHECKING:
    from gtzan_jax.models.trained import TrainedModel


class Run(FinishedRun):
    """A finished run: see :class:`FinishedRun` for ``results``, ``history`` and the rest."""

    @property
    def best(self) -> "TrainedModel":
        """The retrained best model.

        Raises:
          InputError: the run has none, or its files are damaged.
        """
        from gtzan_jax.rundir.model_files import load_model

        return load_model(self.run.path)

    def report(self) -> Path:
        """Writes report.html and its twin into the run directory; returns the page's path."""
        from gtzan_jax.jobs.reporting import write_report

        return write_report([self])


def read_run(path: str | Path) -> Run:
    """Reads a finished run directory; see ``rundir.finished.read_finished``."""
    return Run(**vars(read_finished(path)))
