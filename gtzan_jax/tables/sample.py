"""The embedded samples: synthetic feature tables that stand in where the real ones are missing.

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

The second sample has the chunks of three seconds that the same songs would be cut into: ten of
each, nine of the last song of each genre, which makes as many rows as the real table of chunks
has. A song's transformed features are the means of its chunks', as they nearly are in the real
tables, and how much its chunks differ is measured for each feature (``data/song_share_3_sec.csv``);
see :func:`_within`. The differences are correlated as the genre's songs are. The *_var features of
chunks are smaller by one factor, since a chunk has less time to vary in. Not in it: that one chunk
follows another, songs of which some are more uniform than others.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
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

CHUNKS_PER_SONG = 10
CHUNK_LENGTH = 66_149  # audio samples of each chunk of the real table
CHUNK_SEED = 1
_CHUNK_VARIANCE = 0.88
"""The *_var features of chunks as a share of their song's; measured, 0.76 to 1.0 by feature."""


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


def read_song_shares() -> NDArray[np.float64]:
    """Reads the shares of the variance of chunks within a genre that lie between songs.

    Returns:
        (features,), measured on the chunks of 300 real songs of classical, jazz and rock.
    """
    with resource("data", "song_share_3_sec.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        shares = {row["feature"]: float(row["song_share"]) for row in rows}
    return np.array([shares[feature] for feature in FEATURES])


def sample_text() -> str:
    """Returns the sample as the text of a CSV with LF line ends, always the same.

    Six significant digits hide the last-bit differences between machines, and the stream of
    RandomState is frozen, unlike that of NumPy's newer generators.
    """
    lines = [",".join(COLUMNS)]
    for statistics, names, noise in _songs():
        files = [f"{name}.wav" for name in names]
        lines += _lines(statistics, files, noise @ statistics.factor.T, LENGTH)
    return "\n".join(lines) + "\n"


def chunks_text() -> str:
    """Returns the sample of chunks as the text of a CSV; see :func:`sample_text`."""
    random, lines = np.random.RandomState(CHUNK_SEED), [",".join(COLUMNS)]
    scale = _within(read_song_shares())
    shift = np.array([np.log(_CHUNK_VARIANCE) if f.endswith("_var") else 0.0 for f in FEATURES])
    for statistics, names, noise in _songs():
        counts = np.full(len(names), CHUNKS_PER_SONG)
        counts[-1] -= 1
        files = [f"{name}.{k}.wav" for name, n in zip(names, counts, strict=True) for k in range(n)]
        song = np.repeat(np.arange(len(names)), counts)
        chunks = random.standard_normal((len(song), len(FEATURES)))
        sums = np.zeros_like(noise)
        np.add.at(sums, song, chunks)
        chunks -= (sums / counts[:, np.newaxis])[song]
        values = (noise @ statistics.factor.T)[song] + scale * (chunks @ statistics.factor.T)
        values += np.where(statistics.log, shift / statistics.deviation, 0.0)
        lines += _lines(statistics, files, values, CHUNK_LENGTH)
    return "\n".join(lines) + "\n"


def _songs() -> Iterator[tuple[GenreStatistics, list[str], NDArray[np.float64]]]:
    """Yields each genre with the names of its songs, and their (songs, features) normal numbers."""
    random, share = np.random.RandomState(SEED), read_artist_share()
    for statistics in read_statistics():
        names = [f"{statistics.genre}.sample{i:02d}" for i in range(TRACKS_PER_GENRE)]
        noise = _noise(_artists(names), share, len(statistics.mean), random)
        yield statistics, names, noise


def _within(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the deviation of a song's chunks around it, in deviations of songs of one genre.

    Let a chunk be m + e, with the share s of its variance v in m, the song's. The mean of n chunks
    has the variance v·(s + (1 − s)/n), which is that of songs, 1; so e has (1 − s)·v.

    Args:
        shares: (features,) s.
    """
    variance = (1 - shares) / (shares + (1 - shares) / CHUNKS_PER_SONG)
    return np.asarray(np.sqrt(variance))


def _lines(
    statistics: GenreStatistics, files: list[str], noise: NDArray[np.float64], length: int
) -> list[str]:
    """Returns the rows of a genre: normal numbers with its correlations, (files, features)."""
    values = statistics.mean + statistics.deviation * noise
    values[:, statistics.log] = np.exp(values[:, statistics.log])
    lines = []
    for name, row in zip(files, values.tolist(), strict=True):
        numbers = ",".join(f"{value:.6g}" for value in row)
        lines.append(f"{name},{length},{numbers},{statistics.genre}")
    return lines


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
