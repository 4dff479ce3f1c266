"""A sweep: hyperparameters with their values, search settings, and constants."""

import dataclasses
import functools
import itertools
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gtzan_jax.errors import InputError
from gtzan_jax.space.config import Config
from gtzan_jax.space.hyperparameters import HYPERPARAMETERS, family_of
from gtzan_jax.space.ranges import Range
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.text import counted

SAMPLERS = ("tpe", "cma", "qmc")  # Optuna's

SEARCHES: dict[str, Sequence[str]] = {
    "grid": (),
    "one_at_a_time": (),
    "random": ("num_configs", "seed"),
    "halving": ("num_configs", "seed", "eta", "first_epochs", "brackets"),
    **dict.fromkeys(SAMPLERS, ("num_configs", "seed", "batch")),
}
"""The keys of each kind of search in the table ``[search]``."""

KINDS = tuple(SEARCHES)


@dataclass(frozen=True)
class SearchSettings:
    """Settings of a sweep's search."""

    kind: str = "grid"
    num_configs: int | None = None  # to try; None: all of a grid
    seed: int = 0  # of the draws
    eta: int = 3  # halving keeps one in ``eta`` configs after each rung
    first_epochs: int = 1  # of the first rung of halving; each rung has ``eta`` times as many
    brackets: int = 1  # of Hyperband; each begins a rung later than the one before
    batch: int = 16  # configs that Optuna's samplers propose at a time

    @property
    def is_told(self) -> bool:
        """True if later proposals depend on scores."""
        return self.kind not in ("grid", "one_at_a_time", "random")

    def to_dict(self) -> dict[str, Any]:
        """Returns the table [search] of a sweep file, with all keys of its kind."""
        plain = {"kind": self.kind} | {key: getattr(self, key) for key in SEARCHES[self.kind]}
        return {key: value for key, value in plain.items() if value is not None}

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Returns the epochs at the end of each rung of halving, the last being ``epochs``."""
        ends = [self.first_epochs]
        while ends[-1] * self.eta <= epochs:
            ends.append(ends[-1] * self.eta)
        return (*ends[:-1], epochs)


@dataclass(frozen=True, eq=False)
class Sweep:
    """Hyperparameters with their values, search settings, and constants of all configs."""

    name: str
    axes: Mapping[str, tuple[Any, ...]]  # in the registry's order; drawn values of a range
    epochs: int
    loss: str  # softmax_twice: a loss of logits after a softmax, as published curves suggest
    leaky_slope: float  # of leaky ReLU for negative inputs
    learning_rates: Mapping[str, float]  # by optimizer; empty if ``learning_rate`` is in axes
    batch_size: int | None  # None if in axes; an epoch's last, partial batch is kept
    num_seeds: int = 1
    protocol: str = "assignment"
    num_folds: int = 5
    reference: Config | None = None  # to retrain besides the best, for comparison
    search: SearchSettings = field(default_factory=SearchSettings)
    ranges: Mapping[str, Range] = field(default_factory=dict)  # axes given as ranges
    chosen: tuple[Config, ...] | None = None  # None: a grid; empty until the search has chosen

    def __repr__(self) -> str:
        configs = f"{counted(self.num_configs, 'config')} of {len(self.axes)} axes"
        return f"Sweep({reprlib.repr(self.name)}, {configs}, {counted(self.epochs, 'epoch')})"

    @property
    def family(self) -> str:
        """The kind of model."""
        return family_of(self.axes)

    @property
    def num_configs(self) -> int:
        """Number of configs to try."""
        if self.chosen is None:
            return math.prod(len(values) for values in self.axes.values())
        return len(self.chosen) or self.search.num_configs or 0

    @property
    def is_grid(self) -> bool:
        """True if every config of a complete grid trains for all epochs."""
        return self.chosen is None and self.search.kind == "grid"

    @property
    def varying(self) -> dict[str, tuple[Any, ...]]:
        """The hyperparameters with more than one value."""
        return {name: values for name, values in self.axes.items() if len(values) > 1}

    @functools.cached_property
    def configs(self) -> tuple[Config, ...]:
        """All configs, in grid order (the last hyperparameter varies fastest) or as chosen."""
        if self.chosen is not None:
            return self.chosen
        names = tuple(self.axes)
        return tuple(Config(names, values) for values in itertools.product(*self.axes.values()))

    @functools.cached_property
    def places(self) -> dict[str, int]:
        """Index of each config in ``configs``, by id."""
        places = {config.id: place for place, config in enumerate(self.configs)}
        if len(places) < len(self.configs):
            raise InputError(f"{self.name}: two configs have the same id; split the sweep in two")
        return places

    def batch_size_of(self, config: Config) -> int:
        """Returns the batch size of a config."""
        return int(config.get("batch_size", self.batch_size))

    @property
    def stops_early(self) -> bool:
        """True if a config may stop before the last epoch."""
        return "patience" in self.parts

    def check_protocol(self, protocol: str) -> None:
        """Raises InputError if a config stops early and the protocol has no validation part."""
        if self.stops_early and PROTOCOLS[protocol].select_on != "validation":
            others = [name for name, p in PROTOCOLS.items() if p.select_on == "validation"]
            raise InputError(
                f"{self.name}: patience needs a validation part, but the protocol {protocol} has "
                f"none; take one of {', '.join(others)}, or leave patience out"
            )

    def learning_rate_of(self, config: Config) -> float:
        """Returns the learning rate of a config."""
        rate = config.get("learning_rate")
        return float(self.learning_rates[config.setting("optimizer")] if rate is None else rate)

    def weight_decay_of(self, config: Config) -> float:
        """Returns the decoupled weight decay of a config; by default Keras's for AdamW."""
        decay = config.get("weight_decay")
        if decay is None:
            return 0.004 if config.setting("optimizer") == "adamw" else 0.0
        return float(decay)

    @functools.cached_property
    def parts(self) -> frozenset[str]:
        """The parts that a config or the reference needs, see ``Hyperparameter.part``."""
        values = [(name, value) for name, values in self.axes.items() for value in values]
        values += [(name, choices.high) for name, choices in self.ranges.items()]
        values += self.reference.items() if self.reference else ()
        return frozenset(
            filter(None, (HYPERPARAMETERS[name].part(value) for name, value in values))
        )

    def slope_of(self, config: Config) -> float:
        """Returns the slope of a config's activation for negative inputs; 0 is ReLU."""
        return self.leaky_slope if config.setting("activation") == "leaky_relu" else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Returns the manifest's entry, of plain lists, numbers and strings."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain["axes"] = {name: list(values) for name, values in self.axes.items()}
        plain["axes"] |= {name: choice.to_dict() for name, choice in self.ranges.items()}
        plain["search"] = None if self.search.kind == "grid" else self.search.to_dict()
        del plain["ranges"], plain["chosen"]
        plain["learning_rates"] = dict(self.learning_rates)
        plain["reference"] = self.reference and dict(self.reference)
        if not PROTOCOLS[self.protocol].takes_num_folds:
            del plain["num_folds"]
        return {key: value for key, value in plain.items() if value is not None}

    def choosing(self, configs: Sequence[Config]) -> "Sweep":
        """Returns a sweep of the given configs, with their values in place of ranges."""
        drawn = {name: tuple(sorted({config[name] for config in configs})) for name in self.ranges}
        return dataclasses.replace(self, axes={**self.axes, **drawn}, chosen=tuple(configs))
