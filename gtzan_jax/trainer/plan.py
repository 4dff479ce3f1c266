"""The plan of a sweep's training: which configs share a program, and what trains together."""

import dataclasses
import functools
import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gtzan_jax.models.family import Family
from gtzan_jax.space.config import Config, Member
from gtzan_jax.space.sweep import SAMPLERS, Sweep
from gtzan_jax.tables.folds import Sizes
from gtzan_jax.trainer import planner
from gtzan_jax.trainer.chunk import Chunk, Keep
from gtzan_jax.trainer.planner import COSTS, Bucket, Costs

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Plan:
    """Lays members out as chunks.

    A function of these values alone: not of how many workers there are, nor of what is compiled.

    Attributes:
      sweep: the sweep.
      family: of its kind of model.
      sizes: of the folds.
      num_runs: members of each config that there will be, folds × seeds; helps to plan.
      platform: a name from ``planner.COSTS``.
      num_devices: that a chunk is split over.
      chunk_size: members of a chunk, rounded up to a multiple of the number of devices.
        Default: by platform and width.
      mode: which configs share a program, a name from ``planner.MODES``.
      configs: the configs of the sweep that are to be trained. Default: all.
    """

    sweep: Sweep
    family: Family
    sizes: Sizes
    num_runs: int = 1
    platform: str = "cpu"
    num_devices: int = 1
    chunk_size: int | None = None
    mode: str = "auto"
    configs: Sequence[Config] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Returns the values alone: what follows from them takes more room than time."""
        state = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return state | {"sweep": dataclasses.replace(self.sweep)}

    @property
    def _costs(self) -> Costs:
        return COSTS.get(self.platform, COSTS["cpu"])

    @functools.cached_property
    def config_of(self) -> dict[str, Config]:
        """The configs by their ids, those last that were admitted later."""
        return {config.id: config for config in self.configs or self.sweep.configs}

    @functools.cached_property
    def buckets(self) -> list[Bucket]:
        """The configs that share a program, one bucket for each."""

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
        """Takes in configs that were not known before, into buckets that are wide enough.

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
        """Returns about what a member's state takes, and rather too much; padding included."""
        return self.family.member_bytes(self.buckets[bucket].structure, self.sizes, batch_size=0)

    def chunks(
        self,
        members: Collection[Member],
        first_epoch: int = 0,
        epochs: int | None = None,
        *,
        packed: bool = False,
        keep: Keep = "nothing",
    ) -> list[Chunk]:
        """Lays members out as chunks, those that share random numbers one after another.

        A chunk is all configs of a bucket's slice, so that the same members have the same chunks
        whether a run was interrupted or not; it is left out if none of them is wanted. Packed, and
        later than from the first epoch on, only the members that are wanted fill the chunks.

        Args:
          members: which to train.
          first_epoch: from which on; above 0 they need states to resume from.
          epochs: at the end. Default: the sweep's.
          packed: whether to leave out of the slices what is not wanted.
          keep: what to return of the members.
        """
        wanted: dict[tuple[int, int], set[str]] = {}
        for member in members:
            wanted.setdefault((member.seed, member.fold), set()).add(member.config_id)
        until = self.sweep.epochs if epochs is None else epochs
        sizes = [self._size(bucket) for bucket in self.buckets]
        return [
            Chunk(number, size, tuple(Member(i, fold, seed) for i in ids), first_epoch, until, keep)
            for (seed, fold), configs in sorted(wanted.items())
            for number, size in enumerate(sizes)
            for ids in self._slices(number, size, configs, packed or first_epoch > 0)
        ]

    def repeats(self, members: Sequence[Member], epochs: int) -> list[Chunk]:
        """Lays members out as chunks that keep the parameters, for a retraining.

        Seeds of one config on one fold train together. Their first epochs are those of a sweep
        with the same fold and seeds, to float32 rounding.

        Args:
          members: in which those that differ in the seed alone stand together.
          epochs: from 0 on, of each.
        """
        chunks = []
        for (config_id, _), group in itertools.groupby(members, key=lambda m: m[:2]):
            number = self.bucket_of[config_id]
            parts = self._cut(list(group), self._most(self.buckets[number]))
            size = max(map(len, parts))
            chunks += [Chunk(number, size, part, 0, epochs, "params") for part in parts]
        return chunks

    def _size(self, bucket: Bucket) -> int:
        """Returns for how many members a bucket's program is: for a slice of its configs.

        Where a search proposes configs, it is enough for any batch of them.
        """
        most = self._most(bucket)
        largest = max(map(len, self._cut(bucket.places, most)))
        if self.sweep.search.kind in SAMPLERS:
            largest = max(largest, min(most, self.sweep.search.batch))
        return largest

    def _most(self, bucket: Bucket) -> int:
        """Returns how many members of a bucket a chunk may have.

        Where they train one after another all the same, one a device, so that a few members keep
        many workers busy.
        """
        each = self.family.member_bytes(bucket.structure, self.sizes, bucket.batch_size)
        fitting = planner.chunk_size(each, self._costs)
        singly = self.family.trains_singly(self.platform)
        return self.chunk_size or (1 if singly else fitting) * self.num_devices

    def _cut(self, members: Sequence[T], most: int) -> list[tuple[T, ...]]:
        return planner.even_chunks(members, most, self.num_devices)

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
