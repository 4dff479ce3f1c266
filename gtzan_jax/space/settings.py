"""The table ``[search]`` of a sweep file: how configs are chosen, and how long they train."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gtzan_jax.errors import InputError, nearest
from gtzan_jax.space.axes import choice, shown, whole

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
    "num_configs": whole(1, 1_000_000),
    "seed": whole(0, 2**32 - 1),
    "eta": whole(2, 1000),
    "first_epochs": whole(1, 100_000),
    "brackets": whole(1, 20),
    "batch": whole(1, 10_000),
}


@dataclass(frozen=True)
class SearchSettings:
    """How a sweep searches.

    Attributes:
      kind: a name from ``KINDS``.
      num_configs: that are tried; None for all of a grid.
      seed: of the draws.
      eta: of halving: one config in so many goes on after each rung.
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


def parse_search(table: Any, epochs: int, where: str) -> SearchSettings:
    """Checks the table of a search.

    Args:
      table: as it was read; None where there is none.
      epochs: of the sweep.
      where: what to call it in an error.

    Raises:
      InputError: a key is unknown or missing, a value impossible.
    """
    if table is None:
        return SearchSettings()
    if not isinstance(table, Mapping):
        raise InputError(f"{where} must be a table, as in [search]")
    kind = choice(KINDS)(table.get("kind", "grid"), f"{where}: kind")
    keys = _KEYS[kind]
    for key in table:
        if key != "kind" and key not in keys:
            raise InputError(_unknown(key, kind, keys, where))
    given = {key: _CHECKS[key](table[key], f"{where}: {key}") for key in keys if key in table}
    settings = SearchSettings(kind, **given)
    if "num_configs" in keys and kind != "halving" and settings.num_configs is None:
        raise InputError(f"{where}: 'num_configs' is missing: --set=search.num_configs=50 says it")
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


def _unknown(key: str, kind: str, keys: Sequence[str], where: str) -> str:
    if key in _CHECKS:
        return f"{where}: {key} means nothing to the search '{kind}'; leave it out"
    known = ("kind", *keys)
    return f"{where}: unknown key {shown(key)}{nearest(key, known)}; known are {', '.join(known)}"
