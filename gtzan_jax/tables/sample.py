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
each, nine of the last song of each genre, as many rows as the real table of chunks has. A song's
transformed features are the means of its chunks'; how much its chunks differ is measured for each
feature (``data/song_share_3_sec.csv``). The differences are correlated as the genre's songs are.
The *_var features of chunks are smaller by one factor, since a chunk has less time to vary in.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.tables.lists import ARTIST_FOLDS, read_list, read_rows, track_of
from gtzan_jax.tables.schema import COLUMNS, FEATURES

TRACKS_PER_GENRE = 100
LENGTH = 661_794  # audio samples: 30 s at 22,050 Hz, the real table's commonest
SEED = 0

CHUNKS_PER_SONG = 10
CHUNK_LENGTH = 66_149  # audio samples of each chunk of the real table
CHUNK_SEED = 1
_CHUNK_VARIANCE = 0.88
"""The *_var features of chunks as a share of their song's; measured, 0.76 to 1.0 by feature."""


class GenreStatistics(NamedTuple):
    """One genre's Gaussian distribution of the transformed features."""

    genre: str
    log: NDArray[np.bool_]  # (features,), whether it is the logarithm's
    mean: NDArray[np.float64]  # (features,)
    deviation: NDArray[np.float64]  # (features,)
    factor: NDArray[np.float64]  # (features, features), lower Cholesky, correlation


def read_statistics() -> list[GenreStatistics]:
    """Reads the shipped statistics, one entry a genre, genres in alphabetical order."""
    rows, statistics = read_rows("genre_statistics"), []
    for genre in sorted({row["genre"] for row in rows}):
        by_feature = {row["feature"]: row for row in rows if row["genre"] == genre}
        ordered = [by_feature[feature] for feature in FEATURES]
        factor = np.zeros((len(ordered), len(ordered)))
        numbers = " ".join(row["factor"] for row in ordered).split()
        factor[np.tril_indices(len(ordered))] = np.array(numbers, float)
        log = np.array([row["transform"] == "log" for row in ordered])
        mean, deviation = np.array(
            [[float(row[name]) for row in ordered] for name in ("mean", "deviation")]
        )
        statistics.append(GenreStatistics(genre, log, mean, deviation, factor))
    return statistics


def read_artist_share() -> float:
    """Reads the share of the variance within a genre that lies between artists."""
    return float(np.mean([float(row["artist_share"]) for row in read_rows("artist_share")]))


def read_song_shares() -> NDArray[np.float64]:
    """Reads the shares of the variance of chunks within a genre that lie between songs.

    Returns:
        (features,), measured on the chunks of 300 real songs of classical, jazz and rock.
    """
    shares = {row["feature"]: float(row["song_share"]) for row in read_rows("song_share_3_sec")}
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
    """Returns the sample of chunks as the text of a CSV; see :func:`sample_text`.

    Let a chunk be m + e, with the share s of its variance v in m, the song's. The mean of n chunks
    has the variance v·(s + (1 − s)/n), which is that of songs, 1; so e has (1 − s)·v.
    """
    random, lines, shares = (
        np.random.RandomState(CHUNK_SEED),
        [",".join(COLUMNS)],
        read_song_shares(),
    )
    scale = np.sqrt((1 - shares) / (shares + (1 - shares) / CHUNKS_PER_SONG))
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
    random, share, listed = (
        np.random.RandomState(SEED),
        read_artist_share(),
        read_list(ARTIST_FOLDS),
    )
    for statistics in read_statistics():
        names = [f"{statistics.genre}.sample{i:02d}" for i in range(TRACKS_PER_GENRE)]
        tracks = [track_of(name) or name for name in names]  # one that no list knows: an artist
        whose = [str(listed[track].artist) if track in listed else track for track in tracks]
        artists = np.unique(whose, return_inverse=True)[1]
        yield statistics, names, _noise(artists, share, len(FEATURES), random)


def _lines(
    statistics: GenreStatistics, files: list[str], noise: NDArray[np.float64], length: int
) -> list[str]:
    """Returns the rows of a genre: normal numbers with its correlations, (files, features)."""
    values = statistics.mean + statistics.deviation * noise
    values[:, statistics.log] = np.exp(values[:, statistics.log])
    return [
        f"{name},{length},{','.join(f'{value:.6g}' for value in row)},{statistics.genre}"
        for name, row in zip(files, values.tolist(), strict=True)
    ]


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
        random: source of the draws.
    """
    songs = random.standard_normal((len(artists), num_features))
    counts = np.bincount(artists)
    of_artist = random.standard_normal((len(counts), num_features))[artists]
    left = 1 - np.sum((counts / len(artists)) ** 2)
    alike = (of_artist - of_artist.mean(axis=0)) / np.sqrt(left)
    noise: NDArray[np.float64] = np.sqrt(share) * alike + np.sqrt(1 - share) * songs
    return noise
