"""TensorBoard's overview of a sweep: the best configs, means, figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.analysis.retraining_summary import mean_curves as mean_curves_of_networks
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.history import History
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.protocols import Splits
from gtzan_jax.views import tensorboard
from gtzan_jax.views.sections.effects import effects_figure, effects_of
from gtzan_jax.views.text import counted

if TYPE_CHECKING:
    import pandas as pd

_TEST = METRICS.index("test_accuracy")
_TOP = 10


def write(
    folder: Path,
    sweep: Sweep,
    splits: Splits,
    results: "pd.DataFrame",
    history: History,
    retrained: "pd.DataFrame | None",
    retrained_images: Mapping[str, bytes],
) -> None:
    """Writes the overview of a sweep into a log directory.

    It has the curves of the ten best configs, of each value of each varying axis (means over
    configs, folds and seeds) and of the retraining (means over networks), and figures.
    ``retrained`` has one row an epoch of a network; images are PNG files by their tags.
    """
    from gtzan_jax.views import plots

    metrics, note, images = splits.metrics, splits.caption, {}
    best = results["config_id"].head(_TOP).to_list()
    for rank, trials in enumerate(history.places_of(best), start=1):
        config = sweep.configs[sweep.places[best[rank - 1]]]
        name = tensorboard.run_name(rank, config, digits=2)
        tensorboard.write_curves(folder / "best" / name, history.curves(trials), metrics)
    means = mean_curves(sweep, history)
    for name, curve in means.items():
        tensorboard.write_curves(folder / "mean" / name, curve, metrics)
    ten = f"{len(best)} best configurations" if len(best) > 1 else "best configuration"
    runs = {"best/RANK": f"the {ten}, mean over folds and seeds"}
    if means:
        runs["mean/NAME=VALUE"] = "mean over all configurations with that value"
    places = np.argsort([sweep.places[config_id] for config_id in history.config_ids])
    accuracy = history.by_config(history.kept[:, _TEST].astype(np.float64))[places]
    accuracy[history.configs_diverged[places]] = np.nan
    num_folds = len({trial.fold for trial in history.trials})
    if found := effects_of(accuracy.reshape(len(accuracy), num_folds, -1), sweep):
        title = "Effect of each value on test accuracy"
        images["effects"] = plots.image_of(effects_figure(found, sweep, title, note))
    if retrained is not None:
        mean = mean_curves_of_networks(retrained).reindex(columns=list(METRICS))
        tensorboard.write_curves(folder / "retrained", mean.to_numpy(), metrics)
        epochs = counted(len(mean), "epoch")
        runs["retrained"] = f"the best configuration retrained for {epochs}, mean over its networks"
        images |= {f"retrained_{tag}": image for tag, image in retrained_images.items()}
    legend = "\n".join(f"- `{name}`: {what}" for name, what in runs.items())
    about = [
        note,
        splits.protocol.note_for(splits.table.words),
        splits.table.notice,
        f"Runs:\n\n{legend}",
    ]
    texts = {"about": "\n\n".join(filter(None, about))}
    tensorboard.write_notes(folder / "summary", texts, images)


def mean_curves(sweep: Sweep, history: History) -> dict[str, np.ndarray]:
    """Returns the mean (epochs, metrics) history of each value's configs, by ``axis=value``.

    Diverged configs and axes that are ranges are left out. Empty where a search gave up configs,
    since late epochs would be means over the best only.
    """
    if (history.reached < sweep.epochs).any():
        return {}
    by_config = history.places_of(history.config_ids)  # (configs, runs)
    configs = [sweep.configs[sweep.places[config_id]] for config_id in history.config_ids]
    curves = {}
    for axis, values in sweep.varying.items():
        for value in values if axis not in sweep.ranges else ():
            taken = np.array([config[axis] == value for config in configs])
            if (trials := taken & ~history.configs_diverged).any():
                curves[f"{axis}={value}"] = history.curves(by_config[trials].ravel())
    return curves
