"""Figures of the feature table itself: correlations, features by genre, principal components."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import AsinhLocator, LogLocator, MaxNLocator, NullLocator

from gtzan_jax.analysis.exploration import Pca
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.text import printable
from gtzan_jax.views.plots.style import (
    TEST,
    TRAIN,
    genre_colours,
    genre_markers,
    literal,
    new_figure,
    short_name,
    styled,
    tidy,
)

if TYPE_CHECKING:
    import pandas as pd

_STRONG = 0.7  # correlations from here on are written out
_MOST_WRITTEN = 40  # features, beyond which numbers would lie on one another
_SKEWED = 6.0  # a value this many quartile ranges outside calls for a logarithmic axis
_TOP = 12
_SHEET_COLUMNS = 6
_LEGEND_ROWS = 24

_UNITS = {  # of a feature's mean
    "tempo": "BPM", "chroma_stft": "relative energy", "rms": "full scale",
    "spectral_centroid": "Hz", "spectral_bandwidth": "Hz", "rolloff": "Hz",
    "zero_crossing_rate": "crossings per sample", "harmony": "full scale",
    "perceptr": "full scale", "mel": "dB", "mfcc": "dB",
}  # fmt: skip


def unit(feature: str) -> str:
    """Returns the unit of a feature of songs, such as ``Hz²`` for a variance of frequencies."""
    name = _UNITS[feature.removesuffix("_mean").removesuffix("_var").rstrip("0123456789")]
    if not feature.endswith("_var"):
        return name
    return f"{name.replace(' per', '² per')}²" if " per" in name else f"{name}²"


@styled()
def correlation_heatmap(
    matrix: "pd.DataFrame", note: str, which: str = " that are means"
) -> Figure:
    """Draws the matrix of ``exploration.correlations``; ``which`` of the features, in the title."""
    title = f"Pearson correlation of the {len(matrix)} features{which}"
    figure = new_figure(9.0, 8.4, title, note, dpi=160)  # the numbers in the cells are small
    axes = figure.subplots()
    axes.set_facecolor("#BBBBBB")  # what has no correlation, since it is constant, stays grey
    values = matrix.to_numpy()
    image = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
    written = len(matrix) <= _MOST_WRITTEN
    for row, column in np.argwhere(np.abs(values) >= _STRONG):
        if row != column and written:
            number = f"{values[row, column]:+z.2f}".replace("0.", ".").replace("-", "−")
            axes.text(column, row, number, ha="center", va="center", color="white", fontsize=5.2)
    places = range(len(matrix))
    axes.set_xticks(places, list(map(short_name, matrix.columns)), rotation=90, fontsize=8)
    axes.set_yticks(places, list(map(short_name, matrix.index)), fontsize=8)
    axes.tick_params(length=0)
    bar = figure.colorbar(image, shrink=0.6, pad=0.02)
    which = f" (written out from ±{_STRONG:g} on)" if written else ""
    bar.set_label(f"correlation{which}", fontsize=9)
    return figure


@styled()
def feature_by_genre(table: FeatureTable, feature: str, caption: str = "") -> Figure:
    """Draws the spread of one feature in every class; the caption is a second line of the title."""
    title = f"{literal(printable(feature))} by {table.words.label}" + (
        f"\n{caption}" if caption else ""
    )
    width = min(max(8.0, 0.35 * len(table.genres) + 1.5), 40.0)
    boxes = "box: quartiles; whiskers: up to 1.5 interquartile ranges"
    figure = new_figure(width, 4.6, title, f"{table.note()}; {boxes}")
    axes = figure.subplots()
    _draw_boxes(axes, table, feature, 1.0)
    names = [short_name(genre) for genre in table.genres]
    axes.set_xticks(range(1, len(names) + 1), names, rotation=30, ha="right")
    axes.set_ylabel(_unit_and_scale(axes, table, feature))
    tidy(axes)
    axes.grid(visible=False, axis="x")
    return figure


@styled()
def contact_sheet(table: FeatureTable, ranking: "pd.DataFrame") -> Figure:
    """Draws features by class on one page, in the order of ``exploration.rank_features``."""
    rows = math.ceil((len(ranking) + 1) / _SHEET_COLUMNS)  # one place is the legend's
    label, labels = table.words.label, table.words.labels
    left_out = f" of {len(table.features)}" if len(ranking) < len(table.features) else ""
    title = (
        f"{len(ranking)}{left_out} features by {label}, ordered by how well each alone separates "
        f"the {labels}\n(box: quartiles; whiskers: up to 1.5 interquartile ranges)"
    )
    figure = new_figure(13.0, 1.55 * rows + 1.0, title, table.note())
    panels = figure.subplots(rows, _SHEET_COLUMNS).ravel()
    for axes in panels[len(ranking) :]:
        axes.axis("off")
    for axes, rank, feature in zip(panels, ranking["rank"], ranking["feature"], strict=False):
        _draw_boxes(axes, table, feature, 0.5)
        axes.set_title(f"{rank}  {short_name(feature)}", fontsize=8, loc="left", pad=3)
        axes.set_xticks([])
        axes.set_ylabel(_unit_and_scale(axes, table, feature), fontsize=6, labelpad=1)
        axes.tick_params(labelsize=6, length=2, pad=1)
        tidy(axes)
    colours = genre_colours(table.genres)
    handles = [Patch(color=colours[genre], label=short_name(genre)) for genre in table.genres]
    columns = max(2, math.ceil(len(handles) / 7))
    legend = panels[len(ranking)].legend(
        handles=handles, ncols=columns, fontsize=8, loc="upper left", frameon=False
    )
    legend.set_in_layout(False)  # many genres may reach into the empty places beside it
    return figure


@styled()
def pca_scatter(pca: Pca, table: FeatureTable, dimensions: int) -> Figure:
    """Draws the rows of a table in the first 2 or 3 dimensions of its PCA, by class."""
    rows = f"{len(table.y):,} {table.words.rows} by {table.words.label}"
    title = f"{rows}: PCA of {len(pca.features)} features, {_scaling(pca)}"
    columns = math.ceil(len(table.genres) / _LEGEND_ROWS)
    figure = new_figure(7.6 + 1.4 * columns, 6.6, title, table.note())
    projection: dict[str, Any] = {"projection": "3d"} if dimensions == 3 else {}
    axes: Any = figure.add_subplot(**projection)
    colours, markers = genre_colours(table.genres), genre_markers(table.genres)
    for index, genre in enumerate(table.genres):
        axes.scatter(
            *pca.scores[table.y == index, :dimensions].T, label=short_name(genre),
            color=colours[genre], marker=markers[genre], s=26, alpha=0.85,
            linewidths=0.3, edgecolors="#444444", **({"depthshade": False} if projection else {}),
        )  # fmt: skip
    for side, label in zip("xyz", _component_labels(pca)[:dimensions], strict=False):
        getattr(axes, f"set_{side}label")(label)
    figure.legend(loc="outside right center", frameon=False, ncols=columns, markerscale=1.3)
    if dimensions == 2:
        tidy(axes)
    else:
        axes.tick_params(labelsize=8)
        axes.set_box_aspect(None, zoom=0.98)
    return figure


@styled()
def pca_loadings(pca: Pca, note: str) -> Figure:
    """Draws the largest loadings of each component of ``exploration.pca``."""
    title = f"PCA, {_scaling(pca)}: the {_TOP} largest loadings of each component"
    figure = new_figure(10.0, 4.4, title, note)
    panels = figure.subplots(1, len(pca.loadings), sharex=True, squeeze=False)[0]
    for axes, loadings, label in zip(panels, pca.loadings, _component_labels(pca), strict=True):
        top = np.argsort(-np.abs(loadings))[:_TOP]
        axes.barh(range(len(top)), loadings[top], color=np.where(loadings[top] > 0, TRAIN, TEST))
        axes.set_yticks(
            range(len(top)), [short_name(pca.features[feature]) for feature in top], fontsize=8
        )
        axes.invert_yaxis()
        axes.set_title(label, fontsize=9)
        axes.set_xlabel("loading")
        tidy(axes)
    return figure


def _draw_boxes(axes: Axes, table: FeatureTable, feature: str, size: float) -> None:
    """Draws a box plot a class."""
    values = table.x[:, table.features.index(feature)].astype(np.float64)
    of_genres = [values[table.y == place] for place in range(len(table.genres))]
    dots: dict[str, Any] = {"marker": ".", "markersize": 1 + 2 * size, "markeredgewidth": 0}
    drawn = axes.boxplot(
        of_genres, widths=0.7, patch_artist=True, showcaps=False,
        flierprops=dots | {"markerfacecolor": "black"},
        medianprops={"color": "white", "linewidth": 1.2 * size + 0.6},
    )  # fmt: skip
    for box, colour in zip(drawn["boxes"], genre_colours(table.genres).values(), strict=True):
        box.set_facecolor(colour)
    _set_scale(axes, feature, values)


def _unit_and_scale(axes: Axes, table: FeatureTable, feature: str) -> str:
    scale = "" if axes.get_yscale() == "linear" else "log scale"
    return ", ".join(filter(None, [unit(feature) if table.has_moments else "", scale]))


def _set_scale(axes: Axes, feature: str, values: np.ndarray) -> None:
    """Makes an axis logarithmic where outliers would squeeze the boxes into lines."""
    lower, upper = np.quantile(values, [0.25, 0.75])
    spread = upper - lower
    if feature.endswith("_var") and values.min() > 0:
        axes.set_yscale("log")
        few = (1, 2, 5) if values.max() < 30 * values.min() else (1,)
        axes.yaxis.set_major_locator(LogLocator(subs=few, numticks=6))
        axes.yaxis.set_minor_locator(NullLocator())
    elif (
        min(abs(lower), abs(upper)) < spread
        and max(lower - values.min(), values.max() - upper) > _SKEWED * spread
    ):  # logarithmic on both sides of zero, linear between the quartiles
        axes.set_yscale("asinh", linear_width=spread)
        axes.yaxis.set_major_locator(AsinhLocator(spread, numticks=6, symthresh=0.5))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(_compact)


def _compact(value: float, _: float = 0.0) -> str:
    """Returns a short number: 1200000 as 1.2M."""
    size = abs(value)
    divisor, letter = (1e6, "M") if size >= 1e6 else (1e3, "k") if size >= 1e4 else (1, "")
    return f"{value / divisor:g}{letter}".replace("-", "−")


def _component_labels(pca: Pca) -> list[str]:
    return [
        f"component {number} ({100 * ratio:.1f} % of variance)"
        for number, ratio in enumerate(pca.ratios, start=1)
    ]


def _scaling(pca: Pca) -> str:
    return {"min-max": "scaled to 0…1", "standard": "standardised"}[pca.scaling]
