"""Sections of the report: words, tables and figures, whose texts are escaped."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from gtzan_jax.views.text import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class Section:
    """A section of the report, or a part of one; the template shows its fields in this order."""

    title: str
    text: Sequence[Markup] = ()  # from paragraph
    figures: Sequence[Markup] = ()  # from figure; a single one stands beside the text
    tables: Sequence[Table] = ()
    rows: dict[str, Any] | None = None  # of a table to sort and to filter, for the page's script
    parts: Sequence["Section"] = ()
    name: str = ""  # the id in the page, if any
    folded: bool = False  # only the title shows until clicked


def joined(*sentences: str) -> Markup:
    """Joins sentences that are not empty, and escapes those that are no markup."""
    return Markup(" ").join(sentence for sentence in sentences if sentence)


def paragraph(*sentences: str, kind: str = "") -> Markup:
    """Makes a paragraph; ``kind`` is its class in the style sheet."""
    role = Markup(' role="alert"') if kind == "warning" else ""
    return Markup('<p class="{}"{}>{}</p>').format(kind, role, joined(*sentences))


def strong(text: str) -> Markup:
    """Emphasises the finding of a paragraph."""
    return Markup("<strong>{}</strong>").format(text)


def code(text: object) -> Markup:
    """Marks a command, a flag or a name."""
    return Markup("<code>{}</code>").format(text)


def figure(name: str, drawn: "Figure | bytes", alt: str, *caption: str) -> Markup:
    """Embeds a figure in the page: as an SVG whose texts are texts; bytes are a PNG file.

    ``name`` is its class in the style sheet, ``alt`` its description for screen readers.
    """
    kind = "png"
    if not isinstance(drawn, bytes):
        from gtzan_jax.views.plots.style import image_of

        style = {"svg.fonttype": "none", "svg.hashsalt": name}
        options = {"transparent": True, "metadata": {"Date": None}}
        kind, drawn = "svg+xml", image_of(drawn, "svg", style=style, **options)
    content = base64.b64encode(drawn).decode("ascii")
    return Markup(
        '<figure class="{}"><div class="wide"><img alt="{}" src="data:image/{};base64,{}"></div>'
        "<figcaption>{}</figcaption></figure>"
    ).format(name, alt, kind, content, joined(*caption))
