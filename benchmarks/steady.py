"""Our training alone, already compiled: ``python -m benchmarks.steady --data=CSV``.

Trains the sweep once, which compiles, and once more, which counts; then measures the floor in
the same process. Prints one line of JSON.
"""

import argparse
import json
import time
from collections.abc import Sequence

from benchmarks.floor import measure
from benchmarks.grid import the_sweep
from gtzan_jax.batching import MODES
from gtzan_jax.engine import Engine, data_of
from gtzan_jax.features import load_table
from gtzan_jax.platforms import PLATFORMS, select_platform
from gtzan_jax.rundir import peak_rss_bytes
from gtzan_jax.splits import Dataset, Sizes, random_split, standardise


def seconds_of(engine: Engine, dataset: Dataset, seeds: Sequence[int]) -> float:
    """Trains a sweep, keeping the histories as a caller would, and returns the seconds."""
    begun = time.perf_counter()
    histories = [chunk.history for chunk in engine.run(data_of(dataset), seeds)]
    seconds = time.perf_counter() - begun
    members = sum(map(len, histories))
    if members != engine.sweep.num_configs * len(seeds):
        raise AssertionError(f"{members} members were trained")
    return seconds


def main() -> None:
    """Measures what the flags say, and prints it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="the feature table")
    parser.add_argument("--platform", default="cpu", choices=PLATFORMS)
    parser.add_argument("--mode", default="auto", choices=MODES, help="see --batching of the sweep")
    parser.add_argument("--seeds", type=int, default=1, help="trained after one seed alone")
    parser.add_argument("--floor_only", action="store_true", help="trains nothing")
    given = parser.parse_args()
    select_platform(given.platform)
    sweep, table = the_sweep(), load_table(given.data)
    dataset = standardise(table, random_split(table, 0))
    sizes = Sizes.of(dataset)
    answer: dict[str, float | None] = {}
    if not given.floor_only:
        with Engine(sweep, sizes, given.seeds, mode=given.mode) as engine:
            answer["first_seconds"] = seconds_of(engine, dataset, [0])
            answer["seconds"] = seconds_of(engine, dataset, [0])
            if given.seeds > 1:
                answer["seconds_of_all"] = seconds_of(engine, dataset, range(given.seeds))
            answer["programs"] = engine.num_programs
        answer["peak_rss_bytes"] = peak_rss_bytes()  # before the floor's large arrays
    print(json.dumps(answer | {"floor": measure(sweep, sizes)}))


if __name__ == "__main__":
    main()
