"""The part of the report on how far the kept model's probabilities hold."""

from typing import Any

import numpy as np
import pandas as pd

from gtzan_jax.analysis.calibration import BINS, calibration_error, error_of_chance
from gtzan_jax.errors import InputError
from gtzan_jax.models.calibration import against_chance
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.rundir.model_files import load_model
from gtzan_jax.views.sections.pictures import Pictures, draw
from gtzan_jax.views.text import NOTHING, Table, percent, points

_COLUMNS = ("part", "song", "genre", "predicted", "probability", "calibrated")
_FEW = 500  # songs, of which chance alone makes an error of points


def calibration_section(run: FinishedRun, note: str, pictures: Pictures) -> dict[str, Any] | None:
    """Returns how far the probabilities hold on either part, and draws it; None if not measured.

    Args:
      run: with a retraining.
      note: the source of the data.
      pictures: gets the figure of the test part.
    """
    from gtzan_jax.views import plots

    songs = _read(run)
    if songs is None:
        return None
    draw(pictures, "reliability", plots.reliability(songs, "", note))
    parts = {str(part): frame for part, frame in songs.groupby("part", sort=False)}
    calibration = load_model(run.run.path).calibration
    stays = bool(calibration and calibration.stays_at_one)
    is_calibrated = bool(songs["calibrated"].notna().all()) and not stays
    test, shown = parts["test"], "calibrated" if is_calibrated else "probability"
    return {
        "is_calibrated": is_calibrated,
        "temperature": calibration and calibration.temperature,
        "stays_at_one": stays,
        "doubt": calibration.doubt if calibration else "",
        "fitted_on": len(parts.get("validation", ())),
        "bins": BINS,
        "table": Table(
            (
                "part", "songs", "right", "mean probability", "error", "error, calibrated",
                "of chance alone",
            ),
            [_row(part, frame, is_calibrated) for part, frame in parts.items()],
        ),
        "error": points(_error(test, "probability"), "", 1),
        "after": points(_error(test, "calibrated"), "", 1) if is_calibrated else NOTHING,
        "chance": against_chance(_error(test, shown), *_chance(test, shown)),
        "has_groups": "group" in songs,
        "by_artist": "group" in songs and not test["group"].is_unique,
        "few": len(test) < _FEW,
        "songs": len(test),
    }  # fmt: skip


def _row(part: str, songs: pd.DataFrame, is_calibrated: bool) -> list[str]:
    shown = "calibrated" if is_calibrated else "probability"
    mean, high = _chance(songs, shown)
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
    """Reads best/calibration.csv; None if it is not there.

    Raises:
      InputError: it is not what a retraining writes.
    """
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
