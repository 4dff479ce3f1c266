"""Fills the tables of docs/protocols.md on three-second segments, from the synthetic sample.

    python docs/make_chunks.py [TABLE]

The sweep segments under a leaky and under right protocols, beside classical models, and
each batch size by itself; some minutes. TABLE is sample3, or kaggle3 or a path where it is at hand.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pages import fill
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from gtzan_jax import Run, run_sweep
from gtzan_jax.analysis.classical import vote_hits
from gtzan_jax.tables.protocols import make_splits
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import load_table
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("protocols.md")
PROTOCOLS = ("leaky_segments", "assignment", "holdout", "artist_folds")
BATCH_SIZES = (32, 64, 128, 256, 512)
MODELS = {"5-NN": KNeighborsClassifier(5), "SVM (C = 3)": SVC(C=3.0)}


def swept(table: FeatureTable, protocol: str, folder: str, batch_size: int, seed: int = 0) -> Run:
    """Returns the sweep chunks under a protocol at one batch size, without retraining."""
    place = Path(folder, f"{protocol}-{batch_size}-{seed}")
    changes = [f"protocol={protocol}", f"axes.batch_size=[{batch_size}]"]
    return run_sweep("segments", table, place, overrides=changes, seed=seed, retrain_epochs=0)


def best(run: Run) -> tuple[float, float]:
    """Returns the accuracy of the first config on the test part, by segment and by song."""
    first = run.results.iloc[0]
    return float(first["test_segment_accuracy"]), float(first["test_accuracy"])


def classical(table: FeatureTable, protocol: str, model: object) -> tuple[float, float]:
    """Returns a model's accuracy by segment and by song, on the test rows of all folds together."""
    segments, songs = [], []
    for fold in make_splits(table, protocol, 0, 5).folds:
        train = np.concatenate([fold.train, fold.validation])
        fitted = make_pipeline(StandardScaler(), model).fit(table.x[train], table.y[train])
        x, y = table.x[fold.test], table.y[fold.test]
        segments.append(fitted.predict(x) == y)
        songs.append(vote_hits(fitted, x, y, table.songs[fold.test]))
    return float(np.concatenate(segments).mean()), float(np.concatenate(songs).mean())


def protocols_table(table: FeatureTable, folder: str) -> Table:
    """Returns accuracies by protocol."""
    heads = [f"{name}, by {unit}" for name in ("our best", *MODELS) for unit in ("segment", "song")]
    rows = []
    for protocol in PROTOCOLS:
        figures = best(swept(table, protocol, folder, 128))
        for model in MODELS.values():
            figures += classical(table, protocol, model)
        mark = "**LEAK** " if protocol.startswith("leaky") else ""
        rows.append([f"{mark}`{protocol}`", *map("{:.3f}".format, figures)])
    return Table(("protocol", *heads), rows)


def batches_table(table: FeatureTable, folder: str) -> Table:
    """Returns seconds and accuracies by batch size."""
    rows = []
    for size in BATCH_SIZES:
        run = swept(table, "holdout", folder, size)
        started = time.process_time()
        swept(table, "holdout", folder, size, seed=100)  # finds its program compiled
        seconds, rate = time.process_time() - started, run.results["learning_rate"].iloc[0]
        figures = map("{:.3f}".format, best(run))
        rows.append([str(size), f"{seconds:.1f}", f"{rate:g}", *figures])
    heads = (
        "batch_size",
        "processor s",
        "best learning rate",
        "test accuracy by segment",
        "by song",
    )
    return Table(heads, rows)


def main() -> None:
    """Rewrites the blocks between the markers."""
    table = load_table(sys.argv[1] if sys.argv[1:] else "sample3")
    tables = {"chunks": protocols_table, "batches": batches_table}
    with tempfile.TemporaryDirectory() as folder:
        for name, measured in tables.items():
            fill(PAGE, name, f"{table.note()}.\n\n{measured(table, folder).markdown}")


if __name__ == "__main__":
    main()
