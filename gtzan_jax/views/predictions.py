"""Predictions of songs, as text for a terminal of 80 columns and as a document of JSON."""

import itertools
import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtzan_jax.inference.calibration import FEWEST, Calibration, against_chance
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.inference.prediction import Explanation, Prediction, Unlike
from gtzan_jax.sound.files import SAMPLE_RATE
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.tables.schema import SAMPLES
from gtzan_jax.text import printable
from gtzan_jax.views.text import counted, signed

FORMAT = 1  # of the document; raised when a key is removed or changes its meaning

_WIDTH = 80  # columns
_TOP = 3  # genres of a song
_BAR = 40  # columns of a probability of 1
_REASONS = 5  # features on either side
_LONGEST = 60  # letters of a path


@dataclass(frozen=True)
class Answer:
    """Result of a file: a prediction, with an explanation where asked for, or an error."""

    path: str
    prediction: Prediction | None = None
    explanation: Explanation | None = None
    error: str = ""


def head(model: TrainedModel, run: str) -> str:
    """Describes the model that predicts, and how reliable it is."""
    data = "the SYNTHETIC sample" if model.data in SAMPLES else Path(model.data).name
    lines = [
        f"{printable(run)}: {model.config.name}",
        f"trained on {printable(data)}"
        + (f", protocol {printable(model.protocol)}" if model.protocol else "")
        + f"; windows of {model.front_end.samples / SAMPLE_RATE:.1f} s",
        *_trust(model.calibration, model.protocol),
    ]
    return "\n".join(line for text in lines for line in _wrapped(text, "  "))


def note(model: TrainedModel) -> str:
    """Returns the caption of a figure of predictions."""
    data = "SYNTHETIC sample, not GTZAN" if model.data in SAMPLES else Path(model.data).name
    how = "calibrated" if model.is_calibrated else "not calibrated"
    return f"{model.config.name}, trained on {printable(data)}; {how} probabilities"


def _trust(calibration: Calibration | None, protocol: str) -> list[str]:
    """Describes how often the model is right, and how reliable its probabilities are."""
    if calibration is None:
        return ["how well its probabilities are calibrated was not measured"]
    test = calibration.test
    share = f"{100 * test.accuracy:.0f} %"
    if test.songs < FEWEST:
        share = str(round(test.accuracy * test.songs))
    right = f"right on {share} of {counted(test.songs, 'test song')}"
    leak = PROTOCOLS[protocol].leak if protocol in PROTOCOLS else ""
    if leak:
        right += f" ({leak})"
    before = f"{100 * test.error:.1f}"
    shown, chance = test.error if test.calibrated_error is None else test.calibrated_error, ""
    if test.chance_error is not None and test.chance_limit is not None:
        chance = f"; {against_chance(shown, test.chance_error, test.chance_limit)}"
    if calibration.stays_at_one:
        found = [f"{right}; its probabilities, not calibrated, were off by {before} points{chance}"]
    elif calibration.temperature is None or calibration.validation is None:
        found = [
            f"{right}; its probabilities were off by {before} points{chance}",
            "not calibrated: the run has no validation part; retrain it with --protocol=holdout or "
            "another that has one",
        ]
    else:
        found = [
            f"{right}; its probabilities, calibrated on {calibration.validation.songs} others "
            f"(temperature {calibration.temperature:.2f}), were off by {100 * shown:.1f} points, "
            f"by {before} without that{chance}"
        ]
    return [*found, *([calibration.doubt] if calibration.doubt else [])]


def song(answer: Answer) -> str:
    """Describes a song: its genres, with warnings and reasons."""
    prediction = answer.prediction
    if prediction is None:
        return f"{printable(answer.path)}: {printable(answer.error)}"
    path = printable(prediction.path)
    path = path if len(path) <= _LONGEST else f"…{path[-_LONGEST + 1 :]}"
    how = "" if prediction.is_calibrated else ", not calibrated"
    minutes, seconds = divmod(int(prediction.seconds), 60)
    length = f"{minutes}:{seconds:02d}" if minutes else f"{prediction.seconds:.1f} s"
    lines = [path, f"  {length}, {counted(len(prediction.spans), 'window')}{how}"]
    shown = [printable(genre)[:20] for genre in prediction.genres[:_TOP]]
    width = max(map(len, shown))
    for genre, probability in zip(shown, prediction.probabilities[:_TOP], strict=True):
        bar = "█" * round(_BAR * float(probability))
        lines.append(f"  {genre:<{width}}  {100 * probability:5.1f} %  {bar}".rstrip())
    sentences = [*prediction.notes]
    if prediction.trained_on:
        sentences.append(
            "this song was in the training set: its probabilities say nothing about other songs"
        )
    if prediction.unlike and prediction.unlike.is_unlike:
        sentences.append(_unlike(prediction.unlike))
    lines += [line for sentence in sentences for line in _wrapped(f"! {sentence}", "    ", "  ")]
    if answer.explanation:
        lines += _reasons(answer.explanation)
    return "\n".join(lines)


def _unlike(unlike: Unlike) -> str:
    beyond = "all of them" if unlike.percentile >= 100 else f"{unlike.percentile} % of them"
    parts = ", ".join(
        f"{feature} {abs(value):.1f} deviations {'above' if value > 0 else 'below'}"
        for feature, value in unlike.farthest
    )
    return (
        f"UNLIKE the songs that were trained on, so that little is to be made of this: farther out "
        f"than {beyond} (distance {unlike.distance:.1f}, called so from {unlike.limit:.1f} on); "
        f"{parts}"
    )


def _reasons(explanation: Explanation) -> list[str]:
    """Lists features, or bands, that speak for and against the first genre, side by side."""
    parts, genre = explanation.parts, printable(explanation.genre)[:20]
    total = explanation.output - explanation.baseline
    reasons = [part for part in parts if part.value > 0][:_REASONS]
    doubts = [part for part in reversed(parts) if part.value < 0][:_REASONS]
    sides = (
        [f"{printable(part.feature)[:24]:<24} {signed(part.value)}" for part in side]
        for side in (reasons, doubts)
    )
    lines = [f"  {f'for {genre}':<36}against it"]
    for left, right in itertools.zip_longest(*sides, fillvalue=""):
        lines.append(f"    {left:<34}  {right}".rstrip())
    named = sum(part.value for part in (*reasons, *doubts))
    rest = len(parts) - len(reasons) - len(doubts)
    kind = "bands" if explanation.values.ndim == 3 else "features"
    sums = (
        f"{signed(named)} and {signed(total - named)} of {rest} more {kind} make "
        f"{signed(total)}: the log-probability of {genre} is {signed(explanation.output)}, and "
        f"{signed(explanation.baseline)} for a song of average {kind}"
    )
    if abs(explanation.gap) > 0.01:
        sums += f"; the sum is off by {abs(explanation.gap):.2f}"
    return [*lines, *_wrapped(sums, "    ", "    ")]


def _wrapped(text: str, later: str, first: str = "") -> list[str]:
    return textwrap.wrap(printable(text), _WIDTH, initial_indent=first, subsequent_indent=later)


def document(model: TrainedModel, run: str, answers: Iterable[Answer]) -> dict[str, Any]:
    """Returns predictions as one document; docs/predicting.md has its keys."""
    answers, calibration = list(answers), model.calibration
    return {
        "format": FORMAT,
        "model": {
            "run": run,
            "config": model.config.name,
            "data": model.data,
            "is_synthetic": model.data in SAMPLES,
            "protocol": model.protocol,
            "genres": list(model.genres),
            "window_seconds": round(model.front_end.samples / SAMPLE_RATE, 3),
            "calibration": calibration
            and {
                "temperature": calibration.temperature,
                "bins": calibration.bins,
                "doubt": calibration.doubt or None,
                "validation": calibration.validation and calibration.validation._asdict(),
                "test": calibration.test._asdict(),
            },
        },
        "songs": [
            _song(answer.path, answer.prediction, answer.explanation)
            for answer in answers
            if answer.prediction
        ],
        "errors": [{"path": a.path, "error": a.error} for a in answers if not a.prediction],
    }


def _song(path: str, prediction: Prediction, explanation: Explanation | None) -> dict[str, Any]:
    unlike = prediction.unlike
    return {
        "path": path,
        "seconds": _number(prediction.seconds),
        "calibrated": prediction.is_calibrated,
        "genres": [
            {"genre": genre, "probability": _number(probability)}
            for genre, probability in zip(prediction.genres, prediction.probabilities, strict=True)
        ],
        "trained_on": prediction.trained_on,
        "unlike": unlike
        and {
            "is_unlike": unlike.is_unlike,
            "distance": _number(unlike.distance),
            "limit": _number(unlike.limit),
            "percentile": unlike.percentile,
            "farthest": [
                {"feature": feature, "deviations": _number(value)}
                for feature, value in unlike.farthest
            ],
        },
        "notes": list(prediction.notes),
        "windows": [
            {
                "start": _number(start),
                "end": _number(end),
                "probabilities": dict(zip(prediction.genres, map(_number, row), strict=True)),
            }
            for (start, end), row in zip(prediction.times, prediction.by_window, strict=True)
        ],
        "explanation": explanation
        and {
            "genre": explanation.genre,
            "log_probability": _number(explanation.output),
            "baseline": _number(explanation.baseline),
            "gap": _number(explanation.gap),
            "features": [
                {"feature": feature, "nats": _number(value)} for feature, value in explanation.parts
            ],
        },
    }


def _number(value: float) -> float | None:
    """Returns a number to six decimals; None for those that JSON lacks."""
    return round(float(value), 6) if math.isfinite(value) else None
