"""Predictions of songs, as text for a terminal of 80 columns and as JSON."""

import itertools
import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtzan_jax.inference.calibration import FEWEST, Calibration, against_chance
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.inference.prediction import Explanation, Part, Prediction, Unlike
from gtzan_jax.sound.files import SAMPLE_RATE
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.tables.schema import SAMPLES
from gtzan_jax.text import printable
from gtzan_jax.views.text import counted, signed

FORMAT = 1  # of the document; raised when a key is removed or changes its meaning

_WIDTH = 80  # columns
_TOP = 3  # genres of a song
_BAR = 40  # columns of a probability of 1
_REASONS = 5  # attributions on either side
_LONGEST = 60  # characters of a path


@dataclass(frozen=True)
class Answer:
    """Result of a file: a prediction, with an explanation where asked for, or an error."""

    path: str
    prediction: Prediction | None = None
    explanation: Explanation | None = None
    error: str = ""


def head(model: TrainedModel, run: str) -> str:
    """Describes a model and its reliability."""
    return "\n".join(line for text in described(model, run) for line in _wrapped(text, "  "))


def described(model: TrainedModel, run: str) -> list[str]:
    """Describes a model and its reliability, a sentence a line."""
    data = "the SYNTHETIC sample" if model.data in SAMPLES else Path(model.data).name
    protocol = f", protocol {model.protocol}" if model.protocol else ""
    return [
        f"{run}: {model.config.name}",
        f"trained on {data}{protocol}, windows of {model.sound.samples / SAMPLE_RATE:.1f} s",
        *trust(model.calibration, model.protocol),
    ]


def note(model: TrainedModel) -> str:
    """Returns the caption of a figure of predictions."""
    data = "SYNTHETIC sample, not GTZAN" if model.data in SAMPLES else Path(model.data).name
    how = "calibrated" if model.is_calibrated else "uncalibrated"
    return f"{model.config.name}, trained on {printable(data)}; {how} probabilities"


def trust(calibration: Calibration | None, protocol: str) -> list[str]:
    """Describes the accuracy of a model, and the calibration of its probabilities."""
    if calibration is None:
        return ["the calibration of its probabilities was not measured"]
    test, temperature = calibration.test, calibration.temperature
    share = f"{100 * test.accuracy:.0f} %"
    if test.songs < FEWEST:
        share = str(round(test.accuracy * test.songs))
    leak = PROTOCOLS[protocol].leak if protocol in PROTOCOLS else ""
    tested = counted(test.songs, f"test {calibration.unit}")
    error, how = test.error, ""
    if temperature and calibration.validation and not calibration.stays_at_one:
        songs = counted(calibration.validation.songs, f"validation {calibration.unit}")
        error = test.calibrated_error or 0.0
        how = (
            f" (calibrated on {songs}, temperature {temperature:.2f}; {100 * test.error:.1f} "
            "without)"
        )
    elif calibration.stays_at_one:
        how = " (not calibrated)"
    found = f"correct on {share} of {tested}{f' ({leak})' * bool(leak)}"
    found += f"; expected calibration error {100 * error:.1f} points{how}"
    if test.chance_error is not None and test.chance_limit is not None:
        found += f"; {against_chance(error, test.chance_error, test.chance_limit)}"
    none = (
        "not calibrated: the run has no validation part; retrain it with --protocol=holdout or "
        "another protocol that has one"
    )
    return [found, *([none] if temperature is None else []), *filter(None, [calibration.doubt])]


def song(answer: Answer) -> str:
    """Describes a song: its genres, warnings and attributions."""
    prediction = answer.prediction
    if prediction is None:
        return f"{printable(answer.path)}: {printable(answer.error)}"
    path = printable(prediction.path)
    path = path if len(path) <= _LONGEST else f"…{path[-_LONGEST + 1 :]}"
    lines = [path, f"  {extent(prediction)}"]
    shown = [printable(genre)[:20] for genre in prediction.genres[:_TOP]]
    width = max(map(len, shown))
    for genre, probability in zip(shown, prediction.probabilities[:_TOP], strict=True):
        bar = "█" * round(_BAR * float(probability))
        lines.append(f"  {genre:<{width}}  {100 * probability:5.1f} %  {bar}".rstrip())
    for sentence in warnings(prediction):
        lines += _wrapped(f"! {sentence}", "    ", "  ")
    if answer.explanation:
        lines += _reasons(answer.explanation)
    return "\n".join(lines)


def extent(prediction: Prediction) -> str:
    """Describes a song's length and windows, and whether its probabilities are calibrated."""
    minutes, seconds = divmod(int(prediction.seconds), 60)
    length = f"{minutes}:{seconds:02d}" if minutes else f"{prediction.seconds:.1f} s"
    how = "" if prediction.is_calibrated else ", not calibrated"
    return f"{length}, {counted(len(prediction.spans), 'window')}{how}"


def warnings(prediction: Prediction) -> list[str]:
    """Returns the warnings of a prediction."""
    sentences = [*prediction.notes]
    if prediction.trained_on:
        sentences.append(
            "this song was in the training set: its probabilities are no measure for other songs"
        )
    if prediction.unlike and prediction.unlike.is_unlike:
        sentences.append(_unlike(prediction.unlike))
    return sentences


def _unlike(unlike: Unlike) -> str:
    share = "all" if unlike.percentile >= 100 else f"{unlike.percentile} %"
    parts = ", ".join(
        f"{feature} {abs(value):.1f} deviations {'above' if value > 0 else 'below'}"
        for feature, value in unlike.farthest
    )
    farther = (
        f"farther from the nearest training song than {share} of the training songs are from theirs"
    )
    if parts:
        farther = f"farther from the mean of the training songs than {share} of them"
    return (
        f"OUT OF DISTRIBUTION: {farther}; treat with caution (distance {unlike.distance:.1f}, "
        f"limit {unlike.limit:.1f}){parts and f'; {parts}'}"
    )


def _reasons(explanation: Explanation) -> list[str]:
    """Lists attributions for and against the first genre, side by side."""
    genre, empty = printable(explanation.genre)[:20], Part("", math.nan)
    lines = [f"  {f'for {genre}':<36}against it"]
    for pair in itertools.zip_longest(*sides(explanation), fillvalue=empty):
        cells = (f"{printable(p.feature)[:24]:<24} {signed(p.value)}" * (p != empty) for p in pair)
        lines.append("    {:<34}  {}".format(*cells).rstrip())
    return [*lines, *_wrapped(sums(explanation), "    ", "    ")]


def sides(explanation: Explanation) -> tuple[list[Part], list[Part]]:
    """Returns the largest attributions for and against the first genre.

    ``less`` precedes a tag that the song has less of than the average song.
    """
    less = explanation.less
    parts = [Part(f"less {name}" if name in less else name, v) for name, v in explanation.parts]
    return (
        [part for part in parts if part.value > 0][:_REASONS],
        [part for part in reversed(parts) if part.value < 0][:_REASONS],
    )


def sums(explanation: Explanation) -> str:
    """Describes the sum of the listed attributions and of the others."""
    listed, genre = [*itertools.chain(*sides(explanation))], printable(explanation.genre)[:20]
    total, named = explanation.output - explanation.baseline, sum(part.value for part in listed)
    kind, rest = "band" if explanation.values.ndim == 3 else "feature", explanation.rest
    others = signed(total - named - (rest or 0.0))
    left = counted(len(explanation.parts) - len(listed), f"other {kind if rest is None else 'tag'}")
    unexplained = "" if rest is None else f", {signed(rest)} explained by no tag"
    sentence = (
        f"{signed(named)} listed, {others} from {left}{unexplained}: {signed(total)} nats in all; "
        f"log-probability of {genre} {signed(explanation.output)}, "
        f"{signed(explanation.baseline)} for a song of average {kind}s"
    )
    if abs(explanation.gap) > 0.01:
        sentence += f"; the sum is off by {abs(explanation.gap):.2f}"
    return sentence


def _wrapped(text: str, later: str, first: str = "") -> list[str]:
    return textwrap.wrap(printable(text), _WIDTH, initial_indent=first, subsequent_indent=later)


def document(model: TrainedModel, run: str, answers: Iterable[Answer]) -> dict[str, Any]:
    """Returns predictions for JSON; docs/sound.md lists the keys."""
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
            "window_seconds": round(model.sound.samples / SAMPLE_RATE, 3),
            "calibration": calibration
            and {
                "temperature": calibration.temperature,
                "bins": calibration.bins,
                "doubt": calibration.doubt or None,
                "validation": calibration.validation and calibration.validation._asdict(),
                "test": calibration.test._asdict(),
            },
        },
        "songs": [_rounded(_song(a.prediction, a.explanation)) for a in answers if a.prediction],
        "errors": [{"path": a.path, "error": a.error} for a in answers if not a.prediction],
    }


def _song(prediction: Prediction, explanation: Explanation | None) -> dict[str, Any]:
    unlike, genres = prediction.unlike, prediction.genres
    probabilities = zip(genres, prediction.probabilities, strict=True)
    windows = zip(prediction.times, prediction.by_window, strict=True)
    return {
        "path": prediction.path,
        "seconds": prediction.seconds,
        "calibrated": prediction.is_calibrated,
        "genres": [{"genre": genre, "probability": p} for genre, p in probabilities],
        "trained_on": prediction.trained_on,
        "unlike": unlike
        and {
            "is_unlike": unlike.is_unlike,
            "distance": unlike.distance,
            "limit": unlike.limit,
            "percentile": unlike.percentile,
            "farthest": [{"feature": name, "deviations": v} for name, v in unlike.farthest],
        },
        "notes": list(prediction.notes),
        "windows": [
            {"start": start, "end": end, "probabilities": dict(zip(genres, row, strict=True))}
            for (start, end), row in windows
        ],
        "explanation": explanation
        and {
            "genre": explanation.genre,
            "log_probability": explanation.output,
            "baseline": explanation.baseline,
            "gap": explanation.gap,
            "features": [{"feature": name, "nats": value} for name, value in explanation.parts],
            **({"less": sorted(explanation.less)} if explanation.less else {}),
            **({} if explanation.rest is None else {"rest": explanation.rest}),
        },
    }


def _rounded(value: Any) -> Any:
    """Rounds all floats to six decimals; infinity and NaN, which JSON lacks, become None."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    if isinstance(value, float):  # NumPy's float64 is one
        return round(float(value), 6) if math.isfinite(value) else None
    return value
