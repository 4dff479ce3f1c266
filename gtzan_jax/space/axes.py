"""The axes: every hyperparameter that a sweep may vary, how it is read, checked and shown.

Whatever lists hyperparameters asks the sweep, and the sweep asks this registry. An axis reaches
a compiled program in one of three ways (``Axis.kind``):

    shape   widths of layers: configs share a program by zero padding
    static  part of the program's key: one program for each value
    traced  a number that the program is given: one program for all values
"""

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gtzan_jax.errors import InputError, nearest

ACTIVATIONS = ("relu", "leaky_relu")
INITIALIZERS = ("glorot_uniform", "random_uniform")
OPTIMIZERS = ("adam", "sgd", "rmsprop")

MAX_LAYERS = 6
MAX_UNITS = 8192


@dataclass(frozen=True)
class Axis:
    """One hyperparameter.

    Attributes:
      check: returns a value of a sweep file in the axis's type; raises InputError with the given
        place where it is impossible.
      kind: how it reaches a program, see the module.
      default: of configs whose sweep does not have the axis; None where the sweep has a constant
        instead, or where there is no such layer.
      prefix: of the value in a config's name.
    """

    name: str
    check: Callable[[Any, str], Any]
    kind: Literal["shape", "static", "traced"] = "traced"
    default: Any = None
    prefix: str = ""

    @property
    def stem(self) -> str:
        """The name without the number of a layer."""
        return self.name.rstrip("0123456789")

    def show(self, value: Any) -> str:
        """Returns a value as it stands in a config's name."""
        return self.prefix + (f"{value:g}" if isinstance(value, float) else str(value))


def whole(low: int, high: int) -> Callable[[Any, str], int]:
    """Returns a check for whole numbers."""

    def check(value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InputError(
                f"{where} must be a whole number from {low:,} to {high:,}, not {shown(value)}"
            )
        return value

    return check


def number(low: float, high: float) -> Callable[[Any, str], float]:
    """Returns a check for numbers."""

    def check(value: Any, where: str) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            raise InputError(
                f"{where} must be a number from {low:g} to {high:g}, not {shown(value)}"
            )
        return float(value)

    return check


def choice(names: Sequence[str]) -> Callable[[Any, str], str]:
    """Returns a check for one of some names."""

    def check(value: Any, where: str) -> str:
        if value not in names:
            hint = nearest(value, names) if isinstance(value, str) else ""
            options = ", ".join(names)
            raise InputError(f"{where}: no {shown(value)}{hint}; it must be one of {options}")
        return str(value)

    return check


def rate(value: Any, where: str) -> float:
    """Checks a dropout rate."""
    checked = number(0.0, 1.0)(value, where)
    if checked > 0.99:
        raise InputError(f"{where} must be at most 0.99, not {shown(value)}: nothing would be left")
    return checked


def shown(value: object) -> str:
    """Returns a value as Python writes it, shortened to fit into a message."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    try:
        return short.repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a number too long to show"


batch_size = whole(1, 1_000_000)
learning_rate = number(1e-12, 1e6)

_LAYERS = range(1, MAX_LAYERS + 1)

MLP_AXES = (
    *(Axis(f"num_units{layer}", whole(1, MAX_UNITS), "shape") for layer in _LAYERS),
    *(Axis(f"dropout{layer}", rate, default=0.0) for layer in _LAYERS),
    Axis("activation", choice(ACTIVATIONS), default="relu"),
    Axis("initializer", choice(INITIALIZERS), default="glorot_uniform"),
    Axis("optimizer", choice(OPTIMIZERS), default="adam"),
    Axis("learning_rate", learning_rate, prefix="lr"),
    Axis("batch_size", batch_size, "static", prefix="b"),
    Axis("patience", whole(0, 100_000), default=0, prefix="p"),
)

AXES: dict[str, Axis] = {axis.name: axis for axis in MLP_AXES}
"""Every axis by its name, in the order in which a table shows them and a grid nests them."""
