"""The compiled programs: what draws random numbers, starts a chunk of members and trains it."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gtzan_jax.optimizers import Coefficients
from gtzan_jax.splits import Sizes
from gtzan_jax.training import (
    Data,
    HParams,
    State,
    draw_epochs,
    draw_kernels,
    make_train,
    start,
)

T = TypeVar("T")
Devices = tuple[jax.Device, ...]

_BY_MEMBER, _EVERYWHERE = PartitionSpec("member"), PartitionSpec()

# Epochs of a call, at most, and bytes of their random numbers. A longer training is several
# calls of the same program, between which nothing leaves the device.
_EPOCHS, _DRAWN_BYTES = 10, 64e6


class Drawing(NamedTuple):
    """Programs that draw a seed's random numbers, for all members that share it."""

    kernels: Any  # (seed) -> kernels
    draws: Any  # (seed, first epoch) -> Draws of ``epochs`` epochs
    epochs: int


class Program(NamedTuple):
    """Programs that train a chunk of members."""

    start: Any  # (hparams, kernels) -> state
    train: Any  # (hparams, state, draws, epochs, data) -> (state, history), members first
    chunk_size: int


def epochs_of_a_call(epochs: int, widths: Sequence[int], num_train: int) -> int:
    """Returns how many epochs a call trains, so that calls are of nearly equal length.

    Args:
      epochs: of the whole training.
      widths: units of the hidden layers; dropout takes two random bytes a row and unit.
      num_train: rows of the train part.
    """
    most = max(1, min(_EPOCHS, int(_DRAWN_BYTES // (2 * num_train * sum(widths)))))
    return -(-epochs // -(-epochs // most))


@functools.cache
def compile_drawing(
    widths: tuple[int, ...], sizes: Sizes, epochs: int, batch_size: int, devices: Devices
) -> Drawing:
    """Compiles the programs that draw; once in a process for the same arguments.

    Args:
      widths: units of the hidden layers, those of the widest program that uses the numbers.
      sizes: the sizes of the dataset.
      epochs: drawn in a call.
      batch_size: rows of a batch.
      devices: which all get the same numbers.
    """
    everywhere = NamedSharding(mesh_of(devices), _EVERYWHERE)
    number = np.uint32(0)

    def kernels(seed: jax.Array) -> list[jax.Array]:
        return draw_kernels(seed, (sizes.num_features, *widths, sizes.num_classes))

    def batches(seed: jax.Array, first: jax.Array) -> Any:
        return draw_epochs(seed, first, epochs, widths, sizes.num_train, batch_size)

    # Random bits are long straight code: XLA's CPU compiler takes three times as long to
    # optimise it fully, for a program that runs for milliseconds.
    on_cpu = devices[0].platform == "cpu"
    options = {"xla_backend_optimization_level": 1} if on_cpu else None
    draw = functools.partial(jax.jit, out_shardings=everywhere, compiler_options=options)
    return Drawing(
        draw(kernels).lower(number).compile(),
        draw(batches).lower(number, number).compile(),
        epochs,
    )


@functools.cache
def compile_training(
    widths: tuple[int, ...],
    drawn_widths: tuple[int, ...],
    sizes: Sizes,
    epochs: int,
    batch_size: int,
    loss: str,
    chunk_size: int,
    devices: Devices,
    own_data: bool = False,
) -> Program:
    """Compiles the training of a chunk of members; once in a process for the same arguments.

    Args:
      widths: units of the hidden layers, padding included.
      drawn_widths: those that random numbers are drawn for, at least as many.
      sizes: the sizes of the dataset.
      epochs: trained in a call, at most.
      batch_size: rows of a batch.
      loss: a name from ``space.LOSSES``.
      chunk_size: members; a multiple of the number of devices.
      devices: over which the member axis is split.
      own_data: whether each member trains on arrays of its own; else all share the data.
    """
    train_one = make_train(widths, sizes.num_classes, loss)
    hparams = _example_hparams(len(widths), chunk_size)
    data = _example_data(sizes)
    if own_data:
        data = stack([data] * chunk_size)
    kernels = jax.eval_shape(
        lambda: draw_kernels(np.uint32(0), (sizes.num_features, *drawn_widths, sizes.num_classes))
    )
    draws = jax.eval_shape(
        lambda: draw_epochs(
            np.uint32(0), np.uint32(0), epochs, drawn_widths, sizes.num_train, batch_size
        )
    )
    # Members do not talk to each other: shard_map leaves the compiler no room to think so.
    shard = functools.partial(
        jax.shard_map, mesh=mesh_of(devices), out_specs=_BY_MEMBER, check_vma=False
    )
    data_axis, data_spec = (0, _BY_MEMBER) if own_data else (None, _EVERYWHERE)
    begin = shard(
        jax.vmap(functools.partial(start, widths=widths), in_axes=(0, None)),
        in_specs=(_BY_MEMBER, _EVERYWHERE),
    )
    train = shard(
        jax.vmap(train_one, in_axes=(0, 0, None, None, data_axis)),
        in_specs=(_BY_MEMBER, _BY_MEMBER, _EVERYWHERE, _EVERYWHERE, data_spec),
    )
    state = jax.eval_shape(begin, hparams, kernels)
    return Program(
        jax.jit(begin).lower(hparams, kernels).compile(),
        jax.jit(train, donate_argnums=1).lower(hparams, state, draws, np.int32(0), data).compile(),
        chunk_size,
    )


class RandomNumbers:
    """Draws random numbers on the devices, and keeps the last for members that share them.

    Args:
      drawing: the programs.
      kept: calls whose numbers are kept, such as those of a whole training.
    """

    def __init__(self, drawing: Drawing, kept: int) -> None:
        self.epochs = drawing.epochs
        self.kernels = functools.lru_cache(1)(lambda seed: drawing.kernels(np.uint32(seed)))
        self.draws = functools.lru_cache(kept)(
            lambda seed, first: drawing.draws(np.uint32(seed), np.uint32(first))
        )


def train_chunk(
    program: Program, numbers: RandomNumbers, hparams: HParams, seed: int, data: Data, epochs: int
) -> tuple[State, list[jax.Array]]:
    """Sets the devices to train a chunk, call after call, and does not wait for them.

    Returns:
      the state after the last epoch, and for each call (members, epochs of a call, 4) float32
      histories, to be put together by :func:`joined`.
    """
    state = program.start(hparams, numbers.kernels(seed))
    histories = []
    for first in range(0, epochs, numbers.epochs):
        draws = numbers.draws(seed, first)
        left = np.int32(min(numbers.epochs, epochs - first))
        state, history = program.train(hparams, state, draws, left, data)
        histories.append(history)
    return state, histories


def joined(histories: Sequence[jax.Array], epochs: int) -> np.ndarray:
    """Waits for the devices; returns (members, epochs, 4) float32 history."""
    together: np.ndarray = np.concatenate([np.asarray(part) for part in histories], axis=1)
    return together[:, :epochs]


def stack(trees: Sequence[T]) -> T:
    """Stacks trees of arrays of the same shapes along a new first axis."""
    stacked: T = jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
    return stacked


@functools.cache
def mesh_of(devices: Devices) -> Mesh:
    """Returns the devices in a row, along which members are laid out."""
    return Mesh(np.array(devices), ("member",))


def everywhere(data: Data, devices: Devices) -> Data:
    """Puts the same arrays on all devices."""
    placed: Data = jax.device_put(data, NamedSharding(mesh_of(devices), _EVERYWHERE))
    return placed


def _example_hparams(num_hidden: int, chunk_size: int) -> HParams:
    def zeros(*shape: int) -> np.ndarray:
        return np.zeros((chunk_size, *shape), np.float32)

    return HParams(
        limits=zeros(num_hidden + 1),
        units=np.zeros((chunk_size, num_hidden), np.int32),
        dropout=zeros(num_hidden),
        slope=zeros(),
        optimizer=Coefficients(*[zeros()] * len(Coefficients._fields)),
    )


def _example_data(sizes: Sizes) -> Data:
    return Data(
        x_train=np.zeros((sizes.num_train, sizes.num_features), np.float32),
        y_train=np.zeros(sizes.num_train, np.int32),
        x_test=np.zeros((sizes.num_test, sizes.num_features), np.float32),
        y_test=np.zeros(sizes.num_test, np.int32),
    )
