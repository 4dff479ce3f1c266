"""Figures of the comparison with other models."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from gtzan_jax.views.plots.style import RED, TEST, TRAIN, new_figure, short_name, styled, tidy

if TYPE_CHECKING:
    import pandas as pd

_MARKERS = "osD^vPX<>"


@styled()
def accuracy_by_protocol(
    scores: "pd.DataFrame", apart: Sequence[str], ours: str, note: str, leaky: Sequence[str] = ()
) -> Figure:
    """Draws the accuracy of every model under every protocol, with its interval.

    Args:
      scores: from ``classical.scores_table``; a model may be missing under a protocol.
      apart: protocols that keep artists apart.
      ours: the model to highlight.
      note: the source of the data.
      leaky: protocols that test on songs that were trained on.
    """
    order = scores.groupby("model")["accuracy"].mean().sort_values(ascending=False).index
    protocols = scores["protocol"].unique()
    title = f"Test accuracy of {len(order)} models, by how the songs are divided"
    figure = new_figure(9.0, 1.7 + 0.5 * (len(order) + bool(leaky)), title, note)
    axes = figure.subplots()
    kinds: tuple[dict[str, pd.DataFrame], ...] = {}, {}, {}
    for name in protocols:
        of_protocol = scores[scores["protocol"] == name].set_index("model").reindex(order)
        kinds[2 if name in leaky else int(name not in apart)][name] = of_protocol
    markers = dict(zip(protocols, _MARKERS * len(protocols), strict=False))
    looks = (
        ("artists kept apart", TEST, TEST),
        ("songs divided at random", TRAIN, "white"),
        ("LEAK: segments of one song on both sides", RED, "white"),
    )
    for shown, (kind, color, face) in zip(kinds, looks, strict=True):
        if shown:
            legend = _draw_protocols(axes, shown, markers, color, face)
            legend.set_title(kind)
            legend.get_title().set_color(color)
            if color == RED:  # below those of the other kinds
                legend.set_bbox_to_anchor((0, 0, 1, 1 - 1.1 / (len(order) + 2)), axes.transAxes)
    _name_rows(axes, list(order), ours, heads=2 if kinds[2] else 1)
    bars = ", with 95 % interval" if scores["low"].notna().any() else ""
    axes.set_xlabel(f"test accuracy{bars}")
    return figure


def _draw_protocols(
    axes: Axes,
    shown: "Mapping[str, pd.DataFrame]",
    markers: Mapping[str, str],
    color: str,
    face: str,
) -> Legend:
    """Draws protocols of one kind side by side in each row; returns their legend.

    The frames have accuracy, low and high. Filled markers have their legend on the left.
    """
    drawn = []
    for place, (name, table) in enumerate(shown.items()):
        rows = np.arange(len(table)) + 0.8 * ((place + 0.5) / len(shown) - 0.5)
        accuracy = table["accuracy"].to_numpy()
        reach = np.stack([accuracy - table["low"], table["high"] - accuracy])
        drawn.append(
            axes.errorbar(
                accuracy, rows, xerr=reach, fmt=markers[name], color=color, elinewidth=1.0,
                markersize=5.5, markeredgewidth=1.2, markerfacecolor=face,
            )
        )  # fmt: skip
    legend = Legend(
        axes, drawn, list(map(short_name, shown)), ncols=len(shown),
        loc="upper left" if face == color else "upper right", columnspacing=1.0,
        handletextpad=0.2, borderaxespad=0.0, fontsize=9, framealpha=1.0, edgecolor="none",
    )  # fmt: skip
    axes.add_artist(legend)  # there may be two, which axes.legend does not allow
    return legend


def _name_rows(axes: Axes, models: list[str], ours: str, heads: int) -> None:
    """Names and shades the rows below ``heads`` rows of legends."""
    tidy(axes)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(np.arange(len(models)), [short_name(name) for name in models])
    axes.set_ylim(len(models) - 0.5, -0.5 - 1.1 * heads)
    axes.tick_params(axis="y", length=0)
    for place, (name, label) in enumerate(zip(models, axes.get_yticklabels(), strict=True)):
        shade = "#f3f3f3" if place % 2 == 0 else "none"
        if name == ours:
            label.set_fontweight("bold")
            shade = "#fdeeb5"
        axes.axhspan(place - 0.5, place + 0.5, facecolor=shade, edgecolor="none", zorder=0)


@styled()
def feature_importance(
    importance: "pd.DataFrame", other: str, ours: str, note: str, top: int = 20
) -> Figure:
    """Draws the table of ``classical.importance_table`` for the models other and ours."""
    shown = importance.head(top)
    title = f"Permutation importance: the {len(shown)} most important of {len(importance)} features"
    figure = new_figure(9.0, 1.8 + 0.27 * len(shown), title, note)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    places = np.arange(len(shown))
    columns = (("classical", other, TRAIN), ("mlp", ours, TEST))
    for axes, (prefix, name, color) in zip(panels, columns, strict=True):
        axes.barh(
            places, shown[f"{prefix}_mean"], xerr=shown[f"{prefix}_std"], color=color, alpha=0.8,
            error_kw={"elinewidth": 1.0, "ecolor": "#333333"},
        )  # fmt: skip
        axes.set_title(name, fontsize=10)
        tidy(axes)
    panels[0].set_yticks(places, shown["feature"], fontsize=8)
    panels[0].set_ylim(len(shown) - 0.4, -0.6)
    bars = ", ± deviation" if shown[["classical_std", "mlp_std"]].notna().any(axis=None) else ""
    for axes in panels:
        axes.set_xlabel(f"test accuracy lost when shuffled{bars}")
    return figure
