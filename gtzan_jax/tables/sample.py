"""The embedded sample: a synthetic feature table that stands in where the real one is missing.

No row of it is a track. Each genre is one Gaussian distribution, in transformed features (the
logarithm of those that are always positive), whose mean and covariance are GTZAN's. They are
kept in ``data/genre_statistics.csv``, which ``data/make_genre_statistics.py`` computes. The
sample has the real table's columns, genres, scales and correlations, and about its difficulty,
so every command runs on it. Figures from it say nothing about music. Not in it: exact repeats,
outliers, artists, anything that is not Gaussian.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.resources import resource
from gtzan_jax.tables.schema import COLUMNS, FEATURES

if TYPE_CHECKING:
    import pandas as pd

TRACKS_PER_GENRE = 100
LENGTH = 661_794  # audio samples: 30 s at 22,050 Hz, the real table's commonest
SEED = 0


@dataclass(frozen=True, eq=False)
class GenreStatistics:
    """One genre's Gaussian distribution of the transformed features."""

    genre: str
    log: NDArray[np.bool_]  # (features,), whether it is the logarithm's
    mean: NDArray[np.float64]  # (features,)
    deviation: NDArray[np.float64]  # (features,)
    factor: NDArray[np.float64]  # (features, features), lower Cholesky, correlation

    def __repr__(self) -> str:
        return f"GenreStatistics({self.genre!r}, {len(self.mean)} features)"


def read_statistics() -> list[GenreStatistics]:
    """Reads the shipped statistics, one entry a genre, genres in alphabetical order."""
    with resource("data", "genre_statistics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    statistics = []
    for genre in sorted({row["genre"] for row in rows}):
        mine = {row["feature"]: row for row in rows if row["genre"] == genre}
        ordered = [mine[feature] for feature in FEATURES]
        factor = np.zeros((len(ordered), len(ordered)))
        factor[np.tril_indices(len(ordered))] = [
            float(number) for row in ordered for number in row["factor"].split()
        ]
        statistics.append(
            GenreStatistics(
                genre=genre,
                log=np.array([row["transform"] == "log" for row in ordered]),
                mean=np.array([float(row["mean"]) for row in ordered]),
                deviation=np.array([float(row["deviation"]) for row in ordered]),
                factor=factor,
            )
        )
    return statistics


def sample_text() -> str:
    """Returns the sample as the text of a CSV with LF line ends, always the same.

    Six significant digits hide the last-bit differences between machines, and the stream of
    RandomState is frozen, unlike that of NumPy's newer generators.
    """
    random = np.random.RandomState(SEED)
    lines = [",".join(COLUMNS)]
    for statistics in read_statistics():
        noise = random.standard_normal((TRACKS_PER_GENRE, len(statistics.mean)))
        values = statistics.mean + statistics.deviation * (noise @ statistics.factor.T)
        values[:, statistics.log] = np.exp(values[:, statistics.log])
        for i, row in enumerate(values.tolist()):
            name = f"{statistics.genre}.sample{i:02d}.wav"
            numbers = ",".join(f"{value:.6g}" for value in row)
            lines.append(f"{name},{LENGTH},{numbers},{statistics.genre}")
    return "\n".join(lines) + "\n"


def sample_frame() -> pd.DataFrame:
    """Returns the sample as a DataFrame: 1,000 synthetic tracks, the table's 60 columns."""
    import pandas as pd

    return pd.read_csv(io.StringIO(sample_text()))
