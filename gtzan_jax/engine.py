"""Many members at once: buckets of configs, chunks of them, all local devices.

The configs of a bucket share a compiled program. It trains a *chunk* of them, whose member
axis is split over the devices; a bucket is as many calls as it has chunks. Programs are
compiled on other threads while those that are ready train.
"""

import operator
import os
import reprlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import jax
import numpy as np
from absl import logging

from gtzan_jax import batching
from gtzan_jax.batching import COSTS, Bucket
from gtzan_jax.errors import InputError
from gtzan_jax.model import Params, without_padding
from gtzan_jax.programs import (
    Devices,
    Program,
    RandomNumbers,
    compile_drawing,
    compile_training,
    epochs_of_a_call,
    everywhere,
    joined,
    stack,
    train_chunk,
)
from gtzan_jax.space import Config, Shape, Sweep
from gtzan_jax.splits import Dataset, Sizes
from gtzan_jax.training import Data, HParams, hparams_of

T = TypeVar("T")

_COMPILE_THREADS = min(4, os.cpu_count() or 1)


def data_of(dataset: Dataset) -> Data:
    """Returns the arrays of a dataset."""
    return Data(dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test)


@dataclass(frozen=True)
class Chunk:
    """Members that one call of a program has trained."""

    bucket: Bucket
    seed: int
    config_ids: tuple[int, ...]
    history: np.ndarray  # (members, epochs, 4) float32, in the order of training.METRICS

    def __repr__(self) -> str:
        members = f"{len(self.config_ids)} members of seed {self.seed}"
        return f"Chunk({members}, widths {self.bucket.widths})"


class _Running(NamedTuple):
    """A chunk that the devices are at, or whose memory did not suffice (then no histories)."""

    bucket: Bucket
    seed: int
    config_ids: tuple[int, ...]
    histories: list[list[jax.Array]] | None  # by part of the chunk and by call


class Engine:
    """Trains all members of a sweep.

    Compiling starts with the construction, on other threads: it needs the sizes of the
    dataset only. Use as a context manager.

    Args:
      sweep: the sweep.
      sizes: the sizes of the dataset.
      num_seeds: members of each config that there will be; helps to plan.
      devices: where to train; the member axis is split over them. Default: all.
      chunk_size: members of a chunk, rounded up to a multiple of the number of devices.
        Default: by platform and width.
      mode: which shape groups share a program, a name from ``batching.MODES``.
    """

    def __init__(
        self,
        sweep: Sweep,
        sizes: Sizes,
        num_seeds: int = 1,
        devices: Sequence[jax.Device] | None = None,
        chunk_size: int | None = None,
        mode: str = "auto",
    ) -> None:
        self.sweep = sweep
        self.devices: Devices = tuple(devices or jax.devices())
        self._sizes = sizes
        self._configs = sweep.configs()
        costs = COSTS.get(self.devices[0].platform, COSTS["cpu"])

        def seconds(widths: Shape) -> float:
            return num_seeds * batching.flops_of(widths, sizes, sweep.epochs) / costs.flops

        groups = sweep.shape_groups()
        self.chunks = {
            bucket: _even_chunks(
                bucket.config_ids,
                chunk_size or batching.chunk_size(bucket.widths, sizes, costs) * len(self.devices),
                len(self.devices),
            )
            for bucket in batching.plan(groups, seconds, costs.compile_s, mode)
        }
        self.compile_wait_s = 0.0
        self._widths = batching.widest(bucket.widths for bucket in self.chunks)
        self._call_epochs = epochs_of_a_call(sweep.epochs, self._widths, sizes.num_train)
        self._pool = ThreadPoolExecutor(_COMPILE_THREADS, thread_name_prefix="compile")
        self._random = self._pool.submit(self._compile_drawing)
        self._programs = {
            bucket: self._pool.submit(self._compile, bucket, max(map(len, chunks)))
            for bucket, chunks in self.chunks.items()
        }

    def __repr__(self) -> str:
        devices = f"{len(self.devices)} {self.devices[0].platform} devices"
        return (
            f"Engine({reprlib.repr(self.sweep.name)}, {len(self._configs):,} configs, "
            f"{self.num_programs} programs, {devices})"
        )

    @property
    def num_programs(self) -> int:
        """Training programs that the sweep needs, one for each bucket."""
        return len(self._programs)

    @property
    def num_compiled(self) -> int:
        """Those of them that are ready."""
        return sum(program.done() for program in self._programs.values())

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, error: object, *exc_info: object) -> None:
        # After an error nobody waits for programs that nobody needs.
        self._pool.shutdown(wait=error is None, cancel_futures=True)

    def run(
        self,
        data: Data,
        seeds: Sequence[int],
        skip: Callable[[int, Sequence[int]], bool] | None = None,
    ) -> Iterator[Chunk]:
        """Trains every config with every seed, and yields each chunk when it is done.

        The next chunk trains while the caller looks at the last one.

        Args:
          data: the arrays of the dataset, of the sizes given at construction.
          seeds: each a replicate of every config.
          skip: tells of a seed and config ids whether to leave their chunk out.

        Raises:
          InputError: not even one member a device fits into memory.
        """
        placed = everywhere(data, self.devices)
        # A seed's random numbers serve all buckets: one seed after another, as few are kept.
        todo = [
            (bucket, seed, ids)
            for seed in seeds
            for bucket, chunks in self.chunks.items()
            for ids in chunks
            if skip is None or not skip(seed, ids)
        ]
        for bucket in self.chunks.keys() - {bucket for bucket, _, _ in todo}:
            self._programs[bucket].cancel()
        running: deque[_Running] = deque()
        for bucket, seed, ids in todo:
            running.append(self._begin(bucket, seed, ids, placed))
            if len(running) > 1:
                yield self._finish(running.popleft(), placed)
        while running:
            yield self._finish(running.popleft(), placed)

    def train_one(
        self, config: Config, data: Data, seed: int, epochs: int
    ) -> tuple[Params, np.ndarray]:
        """Trains one config of the sweep on the sweep's programs, for any number of epochs.

        Returns:
          the parameters (see ``model.initial_params``) as NumPy arrays, and the history
          (epochs, 4) float32 in the order of ``training.METRICS``.
        """
        config_id = self._configs.index(config)
        bucket = next(bucket for bucket in self.chunks if config_id in bucket.config_ids)
        program = self._program(bucket)
        hparams = self._hparams([config_id], program.chunk_size)
        placed = everywhere(data, self.devices)
        state, histories = train_chunk(program, self._numbers(), hparams, seed, placed, epochs)
        params = jax.tree.map(lambda leaf: np.asarray(leaf)[0], state.params)
        return without_padding(params, config.shape), joined(histories, epochs)[0]

    def _begin(self, bucket: Bucket, seed: int, ids: tuple[int, ...], data: Data) -> _Running:
        """Sets the devices to work on a chunk, in parts if its program has become smaller."""
        try:
            program = self._program(bucket)
            histories = []
            for start in range(0, len(ids), program.chunk_size):
                hparams = self._hparams(ids[start : start + program.chunk_size], program.chunk_size)
                _, part = train_chunk(
                    program, self._numbers(), hparams, seed, data, self.sweep.epochs
                )
                histories.append(part)
        except jax.errors.JaxRuntimeError as error:
            _raise_unless_memory(error)
            return _Running(bucket, seed, ids, None)
        return _Running(bucket, seed, ids, histories)

    def _finish(self, running: _Running, data: Data) -> Chunk:
        """Waits for a chunk; one that did not fit into memory is tried again in halves."""
        bucket, seed, ids, histories = running
        while True:
            try:
                if histories is not None:
                    history = np.concatenate([joined(h, self.sweep.epochs) for h in histories])
                    return Chunk(bucket, seed, ids, history[: len(ids)])
            except jax.errors.JaxRuntimeError as error:
                _raise_unless_memory(error)
            self._halve(bucket, len(ids))
            histories = self._begin(bucket, seed, ids, data).histories

    def _halve(self, bucket: Bucket, members: int) -> None:
        """Replaces a bucket's program by one for half as many members."""
        size = min(self._programs[bucket].result().chunk_size, members)
        if size <= len(self.devices):
            units = "-".join(map(str, bucket.widths))
            raise InputError(
                f"out of memory: not even one network of {units} units fits on each device; take "
                "larger num_units out of the sweep, or use a device with more memory"
            )
        logging.warning("out of memory with %d networks at a time: trying half as many", size)
        self._programs[bucket] = self._pool.submit(self._compile, bucket, -(-size // 2))

    def _hparams(self, config_ids: Sequence[int], chunk_size: int) -> HParams:
        configs = [self._configs[i] for i in config_ids]
        return stack_hparams(configs, self.sweep, self._sizes, chunk_size)

    def _compile_drawing(self) -> RandomNumbers:
        sweep = self.sweep
        drawing = compile_drawing(
            self._widths, self._sizes, self._call_epochs, sweep.batch_size, self.devices
        )
        return RandomNumbers(drawing, -(-sweep.epochs // drawing.epochs))

    def _compile(self, bucket: Bucket, members: int) -> Program:
        return compile_training(
            bucket.widths,
            self._widths,
            self._sizes,
            self._call_epochs,
            self.sweep.batch_size,
            self.sweep.loss,
            _rounded_up(members, len(self.devices)),
            self.devices,
        )

    def _program(self, bucket: Bucket) -> Program:
        return self._wait(self._programs[bucket])

    def _numbers(self) -> RandomNumbers:
        return self._wait(self._random)

    def _wait(self, future: "Future[T]") -> T:
        started = time.perf_counter()
        result = future.result()
        self.compile_wait_s += time.perf_counter() - started
        return result


def train_on_each(
    config: Config, sweep: Sweep, datasets: Sequence[Dataset], seed: int, epochs: int
) -> list[tuple[Params, np.ndarray]]:
    """Trains one config on each of several datasets of the same sizes, as a batch of members.

    Args:
      config: what to train.
      sweep: gives the loss, the batch size and the learning rates.
      datasets: such as different splits of one feature table.
      seed: the members share it, hence initial weights and dropout noise.
      epochs: passes over the train part.

    Returns:
      for each dataset the parameters (see ``model.initial_params``) as NumPy arrays, and the
      history (epochs, 4) float32 in the order of ``training.METRICS``.
    """
    sizes, widths = Sizes.of(datasets[0]), config.shape
    devices = tuple(jax.devices()[: len(datasets)])
    chunk_size = _rounded_up(len(datasets), len(devices))
    call = epochs_of_a_call(epochs, widths, sizes.num_train)
    drawing = compile_drawing(widths, sizes, call, sweep.batch_size, devices)
    program = compile_training(
        widths, widths, sizes, call, sweep.batch_size, sweep.loss, chunk_size, devices, True
    )
    filled = [*datasets, *[datasets[-1]] * (chunk_size - len(datasets))]
    hparams = stack_hparams([config], sweep, sizes, chunk_size)
    data = stack([data_of(dataset) for dataset in filled])
    state, histories = train_chunk(program, RandomNumbers(drawing, 1), hparams, seed, data, epochs)
    params, history = jax.tree.map(np.asarray, state.params), joined(histories, epochs)
    return [
        (jax.tree.map(operator.itemgetter(i), params), history[i]) for i in range(len(datasets))
    ]


def stack_hparams(
    configs: Sequence[Config], sweep: Sweep, sizes: Sizes, chunk_size: int
) -> HParams:
    """Stacks the hyperparameters of configs, the last repeated up to the chunk's size."""
    members = [hparams_of(c, sweep, sizes.num_features, sizes.num_classes) for c in configs]
    members += [members[-1]] * (chunk_size - len(members))
    return stack(members)


def _even_chunks(ids: Sequence[int], most: int, multiple: int) -> list[tuple[int, ...]]:
    """Cuts ids into as few chunks of at most ``most`` as possible, of nearly equal size."""
    count = -(-len(ids) // max(multiple, most))
    size = _rounded_up(-(-len(ids) // count), multiple)
    return [tuple(ids[start : start + size]) for start in range(0, len(ids), size)]


def _rounded_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _raise_unless_memory(error: jax.errors.JaxRuntimeError) -> None:
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise error
