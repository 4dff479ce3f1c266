"""The log directory to look at first in TensorBoard: the best, means, figures, texts."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gtzan_jax.analysis.endings import mean_curves as mean_curves_of_networks
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.history import History
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.protocols import Division
from gtzan_jax.views import plots, tensorboard
from gtzan_jax.views.sections.effects import main_shares, ranked_effects
from gtzan_jax.views.text import Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_TOP = 10
_TABLE = 20


class Retrained(Protocol):
    """What is shown of a retraining; see ``jobs.retraining.Retrained``."""

    @property
    def history(self) -> "pd.DataFrame":
        """One row an epoch of a network."""

    @property
    def figures(self) -> "dict[str, Figure]":
        """By tag."""


def write(
    folder: Path,
    sweep: Sweep,
    division: Division,
    results: "pd.DataFrame",
    history: History,
    retrained: Retrained | None,
) -> None:
    """Writes it into a folder; the results are those of ``rundir.ranking.results_table``.

    These are the curves of the ten best configs, those of every value of every varying axis
    (means over configs, folds and seeds), the mean curves of the retraining, texts and figures.
    """
    metrics, note = division.metrics, division.table.note(division.note)
    best = results["config_id"].head(_TOP).to_list()
    names = [sweep.configs[sweep.places[config_id]].name for config_id in best]
    curves = history.of(best).mean(axis=1)
    for rank, (name, curve) in enumerate(zip(names, curves, strict=True), start=1):
        tensorboard.write_curves(folder / "top" / f"{rank:02d}_{name}", curve, metrics)
    for name, curve in mean_curves(sweep, history).items():
        tensorboard.write_curves(folder / "mean" / name, curve, metrics)
    if retrained:
        mean = mean_curves_of_networks(retrained.history).reindex(columns=list(METRICS))
        tensorboard.write_curves(folder / "retrained", mean.to_numpy(), metrics)
    texts = {
        "results": Table.of(results.head(_TABLE)).markdown,
        "about": f"{note}\n\n{division.protocol.note}\n\n{division.table.notice}",
    }
    figures = {
        **_effects_figure(sweep, history, note),
        "top_ten": plots.top_curves(curves[:, :, METRICS.index("test_accuracy")], names, note),
    }
    tensorboard.write_notes(folder, texts, figures | (retrained.figures if retrained else {}))


def _effects_figure(sweep: Sweep, history: History, note: str) -> "dict[str, Figure]":
    """Draws what each value does, by its tag; nothing where there is nothing to compare."""
    places = [sweep.places[config_id] for config_id in history.config_ids]
    grid = history.by_config()[np.argsort(places)]  # (configs, runs, epochs, metrics)
    accuracy = grid[:, :, -1, METRICS.index("test_accuracy")].astype(np.float64)
    accuracy[~np.isfinite(grid).all(axis=(1, 2, 3))] = np.nan
    if not sweep.varying or np.isnan(accuracy).all():
        return {}
    num_folds = len({member.fold for member in history.members})
    by_fold = accuracy.reshape(len(accuracy), num_folds, -1)
    values, parts = ranked_effects(by_fold, sweep.varying)
    title = "Effect of each value on test accuracy"
    shares = None if parts is None else main_shares(parts)
    return {"effects": plots.value_effects(values, shares, title, note)}


def mean_curves(sweep: Sweep, history: History) -> dict[str, np.ndarray]:
    """Returns the mean history of the configs of each value, by ``axis=value``.

    Diverged configs are left out: they would make every mean that they are part of meaningless.
    """
    by_config = history.by_config().mean(axis=1)  # (configs, epochs, metrics)
    sound = np.isfinite(by_config).all(axis=(1, 2))
    configs = [sweep.configs[sweep.places[config_id]] for config_id in history.config_ids]
    curves = {}
    for axis, values in sweep.varying.items():
        taken = [config[axis] for config in configs]
        for value in values:
            members = sound & np.array([other == value for other in taken])
            if members.any():
                curves[f"{axis}={value}"] = by_config[members].mean(axis=0)
    return curves
