"""The figure of searches: what they miss, by what they cost."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from gtzan_jax.views.plots.style import GREY, TEST, TRAIN, VALIDATION, new_figure, styled, tidy

if TYPE_CHECKING:
    import pandas as pd

_LOOKS = {
    "grid": (GREY, "s"),
    "random": (TRAIN, "o"),
    "tpe": ("#CC79A7", "D"),
    "halving": (TEST, "^"),
    "hyperband": (VALIDATION, "v"),
}


@styled()
def regret(curves: "pd.DataFrame", target: float, note: str) -> Figure:
    """Draws median and quartiles of the regret by budget, a panel a space.

    Args:
      curves: space, search, budget (share of the grid's member-epochs), and the quartiles of the
        regret: low, median, high; low and high NaN where too few searches differ.
      target: a regret to mark.
      note: the source of the data.
    """
    spaces = list(dict.fromkeys(curves["space"]))
    figure = new_figure(5.2 * len(spaces), 4.0, note=note)
    for axes, space in zip(figure.subplots(1, len(spaces), squeeze=False)[0], spaces, strict=True):
        for search, rows in curves[curves["space"] == space].groupby("search", sort=False):
            colour, marker = _LOOKS[str(search)]
            budget, points = 100 * rows["budget"], 100 * rows[["low", "median", "high"]]
            axes.plot(
                budget,
                points["median"],
                color=colour,
                marker=marker,
                markersize=4,
                label=str(search),
            )
            axes.fill_between(budget, points["low"], points["high"], color=colour, alpha=0.08)
        axes.axhline(100 * target, color=GREY, linewidth=0.8, linestyle="--")
        axes.axvline(25, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        ticks = [1, 3, 10, 25, 50, 100]
        axes.set_xticks(ticks, [f"{tick} %" for tick in ticks])
        axes.minorticks_off()
        axes.set_title(space, fontsize=10)
        axes.set_xlabel("member-epochs, of the whole grid's", fontsize=9)
        axes.set_ylabel("points below the best config", fontsize=9)
        axes.legend(fontsize=8, frameon=False)
        tidy(axes)
    return figure
