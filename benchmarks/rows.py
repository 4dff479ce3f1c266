"""The rows of the table, in the order of measurement."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import ours, peer
from benchmarks.context import Context, Measurement


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
      label: its name in the table.
      measure: measures it once.
      needs: required modules; the row is skipped if one is missing.
      once: whether to measure it in the first round only, because it is slow.
      usual: whether to measure it by default.
    """

    label: str
    measure: Callable[[Context], Measurement]
    needs: tuple[str, ...] = ()
    once: bool = False
    usual: bool = True

    @property
    def missing(self) -> list[str]:
        """The required modules that are not installed."""
        return [name for name in self.needs if not importlib.util.find_spec(name)]


ROWS = {
    "main_cold": Row("ours with the retraining, cold", ours.main_cold),
    "main_warm": Row("ours with the retraining, warm", ours.main_warm),
    "main_ten_seeds": Row(
        "ours with the retraining, 10 seeds, cold", ours.main_of_ten_seeds, once=True
    ),
    "cold": Row("ours, cold", ours.cold),
    "warm": Row("ours, warm", ours.warm),
    "steady": Row("ours, steady", ours.steady),
    "steady_by_shape": Row("ours, steady, a program for each shape", ours.steady_by_shape),
    "ten_seeds": Row("ours, 10 seeds (7,680 trials), steady", ours.ten_seeds, once=True),
    "torch_batched": Row(
        "PyTorch, batched by shape group and optimizer", peer.torch_batched, ("torch",)
    ),
    "torch_loop": Row(
        "PyTorch, one after another, projected", peer.torch_loop, ("torch",), once=True
    ),
    "keras_loop": Row(
        "Keras, one after another, projected", peer.keras_loop, ("keras",), once=True
    ),
    "sklearn_grid": Row(
        "scikit-learn's GridSearchCV, ReLU, Adam and SGD without dropout, projected",
        peer.sklearn_grid,
        once=True,
    ),
    "floor": Row("the floor alone", ours.floor, usual=False),
    "long": Row("ours, 3 seeds by shape, warm", ours.long),
    "long_cluster": Row(
        "the same by workers of a Dask cluster on loopback",
        ours.long_in_a_cluster,
        ("distributed",),
    ),
    "large": Row("ours, the large sweep for one epoch, cold", ours.large, usual=False),
}

QUICK = ("cold", "steady", "torch_batched")
"""The rows that --quick measures."""
