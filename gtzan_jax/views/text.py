"""Figures and tables as text: cells, Markdown, percentages, percentage points; templates."""

import functools
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gtzan_jax.resources import resource
from gtzan_jax.space.hyperparameters import HYPERPARAMETERS
from gtzan_jax.text import counted as counted
from gtzan_jax.text import printable

if TYPE_CHECKING:
    import jinja2
    import pandas as pd

    from gtzan_jax.space.config import Config

NOTHING = "–"  # placeholder for a missing value
_LONGEST = 80  # letters of a cell
_COUNTS = ("tracks", "epoch", "configs", "matched", "seeds", "settings tried")
_NUMBER = re.compile(r"[+−-]?[\d.,]+(e[+-]\d+)?( %| to [+−]?[\d.]+)?|–")  # or an interval


@dataclass(frozen=True)
class Table:
    """A table of texts."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @classmethod
    def of(cls, frame: "pd.DataFrame") -> "Table":
        """Formats a frame; see :func:`cell`."""
        rows = [
            [cell(str(name), value) for name, value in zip(frame.columns, row, strict=True)]
            for row in frame.itertuples(index=False)
        ]
        return cls([str(name) for name in frame.columns], rows)

    @property
    def numeric(self) -> list[bool]:
        """True for each column that has only numbers, which align on the right."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.columns)
        return [bool(cells) and all(map(_NUMBER.fullmatch, cells)) for cells in columns]

    @property
    def markdown(self) -> str:
        """The table in Markdown."""
        return self._lines(pad=False)

    @property
    def aligned(self) -> str:
        """The table in Markdown with aligned columns, for a terminal."""
        return self._lines(pad=True)

    def _lines(self, pad: bool) -> str:
        columns = zip(self.columns, *self.rows, strict=True)
        widths = [max(3, *map(len, column)) if pad else 3 for column in columns]
        lines = []
        for line in (self.columns, ["-" * width for width in widths], *self.rows):
            texts = (printable(text).replace("|", "/") for text in line)
            cells = (text.ljust(n if pad else 0) for text, n in zip(texts, widths, strict=True))
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)


def cell(column: str, value: Any) -> str:
    """Returns a value of a frame: hyperparameters as they are, other fractions to 4 decimals."""
    if isinstance(value, float) and column not in HYPERPARAMETERS and column != "value":
        if not math.isfinite(value):
            return NOTHING
        return f"{value:z.0f}" if column in _COUNTS else f"{value:z.4f}"
    text = printable(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def percent(share: float, digits: int = 0) -> str:
    """Returns a share in percent."""
    return f"{100 * share:z.{digits}f} %" if math.isfinite(share) else NOTHING


def points(difference: float, sign: str = "+", digits: int = 2) -> str:
    """Returns a difference of accuracies in percentage points."""
    if not math.isfinite(difference):
        return NOTHING
    return signed(100 * difference, sign, digits)


def signed(value: float, sign: str = "+", digits: int = 2) -> str:
    """Returns a number with a typographic minus; what rounds to zero has no sign."""
    if round(value, digits) == 0:
        return f"{0:.{digits}f}"
    return f"{value:{sign}.{digits}f}".replace("-", "−")


def plus_minus(mean: float, deviation: float) -> str:
    """Returns a mean with its deviation, unless that is NaN."""
    return f"{mean:.3f} ± {deviation:.3f}" if math.isfinite(deviation) else f"{mean:.3f}"


def interval(low: float, high: float) -> str:
    """Returns an interval of differences in percentage points."""
    return f"{points(low)} to {points(high)}" if math.isfinite(low) else NOTHING


def p_value(value: float) -> str:
    """Returns a p-value to two digits."""
    return f"{value:.2g}" if math.isfinite(value) else NOTHING


def by_stem(config: "Config") -> dict[str, str]:
    """Returns a config's values by axis, those of its layers joined by hyphens."""
    groups = itertools.groupby(config, key=lambda name: HYPERPARAMETERS[name].stem)
    return {
        stem: "-".join(HYPERPARAMETERS[n].show(config[n]) for n in names) for stem, names in groups
    }


@functools.cache
def template(name: str) -> "jinja2.Template":
    """Returns a template of ``templates/``, which escapes what it is given."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource("views", "templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"percent": percent, "signed": signed, "printable": printable}
    return environment.get_template(name)
