"""Draws the random numbers of a training on the devices, and caches them."""

import functools
import math
from collections.abc import Callable, Sequence, Set
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gtzan_jax.models.family import Family, Structure
from gtzan_jax.models.layers import Array, Tree
from gtzan_jax.tables.folds import FoldArrays, Sizes
from gtzan_jax.trainer import draws
from gtzan_jax.trainer.draws import Draws
from gtzan_jax.trainer.plan import row_bytes
from gtzan_jax.trainer.trial import positions

T = TypeVar("T")
Devices = tuple[jax.Device, ...]

Seeds = int | tuple[int, ...]
"""One for all trials, or one for each."""

BY_TRIAL, EVERYWHERE = PartitionSpec("trial"), PartitionSpec()

_EPOCHS, _DRAWN_BYTES = 10, 64e6  # the most for a call; longer training takes several calls
_KEPT_BYTES = 1e9  # the most for cached calls
_COPIED_BYTES = 1e8  # the most for cached copies by trial

_ALIGNED = 64  # bytes: XLA uses arrays at multiples of this address without a copy

_DRAWN_PARTS = frozenset({"input_noise", "mixup"})  # optional parts with their own random numbers


class Drawn(NamedTuple):
    """The sizes of the random numbers that all programs of an engine share."""

    family: Family
    structure: Structure  # of the widest program
    sizes: Sizes
    positions: int  # rows of all batches of an epoch, padding included; the most of all batch sizes
    epochs: int  # of a call
    parts: frozenset[str]  # of _DRAWN_PARTS


class Drawing(NamedTuple):
    """Functions, or compiled programs, that draw the parts of ``Draws``."""

    initial: Callable[[Array, Array], Tree]  # (seed, fold)
    noise: Callable[[Array, Array], Tree]  # (seed, first epoch)
    order: Callable[[Array, Array, Array, Array], Tree]  # (row, weight, seed, first epoch)
    extras: Callable[[Array, Array], tuple[Tree, Tree]]  # (seed, first epoch): inputs and mixup

    @classmethod
    def of(cls, drawn: Drawn) -> "Drawing":
        """Returns the functions, not compiled."""
        family, structure, sizes, rows, epochs, parts = drawn

        def extras(seed: Array, first: Array) -> tuple[Tree, Tree]:
            width = sizes.num_features
            noisy, mixed = "input_noise" in parts, "mixup" in parts
            inputs = draws.draw_inputs(width, rows, epochs, seed, first) if noisy else None
            # No more steps than rows.
            return inputs, draws.draw_mixup(rows, epochs, seed, first) if mixed else None

        return cls(
            functools.partial(draws.draw_initial, family, structure, sizes),
            functools.partial(draws.draw_noise, family, structure, rows, epochs),
            lambda row, weight, *key: draws.draw_order(row, weight, epochs, *key),
            extras,
        )


def drawn_sizes(
    family: Family,
    structure: Structure,
    sizes: Sizes,
    batch_sizes: Sequence[int],
    epochs: int,
    parts: Set[str] = frozenset(),
) -> Drawn:
    """Returns the sizes for training ``epochs`` in calls of nearly equal length."""
    most_rows = max(positions(sizes.num_train, size) for size in batch_sizes)
    drawn = Drawn(family, structure, sizes, most_rows, 1, _DRAWN_PARTS & parts)
    most = max(1, min(_EPOCHS, int(_DRAWN_BYTES // _epoch_bytes(drawn))))
    return drawn._replace(epochs=-(-epochs // -(-epochs // most)))


def most_kept(drawn: Drawn) -> int:
    """Returns the most calls to cache; beyond that, drawing again is cheaper."""
    return max(1, int(_KEPT_BYTES // (drawn.epochs * _epoch_bytes(drawn))))


def _epoch_bytes(drawn: Drawn) -> int:
    return drawn.positions * row_bytes(drawn.structure, drawn.sizes.num_features, drawn.parts)


@functools.cache
def compile_drawing(drawn: Drawn, devices: Devices) -> Drawing:
    """Compiles the programs that draw random numbers; cached by arguments.

    On a CPU, NumPy draws initial weights and orders, to the same bits: compiling takes longer.
    """
    # Full optimisation takes XLA three times as long and saves milliseconds.
    on_cpu = devices[0].platform == "cpu"
    options = {"xla_backend_optimization_level": 1} if on_cpu else None
    number = np.uint32(0)
    row, weight = (np.zeros(drawn.sizes.num_train, kind) for kind in (np.uint32, np.float32))
    sharding = NamedSharding(mesh_of(devices), EVERYWHERE)

    def compiled(draw: Callable[..., Tree], *arguments: Array) -> Callable[..., Tree]:
        jitted = jax.jit(draw, out_shardings=sharding, compiler_options=options)
        return jitted.lower(*arguments).compile()

    def on_host(draw: Callable[..., Tree], *_: Array) -> Callable[..., Tree]:
        return lambda *arguments: jax.device_put(draw(*arguments), sharding)

    prepared = on_host if on_cpu else compiled
    draw = Drawing.of(drawn)
    return Drawing(
        prepared(draw.initial, number, number),
        compiled(draw.noise, number, number),
        prepared(draw.order, row, weight, number, number),
        compiled(draw.extras, number, number) if drawn.parts else draw.extras,
    )


class RandomNumbers:
    """Draws random numbers on the devices; caches ``kept`` calls.

    Numbers of one seed are copied to all devices; numbers of several seeds are split over them.
    """

    def __init__(self, drawn: Drawn, devices: Devices, kept: int) -> None:
        self.epochs = drawn.epochs  # of a call
        self._call_bytes = drawn.epochs * _epoch_bytes(drawn)
        self._devices, self._kept, drawing = devices, kept, compile_drawing(drawn, devices)

        def order(seed: np.uint32, first: np.uint32) -> Tree:
            if self._fold is None:
                raise AssertionError("draws has not set the fold")
            return drawing.order(self._fold.row, self._fold.train_weight, seed, first)

        def noise(seed: np.uint32, first: np.uint32) -> Tree:
            return drawing.noise(seed, first), *drawing.extras(seed, first)

        self._initial, self._noise = self._by_seed(drawing.initial, 1), self._by_seed(noise, kept)
        self._order, self._orders = order, self._by_seed(order, kept)
        self._fold: FoldArrays | None = None

    def initial(self, seeds: Seeds, fold: int) -> Tree:
        """Returns the random numbers for initial weights."""
        return self._initial(seeds, fold)

    def draws(self, fold: FoldArrays, seeds: Seeds, first: int) -> Draws:
        """Returns the random numbers of the epochs from ``first`` on, for a fold on the devices."""
        if fold is not self._fold:  # arrays cannot be cache keys
            self._fold, self._orders = fold, self._by_seed(self._order, self._kept)
        return Draws(self._orders(seeds, first), *self._noise(seeds, first))

    def _by_seed(
        self, draw: Callable[[np.uint32, np.uint32], Tree], kept: int
    ) -> Callable[[Seeds, int], Tree]:
        """Returns a cached function of seeds; several seeds add a first axis."""
        pile = _piled if self._devices[0].platform == "cpu" else jnp.stack
        alone = functools.lru_cache(kept)(lambda *of: draw(*map(np.uint32, of)))

        def together(seeds: tuple[int, ...], of: int) -> Tree:
            each = {seed: alone(seed, of) for seed in dict.fromkeys(seeds)}
            piled = jax.tree.map(lambda *parts: pile(parts), *(each[seed] for seed in seeds))
            return by_trial(piled, self._devices)

        repeated = functools.lru_cache(kept)(together)  # copies of one seed, for a sweep

        def drawn(seeds: Seeds, of: int) -> Tree:
            if isinstance(seeds, int):
                return alone(seeds, of)
            few = len(seeds) * kept * self._call_bytes <= _COPIED_BYTES
            return (repeated if few and len(set(seeds)) == 1 else together)(seeds, of)

        return drawn


def _piled(parts: Sequence[Array]) -> np.ndarray:
    """Stacks arrays at an address where JAX needs no copy; compiles nothing."""
    dtype, shape = parts[0].dtype, (len(parts), *parts[0].shape)
    room = np.empty(math.prod(shape) * dtype.itemsize + _ALIGNED, np.uint8)
    start = -room.ctypes.data % _ALIGNED
    piled = room[start : start + room.size - _ALIGNED].view(dtype).reshape(shape)
    return np.stack(parts, out=piled)


@functools.cache
def mesh_of(devices: Devices) -> Mesh:
    """Returns a one-dimensional mesh of the devices, with the axis ``trial``."""
    return Mesh(np.array(devices), ("trial",))


def everywhere(fold: FoldArrays, devices: Devices) -> FoldArrays:
    """Copies arrays to all devices."""
    placed: FoldArrays = jax.device_put(fold, NamedSharding(mesh_of(devices), EVERYWHERE))
    return placed


def by_trial(tree: T, devices: Devices) -> T:
    """Splits the first axis, trials, over the devices."""
    placed: T = jax.device_put(tree, NamedSharding(mesh_of(devices), BY_TRIAL))
    return placed


def stack(trees: Sequence[T]) -> T:
    """Stacks trees of arrays of the same shapes along a new first axis."""
    stacked: T = jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
    return stacked
