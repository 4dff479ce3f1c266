"""Searches the configs of a sweep and refits the best on all rows, without a run directory."""

import contextlib
import functools
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gtzan_jax.backends.backend import open_backend
from gtzan_jax.errors import InputError, RunError
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.jobs.job import Job, describe
from gtzan_jax.jobs.options import SweepOptions
from gtzan_jax.jobs.searching import run_search
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.checkpoints import Checkpoints
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.history import History
from gtzan_jax.rundir.ranking import rank_at_best_epochs
from gtzan_jax.space.config import Config, Trial
from gtzan_jax.space.sweep import SAMPLERS, Sweep
from gtzan_jax.tables.folds import Fold, Sizes, arrays_of, sizes_of
from gtzan_jax.tables.protocols import Splits
from gtzan_jax.trainer.plan import rounded_up
from gtzan_jax.trainer.trainer import Trainer


class Refitted(NamedTuple):
    """Result of a search and a refit."""

    sweep: Sweep  # with the configs that were tried
    # (configs, folds, seeds, epochs, metrics) float64; NaN where a config diverged or was stopped.
    figures: np.ndarray
    trained: np.ndarray  # (configs, folds) int, epochs trained, all seeds together
    epochs: np.ndarray  # (configs,) int, best number of epochs of each config
    order: np.ndarray  # (configs,) int, indices of the configs, best first
    model: TrainedModel  # the best config, trained on all rows for its best number of epochs
    refit_s: float  # seconds


def tune(
    sweep: Sweep,
    splits: Splits,
    seed: int,
    platform: str,
    is_quiet: bool,
) -> Refitted:
    """Chooses config and epochs on the part that ranks configs, and refits on all rows.

    Ranks by the mean accuracy over folds and seeds; ties go to the lower loss.

    Args:
      sweep: must not use early stopping.
      splits: the folds; the refit uses the rows of the whole table.
      seed: the first seed of the search, and the seed of the refit.
      platform: a name from ``platforms.PLATFORMS``.
      is_quiet: whether to hide the progress.

    Raises:
      InputError: every config diverged.
      RunError: the training failed, or the refit diverged.
    """
    roomy = _Roomy(splits.table, splits.protocol, seed, splits.folds)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        backend = stack.enter_context(open_backend(platform, workers=0))
        seeds, run = range(seed, seed + sweep.num_seeds), RunDir(folder)
        job = Job(sweep, seeds, roomy, splits.table.source, run, SweepOptions(), backend)

        trainers: list[Trainer] = []

        def begin(configs: Sequence[Config]) -> Trainer:
            if not trainers:
                made = backend.trainer(job.sweep, roomy.sizes, job.num_runs, configs=configs)
                trainers.append(stack.enter_context(made))
            return trainers[0]

        store = Checkpoints(run.checkpoints, sweep.epochs, roomy.sizes.num_judged)
        sweep = run_search(job, describe(job), store, begin, is_quiet)
        by_sampler = sweep.search.kind in SAMPLERS
        history = store.history(job.trials_of(sweep.configs), others=by_sampler)
        figures = _figures(history, splits)
        order, epochs = _ranked(figures, splits, sweep)
        config, started = sweep.configs[order[0]], time.perf_counter()
        model = _refitted(begin([config]), config, int(epochs[order[0]]), roomy, seed)
    trained = history.by_config(history.reached).reshape(*figures.shape[:3]).sum(axis=2)
    return Refitted(sweep, figures, trained, epochs, order, model, time.perf_counter() - started)


class _Roomy(Splits):
    """Splits whose arrays have room for all rows, and some more.

    The refit, and the next fold of an outer cross-validation, then use the same compiled program.
    """

    @functools.cached_property
    def sizes(self) -> Sizes:
        exact = sizes_of(self.table, self.folds)
        return exact._replace(num_train=_roomy(len(self.table.y)), num_eval=_roomy(exact.num_eval))


def _roomy(rows: int) -> int:
    """Rounds up by at most a sixteenth, or to a multiple of 32."""
    return rounded_up(rows, 1 << max(5, rows.bit_length() - 5))


def _figures(history: History, splits: Splits) -> np.ndarray:
    """Returns the figures of a search, see :class:`Refitted`."""
    figures = history.figures.astype(np.float64)
    figures[np.arange(figures.shape[1]) >= history.reached[:, None]] = np.nan
    figures[history.diverged] = np.nan
    grid = history.by_config(figures)
    grid = grid.reshape(len(grid), len(splits.folds), -1, *figures.shape[1:])
    for part in ("validation", "test"):  # shares of rows, exact in float64 only
        count = np.array([max(1, len(getattr(fold, part))) for fold in splits.folds])[:, None, None]
        shares = grid[..., METRICS.index(f"{part}_accuracy")]
        shares[:] = np.round(shares * count) / count
    return grid


def _ranked(figures: np.ndarray, splits: Splits, sweep: Sweep) -> tuple[np.ndarray, np.ndarray]:
    """Returns the order of the configs and the epochs of each."""
    # Rounded, so that ties do not depend on the order of folds and seeds.
    means = figures.mean(axis=(1, 2)).round(12)
    order, epochs = rank_at_best_epochs(means, splits.protocol.select_on)
    if np.isnan(means[order[0]]).any():
        raise InputError(f"{sweep.name}: every configuration diverged; lower the learning rates")
    return order, epochs


def _refitted(
    trainer: Trainer, config: Config, epochs: int, splits: Splits, seed: int
) -> TrainedModel:
    """Trains a config on all rows, with the program of the search."""
    rows = np.arange(len(splits.table.y))
    whole = Fold(rows, rows[:0], rows[:0])
    trials = [Trial(config.id, 0, seed)]
    tasks = trainer.plan.tasks(trials, epochs=epochs, packed=True, keep="params")
    (trained,) = trainer.run(tasks, [arrays_of(splits.table, whole, splits.sizes)])
    if not np.isfinite(trained.history).all():
        raise RunError(f"{config.name} diverged on all rows; lower the learning rates")
    alone = replace(splits, folds=(whole,))
    return TrainedModel.of(config, trained.params[0], trainer.plan.sweep, alone, fold=0)
