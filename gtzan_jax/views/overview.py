"""TensorBoard's overview of a sweep: the best configs, means, figures, texts."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.analysis.endings import mean_curves as mean_curves_of_networks
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.history import History
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.protocols import Splits
from gtzan_jax.views import plots, tensorboard
from gtzan_jax.views.sections.effects import effects_figure, effects_of
from gtzan_jax.views.text import Table, by_stem, counted, plus_minus

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_TEST = METRICS.index("test_accuracy")
_TOP = 10
_TABLE = 20


def write(
    folder: Path,
    sweep: Sweep,
    splits: Splits,
    results: "pd.DataFrame",
    history: History,
    retrained: "pd.DataFrame | None",
    retrained_figures: "Mapping[str, Figure]",
) -> None:
    """Writes the overview of a sweep into a folder.

    It has the curves of the ten best configs, of each value of each varying axis (means over
    configs, folds and seeds) and of the retraining (means over networks), texts and figures.

    Args:
      folder: the log directory.
      sweep: the sweep.
      splits: of its songs.
      results: from ``rundir.ranking.results_table``.
      history: of all trials.
      retrained: the retraining's history, one row an epoch of a network; None without one.
      retrained_figures: by tag.
    """
    metrics, note = splits.metrics, splits.caption
    best = results["config_id"].head(_TOP).to_list()
    configs = [sweep.configs[sweep.places[config_id]] for config_id in best]
    names = [tensorboard.run_name(rank, c, digits=2) for rank, c in enumerate(configs, start=1)]
    curves = [history.curves(trials) for trials in history.places_of(best)]
    for name, curve in zip(names, curves, strict=True):
        tensorboard.write_curves(folder / "best" / name, curve, metrics)
    means = mean_curves(sweep, history)
    for name, curve in means.items():
        tensorboard.write_curves(folder / "mean" / name, curve, metrics)
    ten = f"{len(best)} best configurations" if len(best) > 1 else "best configuration"
    runs = {"best/RANK": f"the {ten}, mean over folds and seeds"}
    if means:
        runs["mean/NAME=VALUE"] = "mean over all configurations with that value"
    figures = {"best_ten": plots.top_curves([curve[:, _TEST] for curve in curves], names, note)}
    places = np.argsort([sweep.places[config_id] for config_id in history.config_ids])
    accuracy = history.by_config(history.kept[:, _TEST].astype(np.float64))[places]
    accuracy[history.configs_diverged[places]] = np.nan
    num_folds = len({trial.fold for trial in history.trials})
    if found := effects_of(accuracy.reshape(len(accuracy), num_folds, -1), sweep):
        title = "Effect of each value on test accuracy"
        figures["effects"] = effects_figure(found, sweep, title, note)
    if retrained is not None:
        mean = mean_curves_of_networks(retrained).reindex(columns=list(METRICS))
        tensorboard.write_curves(folder / "retrained", mean.to_numpy(), metrics)
        epochs = counted(len(mean), "epoch")
        runs["retrained"] = f"the best configuration retrained for {epochs}, mean over its networks"
        figures |= {f"retrained_{tag}": figure for tag, figure in retrained_figures.items()}
    legend = "\n".join(f"- `{name}`: {what}" for name, what in runs.items())
    about = [note, splits.protocol.note, splits.table.notice, f"Runs:\n\n{legend}"]
    texts = {
        "about": "\n\n".join(filter(None, about)),
        "results": results_text(results.head(_TABLE), sweep).markdown,
    }
    tensorboard.write_notes(folder / "summary", texts, figures)


def results_text(results: "pd.DataFrame", sweep: Sweep) -> Table:
    """Tabulates results in few columns, since TensorBoard breaks words in narrow ones."""
    shown = ("validation_accuracy", "test_accuracy", "test_chunk_accuracy")
    metrics = [metric for metric in shown if metric in results]
    rows = []
    for row in results.to_dict("records"):
        figures = [plus_minus(row[m], row.get(f"{m}_std", math.nan)) for m in metrics]
        config = sweep.configs[sweep.places[row["config_id"]]]
        rows.append([str(row["rank"]), *figures, ", ".join(by_stem(config).values())])
    heads = [metric.replace("_", " ") for metric in metrics]
    return Table(["rank", *heads, ", ".join(by_stem(sweep.configs[0]))], rows)


def mean_curves(sweep: Sweep, history: History) -> dict[str, np.ndarray]:
    """Returns the mean (epochs, metrics) history of each value's configs, by ``axis=value``.

    Diverged configs and axes that are ranges are left out. Empty where a search gave up configs,
    since late epochs would be means over the best only.
    """
    if (history.reached < sweep.epochs).any():
        return {}
    by_config = history.places_of(history.config_ids)  # (configs, runs)
    sound = ~history.configs_diverged
    configs = [sweep.configs[sweep.places[config_id]] for config_id in history.config_ids]
    curves = {}
    for axis, values in sweep.varying.items():
        if axis in sweep.ranges:
            continue
        taken = [config[axis] for config in configs]
        for value in values:
            trials = sound & np.array([other == value for other in taken])
            if trials.any():
                curves[f"{axis}={value}"] = history.curves(by_config[trials].ravel())
    return curves
