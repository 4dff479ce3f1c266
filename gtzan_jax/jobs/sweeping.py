"""Runs a sweep, or goes on with one: the front door for notebooks and for the command alike."""

import contextlib
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import gtzan_jax
from gtzan_jax import process
from gtzan_jax.analysis import selection
from gtzan_jax.backends.workplace import workplace
from gtzan_jax.errors import InputError, Interrupted, PlaceLostError, RunError, described
from gtzan_jax.files import held, replaced_folder, write_csv
from gtzan_jax.jobs import retraining, searching
from gtzan_jax.jobs.job import Job, Stopwatch, check_contradictions, describe, make_job
from gtzan_jax.jobs.options import SweepOptions, takes
from gtzan_jax.jobs.run import Run, read_run
from gtzan_jax.rundir import directory
from gtzan_jax.rundir.chunks import ChunkStore
from gtzan_jax.rundir.history import History
from gtzan_jax.rundir.manifest import Manifest, Retraining
from gtzan_jax.rundir.predictions import Part, Predictions, predictions_of
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE, members_table, results_table
from gtzan_jax.space.config import Config
from gtzan_jax.space.search import config_epochs
from gtzan_jax.space.sweep import SAMPLERS, Sweep
from gtzan_jax.tables.folds import unseen_genres
from gtzan_jax.text import command_line, printable
from gtzan_jax.trainer.platforms import profiled
from gtzan_jax.trainer.trainer import Trainer
from gtzan_jax.views import messages
from gtzan_jax.views.text import counted

if TYPE_CHECKING:
    import pandas as pd

    from gtzan_jax.jobs.retraining import Retrained


@takes(SweepOptions)
@messages.each_warning_once()
def run_sweep(options: SweepOptions) -> Run:
    """Trains every config of a sweep, ranks them, writes everything and retrains the best.

    Resumes an unfinished run of the same sweep in ``workdir``; a finished one trains nothing, but
    for a retraining that was left out. Parameters have the names of the command's flags. None
    leaves to the sweep what it says.

    Returns:
      the finished run: ``results``, ``history``, ``best``, ``report()``.

    Raises:
      InputError: a name, file, table or option cannot be used, or another run is there. The message
        names all options that are of another type, impossible or contradict each other.
      RunError: something failed that no option would have avoided.
      TypeError: a parameter is unknown.
    """
    # In a command the seconds count from the start of the process.
    clock = Stopwatch(gtzan_jax.STARTED if options.is_command else time.perf_counter())
    clock.lap("import")
    check_contradictions(options)
    workers = 0 if options.profile else options.workers
    place = workplace(options.platform, options.matmul_precision, workers, options.scheduler)
    with place:
        job = make_job(options, place, clock)
        try:
            _check_places(job)
        except InputError:
            if options.workdir is None:
                job.run.path.rmdir()  # it was made for this run
            raise
        problem = _begin(job)
    run = read_run(job.run.path)
    messages.print_summary(run, clock.seconds)
    if problem:
        raise RunError(problem)
    return run


def _begin(job: Job) -> str:
    """Says what there is to say beforehand, and works; returns what ``work`` does."""
    messages.warn_of_table(job.table)
    messages.warn_of_leak(job.division.protocol.leak)
    for sentence in (*job.division.left_out, *unseen_genres(job.table, job.division.folds)):
        messages.warn(sentence)
    return _work_in_the_directory(job)


def _work_in_the_directory(job: Job) -> str:
    """Holds the run directory and works; whatever ends that early says how to go on."""
    path = job.run.path
    try:
        path.mkdir(parents=True, exist_ok=True)
        with held(path):
            return work(job)
    except Interrupted as interrupted:
        interrupted.hint = f"what is finished is kept; go on with\n  {printable(job.resume)}"
        raise
    except PlaceLostError as lost:
        raise RunError(
            f"{lost}; what is finished is kept, and once there is one again, this goes on: "
            f"{job.resume}"
        ) from None
    except OSError as error:
        raise RunError(
            f"{described(error)}; what is finished is kept, and once that is mended, this goes on: "
            f"{job.resume}"
        ) from None


def work(job: Job) -> str:
    """Runs the phases that are not finished. The caller holds the lock.

    Returns:
      why the best config could not be retrained, or "".
    """
    run, clock = job.run, job.clock
    manifest = directory.begin(run, describe(job), overwrite=job.options.overwrite)
    store = ChunkStore(run.chunks, job.sweep.epochs, job.division.sizes.num_judged)
    for name in store.damaged:
        messages.warn(f"{run.chunks / name} is damaged; its members are trained anew")
    place = job.workplace.place
    messages.print_start(job.sweep, job.num_runs, place, job.table.source, run.path)
    messages.print_trained(store.member_epochs, config_epochs(job.sweep) * job.num_runs)
    job.division.arrays  # noqa: B018 — refuses what cannot be standardised before training
    clock.lap("load")
    job, search = searching.begin(job, manifest, store)
    with contextlib.ExitStack() as stack:
        trainer = None
        if search:
            trainer = stack.enter_context(make_trainer(job, searching.configs_to_plan(job)))
            _record_session(job, manifest, len(store))
            messages.import_meanwhile("pandas", "gtzan_jax.views.overview")
            with profiled(job.options.profile):
                searching.train(trainer, job, store, search)
            job = searching.end(job, manifest, search)
            clock.lap("train")
            clock.move("train", "compile", trainer.compile_wait_s)
        history = store.history(job.members, others=job.sweep.search.kind in SAMPLERS)
        results = write_tables(job, manifest, history)
        problem = retrain(job, manifest, results, history, trainer)
    write_events(job, manifest, results, history)
    finish(job, manifest, results, trainer)
    return problem


def make_trainer(job: Job, configs: Sequence[Config] | None = None) -> Trainer:
    """Returns what trains a job's sweep."""
    return job.workplace.trainer(
        job.sweep, job.division.sizes, job.num_runs, mode=job.options.batching, configs=configs
    )


def write_tables(job: Job, manifest: Manifest, history: History) -> "pd.DataFrame":
    """Writes the tables and the predictions unless all are whole, and returns the results."""
    run, sweep = job.run, job.sweep
    if any(run.damaged(manifest, name) for name in directory.TABLES):
        select_on = job.division.protocol.select_on
        parts: dict[Part, None] = dict.fromkeys((select_on, "test"))
        predictions = {part: predictions_of(sweep, history, job.division, part) for part in parts}
        results, manifest.detectable = mark_indistinguishable(
            results_table(sweep, history, job.table.is_chunked), sweep, predictions[select_on]
        )
        members = members_table(sweep, history, job.table.is_chunked)
        results, members = (frame.assign(**job.division.marks) for frame in (results, members))
        run.write_tables(results, members, history.frames(job.division.metrics), predictions)
        run.record(manifest, *directory.TABLES)
    job.clock.lap("write")
    return run.read_results()


def mark_indistinguishable(
    results: "pd.DataFrame", sweep: Sweep, predictions: Predictions
) -> "tuple[pd.DataFrame, float | None]":
    """Marks the configs of ``selection.compare_with_best``; returns the detectable difference, too.

    Configs that diverged, or that the search gave up, are not among them, and have no say.

    Args:
      results: of ``results_table``.
      sweep: the sweep.
      predictions: of the part that configs are ranked by, so that choosing among them does not go
        by the test part where there is a validation part.
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


def retrain(
    job: Job,
    manifest: Manifest,
    results: "pd.DataFrame",
    history: History,
    trainer: Trainer | None,
) -> str:
    """Retrains the best config, and the reference, and writes the overview, unless all are there.

    What was retrained otherwise, for other epochs or by an older version, is not replaced.

    Returns:
      why the best config could not be retrained, or "".
    """
    run, epochs, problem = job.run, job.options.retrain_epochs, ""
    best = results["config_id"].iloc[0]
    seeds = retraining.seeds_of(job.seeds[0], job.options.retrain_seeds, len(job.division.folds))
    wanted = retraining.describe(
        job.division, best, seeds, max(1, epochs), manifest.matmul_precision
    )
    reference = _reference(job, best)
    names = ["best", *(["reference"] if reference else [])]
    there, retrained = manifest.retraining, None
    is_there = there is not None and not any(run.damaged(manifest, name) for name in names)
    stays = is_there and there != wanted
    if epochs and there and stays:
        _say_that_it_stays(job, there)
    if run.damaged(manifest, "overview") or (epochs and not is_there):
        if epochs and results["diverged"].iloc[0]:
            problem = "all configs diverged: there is none to retrain; lower the learning rates"
        elif epochs and not stays:
            if not trainer:  # else the session is in the list already
                _record_session(job, manifest, len(history.members))
            retrained, problem = _retrain(job, best, reference, seeds, trainer)
        job.clock.lap("retrain")
        write_overview(job, results, history, retrained)
        if retrained:
            manifest.retraining = wanted
        run.record(manifest, "overview", *(names if retrained else []))
    return problem


def _say_that_it_stays(job: Job, there: Retraining) -> None:
    """Says that ``best`` is not replaced, and how to retrain otherwise."""
    folder, options = job.run, job.options
    flags = [f"--workdir={folder.path}", f"--retrain_epochs={options.retrain_epochs}"]
    flags += [f"--retrain_seeds={options.retrain_seeds}"] if options.retrain_seeds else []
    print(
        f"{printable(folder.best)} stays as it is "
        f"({counted(there.epochs, 'epoch')}, {counted(len(there.seeds), 'seed')}); to retrain the "
        f"best beside it:\n  {command_line('retrain', flags)}"
    )


def _reference(job: Job, best: str) -> str | None:
    """Returns the id of the config to retrain besides the best one; None if there is none."""
    reference = job.sweep.reference
    if reference is None or reference.id == best:
        return None
    if reference.id not in job.sweep.places:
        messages.warn("the sweep's reference config is not in its grid: it is not retrained")
        return None
    return reference.id


def _retrain(
    job: Job, best: str, reference: str | None, seeds: Sequence[int], trainer: Trainer | None
) -> "tuple[Retrained | None, str]":
    """Retrains configs and writes them; returns the best and "", or None and why there is none."""
    ids, epochs = [best, *([reference] if reference else [])], job.options.retrain_epochs
    configs = [job.sweep.configs[job.sweep.places[config_id]] for config_id in ids]
    with contextlib.ExitStack() as stack:
        trainer = trainer or stack.enter_context(make_trainer(job, configs))
        try:
            retrained = retraining.retrain(trainer, job.division, best, seeds, epochs)
            if reference:
                other, _ = retraining.train_networks(
                    trainer, job.division, reference, seeds, epochs
                )
        except PlaceLostError:
            raise
        except RunError as failure:
            return None, str(failure)
    retraining.save(retrained, job.run.best)
    if reference:
        frame = retraining.history_frame(other, job.division.metrics)
        with replaced_folder(job.run.reference) as folder:
            write_csv(folder / "history.csv", frame)
    return retrained, ""


def write_overview(
    job: Job, results: "pd.DataFrame", history: History, retrained: "Retrained | None"
) -> None:
    """Writes the log directory to look at first."""
    from gtzan_jax.views import overview

    with replaced_folder(job.run.overview) as folder:
        overview.write(folder, job.sweep, job.division, results, history, retrained)


def write_events(job: Job, manifest: Manifest, results: "pd.DataFrame", history: History) -> None:
    """Writes every run for TensorBoard, unless that is done."""
    if job.run.damaged(manifest, "tensorboard"):
        from gtzan_jax.views import tensorboard

        if len(history.members) > tensorboard.MAX_RUNS:
            print(f"TensorBoard gets the best {tensorboard.MAX_RUNS:,} runs, not all")
        with replaced_folder(job.run.tensorboard) as folder:
            order = results["config_id"].to_list()
            tensorboard.write_runs(folder, job.sweep, history, order, job.table.is_chunked)
        job.run.record(manifest, "tensorboard")
    job.clock.lap("write")


def finish(job: Job, manifest: Manifest, results: "pd.DataFrame", trainer: Trainer | None) -> None:
    """Records that all is done, and what it took."""
    if manifest.status == "finished" and not trainer:
        return
    seconds = job.clock.seconds
    manifest.status = "finished"
    manifest.timings_s = seconds | {"total": sum(seconds.values())}
    manifest.programs_compiled = trainer.num_programs if trainer else 0
    mine = process.peak_rss_bytes()
    manifest.peak_rss_bytes = mine and mine + (trainer.peak_rss_bytes if trainer else 0)
    manifest.diverged = int(np.count_nonzero(results["diverged"]))
    job.run.write_manifest(manifest)


def _check_places(job: Job) -> None:
    path = job.run.path
    directory.check_place(path)
    if not job.run.manifest_path.exists():
        directory.check_folder(path, job.num_bytes)
    if job.options.profile:
        directory.check_place(Path(job.options.profile), name="profile")


def _record_session(job: Job, manifest: Manifest, members_before: int) -> None:
    session = directory.describe_session(
        job.options.command, members_before, job.workplace.platform, job.workplace.devices
    )
    manifest.sessions.append(session)
    job.run.write_manifest(manifest)
