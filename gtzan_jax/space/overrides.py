"""``key=value`` overrides of a sweep file: by ``--set``, or by the name of a hyperparameter.

The name alone is a short name: ``optimizer=adam,sgd`` means ``axes.optimizer=["adam", "sgd"]``, and
``num_units=64,128`` or ``dropout=0.1,0.3`` sets the values of every hidden layer.
"""

import itertools
import tomllib
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from gtzan_jax.checks import Problems, shown
from gtzan_jax.errors import InputError, nearest
from gtzan_jax.space.hyperparameters import HYPERPARAMETERS, family_of, hyperparameters_of
from gtzan_jax.space.sweep import SEARCHES
from gtzan_jax.text import printable

SHORT_NAMES = {name: axis.text for name, axis in HYPERPARAMETERS.items()} | {
    "num_units": "Units of all hidden layers; --num_units=64,128 varies each layer by itself.",
    "dropout": "Share set to 0 in training: of the outputs of all hidden layers, where "
    "--dropout=0.1,0.3 varies each layer by itself; or of whole channels, after each block.",
}
"""Names of hyperparameters, of one layer or all, with their texts: flags of the sweep command."""

_KIND = "search.kind"
_KEYS = {"search": _KIND}  # of settings whose key has another name


def as_overrides(settings: Mapping[str, object]) -> list[str]:
    """Returns settings by name, such as ``{"epochs": 20, "search": "random"}``, as overrides."""
    return [f"{_KEYS.get(name, name)}={value}" for name, value in settings.items()]


def contradictions(overrides: Iterable[str], settings: Iterable[str] = ()) -> list[str]:
    """Returns a sentence for each pair of overrides that sets the same key.

    ``settings`` are the names of other given flags, such as ``epochs``.
    """
    given = [(f"--{name}", _KEYS.get(name, name)) for name in settings]
    for key in map(_key, overrides):
        given.append((f"--{key}" if key in SHORT_NAMES else f"--set={key}", key))
    found = []
    for (flag, key), (other, other_key) in itertools.combinations(given, 2):
        if flag == other:
            found.append(f"--set gives {shown(key)} more than once; keep one")
        elif _targets(key) & _targets(other_key):
            found.append(f"{flag} and {other} contradict each other; leave one out")
    return list(dict.fromkeys(found))


def lay_over(document: dict[str, Any], overrides: Sequence[str], problems: Problems) -> None:
    """Applies overrides to a document, in place."""
    # The kind of search goes first: it removes keys of other kinds from the file. Short names for
    # all layers go last: they depend on the other hyperparameters.
    for override in sorted(
        overrides, key=lambda each: (_key(each) != _KIND, len(_targets(_key(each))) > 1)
    ):
        problems.check(_lay_over, document, override)


def axes_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the table [axes] of a sweep file, from values by names or short names."""
    problems, axes = Problems(), dict[str, Any]()
    problems.found += contradictions(f"{name}=" for name in values)
    problems.raise_any()
    for name in sorted(values, key=lambda name: len(_targets(name)) > 1):  # as in lay_over
        given = values[name]
        if isinstance(given, Mapping):  # a range
            listed: Any = dict(given)
        else:
            is_one = isinstance(given, str) or not isinstance(given, Iterable)
            listed = [given] if is_one else list(given)
        axes |= dict.fromkeys(_meant(name, axes), listed)
    return axes


def one_line(text: object) -> str:
    """Returns a text on one line, shortened for a message."""
    line = " ".join(printable(text).split())
    return line if len(line) <= 120 else f"{line[:119]}…"


def _key(override: str) -> str:
    return override.partition("=")[0].strip()


def _targets(key: str) -> set[str]:
    """Returns the keys of a document that an override may set."""
    axes = {f"axes.{name}" for name, axis in HYPERPARAMETERS.items() if key in (name, axis.stem)}
    return axes | ({key} if key == "batch_size" else set()) or {key}


def _lay_over(document: dict[str, Any], override: str) -> None:
    _, equals, text = override.partition("=")
    key, flag = _key(override), f"--set={one_line(override)}"
    if not equals or not key:
        raise InputError(f"{flag}: write key=value, such as --set=epochs=20")
    value = _parsed(text, flag)
    if key in SHORT_NAMES:
        _set_axes(document, key, value, flag)
        return
    *tables, last = key.split(".")
    target = document
    if tables in (["search"], ["learning_rates"]):
        document.setdefault(tables[0], {})
    for table in tables:
        if not isinstance(target.get(table), dict):
            raise InputError(f"{flag}: no table {shown(table)}{nearest(table, target)}")
        target = target[table]
    target[last] = value
    if key == _KIND and str(value) in SEARCHES:
        kept = ("kind", *SEARCHES[str(value)])
        document["search"] = {name: value for name, value in target.items() if name in kept}


def _set_axes(document: dict[str, Any], key: str, value: Any, flag: str) -> None:
    """Sets the values of a short name; a single batch size stays a constant if it was one."""
    axes = document.setdefault("axes", {})
    if not isinstance(axes, dict):
        raise InputError(f"{flag}: 'axes' is not a table")
    if isinstance(value, str):
        value = [_parsed(part, flag) for part in value.split(",")]
    is_one = not isinstance(value, list | dict)
    if key == "batch_size" and "batch_size" not in axes and (is_one or len(value) == 1):
        document["batch_size"] = value if is_one else value[0]
        return
    axes |= dict.fromkeys(_meant(key, axes), [value] if is_one else value)


def _meant(key: str, axes: Container[str]) -> list[str]:
    """Returns the hyperparameters of a name or short name, given the others; itself if unknown."""
    names = [
        name
        for name in hyperparameters_of(family_of(axes))
        if name == key
        or (HYPERPARAMETERS[name].stem == key and f"num_units{name.removeprefix(key)}" in axes)
    ]
    return names or [key]


def _parsed(text: str, flag: str) -> Any:
    """Returns a value written as in TOML; a bare word is a string."""
    try:
        parsed = tomllib.loads(f"value = {text.strip()}")
    except tomllib.TOMLDecodeError:
        return text.strip()  # a bare word: --set=loss=softmax_twice
    except (ValueError, RecursionError) as error:
        raise InputError(f"{flag}: {one_line(error)}") from None
    if len(parsed) > 1:
        raise InputError(f"{flag}: more than one value")
    return parsed["value"]
