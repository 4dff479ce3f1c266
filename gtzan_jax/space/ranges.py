"""Ranges of hyperparameters, and random draws of configs, equal on every machine."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gtzan_jax.errors import InputError
from gtzan_jax.space.config import Config

_DIGITS = 4  # significant digits of a drawn number; names of configs show six
_ROWS = 1024  # drawn at a time
_PATIENCE = 100  # draws for each config; all 1,000,000 of a grid take 15


@dataclass(frozen=True)
class Range:
    """The numbers between two bounds, both included; whole numbers if the bounds are ``int``."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def is_whole(self) -> bool:
        """True if the numbers are whole."""
        return isinstance(self.low, int)

    def value(self, quantile: float) -> float:
        """Returns the number at a quantile of the draws, from 0 to below 1.

        Whole numbers, and multiples of a step, have equal shares; with ``log`` a whole number k has
        the share of the interval from k - ½ to k + ½.
        """
        step = 1 if self.step is None and self.is_whole and not self.log else self.step
        if step is not None:
            steps = math.floor((self.high - self.low) / step * (1 + 1e-9))
            return self.nearest(self.low + math.floor(quantile * (steps + 1)) * step)
        if self.log:
            margin = 0.5 if self.is_whole else 0.0
            low, high = math.log(self.low - margin), math.log(self.high + margin)
            return self.nearest(math.exp(low + quantile * (high - low)))
        return self.nearest(self.low + quantile * (self.high - self.low))

    def nearest(self, value: float) -> float:
        """Returns the nearest value within the bounds that is whole, or has few digits."""
        rounded = round(value) if self.is_whole else float(f"{value:.{_DIGITS}g}")
        return min(max(rounded, self.low), self.high)

    def to_dict(self) -> dict[str, Any]:
        """Returns the table of a sweep file."""
        return {key: v for key, v in vars(self).items() if v is not None and v is not False}

    def __str__(self) -> str:
        step = "" if self.step is None else f" in steps of {self.step:g}"
        return f"{self.low:g} to {self.high:g}{', logarithmic' if self.log else step}"


Choices = Mapping[str, tuple[Any, ...] | Range]
"""The values of each hyperparameter: a list, or a range."""


def draw(choices: Choices, count: int, seed: int, where: str) -> tuple[Config, ...]:
    """Draws distinct configs at random; a shorter draw is the start of a longer one."""
    lists = [choice for choice in choices.values() if not isinstance(choice, Range)]
    most = math.prod(map(len, lists))
    found: dict[Config, None] = {}
    if len(lists) < len(choices) or count <= most:
        for row, _ in zip(_quantiles(len(choices), seed), range(_PATIENCE * count), strict=False):
            values = tuple(
                choice.value(quantile)
                if isinstance(choice, Range)
                else choice[math.floor(quantile * len(choice))]
                for choice, quantile in zip(choices.values(), row, strict=True)
            )
            found.setdefault(Config(tuple(choices), values))
            if len(found) == count:
                return tuple(found)
    raise InputError(
        f"{where}: search.num_configs is {count:,}, but the axes have only "
        f"{most if len(lists) == len(choices) else len(found):,} different configs"
    )


def _quantiles(width: int, seed: int) -> Iterator[list[float]]:
    """Yields rows of uniform numbers from 0 to below 1, without end."""
    # NumPy promises stable bits of a bit generator, but not stable numbers of a ``Generator``.
    bits = np.random.Philox(seed)
    while True:
        raw = bits.random_raw(_ROWS * width).reshape(_ROWS, width)
        yield from ((raw >> np.uint64(11)) * 2.0**-53).tolist()
