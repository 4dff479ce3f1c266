"""The plan of a sweep's training: which configs share a program, and what trains together."""

import dataclasses
import functools
import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gtzan_jax.models.family import Family
from gtzan_jax.space.config import Config, Trial
from gtzan_jax.space.sweep import SAMPLERS, Sweep
from gtzan_jax.tables.folds import Sizes
from gtzan_jax.trainer import planner
from gtzan_jax.trainer.planner import COSTS, Bucket, Costs
from gtzan_jax.trainer.task import Keep, Task

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Plan:
    """Divides trials into tasks, as a function of these values alone."""

    sweep: Sweep
    family: Family
    sizes: Sizes
    num_runs: int = 1  # expected trials of each config: folds × seeds
    platform: str = "cpu"  # a name from ``planner.COSTS``
    num_devices: int = 1  # of a task
    task_size: int | None = None  # trials, rounded up for the devices; default: by memory
    mode: str = "auto"  # a name from ``planner.MODES``
    configs: Sequence[Config] | None = None  # to train; default: the sweep's

    def __getstate__(self) -> dict[str, Any]:
        """Returns the fields; cached properties take more room than time."""
        state = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return state | {"sweep": dataclasses.replace(self.sweep)}

    @property
    def _costs(self) -> Costs:
        return COSTS.get(self.platform, COSTS["cpu"])

    @functools.cached_property
    def config_of(self) -> dict[str, Config]:
        """The configs by id, admitted ones last."""
        return {config.id: config for config in self.configs or self.sweep.configs}

    @functools.cached_property
    def buckets(self) -> list[Bucket]:
        """The buckets of the configs that share a program."""

        def seconds(structure: tuple[int, ...]) -> float:
            flops = self.family.flops(structure, self.sizes) * self.sweep.epochs
            return self.num_runs * flops / self._costs.flops

        groups = planner.groups_of(list(self.config_of.values()), self.sweep, self.family)
        return planner.plan(groups, self.family, seconds, self._costs.compile_s, self.mode)

    @functools.cached_property
    def bucket_of(self) -> dict[str, int]:
        """The place of each config's bucket."""
        ids = list(self.config_of)
        return {
            ids[place]: number
            for number, bucket in enumerate(self.buckets)
            for place in bucket.places
        }

    def admit(self, configs: Sequence[Config]) -> None:
        """Adds new configs to the narrowest buckets that are wide enough.

        Raises:
          ValueError: no bucket is.
        """
        for config in configs:
            if config.id not in self.bucket_of:
                size, structure = self.sweep.batch_size_of(config), self.family.structure(config)
                bucket = planner.narrowest(self.buckets, self.family, size, structure)
                self.bucket_of[config.id] = self.buckets.index(bucket)
                self.config_of[config.id] = config

    def state_bytes(self, bucket: int) -> int:
        """Returns an upper estimate of a trial's state, padding included."""
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
        """Divides trials into tasks; those with the same random numbers are side by side.

        A task has all configs of a bucket's slice, wanted or not, so that a resumed run has the
        same tasks. Packed, or from a later epoch than 0, tasks have wanted trials alone.
        """
        wanted: dict[tuple[int, int], set[str]] = {}
        for trial in trials:
            wanted.setdefault((trial.seed, trial.fold), set()).add(trial.config_id)
        until = self.sweep.epochs if epochs is None else epochs
        sizes = [self._size(bucket) for bucket in self.buckets]
        return [
            Task(number, size, tuple(Trial(i, fold, seed) for i in ids), first_epoch, until, keep)
            for (seed, fold), configs in sorted(wanted.items())
            for number, size in enumerate(sizes)
            for ids in self._slices(number, size, configs, packed or first_epoch > 0)
        ]

    def repeats(self, trials: Sequence[Trial], epochs: int) -> list[Task]:
        """Divides trials into tasks that keep parameters, for a retraining.

        Those that differ in the seed alone must be side by side, and train together.
        """
        tasks = []
        for (config_id, _), group in itertools.groupby(trials, key=lambda m: m[:2]):
            number = self.bucket_of[config_id]
            parts = self._cut(list(group), self._most(self.buckets[number]))
            size = max(map(len, parts))
            tasks += [Task(number, size, part, 0, epochs, "params") for part in parts]
        return tasks

    def _size(self, bucket: Bucket) -> int:
        """Returns the size of a bucket's program: a slice of its configs, or a proposed batch."""
        most = self._most(bucket)
        largest = max(map(len, self._cut(bucket.places, most)))
        if self.sweep.search.kind in SAMPLERS:
            largest = max(largest, min(most, self.sweep.search.batch))
        return largest

    def _most(self, bucket: Bucket) -> int:
        """Returns the most trials of a task: one a device if they train singly anyway."""
        each = self.family.trial_bytes(bucket.structure, self.sizes, bucket.batch_size)
        fitting = planner.task_size(each, self._costs)
        singly = self.family.trains_singly(self.platform)
        return self.task_size or (1 if singly else fitting) * self.num_devices

    def _cut(self, trials: Sequence[T], most: int) -> list[tuple[T, ...]]:
        return planner.even_tasks(trials, most, self.num_devices)

    def _slices(
        self, number: int, size: int, wanted: set[str], packed: bool
    ) -> Iterator[tuple[str, ...]]:
        ids = list(self.config_of)
        if packed:
            ids = [i for i in ids if i in wanted and self.bucket_of[i] == number]
        else:
            ids = [ids[place] for place in self.buckets[number].places]
        for part in self._cut(ids, size) if ids else ():
            if not wanted.isdisjoint(part):
                yield part
