"""Ranges of axes, and configs drawn from ranges and lists: the same draws on every machine."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gtzan_jax.checks import Number, shown
from gtzan_jax.errors import InputError
from gtzan_jax.space.axes import Axis
from gtzan_jax.space.config import Config

_DIGITS = 4  # significant ones of a drawn number: names of configs show six
_ROWS = 1024  # that are drawn at a time
_PATIENCE = 100  # draws for each config that is wanted; 1,000,000 from as many take 15


@dataclass(frozen=True)
class Range:
    """All numbers from one to another, both included; whole ones where the bounds are ``int``.

    Attributes:
      log: whether logarithms are drawn uniformly, not the numbers.
      step: between the numbers, from the lower one on; None for any.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether its numbers are whole."""
        return isinstance(self.low, int)

    def value(self, quantile: float) -> float:
        """Returns the number below which a share of the draws lies.

        Every whole number, and every one of a step, has an equal share; with ``log`` a whole
        number k has that of the interval from k - ½ to k + ½.

        Args:
          quantile: from 0 up to 1, itself excluded.
        """
        if self.step is not None:
            steps = math.floor((self.high - self.low) / self.step * (1 + 1e-9))
            return self.nearest(self.low + math.floor(quantile * (steps + 1)) * self.step)
        if self.log:
            margin = 0.5 if self.is_whole else 0.0
            low, high = math.log(self.low - margin), math.log(self.high + margin)
            return self.nearest(math.exp(low + quantile * (high - low)))
        if self.is_whole:
            return self.nearest(self.low + math.floor(quantile * (self.high - self.low + 1)))
        return self.nearest(self.low + quantile * (self.high - self.low))

    def nearest(self, value: float) -> float:
        """Returns a number as configs have it: whole, or of few digits, and within the bounds."""
        rounded = round(value) if self.is_whole else float(f"{value:.{_DIGITS}g}")
        return min(max(rounded, self.low), self.high)

    def to_dict(self) -> dict[str, Any]:
        """Returns the table of a sweep file."""
        plain: dict[str, Any] = {"low": self.low, "high": self.high}
        plain |= {"log": True} if self.log else {}
        return plain | ({} if self.step is None else {"step": self.step})

    def __str__(self) -> str:
        step = "" if self.step is None else f" in steps of {self.step:g}"
        return f"{self.low:g} to {self.high:g}{', logarithmic' if self.log else step}"


Choices = Mapping[str, tuple[Any, ...] | Range]
"""What each axis may take: one of some values, or a number of a range."""


def parse_range(axis: Axis, table: Mapping[str, Any], where: str) -> Range:
    """Checks the table of a range, such as ``{low = 1e-4, high = 0.1, log = true}``.

    Args:
      axis: whose range it is.
      table: as it was read.
      where: what to call it in an error.

    Raises:
      InputError: a key is unknown or missing, a bound impossible, or the axis has no ranges.
    """
    for key in table:
        if key not in ("low", "high", "log", "step"):
            raise InputError(f"{where}: unknown key {shown(key)}; a range has low, high, log, step")
    if axis.kind == "static":
        raise InputError(f"{where}: each value is a program of its own; give a list of values")
    for key in ("low", "high"):
        if key not in table:
            raise InputError(f"{where}: '{key}' is missing; a range is {{low = …, high = …}}")
    low, high = (axis.check(table[key], f"{where}.{key}") for key in ("low", "high"))
    if isinstance(low, str | bool):
        raise InputError(f"{where}: its values are no numbers; give a list of them")
    if not low < high:
        raise InputError(f"{where}: low must be below high, not {shown(low)} and {shown(high)}")
    log, step = table.get("log", False), table.get("step")
    if not isinstance(log, bool):
        raise InputError(f"{where}.log must be true or false, not {shown(log)}")
    if log and step is not None:
        raise InputError(f"{where}: log and step exclude each other; leave one out")
    if log and low <= 0:
        raise InputError(f"{where}: a logarithmic range begins above 0, not at {shown(low)}")
    if step is not None:
        if isinstance(low, int) and not isinstance(step, int):
            raise InputError(f"{where}.step must be a whole number, not {shown(step)}")
        step = type(low)(Number((high - low) / 1e6, high - low)(step, f"{where}.step"))
    if isinstance(low, int):
        axis.check(low + (step or 1), f"{where}: low + step")  # as filters go in eights
    return Range(low, high, log, step)


def draw(choices: Choices, count: int, seed: int, where: str) -> tuple[Config, ...]:
    """Draws configs at random, all different.

    The first configs of a longer draw are those of a shorter one.

    Args:
      choices: of every axis.
      count: configs.
      seed: of the draws.
      where: what to call the sweep in an error.

    Raises:
      InputError: there are not so many.
    """
    lists = [choice for choice in choices.values() if not isinstance(choice, Range)]
    most = math.prod(map(len, lists))
    found: dict[Config, None] = {}
    if len(lists) < len(choices) or count <= most:
        for row, _ in zip(_quantiles(len(choices), seed), range(_PATIENCE * count), strict=False):
            found.setdefault(Config(tuple(choices), _values(choices, row)))
            if len(found) == count:
                return tuple(found)
    raise InputError(
        f"{where}: search.num_configs is {count:,}, and the axes have only "
        f"{most if len(lists) == len(choices) else len(found):,} different configs"
    )


def _values(choices: Choices, row: list[float]) -> tuple[Any, ...]:
    return tuple(
        choice.value(quantile)
        if isinstance(choice, Range)
        else choice[math.floor(quantile * len(choice))]
        for choice, quantile in zip(choices.values(), row, strict=True)
    )


def _quantiles(width: int, seed: int) -> Iterator[list[float]]:
    """Yields rows of uniform numbers from 0 up to 1, without end.

    NumPy promises the bits of a generator to stay the same for ever, but not what a ``Generator``
    makes of them.
    """
    bits = np.random.Philox(seed)
    while True:
        raw = bits.random_raw(_ROWS * width).reshape(_ROWS, width)
        yield from ((raw >> np.uint64(11)) * 2.0**-53).tolist()
