"""Sweep files: TOML, found, read, laid over by ``--set``, and checked."""

import itertools
import os
import re
import reprlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gtzan_jax.errors import InputError, nearest
from gtzan_jax.metrics import LOSSES
from gtzan_jax.resources import resource
from gtzan_jax.space import axes as checks
from gtzan_jax.space.axes import AXES, FAMILIES, OPTIMIZERS, axes_of, family_of, shown
from gtzan_jax.space.config import Config
from gtzan_jax.space.ranges import Choices, Range, draw, parse_range
from gtzan_jax.space.settings import SAMPLERS, keys_of, parse_search
from gtzan_jax.space.sweep import Sweep, in_grid_order
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.text import printable

MAX_CONFIGS = 1_000_000
MAX_BYTES = 1_000_000
"""Of a sweep file."""

_KIND = "search.kind"

_KNOWN = (
    "axes", "epochs", "batch_size", "loss", "leaky_slope", "learning_rates", "num_seeds",
    "protocol", "num_folds", "reference", "search",
)  # fmt: skip


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
    # The kind of search goes first: it takes what another kind has out of the file.
    for key, override in sorted(zip(keys, overrides, strict=True), key=lambda o: o[0] != _KIND):
        if keys.count(key) > 1:
            raise InputError(f"--set gives {reprlib.repr(key)} more than once; leave one of them")
        _override(document, override)
    return parse_sweep(document, path.stem, where + (" with --set" if overrides else ""))


def parse_sweep(document: Mapping[str, Any], name: str, where: str) -> Sweep:
    """Checks a parsed TOML document and returns the sweep.

    Args:
      document: the tables and values of the file. ``batch_size`` and ``learning_rates`` are
        needed only where they are not axes, and mean nothing where they are.
      name: the sweep's name.
      where: what to call the document in an error.

    Raises:
      InputError: a key is unknown or missing, a value impossible.
    """
    choices = _axes(document.get("axes"), where)
    axes = {name: () if isinstance(c, Range) else c for name, c in choices.items()}
    _check_momentum(choices, where)
    needed = ["axes", "epochs", "loss", "leaky_slope"]
    needed += ["learning_rates"] * ("learning_rate" not in axes)
    needed += ["batch_size"] * ("batch_size" not in axes)
    _check_keys(document, _KNOWN, needed, where)
    epochs, seeds = checks.whole(1, 100_000), checks.whole(1, 100_000)
    size = None
    if "batch_size" not in axes:
        size = checks.batch_size(document["batch_size"], f"{where}: batch_size")
    num_epochs = epochs(document["epochs"], f"{where}: epochs")
    sweep = Sweep(
        name=name,
        axes=axes,
        epochs=num_epochs,
        batch_size=size,
        loss=checks.choice(LOSSES)(document["loss"], f"{where}: loss"),
        leaky_slope=checks.number(0.0, 1.0)(document["leaky_slope"], f"{where}: leaky_slope"),
        learning_rates={} if "learning_rate" in axes else _rates(document, axes, where),
        num_seeds=seeds(document.get("num_seeds", 1), f"{where}: num_seeds"),
        protocol=checks.choice(tuple(PROTOCOLS))(
            document.get("protocol", "assignment"), f"{where}: protocol"
        ),
        num_folds=checks.whole(2, 1000)(document.get("num_folds", 5), f"{where}: num_folds"),
        reference=parse_config(document["reference"], f"{where}: reference")
        if "reference" in document
        else None,
        search=parse_search(document.get("search"), num_epochs, f"{where}: [search]"),
        ranges={name: c for name, c in choices.items() if isinstance(c, Range)},
    )
    if not PROTOCOLS[sweep.protocol].takes_num_folds:  # no difference between two runs, then
        sweep = replace(sweep, num_folds=Sweep.num_folds)
    sweep.check_protocol(sweep.protocol)
    return _searched(sweep, choices, where)


def _searched(sweep: Sweep, choices: Choices, where: str) -> Sweep:
    """Returns a sweep with the configs that its search tries, as far as they are known."""
    search = sweep.search
    if search.is_told and PROTOCOLS[sweep.protocol].select_on == "test":
        raise InputError(
            f"{where}: the search '{search.kind}' goes by the validation part, which the protocol "
            f"{sweep.protocol} does not have; --set=protocol=holdout has one"
        )
    if search.kind == "halving" and sweep.stops_early:
        raise InputError(f"{where}: halving gives each config its epochs; leave axes.patience out")
    if search.num_configs is None and sweep.ranges:
        raise InputError(
            f"{where}: axes.{next(iter(sweep.ranges))} is a range, of which a grid cannot be made: "
            "give a list, or draw: --set=search.kind=random --set=search.num_configs=100"
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
    axes = _axes({name: [value] for name, value in document.items()}, where)
    return Config.of(**{n: values[0] for n, values in axes.items() if isinstance(values, tuple)})


def _axes(table: Any, where: str) -> Choices:
    if table is None:
        raise InputError(f"{where}: 'axes' is missing")
    if not isinstance(table, Mapping):
        raise InputError(f"{where}: 'axes' must be a table, as in [axes]")
    if all(axis in table for axis in FAMILIES.values()):
        raise InputError(
            f"{where}: [axes] has {' and '.join(FAMILIES.values())}, of different kinds of model; "
            "a sweep has one"
        )
    family = family_of(table)
    _check_keys(table, axes_of(family), [FAMILIES[family]], f"{where}: [axes]")
    axes = {name: _axis(name, values, f"{where}: axes.{name}") for name, values in table.items()}
    units = next(n for n in itertools.count(1) if f"num_units{n + 1}" not in axes)
    for name in axes:
        layer = re.fullmatch(r"(num_units|dropout)(\d)", name)
        if layer and int(layer[2]) > units:
            missing = f"num_units{units + 1}"
            raise InputError(f"{where}: axes.{name} needs axes.{missing}, which is missing")
    return in_grid_order(axes)


def _check_momentum(choices: Choices, where: str) -> None:
    """Refuses SGD's axes where they could not change anything."""
    axes = {n: (c.high,) if isinstance(c, Range) else c for n, c in choices.items()}
    optimizers = axes.get("optimizer", (AXES["optimizer"].default,))
    for name in ("momentum", "nesterov"):
        if any(axes.get(name, ())) and "sgd" not in optimizers:
            raise InputError(f"{where}: axes.{name} is SGD's; add 'sgd' to axes.optimizer")
    if any(axes.get("nesterov", ())) and not any(axes.get("momentum", ())):
        raise InputError(f"{where}: axes.nesterov needs axes.momentum, with a value above 0")


def _axis(name: str, values: Any, where: str) -> tuple[Any, ...] | Range:
    if isinstance(values, dict):
        return parse_range(AXES[name], values, where)
    if not isinstance(values, list) or not values:
        raise InputError(f"{where} must be a list of at least one value, not {shown(values)}")
    axis = AXES[name]
    checked = tuple(axis.check(value, where) for value in values)
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
    document: Mapping[str, Any], axes: Mapping[str, tuple[Any, ...]], where: str
) -> dict[str, float]:
    """Returns the learning rate of every optimizer; those that the sweep has must be there."""
    table = document["learning_rates"]
    if not isinstance(table, Mapping):
        raise InputError(f"{where}: 'learning_rates' must be a table, as in [learning_rates]")
    used = axes.get("optimizer", (AXES["optimizer"].default,))
    _check_keys(table, OPTIMIZERS, used, f"{where}: [learning_rates]")
    return {
        name: checks.learning_rate(table[name], f"{where}: learning_rates.{name}")
        for name in OPTIMIZERS
        if name in table
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
        raise InputError(f"{where}: not valid TOML: {_one_line(error)}") from None


def _override(document: dict[str, Any], override: str) -> None:
    """Lays one ``key=value`` over the document, in place."""
    key, equals, text = override.partition("=")
    flag = f"--set={_one_line(override)}"
    if not equals or not key.strip():
        raise InputError(f"{flag}: write key=value, such as --set=epochs=20")
    *tables, last = key.strip().split(".")
    target = document
    if tables == ["search"]:
        document.setdefault("search", {})
    for table in tables:
        if not isinstance(target.get(table), dict):
            raise InputError(f"{flag}: no table {shown(table)}{nearest(table, target)}")
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
    if key.strip() == _KIND:
        kept = ("kind", *keys_of(parsed["value"]))
        document["search"] = {name: value for name, value in target.items() if name in kept}


def _one_line(text: object) -> str:
    """Returns a text without what would break a line, shortened to fit into a message."""
    line = " ".join(printable(text).split())
    return line if len(line) <= 120 else f"{line[:119]}…"


def _check_keys(
    table: Mapping[str, Any], known: Sequence[str], required: Sequence[str], where: str
) -> None:
    for key in table:
        if key not in known:
            raise InputError(
                f"{where}: unknown key {shown(key)}{nearest(key, known)}; known are "
                f"{', '.join(known)}"
            )
    for key in required:
        if key not in table:
            raise InputError(f"{where}: '{key}' is missing")
