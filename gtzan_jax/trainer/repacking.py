"""Members that stop early make room: chunks are repacked between calls.

Members that share a program and random numbers are trained in *waves* of several chunks. After
each call the members that have stopped leave the wave, and the others are packed into fewer
chunks, so that a stopped member costs nothing from the next call on.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gtzan_jax.metrics import METRICS
from gtzan_jax.space.config import Member
from gtzan_jax.tables.folds import FoldArrays
from gtzan_jax.trainer.chunk import Chunk, Trained, waves
from gtzan_jax.trainer.member import State

if TYPE_CHECKING:
    from gtzan_jax.trainer.engine import Engine


class _Ended(NamedTuple):
    """What a member has come to so far; see :class:`Trained`."""

    history: np.ndarray  # (epochs of the sweep, metrics) float32
    predicted: np.ndarray  # (num_judged,) uint8
    last: int
    best: int


def train(
    engine: "Engine", chunks: Sequence[Chunk], folds: Sequence[FoldArrays]
) -> Iterator[Trained]:
    """Trains chunks whose members may stop early, as ``Engine.call``, all from epoch 0 on."""
    for wave in waves(chunks, stops_early=True):
        yield from _train_wave(engine, wave, folds)


def _train_wave(
    engine: "Engine", wave: Sequence[Chunk], folds: Sequence[FoldArrays]
) -> Iterator[Trained]:
    epochs, call = wave[0].epochs, engine.drawn.epochs
    ended: dict[Member, _Ended] = {}
    pieces = [dataclasses.replace(chunk, epochs=min(call, epochs), keep="states") for chunk in wave]
    states: dict[Member, State] = {}
    while pieces:
        first, until = pieces[0].first_epoch, pieces[0].epochs
        going_on: dict[Member, State] = {}
        for trained in engine.call(pieces, folds, states):
            for place, member in enumerate(trained.chunk.members):
                before = ended[member].history if first else _no_history(epochs)
                before[first:until] = trained.history[place]
                ended[member] = _Ended(
                    before, trained.predicted[place], trained.last[place], trained.best[place]
                )
                stopping = trained.states[place].stopping
                if stopping is not None and not stopping.stopped:
                    going_on[member] = trained.states[place]
        states = going_on
        pieces = []
        if until < epochs:
            end = min(until + call, epochs)
            pieces = engine.chunks(states, until, end, keep="states")
    for chunk in wave:
        results = [ended[member] for member in chunk.members]
        history, predicted, last, best = (np.array(part) for part in zip(*results, strict=True))
        yield Trained(chunk, history, predicted, last, best)


def _no_history(epochs: int) -> np.ndarray:
    return np.zeros((epochs, len(METRICS)), np.float32)
