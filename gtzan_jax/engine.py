"""Many members at once: ``vmap`` over members, ``jit``, chunks, all local devices.

The configs of a shape group share one compiled program. It trains a *chunk* of them, whose
member axis is split over the devices; a group is as many calls as it has chunks. Programs
are compiled on other threads while those that are ready train.
"""

import functools
import operator
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gtzan_jax.model import Params
from gtzan_jax.optimizers import Coefficients
from gtzan_jax.space import Config, Shape, Sweep
from gtzan_jax.splits import Dataset
from gtzan_jax.training import Data, HParams, hparams_of, make_train

T = TypeVar("T")

# Members that one device trains at a time. On a CPU a few members' weights and moments stay
# in the caches; an accelerator wants all the work it can get.
CHUNK_PER_DEVICE = {"cpu": 8, "gpu": 768, "tpu": 128}


class Sizes(NamedTuple):
    """The sizes of a dataset: all that compiling needs to know of it."""

    num_train: int
    num_test: int
    num_features: int
    num_classes: int

    @classmethod
    def of(cls, dataset: Dataset) -> "Sizes":
        """Returns the sizes of a dataset."""
        num_train, num_features = dataset.x_train.shape
        return cls(num_train, len(dataset.x_test), num_features, len(dataset.genres))


def data_of(dataset: Dataset) -> Data:
    """Returns the arrays of a dataset."""
    return Data(dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test)


@dataclass(frozen=True)
class Chunk:
    """Members that one call of a program has trained."""

    shape: Shape
    seed: int
    config_ids: tuple[int, ...]
    history: np.ndarray  # (members, epochs, 4) float32, in the order of training.METRICS


class Engine:
    """Trains all members of a sweep.

    Compiling starts with the construction, on other threads: it needs the sizes of the
    dataset only. Use as a context manager.

    Args:
      sweep: the sweep.
      sizes: the sizes of the dataset.
      devices: where to train; the member axis is split over them. Default: all.
      chunk_size: members of a chunk, rounded up to a multiple of the number of devices.
        Default: by platform, from ``CHUNK_PER_DEVICE``.
    """

    def __init__(
        self,
        sweep: Sweep,
        sizes: Sizes,
        devices: Sequence[jax.Device] | None = None,
        chunk_size: int | None = None,
    ) -> None:
        self.sweep = sweep
        self._sizes = sizes
        self._devices = tuple(devices or jax.devices())
        self._configs = sweep.configs()
        if chunk_size is None:
            chunk_size = CHUNK_PER_DEVICE.get(self._devices[0].platform, 8) * len(self._devices)
        self._groups = {
            shape: _even_chunks(ids, chunk_size, len(self._devices))
            for shape, ids in sweep.shape_groups().items()
        }
        self.compile_wait_s = 0.0
        self.train_wait_s = 0.0
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="compile")
        self._programs = {shape: self._pool.submit(self._compile, shape) for shape in self._groups}

    @property
    def num_programs(self) -> int:
        """Programs that the sweep needs, one for each shape group."""
        return len(self._programs)

    @property
    def num_compiled(self) -> int:
        """Those of them that are ready."""
        return sum(program.done() for program in self._programs.values())

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, data: Data, seeds: Sequence[int]) -> Iterator[Chunk]:
        """Trains every config with every seed, and yields each chunk when it is done.

        Args:
          data: the arrays of the dataset, of the sizes given at construction.
          seeds: each a replicate of every config.
        """
        placed = jax.device_put(data, NamedSharding(_mesh(self._devices), PartitionSpec()))
        for shape, chunks in self._groups.items():
            program = self._wait(self._programs[shape])
            for seed in seeds:
                for config_ids in chunks:
                    started = time.perf_counter()
                    history = self._train(program, config_ids, seed, placed)
                    self.train_wait_s += time.perf_counter() - started
                    yield Chunk(shape, seed, config_ids, history)

    def _compile(self, shape: Shape) -> "Program":
        size = max(len(ids) for ids in self._groups[shape])
        return compile_program(
            shape,
            self._sizes,
            self.sweep.epochs,
            self.sweep.batch_size,
            self.sweep.loss,
            -(-size // len(self._devices)) * len(self._devices),
            self._devices,
        )

    def _wait(self, future: "Future[Program]") -> "Program":
        started = time.perf_counter()
        program = future.result()
        self.compile_wait_s += time.perf_counter() - started
        return program

    def _train(
        self, program: "Program", config_ids: Sequence[int], seed: int, data: Data
    ) -> np.ndarray:
        configs = [self._configs[i] for i in config_ids]
        hparams = stack_hparams(configs, self.sweep, self._sizes, program.chunk_size)
        _, history = program.call(hparams, np.uint32(seed), data)
        return np.asarray(history)[: len(configs)]


class Program(NamedTuple):
    """A compiled program."""

    call: Any  # (hparams, seed, data) -> (params or None, history), members first
    chunk_size: int


@functools.cache
def compile_program(
    shape: Shape,
    sizes: Sizes,
    epochs: int,
    batch_size: int,
    loss: str,
    chunk_size: int,
    devices: tuple[jax.Device, ...],
    own_data: bool = False,
) -> Program:
    """Compiles the training of a chunk of members; once in a process for the same arguments.

    Args:
      shape: units of the hidden layers.
      sizes: the sizes of the dataset.
      epochs: passes over the train part.
      batch_size: rows of a batch.
      loss: a name from ``space.LOSSES``.
      chunk_size: members; a multiple of the number of devices.
      devices: over which the member axis is split.
      own_data: whether each member trains on arrays of its own and its parameters are
        returned; else all share the data and only histories are.
    """
    train = make_train(shape, sizes.num_classes, epochs, batch_size, loss)

    def train_chunk(
        hparams: HParams, seed: jax.Array, data: Data
    ) -> tuple[Params | None, jax.Array]:
        members = jax.vmap(train, in_axes=(0, None, 0 if own_data else None))
        params, history = members(hparams, seed, data)
        return (params if own_data else None), history

    by_member, everywhere = PartitionSpec("member"), PartitionSpec()
    # Members do not talk to each other: shard_map leaves the compiler no room to think so.
    sharded = jax.shard_map(
        train_chunk,
        mesh=_mesh(devices),
        in_specs=(by_member, everywhere, by_member if own_data else everywhere),
        out_specs=by_member,
        check_vma=False,
    )
    hparams, seed, data = _example_arguments(len(shape), sizes, chunk_size)
    if own_data:
        data = _stack([data] * chunk_size)
    lowered = jax.jit(sharded).lower(hparams, seed, data)
    return Program(lowered.compile(), chunk_size)


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
    sizes = Sizes.of(datasets[0])
    devices = tuple(jax.devices()[: len(datasets)])
    chunk_size = -(-len(datasets) // len(devices)) * len(devices)
    program = compile_program(
        config.shape, sizes, epochs, sweep.batch_size, sweep.loss, chunk_size, devices, True
    )
    filled = [*datasets, *[datasets[-1]] * (chunk_size - len(datasets))]
    hparams = stack_hparams([config], sweep, sizes, chunk_size)
    data = _stack([data_of(dataset) for dataset in filled])
    params, history = jax.tree.map(np.asarray, program.call(hparams, np.uint32(seed), data))
    return [
        (jax.tree.map(operator.itemgetter(i), params), history[i]) for i in range(len(datasets))
    ]


def stack_hparams(
    configs: Sequence[Config], sweep: Sweep, sizes: Sizes, chunk_size: int
) -> HParams:
    """Stacks the hyperparameters of configs, the last repeated up to the chunk's size."""
    members = [hparams_of(c, sweep, sizes.num_features, sizes.num_classes) for c in configs]
    members += [members[-1]] * (chunk_size - len(members))
    return _stack(members)


def _stack(trees: Sequence[T]) -> T:
    """Stacks trees of arrays of the same shapes along a new first axis."""
    stacked: T = jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
    return stacked


def _example_arguments(
    num_hidden: int, sizes: Sizes, chunk_size: int
) -> tuple[HParams, np.uint32, Data]:
    """Returns arguments of the shapes and types that a program is compiled for."""

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    hparams = HParams(
        limits=zeros(chunk_size, num_hidden + 1),
        dropout=zeros(chunk_size, num_hidden),
        slope=zeros(chunk_size),
        optimizer=Coefficients(*[zeros(chunk_size)] * len(Coefficients._fields)),
    )
    data = Data(
        x_train=zeros(sizes.num_train, sizes.num_features),
        y_train=np.zeros(sizes.num_train, np.int32),
        x_test=zeros(sizes.num_test, sizes.num_features),
        y_test=np.zeros(sizes.num_test, np.int32),
    )
    return hparams, np.uint32(0), data


def _even_chunks(ids: Sequence[int], most: int, multiple: int) -> list[tuple[int, ...]]:
    """Cuts ids into as few chunks of at most ``most`` as possible, of nearly equal size."""
    most = max(multiple, most)
    count = -(-len(ids) // most)
    size = -(-len(ids) // count)
    size = -(-size // multiple) * multiple
    return [tuple(ids[start : start + size]) for start in range(0, len(ids), size)]


@functools.cache
def _mesh(devices: tuple[jax.Device, ...]) -> Mesh:
    return Mesh(np.array(devices), ("member",))
