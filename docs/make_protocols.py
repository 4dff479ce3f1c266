"""Fills the tables of docs/protocols.md that tell artists from what else folds differ in.

    python docs/make_protocols.py data/features_30_sec.csv

Classical models on the tracks of artist_folds, divided in three ways; some minutes.
"""

import math
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pages import fill
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from gtzan_jax.tables.dividing import groups_of
from gtzan_jax.tables.folds import Fold
from gtzan_jax.tables.protocols import PROTOCOLS, make_splits
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import KAGGLE_SHA256, load_table
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("protocols.md")
README = PAGE.parent.parent / "README.md"
DIVISIONS = 10
RESAMPLES = 10_000
WAYS = {
    "at random (`mixed_artists`)": "mixed_artists",
    "at random, no artist in two (`artist_kfold`)": "artist_kfold",
    "as published (`artist_folds`)": "artist_folds",
}


def models(seed: int) -> dict[str, Any]:
    """Returns the models, with ordinary settings."""
    found = {
        "SVM (RBF, C = 3)": SVC(C=3.0),
        "scikit-learn MLP": MLPClassifier((128, 128, 64), max_iter=40, random_state=seed),
        "logistic regression": LogisticRegression(C=0.3, max_iter=1000),
        "extra trees": ExtraTreesClassifier(200, random_state=seed),
        "LDA": LinearDiscriminantAnalysis(),
    }
    return {name: make_pipeline(StandardScaler(), model) for name, model in found.items()}


def divisions(table: FeatureTable, protocol: str) -> Iterator[tuple[int, list[Fold]]]:
    """Yields divisions into three folds, each with a seed; the published one again and again."""
    apart = PROTOCOLS[protocol].num_divisions
    for seed in range(DIVISIONS):
        folds = make_splits(table, protocol, seed // apart, 3).folds
        yield seed, folds[3 * (seed % apart) :][:3]


def right(table: FeatureTable, protocol: str, name: str) -> np.ndarray:
    """Returns (divisions, rows) whether each row is told right; NaN where it is not tested."""
    found = np.full((DIVISIONS, len(table.y)), np.nan)
    for seed, folds in divisions(table, protocol):
        for fold in folds:
            rows = np.concatenate([fold.train, fold.validation])
            model = models(seed)[name].fit(table.x[rows], table.y[rows])
            found[seed, fold.test] = model.predict(table.x[fold.test]) == table.y[fold.test]
    return found


def accuracies(songs: np.ndarray, found: dict[str, np.ndarray]) -> Table:
    """Returns an SVM's accuracy by way of dividing and by how many songs an artist has.

    Args:
      songs: (tested,) of each row's artist.
      found: (divisions, tested) by protocol.
    """
    columns = {
        "all tracks": songs > 0,
        "by artists with one": songs == 1,
        "by artists with six or more": songs > 5,
    }
    counts = [f"{name} ({chosen.sum()})" for name, chosen in columns.items()]
    lines = []
    for way, protocol in WAYS.items():
        hits = found[protocol]
        means = hits.mean(axis=1)
        span = f"{means.min():.3f} to {means.max():.3f}" if protocol != "artist_folds" else "–"
        cells = [f"{hits[:, chosen].mean():.3f}" for chosen in columns.values()]
        lines.append([way, *cells, span])
    return Table(("three folds", *counts, f"least to most of {DIVISIONS} divisions"), lines)


def shares(group: np.ndarray, found: dict[str, dict[str, np.ndarray]]) -> tuple[Table, str]:
    """Returns the share of the gap that artists explain, by model, and a line on it.

    Artists are resampled for the intervals; fits are held fixed.

    Args:
      group: (tested,) number of each row's artist.
      found: (divisions, tested) by model and protocol.
    """
    random = np.random.default_rng(0)
    number, size = np.unique(group, return_inverse=True)[1], group.max() + 1
    weights = random.multinomial(size, np.full(size, 1 / size), RESAMPLES)[:, number]
    lines, all_shares = [], []
    for name, of_model in found.items():
        hits = np.stack([of_model[protocol].mean(axis=0) for protocol in WAYS.values()])
        mixed, apart, published = hits.mean(axis=1)
        draws = (weights @ hits.T / weights.sum(axis=1, keepdims=True)).T
        share = (mixed - apart) / (mixed - published)
        low, high = np.percentile((draws[0] - draws[1]) / (draws[0] - draws[2]), (2.5, 97.5))
        all_shares.append(share)
        cells = [f"{figure:.3f}" for figure in (mixed, apart, published)]
        lines.append([name, *cells, f"{share:.2f} ({low:.2f} to {high:.2f})"])
    heads = (*WAYS.values(), "share of the gap that artists explain, 95 % interval")
    low, high = 5 * math.floor(20 * min(all_shares)), 5 * math.ceil(20 * max(all_shares))
    return Table(("model", *heads), lines), (
        f"Known artists explain about {low} to {high} % of the gap between `mixed_artists` and "
        "`artist_folds`, by model."
    )


def main() -> None:
    """Rewrites the blocks between the markers."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    table = load_table(sys.argv[1])
    if table.sha256 != KAGGLE_SHA256:
        sys.exit("the page shows the real table, and this is another")
    tested = np.sort(
        np.concatenate([f.test for f in make_splits(table, "artist_folds", 0, 3).folds])
    )
    group = np.unique(groups_of(table)[tested], return_inverse=True)[1]
    found = {
        name: {protocol: right(table, protocol, name)[:, tested] for protocol in WAYS.values()}
        for name in models(0)
    }
    fill(
        PAGE, "artists", accuracies(np.bincount(group)[group], next(iter(found.values()))).markdown
    )
    of_models, line = shares(group, found)
    fill(PAGE, "shares", f"{line}\n\n{of_models.markdown}")
    fill(README, "shares", f"{line} [docs/protocols.md](docs/protocols.md) says what else may.")


if __name__ == "__main__":
    main()
