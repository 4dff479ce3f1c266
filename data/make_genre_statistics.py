"""Compute the statistics of the embedded sample from the real table.

    python data/make_genre_statistics.py features_30_sec.csv

genre_statistics.csv has one row a genre and feature: the transform (log where the feature is
positive in every track of the table, else identity), the mean and deviation of the transformed
feature over the genre's tracks, and the feature's row of the lower Cholesky factor of the genre's
correlation matrix, which ends at the diagonal. A draw is mean + deviation · (factor @ standard
normal). Five significant digits.

artist_share.csv has the share of each transformed feature's variance within a genre that lies
between artists.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gtzan_jax.tables.lists import ARTIST_FOLDS, look_up
from gtzan_jax.tables.schema import FEATURES
from gtzan_jax.tables.sources import read_table
from gtzan_jax.tables.validation import parse_table

STATISTICS = Path(__file__).with_name("genre_statistics.csv")
STATISTICS_HEADER = ("genre", "feature", "transform", "mean", "deviation", "factor")
SHARES = Path(__file__).with_name("artist_share.csv")
SHARES_HEADER = ("feature", "artist_share")


def transformed(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the features, the logarithm of those that are always positive, and their names."""
    values = frame[list(FEATURES)].astype(float)
    log = [column for column in FEATURES if (values[column] > 0).all()]
    values[log] = np.log(values[log])
    return values, log


def statistics_rows(frame: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """Yield the rows of genre_statistics.csv for a valid feature table."""
    values, log = transformed(frame)
    for genre, rows in values.groupby(frame["label"]):
        mean, deviation = rows.mean(), rows.std()
        factor = np.linalg.cholesky(rows.corr().to_numpy())
        for i, feature in enumerate(FEATURES):
            yield (
                str(genre),
                feature,
                "log" if feature in log else "identity",
                f"{mean[feature]:.5g}",
                f"{deviation[feature]:.5g}",
                " ".join(f"{number:.5g}" for number in factor[i, : i + 1]),
            )


def share_rows(frame: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Yield the rows of artist_share.csv for a valid table of GTZAN's tracks."""
    values, _ = transformed(frame)
    values = values / values.groupby(frame["label"]).transform("std")
    listed = look_up(parse_table(frame.to_csv(index=False), "table"), ARTIST_FOLDS)
    known = np.array([entry is not None for entry in listed])
    artists = np.array([entry.artist for entry in listed if entry])
    shares = artist_shares(values[known], frame.loc[known, "label"].to_numpy(), artists)
    yield from ((feature, f"{share:.3f}") for feature, share in shares.items())


def artist_shares(values: pd.DataFrame, genres: np.ndarray, artists: np.ndarray) -> pd.Series:
    """Return each column's share of variance within genres that lies between artists.

    It is the intraclass correlation by the one-way analysis of variance with random effects of
    unequal sizes (Searle, Casella and McCulloch, Variance Components, 1992, chapter 3), the
    sums of squares and degrees of freedom added up over genres. An artist has one genre.

    Args:
        values: (tracks, features), each of about one variance in all genres.
        genres: (tracks,).
        artists: (tracks,).
    """
    of_artist, of_genre = values.groupby(artists), values.groupby(genres)
    sizes = of_artist.transform("size") / of_genre.transform("size")
    between_df = of_artist.ngroups - of_genre.ngroups
    within_df = len(values) - of_artist.ngroups
    centre = of_artist.transform("mean")
    between = ((centre - of_genre.transform("mean")) ** 2).sum() / between_df
    within = ((values - centre) ** 2).sum() / within_df
    songs = (len(values) - sizes.sum()) / between_df  # an artist's, as a mean square weighs them
    variance = (between - within) / songs
    return variance / (variance + within)


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV with LF line ends."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    print(f"wrote {path} ({path.stat().st_size:,} bytes)")


def main() -> None:
    """Write both files beside this script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path, help="the real features_30_sec.csv")
    path = parser.parse_args().table
    read_table(path)  # refuse a table that is not valid
    frame = pd.read_csv(path)
    write(STATISTICS, STATISTICS_HEADER, statistics_rows(frame))
    write(SHARES, SHARES_HEADER, share_rows(frame))


if __name__ == "__main__":
    main()
