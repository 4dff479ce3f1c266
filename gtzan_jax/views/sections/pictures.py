"""The pictures of a report: what the page holds of them."""

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pictures = dict[str, bytes]
"""By file name: SVG where they were drawn here, else PNG."""


def draw(pictures: Pictures, name: str, figure: "Figure") -> None:
    """Adds a figure as SVG: small, sharp at every size, its texts as texts."""
    from gtzan_jax.views.plots.style import image_of

    style = {"svg.fonttype": "none", "svg.hashsalt": name}
    options = {"transparent": True, "metadata": {"Date": None}}
    pictures[f"{name}.svg"] = image_of(figure, "svg", style=style, **options)


def file_of(pictures: Mapping[str, bytes], name: str) -> str | None:
    """Returns the file name of a picture; None if there is no such picture."""
    return next((file for file in pictures if file.rpartition(".")[0] == name), None)


def markup(pictures: Mapping[str, bytes], name: str, alt: str) -> Markup:
    """Returns a picture as HTML that needs no file; ``alt`` says what it shows."""
    file = file_of(pictures, name) or ""
    kind = "svg+xml" if file.endswith(".svg") else "png"
    content = base64.b64encode(pictures[file]).decode("ascii")
    return Markup('<img alt="{}" src="data:image/{};base64,{}">').format(alt, kind, content)
