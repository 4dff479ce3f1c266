"""Figures as SVG: small, sharp at every size, and inside a page in its colours, light or dark."""

import re

from matplotlib.figure import Figure

from gtzan_jax.views.plots.style import GREY, TEST, TRAIN, VALIDATION, image_of

# What a page's style sheet calls the colours that follow its theme; black text has no colour
# in the file, and is left to the style sheet.
_THEMED = {
    "#000000": "ink",
    "#ffffff": "paper",
    GREY: "soft",
    TRAIN: "blue",
    TEST: "orange",
    VALIDATION: "green",
}
_LARGEST = 1.1  # of a figure's own size
_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def svg_of(figure: Figure, name: str) -> bytes:
    """Returns a figure as an SVG file, its texts as texts, the same bytes each time.

    Args:
      figure: the figure.
      name: tells its references from those of other figures on a page.
    """
    style = {"svg.fonttype": "none", "svg.hashsalt": name}
    return image_of(figure, "svg", style=style, metadata=_METADATA)


def inline(svg: bytes) -> str:
    """Returns what of an SVG file from :func:`svg_of` can stand in a page.

    Colours become those of the page, as do the letters, and the width that of the text. Names
    that only matplotlib needs are left out: several figures on a page would share them.
    """
    text = svg.decode("utf-8")
    head, _, rest = text[text.index("<svg") :].partition(">")
    view = re.search(r'viewBox="([\d. ]+)"', head)
    box = view.group(1) if view else ""
    rest = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", rest, count=1, flags=re.DOTALL)
    rest = re.sub(r'<g id="[^"]*"', "<g", rest)
    rest = re.sub(r"font: (?:(\d+) )?([\d.]+px) [^;\"]*", _font, rest)
    rest = re.sub(r"font-family: [^;\"]*(; )?", "", rest)
    rest = re.sub(r"(fill|stroke): (#[0-9a-f]{6})", _themed, rest)
    rest = re.sub(r"\s*\n\s*", "\n", rest)
    width = _LARGEST * float(box.split()[2]) / 72
    return f'<svg viewBox="{box}" style="max-width: {width:.3g}in">{rest}'


def _font(found: re.Match[str]) -> str:
    weight = f"font-weight: {found[1]}; " if found[1] else ""
    return f"{weight}font-size: {found[2]}"


def _themed(found: re.Match[str]) -> str:
    kind, colour = found.groups()
    theme = {key.lower(): name for key, name in _THEMED.items()}.get(colour)
    return f"{kind}: var(--{theme})" if theme else f"{kind}: {colour}"
