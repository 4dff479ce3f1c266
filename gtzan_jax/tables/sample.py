"""The embedded samples: synthetic feature tables, of songs and of their segments.

Each genre is one Gaussian distribution of transformed features (the logarithm of those that are
always positive) with GTZAN's mean and covariance (``data/genre_statistics.csv``). Its artists have
as many songs as GTZAN's, and the lists' parts. Songs of one artist share the measured part of a
genre's variance (``data/artist_share.csv``), averaged over features, so that the covariance stays.
A song has ten segments, the last song of each genre nine, as in the real table; its features are
the means of its segments', which differ by measured shares (``data/song_share_3_sec.csv``).
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

SEGMENTS_PER_SONG = 10
SEGMENT_LENGTH = 66_149  # audio samples of each segment of the real table
SEGMENT_SEED = 1
_SEGMENT_VARIANCE = 0.88  # *_var features as a share of their song's; measured, 0.76 to 1.0


class GenreStatistics(NamedTuple):
    """One genre's Gaussian distribution of the transformed features."""

    genre: str
    log: NDArray[np.bool_]  # (features,), True for the logarithm of a feature
    mean: NDArray[np.float64]  # (features,)
    deviation: NDArray[np.float64]  # (features,)
    factor: NDArray[np.float64]  # (features, features), lower Cholesky, correlation


def read_statistics() -> list[GenreStatistics]:
    """Reads the shipped statistics of each genre, in alphabetical order."""
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
    """Reads (features,) the shares of the variance of segments within a genre between songs."""
    shares = {row["feature"]: float(row["song_share"]) for row in read_rows("song_share_3_sec")}
    return np.array([shares[feature] for feature in FEATURES])


def sample_text() -> str:
    """Returns the sample as the text of a CSV with LF line ends, always the same.

    Six significant digits hide the last-bit differences between machines, and the stream of
    RandomState is frozen.
    """
    lines = [",".join(COLUMNS)]
    for statistics, names, noise in _songs():
        files = [f"{name}.wav" for name in names]
        lines += _lines(statistics, files, noise @ statistics.factor.T, LENGTH)
    return "\n".join(lines) + "\n"


def segments_text() -> str:
    """Returns the sample of segments as the text of a CSV; see :func:`sample_text`.

    Let a segment be m + e, with the share s of its variance v in m, the song's. The mean of n
    segments has the variance v·(s + (1 − s)/n), which is that of songs, 1; so e has (1 − s)·v.
    """
    random, shares = np.random.RandomState(SEGMENT_SEED), read_song_shares()
    lines = [",".join(COLUMNS)]
    scale = np.sqrt((1 - shares) / (shares + (1 - shares) / SEGMENTS_PER_SONG))
    shift = np.array([np.log(_SEGMENT_VARIANCE) if f.endswith("_var") else 0.0 for f in FEATURES])
    for statistics, names, noise in _songs():
        counts = np.full(len(names), SEGMENTS_PER_SONG)
        counts[-1] -= 1
        files = [f"{name}.{k}.wav" for name, n in zip(names, counts, strict=True) for k in range(n)]
        song = np.repeat(np.arange(len(names)), counts)
        segments = random.standard_normal((len(song), len(FEATURES)))
        sums = np.zeros_like(noise)
        np.add.at(sums, song, segments)
        segments -= (sums / counts[:, np.newaxis])[song]
        values = (noise @ statistics.factor.T)[song] + scale * (segments @ statistics.factor.T)
        values += np.where(statistics.log, shift / statistics.deviation, 0.0)
        lines += _lines(statistics, files, values, SEGMENT_LENGTH)
    return "\n".join(lines) + "\n"


def _songs() -> Iterator[tuple[GenreStatistics, list[str], NDArray[np.float64]]]:
    """Yields each genre with the names of its songs, and their (songs, features) normal numbers."""
    random, listed = np.random.RandomState(SEED), read_list(ARTIST_FOLDS)
    share = read_artist_share()
    for statistics in read_statistics():
        names = [f"{statistics.genre}.sample{i:02d}" for i in range(TRACKS_PER_GENRE)]
        tracks = [track_of(name) or name for name in names]  # unlisted: an artist of its own
        whose = [str(listed[track].artist) if track in listed else track for track in tracks]
        artists = np.unique(whose, return_inverse=True)[1]
        yield statistics, names, _noise(artists, share, len(FEATURES), random)


def _lines(
    statistics: GenreStatistics, files: list[str], noise: NDArray[np.float64], length: int
) -> list[str]:
    """Returns the rows of a genre for correlated normal numbers, (files, features)."""
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

    z = √s · (aₖ − ā) / √(1 − Σₖ (nₖ/n)²) + √(1 − s) · e, where a is the artist's, e the song's, s
    the share and nₖ the number of the artist's songs, of n. Without the mean ā over the genre's
    songs the genre's mean stays GTZAN's; the root restores the variance.
    """
    songs = random.standard_normal((len(artists), num_features))
    counts = np.bincount(artists)
    of_artist = random.standard_normal((len(counts), num_features))[artists]
    left = 1 - np.sum((counts / len(artists)) ** 2)
    alike = (of_artist - of_artist.mean(axis=0)) / np.sqrt(left)
    noise: NDArray[np.float64] = np.sqrt(share) * alike + np.sqrt(1 - share) * songs
    return noise
