"""Fits a trained model's temperature on its validation part, and measures what errors are left."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.analysis.calibration import BINS, calibration_error, error_of_chance, fit_temperature
from gtzan_jax.models.calibration import FEWEST, Calibration, Held, tempered
from gtzan_jax.models.trained import TrainedModel
from gtzan_jax.tables.folds import Fold, judged_rows
from gtzan_jax.tables.protocols import Division, groups_of

if TYPE_CHECKING:
    import pandas as pd


def calibrated(
    model: TrainedModel, division: Division, fold: Fold
) -> "tuple[TrainedModel, pd.DataFrame]":
    """Measures how far a model's probabilities hold, and adds that to it.

    The network was trained on the train part alone. The validation part chose the config, and the
    epoch where it stops early, so that what is measured there flatters; the test part chose
    neither, and is the estimate, unless the protocol ranks by it.

    Args:
      model: without a calibration.
      division: what it was trained on.
      fold: of it.

    Returns:
      the model, and one row a song of the validation and test part: part, song (a track of it),
      genre, predicted, probability (of the predicted genre), calibrated (likewise, with the
      temperature; NaN without), group (of songs by one artist), and doubt where there were too few
      songs.
    """
    import pandas as pd

    parts = {"validation": fold.validation, "test": fold.test}
    logs = {
        part: np.asarray(model.song_log_probabilities(division.table, rows), np.float64)
        for part, rows in parts.items()
        if len(rows)
    }
    judged = {part: judged_rows(division.table, parts[part]) for part in logs}
    temperature = None
    if "validation" in logs:
        y = division.table.y[judged["validation"]]
        temperature = fit_temperature(logs["validation"], y)
        if len(y) < FEWEST:
            temperature = max(1.0, temperature)
    frames = {
        part: _songs(model, division, judged[part], found, temperature)
        for part, found in logs.items()
    }
    songs = pd.concat(frames.values(), keys=frames.keys(), names=["part"])
    songs = songs.reset_index("part").reset_index(drop=True).assign(**division.marks)
    held = _held(frames)
    calibration = Calibration(
        temperature=temperature, bins=BINS, validation=held.get("validation"), test=held["test"]
    )
    if calibration.doubt:
        songs["doubt"] = calibration.doubt
    return dataclasses.replace(model, calibration=calibration), songs


def _songs(
    model: TrainedModel,
    division: Division,
    rows: np.ndarray,
    logs: np.ndarray,
    temperature: float | None,
) -> "pd.DataFrame":
    """Returns one row a song; rows: its first in the table, logs: (songs, genres)."""
    import pandas as pd

    first, table, genres = logs.argmax(axis=1), division.table, np.array(model.genres)
    places = np.arange(len(rows))
    after = np.nan if temperature is None else np.exp(tempered(logs, temperature)[places, first])
    return pd.DataFrame(
        {
            "song": [table.tracks[row] for row in rows],
            "genre": genres[table.y[rows]],
            "predicted": genres[first],
            "probability": np.exp(logs[places, first]),
            "calibrated": after,
            "group": groups_of(table)[rows],
        }
    )


def _held(songs: "Mapping[str, pd.DataFrame]") -> dict[str, Held]:
    """Returns how far probabilities hold on each part."""
    held = {}
    for part, frame in songs.items():
        right = (frame["genre"] == frame["predicted"]).to_numpy()
        shown = frame["probability"].to_numpy()
        error, after = calibration_error(shown, right), None
        if frame["calibrated"].notna().all():
            shown = frame["calibrated"].to_numpy()
            after = calibration_error(shown, right)
        chance = error_of_chance(shown, right, frame["group"].to_numpy())
        held[part] = Held(len(frame), float(right.mean()), error, after, *chance)
    return held
