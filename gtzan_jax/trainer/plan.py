"""The plan of a sweep's training: configs that share a program, and trials that train together.

Narrow networks train in wider arrays, padded with zeros, if compiling another program takes longer.
"""

import dataclasses
import functools
import itertools
from collections.abc import (
    Callable,
    Collection,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Set,
)
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from gtzan_jax.models.family import Family, Structure
from gtzan_jax.space.config import Config, Trial
from gtzan_jax.space.sweep import SAMPLERS, Sweep
from gtzan_jax.tables.folds import Sizes
from gtzan_jax.trainer.task import Keep, Task

T = TypeVar("T")

MODES = ("auto", "shape", "padded")


class Costs(NamedTuple):
    """Rough costs on a platform."""

    trials: int  # trained together by a device
    memory: float  # bytes on a device for a task
    compile_s: float  # device-seconds to compile a program
    flops: float  # floating-point operations per second of a device on a task


# CPU: measured on one core of a worker; tasks of 4 and 16 trials are no faster. GPU and TPU:
# estimates, which give all structures one program unless the sweep is long.
COSTS = {
    "cpu": Costs(trials=8, memory=1e9, compile_s=1.7, flops=65e9),
    "gpu": Costs(trials=768, memory=16e9, compile_s=10.0, flops=10e12),
    "tpu": Costs(trials=128, memory=4e9, compile_s=10.0, flops=5e12),
}

_OWN_BYTES = 1e9  # random numbers by trial: the most for an epoch of a task
_SWEEPS_OWN_BYTES = 64e6  # the same for all epochs of a task of the sweep
_OWN_SHARE = 0.05  # cost of random numbers by trial, share of training; measured on a CPU
_MOST_GROUPS = 64  # structures to compare; if more, widths are rounded to multiples of 16, 32, …


class Bucket(NamedTuple):
    """Configs that share a program: one batch size, narrower networks padded."""

    batch_size: int
    structure: Structure  # of the widest config
    places: tuple[int, ...]  # indices of the configs, ascending


@dataclass(frozen=True, eq=False)
class Plan:
    """Divides trials into tasks, as a function of these values only."""

    sweep: Sweep
    family: Family
    sizes: Sizes
    num_runs: int = 1  # expected trials of each config: folds × seeds
    platform: str = "cpu"  # a name from ``COSTS``
    num_devices: int = 1  # devices that share a task
    task_size: int | None = None  # trials, rounded up for the devices; default: by memory
    mode: str = "auto"  # a name from ``MODES``
    configs: Sequence[Config] | None = None  # to train; default: the sweep's

    def __getstate__(self) -> dict[str, Any]:
        """Returns the fields without cached properties, which are large and quick to compute."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return fields | {"sweep": dataclasses.replace(self.sweep)}

    @property
    def _costs(self) -> Costs:
        return COSTS.get(self.platform, COSTS["cpu"])

    @functools.cached_property
    def config_of(self) -> dict[str, Config]:
        """The configs by id, admitted configs last."""
        return {config.id: config for config in self.configs or self.sweep.configs}

    @functools.cached_property
    def buckets(self) -> list[Bucket]:
        """The buckets, see :func:`make_buckets`."""
        groups: dict[tuple[int, Structure], list[int]] = {}
        for place, config in enumerate(self.config_of.values()):
            key = (self.sweep.batch_size_of(config), self.family.structure(config))
            groups.setdefault(key, []).append(place)
        return make_buckets(groups, self.family, self._seconds, self._costs.compile_s, self.mode)

    @functools.cached_property
    def bucket_of(self) -> dict[str, int]:
        """The index of each config's bucket, by config id."""
        ids = list(self.config_of)
        return {
            ids[place]: number
            for number, bucket in enumerate(self.buckets)
            for place in bucket.places
        }

    def admit(self, configs: Sequence[Config]) -> None:
        """Adds configs to the narrowest buckets that fit them; raises ValueError if none does."""
        for config in configs:
            if config.id not in self.bucket_of:
                size, structure = self.sweep.batch_size_of(config), self.family.structure(config)
                key = size, self.family.kind(structure)
                fitting = [
                    (bucket.structure, number)
                    for number, bucket in enumerate(self.buckets)
                    if (bucket.batch_size, self.family.kind(bucket.structure)) == key
                    and widest([bucket.structure, structure]) == bucket.structure
                ]
                if not fitting:
                    raise ValueError(f"no bucket fits structure {structure} with batch size {size}")
                self.bucket_of[config.id] = min(fitting)[1]
                self.config_of[config.id] = config

    def state_bytes(self, bucket: int) -> int:
        """Returns an upper estimate of the bytes of a trial's state, padding included."""
        return self.family.trial_bytes(self.buckets[bucket].structure, self.sizes, batch_size=0)

    def tasks(
        self,
        trials: Collection[Trial],
        first_epoch: int = 0,
        epochs: int | None = None,
        *,
        packed: bool = False,
        keep: Keep = "nothing",
    ) -> list[Task]:
        """Divides trials into tasks; tasks with the same random numbers are adjacent.

        A task includes all configs of a slice of a bucket, even those not in ``trials``, so that a
        resumed run has the same tasks. With ``packed``, or a first epoch after 0, tasks include
        only ``trials``.
        """
        wanted: dict[tuple[int, int], set[str]] = {}
        for trial in trials:
            wanted.setdefault((trial.seed, trial.fold), set()).add(trial.config_id)
        until = self.sweep.epochs if epochs is None else epochs
        sizes = [self._size(bucket) for bucket in self.buckets]
        return [
            Task(
                number, size, tuple(Trial(i, fold, seed) for i in ids), first_epoch, until, keep,
                self._own_seeds[number],
            )
            for (seed, fold), configs in sorted(wanted.items())
            for number, size in enumerate(sizes)
            for ids in self._slices(number, size, configs, packed or first_epoch > 0)
        ]  # fmt: skip

    def repeats(self, trials: Sequence[Trial], epochs: int) -> list[Task]:
        """Divides trials into tasks that keep parameters, for a retraining.

        Trials of a bucket and a fold train together. They use the sweep's program if its trials
        have their own random numbers, it has at least half of the best size, and padding its tasks
        takes no longer than compiling another program.
        """
        buckets: dict[int, dict[int, list[Trial]]] = {}
        for trial in trials:
            by_fold = buckets.setdefault(self.bucket_of[trial.config_id], {})
            by_fold.setdefault(trial.fold, []).append(trial)
        tasks = []
        for number, by_fold in buckets.items():
            bucket = self.buckets[number]
            most = min(self._most(bucket), max(1, int(_OWN_BYTES // self._drawn_bytes)))
            parts = [part for group in by_fold.values() for part in self._cut(group, most)]
            size, sweeps = max(map(len, parts)), self._size(bucket)
            filled = [part for group in by_fold.values() for part in self._cut(group, sweeps)]
            more = epochs * (sweeps * len(filled) - size * len(parts))  # epochs of trials
            each = self._seconds(bucket.structure) / (self.num_runs * self.sweep.epochs)
            is_cheap = 2 * sweeps >= size and more * each <= self._costs.compile_s
            if own := self._own_seeds[number] and is_cheap:
                size, parts = sweeps, filled
            own |= any(len({trial.seed for trial in part}) > 1 for part in parts)
            tasks += [Task(number, size, part, 0, epochs, "params", own) for part in parts]
        return tasks

    @functools.cached_property
    def _own_seeds(self) -> list[bool]:
        """For each bucket, True if its trials have their own copies of random numbers.

        If so, a retraining, whose trials differ in the seed, needs no other program. If that costs
        the sweep more than compiling one, or much memory, the trials of a task share one copy.
        """
        planned = sum(len(each.places) for each in self.buckets)
        sweep = sum(self._seconds(each.structure) * len(each.places) for each in self.buckets)
        # The configs of a sampler are not known yet: the plan has only a few.
        sweep *= max(planned, self.sweep.search.num_configs or 0) / planned
        is_short = _OWN_SHARE * sweep <= self._costs.compile_s
        most = _SWEEPS_OWN_BYTES / (self._drawn_bytes * self.sweep.epochs)
        return [is_short and 1 < self._size(bucket) <= most for bucket in self.buckets]

    def _seconds(self, structure: Structure) -> float:
        """Returns rough device-seconds to train a config in a structure."""
        flops = self.family.flops(structure, self.sizes) * self.sweep.epochs
        return self.num_runs * flops / self._costs.flops

    @functools.cached_property
    def _drawn_bytes(self) -> int:
        """Bytes of a trial's random numbers for an epoch, for the widest program."""
        structure = widest(each.structure for each in self.buckets)
        of_row = row_bytes(structure, self.sizes.num_features, self.sweep.parts)
        return self.sizes.num_train * of_row

    def _size(self, bucket: Bucket) -> int:
        """Returns the trials of a bucket's program: a slice of its configs, or a search batch."""
        most = self._most(bucket)
        largest = max(map(len, self._cut(bucket.places, most)))
        if self.sweep.search.kind in SAMPLERS:
            largest = max(largest, min(most, self.sweep.search.batch))
        return largest

    def _most(self, bucket: Bucket) -> int:
        """Returns the most trials of a task: one per device if the family trains them singly."""
        each = self.family.trial_bytes(bucket.structure, self.sizes, bucket.batch_size)
        fitting = max(1, min(self._costs.trials, int(self._costs.memory // each)))
        singly = self.family.trains_singly(self.platform)
        return self.task_size or (1 if singly else fitting) * self.num_devices

    def _cut(self, trials: Sequence[T], most: int) -> list[tuple[T, ...]]:
        return even_tasks(trials, most, self.num_devices)

    def _slices(
        self, number: int, size: int, wanted: set[str], packed: bool
    ) -> Iterator[tuple[str, ...]]:
        ids = list(self.config_of)
        if packed:
            ids = [i for i in ids if i in wanted and self.bucket_of[i] == number]
        else:
            ids = [ids[place] for place in self.buckets[number].places]
        parts = self._cut(ids, size) if ids else []
        return (part for part in parts if not wanted.isdisjoint(part))


def make_buckets(
    groups: Mapping[tuple[int, Structure], Sequence[int]],
    family: Family,
    seconds: Callable[[Structure], float],
    compile_s: float,
    mode: str = "auto",
) -> list[Bucket]:
    """Returns buckets that contain each config once, in the order of their first config.

    Args:
      groups: indices of configs by batch size and structure.
      family: the model family.
      seconds: returns the device-seconds to train a config in a structure.
      compile_s: device-seconds to compile a program.
      mode: ``shape`` gives each structure its own program, ``padded`` all structures of a batch
        size and kind the same, ``auto`` merges while that saves device-seconds.
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


def even_tasks(places: Sequence[T], most: int, multiple: int) -> list[tuple[T, ...]]:
    """Divides items into the fewest parts of at most ``most``, of nearly equal size."""
    count = -(-len(places) // max(multiple, most))
    size = rounded_up(-(-len(places) // count), multiple)
    return [tuple(places[start : start + size]) for start in range(0, len(places), size)]


def row_bytes(structure: Structure, num_features: int, parts: Set[str]) -> int:
    """Returns the bytes of random numbers for a row: two for each unit's dropout, and noise."""
    return 2 * sum(structure) + 4 * num_features * ("input_noise" in parts)


def rounded_up(number: int, multiple: int) -> int:
    """Rounds up to a multiple."""
    return -(-number // multiple) * multiple


def widest(structures: Iterable[Structure]) -> Structure:
    """Returns the greatest width of each layer."""
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
    """Merges structures that round to the same multiples, down to ``_MOST_GROUPS`` buckets."""
    grain = 8
    while len(buckets) > _MOST_GROUPS:
        grain *= 2
        groups: dict[Structure, list[Bucket]] = {}
        for bucket in buckets:
            groups.setdefault(tuple(-(-w // grain) for w in bucket.structure), []).append(bucket)
        buckets = [_merge(group) for group in groups.values()]
    return buckets
