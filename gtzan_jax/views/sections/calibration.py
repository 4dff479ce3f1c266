"""The report's part on the calibration of the saved model."""

from typing import Any

import pandas as pd

from gtzan_jax.errors import InputError
from gtzan_jax.inference.model_files import load_model
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.views.predictions import trust
from gtzan_jax.views.sections.section import Section, code, figure, paragraph
from gtzan_jax.views.text import NOTHING, Table, percent, points


def calibration_part(run: FinishedRun, note: str) -> Section | None:
    """Makes the part on a retrained run; None without calibration.csv. note: the data's source."""
    from gtzan_jax.views import plots

    songs, words = _read(run), run.words
    if songs is None or (calibration := (model := load_model(run.run.path)).calibration) is None:
        return None
    told = [f"{line[0].upper()}{line[1:]}." for line in trust(calibration, model.protocol)]
    if calibration.validation and calibration.temperature:
        told.append(
            "The calibrated validation error is optimistic: the temperature was fitted there."
        )
    told.append("See " + code("docs/sound.md") + ".")
    drawn = figure(
        "reliability",
        plots.reliability(songs, "", note, words),
        "Accuracy of the saved model against its probabilities",
        f"Test {words.units} predicted correctly, by probability. Error: mean distance from the "
        f"diagonal. Lines: two standard errors, of independent {words.units}.",
    )
    rows = []
    for part, held in (("validation", calibration.validation), ("test", calibration.test)):
        if held:
            errors = held.error, held.calibrated_error, held.chance_error, held.chance_limit
            shown = [NOTHING if each is None else points(each, "", 1) for each in errors]
            rows.append([part, str(held.songs), percent(held.accuracy, 1), *shown])
    columns = ("part", words.units, "accuracy", "error", "calibrated", "chance", "95 % limit")
    return Section("Calibration", [paragraph(*told)], [drawn], [Table(columns, rows)])


def _read(run: FinishedRun) -> pd.DataFrame | None:
    """Reads best/calibration.csv; None if it is missing. Raises InputError if it is damaged."""
    path = run.run.best / "calibration.csv"
    if not path.is_file():
        return None
    columns: dict[str, Any] = dict.fromkeys(("part", run.words.label, "predicted"), str)
    columns |= dict.fromkeys(("probability", "calibrated"), float)
    try:
        songs = pd.read_csv(path, usecols=list(columns), dtype=columns)
        if songs.drop(columns="calibrated").isna().any(axis=None):
            raise ValueError("a value is missing")
        if not (
            songs["probability"].between(0, 1) & songs["calibrated"].fillna(0).between(0, 1)
        ).all():
            raise ValueError("a probability is not between 0 and 1")
        if not {"test"} <= set(songs["part"]) <= {"validation", "test"}:
            raise ValueError("it has another part than validation and test, or no test part")
        return songs
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be used: {' '.join(str(error).split())}") from None
