"""Fills the tables of docs/protocols.md on three-second chunks, from the synthetic sample.

    python docs/make_chunks.py [TABLE]

The sweep chunks under a leaky division of chunks and under right ones, beside classical models, and
each batch size by itself; some minutes. TABLE is sample3, or kaggle3 or a path where it is at hand.
"""

import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from gtzan_jax import Run, run_sweep
from gtzan_jax.analysis.votes import vote_hits
from gtzan_jax.tables.protocols import folds_of
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import load_table

PAGE = Path(__file__).with_name("protocols.md")
PROTOCOLS = ("leaky_chunks", "assignment", "holdout", "artist_folds")
BATCH_SIZES = (32, 64, 128, 256, 512)
MODELS = {"5-NN": KNeighborsClassifier(5), "SVM (C = 3)": SVC(C=3.0)}


def swept(table: FeatureTable, protocol: str, folder: str, batch_size: int, seed: int = 0) -> Run:
    """Returns the sweep chunks under a protocol at one batch size, without retraining."""
    place = Path(folder, f"{protocol}-{batch_size}-{seed}")
    changes = [f"protocol={protocol}", f"axes.batch_size=[{batch_size}]"]
    return run_sweep("chunks", table, place, overrides=changes, seed=seed, retrain_epochs=0)


def best(run: Run) -> tuple[float, float]:
    """Returns the accuracy of the first config on the test part, by chunk and by song."""
    first = run.results.iloc[0]
    return float(first["test_chunk_accuracy"]), float(first["test_accuracy"])


def classical(table: FeatureTable, protocol: str, model: object) -> tuple[float, float]:
    """Returns a model's accuracy by chunk and by song, on the test rows of all folds together."""
    chunks, songs = [], []
    for fold in folds_of(table, protocol, 0, 5):
        train = np.concatenate([fold.train, fold.validation])
        fitted = make_pipeline(StandardScaler(), model).fit(table.x[train], table.y[train])
        x, y = table.x[fold.test], table.y[fold.test]
        chunks.append(fitted.predict(x) == y)
        songs.append(vote_hits(fitted, x, y, table.songs[fold.test]))
    return float(np.concatenate(chunks).mean()), float(np.concatenate(songs).mean())


def protocols_block(table: FeatureTable, folder: str) -> Iterator[str]:
    """Yields the lines of the table of protocols."""
    heads = [f"{name}, by {unit}" for name in ("our best", *MODELS) for unit in ("chunk", "song")]
    yield "| " + " | ".join(["protocol", *heads]) + " |"
    yield "| --- " * (len(heads) + 1) + "|"
    for protocol in PROTOCOLS:
        figures = best(swept(table, protocol, folder, 128))
        for model in MODELS.values():
            figures += classical(table, protocol, model)
        mark = "**LEAK** " if protocol.startswith("leaky") else ""
        yield "| " + " | ".join([f"{mark}`{protocol}`", *map("{:.3f}".format, figures)]) + " |"


def batches_block(table: FeatureTable, folder: str) -> Iterator[str]:
    """Yields the lines of the table of batch sizes."""
    yield "| batch_size | processor s | best learning rate | test accuracy by chunk | by song |"
    yield "| --- | --- | --- | --- | --- |"
    for size in BATCH_SIZES:
        run = swept(table, "holdout", folder, size)
        started = time.process_time()
        swept(table, "holdout", folder, size, seed=100)  # finds its program compiled
        seconds, rate = time.process_time() - started, run.results["learning_rate"].iloc[0]
        figures = " | ".join(map("{:.3f}".format, best(run)))
        yield f"| {size} | {seconds:.1f} | {rate:g} | {figures} |"


def main() -> None:
    """Rewrites the blocks between the markers."""
    table = load_table(sys.argv[1] if sys.argv[1:] else "sample3")
    blocks = {"chunks": protocols_block, "batches": batches_block}
    with tempfile.TemporaryDirectory() as folder:
        for name, block in blocks.items():
            lines = [f"<!-- {name} -->", table.note() + ".", "", *block(table, folder)]
            filled = "\n".join([*lines, f"<!-- /{name} -->"])
            text = PAGE.read_text(encoding="utf-8")
            pattern = f"<!-- {name} -->.*<!-- /{name} -->"
            PAGE.write_text(
                re.sub(pattern, lambda _, filled=filled: filled, text, flags=re.DOTALL),
                encoding="utf-8",
            )


if __name__ == "__main__":
    main()
