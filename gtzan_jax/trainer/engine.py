"""Many members at once: buckets of configs, chunks of them, all local devices.

The configs of a bucket share a compiled program. It trains a *chunk* of them, whose member
axis is split over the devices; a bucket is as many calls as it has chunks. Programs are
compiled on other threads while those that are ready train.
"""

import os
import reprlib
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import jax
from absl import logging

from gtzan_jax.errors import InputError
from gtzan_jax.models.family import Family
from gtzan_jax.space.config import Config, Member
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import FoldArrays, Sizes
from gtzan_jax.trainer import planner
from gtzan_jax.trainer.calls import Calls, InFlight
from gtzan_jax.trainer.chunk import Chunk, Trained
from gtzan_jax.trainer.member import Hyperparameters, State, Static, hyperparameters
from gtzan_jax.trainer.planner import COSTS, Bucket, rounded_up
from gtzan_jax.trainer.programs import (
    Devices,
    Program,
    RandomNumbers,
    compile_drawing,
    compile_training,
    drawn_sizes,
    shapes_of,
    stack,
)

T = TypeVar("T")

_COMPILE_THREADS = min(4, os.cpu_count() or 1)


class Engine:
    """Trains members of a sweep.

    Compiling starts with the construction, on other threads: it needs the sizes of the folds
    only. Use as a context manager.

    Args:
      sweep: the sweep.
      family: its kind of model.
      sizes: of the folds.
      num_runs: members of each config that there will be, folds × seeds; helps to plan.
      devices: where to train; the member axis is split over them. Default: all.
      chunk_size: members of a chunk, rounded up to a multiple of the number of devices.
        Default: by platform and width.
      mode: which configs share a program, a name from ``planner.MODES``.
      configs: those of the sweep that are to be trained. Default: all.
    """

    def __init__(
        self,
        sweep: Sweep,
        family: Family,
        sizes: Sizes,
        num_runs: int = 1,
        *,
        devices: Sequence[jax.Device] | None = None,
        chunk_size: int | None = None,
        mode: str = "auto",
        configs: Sequence[Config] | None = None,
    ) -> None:
        self.sweep, self.family = sweep, family
        self.devices: Devices = tuple(devices or jax.devices())
        self._sizes = sizes
        self._configs = {config.id: config for config in configs or sweep.configs}
        self._order = list(self._configs)  # ids by their place in a plan
        self._chunk_size = chunk_size
        self._costs = COSTS.get(self.devices[0].platform, COSTS["cpu"])
        self.buckets = self._plan(num_runs, mode)
        self.bucket_of = {
            config_id: bucket for bucket in self.buckets for config_id in self._ids(bucket.places)
        }
        self.drawn = drawn_sizes(
            family,
            planner.widest(bucket.structure for bucket in self.buckets),
            sizes,
            sorted({bucket.batch_size for bucket in self.buckets}),
            sweep.epochs,
            sweep.parts,
        )
        self.compile_wait_s = 0.0
        self._pool = ThreadPoolExecutor(_COMPILE_THREADS, "compile")
        self._random = self._pool.submit(self._compile_drawing)
        self._programs: dict[Bucket, Future[Program]] = {}

    def __repr__(self) -> str:
        devices = f"{len(self.devices)} {self.devices[0].platform} devices"
        return (
            f"Engine({reprlib.repr(self.sweep.name)}, {len(self._configs):,} configs, "
            f"{self.num_programs} programs, {devices})"
        )

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, error: object, *exc_info: object) -> None:
        # After an error nobody waits for programs that nobody needs.
        self._pool.shutdown(wait=error is None, cancel_futures=True)

    @property
    def num_programs(self) -> int:
        """Training programs that the sweep needs, one for each bucket."""
        return len(self.buckets)

    @property
    def num_compiled(self) -> int:
        """Those of them that are ready."""
        return sum(program.done() for program in self._programs.values())

    def admit(self, configs: Sequence[Config]) -> None:
        """Takes in configs that were not known before, into buckets that are wide enough.

        Raises:
          ValueError: no bucket is.
        """
        for config in configs:
            if config.id not in self._configs:
                size, structure = self.sweep.batch_size_of(config), self.family.structure(config)
                self.bucket_of[config.id] = planner.narrowest(self.buckets, size, structure)
                self._configs[config.id] = config
                self._order.append(config.id)

    def num_weights(self, bucket: Bucket) -> int:
        """Returns how many weights a member has in a bucket's program, padding included."""
        return self.family.num_weights(bucket.structure, self._sizes)

    def chunks(
        self,
        members: Collection[Member],
        first_epoch: int = 0,
        epochs: int | None = None,
        *,
        packed: bool = False,
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
        """
        wanted: dict[tuple[int, int], set[str]] = {}
        for member in members:
            wanted.setdefault((member.seed, member.fold), set()).add(member.config_id)
        until = self.sweep.epochs if epochs is None else epochs
        return [
            Chunk(bucket, fold, seed, ids, first_epoch, until)
            for (seed, fold), configs in sorted(wanted.items())
            for bucket in self.buckets
            for ids in self._slices(bucket, configs, packed or first_epoch > 0)
        ]

    def run(
        self,
        chunks: Sequence[Chunk],
        folds: Sequence[FoldArrays],
        states: Mapping[Member, State] | None = None,
        *,
        keep_states: bool = False,
    ) -> Iterator[Trained]:
        """Trains chunks, and yields each when it is done.

        The next chunk trains while the caller looks at the last one.

        Args:
          chunks: from :meth:`chunks`.
          folds: of the protocol.
          states: that the members of chunks go on from whose first epoch is not 0.
          keep_states: whether to bring the final states to the host.

        Raises:
          InputError: not even one member a device fits into memory.
        """
        for bucket in dict.fromkeys(chunk.bucket for chunk in chunks):
            if bucket not in self._programs:
                self._submit(bucket, max(len(c.config_ids) for c in chunks if c.bucket == bucket))
        calls = Calls(self, folds, states or {}, keep_states)
        in_flight: deque[InFlight] = deque()
        for chunk in chunks:
            in_flight.append(calls.begin(chunk))
            if len(in_flight) > 1:
                yield calls.finish(in_flight.popleft())
        while in_flight:
            yield calls.finish(in_flight.popleft())

    def config(self, config_id: str) -> Config:
        """Returns the config of an id."""
        return self._configs[config_id]

    def hyperparameters(self, config_ids: Sequence[str], chunk_size: int) -> Hyperparameters:
        """Stacks the hyperparameters of configs, the last repeated up to the chunk's size."""
        members = [
            hyperparameters(self.family, self._configs[i], self.sweep, self._sizes)
            for i in config_ids
        ]
        return stack(members + [members[-1]] * (chunk_size - len(members)))

    def program(self, bucket: Bucket) -> Program:
        """Waits for the program of a bucket whose chunks are run."""
        return self._wait(self._programs[bucket])

    def numbers(self) -> RandomNumbers:
        """Waits for the programs that draw."""
        return self._wait(self._random)

    def halve(self, bucket: Bucket, chunk_size: int) -> None:
        """Replaces a bucket's program by one for half of the members that did not fit.

        Does nothing where that has been done for another chunk in flight.

        Raises:
          InputError: there is one member on each device already.
        """
        if self.program(bucket).chunk_size < chunk_size:
            return
        if chunk_size <= len(self.devices):
            units = "-".join(map(str, bucket.structure))
            raise InputError(
                f"out of memory: not even one network of {units} units fits on each device; take "
                "larger num_units out of the sweep, or use a device with more memory"
            )
        logging.warning("out of memory with %d networks at a time: trying half as many", chunk_size)
        self._programs[bucket] = self._pool.submit(self.compile, bucket, -(-chunk_size // 2))

    def _plan(self, num_runs: int, mode: str) -> list[Bucket]:
        def seconds(structure: tuple[int, ...]) -> float:
            flops = self.family.flops(structure, self._sizes) * self.sweep.epochs
            return num_runs * flops / self._costs.flops

        groups = planner.groups_of(list(self._configs.values()), self.sweep, self.family)
        return planner.plan(groups, seconds, self._costs.compile_s, mode)

    def _ids(self, places: Sequence[int]) -> tuple[str, ...]:
        return tuple(self._order[place] for place in places)

    def _submit(self, bucket: Bucket, largest: int) -> None:
        """Has a program compiled that is large enough for each of a bucket's chunks."""
        members = max(largest, *map(len, self.cut(bucket, bucket.places)))
        self._programs[bucket] = self._pool.submit(self.compile, bucket, members)

    def _slices(self, bucket: Bucket, wanted: set[str], packed: bool) -> Iterator[tuple[str, ...]]:
        ids = [i for i in self._order if i in wanted and self.bucket_of[i] == bucket]
        if not packed:
            ids = list(self._ids(bucket.places))
        for part in self.cut(bucket, ids) if ids else ():
            if not wanted.isdisjoint(part):
                yield part

    def _compile_drawing(self) -> RandomNumbers:
        drawing = compile_drawing(self.drawn, self.devices)
        return RandomNumbers(drawing, -(-self.sweep.epochs // drawing.epochs))

    def cut(self, bucket: Bucket, members: Sequence[T]) -> list[tuple[T, ...]]:
        """Cuts what members of a bucket differ in, configs or seeds, into chunks."""
        fitting = planner.chunk_size(self.num_weights(bucket), self._costs)
        most = self._chunk_size or fitting * len(self.devices)
        return planner.even_chunks(members, most, len(self.devices))

    def compile(self, bucket: Bucket, members: int, own_seeds: bool = False) -> Program:
        """Compiles a program for members of a bucket, see ``programs.compile_training``."""
        example = self.hyperparameters(self._ids(bucket.places[:1]), 1)
        return compile_training(
            Static(self.family, bucket.structure, bucket.batch_size, self.sweep.loss),
            self.drawn,
            shapes_of(jax.tree.map(lambda leaf: leaf[0], example)),
            rounded_up(members, len(self.devices)),
            self.devices,
            own_seeds,
        )

    def _wait(self, future: "Future[T]") -> T:
        started = time.perf_counter()
        result = future.result()
        self.compile_wait_s += time.perf_counter() - started
        return result
