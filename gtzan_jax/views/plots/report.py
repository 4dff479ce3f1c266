"""Figures of all configurations at once."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from gtzan_jax.text import counted
from gtzan_jax.views.plots.style import (
    ON_DARK,
    ON_LIGHT,
    new_figure,
    shown_axes,
    styled,
    value_label,
)

if TYPE_CHECKING:
    import pandas as pd

_LARGEST = 40.0  # inches of a figure's side
_MOST_LINES = 1000  # more are drawn as dots, which a file of vectors would be too large for
_MOST_LABELS = 16  # of an axis of parallel coordinates
_BAND = 0.36  # half the height of a value's band in parallel coordinates; bands are 1 apart


@styled()
def parallel_coordinates(
    results: "pd.DataFrame", axes_values: Mapping[str, Sequence[Any]], note: str
) -> Figure:
    """Draws every config as a line through its hyperparameters to its accuracy.

    A value is a band, and numbers ascend; within it, the lines lie in the order of their accuracy.

    Args:
      results: from ``rundir.ranking.results_table``, without diverged configs.
      axes_values: the values of every axis; those with one value are left out.
      note: the source of the data.
    """
    shown = shown_axes(axes_values)
    ordered = results.sort_values("test_accuracy", kind="stable")  # the best are drawn last
    accuracy = ordered["test_accuracy"].to_numpy()
    low, span = accuracy.min(), np.ptp(accuracy) or 1.0
    spread = np.linspace(-_BAND, _BAND, len(ordered)) if len(ordered) > 1 else np.zeros(1)
    heights = [
        (ordered[name].map({value: i for i, value in enumerate(values)}) + spread + 0.5)
        / len(values)
        for name, values in shown.items()
    ]
    heights.append((accuracy - low) / span)
    title = f"{counted(len(ordered), 'configuration')}, coloured by test accuracy"
    figure = new_figure(max(10.5, 1.2 * len(heights)), 5.2, title, note)
    axes = figure.subplots()
    points = np.stack([np.broadcast_to(np.arange(len(heights)), (len(ordered), len(heights)))])
    width = 0.7 if len(ordered) > 100 else 1.5
    lines = LineCollection(
        list(np.stack([points[0], np.stack(heights, axis=1)], axis=2)),
        array=accuracy, cmap="viridis", linewidth=width, alpha=0.6,
        rasterized=len(ordered) > _MOST_LINES,
    )  # fmt: skip
    axes.add_collection(lines)
    _label_parallel(axes, shown, (low, low + span))
    solid = ScalarMappable(lines.norm, lines.cmap)  # the bar without the lines' transparency
    figure.colorbar(solid, ax=axes, label="test accuracy", pad=0.03)
    return figure


@styled()
def pair_heatmap(
    results: "pd.DataFrame", axes_values: Mapping[str, Sequence[Any]], note: str
) -> Figure:
    """Draws the mean test accuracy of the configs that share two values.

    Args:
      results: from ``rundir.ranking.results_table``, without diverged configs.
      axes_values: the values of every axis; those with one value are left out.
      note: the source of the data.
    """
    shown = [(name, value) for name, values in shown_axes(axes_values).items() for value in values]
    accuracy = results["test_accuracy"].to_numpy()
    members = np.array([results[name] == value for name, value in shown], float)
    members = members.reshape(len(shown), len(results))
    counts = members @ members.T
    with np.errstate(invalid="ignore"):
        means = np.where(counts > 0, (members * accuracy) @ members.T / counts, np.nan)
    side = min(max(5.0, 2.2 + 0.46 * len(shown)), _LARGEST)
    title = "Mean test accuracy of the configurations that share two values"
    figure = new_figure(side + 1.2, side, title, note)
    axes = figure.subplots()
    image = axes.imshow(means, cmap="viridis")
    if len(shown) <= 30:
        _write_cells(axes, means)
    names = [f"{name} = {value_label(value)}" for name, value in shown]
    axes.set_xticks(range(len(shown)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(shown)), names)
    axes.tick_params(labelsize=min(8.0, 60 * side / len(shown)))
    for place in range(1, len(shown)):  # a line between hyperparameters
        if shown[place][0] != shown[place - 1][0]:
            axes.axhline(place - 0.5, color="white", linewidth=2)
            axes.axvline(place - 0.5, color="white", linewidth=2)
    figure.colorbar(image, ax=axes, label="mean test accuracy", shrink=0.7)
    return figure


def _label_parallel(
    axes: Any, shown: Mapping[str, Sequence[Any]], limits: tuple[float, float]
) -> None:
    """Names the axes of parallel coordinates, their values, and the ends of accuracy."""
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
    for place, values in enumerate(shown.values()):
        axes.axvline(place, color="black", linewidth=0.8)
        for i in range(0, len(values), math.ceil(len(values) / _MOST_LABELS)):
            height, text = (i + 0.5) / len(values), value_label(values[i])
            axes.text(place, height, text, ha="center", va="center", fontsize=8, bbox=box)
    axes.axvline(len(shown), color="black", linewidth=0.8)
    for height, value in zip((0, 1), limits, strict=True):
        axes.text(len(shown) + 0.06, height, f"{value:.3f}", va="center", fontsize=8)
    axes.set_xticks(range(len(shown) + 1), [*shown, "test accuracy"], fontsize=9)
    axes.set_xlim(-0.4, len(shown) + 0.5)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _write_cells(axes: Any, means: np.ndarray) -> None:
    middle = (np.nanmin(means) + np.nanmax(means)) / 2
    for row, column in np.ndindex(means.shape):
        if np.isfinite(means[row, column]):
            shade = ON_LIGHT if means[row, column] > middle else ON_DARK
            text = f"{means[row, column]:.2f}"[1:]
            axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=7.5)
