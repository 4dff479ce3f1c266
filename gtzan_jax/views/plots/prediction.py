"""A figure of what a model says over the time of songs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gtzan_jax.models.prediction import Prediction
from gtzan_jax.text import counted
from gtzan_jax.views.plots.style import GREY, genre_colours, new_figure, short_name, styled, tidy

_GENRES = 4  # of a song that are drawn with their colours; the rest is grey
_WIDTH, _HEIGHT = 8.0, 1.9  # inches: of the figure, and of a song's row
_MOST_SONGS = 20


@styled()
def over_time(predictions: Sequence[Prediction], genres: Sequence[str], note: str = "") -> Figure:
    """Draws each song's probabilities, window by window, one above the other up to 1.

    Args:
      predictions: one a song; the first 20 are drawn.
      genres: of the model, in alphabetical order, which gives them their colours.
      note: what is said of the model.
    """
    shown = predictions[:_MOST_SONGS]
    left = len(predictions) - len(shown)
    note += f"; not drawn: {counted(left, 'more song')}" if left else ""
    title = "Probability of each genre over the song's time"
    figure = new_figure(_WIDTH, 0.9 + _HEIGHT * len(shown), title, note)
    panels = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    colours = genre_colours(genres)
    for axes, prediction in zip(panels, shown, strict=True):
        _draw_song(axes, prediction, colours)
    panels[-1].set_xlabel("time (minutes:seconds)")
    return figure


def _draw_song(axes: Axes, prediction: Prediction, colours: dict[str, str]) -> None:
    """Draws a song's windows as bars that reach up to 1, its most probable genres lowest."""
    edges = _edges(prediction.times)
    starts, widths = edges[:-1], np.diff(edges)
    names, bottom = prediction.genres[:_GENRES], np.zeros(len(starts))
    for place, genre in enumerate(names):
        height = prediction.by_window[:, place]
        label = f"{short_name(genre)} {100 * prediction.probabilities[place]:.0f} %"
        axes.bar(starts, height, widths, bottom, align="edge", color=colours[genre], label=label)
        bottom += height
    rest = "others" if len(prediction.genres) > _GENRES else None
    axes.bar(starts, 1 - bottom, widths, bottom, align="edge", color=GREY, alpha=0.25, label=rest)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1))
    axes.set_title(short_name(Path(prediction.path).name), fontsize=9, loc="left")
    axes.xaxis.set_major_formatter(lambda s, _: f"{int(s) // 60}:{int(s) % 60:02d}")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    tidy(axes)


def _edges(times: np.ndarray) -> np.ndarray:
    """Returns where one window's bar ends and the next one's begins: amid those that overlap.

    Args:
      times: (windows, 2) begin and end.
    """
    between = (times[:-1, 1] + times[1:, 0]) / 2
    return np.array([times[0, 0], *between, times[-1, 1]])
