"""Sections of the report: text, tables and figures, all escaped."""

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
    """A section of the report, or a part of one."""

    title: str
    text: Sequence[Markup] = ()  # from paragraph
    figures: Sequence[Markup] = ()  # from figure; beside the text
    tables: Sequence[Table] = ()
    rows: dict[str, Any] | None = None  # of the table that the page's script sorts and filters
    parts: Sequence["Section"] = ()
    name: str = ""  # the id in the page, by which links reach it
    folded: bool = False  # only the title shows until clicked


def joined(*sentences: str) -> Markup:
    """Joins the sentences that are not empty; escapes those that are not markup."""
    return Markup(" ").join(sentence for sentence in sentences if sentence)


def paragraph(*sentences: str, kind: str = "") -> Markup:
    """Makes a paragraph; ``kind`` is its class in report.css."""
    role = Markup(' role="alert"') if kind == "warning" else ""
    return Markup('<p class="{}"{}>{}</p>').format(kind, role, joined(*sentences))


def strong(text: str) -> Markup:
    """Emphasises the finding of a paragraph."""
    return Markup("<strong>{}</strong>").format(text)


def code(text: object) -> Markup:
    """Marks a command, a flag or a name."""
    return Markup("<code>{}</code>").format(text)


def figure(name: str, drawn: "Figure | bytes", alt: str, *caption: str) -> Markup:
    """Embeds a figure as SVG with selectable text, or the bytes of a PNG file.

    ``name`` is its class in report.css, ``alt`` its description for screen readers.
    """
    kind = "png"
    if not isinstance(drawn, bytes):
        from gtzan_jax.views.plots.style import image_of

        style = {"svg.fonttype": "none", "svg.hashsalt": name}
        options = {"transparent": True, "metadata": {"Date": None}}
        kind, drawn = "svg+xml", image_of(drawn, "svg", style=style, **options)
    content = base64.b64encode(drawn).decode("ascii")
    return Markup(
        '<figure class="{}"><img alt="{}" src="data:image/{};base64,{}">'
        "<figcaption>{}</figcaption></figure>"
    ).format(name, alt, kind, content, joined(*caption))
