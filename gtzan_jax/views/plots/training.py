"""Figures of a sweep and of a retraining."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gtzan_jax.analysis import retraining_summary
from gtzan_jax.tables.schema import SONGS, Words
from gtzan_jax.views.plots.style import (
    TEST,
    TRAIN,
    VALIDATION,
    WIDTH,
    new_figure,
    short_name,
    styled,
    tidy,
)

if TYPE_CHECKING:
    import pandas as pd

_LIGHT, _DARK = "#F7FBFF", "#08306B"  # the ends of the colour map Blues


@styled()
def training_curves(history: "pd.DataFrame", quantity: str, title: str, note: str) -> Figure:
    """Draws a quantity of the parts against epochs: mean and standard deviation of the networks.

    Validation and test accuracy by segment, if any, is dashed. ``history`` is as best/history.csv,
    ``quantity`` accuracy or loss.
    """
    figure = new_figure(WIDTH, 0.62 * WIDTH, title, note)
    axes = figure.subplots()
    mean, deviation = (
        retraining_summary.mean_curves(history),
        retraining_summary.deviation_curves(history).fillna(0.0),
    )
    kept = history[history["kept"]]
    networks = len(kept)
    for part, color in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        name = f"{part}_{quantity}"
        if name in history:
            low, high = mean[name] - deviation[name], mean[name] + deviation[name]
            label = f"{part} {kept[name].mean():.3f}"
            axes.plot(mean.index, mean[name], color=color, label=label)
            axes.fill_between(mean.index, low, high, color=color, alpha=0.2, linewidth=0)
        by_segment = f"{part}_segment_{quantity}"
        if by_segment in history:
            label = f"{part}, by segment {kept[by_segment].mean():.3f}"
            axes.plot(mean.index, mean[by_segment], "--", color=color, label=label)
    axes.set_xlabel("epoch (train: mean over its batches)")
    axes.set_ylabel("accuracy" if quantity == "accuracy" else "loss (nats)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    spread = f"mean ± standard deviation of {networks} networks" if networks > 1 else "one network"
    columns = 2 if f"test_segment_{quantity}" in history else 3  # as many as fit beside each other
    which = "last" if (kept["epoch"] == len(mean)).all() else "best"
    axes.legend(
        frameon=False, title=f"{spread}; numbers: {which} epoch", fontsize=9,
        ncols=columns, title_fontsize=9, alignment="left", loc="lower left",
        bbox_to_anchor=(0, 1), borderpad=0,
    )  # fmt: skip
    tidy(axes)
    return figure


@styled()
def confusion_matrix(
    matrix: np.ndarray,
    genres: Sequence[str],
    note: str,
    title: str = "Confusion matrix",
    words: Words = SONGS,
) -> Figure:
    """Draws a (genres, genres) matrix of counts: rows are true genres, columns predictions.

    Without scikit-learn's display, whose import a retraining would wait for.
    """
    side = max(4.0, 0.33 * len(genres) + 1.4)
    figure = new_figure(side, side, title, note)
    axes = figure.subplots()
    shares = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues")
    middle = (shares.max() + shares.min()) / 2
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.5:
            color = _LIGHT if share >= middle else _DARK
            axes.text(
                column, row, f"{share:.0f}", color=color, fontsize=9, ha="center", va="center"
            )
    names = [short_name(genre) for genre in genres]
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    cells = f"(cells: % of the true {words.label}'s test {words.rows})"
    axes.set_xlabel(f"predicted {words.label}\n{cells}")
    axes.set_ylabel(f"true {words.label}")
    return figure
