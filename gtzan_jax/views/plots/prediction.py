"""Figures of predictions and their explanations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from gtzan_jax.inference.prediction import Explanation, Prediction
from gtzan_jax.sound.mel import band_frequencies
from gtzan_jax.text import counted
from gtzan_jax.views.plots.style import (
    WIDTH,
    genre_colours,
    new_figure,
    short_name,
    styled,
    tidy,
)

_GENRES = 4  # of a song that are drawn with their colours; the rest is grey
_REST, _REST_COLOUR = "all others", "#D4D4D4"
_MOST_SONGS = 20
_TICKS_HZ = (100, 500, 1_000, 2_000, 5_000, 10_000)
_BRIGHTEST = 99.5  # percentile of attributions that has the full colour: single points are larger


@styled()
def over_time(
    predictions: Sequence[Prediction],
    genres: Sequence[str],
    note: str = "",
    title: str | None = None,
    width: float = 8.0,
) -> Figure:
    """Draws the probabilities of the first 20 songs: over time, or as bars of a single window.

    ``genres`` are the model's, in alphabetical order; ``width`` is in inches. Legends are beside
    the songs, or below one song in a narrow figure.
    """
    shown = predictions[:_MOST_SONGS]
    left = len(predictions) - len(shown)
    note += f"; not drawn: {counted(left, 'more song')}" if left else ""
    has_windows = any(len(each.spans) > 1 for each in shown)
    if title is None:
        title = "Probability of each genre" + ", window by window" * has_windows
    figure = new_figure(width, 0.9 + 1.9 * len(shown), title, note)
    panels = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    colours = genre_colours(genres)
    for axes, prediction in zip(panels, shown, strict=True):
        axes.set_title(short_name(Path(prediction.path).name), fontsize=9, loc="left")
        if len(prediction.spans) == 1:
            _draw_window(axes, prediction, colours)
            continue
        _draw_windows(axes, prediction, colours)
        if width > WIDTH:
            axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    if has_windows and width <= WIDTH:
        figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    return figure


def _draw_window(axes: Axes, prediction: Prediction, colours: dict[str, str]) -> None:
    """Draws a bar for each of the most probable genres, and one for the rest."""
    genres = prediction.genres[:_GENRES]
    heights, names = prediction.probabilities[:_GENRES], [short_name(genre) for genre in genres]
    fills = [colours[genre] for genre in genres]
    if len(prediction.genres) > _GENRES:
        heights, names = np.append(heights, 1 - heights.sum()), [*names, _REST]
        fills.append(_REST_COLOUR)
    bars = axes.barh(range(len(names)), heights, color=fills)
    axes.bar_label(bars, [f"{100 * height:.0f} %" for height in heights], padding=4, fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6), xlabel="probability")
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    tidy(axes, in_rows=True)


def _draw_windows(axes: Axes, prediction: Prediction, colours: dict[str, str]) -> None:
    """Draws a song's windows as bars up to 1, its most probable genres lowest."""
    times = prediction.times  # (windows, 2): where windows overlap, bars meet in the middle
    edges = np.array([times[0, 0], *(times[:-1, 1] + times[1:, 0]) / 2, times[-1, 1]])
    bars: dict[str, Any] = {"width": np.diff(edges), "align": "edge"}
    bottom = np.zeros(len(times))
    for place, genre in enumerate(prediction.genres[:_GENRES]):
        height = prediction.by_window[:, place]
        label = f"{short_name(genre)} {100 * prediction.probabilities[place]:.0f} %"
        axes.bar(edges[:-1], height, bottom=bottom, color=colours[genre], label=label, **bars)
        bottom = bottom + height
    rest = _REST if len(prediction.genres) > _GENRES else None
    axes.bar(edges[:-1], 1 - bottom, bottom=bottom, color=_REST_COLOUR, label=rest, **bars)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1), ylabel="probability")
    axes.set_xlabel("time (minutes:seconds)")
    axes.xaxis.set_major_formatter(_minutes)
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    tidy(axes)


@styled()
def spectrogram_reasons(prediction: Prediction, explanation: Explanation, note: str = "") -> Figure:
    """Draws the spectrograms of a song's windows, side by side, and below them the attributions."""
    title = f"Attribution of the prediction {short_name(explanation.genre)}"
    figure = new_figure(9.0, 6.0, title, note)
    seen, reasons = figure.subplots(2, 1, sharex=True, sharey=True)
    # (bands, windows × frames) of (windows, bands, frames)
    inputs, values = (
        np.concatenate(list(v), axis=1) for v in (prediction.inputs, explanation.values)
    )
    limit = float(np.percentile(np.abs(values), _BRIGHTEST)) or 1.0
    total = explanation.output - explanation.baseline
    name = short_name(Path(prediction.path).name)
    look: dict[str, Any] = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    image = seen.imshow(inputs, cmap="magma", **look)
    figure.colorbar(image, ax=seen, label="level (deviations from training mean)")
    seen.set_title(f"{name}: spectrograms of its windows", fontsize=9, loc="left")
    image = reasons.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, **look)
    figure.colorbar(image, ax=reasons, label="attribution (nats)", extend="both")
    above = f"red: for {short_name(explanation.genre)}; blue: against; sum {total:+z.2f} nats"
    reasons.set_title(above, fontsize=9, loc="left")
    _label(seen, prediction)
    _label(reasons, prediction)
    reasons.set_xlabel("time (minutes:seconds)")
    return figure


def _label(axes: Axes, prediction: Prediction) -> None:
    """Names bands by their frequency, and windows by the time at which they begin."""
    frequencies, frames = band_frequencies(), prediction.inputs.shape[2]
    bands = [int(np.abs(frequencies - tick).argmin()) for tick in _TICKS_HZ]
    axes.set_yticks(bands, [f"{tick:,}" for tick in _TICKS_HZ], fontsize=8)
    axes.set_ylabel("frequency (Hz)")
    starts = prediction.times[:, 0]
    edges = np.arange(len(starts)) * frames - 0.5
    few = slice(None, None, -(-len(starts) // 12))
    axes.set_xticks(edges[few], [_minutes(start) for start in starts[few]], fontsize=8)
    for edge in edges[1:]:
        axes.axvline(edge, color="white", linewidth=0.5)


def _minutes(seconds: float, _: float = 0.0) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
