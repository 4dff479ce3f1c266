"""Figures of a sweep and of a retraining."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gtzan_jax.analysis import endings
from gtzan_jax.views.plots.style import (
    TEST,
    TRAIN,
    VALIDATION,
    new_figure,
    shown_axes,
    tidy,
    value_label,
)

if TYPE_CHECKING:
    import pandas as pd

_PANELS = 3  # in a row
_CROWDED = 26  # letters of a panel's values, beside each other


def training_curves(history: "pd.DataFrame", quantity: str, title: str, note: str) -> Figure:
    """Draws a quantity of the parts against epochs: mean of the networks, band of a deviation.

    Args:
      history: one row an epoch of a network, as ``best/history.csv``.
      quantity: ``accuracy`` or ``loss``; labels the axis.
      title: what the figure shows.
      note: the source of the data.
    """
    figure = new_figure(7.0, 4.2, title, note)
    axes = figure.subplots()
    mean, deviation = endings.mean_curves(history), endings.deviation_curves(history).fillna(0.0)
    networks = len(history) // len(mean)
    for part, color in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        name = f"{part}_{quantity}"
        if name in history:
            low, high = mean[name] - deviation[name], mean[name] + deviation[name]
            label = "train (while training, dropout on)" if part == "train" else part
            end = f", {mean[name].iloc[-1]:.3f} at the end"
            axes.plot(mean.index, mean[name], color=color, label=label + end)
            axes.fill_between(mean.index, low, high, color=color, alpha=0.2, linewidth=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy" if quantity == "accuracy" else "loss (nats)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    spread = f"mean of {networks} networks, band: ± deviation" if networks > 1 else "one network"
    axes.legend(frameon=False, title=spread)
    tidy(axes)
    return figure


def confusion_matrix(matrix: np.ndarray, genres: Sequence[str], note: str) -> Figure:
    """Draws how often each genre was taken for each other.

    Args:
      matrix: (genres, genres) counts; rows are true genres, columns predictions.
      genres: their names.
      note: the source of the data.
    """
    side = max(4.5, 0.58 * len(genres) + 1.6)
    figure = new_figure(side + 0.6, side, "Confusion matrix of the test part (tracks)", note)
    axes = figure.subplots()
    axes.imshow(matrix, cmap="Blues", vmin=0)
    half = matrix.max() / 2
    for row, column in np.ndindex(matrix.shape):
        if matrix[row, column]:
            shade = "white" if matrix[row, column] > half else "black"
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=shade)
    places = range(len(genres))
    axes.set_xticks(places, genres, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, genres)
    axes.set_xlabel("predicted genre")
    axes.set_ylabel("true genre")
    return figure


def accuracy_by_value(
    results: "pd.DataFrame", axes_values: Mapping[str, Sequence[Any]], note: str
) -> Figure:
    """Draws, for every axis that varies, the spread of test accuracy by its value.

    Args:
      results: from ``rundir.ranking.results_table``.
      axes_values: the values of every axis; where none varies, the first one is drawn.
      note: the source of the data.
    """
    shown = shown_axes(axes_values) or dict([next(iter(axes_values.items()))])
    title = f"Test accuracy of {len(results):,} configurations, by value of each hyperparameter"
    columns = min(_PANELS, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = new_figure(max(3.0 * columns, 6.0), 2.3 * rows + 1.2, title, note)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for panel in panels.flat[len(shown) :]:
        panel.axis("off")
    for panel, (name, values) in zip(panels.flat, shown.items(), strict=False):
        groups = [results.loc[results[name] == value, "test_accuracy"] for value in values]
        _draw_boxes(panel, groups, [value_label(value) for value in values])
        panel.set_title(name, fontsize=10)
    for panel in panels[:, 0]:
        panel.set_ylabel("test accuracy")
    return figure


def _draw_boxes(axes: Axes, groups: "Sequence[pd.Series[float]]", labels: Sequence[str]) -> None:
    """Draws a box for each group that has a figure; diverged configs have none."""
    boxes = axes.boxplot(
        [group.dropna() for group in groups], tick_labels=labels, widths=0.6,
        patch_artist=True, flierprops={"markersize": 2},
    )  # fmt: skip
    for box in boxes["boxes"]:
        box.set_facecolor("#BBD7EA")
    for median in boxes["medians"]:
        median.set_color("black")
    crowded = sum(len(label) + 2 for label in labels) > _CROWDED
    axes.tick_params(axis="x", labelsize=8, rotation=60 if crowded else 0)
    tidy(axes)


def top_curves(curves: np.ndarray, names: Sequence[str], note: str) -> Figure:
    """Draws test accuracy against epochs for the best configs.

    Args:
      curves: (configs, epochs) test accuracy, best config first.
      names: of the configs.
      note: the source of the data.
    """
    figure = new_figure(9.0, 5.5, f"Test accuracy of the {len(names)} best configurations", note)
    axes = figure.subplots()
    epochs = np.arange(1, curves.shape[1] + 1)
    for place, (curve, name) in enumerate(zip(curves, names, strict=True)):
        if place == 0:
            axes.plot(epochs, curve, label=name, color=TEST, linewidth=2.2, zorder=3)
        else:
            axes.plot(epochs, curve, label=name, color=TRAIN, alpha=0.9 - 0.07 * place)
    axes.set_xlabel("epoch")
    axes.set_ylabel("test accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=7, loc="lower right")
    tidy(axes)
    return figure
