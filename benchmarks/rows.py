"""The rows of the table, in the order in which a round measures them."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import ours, peer
from benchmarks.context import Context, Measurement


@dataclass(frozen=True)
class Row:
    """Something that is measured.

    Attributes:
      label: what the table calls it.
      measure: measures it once.
      needs: modules without which it is skipped.
      once: whether the first round suffices, because it takes long.
      usual: whether it is measured unless named.
    """

    label: str
    measure: Callable[[Context], Measurement]
    needs: tuple[str, ...] = ()
    once: bool = False
    usual: bool = True

    @property
    def missing(self) -> list[str]:
        """What is not installed."""
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
