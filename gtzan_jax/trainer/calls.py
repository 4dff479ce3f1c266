"""The calls that train a chunk: begun, waited for, and halved where memory did not suffice."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from gtzan_jax.models.family import Tree
from gtzan_jax.space.config import Member
from gtzan_jax.tables.folds import FoldArrays
from gtzan_jax.trainer.chunk import Chunk, Trained
from gtzan_jax.trainer.member import State
from gtzan_jax.trainer.programs import by_member, stack

if TYPE_CHECKING:
    from gtzan_jax.trainer.engine import Engine


class _Part(NamedTuple):
    """What one sequence of calls gives: a chunk, or a piece of one that did not fit."""

    state: State  # on the devices
    histories: list[jax.Array]  # (members, epochs of a call, metrics) for each call
    predicted: jax.Array  # (members, num_judged) uint8


class InFlight(NamedTuple):
    """A chunk in flight; its parts are None where memory did not suffice."""

    chunk: Chunk
    chunk_size: int  # of the program that it was begun with
    parts: list[_Part] | None


class Calls:
    """Begins chunks, and waits for them: one call of ``Engine.call``, whose arguments these are."""

    def __init__(
        self,
        engine: "Engine",
        folds: Sequence[FoldArrays],
        states: Mapping[Member, State],
        keep_states: bool,
    ) -> None:
        self._engine = engine
        self._folds = folds
        self._states = states
        self._keep_states = keep_states

    def begin(self, chunk: Chunk) -> InFlight:
        """Sets the devices to work on a chunk, in parts if its program has become smaller."""
        size = self._engine.program(chunk.bucket).chunk_size
        try:
            starts = range(0, len(chunk.config_ids), size)
            parts = [self._call(chunk, start, start + size) for start in starts]
        except jax.errors.JaxRuntimeError as error:
            raise_unless_memory(error)
            return InFlight(chunk, size, None)
        return InFlight(chunk, size, parts)

    def finish(self, in_flight: InFlight) -> Trained:
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
        fold = self._engine.placed(self._folds[chunk.fold])
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
