"""Finds and reads sweep files (TOML), applies overrides, and checks the result."""

import itertools
import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gtzan_jax import checks
from gtzan_jax.checks import Check, Choice, Number, Problems, Whole, shown
from gtzan_jax.errors import InputError, nearest
from gtzan_jax.metrics import LOSSES
from gtzan_jax.resources import resource
from gtzan_jax.space.config import Config
from gtzan_jax.space.hyperparameters import (
    FAMILIES,
    HYPERPARAMETERS,
    OPTIMIZERS,
    Hyperparameter,
    batch_size,
    family_of,
    hyperparameters_of,
    learning_rate,
)
from gtzan_jax.space.overrides import contradictions, lay_over, one_line
from gtzan_jax.space.ranges import Choices, Range, draw
from gtzan_jax.space.sweep import KINDS, SAMPLERS, SEARCHES, SearchSettings, Sweep
from gtzan_jax.tables.protocols import PROTOCOLS

MAX_CONFIGS = 1_000_000
MAX_BYTES = 1_000_000  # of a sweep file

CONSTANTS: dict[str, tuple[Check, Any]] = {
    "epochs": (Whole(1, 100_000), 10),
    "batch_size": (batch_size, 32),
    "loss": (Choice(LOSSES), "cross_entropy"),
    "leaky_slope": (Number(0.0, 1.0), 0.2),
    "num_seeds": (Whole(1, 100_000), 1),
    "protocol": (Choice(tuple(PROTOCOLS)), ""),
    "num_folds": (Whole(2, 1000), Sweep.num_folds),
}
"""Check and default of each constant. The default protocol is ``assignment``, or ``holdout`` for a
search that needs a validation part."""

_SEARCH = {
    "num_configs": Whole(1, MAX_CONFIGS),
    "seed": Whole(0, 2**32 - 1),
    "eta": Whole(2, 1000),
    "first_epochs": Whole(1, 100_000),
    "brackets": Whole(1, 20),
    "batch": Whole(1, 10_000),
}


def sweep_names() -> list[str]:
    """Returns the names of the shipped sweeps."""
    return sorted(path.stem for path in resource("sweeps").glob("*.toml"))


@checks.known_names
def load_sweep(name_or_path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Sweep:
    """Reads a sweep, by name from ``sweeps/`` or from the path of a TOML file.

    Args:
      name_or_path: such as ``assignment`` or ``my/sweep.toml``.
      overrides: ``key=value`` strings that override the file, with a dot for tables, such as
        ``epochs=20`` or ``axes.dropout1=[0.0, 0.5]``. Values are TOML or a bare word. A
        hyperparameter needs no ``axes.``, and takes commas between its values:
        ``optimizer=adam,sgd``; ``num_units`` and ``dropout`` set those of all layers.

    Raises:
      InputError: the file or an override is wrong.
    """
    arguments = Problems()
    arguments.check(checks.path, name_or_path, "name_or_path")
    overrides = arguments.check(checks.texts, overrides, "overrides")
    arguments.found += contradictions(overrides or ())
    arguments.raise_any()
    path = _find(os.fspath(name_or_path))
    where = f"sweeps/{path.name}" if path.parent == resource("sweeps") else str(path)
    document = _read(path, where)
    problems = Problems()
    lay_over(document, overrides, problems)
    if problems.found:
        problems.check(parse_sweep, document, path.stem, where)  # for further problems
        problems.raise_any()
    return parse_sweep(document, path.stem, where + (" with overrides" if overrides else ""))


def parse_sweep(document: Mapping[str, Any], name: str, where: str) -> Sweep:
    """Checks a parsed TOML document, in which only ``axes`` is required, and returns the sweep.

    The constants ``batch_size`` and ``learning_rates`` are ignored if [axes] has them. ``where`` is
    the document's name in errors.
    """
    problems = Problems(where)
    _check_keys(document, ("axes", *CONSTANTS, "learning_rates", "reference", "search"), problems)
    choices = _axes(document.get("axes"), "", problems)
    axes = {name: () if isinstance(c, Range) else c for name, c in choices.items()}
    problems.check(_check_momentum, choices)
    constants = {
        key: problems.check(check, document[key], key) if key in document else default
        for key, (check, default) in CONSTANTS.items()
        if key not in axes
    }
    epochs = constants["epochs"] or 100_000  # wrong ones must cause no other problem
    search = _search(document.get("search"), epochs, choices, problems)
    rates = _rates(document.get("learning_rates", {}), axes, problems)
    reference = None
    if "reference" in document:
        reference = problems.check(parse_config, document["reference"], "reference")
    problems.raise_any()
    constants["protocol"] = constants["protocol"] or ("holdout" if search.is_told else "assignment")
    if not PROTOCOLS[constants["protocol"]].takes_num_folds:
        constants["num_folds"] = Sweep.num_folds  # must not make two runs differ
    sweep = Sweep(
        name=name,
        axes=axes,
        learning_rates=rates,
        reference=reference,
        search=search,
        ranges={name: c for name, c in choices.items() if isinstance(c, Range)},
        **{"batch_size": None, **constants},
    )
    sweep.check_protocol(sweep.protocol)
    return _searched(sweep, choices, where)


def _searched(sweep: Sweep, choices: Choices, where: str) -> Sweep:
    """Returns the sweep with the configs to try, if they do not depend on scores."""
    search, problems = sweep.search, Problems(where)
    if search.is_told and PROTOCOLS[sweep.protocol].select_on == "test":
        problems.found.append(
            f"the search '{search.kind}' selects on the validation part, but the protocol "
            f"{sweep.protocol} has none; --set=protocol=holdout has one"
        )
    if search.kind == "halving" and sweep.stops_early:
        problems.found.append("halving sets the epochs of each config; leave axes.patience out")
    problems.raise_any()
    if search.kind == "one_at_a_time" and not sweep.ranges:
        plain = {name: values[0] for name, values in sweep.axes.items()}
        others = [plain | {name: v} for name, values in sweep.axes.items() for v in values[1:]]
        return sweep.choosing([Config.of(**values) for values in (plain, *others)])
    if search.num_configs is None:
        if sweep.ranges:
            problems.found.append(
                f"axes.{next(iter(sweep.ranges))} is a range, but a grid needs a list of values: "
                "give one, or draw configs by --set=search.kind=random"
            )
        elif sweep.num_configs > MAX_CONFIGS:
            problems.found.append(
                f"the grid has {sweep.num_configs:,} configs; at most {MAX_CONFIGS:,} are allowed. "
                "Remove values from some axes, or draw configs by --set=search.kind=random "
                "--set=search.num_configs=1000"
            )
        problems.raise_any()
    if search.kind in SAMPLERS:
        return sweep.choosing(())
    if search.num_configs is None and search.brackets == 1:
        return sweep
    count = search.num_configs or sweep.num_configs
    return sweep.choosing(draw(choices, count, search.seed, where))


def parse_config(document: Any, where: str) -> Config:
    """Checks a table with one value for each hyperparameter, and returns the config."""
    if not isinstance(document, Mapping):
        raise InputError(f"{where} must be a table of hyperparameters")
    problems = Problems()
    axes = _axes({name: [value] for name, value in document.items()}, f"{where}: ", problems)
    problems.raise_any()
    return Config.of(**{n: values[0] for n, values in axes.items() if isinstance(values, tuple)})


def _axes(table: Any, where: str, problems: Problems) -> Choices:
    """Returns the valid axes, in the registry's order; errors put ``where`` before each name."""
    if table is None:
        problems.found.append(
            f"{where}'axes' is missing: add [axes] with lines such as num_units1 = [64, 128]"
        )
    elif not isinstance(table, Mapping):
        problems.found.append(f"{where}'axes' must be a table, as in [axes]")
    elif len(first := [axis for axis in FAMILIES.values() if axis in table]) > 1:
        problems.found.append(
            f"{where}[axes] has {' and '.join(first)}, which are of different kinds of model; give "
            "one of them"
        )
    else:
        family = family_of(table)
        known = hyperparameters_of(family)
        _check_keys(table, known, problems, f"{where}[axes]: ", [FAMILIES[family]])
        axes = {
            name: problems.check(_axis, HYPERPARAMETERS[name], table[name], f"{where}axes.{name}")
            for name in known
            if name in table
        }
        units = next(n for n in itertools.count(1) if f"num_units{n + 1}" not in axes)
        for name in axes:
            layer = re.fullmatch(r"(num_units|dropout)(\d)", name)
            if layer and int(layer[2]) > units:
                missing = f"axes.num_units{units + 1}"
                problems.found.append(f"{where}axes.{name} needs {missing}, which is missing")
        return {name: values for name, values in axes.items() if values}
    return {}


def _axis(axis: Hyperparameter, values: Any, where: str) -> tuple[Any, ...] | Range:
    """Checks the list of values of a hyperparameter, or its range."""
    if isinstance(values, dict):
        return parse_range(axis, values, where)
    if not isinstance(values, list) or not values:
        raise InputError(f"{where} must be a list of at least one value, not {shown(values)}")
    problems = Problems()
    checked = tuple(problems.check(axis.check, value, where) for value in values)
    problems.raise_any()
    # As shown in names of configs: 0.1 and 0.1000001 would share a name, and a folder.
    first: dict[str, Any] = {}
    for value in checked:
        text = axis.show(value).removeprefix(axis.prefix)
        if text in first:
            other = "" if value == first[text] else f", as {value!r} and {first[text]!r}"
            raise InputError(f"{where} has a value twice: {text}{other}; keep one")
        first[text] = value
    return checked


def parse_range(axis: Hyperparameter, table: Mapping[str, Any], where: str) -> Range:
    """Checks the table of a range, such as ``{low = 1e-4, high = 0.1, log = true}``."""
    problems = Problems()
    _check_keys(table, ("low", "high", "log", "step"), problems, f"{where}: ", ("low", "high"))
    problems.raise_any()
    if axis.kind == "static":
        raise InputError(f"{where}: each value of a range would need its own program; give a list")
    low, high = (axis.check(table[key], f"{where}.{key}") for key in ("low", "high"))
    log = checks.yes_or_no(table.get("log", False), f"{where}.log")
    step = table.get("step")
    if isinstance(low, str | bool):
        raise InputError(f"{where}: a range is of numbers; give a list of values")
    if not low < high:
        raise InputError(f"{where}: low must be below high, not {shown(low)} and {shown(high)}")
    if log and step is not None:
        raise InputError(f"{where}: log and step exclude each other; leave one out")
    if log and low <= 0:
        raise InputError(f"{where}: a logarithmic range begins above 0, not at {shown(low)}")
    if step is not None:
        if isinstance(low, int) and not isinstance(step, int):
            raise InputError(f"{where}.step must be a whole number, not {shown(step)}")
        step = type(low)(Number((high - low) / 1e6, high - low)(step, f"{where}.step"))
    if isinstance(low, int):
        axis.check(low + (step or 1), f"{where}: low + step")  # filters must be multiples of eight
    return Range(low, high, log, step)


def _check_momentum(choices: Choices) -> None:
    """Raises InputError if SGD's hyperparameters would have no effect."""
    axes = {n: (c.high,) if isinstance(c, Range) else c for n, c in choices.items()}
    optimizers = axes.get("optimizer", (HYPERPARAMETERS["optimizer"].default,))
    for name in ("momentum", "nesterov"):
        if any(axes.get(name, ())) and "sgd" not in optimizers:
            raise InputError(f"axes.{name} is for SGD only; add 'sgd' to axes.optimizer")
    if any(axes.get("nesterov", ())) and not any(axes.get("momentum", ())):
        raise InputError("axes.nesterov needs axes.momentum, with a value above 0")


def _search(table: Any, epochs: int, choices: Choices, problems: Problems) -> SearchSettings:
    """Checks the table [search] and adds defaults."""
    if table is None:
        return SearchSettings()
    if not isinstance(table, Mapping):
        problems.found.append("'search' must be a table, as in [search]")
        return SearchSettings()
    kind = problems.check(Choice(KINDS), table.get("kind", "grid"), "[search]: kind")
    if not kind:
        return SearchSettings()
    keys, where = SEARCHES[kind], "[search]: "
    problems.found += [
        f"{where}{key} does not apply to the search '{kind}'; leave it out"
        for key in table
        if key in _SEARCH and key not in keys
    ]
    _check_keys([key for key in table if key not in _SEARCH], ("kind", *keys), problems, where)
    given = {
        key: problems.check(_SEARCH[key], table[key], where + key) for key in keys if key in table
    }
    if None in given.values():
        return SearchSettings(kind)
    has_ranges = any(isinstance(choice, Range) for choice in choices.values())
    # A quarter of the grid, from 20 to 1,000 (docs/sweeps.md has measurements); 100 for ranges.
    if "num_configs" in keys and (kind != "halving" or has_ranges):
        most = math.prod(0 if isinstance(c, Range) else len(c) for c in choices.values())
        given.setdefault("num_configs", min(most, max(20, most // 4), 1000) or 100)
    if kind == "halving":  # 2 if fewer than three epochs follow the first rung
        given.setdefault("eta", min(3, max(2, epochs // given.get("first_epochs", 1))))
        first, eta = given.get("first_epochs", 1), given["eta"]
        count = len(SearchSettings(kind, **given).rungs(epochs))
        if first >= epochs or count < 2:
            problems.found.append(
                f"{where}first_epochs {first} and eta {eta} leave no rung before epoch {epochs}; "
                "lower them, or raise epochs"
            )
        elif given.get("brackets", 1) > count:
            problems.found.append(f"{where}brackets must be at most the {count} rungs")
    return SearchSettings(kind, **given)


def _rates(table: Any, axes: Mapping[str, tuple[Any, ...]], problems: Problems) -> dict[str, float]:
    """Returns the given learning rates, and defaults of the other optimizers in use."""
    if "learning_rate" in axes:
        return {}
    if not isinstance(table, Mapping):
        problems.found.append("'learning_rates' must be a table, as in [learning_rates]")
        return {}
    _check_keys(table, OPTIMIZERS, problems, "[learning_rates]: ")
    return {
        name: problems.check(learning_rate, table[name], f"learning_rates.{name}")
        if name in table
        else (0.01 if name == "sgd" else 0.001)  # Keras's
        for name in OPTIMIZERS
        if name in table or name in axes.get("optimizer", (HYPERPARAMETERS["optimizer"].default,))
    }


def _check_keys(
    keys: Iterable[str],
    known: Sequence[str],
    problems: Problems,
    where: str = "",
    required: Sequence[str] = (),
) -> None:
    """Checks that a table has all required keys and no unknown one."""
    if unknown := [key for key in keys if key not in known]:
        hints = [nearest(key, known) for key in unknown]
        listed = ", ".join(f"{shown(key)}{hint}" for key, hint in zip(unknown, hints, strict=True))
        remedy = "" if all(hints) else f"; known keys: {', '.join(known)}"
        problems.found.append(f"{where}unknown key{'s'[: len(unknown) - 1]} {listed}{remedy}")
    problems.found += [f"{where}'{key}' is missing" for key in required if key not in keys]


def _find(name_or_path: str) -> Path:
    names = sweep_names()
    if name_or_path in names:
        return resource("sweeps") / f"{name_or_path}.toml"
    if os.path.isfile(name_or_path):
        return Path(name_or_path)
    there = " (not a file)" if os.path.exists(name_or_path) else nearest(name_or_path, names)
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
        raise InputError(f"{where}: not valid TOML: {one_line(error)}") from None
