"""Figures of the comparison with classical models."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gtzan_jax.views.plots.style import TEST, TRAIN, new_figure, tidy

if TYPE_CHECKING:
    import pandas as pd


def model_comparison(
    scores: "pd.DataFrame", paired: "pd.DataFrame", ours: str, note: str
) -> Figure:
    """Draws every model's accuracies, and how far ours is ahead of each on the same splits.

    Args:
      scores: from ``classical.scores_table``.
      paired: from ``classical.compare_paired``.
      ours: the name of our model, which is drawn in another colour.
      note: the source of the data.
    """
    columns = [name for name in scores.columns if name.startswith("split_")]
    title = f"Test accuracy of {len(scores)} models on the same {len(columns)} random splits"
    figure = new_figure(10.0, 1.8 + 0.36 * len(scores), title, note)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.25, 1.0])
    places = dict(zip(scores["model"], range(len(scores)), strict=True))
    for _, row in scores.iterrows():
        _draw_spread(left, places[row["model"]], row[columns].to_numpy(float), row["model"] == ours)
    left.set_yticks(list(places.values()), list(places))
    left.invert_yaxis()
    left.margins(x=0.1)  # room for the last number
    left.set_xlabel("test accuracy (dots: splits; diamond: mean ± deviation)")
    difference = paired["difference"].to_numpy()
    margins = np.stack([difference - paired["low"], paired["high"] - difference])
    rows = [places[name] for name in paired["model"]]
    right.errorbar(difference, rows, xerr=margins, fmt="o", color="black", capsize=3)
    right.axvline(0.0, color=TEST, linewidth=1.2)
    right.set_xlabel(f"{ours} minus model, 95 % interval")
    right.tick_params(axis="y", length=0)
    for axes in (left, right):
        tidy(axes)
    return figure


def _draw_spread(axes: Axes, place: int, accuracies: np.ndarray, is_ours: bool) -> None:
    """Draws one model's accuracies as dots, and over them its mean ± deviation."""
    color = TEST if is_ours else TRAIN
    mean, deviation = accuracies.mean(), accuracies.std(ddof=1)
    axes.plot(accuracies, np.full(len(accuracies), place), "o", color=color, alpha=0.3)
    axes.errorbar(mean, place, xerr=deviation, fmt="D", color=color, capsize=4, markersize=5)
    end = max(accuracies.max(), mean + deviation)
    axes.annotate(
        f"{mean:.3f}", (end, place), (8, 0), textcoords="offset points", va="center",
        fontsize=8, color=color,
    )  # fmt: skip


def feature_importance(
    importance: "pd.DataFrame", classical: str, ours: str, note: str, top: int = 20
) -> Figure:
    """Draws the permutation importance of the features for two models, side by side.

    Args:
      importance: from ``classical.importance_table``.
      classical: the name of the classical model.
      ours: the name of our model.
      note: the source of the data.
      top: how many features, the most important first.
    """
    shown = importance.head(top)
    title = f"Permutation importance: the {len(shown)} most important of {len(importance)} features"
    figure = new_figure(9.0, 1.8 + 0.27 * len(shown), title, note)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    places = np.arange(len(shown))
    columns = (("classical", classical, TRAIN), ("mlp", ours, TEST))
    for axes, (prefix, name, color) in zip(panels, columns, strict=True):
        axes.barh(
            places, shown[f"{prefix}_mean"], xerr=shown[f"{prefix}_std"], color=color, alpha=0.8,
            error_kw={"elinewidth": 1.0, "ecolor": "#333333"},
        )  # fmt: skip
        axes.set_title(name, fontsize=10)
        tidy(axes)
    panels[0].set_yticks(places, shown["feature"], fontsize=8)
    panels[0].set_ylim(len(shown) - 0.4, -0.6)
    for axes in panels:
        axes.set_xlabel("test accuracy lost when shuffled, ± deviation")
    return figure
