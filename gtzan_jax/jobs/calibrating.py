"""Fits the temperature of a trained model and measures its calibration errors."""

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

    The temperature is fitted on the validation part. That part also chose the config and, with
    early stopping, the epoch, so errors on it are too low. The test part gives the estimate, unless
    the protocol ranks on it.

    Args:
      model: the model.
      splits: the splits of the table.
      fold: the fold that the model was trained on.
      logits: (songs, classes) outputs for the songs of the validation part, then of the test part;
        if rows are segments, the mean log-probabilities of each song.

    Returns:
      the model, and one row for each song of the validation and test part: part, song (one of its
      tracks), genre, predicted, probability (of the predicted genre), calibrated (the same with the
      temperature; NaN without), group (of songs by one artist), and doubt if songs are too few. If
      the table is not of songs, song and genre have the names of its ``words``.
    """
    import pandas as pd

    table, genres, groups = splits.table, np.array(model.genres), groups_of(splits.table)
    words = table.words
    parts = {"validation": fold.validation, "test": fold.test}
    judged = {part: judged_rows(table, rows) for part, rows in parts.items() if len(rows)}
    ends = np.cumsum([len(rows) for rows in judged.values()])
    logs = dict(zip(judged, np.split(tempered(logits[: ends[-1]], 1.0), ends[:-1]), strict=True))
    temperature = None
    if "validation" in logs:
        temperature = fit_temperature(logs["validation"], table.y[judged["validation"]])
        if len(judged["validation"]) < FEWEST:
            temperature = max(1.0, temperature)
    held, frames = {}, []
    for part, found in logs.items():
        rows, first, places = judged[part], found.argmax(axis=1), np.arange(len(found))
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
