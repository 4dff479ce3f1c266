"""Runs or resumes a sweep, for the command and for notebooks."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

import gtzan_jax
from gtzan_jax import process
from gtzan_jax.analysis import selection
from gtzan_jax.backends.backend import open_backend
from gtzan_jax.errors import BackendLostError, DamagedError, Interrupted, RunError, described
from gtzan_jax.files import held, replaced_folder, write_csv
from gtzan_jax.jobs import retraining
from gtzan_jax.jobs.job import Job, Stopwatch, Training, check_contradictions, describe, make_job
from gtzan_jax.jobs.options import SweepOptions, takes
from gtzan_jax.jobs.run import Run, read_run
from gtzan_jax.jobs.searching import run_search
from gtzan_jax.rundir import directory
from gtzan_jax.rundir.checkpoints import Checkpoints
from gtzan_jax.rundir.history import History
from gtzan_jax.rundir.manifest import Manifest, Retraining
from gtzan_jax.rundir.predictions import Part, Predictions, predictions_of
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE, results_table, trials_table
from gtzan_jax.space.search import config_epochs
from gtzan_jax.space.sweep import SAMPLERS, Sweep
from gtzan_jax.tables.folds import unseen_genres
from gtzan_jax.text import command_line, printable
from gtzan_jax.trainer.trainer import Trainer
from gtzan_jax.views import messages
from gtzan_jax.views.text import counted

if TYPE_CHECKING:
    import pandas as pd


@takes(SweepOptions)
@messages.each_warning_once()
def run_sweep(options: SweepOptions) -> Run:
    """Trains every config of a sweep, ranks them, writes the results and retrains the best.

    Resumes an unfinished run of the same sweep in ``workdir``. For a finished run it trains
    nothing, except for a retraining that was skipped before. Parameters have the names of the
    command's flags; None means the sweep's own value.

    Returns:
      the finished run: ``results``, ``history``, ``best``, ``report()``.

    Raises:
      InputError: a name, file, table or option cannot be used, or the folder has another run. The
        message lists all invalid or contradictory options.
      RunError: training failed.
      TypeError: a parameter is unknown.
    """
    # In a command the seconds count from the start of the process.
    clock = Stopwatch(gtzan_jax.STARTED if options.is_command else time.perf_counter())
    clock.lap("import")
    check_contradictions(options)
    workers = 0 if options.profile else options.workers
    with open_backend(
        options.platform, options.matmul_precision, workers, options.scheduler
    ) as backend:
        job = make_job(options, backend)
        messages.warn_of_table(job.table)
        messages.warn_of_leak(job.splits.protocol.leak)
        for sentence in (*job.splits.left_out, *unseen_genres(job.table, job.splits.folds)):
            messages.warn(sentence)
        with _held(job):
            manifest = directory.begin(job.run, describe(job), overwrite=options.overwrite)
            store = _open_store(job)
            clock.lap("load")
            with Training(job, manifest, len(store)) as training:
                sweep = run_search(job, manifest, store, training.begin)
                clock.lap("train", training.trainer.compile_wait_s if training.trainer else 0.0)
                by_sampler = sweep.search.kind in SAMPLERS
                history = store.history(job.trials_of(sweep.configs), others=by_sampler)
                results = _ranked(job, sweep, manifest, history)
                clock.lap("write")
                ended = job, sweep, manifest, history, results

                @functools.cache  # once
                def write_events() -> None:
                    clock.lap("retrain")
                    _write_events(*ended)
                    clock.lap("write")

                problem = _retrain_best(*ended, training, write_events)
                clock.lap("retrain")
                write_events()
            _finish(job, manifest, results, training.trainer, clock)
    run = read_run(job.run.path)
    messages.print_summary(run, clock.seconds)
    if problem:
        raise problem
    return run


@contextlib.contextmanager
def _held(job: Job) -> Iterator[None]:
    """Locks the run directory; adds the command that resumes the run to errors."""
    remedy = f"progress is saved: fix the problem, then resume with: {job.resume}"
    try:
        job.run.path.mkdir(parents=True, exist_ok=True)
        with held(job.run.path):
            yield
    except Interrupted as interrupted:
        interrupted.hint = f"progress is saved; resume with\n  {printable(job.resume)}"
        raise
    except RunError as error:
        if isinstance(error, DamagedError):  # its message has the remedy
            remedy = f"resume with: {job.resume}"
        error.args = (f"{error}; {remedy}",)
        raise
    except OSError as error:
        raise RunError(f"{described(error)}; {remedy}") from None


def _open_store(job: Job) -> Checkpoints:
    """Opens the checkpoints, and prints the start of the run."""
    run, sweep = job.run, job.sweep
    store = Checkpoints(run.checkpoints, sweep.epochs, job.splits.sizes.num_judged)
    for name in store.damaged:
        messages.warn(f"{run.checkpoints / name} was damaged; its trials will be trained again")
    sizes = len(job.splits.folds), len(job.seeds)
    messages.print_start(sweep, *sizes, job.backend.label, job.table.source, run.path)
    messages.print_trained(store.trial_epochs, config_epochs(sweep) * job.num_runs)
    job.splits.arrays  # noqa: B018 — rejects rows that cannot be standardised
    return store


def _ranked(job: Job, sweep: Sweep, manifest: Manifest, history: History) -> "pd.DataFrame":
    """Returns the results; writes tables and predictions if any is missing or damaged."""
    run = job.run
    if not any(run.damaged(manifest, name) for name in directory.TABLES):
        return run.read_results()
    select_on, is_segmented = job.splits.protocol.select_on, job.table.is_segmented
    parts: dict[Part, None] = dict.fromkeys((select_on, "test"))
    predictions = {part: predictions_of(sweep, history, job.splits, part) for part in parts}
    ranked = results_table(sweep, history, is_segmented)
    results, manifest.detectable = mark_indistinguishable(ranked, sweep, predictions[select_on])
    trials = trials_table(sweep, history, is_segmented)
    results, trials = (frame.assign(**job.splits.marks) for frame in (results, trials))
    run.write_tables(results, trials, history.frames(job.splits.metrics), predictions)
    run.record(manifest, *directory.TABLES)
    return results


def mark_indistinguishable(
    results: "pd.DataFrame", sweep: Sweep, predictions: Predictions
) -> "tuple[pd.DataFrame, float | None]":
    """Marks the configs indistinguishable from the best; returns the detectable difference, too.

    Excludes configs that diverged or that the search stopped; see ``selection.compare_with_best``.
    """
    places = results["config_id"].map(sweep.places).to_numpy()
    sound = ~results["diverged"].to_numpy()
    if "epochs_given" in results:
        sound &= results["epochs_given"].to_numpy() == sweep.epochs
    alike, detectable = np.zeros(len(results), bool), math.nan
    if sound.any():
        correct = predictions.correct[places[sound]]
        alike[sound], detectable = selection.compare_with_best(correct, predictions.group)
    marked = results.copy()
    marked.insert(list(results).index("diverged"), INDISTINGUISHABLE, alike)
    return marked, detectable if math.isfinite(detectable) else None


def _retrain_best(
    job: Job,
    sweep: Sweep,
    manifest: Manifest,
    history: History,
    results: "pd.DataFrame",
    training: Training,
    meanwhile: Callable[[], None],
) -> RunError | None:
    """Retrains the best config and the reference, and writes the overview, if not done yet.

    Does not replace a retraining with other settings. Calls ``meanwhile`` after each retrained
    config, while others may still train. Returns an error instead of raising it, so that the run
    is finished first.
    """
    from gtzan_jax.views import overview

    run, splits, epochs = job.run, job.splits, job.options.retrain_epochs
    best = results["config_id"].iloc[0]
    reference = _reference(sweep, best)
    names = ["best", *(["reference"] if reference else [])]
    seeds = retraining.seeds_of(job.seeds[0], job.options.retrain_seeds, len(splits.folds))
    wanted = retraining.describe(splits, best, seeds, max(1, epochs), manifest.matmul_precision)
    there = manifest.retraining
    if any(run.damaged(manifest, name) for name in names):
        there = None
    if epochs and there and there != wanted:
        _print_unchanged(job, there)
    if not run.damaged(manifest, "overview") and (there or not epochs):
        return None
    problem, retrained = None, None
    if epochs and there in (None, wanted):
        try:
            if results["diverged"].iloc[0]:
                raise RunError(
                    "all configurations diverged, so none is retrained; lower the learning rates"
                )
            ids = [best, *([reference] if reference else [])]
            configs = [sweep.configs[sweep.places[i]] for i in ids]
            trainer = training.begin(configs)
            trainer.plan.admit(configs)  # a resumed search may not propose them again
            for networks in retraining.train_networks(trainer, splits, ids, seeds, epochs):
                meanwhile()
                if networks.config.id == best:
                    retrained = retraining.evaluate(networks, sweep, splits)
                else:
                    other = retraining.history_frame(networks.history, splits.metrics)
            if reference:
                with replaced_folder(run.reference) as folder:
                    write_csv(folder / "history.csv", other)
            if retrained:
                retraining.save(retrained, run.best)
            manifest.retraining = wanted
        except BackendLostError:
            raise
        except RunError as failure:
            problem, retrained = failure, None
    with replaced_folder(run.overview) as folder:
        images = retrained.images if retrained else {}
        curves = retrained.frames["history"] if retrained else None
        overview.write(folder, sweep, splits, results, history, curves, images)
    run.record(manifest, "overview", *(names if retrained else []))
    return problem


def _print_unchanged(job: Job, there: Retraining) -> None:
    """Prints that ``best`` is kept, and the command to retrain with other settings."""
    folder, options = job.run, job.options
    flags = [f"--workdir={folder.path}", f"--retrain_epochs={options.retrain_epochs}"]
    flags += [f"--retrain_seeds={options.retrain_seeds}"] if options.retrain_seeds else []
    print(
        f"{printable(folder.best)} is kept "
        f"({counted(there.epochs, 'epoch')}, {counted(len(there.seeds), 'seed')}); to retrain with "
        f"other settings:\n  {command_line('retrain', flags)}"
    )


def _reference(sweep: Sweep, best: str) -> str | None:
    """Returns the id of the config to retrain besides the best one."""
    reference = sweep.reference
    if reference is None or reference.id == best:
        return None
    if reference.id not in sweep.places:
        messages.warn("the reference configuration is not in the sweep and is not retrained")
        return None
    return reference.id


def _write_events(
    job: Job, sweep: Sweep, manifest: Manifest, history: History, results: "pd.DataFrame"
) -> None:
    """Writes the event files of TensorBoard, if not done yet."""
    if not job.run.damaged(manifest, "tensorboard"):
        return
    from gtzan_jax.views import tensorboard

    if len(history.trials) > tensorboard.MAX_RUNS:
        print(f"TensorBoard files are written for the best {tensorboard.MAX_RUNS:,} trials only")
    with replaced_folder(job.run.tensorboard) as folder:
        order = results["config_id"].to_list()
        tensorboard.write_runs(folder, sweep, history, order, job.table.is_segmented)
    job.run.record(manifest, "tensorboard")


def _finish(
    job: Job,
    manifest: Manifest,
    results: "pd.DataFrame",
    trainer: Trainer | None,
    clock: Stopwatch,
) -> None:
    """Records the end of the run, with times and memory."""
    if manifest.status == "finished" and not trainer:
        return
    mine = process.peak_rss_bytes()
    manifest.status = "finished"
    manifest.timings_s = clock.seconds | {"total": sum(clock.seconds.values())}
    manifest.programs_compiled = trainer.num_programs if trainer else 0
    manifest.peak_rss_bytes = mine and mine + (trainer.peak_rss_bytes if trainer else 0)
    manifest.diverged = int(np.count_nonzero(results["diverged"]))
    job.run.write_manifest(manifest)
