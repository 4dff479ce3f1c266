"""The one kind of error that a person can mend."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """A table, flag or sweep file that cannot be used as it is.

    The message is one line and names what to change. Commands print it without a
    traceback and exit with code 2.
    """


def nearest(name: str, valid: Iterable[str]) -> str:
    """Returns `` (did you mean 'x'?)`` for the valid name nearest to ``name``, or ``''``."""
    by_lower = {other.lower(): other for other in valid}
    close = get_close_matches(name.lower(), by_lower, n=1)
    return f" (did you mean {by_lower[close[0]]!r}?)" if close else ""
