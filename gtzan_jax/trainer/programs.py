"""Compiles the programs that start and train a task."""

import functools
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import jax
import numpy as np
from absl import logging
from jax.sharding import NamedSharding

from gtzan_jax.errors import InputError
from gtzan_jax.models.family import Family
from gtzan_jax.models.layers import Array, Tree
from gtzan_jax.space.hyperparameters import FAMILIES
from gtzan_jax.tables.folds import FoldArrays
from gtzan_jax.trainer.drawing import (
    BY_TRIAL,
    EVERYWHERE,
    Devices,
    Drawing,
    Drawn,
    RandomNumbers,
    drawn_sizes,
    mesh_of,
    most_kept,
    stack,
)
from gtzan_jax.trainer.draws import Draws
from gtzan_jax.trainer.plan import Plan, rounded_up, widest
from gtzan_jax.trainer.task import ProgramKey
from gtzan_jax.trainer.trial import (
    Hyperparameters,
    Outcome,
    State,
    Static,
    hyperparameters,
    make_train,
    start,
)

T = TypeVar("T")

_COMPILE_THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Program:
    """The programs of a task. Arrays have a first axis of trials, except folds and shared draws."""

    start: Callable[[Hyperparameters, Tree], State]
    train: Callable[[Hyperparameters, State, Draws, Array, FoldArrays], Outcome]
    task_size: int


@functools.cache
def compile_training(
    static: Static,
    drawn: Drawn,
    example: Hyperparameters,
    fold: FoldArrays,
    task_size: int,
    devices: Devices,
    own_seeds: bool = False,
    matmul_precision: str | None = None,
) -> Program:
    """Compiles the training of a task; cached by arguments.

    ``example`` and ``fold`` have the shapes of one trial's hyperparameters and of a fold;
    ``task_size`` is a multiple of the number of devices; with ``own_seeds`` each trial has its own
    random numbers.
    """
    hyper = shapes_of(example, task_size)
    number, draw = np.uint32(0), Drawing.of(drawn)
    kernels = jax.eval_shape(draw.initial, number, number)
    numbers = Draws(
        jax.eval_shape(draw.order, fold.row, fold.train_weight, number, number),
        jax.eval_shape(draw.noise, number, number),
        *jax.eval_shape(draw.extras, number, number),
    )
    if own_seeds:
        kernels, numbers = shapes_of((kernels, numbers), task_size)
    axis, placed = (0, BY_TRIAL) if own_seeds else (None, EVERYWHERE)
    # Trials are independent, which shard_map states explicitly.
    shard = functools.partial(
        jax.shard_map, mesh=mesh_of(devices), out_specs=BY_TRIAL, check_vma=False
    )
    begin = shard(
        jax.vmap(functools.partial(start, static), in_axes=(0, axis)),
        in_specs=(BY_TRIAL, placed),
    )
    specs = (BY_TRIAL, BY_TRIAL, placed, EVERYWHERE, EVERYWHERE)
    train = shard(
        _many(make_train(static), own_seeds, static.family.trains_singly(devices[0].platform)),
        in_specs=specs,
    )
    state = jax.eval_shape(begin, hyper, kernels)
    # Else XLA's CPU compiler copies all weights in each step, in case a product reads them after
    # their update; other platforms analyse this by default.
    on_cpu = devices[0].platform == "cpu"
    faster: dict[str, str | bool] = {"xla_cpu_copy_insertion_use_region_analysis": True}
    with jax.default_matmul_precision(matmul_precision):
        # Repeated for unused arguments, whose sharding jit would not know.
        shardings = tuple(NamedSharding(mesh_of(devices), spec) for spec in specs)
        jitted = jax.jit(train, donate_argnums=1, in_shardings=shardings)
        lowered = jitted.lower(hyper, state, numbers, np.int32(0), fold)
    try:
        compiled = lowered.compile(compiler_options=faster if on_cpu else None)
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        compiled = lowered.compile()  # another version of XLA
    return Program(jax.jit(begin).lower(hyper, kernels).compile(), compiled, task_size)


class Programs:
    """The programs of a plan, compiled in other threads while tasks train."""

    def __init__(self, plan: Plan, family: Family, devices: Devices) -> None:
        self.wait_s = 0.0  # seconds that training waited for programs
        self._plan, self._family, self._devices = plan, family, devices
        self._drawn = drawn_sizes(
            family,
            widest(bucket.structure for bucket in plan.buckets),
            plan.sizes,
            sorted({bucket.batch_size for bucket in plan.buckets}),
            plan.sweep.epochs,
            plan.sweep.parts,
        )
        self.call_epochs = self._drawn.epochs  # the most of a call
        self._pool = ThreadPoolExecutor(_COMPILE_THREADS, "compile")
        self._programs: dict[ProgramKey, Future[Program]] = {}
        kept = min(-(-plan.sweep.epochs // self.call_epochs), most_kept(self._drawn))
        # The same for all programs.
        self._numbers = self._pool.submit(RandomNumbers, self._drawn, devices, kept)

    def shutdown(self, wait: bool) -> None:
        """Stops compiling; without ``wait``, cancels queued programs."""
        self._pool.shutdown(wait=wait, cancel_futures=not wait)

    @property
    def ready(self) -> set[int]:
        """The buckets whose program is compiled."""
        return {key.bucket for key, program in self._programs.items() if program.done()}

    def prepare(self, key: ProgramKey, fold: FoldArrays) -> None:
        """Starts compiling a program for folds of the same shapes, if not done yet."""
        if key not in self._programs:
            self._fold = shapes_of(fold)
            self._compile(key, key.size)

    def get(self, key: ProgramKey) -> Program:
        """Waits for a prepared program."""
        return self._wait(self._programs[key])

    def numbers(self) -> RandomNumbers:
        """Waits for the programs that draw random numbers."""
        return self._wait(self._numbers)

    def halve(self, key: ProgramKey, task_size: int) -> None:
        """Replaces a program with one for half as many trials, if not done yet."""
        if self.get(key).task_size < task_size:
            return
        if task_size <= len(self._devices):
            widths = "-".join(map(str, self._plan.buckets[key.bucket].structure))
            raise InputError(
                f"out of memory: a single network of {widths} does not fit on a device; remove the "
                f"largest {FAMILIES[self._family.name]} from the sweep, or use a device with more "
                "memory"
            )
        logging.warning("out of memory with %d networks at a time: trying half as many", task_size)
        self._compile(key, -(-task_size // 2))

    def hyperparameters(self, config_ids: Sequence[str]) -> Hyperparameters:
        """Stacks the hyperparameters of configs."""
        plan = self._plan
        found = {
            i: hyperparameters(self._family, plan.config_of[i], plan.sweep, plan.sizes)
            for i in config_ids
        }
        return stack([found[i] for i in config_ids])

    def _wait(self, future: "Future[T]") -> T:
        started = time.perf_counter()
        result = future.result()
        self.wait_s += time.perf_counter() - started
        return result

    def _compile(self, key: ProgramKey, trials: int) -> None:
        def compiled() -> Program:
            plan, bucket = self._plan, self._plan.buckets[key.bucket]
            first = list(plan.config_of.values())[bucket.places[0]]
            return compile_training(
                Static(self._family, bucket.structure, bucket.batch_size, plan.sweep.loss),
                self._drawn,
                shapes_of(hyperparameters(self._family, first, plan.sweep, plan.sizes)),
                self._fold,
                rounded_up(trials, len(self._devices)),
                self._devices,
                key.own_seeds,
                jax.config.values["jax_default_matmul_precision"],
            )

        self._programs[key] = self._pool.submit(compiled)


def shapes_of(tree: T, *first: int) -> T:
    """Replaces arrays with their hashable shapes and types; adds the axes ``first``."""
    shapes: T = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((*first, *leaf.shape), leaf.dtype), tree
    )
    return shapes


def _many(
    train: Callable[..., Outcome], own_seeds: bool, singly: bool
) -> Callable[[Hyperparameters, State, Draws, Array, FoldArrays], Outcome]:
    """Returns the training of many trials, all at once or one after another."""
    if not singly:
        return jax.vmap(train, in_axes=(0, 0, 0 if own_seeds else None, None, None))

    def one_by_one(
        hyper: Hyperparameters, state: State, draws: Draws, epochs: Array, fold: FoldArrays
    ) -> Outcome:
        def one(trial: tuple[Hyperparameters, State, Draws | None]) -> Outcome:
            return train(*trial[:2], trial[2] or draws, epochs, fold)

        outcome: Outcome = jax.lax.map(one, (hyper, state, draws if own_seeds else None))
        return outcome

    return one_by_one
