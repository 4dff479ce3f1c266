"""Figures of accuracies with intervals, and of optimism."""

import math
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gtzan_jax.views.plots.style import GREY, TEST, TRAIN, WIDTH, literal, new_figure, styled, tidy

if TYPE_CHECKING:
    import pandas as pd

_APART = 0.42  # of two series in a row
_BEHIND: dict[str, Any] = {
    "xytext": (7, 0), "textcoords": "offset points", "va": "center", "fontsize": 9,
}  # fmt: skip
_LOOKS: tuple[dict[str, Any], ...] = (  # of the first and of the second series
    {"marker": "o", "markersize": 6, "linestyle": "none"},
    {"marker": "D", "markersize": 5, "linestyle": "none", "markerfacecolor": "white"},
)


@styled()
def accuracy_rows(rows: "pd.DataFrame", note: str = "") -> Figure:
    """Draws accuracies with their intervals, a row each, or one for two series.

    Args:
      rows: label, series, accuracy, low, high (NaN without interval), apart (another colour);
        those with one label share a row, and the first series is filled.
      note: the source of the data.
    """
    labels = list(dict.fromkeys(rows["label"]))
    series = list(dict.fromkeys(rows["series"]))
    height = 0.6 + 0.35 * max(len(labels), 2) + 0.25 * (len(series) > 1)
    figure = new_figure(WIDTH, height, note=note)
    axes = figure.subplots()
    for row in rows.to_dict("records"):
        turn, colour = series.index(row["series"]), TEST if row["apart"] else TRAIN
        place = labels.index(row["label"]) + _APART * (turn - (len(series) - 1) / 2)
        end = row["accuracy"]
        if math.isfinite(row["low"]):
            end = row["high"]
            axes.hlines(place, row["low"], end, color=colour, linewidth=2)
        axes.plot(row["accuracy"], place, color=colour, markeredgewidth=1.6, **_LOOKS[turn])
        axes.annotate(f"{row['accuracy']:.3f}", (end, place), **_BEHIND)
    axes.set_yticks(range(len(labels)), [literal(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("accuracy", fontsize=9)
    axes.margins(x=0.16)
    if len(series) > 1:
        looks = [Line2D([], [], color=GREY, **look) for look in _LOOKS]
        axes.legend(
            looks, [literal(name) for name in series], frameon=False, fontsize=9, ncols=2,
            loc="lower left", bbox_to_anchor=(0, 1), borderpad=0, handletextpad=0.3,
        )  # fmt: skip
    tidy(axes)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


@styled()
def optimism(curve: "pd.DataFrame", apparent: str, held_out: str, note: str) -> Figure:
    """Draws the winner's accuracy against the number of configs it was chosen from.

    ``curve`` has configs (ascending), and apparent and held_out, which the arguments name.
    """
    figure = new_figure(WIDTH, 3.0, note=note)
    axes = figure.subplots()
    configs = curve["configs"].to_numpy(float)
    axes.fill_between(configs, curve["held_out"], curve["apparent"], color=GREY, alpha=0.15, lw=0)
    lines = {"apparent": (apparent, TEST, "D--"), "held_out": (held_out, TRAIN, "o-")}
    for column, (label, colour, style) in lines.items():
        axes.plot(configs, curve[column], style, color=colour, markersize=5, label=label)
        last = curve[column].iloc[-1]
        axes.annotate(f"{last:.3f}", (configs[-1], last), color=colour, **_BEHIND)
    axes.set_xscale("log")
    axes.set_xticks(configs, [f"{int(count):,}" for count in configs])
    axes.minorticks_off()
    axes.set_xlabel("configurations that the winner is chosen from", fontsize=9)
    axes.set_ylabel("accuracy of the winner", fontsize=9)
    axes.margins(x=0.1)
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return figure
