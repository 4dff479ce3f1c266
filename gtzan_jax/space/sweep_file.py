"""Sweep files: TOML, found, read, laid over by ``--set``, and checked."""

import itertools
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gtzan_jax import checks
from gtzan_jax.checks import Check, Problems, shown
from gtzan_jax.errors import InputError, nearest
from gtzan_jax.metrics import LOSSES
from gtzan_jax.resources import resource
from gtzan_jax.space.axes import (
    AXES,
    FAMILIES,
    OPTIMIZERS,
    axes_of,
    batch_size,
    family_of,
    learning_rate,
)
from gtzan_jax.space.config import Config
from gtzan_jax.space.overrides import contradictions, lay_over, one_line
from gtzan_jax.space.ranges import Choices, Range, draw, parse_range
from gtzan_jax.space.settings import SAMPLERS, parse_search
from gtzan_jax.space.sweep import Sweep, in_grid_order
from gtzan_jax.tables.protocols import PROTOCOLS

MAX_CONFIGS = 1_000_000
MAX_BYTES = 1_000_000
"""Of a sweep file."""

CONSTANTS: dict[str, tuple[Check, Any]] = {
    "epochs": (checks.Whole(1, 100_000), 10),
    "batch_size": (batch_size, 32),
    "loss": (checks.Choice(LOSSES), "cross_entropy"),
    "leaky_slope": (checks.Number(0.0, 1.0), 0.2),
    "num_seeds": (checks.Whole(1, 100_000), 1),
    "protocol": (checks.Choice(tuple(PROTOCOLS)), ""),
    "num_folds": (checks.Whole(2, 1000), Sweep.num_folds),
}
"""What is constant in a sweep: how it is checked, and its default, Keras's where Keras has a useful
one. That of the protocol is ``assignment``, or ``holdout`` for a search that needs a validation
part."""

_RATES = {"sgd": 0.01}
_RATE = 0.001
"""Keras's learning rates: of SGD, and of every other optimizer."""

_KNOWN = ("axes", *CONSTANTS, "learning_rates", "reference", "search")


def sweep_names() -> list[str]:
    """Returns the names of the sweeps that come with the project."""
    return sorted(path.stem for path in resource("sweeps").glob("*.toml"))


@checks.known_names
def load_sweep(name_or_path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Sweep:
    """Reads a sweep, by name from ``sweeps/`` or from the path of a TOML file.

    Args:
      name_or_path: such as ``assignment`` or ``my/sweep.toml``.
      overrides: ``key=value`` strings laid over the file, with a dot for tables, such as
        ``epochs=20`` or ``axes.dropout1=[0.0, 0.5]``. Values are TOML; a bare word is
        taken as a string. An axis has a short name, and its values commas between them:
        ``optimizer=adam,sgd``, ``num_units1=64,128``; ``num_units`` and ``dropout`` are those of
        all layers.

    Raises:
      InputError: the file cannot be found or parsed, a key is unknown, a value impossible, or an
        argument of another type. The message names all that is wrong.
      TypeError: a parameter is unknown.
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
        problems.check(parse_sweep, document, path.stem, where)  # what else is wrong
        problems.raise_any()
    return parse_sweep(document, path.stem, where + (" with --set" if overrides else ""))


def parse_sweep(document: Mapping[str, Any], name: str, where: str) -> Sweep:
    """Checks a parsed TOML document and returns the sweep.

    Args:
      document: the tables and values of the file, of which only ``axes`` must be there; see
        ``CONSTANTS``. ``batch_size`` and ``learning_rates`` mean nothing where they are axes.
      name: the sweep's name.
      where: what to call the document in an error.

    Raises:
      InputError: a key is unknown, a value impossible, or there are no axes. The message names all
        that is wrong.
    """
    problems = Problems(where)
    problems.check(_check_keys, document, _KNOWN)
    choices = problems.check(_axes, document.get("axes"), "", problems) or {}
    axes = {name: () if isinstance(c, Range) else c for name, c in choices.items()}
    problems.check(_check_momentum, choices)
    constants = {
        key: problems.check(check, document[key], key) if key in document else default
        for key, (check, default) in CONSTANTS.items()
        if key not in axes
    }
    epochs = constants["epochs"] or 100_000  # where they are wrong, nothing else is for that
    search = problems.check(
        parse_search, document.get("search"), epochs, choices, "[search]", problems
    )
    rates = problems.check(_rates, document, axes, problems)
    reference = None
    if "reference" in document:
        reference = problems.check(parse_config, document["reference"], "reference")
    problems.raise_any()
    constants["protocol"] = constants["protocol"] or ("holdout" if search.is_told else "assignment")
    if not PROTOCOLS[constants["protocol"]].takes_num_folds:
        constants["num_folds"] = Sweep.num_folds  # no difference between two runs, then
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
    """Returns a sweep with the configs that its search tries, as far as they are known."""
    search, problems = sweep.search, Problems(where)
    if search.is_told and PROTOCOLS[sweep.protocol].select_on == "test":
        problems.found.append(
            f"the search '{search.kind}' goes by the validation part, which the protocol "
            f"{sweep.protocol} does not have; --set=protocol=holdout has one"
        )
    if search.kind == "halving" and sweep.stops_early:
        problems.found.append("halving gives each config its epochs; leave axes.patience out")
    problems.raise_any()
    if search.num_configs is None and sweep.ranges:
        raise InputError(
            f"{where}: axes.{next(iter(sweep.ranges))} is a range, of which a grid cannot be made: "
            "give a list, or draw: --set=search.kind=random"
        )
    if search.kind == "one_at_a_time":
        return sweep.choosing(one_at_a_time(sweep.axes))
    if search.num_configs is None and sweep.num_configs > MAX_CONFIGS:
        raise InputError(
            f"{where}: the grid has {sweep.num_configs:,} configs; at most {MAX_CONFIGS:,} are "
            "allowed. Take values out of some axes, or draw some: --set=search.kind=random "
            "--set=search.num_configs=1000"
        )
    if search.kind in SAMPLERS:
        return sweep.choosing(())
    if search.num_configs is None and search.brackets == 1:
        return sweep
    count = search.num_configs or sweep.num_configs
    return sweep.choosing(draw(choices, count, search.seed, where))


def one_at_a_time(axes: Mapping[str, tuple[Any, ...]]) -> list[Config]:
    """Returns the config of the first values, and those that differ from it in one axis."""
    plain = {name: values[0] for name, values in axes.items()}
    others = [plain | {name: value} for name, values in axes.items() for value in values[1:]]
    return [Config.of(**values) for values in (plain, *others)]


def parse_config(document: Any, where: str) -> Config:
    """Checks a value for each of some axes, as a sweep file's lists, and returns the config.

    Raises:
      InputError: an axis is unknown or missing, a value impossible.
    """
    if not isinstance(document, Mapping):
        raise InputError(f"{where}: not a table of axes")
    problems = Problems()
    lists = {name: [value] for name, value in document.items()}
    axes = problems.check(_axes, lists, f"{where}: ", problems)
    problems.raise_any()
    return Config.of(**{n: values[0] for n, values in axes.items() if isinstance(values, tuple)})


def _axes(table: Any, where: str, problems: Problems) -> Choices:
    """Checks the axes; returns those that are possible.

    Args:
      table: as it was read.
      where: what to put before each name in an error.
      problems: gets what is wrong with each.

    Raises:
      InputError: it is no table of axes of one kind of model.
    """
    if table is None:
        raise InputError(
            f"{where}'axes' is missing: a table [axes], such as num_units1 = [64, 128]"
        )
    if not isinstance(table, Mapping):
        raise InputError(f"{where}'axes' must be a table, as in [axes]")
    if all(axis in table for axis in FAMILIES.values()):
        raise InputError(
            f"{where}[axes] has {' and '.join(FAMILIES.values())}, of different kinds of model; "
            "a sweep has one"
        )
    family = family_of(table)
    known = axes_of(family)
    problems.check(_check_keys, table, known, [FAMILIES[family]], f"{where}[axes]: ")
    axes = {
        name: problems.check(_axis, name, table[name], f"{where}axes.{name}", problems)
        for name in table
        if name in known
    }
    units = next(n for n in itertools.count(1) if f"num_units{n + 1}" not in axes)
    for name in axes:
        layer = re.fullmatch(r"(num_units|dropout)(\d)", name)
        if layer and int(layer[2]) > units:
            missing = f"num_units{units + 1}"
            problems.found.append(f"{where}axes.{name} needs axes.{missing}, which is missing")
    return in_grid_order({name: values for name, values in axes.items() if values})


def _check_momentum(choices: Choices) -> None:
    """Refuses SGD's axes where they could not change anything."""
    axes = {n: (c.high,) if isinstance(c, Range) else c for n, c in choices.items()}
    optimizers = axes.get("optimizer", (AXES["optimizer"].default,))
    for name in ("momentum", "nesterov"):
        if any(axes.get(name, ())) and "sgd" not in optimizers:
            raise InputError(f"axes.{name} is SGD's; add 'sgd' to axes.optimizer")
    if any(axes.get("nesterov", ())) and not any(axes.get("momentum", ())):
        raise InputError("axes.nesterov needs axes.momentum, with a value above 0")


def _axis(name: str, values: Any, where: str, problems: Problems) -> tuple[Any, ...] | Range | None:
    """Returns the values of an axis; None where some are impossible."""
    if isinstance(values, dict):
        return parse_range(AXES[name], values, where)
    if not isinstance(values, list) or not values:
        raise InputError(f"{where} must be a list of at least one value, not {shown(values)}")
    axis, before = AXES[name], len(problems.found)
    checked = tuple(problems.check(axis.check, value, where) for value in values)
    if len(problems.found) > before:
        return None
    # As the names of configs show them: 0.1 and 0.1000001 would share a name, and a folder.
    first: dict[str, Any] = {}
    for value in checked:
        text = axis.show(value).removeprefix(axis.prefix)
        if text in first:
            other = "" if value == first[text] else f", as {value!r} and {first[text]!r}"
            raise InputError(f"{where} holds a value twice: {text}{other}; leave one of them")
        first[text] = value
    return checked


def _rates(
    document: Mapping[str, Any], axes: Mapping[str, tuple[Any, ...]], problems: Problems
) -> dict[str, float]:
    """Returns the learning rates that are given, and the default of what else the sweep uses."""
    if "learning_rate" in axes:
        return {}
    table = document.get("learning_rates", {})
    if not isinstance(table, Mapping):
        raise InputError("'learning_rates' must be a table, as in [learning_rates]")
    used = axes.get("optimizer", (AXES["optimizer"].default,))
    problems.check(_check_keys, table, OPTIMIZERS, (), "[learning_rates]: ")
    return {
        name: problems.check(learning_rate, table[name], f"learning_rates.{name}")
        if name in table
        else _RATES.get(name, _RATE)
        for name in OPTIMIZERS
        if name in table or name in used
    }


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
        raise InputError(f"{where}: not valid TOML: {one_line(error)}") from None


def _check_keys(
    table: Mapping[str, Any], known: Sequence[str], required: Sequence[str] = (), where: str = ""
) -> None:
    """Checks that a table has no unknown key, and all that are required."""
    problems = Problems()
    if unknown := [key for key in table if key not in known]:
        hints = [nearest(key, known) for key in unknown]
        keys = ", ".join(f"{shown(key)}{hint}" for key, hint in zip(unknown, hints, strict=True))
        listed = "" if all(hints) else f"; known are {', '.join(known)}"
        problems.found.append(f"{where}unknown key{'s'[: len(unknown) - 1]} {keys}{listed}")
    problems.found += [f"{where}'{key}' is missing" for key in required if key not in table]
    problems.raise_any()
