"""Asks a search for configs, trains and stores missing trials, and tells the search the scores.

A resumed process asks from the start, and tells the search the stored scores. Training states are
not stored: later rungs of a resumed search train from epoch 0 again, to the same numbers.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gtzan_jax.jobs.job import Job
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.checkpoints import Checkpoints
from gtzan_jax.rundir.directory import CONFIGS
from gtzan_jax.rundir.manifest import Manifest
from gtzan_jax.space.config import Config, Trial
from gtzan_jax.space.search import Grid, Halving, Proposal, Score, Search, config_epochs
from gtzan_jax.space.sweep import SAMPLERS, Sweep
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.trainer.platforms import profiled
from gtzan_jax.trainer.task import Keep
from gtzan_jax.trainer.trainer import Trainer
from gtzan_jax.views.progress import SweepProgress

_STATE_BYTES = 2e9  # most bytes of states on the host; trials without one train from epoch 0


def run_search(
    job: Job,
    manifest: Manifest,
    store: Checkpoints,
    begin: Callable[[Sequence[Config]], Trainer],
    is_quiet: bool = False,
) -> Sweep:
    """Trains the proposed trials that are not stored. Returns the sweep with the proposed configs.

    ``begin`` returns the trainer, the same for each call; its argument is the configs to plan for.
    It is called only if a trial must be trained.
    """
    sweep, run, proposed = job.sweep, job.run, list[Config]()
    by_sampler = sweep.search.kind in SAMPLERS
    if by_sampler and not run.damaged(manifest, CONFIGS):
        chosen = run.with_configs(sweep)
        if not store.missing(job.trials_of(chosen.configs)):
            return chosen  # without Optuna
    states, progress, (search, to_plan) = dict[Trial, Any](), None, _search_of(job)
    with contextlib.ExitStack() as stack:
        while proposal := search.ask():
            trials = job.trials_of(proposal.configs)
            missing = store.missing(trials, proposal.epochs)
            figures: dict[Trial, np.ndarray] = {}
            if missing:
                trainer = begin(to_plan)
                trainer.plan.admit(proposal.configs)
                if progress is None:
                    stack.enter_context(profiled(job.options.profile))
                    total = config_epochs(sweep) * job.num_runs
                    progress = SweepProgress(trainer, sweep, total, store.trial_epochs, is_quiet)
                    stack.enter_context(progress)
                figures, states = _train(trainer, job, proposal, missing, store, progress, states)
            search.tell(_scores(sweep, store, proposal, trials, figures))
            proposed += proposal.configs
    if by_sampler:
        sweep = sweep.choosing(proposed)
        run.write_configs(sweep)
        run.record(manifest, CONFIGS)
    return sweep


def _search_of(job: Job) -> tuple[Search, Sequence[Config]]:
    """Returns the search, and configs whose programs fit every config that it may propose."""
    sweep = job.sweep
    if sweep.search.kind not in SAMPLERS:
        return (Halving if sweep.search.kind == "halving" else Grid)(sweep), sweep.configs
    from gtzan_jax.space.optuna_search import OptunaSearch, widest_configs

    return OptunaSearch(sweep, job.run.study_path), widest_configs(sweep)


def _train(
    trainer: Trainer,
    job: Job,
    proposal: Proposal,
    missing: Sequence[Trial],
    store: Checkpoints,
    progress: SweepProgress,
    states: Mapping[Trial, Any],
) -> tuple[dict[Trial, np.ndarray], dict[Trial, Any]]:
    """Trains and stores the missing trials of a proposal.

    Returns:
      for each trial its figures after the best epoch, (metrics,) float32, and its state, for as
      many trials as fit into memory.
    """
    plan, first, until = trainer.plan, proposal.first_epoch, proposal.epochs
    is_told = job.sweep.search.is_told
    new = [trial for trial in missing if trial not in states] if first else missing
    # Packed where scores decide: a slice may include configs of another bracket.
    keep: Keep = "states" if until < job.sweep.epochs else "nothing"
    tasks = plan.tasks(new, 0, until, packed=is_told, keep=keep)
    if first:
        begun = [trial for trial in missing if trial in states]
        tasks += plan.tasks(begun, first, until, keep=keep)
    figures: dict[Trial, np.ndarray] = {}
    kept: dict[Trial, Any] = {}
    try:
        for trained in trainer.run(tasks, job.splits.arrays, states):
            trials = trained.task.trials
            if is_told:
                figures.update(zip(trials, trained.kept, strict=True))
            size = plan.state_bytes(trained.task.bucket)
            if trained.states and len(kept) * size < _STATE_BYTES:
                kept.update(zip(trials, trained.states, strict=True))
            for written in store.add(trained):
                progress.take(written)
    finally:
        for written in store.flush():
            progress.take(written)
    return figures, kept


def _scores(
    sweep: Sweep,
    store: Checkpoints,
    proposal: Proposal,
    trials: Sequence[Trial],
    figures: Mapping[Trial, np.ndarray],
) -> dict[str, Score]:
    """Returns the mean scores over folds and seeds on the part that ranks configs.

    ``figures`` are those of the trials that were just trained; the others are stored.
    """
    if not sweep.search.is_told:
        return {}
    if before := [trial for trial in trials if trial not in figures]:
        there = zip(before, store.figures(before, proposal.epochs), strict=True)
        figures = {**figures, **dict(there)}
    part = PROTOCOLS[sweep.protocol].select_on
    columns = [METRICS.index(f"{part}_{figure}") for figure in ("accuracy", "loss")]
    together = np.array([figures[trial] for trial in trials])[:, columns]
    means = together.reshape(len(proposal.configs), -1, 2).mean(axis=1, dtype=np.float64)
    # Rounded, so that equal sums in another order of seeds stay equal.
    rows = np.round(means, 7).tolist()
    return {config.id: Score(*row) for config, row in zip(proposal.configs, rows, strict=True)}
