"""The figures of the report, as quotients of measurements, and their targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Round = Mapping[str, Mapping[str, Any]]  # measurements by row
Place = tuple[str, str]  # a row, and the name of a number of its measurement


@dataclass(frozen=True)
class Figure:
    """A figure of the report.

    Attributes:
      text: its name.
      unit: its format, a key of ``_FORMATS``.
      of: the number.
      over: the divisor, from the same round.
      target: the value to reach; None if there is none.
      stretch: a better target.
      at_least: whether more is better.
      less: subtracted from ``of`` first.
    """

    text: str
    unit: str
    of: Place
    over: Place | None = None
    target: float | None = None
    stretch: float | None = None
    at_least: bool = False
    less: Place | None = None

    def in_round(self, measured: Round) -> float | None:
        """Returns the figure of a round; None if a number is missing."""
        places = [place for place in (self.of, self.over, self.less) if place]
        if any(measured.get(row, {}).get(name) is None for row, name in places):
            return None
        found = {(row, name): float(measured[row][name]) for row, name in places}
        above = found[self.of] - (found[self.less] if self.less else 0.0)
        return above / found[self.over] if self.over else above

    def in_rounds(self, rounds: Sequence[Round]) -> list[float]:
        """Returns the figures of all rounds that have one."""
        return [value for value in map(self.in_round, rounds) if value is not None]

    def verdict(self, value: float) -> str:
        """Returns ``stretch``, ``met`` or ``missed``; "" without a target."""
        for name, goal in (("stretch", self.stretch), ("met", self.target)):
            if goal is not None and (value >= goal if self.at_least else value <= goal):
                return name
        return "" if self.target is None else "missed"

    def show(self, value: float | None) -> str:
        """Returns a value of the figure as text, with its unit."""
        form, scale = _FORMATS[self.unit]
        return "–" if value is None else form.format(value * scale)


_FORMATS = {  # format and factor of each unit
    "1 to": ("1 : {:.2f}", 1.0),
    "to 1": ("{:.2f} : 1", 1.0),
    "share": ("{:.0f} %", 100.0),
    "seconds": ("{:.1f} s", 1.0),
    "gigabytes": ("{:.2f} GB", 1e-9),
}

FIGURES = {
    "keras": Figure(
        "cold process ÷ Keras, projected",
        "1 to", ("keras_loop", "seconds"), ("cold", "seconds"), 100, 150, True,
    ),
    "torch_batched": Figure(
        "cold process ÷ PyTorch batched, whole process",
        "1 to", ("torch_batched", "seconds"), ("cold", "seconds"), 1.5, 1.8, True,
    ),
    "warm": Figure(
        "warm process ÷ cold process",
        "1 to", ("cold", "seconds"), ("warm", "seconds"), 1.4, 1.8, True,
    ),
    "steady": Figure(
        "steady ÷ PyTorch batched, training part",
        "1 to", ("torch_batched", "training_s"), ("steady", "seconds"), 5, 8, True,
    ),
    "floor": Figure(
        "steady, share of the floor",
        "share", ("steady", "floor_s"), ("steady", "seconds"), 0.5, 0.65, True,
    ),
    "start": Figure(
        "start to first task, imports and loading", "seconds", ("cold", "start_s"), None, 3, 2
    ),
    "write": Figure(
        "writing results, history and all event files", "seconds", ("cold", "write_s"), None, 3, 1.5
    ),
    "own": Figure(
        "the sweep's own time: its training, warm, less steady",
        "seconds", ("warm", "train_s"), None, 0.5, 0.2, less=("steady", "seconds"),
    ),
    "cluster": Figure(
        "workers of a Dask cluster ÷ processes, a long sweep's training",
        "to 1", ("long_cluster", "train_s"), ("long", "train_s"), 1.1, 1.05,
    ),
    "main": Figure(
        "with the retraining ÷ without, cold",
        "to 1", ("main_cold", "seconds"), ("cold", "seconds"), 1.15,
    ),
    "retraining": Figure(
        "retraining, less what is written meanwhile, ÷ the sweep's training, cold",
        "to 1", ("main_cold", "retrain_s"), ("main_cold", "train_s"), 0.3,
    ),
    "retraining_warm": Figure(
        "retraining, less what is written meanwhile, ÷ the sweep's training, warm",
        "to 1", ("main_warm", "retrain_s"), ("main_warm", "train_s"), 0.2,
    ),
    "memory": Figure(
        "peak memory of all processes, cold",
        "gigabytes", ("cold", "peak_rss_bytes"), None, 1.5e9, 1e9,
    ),
    "main_memory": Figure(
        "with the retraining, peak memory of all processes, cold",
        "gigabytes", ("main_cold", "peak_rss_bytes"), None, 1.2e9, 1e9,
    ),
    "seeds": Figure(
        "10 seeds ÷ 1 seed, steady",
        "to 1", ("ten_seeds", "seconds"), ("ten_seeds", "seconds_of_one"), 9, 8.5,
    ),
    "main_seeds": Figure(
        "with the retraining, 10 seeds ÷ 1 seed, cold",
        "to 1", ("main_ten_seeds", "seconds"), ("main_cold", "seconds"),
    ),
    "seeds_memory": Figure(
        "10 seeds ÷ 1 seed, peak memory",
        "to 1", ("ten_seeds", "peak_rss_bytes"), ("steady", "peak_rss_bytes"), 1.3,
    ),
    "torch_loop": Figure(
        "cold process ÷ PyTorch one after another, projected",
        "1 to", ("torch_loop", "seconds"), ("cold", "seconds"), at_least=True,
    ),
    "sklearn": Figure(
        "cold process ÷ scikit-learn, projected",
        "1 to", ("sklearn_grid", "seconds"), ("cold", "seconds"), at_least=True,
    ),
    "steady_by_shape": Figure(
        "steady, a program for each shape ÷ PyTorch batched, training part",
        "1 to", ("torch_batched", "training_s"), ("steady_by_shape", "seconds"), at_least=True,
    ),
    "floor_by_shape": Figure(
        "steady, a program for each shape, share of the floor",
        "share", ("steady_by_shape", "floor_s"), ("steady_by_shape", "seconds"), 0.5, 0.65, True,
    ),
    "bytes": Figure(
        "steady, share of the time its weights and moments would take from memory",
        "share", ("steady", "bytes_seconds"), ("steady", "seconds"), at_least=True,
    ),
    "large_memory": Figure(
        "the large sweep, peak memory", "gigabytes", ("large", "peak_rss_bytes")
    ),
}  # fmt: skip

COMPARED = ("torch_batched", "floor", "steady")
"""The figures that --quick compares with the recorded ones."""
