"""Predictions: the class of every song of a part by every trial after its best epoch, a byte each.

The rows of a song vote.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gtzan_jax.errors import InputError
from gtzan_jax.files import write_atomically
from gtzan_jax.rundir.history import History
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import judged_rows
from gtzan_jax.tables.protocols import Splits, groups_of
from gtzan_jax.text import counted

Part = Literal["validation", "test"]

_KINDS = {
    "predicted": np.uint8,
    "fold": np.int32,
    "row": np.int32,
    "label": np.uint8,
    "group": np.int32,
}


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predicted classes after the best epoch; a part's rows of all folds, side by side."""

    predicted: np.ndarray  # (configs, seeds, tested) uint8, configs in grid order
    fold: np.ndarray  # (tested,) int32, the fold whose part has the row
    row: np.ndarray  # (tested,) int32, its place in the table; of a song the first in the part
    label: np.ndarray  # (tested,) uint8, its true class
    group: np.ndarray  # (tested,) int32, of rows that are alike; see ``groups_of``

    def __repr__(self) -> str:
        configs, seeds, tested = self.predicted.shape
        sizes = counted(configs, "config"), counted(seeds, "seed"), counted(tested, "tested row")
        return f"Predictions({' × '.join(sizes)})"

    @property
    def correct(self) -> np.ndarray:
        """(configs, seeds, tested) bool, whether the class is the true one."""
        return np.asarray(self.predicted == self.label)


def predictions_of(
    sweep: Sweep, history: History, splits: Splits, part: Part = "test"
) -> Predictions:
    """Returns the predictions of a part that is not empty."""
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


def load_predictions(
    path: Path, num_configs: int, num_seeds: int, part: Part = "test"
) -> Predictions:
    """Reads the predictions of a part."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(_key(part, name)) for name in _KINDS}
        tested = len(arrays["row"])
        for name, kind in _KINDS.items():
            shape = (num_configs, num_seeds, tested) if name == "predicted" else (tested,)
            if arrays[name].shape != shape or arrays[name].dtype != kind or not tested:
                raise ValueError(f"{name} is {arrays[name].dtype}{arrays[name].shape}")
        return Predictions(**arrays)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"{path}: cannot be used ({reason[:200]})") from None
