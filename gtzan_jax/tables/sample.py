"""The embedded sample: a synthetic feature table that stands in where the real one is missing.

No row of it is a track. Each genre is one Gaussian distribution, in transformed features (the
logarithm of those that are always positive), whose mean and covariance are GTZAN's. They are
kept in ``data/genre_statistics.csv``, which ``data/make_genre_statistics.py`` computes. The
sample has the real table's columns, genres, scales and correlations, and about its difficulty,
so every command runs on it. Figures from it say nothing about music.

Its artists are made up, but have as many songs as GTZAN's, and the lists' parts: the sample's
track 12 of a genre stands where GTZAN's track 12 does. Songs of one artist are alike, since the
measured share of a genre's variance (``data/artist_share.csv``) lies between artists. It is one
number for all features, their mean: with a number for each, the covariance could not stay what it
is. Not in the sample: exact repeats, outliers, anything that is not Gaussian.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.resources import resource
from gtzan_jax.tables.lists import ARTIST_FOLDS, read_list, track_of
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


def read_artist_share() -> float:
    """Reads the share of the variance within a genre that lies between artists."""
    with resource("data", "artist_share.csv").open(encoding="utf-8", newline="") as file:
        return float(np.mean([float(row["artist_share"]) for row in csv.DictReader(file)]))


def sample_text() -> str:
    """Returns the sample as the text of a CSV with LF line ends, always the same.

    Six significant digits hide the last-bit differences between machines, and the stream of
    RandomState is frozen, unlike that of NumPy's newer generators.
    """
    random, share = np.random.RandomState(SEED), read_artist_share()
    lines = [",".join(COLUMNS)]
    for statistics in read_statistics():
        names = [f"{statistics.genre}.sample{i:02d}.wav" for i in range(TRACKS_PER_GENRE)]
        noise = _noise(_artists(names), share, len(statistics.mean), random)
        values = statistics.mean + statistics.deviation * (noise @ statistics.factor.T)
        values[:, statistics.log] = np.exp(values[:, statistics.log])
        for name, row in zip(names, values.tolist(), strict=True):
            numbers = ",".join(f"{value:.6g}" for value in row)
            lines.append(f"{name},{LENGTH},{numbers},{statistics.genre}")
    return "\n".join(lines) + "\n"


def _artists(names: list[str]) -> NDArray[np.intp]:
    """Numbers the artists of a genre's tracks: (tracks,). One that no list knows has its own."""
    listed, tracks = read_list(ARTIST_FOLDS), [track_of(name) or name for name in names]
    artists = [str(listed[track].artist) if track in listed else track for track in tracks]
    return np.unique(artists, return_inverse=True)[1]


def _noise(
    artists: NDArray[np.intp], share: float, num_features: int, random: np.random.RandomState
) -> NDArray[np.float64]:
    """Draws (tracks, features) normal numbers of mean 0 and variance 1, alike within an artist.

    z = √s · (aₖ − ā) / √(1 − Σₖ (nₖ/n)²) + √(1 − s) · e, where a is the artist's, e the song's,
    s the share and nₖ the number of the artist's songs, of n. The mean ā over the
    genre's songs is taken off, because the genre's mean is GTZAN's with these artists: what one
    of them has more, the others have less. The root makes up for the variance that this costs.

    Args:
        artists: (tracks,) the number of each track's artist.
        share: of the variance, between artists.
        num_features: independent numbers of each track.
        random: what the draws come from.
    """
    songs = random.standard_normal((len(artists), num_features))
    counts = np.bincount(artists)
    of_artist = random.standard_normal((len(counts), num_features))[artists]
    left = 1 - np.sum((counts / len(artists)) ** 2)
    alike = (of_artist - of_artist.mean(axis=0)) / np.sqrt(left)
    noise: NDArray[np.float64] = np.sqrt(share) * alike + np.sqrt(1 - share) * songs
    return noise


def sample_frame() -> pd.DataFrame:
    """Returns the sample as a DataFrame: 1,000 synthetic tracks, the table's 60 columns."""
    import pandas as pd

    return pd.read_csv(io.StringIO(sample_text()))
