"""Fills the table of docs/protocols.md that tells artists from what else folds differ in.

    python docs/make_protocols.py data/features_30_sec.csv

An SVM on the tracks of artist_folds, divided in three ways; about a minute.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pages import fill
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from gtzan_jax.tables.protocols import folds_of, groups_of
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import KAGGLE_SHA256, load_table
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("protocols.md")
SEEDS = range(10)
PENALTY = 3.0

Part = tuple[np.ndarray, np.ndarray]  # rows to train on, rows to test


def of_protocol(table: FeatureTable, name: str, seed: int) -> list[Part]:
    """Returns the folds of a protocol, the validation part with the train part."""
    folds = folds_of(table, name, seed, 3)
    return [(np.concatenate([fold.train, fold.validation]), fold.test) for fold in folds]


def artists_at_random(table: FeatureTable, seed: int) -> list[Part]:
    """Returns three random stratified folds of the same tracks that share no artist."""
    rows = np.sort(np.concatenate([test for _, test in of_protocol(table, "artist_folds", 0)]))
    splitter = StratifiedGroupKFold(3, shuffle=True, random_state=seed)
    parts = splitter.split(rows, table.y[rows], groups_of(table)[rows])
    return [(rows[train], rows[test]) for train, test in parts]


def right(table: FeatureTable, parts: Iterable[Part]) -> np.ndarray:
    """Returns (rows,) whether each row is told right; NaN where it is not tested."""
    found = np.full(len(table.y), np.nan)
    for train, test in parts:
        model = make_pipeline(StandardScaler(), SVC(C=PENALTY))
        predicted = model.fit(table.x[train], table.y[train]).predict(table.x[test])
        found[test] = predicted == table.y[test]
    return found


def accuracies(table: FeatureTable) -> Table:
    """Returns the accuracy by way of dividing and by how many songs an artist has."""
    tested = np.concatenate([test for _, test in of_protocol(table, "artist_folds", 0)])
    groups = groups_of(table)[tested]
    songs = np.bincount(groups)[groups]  # of each tested row's artist
    columns = {
        "all tracks": tested,
        "by artists with one": tested[songs == 1],
        "by artists with six or more": tested[songs > 5],
    }
    ways = {
        "at random (`mixed_artists`)": [of_protocol(table, "mixed_artists", s) for s in SEEDS],
        "at random, no artist in two": [artists_at_random(table, seed) for seed in SEEDS],
        "as published (`artist_folds`)": [of_protocol(table, "artist_folds", 0)],
    }
    counts = [f"{name} ({len(rows)})" for name, rows in columns.items()]
    lines = []
    for way, divisions in ways.items():
        found = np.array([right(table, parts) for parts in divisions])
        lines.append([way, *(f"{found[:, rows].mean():.3f}" for rows in columns.values())])
    return Table(("three folds", *counts), lines)


def main() -> None:
    """Rewrites the block between the markers."""
    table = load_table(sys.argv[1])
    if table.sha256 != KAGGLE_SHA256:
        sys.exit("the page shows the real table, and this is another")
    fill(PAGE, "artists", accuracies(table).markdown)


if __name__ == "__main__":
    main()
