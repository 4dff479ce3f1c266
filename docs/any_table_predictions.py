"""What was expected of docs/any_table.md before anything was measured, and whether it came true."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from any_table_parts import ALL, BOOSTING, GRID, HALVING, LINEAR, OURS, TABLES

Found = Mapping[str, Any]  # of a part, see any_table_parts


class Prediction(NamedTuple):
    """A sentence that was written before anything was measured, and whether figures agree."""

    text: str
    holds: Callable[[Mapping[str, Found]], bool]


PREDICTIONS = (
    Prediction(
        "On wine nothing is clearly different from our sweep: the test parts are too small.",
        lambda parts: not clear(parts["wine"]),
    ),
    Prediction(
        "On breast cancer logistic regression is at least as accurate as our sweep.",
        lambda parts: difference(parts["breast cancer"], LINEAR)["difference"] <= 0,
    ),
    Prediction(
        "On digits our sweep is clearly better than logistic regression.",
        lambda parts: difference(parts["digits"], LINEAR)["low"] > 0,
    ),
    Prediction(
        "On the made table our sweep is clearly better than logistic regression and than boosting.",
        lambda parts: all(difference(parts["made"], m)["low"] > 0 for m in (LINEAR, BOOSTING)),
    ),
    Prediction(
        "On no table is our sweep clearly different from GridSearchCV, which tunes such networks.",
        lambda parts: all(GRID not in clear(parts[name]) for name in TABLES),
    ),
    Prediction(
        "On wine GridSearchCV is through with all its fits before our cold start is.",
        lambda parts: in_our_time(parts["wine"], "cold") >= ALL,
    ),
    Prediction(
        "On digits our 768 are done, cold, in the time of 100 to 300 fits of GridSearchCV.",
        lambda parts: 100 <= in_our_time(parts["digits"], "cold") <= 300,
    ),
    Prediction(
        "On the made table they are done in the time of fewer than 200.",
        lambda parts: in_our_time(parts["made"], "cold") < 200,
    ),
    Prediction(
        "Halving is faster than our sweep on the three small tables, cold.",
        lambda parts: all(
            parts[name]["seconds"][HALVING]["search"] < parts[name]["seconds"][OURS]["cold"]
            for name in ("wine", "breast cancer", "digits")
        ),
    ),
    Prediction(
        "With writers on one side the digits lose 2 to 6 points, clearly; by false groups nothing.",
        lambda parts: (
            -0.06 <= parts["group"]["block"]["difference"][0] <= -0.02
            and parts["group"]["block"]["difference"][2] < 0
            and not excludes_zero(*parts["group"]["shuffled"]["difference"][1:])
        ),
    ),
    Prediction(
        "A million rows are read, trained and predicted in less than 10 GB and five minutes.",
        lambda parts: (
            "failed" not in parts["rows"]["1000000"]
            and parts["rows"]["1000000"]["peak_bytes"] < 10e9
            and whole_seconds(parts["rows"]["1000000"]) < 300
        ),
    ),
)  # fmt: skip


def excludes_zero(low: float, high: float) -> bool:
    """Returns whether an interval, NaN without one, is on one side of 0."""
    return low > 0 or high < 0


def difference(part: Found, model: str) -> Mapping[str, Any]:
    """Returns our accuracy less a model's, with its interval."""
    return next(row for row in part["comparison"] if row["model"] == model)


def clear(part: Found) -> list[str]:
    """Returns the models that are clearly different from ours."""
    return [r["model"] for r in part["comparison"] if excludes_zero(r["low"], r["high"])]


def in_our_time(part: Found, start: str) -> float:
    """Returns how many settings GridSearchCV fits in the seconds of our 768, cold or warm."""
    return float(part["seconds"][OURS][start] / part["seconds"][GRID]["per_fit"])


def whole_seconds(found: Found) -> float:
    """Returns the seconds of reading, training and predicting a table of some size."""
    return float(found["read_s"] + found["seconds"]["total"] + found["predict_s"])
