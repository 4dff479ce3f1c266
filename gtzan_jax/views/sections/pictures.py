"""The pictures of a report: files beside the twin, and what the page holds of them."""

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pictures = dict[str, bytes]
"""By file name: SVG where they were drawn here, else PNG."""


def draw(pictures: Pictures, name: str, figure: "Figure") -> None:
    """Adds a figure as SVG."""
    from gtzan_jax.views.plots.svg import svg_of

    pictures[f"{name}.svg"] = svg_of(figure, name)


def file_of(pictures: Mapping[str, bytes], name: str) -> str | None:
    """Returns the file name of a picture; None if there is no such picture."""
    return next((file for file in pictures if file.rpartition(".")[0] == name), None)


def markup(pictures: Mapping[str, bytes], name: str, alt: str) -> Markup:
    """Returns a picture as HTML that needs no file.

    Args:
      pictures: among them that one.
      name: of the picture.
      alt: says what it shows to those who do not see it.
    """
    file = file_of(pictures, name) or ""
    if file.endswith(".svg"):
        from gtzan_jax.views.plots.svg import inline

        label = f'<svg role="img" aria-label="{escape(alt)}" '
        return Markup(inline(pictures[file]).replace("<svg ", label, 1))  # noqa: S704, texts are escaped
    content = base64.b64encode(pictures[file]).decode("ascii")
    return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(alt, content)
