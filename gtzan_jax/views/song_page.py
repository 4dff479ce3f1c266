"""HTML of the demo page: one song, several songs, and their CSV."""

import base64
from collections.abc import Sequence
from typing import Any

from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.views import plots, predictions
from gtzan_jax.views.predictions import Answer
from gtzan_jax.views.text import template

_GENRES, _TAGS = 5, 8  # shown of a song
_INCHES, _DPI = 3.6, 240  # of a figure, legible on a phone


def about(model: TrainedModel, run: str, is_shared: bool = False) -> str:
    """Returns HTML that describes the model and the handling of songs."""
    return _block("about", predictions.described(model, run), is_shared)


def song(model: TrainedModel, answer: Answer) -> tuple[str, str]:
    """Returns HTML of a song: genres, warnings and tags; genres over time and attributions."""
    found = answer.prediction
    if found is None:
        return _block("error", answer), ""
    figure = ""
    if len(found.spans) > 1:
        drawn = plots.over_time([found], model.genres, title="", width=_INCHES)
        figure = _data("image/png", plots.image_of(drawn, dpi=_DPI))
    doubts, why = predictions.warnings(found), answer.explanation
    details = why and _block(
        "details", figure, len(found.spans), why, predictions.sides(why), predictions.sums(why)
    )
    genres = _block("genres", answer, predictions.extent(found), doubts, _GENRES, _TAGS)
    return genres, details or ""


def table(model: TrainedModel, answers: Sequence[Answer]) -> str:
    """Returns HTML of a table of songs, with a link to its CSV."""
    doubts = [predictions.warnings(a.prediction) if a.prediction else [] for a in answers]
    link = _data("text/csv", csv(model, answers).encode())
    return _block("table", answers, doubts, link)


def csv(model: TrainedModel, answers: Sequence[Answer]) -> str:
    """Returns the CSV of songs, a row each, with the probability of every genre."""
    import pandas as pd

    rows = []
    for answer in answers:
        found = answer.prediction
        row: dict[str, Any] = {"filename": answer.path, "genre": found and found.genres[0]}
        chances = dict(zip(found.genres, found.probabilities, strict=True)) if found else {}
        row |= {f"probability_{genre}": chances.get(genre) for genre in model.genres}
        if found:
            row |= {
                "calibrated": found.is_calibrated,
                "trained_on": found.trained_on,
                "unlike": found.unlike and found.unlike.is_unlike,
                "notes": "; ".join(predictions.warnings(found)),
            }
        rows.append(row | {"error": answer.error})
    text: str = pd.DataFrame(rows).to_csv(index=False, float_format="%.6f", lineterminator="\n")
    return text


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _block(name: str, *values: Any) -> str:
    """Returns a part of the page, a macro of the template."""
    macro = getattr(template("song.html.j2").module, name)
    return str(macro(*values)).replace(" %", "\N{NO-BREAK SPACE}%")
