"""Trains tasks in this process, with the trial axis split over all local devices.

With early stopping, stopped trials are removed between calls, and the others packed into fewer
tasks.
"""

import dataclasses
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from gtzan_jax.metrics import METRICS
from gtzan_jax.models.family import Family
from gtzan_jax.models.layers import Tree, unpadded
from gtzan_jax.space.config import Trial
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import FoldArrays, Sizes
from gtzan_jax.text import counted
from gtzan_jax.trainer.drawing import Devices, Seeds, by_trial, everywhere, stack
from gtzan_jax.trainer.plan import Plan
from gtzan_jax.trainer.programs import Programs
from gtzan_jax.trainer.task import Task, Trained, task_groups
from gtzan_jax.trainer.trainer import Trainer
from gtzan_jax.trainer.trial import State


class _Part(NamedTuple):
    """Result of a task, or of a part of a task that did not fit into memory."""

    state: State  # on the devices
    histories: list[jax.Array]  # (trials, epochs, metrics) of each call
    predicted: jax.Array  # (trials, num_judged) uint8
    logits: jax.Array  # (trials, num_judged, classes) float32


class Engine(Trainer):
    """Trains the trials of a sweep in this process; compiles in other threads.

    ``devices`` are all by default; the other arguments are those of :class:`Plan`.
    """

    def __init__(
        self,
        sweep: Sweep,
        family: Family,
        sizes: Sizes,
        num_runs: int = 1,
        *,
        devices: Sequence[jax.Device] | None = None,
        **options: Any,
    ) -> None:
        self.devices: Devices = tuple(devices or jax.devices())
        platform, count = self.devices[0].platform, len(self.devices)
        super().__init__(Plan(sweep, family, sizes, num_runs, platform, count, **options))
        self.family = family
        self.programs = Programs(self.plan, family, self.devices)
        self._placed: dict[int, tuple[FoldArrays, FoldArrays]] = {}

    def __exit__(self, _: object, error: object, __: object) -> None:
        self.programs.shutdown(wait=error is None)

    def __repr__(self) -> str:
        return (
            f"Engine({reprlib.repr(self.plan.sweep.name)}, "
            f"{counted(len(self.plan.config_of), 'config')}, "
            f"{counted(self.num_programs, 'program')}, "
            f"{len(self.devices)} {self.devices[0].platform} devices)"
        )

    def run(
        self,
        tasks: Sequence[Task],
        folds: Sequence[FoldArrays],
        states: Mapping[Trial, State] | None = None,
    ) -> Iterator[Trained]:
        """Trains tasks, see :meth:`Trainer.run`; repacks them with early stopping."""
        if not self.plan.sweep.stops_early or any(task.keep == "params" for task in tasks):
            yield from self.call(tasks, folds, states)
            return
        for group in task_groups(tasks, stops_early=True):
            yield from self._repacked(group, folds)

    def call(
        self,
        tasks: Sequence[Task],
        folds: Sequence[FoldArrays],
        states: Mapping[Trial, State] | None = None,
    ) -> Iterator[Trained]:
        """Trains tasks without repacking."""
        for task in tasks:
            self.programs.prepare(task.program, folds[task.fold])
        finish: Callable[[], Trained] | None = None
        for task in tasks:  # the next one begins before the caller handles the last
            begun = self._begin(task, folds[task.fold], states or {})
            if finish is not None:
                yield finish()
            finish = begun
        if finish is not None:
            yield finish()

    def placed(self, fold: FoldArrays) -> FoldArrays:
        """Returns a fold copied to the devices; cached."""
        if id(fold) not in self._placed:
            self._placed[id(fold)] = (fold, everywhere(fold, self.devices))
        return self._placed[id(fold)][1]

    def forget(self, fold: FoldArrays) -> None:
        """Frees a fold on the devices."""
        self._placed.pop(id(fold), None)

    def _begin(
        self, task: Task, fold: FoldArrays, states: Mapping[Trial, State]
    ) -> Callable[[], Trained]:
        """Starts training a task; returns a function that waits for the result.

        A task that does not fit into memory trains in parts, with a smaller program.
        """

        def begin() -> tuple[int, list[_Part] | None]:
            size, trials = self.programs.get(task.program).task_size, task.trials
            starts = range(0, len(trials), size)
            try:
                return size, [self._call(task, trials[i : i + size], fold, states) for i in starts]
            except jax.errors.JaxRuntimeError as error:
                _raise_unless_memory(error)
                return size, None

        def finish() -> Trained:
            size, parts = begun
            while True:
                try:
                    if parts is not None:
                        return self._trained(task, parts)
                except jax.errors.JaxRuntimeError as error:
                    _raise_unless_memory(error)
                self.programs.halve(task.program, size)
                size, parts = begin()

        begun = begin()
        return finish

    def _call(
        self,
        task: Task,
        trials: Sequence[Trial],
        fold: FoldArrays,
        states: Mapping[Trial, State],
    ) -> _Part:
        """Trains trials of a task without waiting for the devices."""
        program, numbers = self.programs.get(task.program), self.programs.numbers()
        trials = [*trials, *[trials[-1]] * (program.task_size - len(trials))]
        own = task.program.own_seeds
        seeds: Seeds = tuple(trial.seed for trial in trials) if own else task.seed
        hyper = self.programs.hyperparameters([trial.config_id for trial in trials])
        if task.first_epoch:
            state = by_trial(stack([states[trial] for trial in trials]), self.devices)
        else:
            state = program.start(hyper, numbers.initial(seeds, task.fold))
        fold, histories = self.placed(fold), []
        for first in range(task.first_epoch, task.epochs, numbers.epochs):
            drawn = numbers.draws(fold, seeds, first)
            left = np.int32(min(numbers.epochs, task.epochs - first))
            state, history, *outputs = program.train(hyper, state, drawn, left, fold)
            histories.append(history)
            more = first + numbers.epochs < task.epochs
            if more and state.stopping and np.asarray(state.stopping.stopped).all():
                break  # this waits for the devices; only without repacking
        return _Part(state, histories, *outputs)

    def _trained(self, task: Task, parts: Sequence[_Part]) -> Trained:
        """Waits for the devices, and copies the result to the host."""
        self.num_compiled, self.compile_wait_s = len(self.programs.ready), self.programs.wait_s
        epochs, count = task.epochs - task.first_epoch, len(task.trials)
        history = np.concatenate([_joined(part.histories, epochs) for part in parts])
        predicted = np.concatenate([np.asarray(part.predicted) for part in parts])
        last = best = np.full(count, task.epochs, np.int32)
        if self.plan.sweep.stops_early:
            stopping = [part.state.stopping for part in parts]
            ends = [(np.asarray(s.epochs), np.asarray(s.best)) for s in stopping if s]
            last, best = np.concatenate(ends, axis=1)[:, :count]
        states, params, logits = [], [], []
        if task.keep == "states":
            states = [state for part in parts for state in _each(part.state)][:count]
        if task.keep == "params":
            kept = [params for part in parts for params in _each(part.state.kept)]
            configs = [self.plan.config_of[config_id] for config_id in task.config_ids]
            of, sizes = self.family.shapes, self.plan.sizes
            shapes = [of(config, sizes.num_features, sizes.num_classes) for config in configs]
            params = [unpadded(p, each) for p, each in zip(kept, shapes, strict=False)]
            logits = [each for part in parts for each in np.asarray(part.logits)][:count]
        return Trained(task, history[:count], predicted[:count], last, best, states, params, logits)

    def _repacked(self, tasks: Sequence[Task], folds: Sequence[FoldArrays]) -> Iterator[Trained]:
        """Trains tasks that share a program and random numbers, from epoch 0, and repacks them."""
        epochs, call = tasks[0].epochs, self.programs.call_epochs
        # History, predictions, last and best epoch of each trial so far.
        ended: dict[Trial, tuple[np.ndarray, np.ndarray, int, int]] = {}
        pieces = [
            dataclasses.replace(task, epochs=min(call, epochs), keep="states") for task in tasks
        ]
        states: dict[Trial, State] = {}
        while pieces:
            first, until = pieces[0].first_epoch, pieces[0].epochs
            left: dict[Trial, State] = {}
            for trained in self.call(pieces, folds, states):
                for place, trial in enumerate(trained.task.trials):
                    begun = np.zeros((epochs, len(METRICS)), np.float32)
                    history = ended[trial][0] if first else begun
                    history[first:until] = trained.history[place]
                    ended[trial] = (
                        history, trained.predicted[place], trained.last[place], trained.best[place]
                    )  # fmt: skip
                    state = trained.states[place]
                    if not state.stopping.stopped:
                        left[trial] = state
            states, end = left, min(until + call, epochs)
            pieces = []
            if until < epochs:
                pieces = self.plan.tasks(states, until, end, keep="states")
        for task in tasks:
            results = zip(*(ended[trial] for trial in task.trials), strict=True)
            history, predicted, last, best = map(np.array, results)
            yield Trained(task, history, predicted, last, best)


def _joined(histories: Sequence[jax.Array], epochs: int) -> np.ndarray:
    """Joins the histories of calls to (trials, epochs, metrics) float32, 0 after the last call."""
    together: np.ndarray = np.concatenate([np.asarray(part) for part in histories], axis=1)
    left = max(0, epochs - together.shape[1])
    return np.pad(together[:, :epochs], [(0, 0), (0, left), (0, 0)])


def _each(tree: Tree) -> list[Tree]:
    """Copies a tree to the host and splits it by trial."""
    host: Tree = jax.tree.map(np.asarray, tree)
    count = len(jax.tree.leaves(host)[0])
    return [jax.tree.map(lambda leaf, i=i: leaf[i], host) for i in range(count)]


def _raise_unless_memory(error: jax.errors.JaxRuntimeError) -> None:
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise error
