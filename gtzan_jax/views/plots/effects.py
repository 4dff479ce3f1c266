"""Figures of effects: what each value of each hyperparameter adds to accuracy."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gtzan_jax.views.plots.style import GREY, TEST, TRAIN, new_figure, styled, tidy, value_label

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 5.2  # inches: letters keep a readable size on a phone
_MOST_ROWS = 24
_APART = 0.09  # of all effects' range: nearer dots are named together
_MOST_NAMES = 3
_LETTER = 0.018  # the width of a letter, as a share of the axis's
_MARK = "#2F8FCB"  # is drawn as dots, which cannot follow a page's theme: visible on both
_TICKS = 0.34  # half the height of a config's mark; rows are 1 apart


@styled()
def value_effects(
    effects: "pd.DataFrame",
    shares: Mapping[str, float] | None,
    title: str = "",
    note: str = "",
    near: Mapping[str, float] | None = None,
) -> Figure:
    """Draws how far the configs of each value are from the mean of all, a row a hyperparameter.

    Args:
      effects: from ``effects.value_effects``; the hyperparameters are drawn in their order.
      shares: of the variance, by hyperparameter, to be written beside the rows; None where there
        are none.
      title: what the figure shows, where it has no caption.
      note: the source of the data.
      near: the same shares among configs near the best, where these have fewer values.
    """
    names = list(dict.fromkeys(effects["hyperparameter"]))[:_MOST_ROWS]
    figure = new_figure(
        WIDTH,
        0.9 + 0.31 * max(len(names), 3) + 0.4 * bool(title),
        title,
        note,
    )
    axes = figure.subplots()
    axes.axvline(0, color=GREY, linewidth=0.8)
    shown = effects[effects["hyperparameter"].isin(names)]
    gap = _APART * 100 * float(np.ptp(shown["effect"].dropna()))
    reach = 0.1
    for place, name in enumerate(names):
        rows = shown[shown["hyperparameter"] == name].dropna(subset="effect")
        groups = _groups(rows.sort_values("effect", kind="stable"), gap)
        _draw_values(axes, place, groups)
        reach = max(reach, *map(_reach, (groups[0], groups[-1])))
    reach *= 1 if near is None else 1.25  # its texts are wider
    axes.set_xlim(-reach, reach)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.6)
    axes.set_xlabel("points from the mean of all configurations", fontsize=9)
    if shares is not None:
        right = axes.secondary_yaxis("right")
        texts = [_share(shares[name]) for name in names]
        if near is not None:
            pairs = zip(texts, names, strict=True)
            texts = [
                f"{text.removesuffix(' %')} / {_share(near.get(name, math.nan))}"
                for text, name in pairs
            ]
        right.set_yticks(range(len(names)), texts)
        right.tick_params(length=0)
        right.spines["right"].set_visible(False)
        of = "share of the variance" + (", all / near the best" if near is not None else "")
        axes.set_title(of, loc="right", fontsize=9, color=GREY)
    tidy(axes)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def _share(share: float) -> str:
    if math.isnan(share):
        return "–"
    return f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"


def _groups(rows: "pd.DataFrame", gap: float) -> "list[pd.DataFrame]":
    """Groups values, in the order of their effects, whose dots are too near for a name each.

    The first stands alone where all are near, so that there is one group on either side.
    """
    steps = np.diff(100 * rows["effect"].to_numpy(), prepend=-np.inf)
    starts = steps > gap
    if starts.sum() == 1 and len(rows) > 1:
        starts[1] = True
    numbers = np.cumsum(starts)
    return [rows[numbers == number] for number in range(1, numbers[-1] + 1)]


def _name(group: "pd.DataFrame") -> str:
    labels = [value_label(value) for value in group["value"]]
    return ", ".join(labels) if len(labels) <= _MOST_NAMES else f"{labels[0]}, …, {labels[-1]}"


def _ends(group: "pd.DataFrame") -> tuple[float, float]:
    """Returns where the effects of a group begin and end, with their intervals, in points."""
    found = 100 * group[["effect", "low", "high"]].to_numpy(float)
    return float(np.nanmin(found)), float(np.nanmax(found))


def _reach(group: "pd.DataFrame") -> float:
    """Returns how far the axis must reach for a group and, beyond it, its name."""
    room = 2 * (_LETTER * len(_name(group)) + 0.06)
    return float(np.abs(_ends(group)).max() / max(1 - room, 0.3))


def _draw_values(axes: Axes, place: int, groups: "Sequence[pd.DataFrame]") -> None:
    """Draws the values of one hyperparameter, and names them beside or above their dots."""
    for group in groups:
        shown = 100 * group[["effect", "low", "high"]].to_numpy(float)
        row = np.full(len(shown), place)
        axes.hlines(row, shown[:, 1], shown[:, 2], color=TRAIN, linewidth=2.2)
        axes.plot(shown[:, 0], row, "o", color=TRAIN, markersize=5.5)
    effects = [100 * group["effect"] for group in groups]
    axes.plot([effects[0].min(), effects[-1].max()], [place] * 2, color=GREY, lw=1, alpha=0.5)
    style: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 9}
    axes.annotate(_name(groups[0]), (_ends(groups[0])[0], place), (-7, 0), ha="right", **style)
    if len(groups) > 1:
        axes.annotate(_name(groups[-1]), (_ends(groups[-1])[1], place), (7, 0), ha="left", **style)
    for group, middle in zip(groups[1:-1], effects[1:-1], strict=True):
        axes.annotate(_name(group), (middle.mean(), place), (0, 8.5), ha="center", **style)


@styled()
def value_distributions(
    results: "pd.DataFrame", axes_values: Mapping[str, Sequence[Any]], note: str
) -> Figure:
    """Draws every config's accuracy by the values of some hyperparameters, and the quartiles.

    Args:
      results: from ``rundir.ranking.results_table``, without diverged configs.
      axes_values: the hyperparameters to draw with their values.
      note: the source of the data.
    """
    rows = [(name, value) for name, values in axes_values.items() for value in values]
    starts = np.cumsum([0, *map(len, axes_values.values())])[:-1]
    gaps = np.searchsorted(starts, np.arange(len(rows)), side="right") - 1
    places = np.arange(len(rows)) + 0.45 * gaps  # room between hyperparameters
    figure = new_figure(WIDTH, 1.1 + 0.34 * places[-1] + 0.34, note=note)
    axes = figure.subplots()
    for (name, value), place in zip(rows, places, strict=True):
        found = results.loc[results[name] == value, "test_accuracy"].to_numpy(float)
        _draw_marks(axes, found, place)
    axes.set_yticks(places, [f"{name} = {value_label(value)}" for name, value in rows])
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.set_xlabel("test accuracy", fontsize=9)
    tidy(axes)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return figure


def _draw_marks(axes: Axes, values: np.ndarray, place: float) -> None:
    """Draws a line for each config, the middle half of them as a bar, and their median."""
    if not len(values):
        return
    axes.vlines(
        values, place - _TICKS, place + _TICKS, color=_MARK, linewidth=0.8,
        alpha=max(0.12, min(0.8, 12 / len(values))), rasterized=True,
    )  # fmt: skip
    lower, median, upper = np.percentile(values, (25, 50, 75))
    axes.hlines(place, lower, upper, color=TEST, linewidth=4)
    axes.plot(median, place, "o", color=TEST, markersize=7, markeredgecolor="white")
