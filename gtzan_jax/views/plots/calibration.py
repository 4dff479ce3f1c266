"""Reliability diagram."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from gtzan_jax.analysis.calibration import BINS, bins_of, calibration_error
from gtzan_jax.tables.schema import SONGS, Words
from gtzan_jax.views.plots.style import GREY, TEST, TRAIN, WIDTH, new_figure, styled, tidy

if TYPE_CHECKING:
    import pandas as pd

_FEW = 10  # songs of a bin below which its dot is hollow


@styled()
def reliability(
    songs: "pd.DataFrame", title: str = "", note: str = "", words: Words = SONGS
) -> Figure:
    """Draws accuracy against probability, bin by bin, on the test part, with two standard errors.

    ``songs`` is from ``jobs.calibrating.calibrated``, or ``best/calibration.csv``.
    """
    test = songs[songs["part"] == "test"]
    right = (test[words.label] == test["predicted"]).to_numpy()
    figure = new_figure(WIDTH, 0.9 * WIDTH, title, note)
    above, axes = figure.subplots(2, 1, sharex=True, height_ratios=(1, 3.2))
    shown = {"probability": (TRAIN, "not calibrated"), "calibrated": (TEST, "calibrated")}
    columns = [column for column in shown if test[column].notna().all()]
    has_few = False
    for place, column in enumerate(columns):
        color, name = shown[column]
        bins = bins_of(test[column].to_numpy(), right)
        error = 100 * calibration_error(test[column].to_numpy(), right)
        left = bins["low"] + (place + 0.5) / (len(columns) * BINS)
        above.bar(left, bins["songs"], 0.8 / (len(columns) * BINS), color=color)
        share, count, sure = (bins[c].to_numpy() for c in ("accuracy", "songs", "probability"))
        half = 2 * np.sqrt(sure * (1 - sure) / count)
        ends = np.clip([share - half, share + half], 0, 1)
        axes.vlines(sure, *ends, color=color, linewidth=1.2, alpha=0.6)
        axes.plot(sure, share, color=color, linewidth=1)
        few, label = count < _FEW, f"{name}: error {error:.1f} points"
        axes.plot(sure[~few], share[~few], "o", color=color, label=label)
        axes.plot(sure[few], share[few], "o", color=color, markerfacecolor="white")
        has_few |= bool(few.any())
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", zorder=0,
              label="exact probabilities")  # fmt: skip
    if has_few:
        look: dict[str, Any] = {"color": GREY, "markerfacecolor": "white", "linestyle": "none"}
        axes.plot([], [], marker="o", label=f"fewer than {_FEW} {words.units}", **look)
    above.set_ylabel(words.units)
    axes.set(
        xlim=(0, 1), ylim=(-0.02, 1.02), ylabel=f"{words.units} predicted correctly",
        xlabel=f"probability of the predicted {words.label}, bins of 10 %",
    )  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    above.legend(
        *axes.get_legend_handles_labels(), frameon=False, fontsize=9, ncols=2, loc="lower left",
        bbox_to_anchor=(0, 1), borderpad=0, handlelength=1.2, handletextpad=0.4, columnspacing=1,
    )  # fmt: skip
    tidy(above)
    tidy(axes)
    return figure
