"""Predictions: the class that each trial predicts for each song after its best epoch, in a byte.

If rows are segments, the segments of a song vote.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np

from gtzan_jax.files import write_atomically
from gtzan_jax.rundir.history import History
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.dividing import groups_of
from gtzan_jax.tables.folds import judged_rows
from gtzan_jax.tables.protocols import Splits
from gtzan_jax.text import counted

Part = Literal["validation", "test"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predicted classes after the best epoch, for the rows of a part, all folds side by side."""

    predicted: np.ndarray  # (configs, seeds, tested) uint8, configs in grid order
    fold: np.ndarray  # (tested,) int32, fold of the row
    row: np.ndarray  # (tested,) int32, index in the table; for songs, of the first row in the part
    label: np.ndarray  # (tested,) uint8, true class
    group: np.ndarray  # (tested,) int32, see ``groups_of``

    def __repr__(self) -> str:
        configs, seeds, tested = self.predicted.shape
        sizes = counted(configs, "config"), counted(seeds, "seed"), counted(tested, "tested row")
        return f"Predictions({' × '.join(sizes)})"

    @property
    def correct(self) -> np.ndarray:
        """(configs, seeds, tested) bool, whether the prediction is right."""
        return np.asarray(self.predicted == self.label)


def predictions_of(
    sweep: Sweep, history: History, splits: Splits, part: Part = "test"
) -> Predictions:
    """Returns the predictions for a part, which must not be empty."""
    folds, table = splits.folds, splits.table
    every = history.predicted.reshape(sweep.num_configs, len(folds), -1, splits.sizes.num_judged)
    rows = [judged_rows(table, getattr(fold, part)) for fold in folds]
    tested = []
    for place, fold in enumerate(folds):
        start = 0 if part == "validation" else len(judged_rows(table, fold.validation))
        tested.append(every[:, place, :, start : start + len(rows[place])])
    row = np.concatenate(rows)
    return Predictions(
        predicted=np.concatenate(tested, axis=2),
        fold=np.repeat(np.arange(len(folds)), list(map(len, rows))).astype(np.int32),
        row=row.astype(np.int32),
        label=table.y[row].astype(np.uint8),
        group=groups_of(table)[row].astype(np.int32),
    )


def save_predictions(parts: Mapping[Part, Predictions], path: Path) -> None:
    """Writes the predictions of parts as safetensors."""
    from safetensors.numpy import save

    arrays = {
        _key(part, name): np.ascontiguousarray(array)
        for part, predictions in parts.items()
        for name, array in vars(predictions).items()
    }
    write_atomically(path, save(arrays))


def _key(part: Part, name: str) -> str:
    return name if part == "test" else f"{part}_{name}"


def load_predictions(path: Path, part: Part = "test") -> Predictions:
    """Reads the predictions of a part from a file with a valid checksum."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        names = [field.name for field in fields(Predictions)]
        return Predictions(**{name: file.get_tensor(_key(part, name)) for name in names})
