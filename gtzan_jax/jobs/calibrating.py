"""Fits a model's temperature on the validation part, and measures calibration errors."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.analysis.calibration import BINS, calibration_error, error_of_chance, fit_temperature
from gtzan_jax.inference.calibration import FEWEST, Calibration, Held, tempered
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.tables.dividing import groups_of
from gtzan_jax.tables.folds import Fold, judged_rows
from gtzan_jax.tables.protocols import Splits

if TYPE_CHECKING:
    import pandas as pd


def calibrated(
    model: TrainedModel, splits: Splits, fold: Fold, logits: np.ndarray
) -> "tuple[TrainedModel, pd.DataFrame]":
    """Measures the calibration of a model on a fold, and adds it to the model.

    ``logits`` is (songs, classes), of the validation part, then of the test part; mean
    log-probabilities for a song's segments. The config, and with early stopping the epoch, were
    selected on the validation part: errors on it are too low. The test part gives the estimate,
    unless the protocol ranks by it.

    Returns:
      the model, and one row a song of the validation and test part: part, song (a track of it),
      genre, predicted, probability (of the predicted genre), calibrated (the same with the
      temperature; NaN without), group (of songs by one artist), and doubt if there are too few.
      Song and genre are row and class for other tables, as in ``table.words``.
    """
    import pandas as pd

    table, genres, groups = splits.table, np.array(model.genres), groups_of(splits.table)
    words = table.words
    parts = {"validation": fold.validation, "test": fold.test}
    units = {part: judged_rows(table, rows) for part, rows in parts.items() if len(rows)}
    ends = np.cumsum([len(rows) for rows in units.values()])
    logs = dict(zip(units, np.split(tempered(logits[: ends[-1]], 1.0), ends[:-1]), strict=True))
    temperature = None
    if "validation" in logs:
        temperature = fit_temperature(logs["validation"], table.y[units["validation"]])
        if len(units["validation"]) < FEWEST:
            temperature = max(1.0, temperature)
    held, frames = {}, []
    for part, found in logs.items():
        rows, first, places = units[part], found.argmax(axis=1), np.arange(len(found))
        right, after = table.y[rows] == first, None
        shown = before = np.exp(found[places, first])
        if temperature is not None:
            shown = after = np.exp(tempered(found, temperature)[places, first])
        held[part] = Held(
            len(rows),
            float(right.mean()),
            calibration_error(before, right),
            None if after is None else calibration_error(after, right),
            *error_of_chance(shown, right, groups[rows]),
        )
        names = [table.tracks[row] for row in rows]
        frame = pd.DataFrame({"part": part, words.unit: names, words.label: genres[table.y[rows]]})
        frames.append(
            frame.assign(
                predicted=genres[first],
                probability=before,
                calibrated=np.nan if after is None else after,
                group=groups[rows],
            )
        )
    songs = pd.concat(frames, ignore_index=True).assign(**splits.marks)
    calibration = Calibration(
        temperature=temperature,
        bins=BINS,
        validation=held.get("validation"),
        test=held["test"],
        unit="song" if table.is_of_songs else "row",
    )
    if calibration.doubt:
        songs["doubt"] = calibration.doubt
    return dataclasses.replace(model, calibration=calibration), songs
