"""Figures of configs by their values: effects on accuracy, its spread, means of pairs."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gtzan_jax.views.plots.style import GREY, TEST, TRAIN, WIDTH, new_figure, styled, tidy

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROWS = 24
_MOST_NAMES = 5  # values of a row that are all named
_LETTER = 0.02  # the width of a letter, as a share of the axis's
_LARGEST = 40.0  # inches of a figure's side


@styled()
def value_effects(
    effects: "pd.DataFrame",
    shares: Mapping[str, float] | None,
    title: str = "",
    note: str = "",
    near: Mapping[str, float] | None = None,
) -> Figure:
    """Draws how far the configs of each value are from the mean of all, a row a hyperparameter.

    ``effects`` is from ``effects.value_effects``. ``shares`` of the variance, by hyperparameter,
    stand beside the rows; ``near`` has those among configs near the best.
    """
    names = list(dict.fromkeys(effects["hyperparameter"]))[:_MOST_ROWS]
    height = 0.9 + 0.31 * max(len(names), 3) + 0.4 * bool(title)
    figure = new_figure(WIDTH, height, title, note)
    axes = figure.subplots()
    axes.axvline(0, color=GREY, linewidth=0.8)
    reach = 0.1
    for place, name in enumerate(names):
        rows = effects[effects["hyperparameter"] == name].dropna(subset="effect")
        reach = max(reach, _draw_values(axes, place, rows.sort_values("effect", kind="stable")))
    axes.set_xlim(-reach, reach)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.8)
    axes.set_xlabel("test accuracy: points from the mean of all configurations", fontsize=9)
    if shares is not None:
        right = axes.secondary_yaxis("right")
        texts = [_share(shares[name]) for name in names]
        if near is not None:
            others = (_share(near.get(name, math.nan)) for name in names)
            texts = [f"{a.removesuffix(' %')} / {b}" for a, b in zip(texts, others, strict=True)]
        right.set_yticks(range(len(names)), texts)
        right.tick_params(length=0)
        right.spines["right"].set_visible(False)
        of = "share of the variance" + (", all / near the best" if near is not None else "")
        axes.set_title(of, loc="right", fontsize=9, color=GREY)
    tidy(axes, in_rows=True)
    return figure


def _share(share: float) -> str:
    if math.isnan(share):
        return "–"
    return f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"


def _draw_values(axes: Axes, place: int, rows: "pd.DataFrame") -> float:
    """Draws a hyperparameter's values and names them; returns how far the axis must reach."""
    found = 100 * rows[["effect", "low", "high"]].to_numpy(float)
    row = np.full(len(found), place)
    axes.plot(found[[0, -1], 0], row[[0, -1]], color=GREY, linewidth=1, alpha=0.5)
    axes.hlines(row, found[:, 1], found[:, 2], color=TRAIN, linewidth=2.2)
    axes.plot(found[:, 0], row, "o", color=TRAIN, markersize=5.5)
    names = [value_label(value) for value in rows["value"]]
    style: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 9}
    ends = float(np.nanmin(found[0])), float(np.nanmax(found[-1]))
    axes.annotate(names[0], (ends[0], place), (-7, 0), ha="right", **style)
    if len(names) > 1:
        axes.annotate(names[-1], (ends[1], place), (7, 0), ha="left", **style)
    if len(names) <= _MOST_NAMES:
        for name, (effect, *_) in zip(names[1:-1], found[1:-1], strict=True):
            axes.annotate(name, (effect, place), (0, 8.5), ha="center", **style)
    room = [2 * _LETTER * (len(name) + 4) for name in (names[0], names[-1])]
    return max(abs(end) / max(1 - share, 0.3) for end, share in zip(ends, room, strict=True))


@styled()
def value_distributions(
    results: "pd.DataFrame", axes_values: Mapping[str, Sequence[Any]], note: str
) -> Figure:
    """Draws the spread of the configs' accuracies by the values of some hyperparameters.

    ``results`` is from ``rundir.ranking.results_table``, without diverged configs.
    """
    rows = [(name, value) for name, values in axes_values.items() for value in values]
    order = list(axes_values)
    # There is room between hyperparameters.
    places = [place + 0.45 * order.index(name) for place, (name, _) in enumerate(rows)]
    figure = new_figure(WIDTH, 1.1 + 0.34 * places[-1] + 0.34, note=note)
    axes = figure.subplots()
    axes.boxplot(
        [results.loc[results[name] == value, "test_accuracy"] for name, value in rows],
        positions=places, widths=0.6, whis=(0, 100), orientation="horizontal",
        medianprops={"color": TEST, "linewidth": 2.5},
    )  # fmt: skip
    axes.set_yticks(places, [f"{name} = {value_label(value)}" for name, value in rows])
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.set_xlabel("test accuracy", fontsize=9)
    tidy(axes, in_rows=True)
    return figure


@styled()
def pair_heatmap(
    results: "pd.DataFrame", axes_values: Mapping[str, Sequence[Any]], note: str
) -> Figure:
    """Draws the mean test accuracy of the configs that share two values, numbers ascending.

    ``results`` is from ``rundir.ranking.results_table``, without diverged configs.
    """
    from sklearn.metrics import ConfusionMatrixDisplay

    shown = [
        (name, value)
        for name, values in axes_values.items()
        for value in (values if isinstance(values[0], str) else sorted(values))
        if len(values) > 1
    ]
    accuracy = results["test_accuracy"].to_numpy()
    has = np.array([results[name] == value for name, value in shown], float)
    with np.errstate(invalid="ignore"):  # NaN where no config has both
        means = (has * accuracy) @ has.T / (has @ has.T)
    side = min(max(5.0, 2.2 + 0.46 * len(shown)), _LARGEST)
    title = "Mean test accuracy of the configurations that share two values"
    figure = new_figure(side + 1.2, side, title, note)
    names = [f"{name} = {value_label(value)}" for name, value in shown]
    drawn = ConfusionMatrixDisplay(means, display_labels=names).plot(
        include_values=len(shown) <= 30, cmap="viridis", xticks_rotation=90,
        values_format=".2f", ax=figure.subplots(), text_kw={"fontsize": 7.5},
    )  # fmt: skip
    middle = (np.nanmin(means) + np.nanmax(means)) / 2  # the display's is NaN where a mean is
    texts = [] if drawn.text_ is None else drawn.text_.ravel()
    for text, mean in zip(texts, means.ravel(), strict=False):
        text.set(visible=np.isfinite(mean), color="black" if mean > middle else "white")
    drawn.ax_.set(xlabel="", ylabel="")
    drawn.ax_.tick_params(labelsize=min(8.0, 60 * side / len(shown)))
    drawn.im_.colorbar.set_label("mean test accuracy")
    return figure


def value_label(value: object) -> str:
    """Returns a value of a hyperparameter for a figure."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
