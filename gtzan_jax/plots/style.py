"""What all figures share: size, title, note of the data source, colours."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers tell apart.
TRAIN, TEST = "#0072B2", "#D55E00"
_GREY = "#555555"


def new_figure(width: float, height: float, title: str, note: str) -> Figure:
    """Makes an empty figure with a title above and the source of the data below.

    Args:
      width: inches.
      height: inches.
      title: what the figure shows.
      note: the source of the data.
    """
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    figure.suptitle(title, fontsize=12)
    figure.supxlabel(note, fontsize=7.5, color=_GREY)
    return figure


def tidy(axes: Axes) -> None:
    """Takes away what is not data: the frame's upper and right sides; lays a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
