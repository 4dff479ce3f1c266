"""The calls that train a chunk: begun, waited for, and halved where memory did not suffice."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from gtzan_jax.models.family import Tree
from gtzan_jax.space.config import Member
from gtzan_jax.tables.folds import FoldArrays
from gtzan_jax.trainer.chunk import Chunk, Trained
from gtzan_jax.trainer.member import State
from gtzan_jax.trainer.programs import Program, Seeds, by_member, stack

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
    ) -> None:
        self._engine = engine
        self._folds = folds
        self._states = states

    def begin(self, chunk: Chunk) -> InFlight:
        """Sets the devices to work on a chunk, in parts if its program has become smaller."""
        program, members = self._engine.program(chunk.program), chunk.members
        size = program.chunk_size
        try:
            starts = range(0, len(members), size)
            parts = [self._call(chunk, program, members[s : s + size]) for s in starts]
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
            self._engine.halve(in_flight.chunk.program, in_flight.chunk_size)
            in_flight = self.begin(in_flight.chunk)

    def _call(self, chunk: Chunk, program: Program, members: Sequence[Member]) -> _Part:
        """Trains members of a chunk, call after call, and does not wait for the devices."""
        size, own_seeds = program.chunk_size, chunk.program.own_seeds
        members = [*members, *[members[-1]] * (size - len(members))]
        seeds: Seeds = tuple(member.seed for member in members) if own_seeds else chunk.seed
        numbers = self._engine.numbers(size if own_seeds else 0)
        hyper = self._engine.hyperparameters([member.config_id for member in members])
        if chunk.first_epoch:
            states = stack([self._states[member] for member in members])
            state = by_member(states, self._engine.devices)
        else:
            state = program.start(hyper, numbers.initial(seeds, chunk.fold))
        fold = self._engine.placed(self._folds[chunk.fold])
        histories = []
        for first in range(chunk.first_epoch, chunk.epochs, numbers.epochs):
            drawn = numbers.draws(fold, seeds, first)
            left = np.int32(min(numbers.epochs, chunk.epochs - first))
            state, history, predicted = program.train(hyper, state, drawn, left, fold)
            histories.append(history)
            more = first + numbers.epochs < chunk.epochs
            if more and state.stopping and np.asarray(state.stopping.stopped).all():
                break  # waits for the device, where nobody is repacked
        return _Part(state, histories, predicted)

    def _trained(self, chunk: Chunk, parts: Sequence[_Part]) -> Trained:
        epochs, count = chunk.epochs - chunk.first_epoch, len(chunk.members)
        history = np.concatenate([joined(part.histories, epochs) for part in parts])[:count]
        predicted = np.concatenate([np.asarray(part.predicted) for part in parts])[:count]
        last, best = self._epochs_of(chunk, parts)
        trained = Trained(chunk, history, predicted, last, best)
        if chunk.keep == "states":
            states = [state for part in parts for state in _each(part.state)]
            return dataclasses.replace(trained, states=states[:count])
        if chunk.keep == "params":
            kept = [params for part in parts for params in _each(part.state.kept)]
            family, configs = self._engine.family, map(self._engine.config, chunk.config_ids)
            params = [family.kept(p, config) for p, config in zip(kept, configs, strict=False)]
            return dataclasses.replace(trained, params=params)
        return trained

    def _epochs_of(self, chunk: Chunk, parts: Sequence[_Part]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the last and the best epoch of every member, (members,) int32 each."""
        stopping = [part.state.stopping for part in parts]
        count = len(chunk.members)
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
      epochs: to return, 0 where all members had stopped before.
    """
    together: np.ndarray = np.concatenate([np.asarray(part) for part in histories], axis=1)
    left = max(0, epochs - together.shape[1])
    return np.pad(together[:, :epochs], [(0, 0), (0, left), (0, 0)])


def _each(tree: Tree) -> list[Tree]:
    """Brings what members have to the host, and takes it apart."""
    host: Tree = jax.tree.map(np.asarray, tree)
    count = len(jax.tree.leaves(host)[0])
    return [jax.tree.map(lambda leaf, i=i: leaf[i], host) for i in range(count)]


def raise_unless_memory(error: jax.errors.JaxRuntimeError) -> None:
    """Raises an error of a device again, unless its memory did not suffice."""
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise error
