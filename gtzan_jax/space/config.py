"""A config: a value for each hyperparameter of a sweep."""

import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gtzan_jax.space.hyperparameters import HYPERPARAMETERS, family_of


@dataclass(frozen=True, repr=False)
class Config(Mapping[str, Any]):
    """An immutable mapping of hyperparameter to value, in the registry's order."""

    axes: tuple[str, ...]
    values_: tuple[Any, ...]

    @classmethod
    def of(cls, **values: Any) -> "Config":
        """Returns a config of the given values without checking them."""
        names = tuple(name for name in HYPERPARAMETERS if name in values)
        return cls(names, tuple(values[name] for name in names))

    def __getitem__(self, name: str) -> Any:
        try:
            return self.values_[self.axes.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.axes)

    def __len__(self) -> int:
        return len(self.axes)

    def __repr__(self) -> str:
        return f"Config({self.name})"

    def setting(self, name: str) -> Any:
        """Returns the value of a hyperparameter, or its default if the config lacks it."""
        return self.get(name, HYPERPARAMETERS[name].default)

    @property
    def family(self) -> str:
        """The kind of model."""
        return family_of(self.axes)

    @property
    def units(self) -> tuple[int, ...]:
        """Units of the hidden layers."""
        return tuple(v for name, v in self.items() if name.startswith("num_units"))

    @property
    def dropout(self) -> tuple[float, ...]:
        """Dropout rates after the hidden layers."""
        return tuple(self.setting(f"dropout{layer + 1}") for layer in range(len(self.units)))

    @functools.cached_property
    def id(self) -> str:
        """Eleven hexadecimal digits of the SHA-256, after a ``c``, so that none is a number."""
        text = json.dumps(dict(self), sort_keys=True)
        return f"c{hashlib.sha256(text.encode()).hexdigest()[:11]}"

    @property
    def name(self) -> str:
        """A readable name that is safe as a folder: ``128-128-64_0.1-0.2-0.1_relu_…``."""
        groups = itertools.groupby(self.items(), key=lambda item: HYPERPARAMETERS[item[0]].stem)
        return "_".join(
            "-".join(HYPERPARAMETERS[n].show(v) for n, v in group) for _, group in groups
        )


class Trial(NamedTuple):
    """One training, of a config on a fold with a seed."""

    config_id: str
    fold: int
    seed: int
