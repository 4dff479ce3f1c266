"""Searching: a search is asked, what it proposes is trained unless it is there, and it is told.

A search is asked anew by every process, and told what is on the disk, so that a sweep that was
interrupted goes on where it was. What is not on the disk are the states that members go on from:
those are trained again from epoch 0, to the same numbers.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gtzan_jax.jobs.job import Job
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir import directory
from gtzan_jax.rundir.chunks import ChunkStore
from gtzan_jax.rundir.manifest import Manifest
from gtzan_jax.space.config import Config, Member
from gtzan_jax.space.search import Grid, Halving, Proposal, Score, Search, config_epochs
from gtzan_jax.space.sweep import SAMPLERS
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.trainer.chunk import Keep, Trained
from gtzan_jax.trainer.trainer import Trainer
from gtzan_jax.views.progress import SweepProgress

# Of states on the host, at most; a member whose state did not fit is trained again from epoch 0.
_STATE_BYTES = 2e9


def begin(job: Job, manifest: Manifest, store: ChunkStore) -> tuple[Job, Search | None]:
    """Begins a search, or goes on with it.

    Returns:
      the job, and the search, which has been told what is there; None where all of it is. The
      job's sweep then has the configs that were proposed.
    """
    by_sampler = job.sweep.search.kind in SAMPLERS
    if by_sampler and not job.run.damaged(manifest, directory.CONFIGS):
        chosen = dataclasses.replace(job, sweep=job.run.with_configs(job.sweep))
        if not store.missing(chosen.members):
            return chosen, None
    search = _search_of(job)
    while proposal := search.ask():
        if store.missing(_members(job, proposal.configs), proposal.epochs):
            return job, search
        search.tell(_scores(job, store, proposal))
    return end(job, manifest, search), None


def end(job: Job, manifest: Manifest, search: Search) -> Job:
    """Returns the job of a search that has ended, with the configs that it proposed, written."""
    if job.sweep.search.kind not in SAMPLERS:
        return job
    from gtzan_jax.space.optuna_search import OptunaSearch

    if not isinstance(search, OptunaSearch):
        raise TypeError(f"{search} has not proposed configs")
    job = dataclasses.replace(job, sweep=job.sweep.choosing(search.configs))
    job.run.write_configs(job.sweep)
    job.run.record(manifest, directory.CONFIGS)
    return job


def train(trainer: Trainer, job: Job, store: ChunkStore, search: Search) -> None:
    """Trains what the search proposes and is not in the store yet, showing progress."""
    total = config_epochs(job.sweep) * job.num_runs
    states: Mapping[Member, Any] = {}
    with SweepProgress(trainer, job.sweep, total, store.member_epochs) as progress:
        while proposal := search.ask():
            trainer.admit(proposal.configs)
            states = _train(trainer, job, proposal, store, progress, states)
            search.tell(_scores(job, store, proposal))


def configs_to_plan(job: Job) -> Sequence[Config]:
    """Returns configs that need every program that the search may need."""
    if job.sweep.search.kind not in SAMPLERS:
        return job.sweep.configs
    from gtzan_jax.space.optuna_search import widest_configs

    return widest_configs(job.sweep)


def _search_of(job: Job) -> Search:
    kind = job.sweep.search.kind
    if kind in SAMPLERS:
        from gtzan_jax.space.optuna_search import OptunaSearch

        return OptunaSearch(job.sweep, job.run.study_path)
    return Halving(job.sweep) if kind == "halving" else Grid(job.sweep)


def _members(job: Job, configs: Sequence[Config]) -> list[Member]:
    folds = range(len(job.division.folds))
    return [Member(config.id, fold, seed) for config in configs for fold in folds
            for seed in job.seeds]  # fmt: skip


def _scores(job: Job, store: ChunkStore, proposal: Proposal) -> dict[str, Score]:
    """Returns how configs did on the part that is selected on, means over folds and seeds."""
    if not job.sweep.search.is_told:
        return {}
    part = PROTOCOLS[job.sweep.protocol].select_on
    columns = [METRICS.index(f"{part}_{figure}") for figure in ("accuracy", "loss")]
    figures = store.figures(_members(job, proposal.configs), proposal.epochs)[:, columns]
    means = figures.reshape(len(proposal.configs), -1, 2).mean(axis=1, dtype=np.float64)
    # Rounded, so that equal sums in another order of seeds stay equal.
    rows = np.round(means, 7).tolist()
    return {config.id: Score(*row) for config, row in zip(proposal.configs, rows, strict=True)}


def _train(
    trainer: Trainer,
    job: Job,
    proposal: Proposal,
    store: ChunkStore,
    progress: SweepProgress,
    states: Mapping[Member, Any],
) -> dict[Member, Any]:
    """Trains the members of a proposal; returns the states of those that may go on from them."""
    missing = store.missing(_members(job, proposal.configs), proposal.epochs)
    first, until = proposal.first_epoch, proposal.epochs
    anew = [member for member in missing if member not in states] if first else missing
    # Where results decide, nobody trains who was not asked for: a slice may hold configs that are
    # given up, or of another bracket.
    keep: Keep = "states" if until < job.sweep.epochs else "nothing"
    chunks = trainer.chunks(anew, 0, until, packed=job.sweep.search.is_told, keep=keep)
    if first:
        begun = [member for member in missing if member in states]
        chunks += trainer.chunks(begun, first, until, keep=keep)
    kept: dict[Member, Any] = {}
    results = trainer.run(chunks, job.division.arrays, states)
    try:
        for trained in results:
            _keep(trainer, trained, kept)
            for written in store.add(trained):
                progress.take(written)
    finally:
        for written in store.flush():
            progress.take(written)
    return kept


def _keep(trainer: Trainer, trained: Trained, kept: dict[Member, Any]) -> None:
    """Keeps the states of a chunk, as long as there is room for them."""
    size = trainer.state_bytes(trained.chunk.bucket)
    if trained.states and len(kept) * size < _STATE_BYTES:
        kept.update(zip(trained.chunk.members, trained.states, strict=True))
