"""What trains members of a sweep, whoever does the arithmetic: the plan, and two things to ask for.

Imports no JAX: the process that plans need not be one that trains.
"""

import abc
import itertools
import reprlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from gtzan_jax.models.layout import Layout
from gtzan_jax.space.config import Config, Member
from gtzan_jax.space.sweep import SAMPLERS, Sweep
from gtzan_jax.tables.folds import FoldArrays, Sizes
from gtzan_jax.text import counted
from gtzan_jax.trainer import planner
from gtzan_jax.trainer.chunk import Chunk, Keep, Trained
from gtzan_jax.trainer.planner import COSTS, Bucket

T = TypeVar("T")
Self = TypeVar("Self", bound="Trainer")


class Trainer(abc.ABC):
    """Knows which configs share a program, lays members out as chunks, and has them trained.

    The plan depends on the sweep, the sizes, the platform and the devices that a chunk is split
    over, on nothing else: not on how many workers there are, nor on what is compiled already. Use
    as a context manager.

    Args:
      sweep: the sweep.
      layout: of its kind of model.
      sizes: of the folds.
      num_runs: members of each config that there will be, folds × seeds; helps to plan.
      platform: a name from ``planner.COSTS``.
      num_devices: that a chunk is split over.
      chunk_size: members of a chunk, rounded up to a multiple of the number of devices.
        Default: by platform and width.
      mode: which configs share a program, a name from ``planner.MODES``.
      configs: those of the sweep that are to be trained. Default: all.
    """

    compile_wait_s: float  # seconds for which training waited for programs
    peak_rss_bytes: int = 0  # the most memory that other processes have held

    def __init__(
        self,
        sweep: Sweep,
        layout: Layout,
        sizes: Sizes,
        num_runs: int = 1,
        *,
        platform: str = "cpu",
        num_devices: int = 1,
        chunk_size: int | None = None,
        mode: str = "auto",
        configs: Sequence[Config] | None = None,
    ) -> None:
        self.sweep, self.layout, self.sizes = sweep, layout, sizes
        self._configs = {config.id: config for config in configs or sweep.configs}
        self._order = list(self._configs)  # ids by their place in a plan
        self._num_devices, self._chunk_size = num_devices, chunk_size
        self._costs = COSTS.get(platform, COSTS["cpu"])
        self._singly = layout.trains_singly(platform)
        self.buckets = self._plan(num_runs, mode)
        self.bucket_of = {
            self._order[place]: number
            for number, bucket in enumerate(self.buckets)
            for place in bucket.places
        }
        self.compile_wait_s = 0.0

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({reprlib.repr(self.sweep.name)}, "
            f"{counted(len(self._configs), 'config')}, {counted(self.num_programs, 'program')}, "
            f"{self.place})"
        )

    def __enter__(self: Self) -> Self:
        return self

    @abc.abstractmethod
    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        """Ends what is under way; after an error, at once."""

    @property
    @abc.abstractmethod
    def place(self) -> str:
        """Where members are trained, in words."""

    @property
    def num_programs(self) -> int:
        """Training programs that the sweep needs, one for each bucket."""
        return len(self.buckets)

    @property
    @abc.abstractmethod
    def num_compiled(self) -> int:
        """Those of them that are ready."""

    @abc.abstractmethod
    def run(
        self,
        chunks: Sequence[Chunk],
        folds: Sequence[FoldArrays],
        states: Mapping[Member, Any] | None = None,
    ) -> Iterator[Trained]:
        """Trains chunks, and yields each when it is done, in any order.

        Args:
          chunks: from :meth:`chunks` or :meth:`repeats`.
          folds: of the protocol.
          states: from which members resume whose first epoch is not 0, of a trainer of this kind.

        Raises:
          InputError: not even one member a device fits into memory.
          RunError: what trains has failed, for whatever reason.
        """

    def admit(self, configs: Sequence[Config]) -> None:
        """Takes in configs that were not known before, into buckets that are wide enough.

        Raises:
          ValueError: no bucket is.
        """
        for config in configs:
            if config.id not in self._configs:
                size, structure = self.sweep.batch_size_of(config), self.layout.structure(config)
                bucket = planner.narrowest(self.buckets, self.layout, size, structure)
                self.bucket_of[config.id] = self.buckets.index(bucket)
                self._configs[config.id] = config
                self._order.append(config.id)

    def config(self, config_id: str) -> Config:
        """Returns the config of an id."""
        return self._configs[config_id]

    def state_bytes(self, bucket: int) -> int:
        """Returns about what a member's state takes, and rather too much; padding included."""
        return self.layout.member_bytes(self.buckets[bucket].structure, self.sizes, batch_size=0)

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
          first_epoch: from which on; above 0 they need states to go on from.
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

    def _plan(self, num_runs: int, mode: str) -> list[Bucket]:
        def seconds(structure: tuple[int, ...]) -> float:
            flops = self.layout.flops(structure, self.sizes) * self.sweep.epochs
            return num_runs * flops / self._costs.flops

        groups = planner.groups_of(list(self._configs.values()), self.sweep, self.layout)
        return planner.plan(groups, self.layout, seconds, self._costs.compile_s, mode)

    def _most(self, bucket: Bucket) -> int:
        """Returns how many members of a bucket a chunk may have.

        Where they train one after another all the same, one a device, so that a few members keep
        many workers busy.
        """
        each = self.layout.member_bytes(bucket.structure, self.sizes, bucket.batch_size)
        fitting = planner.chunk_size(each, self._costs)
        return self._chunk_size or (1 if self._singly else fitting) * self._num_devices

    def _size(self, bucket: Bucket) -> int:
        """Returns for how many members a bucket's program is: for a slice of its configs.

        Where a search proposes configs, it is enough for any batch of them.
        """
        most = self._most(bucket)
        largest = max(map(len, self._cut(bucket.places, most)))
        if self.sweep.search.kind in SAMPLERS:
            largest = max(largest, min(most, self.sweep.search.batch))
        return largest

    def _cut(self, members: Sequence[T], most: int) -> list[tuple[T, ...]]:
        return planner.even_chunks(members, most, self._num_devices)

    def _slices(
        self, number: int, size: int, wanted: set[str], packed: bool
    ) -> Iterator[tuple[str, ...]]:
        if packed:
            ids = [i for i in self._order if i in wanted and self.bucket_of[i] == number]
        else:
            ids = [self._order[place] for place in self.buckets[number].places]
        for part in self._cut(ids, size) if ids else ():
            if not wanted.isdisjoint(part):
                yield part
