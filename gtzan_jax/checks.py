"""Checks of user input: each returns the value with its type, or raises InputError."""

import functools
import inspect
import os
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar

from gtzan_jax.errors import InputError, nearest

P = ParamSpec("P")
T = TypeVar("T")
Check = Callable[[Any, str], Any]

_SHOWN = 10  # problems listed in a message


class Problems:
    """Collects the problems that checks find in ``where``, to raise them as one error."""

    def __init__(self, where: str = "") -> None:
        self._where = where
        self.found: list[str] = []

    def check(self, check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Returns the result of a check; None after a problem, which it adds to ``found``."""
        try:
            return check(*args, **kwargs)
        except InputError as error:
            self.found += error.problems or [str(error)]
            return None  # type: ignore[return-value]

    def raise_any(self) -> None:
        """Raises InputError with all problems, on one line, if there are any."""
        if not self.found:
            return
        text, where = self.found[0], self._where and f"{self._where}: "
        if len(self.found) > 1:
            listed = [f"({n}) {text}" for n, text in enumerate(self.found[:_SHOWN], 1)]
            listed += [f"and {len(self.found) - _SHOWN:,} more"] * (len(self.found) > _SHOWN)
            text = f"{len(self.found):,} problems: {'; '.join(listed)}"
        error = InputError(where + text)
        error.problems = [where + text for text in self.found]
        raise error


def known_names(function: Callable[P, T]) -> Callable[P, T]:
    """Makes unknown keyword arguments raise a TypeError that names the nearest parameters."""
    names = tuple(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        hints = {name: nearest(name, names) for name in kwargs if name not in names}
        if hints:
            unknown = ", ".join(f"{name!r}{hint}" for name, hint in hints.items())
            listed = "" if all(hints.values()) else f"; it has {', '.join(names)}"
            raise TypeError(f"{function.__name__}() has no parameter {unknown}{listed}")
        return function(*args, **kwargs)

    return call


@dataclass(frozen=True)
class Number:
    """Checks numbers."""

    low: float
    high: float

    def __call__(self, value: Any, where: str) -> float:
        """Returns the value."""
        return float(self._checked(value, where, Real, "number", "g"))

    def _checked(self, value: Any, where: str, kind: type, noun: str, form: str) -> Any:
        is_one = isinstance(value, kind) and not isinstance(value, bool)
        if not is_one or not self.low <= value <= self.high:
            bounds = f"from {self.low:{form}} to {self.high:{form}}"
            raise InputError(f"{where} must be a {noun} {bounds}, not {shown(value)}")
        return value


@dataclass(frozen=True)
class Whole(Number):
    """Checks whole numbers."""

    low: int
    high: int

    def __call__(self, value: Any, where: str) -> int:
        """Returns the value."""
        return int(self._checked(value, where, Integral, "whole number", ","))


@dataclass(frozen=True)
class Choice:
    """Checks that a value is one of some names."""

    names: Sequence[str]

    def __call__(self, value: Any, where: str) -> str:
        """Returns the value."""
        if not isinstance(value, str) or value not in self.names:
            hint = nearest(value, self.names) if isinstance(value, str) else ""
            options = ", ".join(filter(None, self.names))
            unknown = f"unknown value {shown(value)}{hint}"
            raise InputError(f"{where}: {unknown}; choose one of {options}")
        return str(value)


def yes_or_no(value: Any, where: str) -> bool:
    """Checks a truth value."""
    if not isinstance(value, bool):
        raise InputError(f"{where} must be true or false, not {shown(value)}")
    return value


def text(value: Any, where: str) -> str:
    """Checks a text."""
    if not isinstance(value, str):
        raise InputError(f"{where} must be text, not {shown(value)}")
    return value


def texts(value: Any, where: str) -> Sequence[str]:
    """Checks a list of texts."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InputError(f"{where} must be a list of texts, not {shown(value)}")
    return [text(each, f"{where}[{place}]") for place, each in enumerate(value)]


def names(value: Any, where: str) -> Sequence[str]:
    """Checks a list of texts, which a flag separates by commas."""
    return texts(value, where)


def path(value: Any, where: str, *others: type) -> Any:
    """Checks a path, as text or a ``Path``, or an object of another given type."""
    if not isinstance(value, (str, os.PathLike, *others)):
        kinds = " or ".join(["text or a path", *(f"a {other.__name__}" for other in others)])
        raise InputError(f"{where} must be {kinds}, not {shown(value)}")
    return value


def instance(value: Any, where: str, kind: type[T]) -> T:
    """Checks the type of a value."""
    if not isinstance(value, kind):
        raise InputError(f"{where} must be a {kind.__name__}, not {shown(value)}")
    return value


def shown(value: object) -> str:
    """Returns the shortened repr of a value, for messages."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    try:
        return short.repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a number too long to show"
