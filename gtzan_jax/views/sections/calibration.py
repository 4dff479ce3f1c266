"""The report's part on the calibration of the kept model."""

import numpy as np
import pandas as pd

from gtzan_jax.analysis.calibration import BINS, calibration_error, error_of_chance
from gtzan_jax.errors import InputError
from gtzan_jax.inference.calibration import against_chance
from gtzan_jax.inference.model_files import load_model
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.text import command_line
from gtzan_jax.views.sections.section import Section, code, figure, paragraph, strong
from gtzan_jax.views.text import NOTHING, Table, percent, points

_COLUMNS = ("part", "song", "genre", "predicted", "probability", "calibrated")
_FEW = 500  # songs below which chance alone makes an error of points


def calibration_part(run: FinishedRun, note: str) -> Section | None:
    """Makes the part on a retrained run; None without calibration.csv. note: the data's source."""
    from gtzan_jax.views import plots

    songs = _read(run)
    if songs is None:
        return None
    parts = {str(part): frame for part, frame in songs.groupby("part", sort=False)}
    calibration, test = load_model(run.run.path).calibration, parts["test"]
    stays = bool(calibration and calibration.stays_at_one)
    is_calibrated = bool(songs["calibrated"].notna().all()) and not stays
    shown = "calibrated" if is_calibrated else "probability"
    before, after = (points(_error(test, column), "", 1) for column in ("probability", shown))
    meaning = (
        "what the probability of the first genre and the share of songs that are of it differ by, "
        f"in {BINS} equally wide bins, each as often as it has songs."
    )
    error = " is the expected calibration error of the kept model on the test part"
    if is_calibrated and calibration and calibration.temperature:
        found = [
            strong(f"{after} points")
            + f"{error}, calibrated, and {before} as the network says: {meaning}",
            "Calibrated means that log-probabilities are divided by "
            f"{calibration.temperature:.2f}, the temperature of the least loss on the "
            f"{len(parts.get('validation', ()))} songs of the validation part, which the network "
            "was not trained on. It changes no prediction. The error on the validation part itself "
            "flatters, since the temperature was fitted there.",
        ]
    else:
        found = [strong(f"{before} points") + f"{error}: {meaning}"]
        retrain = command_line("retrain", [f"--workdir={run.run.path}", "--protocol=holdout"])
        why = "It is not calibrated, since the protocol has no validation part to fit a temperature"
        found.append(
            "It is not calibrated." if stays else f"{why} on: " + code(retrain) + " has one."
        )
    text = [paragraph(*found)]
    if calibration and calibration.doubt:
        text.append(paragraph(strong(calibration.doubt.capitalize()) + "."))
    few = (
        f"{len(test)} songs are few: bins with less than ten say next to nothing, and the error is "
        "a sum of absolute differences, so that chance alone makes one."
    )
    chance = against_chance(_error(test, shown), *_chance(test, shown))
    draws = "The draws count songs as independent, since "
    if "group" not in songs:
        draws += (
            "the run was written before artists were recorded; where artists have several songs, "
            "chance makes more."
        )
    elif test["group"].is_unique:
        draws += "no two of them are known to be of one artist."
    else:
        draws = "The draws keep songs of one artist as alike as they are here."
    text.append(
        paragraph(
            few if len(test) < _FEW else "",
            f"If {'the calibrated' if is_calibrated else 'these'} probabilities were exact, "
            f"{chance}. The last column has both figures of either part.",
            draws,
        )
    )
    drawn = figure(
        "reliability",
        plots.reliability(songs, "", note),
        "How often the kept model is right against how sure it is",
        "Test songs that are of the first genre, by its probability; lines: two standard errors of "
        "independent songs; hollow: fewer than ten songs.",
    )
    columns = (
        "part", "songs", "right", "mean probability", "error", "error, calibrated",
        "of chance alone",
    )  # fmt: skip
    table = Table(columns, [_row(part, frame, is_calibrated) for part, frame in parts.items()])
    return Section("Are its probabilities calibrated?", text, [drawn], [table])


def _row(part: str, songs: pd.DataFrame, is_calibrated: bool) -> list[str]:
    mean, high = _chance(songs, "calibrated" if is_calibrated else "probability")
    return [
        part,
        str(len(songs)),
        percent(_right(songs).mean(), 1),
        percent(songs["probability"].mean(), 1),
        points(_error(songs, "probability"), "", 1),
        points(_error(songs, "calibrated"), "", 1) if is_calibrated else NOTHING,
        f"{points(mean, '', 1)}, up to {points(high, '', 1)}",
    ]


def _right(songs: pd.DataFrame) -> np.ndarray:
    return (songs["genre"] == songs["predicted"]).to_numpy()


def _error(songs: pd.DataFrame, column: str) -> float:
    return calibration_error(songs[column].to_numpy(), _right(songs))


def _chance(songs: pd.DataFrame, column: str) -> tuple[float, float]:
    group = songs["group"].factorize()[0] if "group" in songs else np.arange(len(songs))
    return error_of_chance(songs[column].to_numpy(), _right(songs), group)


def _read(run: FinishedRun) -> pd.DataFrame | None:
    """Reads best/calibration.csv; None if it is missing. Raises InputError if it is damaged."""
    path = run.run.best / "calibration.csv"
    if not path.is_file():
        return None
    try:
        songs = pd.read_csv(path, dtype=dict.fromkeys([*_COLUMNS[:4], "group"], str))
        sure = songs.loc[:, ["probability", "calibrated"]].astype(np.float64)
        needed = [*_COLUMNS[:5], *songs.columns.intersection(["group"])]
        whole = not songs.loc[:, needed].isna().to_numpy().any()
        inside = sure.fillna(0.5).to_numpy()
        if not whole or not ((inside >= 0) & (inside <= 1)).all():
            raise ValueError("a value is missing, or a probability is not between 0 and 1")
        if "test" not in set(songs["part"]) or not set(songs["part"]) <= {"validation", "test"}:
            raise ValueError("it has another part than validation and test, or no test part")
        return songs
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be used: {' '.join(str(error).split())}") from None
