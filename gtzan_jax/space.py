"""The search space: configs, sweeps and their order.

A *config* is one point of the grid, nine hyperparameters under the names of the
published table. A *sweep* is the axes of the grid and what stays constant in it;
it is read from a TOML file, so that another experiment needs no Python.
"""

import dataclasses
import itertools
import math
import os
import reprlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtzan_jax.errors import InputError, nearest
from gtzan_jax.resources import resource
from gtzan_jax.text import printable

ACTIVATIONS = ("relu", "leaky_relu")
INITIALIZERS = ("glorot_uniform", "random_uniform")
OPTIMIZERS = ("adam", "sgd", "rmsprop")
LOSSES = ("cross_entropy", "softmax_twice")

Shape = tuple[int, int, int]  # units of the hidden layers

MAX_UNITS = 8192
MAX_CONFIGS = 1_000_000
MAX_BYTES = 1_000_000
"""Of a sweep file."""


@dataclass(frozen=True)
class Config:
    """One point of the grid. The fields stand in the order of the published table."""

    num_units1: int
    num_units2: int
    num_units3: int
    dropout1: float
    dropout2: float
    dropout3: float
    activation: str
    initializer: str
    optimizer: str

    @property
    def shape(self) -> Shape:
        """Units of the three hidden layers; configs that share it form a shape group."""
        return (self.num_units1, self.num_units2, self.num_units3)

    @property
    def dropout(self) -> tuple[float, float, float]:
        """Dropout rates after the three hidden layers."""
        return (self.dropout1, self.dropout2, self.dropout3)

    @property
    def name(self) -> str:
        """A readable name that is safe as a folder: ``128-128-64_0.1-0.2-0.1_relu_…``."""
        units = "-".join(str(n) for n in self.shape)
        rates = "-".join(f"{r:g}" for r in self.dropout)
        return f"{units}_{rates}_{self.activation}_{self.initializer}_{self.optimizer}"


HYPERPARAMETERS = tuple(field.name for field in dataclasses.fields(Config))


@dataclass(frozen=True)
class Sweep:
    """The axes of a grid, and what stays constant in it.

    Attributes:
      name: what the sweep is called; the stem of its file.
      axes: for every hyperparameter, in the order of ``Config``, the values it takes.
      epochs: passes over the train part.
      batch_size: rows of a batch; the last, partial batch of an epoch is kept.
      loss: ``cross_entropy``, or ``softmax_twice`` (softmax before a loss that expects
        logits, which the published curves bear the mark of).
      leaky_slope: slope of leaky ReLU for negative inputs.
      learning_rates: step size of each optimizer.
      num_seeds: replicates of each config, unless the command line says otherwise.
    """

    name: str
    axes: Mapping[str, tuple[Any, ...]]
    epochs: int
    batch_size: int
    loss: str
    leaky_slope: float
    learning_rates: Mapping[str, float]
    num_seeds: int = 1

    def __repr__(self) -> str:
        return (
            f"Sweep({reprlib.repr(self.name)}, {self.num_configs:,} configs × "
            f"{self.epochs} epochs, loss {self.loss})"
        )

    @property
    def num_configs(self) -> int:
        """Points of the grid."""
        return math.prod(len(values) for values in self.axes.values())

    def configs(self) -> list[Config]:
        """Returns every config in grid order: the last axis varies fastest.

        The place in this list is the config's id.
        """
        return [Config(*values) for values in itertools.product(*self.axes.values())]

    def shape_groups(self) -> dict[Shape, list[int]]:
        """Returns the ids of the configs of every shape group, in grid order."""
        groups: dict[Shape, list[int]] = {}
        for config_id, config in enumerate(self.configs()):
            groups.setdefault(config.shape, []).append(config_id)
        return groups

    def to_dict(self) -> dict[str, Any]:
        """Returns plain lists, numbers and strings: what the manifest records."""
        plain = dataclasses.asdict(self)
        plain["axes"] = {name: list(values) for name, values in self.axes.items()}
        return plain


def sweep_names() -> list[str]:
    """Returns the names of the sweeps that come with the project."""
    return sorted(path.stem for path in resource("sweeps").glob("*.toml"))


def load_sweep(name_or_path: str, overrides: Sequence[str] = ()) -> Sweep:
    """Reads a sweep, by name from ``sweeps/`` or from the path of a TOML file.

    Args:
      name_or_path: such as ``assignment`` or ``my/sweep.toml``.
      overrides: ``key=value`` strings laid over the file, with a dot for tables, such as
        ``epochs=20`` or ``axes.dropout1=[0.0, 0.5]``. Values are TOML; a bare word is
        taken as a string.

    Raises:
      InputError: the file cannot be found or parsed, a key is unknown, a value impossible.
    """
    path = _find(name_or_path)
    where = f"sweeps/{path.name}" if path.parent == resource("sweeps") else str(path)
    document = _read(path, where)
    keys = [override.partition("=")[0].strip() for override in overrides]
    for key, override in zip(keys, overrides, strict=True):
        if keys.count(key) > 1:
            raise InputError(f"--set gives {reprlib.repr(key)} more than once; leave one of them")
        _override(document, override)
    return parse_sweep(document, path.stem, where + (" with --set" if overrides else ""))


def parse_sweep(document: Mapping[str, Any], name: str, where: str) -> Sweep:
    """Checks a parsed TOML document and returns the sweep.

    Args:
      document: the tables and values of the file.
      name: the sweep's name.
      where: what to call the document in an error.

    Raises:
      InputError: a key is unknown or missing, a value impossible.
    """
    known = [field.name for field in dataclasses.fields(Sweep) if field.name != "name"]
    required = [key for key in known if key != "num_seeds"]
    _check_keys(document, known, required, where)
    for key, names in (("axes", HYPERPARAMETERS), ("learning_rates", OPTIMIZERS)):
        table = document[key]
        if not isinstance(table, Mapping):
            raise InputError(f"{where}: '{key}' must be a table, as in [{key}]")
        _check_keys(table, names, names, f"{where}: [{key}]")
    axes, rates = document["axes"], document["learning_rates"]
    sweep = Sweep(
        name=name,
        axes={axis: _axis(axis, axes[axis], where) for axis in HYPERPARAMETERS},
        epochs=_whole(document["epochs"], 1, 100_000, f"{where}: epochs"),
        batch_size=_whole(document["batch_size"], 1, 1_000_000, f"{where}: batch_size"),
        loss=_choice(document["loss"], LOSSES, f"{where}: loss"),
        leaky_slope=_number(document["leaky_slope"], 0.0, 1.0, f"{where}: leaky_slope"),
        learning_rates={
            optimizer: _number(rates[optimizer], 1e-12, 1e6, f"{where}: learning_rates.{optimizer}")
            for optimizer in OPTIMIZERS
        },
        num_seeds=_whole(document.get("num_seeds", 1), 1, 100_000, f"{where}: num_seeds"),
    )
    if sweep.num_configs > MAX_CONFIGS:
        raise InputError(
            f"{where}: the grid has {sweep.num_configs:,} configs; at most {MAX_CONFIGS:,} are "
            "allowed. Take values out of some axes"
        )
    return sweep


def parse_config(document: Mapping[str, Any], where: str) -> Config:
    """Checks nine hyperparameters by name, as a sweep file's, and returns the config.

    Raises:
      InputError: a key is unknown or missing, a value impossible.
    """
    _check_keys(document, HYPERPARAMETERS, HYPERPARAMETERS, where)
    return Config(*(_axis(axis, [document[axis]], where)[0] for axis in HYPERPARAMETERS))


def _find(name_or_path: str) -> Path:
    shipped = resource("sweeps") / f"{name_or_path}.toml"
    names = sweep_names()
    if name_or_path in names:
        return shipped
    if os.path.isfile(name_or_path):
        return Path(name_or_path)
    there = " (which is no file)" if os.path.exists(name_or_path) else nearest(name_or_path, names)
    raise InputError(
        f"no sweep {name_or_path!r}{there}: give one of {', '.join(names)}, "
        "or the path of a TOML file"
    )


def _read(path: Path, where: str) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise InputError(f"{where}: more than {MAX_BYTES:,} bytes: not a sweep file")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{where}: not in UTF-8 (at line {line}); save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid TOML: {_one_line(error)}") from None


def _override(document: dict[str, Any], override: str) -> None:
    """Lays one ``key=value`` over the document, in place."""
    key, equals, text = override.partition("=")
    flag = f"--set={_one_line(override)}"
    if not equals or not key.strip():
        raise InputError(f"{flag}: write key=value, such as --set=epochs=20")
    *tables, last = key.strip().split(".")
    target = document
    for table in tables:
        if not isinstance(target.get(table), dict):
            raise InputError(f"{flag}: no table {_shown(table)}{nearest(table, target)}")
        target = target[table]
    try:
        parsed = tomllib.loads(f"value = {text.strip()}")
    except tomllib.TOMLDecodeError:
        parsed = {"value": text.strip()}  # a bare word: --set=loss=softmax_twice
    except (ValueError, RecursionError) as error:
        raise InputError(f"{flag}: {_one_line(error)}") from None
    if len(parsed) > 1:
        raise InputError(f"{flag}: more than one value")
    target[last] = parsed["value"]


def _shown(value: object) -> str:
    """Returns a value as Python writes it, shortened to fit into a message."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    try:
        return short.repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a number too long to show"


def _one_line(text: object) -> str:
    """Returns a text on one line, shortened to fit into a message."""
    line = " ".join(printable(text).split())
    return line if len(line) <= 120 else f"{line[:119]}…"


def _check_keys(
    table: Mapping[str, Any], known: Sequence[str], required: Sequence[str], where: str
) -> None:
    for key in table:
        if key not in known:
            raise InputError(
                f"{where}: unknown key {_shown(key)}{nearest(key, known)}; known are "
                f"{', '.join(known)}"
            )
    for key in required:
        if key not in table:
            raise InputError(f"{where}: '{key}' is missing")


def _axis(axis: str, values: Any, where: str) -> tuple[Any, ...]:
    where = f"{where}: axes.{axis}"
    if not isinstance(values, list) or not values:
        raise InputError(f"{where} must be a list of at least one value, not {_shown(values)}")
    if axis.startswith("num_units"):
        checked: tuple[Any, ...] = tuple(_whole(value, 1, MAX_UNITS, where) for value in values)
    elif axis.startswith("dropout"):
        checked = tuple(_rate(value, where) for value in values)
    else:
        names = {
            "activation": ACTIVATIONS,
            "initializer": INITIALIZERS,
            "optimizer": OPTIMIZERS,
        }[axis]
        checked = tuple(_choice(value, names, where) for value in values)
    # As the names of configs show them: 0.1 and 0.1000001 would share a name, and a folder.
    first: dict[str, Any] = {}
    for value in checked:
        name = f"{value:g}" if isinstance(value, float) else str(value)
        if name in first:
            other = "" if value == first[name] else f", as {value!r} and {first[name]!r}"
            raise InputError(f"{where} holds a value twice: {name}{other}; leave one of them")
        first[name] = value
    return checked


def _whole(value: Any, low: int, high: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(
            f"{where} must be a whole number from {low:,} to {high:,}, not {_shown(value)}"
        )
    return value


def _number(value: Any, low: float, high: float, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"{where} must be a number from {low:g} to {high:g}, not {_shown(value)}")
    return float(value)


def _rate(value: Any, where: str) -> float:
    rate = _number(value, 0.0, 1.0, where)
    if rate > 0.99:
        raise InputError(
            f"{where} must be at most 0.99, not {_shown(value)}: nothing would be left"
        )
    return rate


def _choice(value: Any, names: Sequence[str], where: str) -> str:
    if value not in names:
        hint = nearest(value, names) if isinstance(value, str) else ""
        raise InputError(f"{where}: no {_shown(value)}{hint}; it must be one of {', '.join(names)}")
    return str(value)
