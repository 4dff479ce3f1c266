"""Many members at once: buckets of configs, chunks of them, all local devices.

The configs of a bucket share a compiled program. It trains a *chunk* of them, whose member
axis is split over the devices; a bucket is as many calls as it has chunks. Programs are
compiled on other threads while those that are ready train.
"""

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import jax
from absl import logging

from gtzan_jax.errors import InputError
from gtzan_jax.models.family import Family
from gtzan_jax.space.axes import FAMILIES
from gtzan_jax.space.config import Config, Member
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import FoldArrays, Sizes
from gtzan_jax.trainer import planner, repacking
from gtzan_jax.trainer.calls import Calls, InFlight
from gtzan_jax.trainer.chunk import Chunk, ProgramKey, Trained
from gtzan_jax.trainer.member import Hyperparameters, State, Static, hyperparameters
from gtzan_jax.trainer.planner import rounded_up
from gtzan_jax.trainer.programs import (
    Devices,
    Program,
    RandomNumbers,
    compile_drawing,
    compile_training,
    drawn_sizes,
    everywhere,
    shapes_of,
    stack,
)
from gtzan_jax.trainer.trainer import Trainer

T = TypeVar("T")

_COMPILE_THREADS = min(4, os.cpu_count() or 1)


class Engine(Trainer):
    """Trains members of a sweep in this process.

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
        self.devices: Devices = tuple(devices or jax.devices())
        super().__init__(
            sweep,
            family,
            sizes,
            num_runs,
            platform=self.devices[0].platform,
            num_devices=len(self.devices),
            chunk_size=chunk_size,
            mode=mode,
            configs=configs,
        )
        self.family = family
        self.drawn = drawn_sizes(
            family,
            planner.widest(bucket.structure for bucket in self.buckets),
            sizes,
            sorted({bucket.batch_size for bucket in self.buckets}),
            sweep.epochs,
            sweep.parts,
        )
        self._pool = ThreadPoolExecutor(_COMPILE_THREADS, "compile")
        self._random: dict[int, Future[RandomNumbers]] = {}  # by members with seeds of their own
        self._programs: dict[ProgramKey, Future[Program]] = {}
        self._placed: dict[int, tuple[FoldArrays, FoldArrays]] = {}
        self._draw(0)

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        # After an error nobody waits for programs that nobody needs.
        self._pool.shutdown(wait=error is None, cancel_futures=True)

    @property
    def place(self) -> str:
        """The devices."""
        return f"{len(self.devices)} {self.devices[0].platform} devices"

    @property
    def num_compiled(self) -> int:
        """Programs that are ready."""
        return len({key.bucket for key, program in self._programs.items() if program.done()})

    def run(
        self,
        chunks: Sequence[Chunk],
        folds: Sequence[FoldArrays],
        states: Mapping[Member, State] | None = None,
    ) -> Iterator[Trained]:
        """Trains chunks, see :meth:`Trainer.run`; where members may stop early, repacked."""
        if self.sweep.stops_early and not any(chunk.keep == "params" for chunk in chunks):
            return repacking.train(self, chunks, folds)
        return self.call(chunks, folds, states)

    def call(
        self,
        chunks: Sequence[Chunk],
        folds: Sequence[FoldArrays],
        states: Mapping[Member, State] | None = None,
    ) -> Iterator[Trained]:
        """Trains chunks as they are, and yields each when it is done.

        The next chunk trains while the caller looks at the last one.

        Args:
          chunks: from :meth:`chunks`.
          folds: of the protocol.
          states: that the members of chunks go on from whose first epoch is not 0.

        Raises:
          InputError: not even one member a device fits into memory.
        """
        for key in dict.fromkeys(chunk.program for chunk in chunks):
            if key not in self._programs:
                self._prepare(key, key.size)
        calls = Calls(self, folds, states or {})
        in_flight: deque[InFlight] = deque()
        for chunk in chunks:
            in_flight.append(calls.begin(chunk))
            if len(in_flight) > 1:
                yield calls.finish(in_flight.popleft())
        while in_flight:
            yield calls.finish(in_flight.popleft())

    def placed(self, fold: FoldArrays) -> FoldArrays:
        """Returns a fold on the devices, the same arrays for the same fold."""
        if id(fold) not in self._placed:
            self._placed[id(fold)] = (fold, everywhere(fold, self.devices))
        return self._placed[id(fold)][1]

    def forget(self, fold: FoldArrays) -> None:
        """Takes a fold off the devices."""
        self._placed.pop(id(fold), None)

    def hyperparameters(self, config_ids: Sequence[str]) -> Hyperparameters:
        """Stacks the hyperparameters of configs."""
        found = {
            i: hyperparameters(self.family, self._configs[i], self.sweep, self.sizes)
            for i in config_ids
        }
        return stack([found[i] for i in config_ids])

    def program(self, key: ProgramKey) -> Program:
        """Waits for a program of chunks that are run."""
        return self._wait(self._programs[key])

    def numbers(self, own_seeds: int = 0) -> RandomNumbers:
        """Waits for the programs that draw, of members with seeds of their own for so many."""
        return self._wait(self._draw(own_seeds))

    def halve(self, key: ProgramKey, chunk_size: int) -> None:
        """Replaces a program by one for half of the members that did not fit.

        Does nothing where that has been done for another chunk in flight.

        Raises:
          InputError: there is one member on each device already.
        """
        if self.program(key).chunk_size < chunk_size:
            return
        if chunk_size <= len(self.devices):
            widths = "-".join(map(str, self.buckets[key.bucket].structure))
            raise InputError(
                f"out of memory: not even one network of {widths} fits on each device; take larger "
                f"{FAMILIES[self.family.name]} out of the sweep, or use a device with more memory"
            )
        logging.warning("out of memory with %d networks at a time: trying half as many", chunk_size)
        self._prepare(key, -(-chunk_size // 2))

    def _prepare(self, key: ProgramKey, members: int) -> None:
        """Has a program compiled for so many members, and what draws for it."""
        self._programs[key] = self._pool.submit(self.compile, key, members)
        self._draw(rounded_up(members, len(self.devices)) if key.own_seeds else 0)

    def _draw(self, own_seeds: int) -> "Future[RandomNumbers]":
        if own_seeds not in self._random:
            self._random[own_seeds] = self._pool.submit(self._compile_drawing, own_seeds)
        return self._random[own_seeds]

    def _compile_drawing(self, own_seeds: int) -> RandomNumbers:
        drawing = compile_drawing(self.drawn, self.devices, own_seeds)
        calls = -(-self.sweep.epochs // drawing.epochs)
        return RandomNumbers(drawing, 0 if own_seeds else calls)  # no others share those

    def compile(self, key: ProgramKey, members: int) -> Program:
        """Compiles a program for so many members, see ``programs.compile_training``."""
        bucket = self.buckets[key.bucket]
        example = self.hyperparameters([self._order[bucket.places[0]]])
        return compile_training(
            Static(self.family, bucket.structure, bucket.batch_size, self.sweep.loss),
            self.drawn,
            shapes_of(jax.tree.map(lambda leaf: leaf[0], example)),
            rounded_up(members, len(self.devices)),
            self.devices,
            key.own_seeds,
            jax.config.values["jax_default_matmul_precision"],
        )

    def _wait(self, future: "Future[T]") -> T:
        started = time.perf_counter()
        result = future.result()
        self.compile_wait_s += time.perf_counter() - started
        return result
