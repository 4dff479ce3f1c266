"""Which trials train together: programs shared between structures, and sizes of tasks.

Narrow networks may train in wider arrays, padded with zeros, if another program costs more.
"""

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from gtzan_jax.models.family import Family, Structure
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep

T = TypeVar("T")

MODES = ("auto", "shape", "padded")


class Costs(NamedTuple):
    """Rough costs of a platform."""

    trials: int  # that a device trains at a time
    memory: float  # bytes of a device that a task may take
    compile_s: float  # device-seconds to compile a program
    flops: float  # floating-point operations a second that a device reaches on a task


# CPU: measured on one core of a worker, where tasks of 4 and 16 are no faster. GPU and TPU are
# estimates, by which all structures share a program unless the sweep is long.
COSTS = {
    "cpu": Costs(trials=8, memory=1e9, compile_s=1.7, flops=65e9),
    "gpu": Costs(trials=768, memory=16e9, compile_s=10.0, flops=10e12),
    "tpu": Costs(trials=128, memory=4e9, compile_s=10.0, flops=5e12),
}

_MOST_GROUPS = 64  # structures to compare; more are first rounded up to multiples of 16, 32, …


class Bucket(NamedTuple):
    """Configs that share a program: of one batch size, the narrower ones padded."""

    batch_size: int
    structure: Structure  # of the widest config
    places: tuple[int, ...]  # of the configs, ascending


Groups = Mapping[tuple[int, tuple[int, ...]], Sequence[int]]
"""Places of configs by batch size and structure."""


def groups_of(configs: Sequence[Config], sweep: Sweep, family: Family) -> Groups:
    """Returns the places of the configs of every batch size and structure."""
    groups: dict[tuple[int, Structure], list[int]] = {}
    for place, config in enumerate(configs):
        key = (sweep.batch_size_of(config), family.structure(config))
        groups.setdefault(key, []).append(place)
    return groups


def plan(
    groups: Groups,
    family: Family,
    seconds: Callable[[Structure], float],
    compile_s: float,
    mode: str = "auto",
) -> list[Bucket]:
    """Returns buckets that hold each config once, in the order of their first config.

    Mode ``shape`` gives each structure a program of its own, ``padded`` one to all of a batch size
    and kind, ``auto`` merges as long as that saves device-seconds; ``seconds`` are those of a
    config in a program of some structure.
    """
    alike: dict[Hashable, list[Bucket]] = {}
    for (batch_size, structure), places in groups.items():
        bucket = Bucket(batch_size, structure, tuple(places))
        alike.setdefault((batch_size, family.kind(structure)), []).append(bucket)
    planned: list[Bucket] = []
    for buckets in alike.values():
        if mode == "padded":
            planned.append(_merge(buckets))
        elif mode == "shape":
            planned += buckets
        else:
            planned += _merged_while_it_pays(_rounded(buckets), seconds, compile_s)
    return sorted(planned, key=lambda bucket: bucket.places[0])


def task_size(trial_bytes: int, costs: Costs) -> int:
    """Returns the number of trials that a device trains at a time."""
    return max(1, min(costs.trials, int(costs.memory // trial_bytes)))


def narrowest(
    buckets: Sequence[Bucket], family: Family, batch_size: int, structure: Structure
) -> Bucket:
    """Returns the narrowest bucket that a structure fits into.

    Raises:
      ValueError: there is none.
    """
    kind = family.kind(structure)
    fitting = [
        bucket
        for bucket in buckets
        if (bucket.batch_size, family.kind(bucket.structure)) == (batch_size, kind)
        and widest([bucket.structure, structure]) == bucket.structure
    ]
    if not fitting:
        raise ValueError(f"no bucket is wide enough for {structure} in batches of {batch_size}")
    return min(fitting, key=lambda bucket: bucket.structure)


def even_tasks(places: Sequence[T], most: int, multiple: int) -> list[tuple[T, ...]]:
    """Cuts places into as few tasks of at most ``most`` as possible, of nearly equal size."""
    count = -(-len(places) // max(multiple, most))
    size = rounded_up(-(-len(places) // count), multiple)
    return [tuple(places[start : start + size]) for start in range(0, len(places), size)]


def rounded_up(number: int, multiple: int) -> int:
    """Returns the next multiple."""
    return -(-number // multiple) * multiple


def widest(structures: Iterable[Structure]) -> Structure:
    """Returns the greatest width in each place."""
    return tuple(map(max, itertools.zip_longest(*structures, fillvalue=0)))


def _merge(buckets: Sequence[Bucket]) -> Bucket:
    places = itertools.chain.from_iterable(bucket.places for bucket in buckets)
    structure = widest(bucket.structure for bucket in buckets)
    return Bucket(buckets[0].batch_size, structure, tuple(sorted(places)))


def _merged_while_it_pays(
    buckets: list[Bucket], seconds: Callable[[Structure], float], compile_s: float
) -> list[Bucket]:
    def saving(pair: Sequence[Bucket]) -> float:
        together = seconds(widest(bucket.structure for bucket in pair))
        count = sum(len(bucket.places) for bucket in pair)
        apart = sum(seconds(bucket.structure) * len(bucket.places) for bucket in pair)
        return compile_s + apart - together * count

    while len(buckets) > 1:
        saved, pair = max((saving(pair), pair) for pair in itertools.combinations(buckets, 2))
        if saved <= 0:
            break
        buckets = [bucket for bucket in buckets if bucket not in pair] + [_merge(pair)]
    return buckets


def _rounded(buckets: list[Bucket]) -> list[Bucket]:
    """Merges structures that round up to the same multiples, until few enough are left."""
    grain = 8
    while len(buckets) > _MOST_GROUPS:
        grain *= 2
        groups: dict[Structure, list[Bucket]] = {}
        for bucket in buckets:
            groups.setdefault(tuple(-(-w // grain) for w in bucket.structure), []).append(bucket)
        buckets = [_merge(group) for group in groups.values()]
    return buckets
