"""Several seeds of one config on one fold as one chunk: what a retraining trains.

The members of a sweep's chunks share a seed, and with it random numbers. Here each has its own, so
that a chunk of a single config is full as well.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import jax
import numpy as np

from gtzan_jax.errors import InputError
from gtzan_jax.space.config import Config
from gtzan_jax.tables.folds import FoldArrays
from gtzan_jax.trainer.calls import joined, raise_unless_memory
from gtzan_jax.trainer.chunk import Replica, Replicas
from gtzan_jax.trainer.draws import Draws
from gtzan_jax.trainer.planner import rounded_up
from gtzan_jax.trainer.programs import compile_drawing

if TYPE_CHECKING:
    from gtzan_jax.trainer.engine import Engine


def replicate(engine: "Engine", folds: Sequence[FoldArrays], wanted: Replicas) -> list[Replica]:
    """Trains one config on one fold with several seeds, for any number of epochs.

    Args:
      engine: of a sweep that has the config.
      folds: of the protocol.
      wanted: which.

    Returns:
      the replicas, in the order of the seeds.

    Raises:
      InputError: not even one member a device fits into memory.
    """
    config, seeds = engine.config(wanted.config_id), wanted.seeds
    size = max(map(len, engine.cut(engine.bucket_of[config.id], seeds)))
    size = max(size, wanted.program_size)
    placed = engine.placed(folds[wanted.fold])
    while True:
        job = _Job(engine, placed, config, wanted.fold, wanted.epochs, size)
        try:
            starts = range(0, len(seeds), size)
            return [r for start in starts for r in job.train(seeds[start : start + size])]
        except jax.errors.JaxRuntimeError as error:
            raise_unless_memory(error)
        if size <= len(engine.devices):
            raise InputError(
                f"out of memory: not even one network like {config.name} fits on each device"
            )
        size = -(-size // 2)


class _Job:
    """Trains seeds of a config on a fold, as many at a time as there is room for."""

    def __init__(
        self,
        engine: "Engine",
        placed: FoldArrays,
        config: Config,
        fold: int,
        epochs: int,
        size: int,
    ) -> None:
        self._engine, self._placed, self._config = engine, placed, config
        self._fold, self._epochs = np.uint32(fold), epochs
        size = rounded_up(size, len(engine.devices))
        with ThreadPoolExecutor(1) as pool:  # both compile at once
            drawing = pool.submit(compile_drawing, engine.drawn, engine.devices, size)
            self._program = engine.compile(engine.bucket_of[config.id], size, own_seeds=True)
            self._drawing = drawing.result()

    def train(self, seeds: Sequence[int]) -> list[Replica]:
        """Trains one replica a seed; the last one fills up what is left of the chunk."""
        size, config, draw = self._program.chunk_size, self._config, self._drawing
        filled = np.array([*seeds, *[seeds[-1]] * (size - len(seeds))], np.uint32)
        hyper = self._engine.hyperparameters([config.id], size)
        state = self._program.start(hyper, draw.initial(filled, self._fold))
        row, weight = self._placed.row, self._placed.train_weight
        histories = []
        for first in range(0, self._epochs, draw.epochs):
            number = np.uint32(first)
            drawn = Draws(draw.order(row, weight, filled, number), *draw.noise(filled, number))
            left = np.int32(min(draw.epochs, self._epochs - first))
            state, history, predicted = self._program.train(hyper, state, drawn, left, self._placed)
            histories.append(history)
            if state.stopping is not None and np.asarray(state.stopping.stopped).all():
                break
        together = joined(histories, self._epochs)
        params, classes = jax.tree.map(np.asarray, (state.kept, predicted))
        last, best = np.full((2, len(seeds)), self._epochs)
        if state.stopping is not None:
            last, best = np.asarray(state.stopping.epochs), np.asarray(state.stopping.best)
        kept = [
            self._engine.family.kept(jax.tree.map(lambda leaf, i=i: leaf[i], params), config)
            for i in range(len(seeds))
        ]
        return [
            Replica(kept[i], together[i, : last[i]], classes[i], int(best[i]))
            for i in range(len(seeds))
        ]
