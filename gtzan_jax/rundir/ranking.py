"""Ranks the configs of a sweep by their figures after the best epoch (``trainer.stopping``)."""

from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.history import History
from gtzan_jax.rundir.predictions import Part
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.protocols import PROTOCOLS

if TYPE_CHECKING:
    import pandas as pd

INDISTINGUISHABLE = "indistinguishable_from_best"
"""The column of results.csv with the result of ``analysis.selection.compare_with_best``."""


def result_metrics(protocol: str, is_segmented: bool = False) -> tuple[str, ...]:
    """Returns the figures of results.csv, first those that rank configs."""
    metrics = PROTOCOLS[protocol].metrics_of(is_segmented)
    parts, figures = ("validation", "test", "train"), ("accuracy", "loss", "segment_accuracy")
    names = [f"{part}_{figure}" for part in parts for figure in figures]
    return tuple(name for name in names if name in metrics)


def rank_at_best_epochs(means: np.ndarray, select_on: Part) -> tuple[np.ndarray, np.ndarray]:
    """Ranks configs, each after its best number of epochs on a part.

    Ranks by accuracy; ties go to the lower loss, then to the first config and the fewest epochs.
    Configs with figures that are not finite come last. means: (configs, epochs, metrics), means
    over runs.

    Returns:
      (configs,) int, indices, best first; and (configs,) int, the best number of epochs of each.
    """
    accuracy, loss = (means[..., METRICS.index(f"{select_on}_{f}")] for f in ("accuracy", "loss"))
    keys = np.array([loss, np.where(np.isfinite(accuracy), -accuracy, np.inf)])
    best = np.lexsort(keys, axis=1)[:, 0]
    of_best = keys[:, np.arange(len(best)), best]
    is_partial = ~np.isfinite(means).all(axis=(1, 2))
    return np.lexsort([*of_best, is_partial]), best + 1


def results_table(sweep: Sweep, history: History, is_segmented: bool = False) -> "pd.DataFrame":
    """Ranks the configs by their accuracy, of songs, on the part that the protocol selects on.

    Ties go to the lower loss on that part, then to grid order. Configs that the search stopped come
    after all others, and diverged configs (a trial has a loss that is not finite) last. Figures are
    means over folds and seeds. Adds the standard deviations (n - 1) of accuracies if there are
    several runs, the mean epochs with early stopping, and ``epochs_given`` if the search stopped
    configs.
    """
    import pandas as pd

    kept = history.by_config(history.kept).astype(np.float64)
    metrics = result_metrics(sweep.protocol, is_segmented)
    config_ids = history.config_ids
    places = [sweep.places[config_id] for config_id in config_ids]
    rows = [dict(sweep.configs[place]) for place in places]
    table = pd.DataFrame(rows, columns=list(sweep.axes))
    for metric in metrics:
        # Rounded, so that ties do not depend on the order of seeds.
        table[metric] = np.round(kept[:, :, METRICS.index(metric)].mean(axis=1), 7)
    if kept.shape[1] > 1:
        for metric in metrics:
            if metric.endswith("accuracy") and not metric.startswith("train"):
                spread = kept[:, :, METRICS.index(metric)].std(axis=1, ddof=1)
                table[f"{metric}_std"] = np.round(spread, 7)
        table["num_seeds"] = len({trial.seed for trial in history.trials})
        table["num_folds"] = len({trial.fold for trial in history.trials})
    epochs_given = history.by_config(history.reached).min(axis=1)
    if (epochs_given < sweep.epochs).any():
        table["epochs_given"] = epochs_given
    if sweep.stops_early:
        table["best_epoch"] = np.round(history.by_config(history.best).mean(axis=1), 2)
        table["last_epoch"] = np.round(history.by_config(history.last).mean(axis=1), 2)
    table["diverged"] = history.configs_diverged
    table["config_id"] = config_ids
    accuracy, loss = metrics[:2]
    in_grid_order = table.assign(_given=epochs_given).iloc[np.argsort(places)]
    ranked = in_grid_order.sort_values(
        ["diverged", "_given", accuracy, loss], ascending=[True, False, False, True], kind="stable"
    ).drop(columns="_given")
    ranked.insert(0, "rank", np.arange(1, len(ranked) + 1))
    return ranked.reset_index(drop=True)


def trials_table(sweep: Sweep, history: History, is_segmented: bool = False) -> "pd.DataFrame":
    """Returns config_id, fold, seed, best_epoch, last_epoch, figures, diverged of each trial."""
    import pandas as pd

    metrics = result_metrics(sweep.protocol, is_segmented)
    table = pd.DataFrame(history.trials)
    columns = [METRICS.index(metric) for metric in metrics]
    table["best_epoch"], table["last_epoch"] = history.best, history.last
    table[list(metrics)] = history.kept[:, columns]
    table["diverged"] = history.diverged
    return table
