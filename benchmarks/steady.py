"""Our training alone, already compiled: ``python -m benchmarks.steady --data=CSV``.

Trains the sweep once to compile and once more to measure; then measures the floor in the same
process. Prints one line of JSON.
"""

import argparse
import json
import time
from collections.abc import Sequence

from benchmarks.floor import measure
from benchmarks.grid import the_sweep
from gtzan_jax.backends.backend import open_backend
from gtzan_jax.process import peak_rss_bytes
from gtzan_jax.rundir.history import trials_of
from gtzan_jax.tables.protocols import Splits, make_splits
from gtzan_jax.tables.sources import load_table
from gtzan_jax.trainer.plan import MODES
from gtzan_jax.trainer.platforms import PLATFORMS, select_platform
from gtzan_jax.trainer.trainer import Trainer


def seconds_of(trainer: Trainer, splits: Splits, seeds: Sequence[int]) -> float:
    """Trains a sweep, keeps the histories as a caller would, and returns the seconds."""
    trials = trials_of(trainer.plan.sweep, len(splits.folds), seeds)
    begun = time.perf_counter()
    tasks = trainer.plan.tasks(trials)
    histories = [trained.history for trained in trainer.run(tasks, splits.arrays)]
    seconds = time.perf_counter() - begun
    if sum(map(len, histories)) != len(trials):
        raise AssertionError(f"{sum(map(len, histories))} trials were trained")
    return seconds


def main() -> None:
    """Measures and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="the feature table")
    parser.add_argument("--platform", default="cpu", choices=PLATFORMS)
    parser.add_argument("--mode", default="auto", choices=MODES, help="see --batching of the sweep")
    parser.add_argument("--seeds", type=int, default=1, help="trained after one seed alone")
    parser.add_argument("--floor_only", action="store_true", help="trains nothing")
    given = parser.parse_args()
    sweep, table = the_sweep(), load_table(given.data)
    splits = make_splits(table, "assignment", 0, 1)
    answer: dict[str, float | None] = {}
    if not given.floor_only:
        with (
            open_backend(given.platform) as backend,
            backend.trainer(sweep, splits.sizes, given.seeds, mode=given.mode) as trainer,
        ):
            answer["first_seconds"] = seconds_of(trainer, splits, [0])
            answer["seconds"] = seconds_of(trainer, splits, [0])
            if given.seeds > 1:
                answer["seconds_of_all"] = seconds_of(trainer, splits, range(given.seeds))
            answer["programs"] = trainer.num_programs
        # Of all processes, and before the floor's large arrays.
        answer["peak_rss_bytes"] = (peak_rss_bytes() or 0) + trainer.peak_rss_bytes
    select_platform(given.platform)
    print(json.dumps(answer | {"floor": measure(sweep, splits.sizes)}))


if __name__ == "__main__":
    main()
