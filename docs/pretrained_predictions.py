"""What was expected of docs/pretrained.md before its measurements, and whether it came true."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Found = Mapping[str, Any]  # the parts of pretrained.json

OURS, LINEAR = "gtzan_jax MLP", "logistic regression"
GTZAN, TAGS, UNITS, BOTH = "57 features", "tags", "units", "tags and units"


class Prediction(NamedTuple):
    """A sentence that was written before its measurement, and whether figures agree."""

    text: str
    holds: Callable[[Found], bool]


PREDICTIONS = (
    Prediction(
        "Under fault_filtered our network gains 20 to 30 points by tags, and every model gains "
        "clearly.",
        lambda parts: (
            0.20 <= gain(parts, "fault_filtered", OURS)["difference"] <= 0.30
            and all(row["low"] > 0 for row in gains(parts, "fault_filtered"))
        ),
    ),
    Prediction(
        "The gain is larger where no artist is shared (artist_kfold) than in random folds (kfold), "
        "by each model.",
        lambda parts: all(
            row["difference"] > gain(parts, "kfold", row["model"])["difference"]
            for row in gains(parts, "artist_kfold")
        ),
    ),
    Prediction(
        "On tags, under fault_filtered, no model is clearly better than our network.",
        lambda parts: all(
            not row["high"] < 0
            for row in parts["protocols"][TAGS]["comparison"]
            if row["protocol"] == "fault_filtered"
        ),
    ),
    Prediction(
        "By networks trained on other artists at least 8 of the nine songs are right.",
        lambda parts: parts["songs"]["right"] >= 8,
    ),
    Prediction(
        "Of audio100, five songs a genre by units tell more than nine by the 57 features, by both "
        "models.",
        lambda parts: all(
            accuracy(parts, "heard", UNITS, model, 5) > accuracy(parts, "heard", GTZAN, model, 9)
            for model in (OURS, LINEAR)
        ),
    ),
    Prediction(
        "Units are ahead of tags at each number of songs a genre, by both models.",
        lambda parts: all(
            accuracy(parts, "heard", UNITS, model, count)
            > accuracy(parts, "heard", TAGS, model, count)
            for model in (OURS, LINEAR)
            for count in (2, 5, 9)
        ),
    ),
    Prediction(
        "Tags and units together differ by less than 2 points from units, with nine songs a genre.",
        lambda parts: all(
            abs(accuracy(parts, "heard", BOTH, m, 9) - accuracy(parts, "heard", UNITS, m, 9)) < 0.02
            for m in (OURS, LINEAR)
        ),
    ),
    Prediction(
        "Of artists never heard, two songs a genre by tags tell more than 20 by the 57 features, "
        "by both models.",
        lambda parts: all(
            accuracy(parts, "unheard", TAGS, m, 2) > accuracy(parts, "unheard", GTZAN, m, 20)
            for m in (OURS, LINEAR)
        ),
    ),
    Prediction(
        "The CNN tells at least 15 points fewer songs than our network on the 57 features in the "
        "same folds, and takes ten times its seconds or more.",
        lambda parts: (
            parts["cnn"][GTZAN]["accuracy"] - parts["cnn"]["CNN"]["accuracy"] >= 0.15
            and parts["cnn"]["CNN"]["seconds"] >= 10 * parts["cnn"][GTZAN]["seconds"]
        ),
    ),
    Prediction(
        "Warm, units of a song take less than twice the seconds of the 57 features.",
        lambda parts: parts["seconds"]["musicnn"]["warm"] < 2 * parts["seconds"]["gtzan"]["warm"],
    ),
)  # fmt: skip


def gains(parts: Found, protocol: str) -> Iterator[Found]:
    """Yields the differences, tags less 57 features, of each model under a protocol."""
    yield from (row for row in parts["protocols"]["gain"] if row["protocol"] == protocol)


def gain(parts: Found, protocol: str, model: str) -> Found:
    """Returns the difference, tags less 57 features, of a model under a protocol."""
    return next(row for row in gains(parts, protocol) if row["model"] == model)


def accuracy(parts: Found, artists: str, features: str, model: str, songs: int) -> float:
    """Returns an accuracy of a learning curve, with so many songs a genre."""
    wanted = (features, model, songs)
    rows = parts["curve"][artists]
    return float(
        next(r for r in rows if (r["features"], r["model"], r["songs"]) == wanted)["accuracy"]
    )
