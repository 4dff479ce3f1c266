"""Writes the tables of hyperparameters and flags in docs/sweeps.md, from the code.

python docs/make_sweeps.py
"""

import dataclasses
import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pages import fill

from gtzan_jax import checks
from gtzan_jax.checks import Choice, Number, Whole
from gtzan_jax.jobs import options
from gtzan_jax.space import hyperparameters
from gtzan_jax.space.hyperparameters import HYPERPARAMETERS, Hyperparameter
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("sweeps.md")
COMMANDS = {
    "retrain": options.RetrainOptions,
    "baselines": options.BaselinesOptions,
    "predict": options.PredictOptions,
    "report": options.ReportOptions,
    "extract": options.ExtractOptions,
    "eda": options.EdaOptions,
    "compare": options.CompareOptions,
    "demo": options.DemoOptions,
}
CHECKED: dict[Callable[..., Any], str] = {
    hyperparameters.rate: "0 to 0.99",
    hyperparameters.filters: f"multiples of 8, to {hyperparameters.MAX_FILTERS}",
    hyperparameters.kernel: "1, 3, 5, 7",
    checks.yes_or_no: "`true`, `false`",
}
DEFAULTS = {  # of hyperparameters whose default is not a value
    "num_units": "must be given",
    "filters": "must be given",
    "learning_rate": "`[learning_rates]`",
    "batch_size": "`batch_size`",
}


def allowed(check: Any) -> str:
    """Returns the values that a check allows, or "" if it has no list and no bounds."""
    match check:
        case Whole(low, high):
            return f"{low:,} to {high:,}"
        case Number(low, high):
            return f"{low:g} to {high:g}"
        case Choice(names):
            return ", ".join(f"`{name}`" for name in names)
    return CHECKED.get(check, "")


def hyperparameter_rows(*families: tuple[str, ...]) -> list[list[str]]:
    """Returns the rows of hyperparameters of some kinds of model; () is of all kinds."""
    rows: dict[str, list[Hyperparameter]] = {}
    for axis in HYPERPARAMETERS.values():
        if axis.families in families:
            rows.setdefault(axis.stem, []).append(axis)
    table = []
    for stem, (first, *others) in rows.items():
        name = f"`{first.name}`" + (f" … `{others[-1].name}`" if others else "")
        text, _, told = first.text.partition(" Default: ")
        default = told.rstrip(".") or DEFAULTS.get(stem)
        default = default or f"`{first.show(first.default)[len(first.prefix) :]}`"
        text = text.replace("hidden layer 1", "hidden layer n")
        table.append([name, text, allowed(first.check), default])
    return table


def flag_rows(kind: type) -> list[list[str]]:
    """Returns the rows of a command's flags and arguments, its own before the inherited ones."""
    fields = [f for f in dataclasses.fields(kind) if f.metadata.get("flag", f.name)]
    fields.sort(key=lambda field: field.name not in kind.__annotations__)
    rows = []
    for field in fields:
        about, default = field.metadata, field.default
        shown = "" if default in (None, "", ()) else f"`{str(default).lower()}`"
        if default is dataclasses.MISSING:
            shown = "must be given"
        name = f"`{about.get('argument') or '--' + about.get('flag', field.name)}`"
        rows.append([name, html.escape(about["help"], quote=False), allowed(about["check"]), shown])
    return rows


def blocks() -> dict[str, str]:
    """Returns the generated blocks of the page, by the name of their markers."""
    axes = ("hyperparameter", "meaning", "values", "default")
    found = {
        "axes": Table(axes, hyperparameter_rows((), ("mlp",))).markdown,
        "axes_cnn": Table(axes, hyperparameter_rows(("cnn",))).markdown,
    }
    flags = ("flag", "meaning", "values", "default")
    of_sweep = flag_rows(options.SweepOptions)
    found["flags"] = Table(flags, of_sweep).markdown
    parts = []
    for command, kind in COMMANDS.items():
        rows = flag_rows(kind)
        own = [row for row in rows if row not in of_sweep]
        same = ", ".join(row[0] for row in rows if row in of_sweep)
        also = f"\n\nAlso {same}, as above." if same else ""
        parts.append(f"**`gtzan_jax.{command}`**\n\n{Table(flags, own).markdown}{also}")
    found["commands"] = "\n\n".join(parts)
    return found


if __name__ == "__main__":
    for block, text in blocks().items():
        fill(PAGE, block, text)
