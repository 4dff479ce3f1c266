"""A finished run for notebooks: results, history, best model, report, Optuna study."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from gtzan_jax import checks
from gtzan_jax.rundir.finished import FinishedRun, read_finished
from gtzan_jax.space.optuna_search import distributions_of, import_optuna

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from gtzan_jax.inference.model import TrainedModel


class Run(FinishedRun):
    """A finished run; see :class:`FinishedRun`."""

    @property
    def best(self) -> "TrainedModel":
        """The retrained best model.

        Raises:
          InputError: there is none, or its files are damaged.
        """
        from gtzan_jax.inference.model_files import load_model

        return load_model(self.run.path)

    def report(self) -> Path:
        """Writes report.html into the run directory; returns its path."""
        from gtzan_jax.jobs.reporting import write_report

        return write_report([self])

    def to_optuna(self) -> "Study":
        """Returns the configs as an Optuna study in memory, for its plots and importances.

        Each config is one trial, in the order of ``results``: trial 0 has rank 1. Its value is the
        figure that ranks configs, a mean over folds and seeds; intermediate values are the same
        after each epoch that all folds and seeds reached. Configs that the search stopped are
        pruned; those that diverged failed. Hyperparameters with one value are ``user_attrs`` of
        the study. If a sampler of Optuna's proposed the configs, its own study is the run's
        ``study.journal``.

        Raises:
          InputError: Optuna is not installed.
        """
        optuna = import_optuna()
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # no message on the new study
        study = optuna.create_study(study_name=self.name, direction="maximize")
        optuna.logging.set_verbosity(level)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # metric names are experimental
            study.set_metric_names([self.metrics[0]])
        for name, values in self.sweep.axes.items():
            if len(values) == 1:
                study.set_user_attr(name, values[0])
        study.add_trials(self._trials())
        return study  # type: ignore[no-any-return]

    def _trials(self) -> "list[FrozenTrial]":
        """Returns each config as an Optuna trial, best first."""
        from optuna.trial import TrialState, create_trial

        metric, runs = self.metrics[0], self.accuracy.shape[1]
        by_epoch = self.history.groupby(["config_id", "epoch"])[metric].agg(["mean", "count"])
        curves: dict[str, dict[int, float]] = {config_id: {} for config_id in self.sweep.places}
        for (config_id, epoch), mean in by_epoch.loc[by_epoch["count"] == runs, "mean"].items():
            curves[config_id][epoch] = mean
        distributions, trials = distributions_of(self.sweep), []
        for row in self.results.to_dict("records"):
            config = self.config(row["rank"])
            about = {
                "config_id": config.id,
                "rank": row["rank"],
                "num_folds": len(self.manifest.split.folds),
                "num_seeds": len(self.manifest.seeds),
            }
            if metric != "test_accuracy":
                about["test_accuracy (not for selection)"] = row["test_accuracy"]
            state = TrialState.COMPLETE
            if row["diverged"]:
                state = TrialState.FAIL
            elif row.get("epochs_given", self.sweep.epochs) < self.sweep.epochs:
                state = TrialState.PRUNED
            trials.append(
                create_trial(
                    state=state,
                    value=None if row["diverged"] else row[metric],
                    params={name: config[name] for name in distributions},
                    distributions=distributions,
                    user_attrs=about,
                    intermediate_values=curves[config.id],
                )
            )
        return trials


@checks.known_names
def read_run(path: str | os.PathLike[str]) -> Run:
    """Reads a finished run directory; see ``rundir.finished.read_finished``.

    Raises:
      InputError: it is not a finished run directory, or its files do not match.
      TypeError: a parameter is unknown.
    """
    checks.path(path, "path")
    return Run(**vars(read_finished(path)))
