"""Figures of a sweep and of a retraining."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gtzan_jax.plots.style import TEST, TRAIN, new_figure, tidy

if TYPE_CHECKING:
    import pandas as pd


def training_curves(
    train: np.ndarray, test: np.ndarray, quantity: str, title: str, note: str
) -> Figure:
    """Draws a quantity of the train and the test part against epochs.

    Args:
      train: (epochs,) figures of the train part.
      test: (epochs,) figures of the test part.
      quantity: ``accuracy`` or ``loss``; labels the axis, and its best epoch is marked.
      title: what the figure shows.
      note: the source of the data.
    """
    figure = new_figure(7.0, 4.2, title, note)
    axes = figure.subplots()
    epochs = np.arange(1, len(train) + 1)
    best = int(np.argmax(test) if quantity == "accuracy" else np.argmin(test))
    axes.plot(epochs, train, color=TRAIN, label="train (while training, dropout on)")
    axes.plot(
        epochs, test, color=TEST, label=f"test (best {test[best]:.3f} at epoch {epochs[best]})"
    )
    axes.plot(epochs[best], test[best], "o", color=TEST, markersize=5)
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy" if quantity == "accuracy" else "loss (nats)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
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
    results: "pd.DataFrame", axes_values: Mapping[str, Sequence[object]], note: str
) -> Figure:
    """Draws, for every hyperparameter, the spread of test accuracy by its value.

    Args:
      results: from ``rundir.results_table``.
      axes_values: the values of every hyperparameter.
      note: the source of the data.
    """
    title = f"Test accuracy of {len(results):,} configurations, by value of each hyperparameter"
    figure = new_figure(9.0, 7.5, title, note)
    panels = figure.subplots(3, 3, sharey=True)
    for axes, (name, values) in zip(panels.flat, axes_values.items(), strict=True):
        groups = [results.loc[results[name] == value, "test_accuracy"] for value in values]
        boxes = axes.boxplot(
            groups, tick_labels=[str(value) for value in values], widths=0.6,
            patch_artist=True, flierprops={"markersize": 2},
        )  # fmt: skip
        for box in boxes["boxes"]:
            box.set_facecolor("#BBD7EA")
        for median in boxes["medians"]:
            median.set_color("black")
        axes.set_title(name, fontsize=10)
        axes.tick_params(axis="x", labelsize=8)
        tidy(axes)
    for axes in panels[:, 0]:
        axes.set_ylabel("test accuracy")
    return figure


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
