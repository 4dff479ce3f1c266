"""Figures of accuracies with intervals, and of optimism."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gtzan_jax.tables.schema import SONGS, Words
from gtzan_jax.views.plots.style import (
    GREY,
    RED,
    TEST,
    TRAIN,
    WIDTH,
    new_figure,
    short_name,
    styled,
    tidy,
)

if TYPE_CHECKING:
    import pandas as pd

_MARKERS = "oDs^vPX<>"
_COLOURS = {"apart": TEST, "random": TRAIN, "leak": RED}
_MEANINGS = {"apart": "", "random": ", random", "leak": ", LEAK"}
_BEHIND: dict[str, Any] = {
    "xytext": (7, 0), "textcoords": "offset points", "va": "center", "fontsize": 9,
}  # fmt: skip


@styled()
def accuracy_rows(rows: "pd.DataFrame", title: str = "", note: str = "", bold: str = "") -> Figure:
    """Draws accuracies with their intervals, a row a label and side by side in it the series.

    ``rows`` has label, series, accuracy, low, high (NaN without interval), and kind, for the
    colour: ``apart`` (groups), ``random`` or ``leak``. ``bold`` is the label to highlight.
    """
    labels, series = (list(dict.fromkeys(rows[name])) for name in ("label", "series"))
    rows, few = rows.astype(dict.fromkeys(("accuracy", "low", "high"), float)), len(series) < 3
    height = 0.6 + 0.25 * -(-len(series) // 2) + (0.35 if few else 0.5) * max(len(labels), 2)
    figure = new_figure(WIDTH, height + 0.6 * bool(title), title, note)
    axes = figure.subplots()
    handles = []
    for turn, name in enumerate(series):
        of = rows[rows["series"] == name]
        place = of["label"].map(labels.index) + 0.8 * ((turn + 0.5) / len(series) - 0.5)
        look: dict[str, Any] = {"marker": _MARKERS[turn % len(_MARKERS)], "linestyle": "none"}
        for kind in of["kind"].unique():
            shown, color = of[of["kind"] == kind], _COLOURS[kind]
            mean, low, high = (shown[column].to_numpy() for column in ("accuracy", "low", "high"))
            where = place[shown.index].to_numpy()
            axes.errorbar(mean, where, xerr=(mean - low, high - mean), color=color, **look)
        several = of["kind"].nunique() > 1
        means = _MEANINGS[of["kind"].iloc[0]] if title else ""  # else the rows say it
        color = GREY if several else _COLOURS[of["kind"].iloc[0]]
        handles.append(Line2D([], [], color=color, label=f"{short_name(name)}{means}", **look))
        for x, y, end in zip(of["accuracy"], place, of["high"].fillna(of["accuracy"]), strict=True):
            if few:
                axes.annotate(f"{x:.3f}", (end, y), **_BEHIND)
    for row in range(0, len(labels), 2):
        axes.axhspan(row - 0.5, row + 0.5, facecolor="#f3f3f3", edgecolor="none", zorder=0)
    axes.set_yticks(range(len(labels)), list(map(short_name, labels)))
    for label, text in zip(labels, axes.get_yticklabels(), strict=True):
        text.set_fontweight("bold" if label == bold else "normal")
    axes.set_ylim(len(labels) - 0.4, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    bars = ", with 95 % interval" if rows["low"].notna().any() else ""
    axes.set_xlabel(f"test accuracy{bars}", fontsize=9)
    axes.margins(x=0.16 if few else 0.05)
    axes.legend(
        handles=handles, frameon=False, fontsize=9, ncols=2, loc="lower left",
        bbox_to_anchor=(0, 1), borderpad=0, handletextpad=0.3,
    )  # fmt: skip
    tidy(axes, in_rows=True)
    return figure


def accuracy_by_protocol(
    scores: "pd.DataFrame",
    apart: Sequence[str],
    ours: str,
    note: str,
    leaky: Sequence[str] = (),
    words: Words = SONGS,
) -> Figure:
    """Draws the accuracy of every model under every protocol, with its interval.

    ``scores`` is from ``classical.scores_table``; protocols of ``apart`` keep groups apart, those
    of ``leaky`` test on songs that were trained on; ``ours`` is highlighted.
    """
    models = list(scores.groupby("model")["accuracy"].mean().sort_values(ascending=False).index)
    kinds = dict.fromkeys(apart, "apart") | dict.fromkeys(leaky, "leak")
    rows = scores.assign(
        label=scores["model"], series=scores["protocol"],
        kind=[kinds.get(name, "random") for name in scores["protocol"]],
    )  # fmt: skip
    rows = rows.sort_values(
        "label", key=lambda of: of.map(models.index), kind="stable", ignore_index=True
    )
    title = f"Test accuracy of {len(models)} models, by how the {words.units} are divided"
    return accuracy_rows(rows, title, note, ours)


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
    axes.set_xlabel("number of configurations to choose from", fontsize=9)
    axes.set_ylabel("accuracy of the winner", fontsize=9)
    axes.margins(x=0.1)
    axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), borderpad=0)
    tidy(axes)
    return figure


@styled()
def feature_importance(
    importance: "pd.DataFrame", other: str, ours: str, note: str, top: int = 20
) -> Figure:
    """Draws the table of ``classical.importance_table`` for the models other and ours."""
    shown = importance.head(top)
    title = f"Permutation importance: the {len(shown)} most important of {len(importance)} features"
    figure = new_figure(WIDTH, 2.2 + 0.23 * len(shown), title, note)
    # A figure has one label below, here the note: the axes' label is a subfigure's.
    drawn = figure.add_subfigure(figure.add_gridspec()[0])
    panels = drawn.subplots(1, 2, sharex=True, sharey=True)
    has_folds = shown[["classical_std", "mlp_std"]].notna().any(axis=None)
    spread = "\nmean ± standard deviation over the folds" if has_folds else ""
    look: dict[str, Any] = {"elinewidth": 1.2, "ecolor": "#222222", "capsize": 2.5}
    columns = (("classical", other, TRAIN), ("mlp", ours, TEST))
    for axes, (prefix, name, color) in zip(panels, columns, strict=True):
        deviation = shown[f"{prefix}_std"] if has_folds else None
        axes.barh(
            np.arange(len(shown)), shown[f"{prefix}_mean"], xerr=deviation,
            color=color, alpha=0.7, error_kw=look,
        )  # fmt: skip
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_title(name, fontsize=10)
        tidy(axes, in_rows=True)
    drawn.supxlabel(f"test accuracy lost when the feature is shuffled{spread}", fontsize=9)
    panels[0].set_yticks(np.arange(len(shown)), list(map(short_name, shown["feature"])), fontsize=8)
    panels[0].set_ylim(len(shown) - 0.4, -0.6)
    return figure
