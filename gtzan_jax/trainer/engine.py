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
from typing import NamedTuple, TypeVar

import jax
import numpy as np
from absl import logging

from gtzan_jax.errors import InputError
from gtzan_jax.models.family import Family, Tree
from gtzan_jax.space.config import Config, Member
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import FoldArrays, Sizes
from gtzan_jax.trainer import planner
from gtzan_jax.trainer.chunk import Chunk, Trained
from gtzan_jax.trainer.member import Hyperparameters, State, Static, hyperparameters
from gtzan_jax.trainer.planner import COSTS, Bucket, rounded_up
from gtzan_jax.trainer.programs import (
    Devices,
    Program,
    RandomNumbers,
    by_member,
    compile_drawing,
    compile_training,
    drawn_sizes,
    everywhere,
    shapes_of,
    stack,
)

T = TypeVar("T")

_COMPILE_THREADS = min(4, os.cpu_count() or 1)


class _Part(NamedTuple):
    """What one sequence of calls gives: a chunk, or a piece of one that did not fit."""

    state: State  # on the devices
    histories: list[jax.Array]  # (members, epochs of a call, metrics) for each call
    predicted: jax.Array  # (members, num_judged) uint8


class _InFlight(NamedTuple):
    """A chunk in flight; its parts are None where memory did not suffice."""

    chunk: Chunk
    chunk_size: int  # of the program that it was begun with
    parts: list[_Part] | None


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
        run = _Run(self, folds, states or {}, keep_states)
        in_flight: deque[_InFlight] = deque()
        for chunk in chunks:
            in_flight.append(run.begin(chunk))
            if len(in_flight) > 1:
                yield run.finish(in_flight.popleft())
        while in_flight:
            yield run.finish(in_flight.popleft())

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
            Static(
                self.family,
                bucket.structure,
                bucket.batch_size,
                self.sweep.loss,
                self.sweep.stops_early,
            ),
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


class _Run:
    """One call of :meth:`Engine.run`: begins chunks, and waits for them."""

    def __init__(
        self,
        engine: Engine,
        folds: Sequence[FoldArrays],
        states: Mapping[Member, State],
        keep_states: bool,
    ) -> None:
        self._engine = engine
        self._folds = [everywhere(fold, engine.devices) for fold in folds]
        self._states = states
        self._keep_states = keep_states

    def begin(self, chunk: Chunk) -> _InFlight:
        """Sets the devices to work on a chunk, in parts if its program has become smaller."""
        size = self._engine.program(chunk.bucket).chunk_size
        try:
            starts = range(0, len(chunk.config_ids), size)
            parts = [self._call(chunk, start, start + size) for start in starts]
        except jax.errors.JaxRuntimeError as error:
            raise_unless_memory(error)
            return _InFlight(chunk, size, None)
        return _InFlight(chunk, size, parts)

    def finish(self, in_flight: _InFlight) -> Trained:
        """Waits for a chunk; one that did not fit into memory is tried again in halves."""
        while True:
            try:
                if in_flight.parts is not None:
                    return self._trained(in_flight.chunk, in_flight.parts)
            except jax.errors.JaxRuntimeError as error:
                raise_unless_memory(error)
            self._engine.halve(in_flight.chunk.bucket, in_flight.chunk_size)
            in_flight = self.begin(in_flight.chunk)

    def _call(self, chunk: Chunk, start: int, end: int) -> _Part:
        """Trains members of a chunk, call after call, and does not wait for the devices."""
        program, numbers = self._engine.program(chunk.bucket), self._engine.numbers()
        hyper = self._engine.hyperparameters(chunk.config_ids[start:end], program.chunk_size)
        if chunk.first_epoch:
            state = self._given(chunk.members[start:end], program.chunk_size)
        else:
            state = program.start(hyper, numbers.initial(chunk.seed, chunk.fold))
        fold = self._folds[chunk.fold]
        histories = []
        for first in range(chunk.first_epoch, chunk.epochs, numbers.epochs):
            drawn = numbers.draws(fold, chunk.seed, first)
            left = np.int32(min(numbers.epochs, chunk.epochs - first))
            state, history, predicted = program.train(hyper, state, drawn, left, fold)
            histories.append(history)
        return _Part(state, histories, predicted)

    def _given(self, members: Sequence[Member], chunk_size: int) -> State:
        states = [self._states[member] for member in members]
        states += [states[-1]] * (chunk_size - len(states))
        return by_member(stack(states), self._engine.devices)

    def _trained(self, chunk: Chunk, parts: Sequence[_Part]) -> Trained:
        epochs, count = chunk.epochs - chunk.first_epoch, len(chunk.config_ids)
        history = np.concatenate([joined(part.histories, epochs) for part in parts])[:count]
        predicted = np.concatenate([np.asarray(part.predicted) for part in parts])[:count]
        last, best = self._epochs_of(chunk, parts)
        states: list[State] = []
        if self._keep_states:
            for part in parts:
                host: Tree = jax.tree.map(np.asarray, part.state)
                size = len(jax.tree.leaves(host)[0])
                states += [jax.tree.map(lambda a, i=i: a[i], host) for i in range(size)]
        return Trained(chunk, history, predicted, last, best, states[:count])

    def _epochs_of(self, chunk: Chunk, parts: Sequence[_Part]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the last and the best epoch of every member, (members,) int32 each."""
        stopping = [part.state.stopping for part in parts]
        count = len(chunk.config_ids)
        if None in stopping:
            last = np.full(count, chunk.epochs, np.int32)
            return last, last
        epochs = [(np.asarray(s.epochs), np.asarray(s.best)) for s in stopping if s]
        last, best = np.concatenate(epochs, axis=1)[:, :count]
        return last, best


def joined(histories: Sequence[jax.Array], epochs: int) -> np.ndarray:
    """Waits for the devices; returns (members, epochs, metrics) float32 history.

    Args:
      histories: of calls one after another, the last of which may have epochs not trained.
      epochs: that were trained.
    """
    together: np.ndarray = np.concatenate([np.asarray(part) for part in histories], axis=1)
    return together[:, :epochs]


def raise_unless_memory(error: jax.errors.JaxRuntimeError) -> None:
    """Raises an error of a device again, unless its memory did not suffice."""
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise error
