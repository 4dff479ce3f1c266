"""Reliability diagram."""

from typing import TYPE_CHECKING

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
    figure = new_figure(WIDTH, 0.85 * WIDTH, title, note)
    above, axes = figure.subplots(2, 1, sharex=True, height_ratios=(1, 3.2))
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    shown = {"probability": (TRAIN, "as the network says"), "calibrated": (TEST, "calibrated")}
    columns = [column for column in shown if test[column].notna().all()]
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
    above.set_ylabel(words.units)
    axes.set(
        xlim=(0, 1), ylim=(-0.02, 1.02), ylabel=f"{words.units} that are of it",
        xlabel=f"probability of the first {words.label}, in tenths",
    )  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    tidy(above)
    tidy(axes)
    return figure
