"""The table ``[search]`` of a sweep file: how configs are chosen, and how long they train."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gtzan_jax.checks import Choice, Problems, Whole, shown
from gtzan_jax.errors import InputError, nearest
from gtzan_jax.space.ranges import Choices, Range

SAMPLERS = ("tpe", "cma", "qmc")
"""Searches that are Optuna's."""

KINDS = ("grid", "one_at_a_time", "random", "halving", *SAMPLERS)

_KEYS = {
    "grid": (),
    "one_at_a_time": (),
    "random": ("num_configs", "seed"),
    "halving": ("num_configs", "seed", "eta", "first_epochs", "brackets"),
    **dict.fromkeys(SAMPLERS, ("num_configs", "seed", "batch")),
}
_CHECKS = {
    "num_configs": Whole(1, 1_000_000),
    "seed": Whole(0, 2**32 - 1),
    "eta": Whole(2, 1000),
    "first_epochs": Whole(1, 100_000),
    "brackets": Whole(1, 20),
    "batch": Whole(1, 10_000),
}


@dataclass(frozen=True)
class SearchSettings:
    """How a sweep searches.

    Attributes:
      kind: a name from ``KINDS``.
      num_configs: that are tried; None for all of a grid. See ``default_count``.
      seed: of the draws.
      eta: of halving: one config in so many goes on after each rung; 2 by default where there
        are less than three epochs.
      first_epochs: of halving: at the end of the first rung; each has ``eta`` times as many.
      brackets: of halving: Hyperband's, of which each begins a rung later than the one before.
      batch: of Optuna's samplers: configs that are asked for at a time.
    """

    kind: str = "grid"
    num_configs: int | None = None
    seed: int = 0
    eta: int = 3
    first_epochs: int = 1
    brackets: int = 1
    batch: int = 16

    @property
    def is_told(self) -> bool:
        """Whether what is trained depends on how configs did, and not on the sweep alone."""
        return self.kind not in ("grid", "one_at_a_time", "random")

    def to_dict(self) -> dict[str, Any]:
        """Returns the table, with everything that the kind of search has."""
        plain = {"kind": self.kind} | {key: getattr(self, key) for key in _KEYS[self.kind]}
        return {key: value for key, value in plain.items() if value is not None}

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Returns the epochs at the end of each rung of halving; the last are all there are."""
        ends = [self.first_epochs]
        while ends[-1] * self.eta <= epochs:
            ends.append(ends[-1] * self.eta)
        return (*ends[:-1], epochs)


def keys_of(kind: object) -> Sequence[str]:
    """Returns what a search of a kind can be told; all there is where there is no such kind."""
    return _KEYS.get(str(kind), tuple(_CHECKS))


def parse_search(
    table: Any, epochs: int, choices: Choices, where: str, problems: Problems
) -> SearchSettings:
    """Checks the table of a search, and gives what it leaves out a default.

    Args:
      table: as it was read; None where there is none.
      epochs: of the sweep.
      choices: of every axis.
      where: what to call the table in an error.
      problems: gets what is wrong: unknown keys, impossible values.

    Raises:
      InputError: it is no table, or its kind is unknown.
    """
    if table is None:
        return SearchSettings()
    if not isinstance(table, Mapping):
        raise InputError(f"{where} must be a table, as in [search]")
    kind = Choice(KINDS)(table.get("kind", "grid"), f"{where}: kind")
    keys, before = _KEYS[kind], len(problems.found)
    problems.found += [
        _unknown(key, kind, keys, where) for key in table if key not in ("kind", *keys)
    ]
    given = {
        key: problems.check(_CHECKS[key], table[key], f"{where}: {key}")
        for key in keys
        if key in table
    }
    if len(problems.found) > before:
        return SearchSettings(kind)
    has_ranges = any(isinstance(choice, Range) for choice in choices.values())
    if "num_configs" in keys and (kind != "halving" or has_ranges):
        given.setdefault("num_configs", default_count(choices))
    if kind == "halving":
        most = epochs // given.get("first_epochs", 1)  # that a rung may be longer than the first
        given.setdefault("eta", min(SearchSettings.eta, max(2, most)))
    settings = SearchSettings(kind, **given)
    if kind == "halving":
        count = len(settings.rungs(epochs))
        if settings.first_epochs >= epochs or count < 2:
            raise InputError(
                f"{where}: first_epochs {settings.first_epochs} and eta {settings.eta} leave no "
                f"rung before epoch {epochs}; lower them, or raise epochs"
            )
        if settings.brackets > count:
            raise InputError(f"{where}: brackets must be at most the {count} rungs")
    return settings


def default_count(choices: Choices) -> int:
    """Returns the configs that a search tries where nothing says how many.

    A quarter of the grid, at least 20 and at most 1,000: what docs/search.md has measured. Where
    an axis is a range, 100.
    """
    sizes = [0 if isinstance(choice, Range) else len(choice) for choice in choices.values()]
    most = math.prod(sizes)
    return min(most, max(20, most // 4), 1000) if most else 100


def _unknown(key: str, kind: str, keys: Sequence[str], where: str) -> str:
    if key in _CHECKS:
        return f"{where}: {key} means nothing to the search '{kind}'; leave it out"
    known = ("kind", *keys)
    return f"{where}: unknown key {shown(key)}{nearest(key, known)}; known are {', '.join(known)}"
