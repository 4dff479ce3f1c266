"""Size, title, note of the data source and colours of figures."""

import contextlib
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gtzan_jax.tables.protocols import LEAK
from gtzan_jax.text import printable

# Okabe and Ito's colours, which colour-blind readers distinguish.
TRAIN, TEST, VALIDATION = "#0072B2", "#D55E00", "#009E73"
GREY, RED = "#555555", "#C00000"
WIDTH = 5.2  # inches: letters keep a readable size on a phone

# Found by a search for the largest least distance in CIELAB with and without colour blindness
# (Machado et al., 2009): at least 27 without red or green cones, 24 without blue ones.
_GENRE_COLOURS = {
    "blues": "#074CC9",
    "disco": "#E08300",
    "reggae": "#08B393",
    "rock": "#B82600",
    "pop": "#C785F9",
    "metal": "#6C0E10",
    "country": "#D8CE77",
    "hiphop": "#7D6C9A",
    "classical": "#A6D1F2",
    "jazz": "#4D1C6E",
}
_MARKERS = "os^DvPX<*>"
_LONGEST_NAME = 24
_NOTE_LETTERS, _TITLE_LETTERS = 17, 10  # an inch
_DEFAULTS: dict[Any, Any] = dict(matplotlib.rcParamsDefault.copy())
_DEFAULTS.pop("backend")


@contextlib.contextmanager
def styled(**changes: Any) -> Iterator[None]:
    """Draws or saves under Matplotlib's defaults, not the user's settings."""
    with matplotlib.rc_context(_DEFAULTS | changes):
        yield


def new_figure(
    width: float, height: float, title: str = "", note: str = "", dpi: int = 120
) -> Figure:
    """Makes an empty figure of width × height inches with a title above and the source below.

    ``title`` is empty where the figure has a caption; ``note`` is red where it tells of a leak.
    """
    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    if title:
        letters = int(_TITLE_LETTERS * width)
        wrapped = (
            textwrap.fill(line, letters, break_on_hyphens=False) for line in title.split("\n")
        )
        figure.suptitle("\n".join(wrapped), fontsize=12)
    if note:
        lines = textwrap.fill(note, int(_NOTE_LETTERS * width))
        figure.supxlabel(literal(lines), fontsize=7.5, color=RED if LEAK in note else GREY)
    return figure


def image_of(
    figure: Figure, kind: str = "png", style: Mapping[str, Any] | None = None, **options: Any
) -> bytes:
    """Returns a figure as a PNG or SVG file."""
    buffer = io.BytesIO()
    with styled(**style or {}):
        if kind == "png" and not options:  # the same bytes as savefig's, which draws it twice
            FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
        else:
            figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def tidy(axes: Axes, in_rows: bool = False) -> None:
    """Removes the frame's upper and right sides, of rows the left too; draws a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, axis="x" if in_rows else "both")
    axes.set_axisbelow(True)
    if in_rows:
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)


def genre_colours(genres: Sequence[str]) -> dict[str, str]:
    """Returns the colours of genres: GTZAN's own, else by place, repeated from the eleventh on."""
    if set(genres) <= set(_GENRE_COLOURS):
        return {genre: _GENRE_COLOURS[genre] for genre in genres}
    palette = list(_GENRE_COLOURS.values())
    return {genre: palette[place % len(palette)] for place, genre in enumerate(genres)}


def genre_markers(genres: Sequence[str]) -> dict[str, str]:
    """Returns the markers of genres: with colours, up to a hundred can be distinguished."""
    count = len(_MARKERS)  # each turn through the colours begins one marker later
    return {genre: _MARKERS[(place + place // count) % count] for place, genre in enumerate(genres)}


def literal(text: str) -> str:
    """Escapes ``$``, which begins a formula in figures."""
    return text.replace("$", r"\$")


def short_name(name: str) -> str:
    """Returns a name on one line, cut to 24 characters, literal."""
    line = printable(name)
    if line.startswith("_"):
        line = f" {line}"  # matplotlib leaves names that begin with _ out of legends
    return literal(line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…")
