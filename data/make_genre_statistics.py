"""Compute genre_statistics.csv, from which the embedded sample is drawn, from the real table.

    python data/make_genre_statistics.py features_30_sec.csv

One row a genre and feature: the transform (log where the feature is positive in every track of
the table, else identity), the mean and deviation of the transformed feature over the genre's
tracks, and the feature's row of the lower Cholesky factor of the genre's correlation matrix,
which ends at the diagonal. A draw is mean + deviation · (factor @ standard normal). Five
significant digits.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from gtzan_jax.tables.schema import FEATURES
from gtzan_jax.tables.validation import table_from_frame

OUTPUT = Path(__file__).with_name("genre_statistics.csv")
HEADER = ("genre", "feature", "transform", "mean", "deviation", "factor")


def statistics_rows(frame: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """Yield the rows of genre_statistics.csv for a valid feature table."""
    features = list(FEATURES)
    values = frame[features].astype(float)
    log = [column for column in features if (values[column] > 0).all()]
    values[log] = np.log(values[log])
    for genre, rows in values.groupby(frame["label"]):
        mean, deviation = rows.mean(), rows.std()
        factor = np.linalg.cholesky(rows.corr().to_numpy())
        for i, feature in enumerate(features):
            yield (
                str(genre),
                feature,
                "log" if feature in log else "identity",
                f"{mean[feature]:.5g}",
                f"{deviation[feature]:.5g}",
                " ".join(f"{number:.5g}" for number in factor[i, : i + 1]),
            )


def main() -> None:
    """Write genre_statistics.csv beside this script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path, help="the real features_30_sec.csv")
    frame = pd.read_csv(parser.parse_args().table)
    table_from_frame(frame)  # refuse a table that is not valid
    with OUTPUT.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(statistics_rows(frame))
    print(f"wrote {OUTPUT} ({OUTPUT.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
