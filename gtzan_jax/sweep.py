"""Trains every config of a sweep, ranks them, retrains the best: the main job.

  python -m gtzan_jax.sweep
  python -m gtzan_jax.sweep --sweep=my/sweep.toml --num_seeds=5

Everything is written into one folder, the run directory.
"""

import contextlib
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import numpy as np
from absl import flags

import gtzan_jax
from gtzan_jax import batching, cli, rundir
from gtzan_jax.chunks import ChunkStore
from gtzan_jax.engine import Engine, data_of
from gtzan_jax.errors import InputError, Interrupted, RunError
from gtzan_jax.features import FeatureTable, load_table
from gtzan_jax.files import held, replaced_folder
from gtzan_jax.manifest import Manifest, Retraining
from gtzan_jax.manifest import Split as SplitRecord
from gtzan_jax.platforms import profiled, select_platform
from gtzan_jax.progress import SweepProgress
from gtzan_jax.rundir import RunDir
from gtzan_jax.space import Sweep, load_sweep
from gtzan_jax.splits import TEST_SIZE, Dataset, Sizes, random_split, standardise, train_size
from gtzan_jax.text import printable
from gtzan_jax.training import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from gtzan_jax.retrain import Retrained

SELECTION_NOTE = (
    "As in the assignment, the configs are ranked by their accuracy on the same 30 % of the "
    "tracks that is reported, so the best one's accuracy is optimistic."
)


class Stopwatch:
    """Wall-clock seconds by part of the job, from the import of the package on."""

    def __init__(self) -> None:
        parts = ("import", "load", "compile", "train", "write", "retrain")
        self.seconds = dict.fromkeys(parts, 0.0)
        self._last = gtzan_jax.STARTED

    def lap(self, part: str) -> None:
        """Adds the time since the last lap to a part."""
        now = time.perf_counter()
        self.seconds[part] += now - self._last
        self._last = now

    def move(self, part: str, other: str, seconds: float) -> None:
        """Counts seconds of one part to another."""
        self.seconds[part] -= seconds
        self.seconds[other] += seconds


@dataclass(frozen=True)
class Job:
    """What is to be done, and where."""

    sweep: Sweep
    seeds: Sequence[int]
    table: FeatureTable
    dataset: Dataset
    run: RunDir
    retrain_epochs: int

    @property
    def num_members(self) -> int:
        """Training runs of the whole sweep."""
        return self.sweep.num_configs * len(self.seeds)

    @property
    def num_bytes(self) -> float:
        """What the run directory takes on the disk, roughly and rather too much."""
        numbers = self.num_members * self.sweep.epochs * len(METRICS)
        return 20e6 + 20.0 * numbers + 300.0 * self.sweep.num_configs


def the_job() -> Job:
    """Returns the job that the flags describe.

    Raises:
      InputError: a flag, the sweep file or the table cannot be used.
    """
    given = flags.FLAGS
    if given.workdir == "":
        raise InputError("--workdir= names no folder; give one, or leave the flag out")
    if given.overwrite and not given.workdir:
        raise InputError("--overwrite removes the run in --workdir, which is not given")
    sweep = load_sweep(given.sweep, given.set)
    if given.num_seeds and any(entry.startswith("num_seeds=") for entry in given.set):
        raise InputError("--num_seeds and --set=num_seeds contradict each other; leave one out")
    count = given.num_seeds or sweep.num_seeds
    table = load_table(given.data)
    num_train = train_size(len(table.y))
    if sweep.batch_size > num_train:
        raise InputError(
            f"batch_size {sweep.batch_size} is larger than the train part, {num_train} of "
            f"{len(table.y)} tracks; --set=batch_size=32 makes it smaller"
        )
    dataset = standardise(table, random_split(table, given.seed))
    run = RunDir(given.workdir or rundir.default_folder(sweep.name))
    seeds = range(given.seed, given.seed + count)
    return Job(sweep, seeds, table, dataset, run, given.retrain_epochs)


def describe(job: Job) -> Manifest:
    """Returns what the manifest says of a run before it starts."""
    return Manifest(
        status="running",
        resume=continuation(job.run),
        sweep=job.sweep.to_dict(),
        seeds=list(job.seeds),
        data=rundir.describe_data(job.table, flags.FLAGS.data),
        split=SplitRecord(
            protocol="random",
            seed=job.seeds[0],
            test_size=TEST_SIZE,
            train=len(job.dataset.y_train),
            test=len(job.dataset.y_test),
            note=SELECTION_NOTE,
        ),
        matmul_precision=flags.FLAGS.matmul_precision,
    )


def train_members(engine: Engine, job: Job, store: ChunkStore) -> None:
    """Trains every member that is not in the store yet, showing progress."""
    with SweepProgress(engine, job.num_members, len(store)) as progress:
        try:
            for chunk in engine.run(data_of(job.dataset), job.seeds, store.has):
                for written in store.add(chunk):
                    progress.take(written)
        finally:
            for written in store.flush():
                progress.take(written)


def retrain_best(
    job: Job, results: "pd.DataFrame", engine: Engine | None
) -> "tuple[Retrained | None, str]":
    """Retrains the best config and writes it.

    Returns:
      the retrained model and "", or None and why there is none.
    """
    from gtzan_jax.retrain import retrain, save

    if results["diverged"].iloc[0]:
        return None, "all configs diverged: there is none to retrain; lower the learning rates"
    config = job.sweep.configs()[int(results["config_id"].iloc[0])]
    try:
        retrained = retrain(
            config, job.sweep, job.table, job.dataset, job.seeds[0], job.retrain_epochs, engine
        )
    except RunError as failure:
        return None, str(failure)
    save(retrained, job.run)
    return retrained, ""


def write_overview(
    job: Job, results: "pd.DataFrame", history: np.ndarray, retrained: "Retrained | None"
) -> None:
    """Writes the log directory to look at first."""
    from gtzan_jax import plots, tensorboard

    note = job.table.note(job.seeds[0])
    configs = job.sweep.configs()
    best = results["config_id"][:10].to_list()
    names = [configs[config_id].name for config_id in best]
    accuracy = history[best, :, :, METRICS.index("test_accuracy")].mean(axis=1)
    figures = {
        "by_value": plots.accuracy_by_value(results, job.sweep.axes, note),
        "top_ten": plots.top_curves(accuracy, names, note),
        **(retrained.figures if retrained else {}),
    }
    texts = {
        "results": rundir.markdown_table(results.head(20)),
        "about": f"{note}\n\n{SELECTION_NOTE}\n\n{job.table.notice}",
    }
    curves = retrained.history if retrained else None
    with replaced_folder(job.run.overview) as folder:
        tensorboard.write_overview(folder, job.sweep, results, history, texts, figures, curves)


def print_start(job: Job, there: int) -> None:
    """Prints what is about to be done."""
    sweep, count = job.sweep, len(job.seeds)
    seeds = f" × {count} seeds" if count > 1 else ""
    devices = f"{len(jax.devices())} {jax.default_backend()} devices"
    size = f"{sweep.num_configs:,} configs{seeds} × {sweep.epochs} epochs"
    print(printable(f"{sweep.name}: {size}, {devices}"))
    print(printable(f"  from {job.table.source} to {job.run.path}"), flush=True)
    if there:
        print(f"  {there:,} of {job.num_members:,} members are there already", flush=True)


def print_summary(
    run: RunDir,
    results: "pd.DataFrame",
    manifest: Manifest,
    seconds: Mapping[str, float],
) -> None:
    """Prints the top of the table and where everything is."""
    from gtzan_jax.retrain import summary

    print("\nrank  accuracy  units        dropout      activation, initializer, optimizer")
    for row in results.head(3).itertuples():
        units = f"{row.num_units1}-{row.num_units2}-{row.num_units3}"
        rates = f"{row.dropout1:g}-{row.dropout2:g}-{row.dropout3:g}"
        names = f"{row.activation}, {row.initializer}, {row.optimizer}"
        print(f"{row.rank:>4}  {row.test_accuracy:.4f}    {units:<11}  {rates:<11}  {names}")
    diverged = int(results["diverged"].sum())
    if diverged:
        print(f"{diverged} of {len(results)} configs diverged; they rank last")
    if manifest.retraining:
        print(summary(run))
    model = f", the model in {run.best}" if manifest.retraining else ""
    print(printable(f"results in {run.results_path}{model}"))
    print(printable(f"  tensorboard --logdir {run.tensorboard}   # every run, HParams page"))
    print(printable(f"  tensorboard --logdir {run.overview}   # the best, means, figures"))
    parts = ", ".join(f"{part} {value:.1f}" for part, value in seconds.items())
    print(f"{sum(seconds.values()):.1f} s ({parts})")


def continuation(run: RunDir) -> str:
    """Returns the command that goes on with a run."""
    given = [argument for argument in sys.argv[1:] if argument.strip("-") != "overwrite"]
    if not flags.FLAGS["workdir"].present:
        given.append(f"--workdir={run.path}")
    return shlex.join(["python", "-m", "gtzan_jax.sweep", *given])


def work(job: Job, clock: Stopwatch) -> int:
    """Does what is not done yet. Hold the run directory.

    Returns:
      the exit code.
    """
    run, manifest = job.run, rundir.begin(job.run, describe(job), flags.FLAGS.overwrite)
    store = ChunkStore(run.chunks, job.sweep.epochs)
    for name in store.damaged:
        print(
            printable(f"warning: {run.chunks / name} is damaged; its members are trained anew"),
            file=sys.stderr,
        )
    print_start(job, len(store))
    clock.lap("load")
    with contextlib.ExitStack() as stack:
        engine = None
        if len(store) < job.num_members:
            sizes = Sizes.of(job.dataset)
            engine = Engine(job.sweep, sizes, len(job.seeds), mode=flags.FLAGS.batching)
            stack.enter_context(engine)
            manifest.sessions.append(rundir.describe_session("sweep", len(store)))
            run.write_manifest(manifest)
            cli.import_meanwhile("gtzan_jax.plots", "gtzan_jax.tensorboard")
            with profiled(flags.FLAGS.profile):
                train_members(engine, job, store)
            clock.lap("train")
            clock.move("train", "compile", engine.compile_wait_s)
        history = store.history(job.sweep.num_configs, job.seeds)
        results = rundir.results_table(job.sweep, len(job.seeds), history)
        if job.table.is_sample:
            results["data"] = "sample"
        if run.damaged(manifest, "results.csv") or run.damaged(manifest, "history.csv"):
            run.write_tables(results, rundir.history_tables(job.seeds, history))
            run.record(manifest, "results.csv", "history.csv")
        clock.lap("write")
        problem = look_closer(job, manifest, results, history, engine, clock)
    if run.damaged(manifest, "tensorboard"):
        from gtzan_jax import tensorboard

        if job.num_members > tensorboard.MAX_RUNS:
            print(f"TensorBoard gets the best {tensorboard.MAX_RUNS:,} runs, not all")
        order = results["config_id"].to_list()
        with replaced_folder(run.tensorboard) as folder:
            tensorboard.write_runs(folder, job.sweep, job.seeds, history, order)
        run.record(manifest, "tensorboard")
    clock.lap("write")
    if manifest.status != "finished" or engine:
        manifest.status = "finished"
        manifest.timings_s = clock.seconds | {"total": sum(clock.seconds.values())}
        manifest.programs_compiled = engine.num_programs if engine else 0
        manifest.peak_rss_bytes = rundir.peak_rss_bytes()
        manifest.diverged = int(results["diverged"].sum())
        run.write_manifest(manifest)
    print_summary(run, results, manifest, clock.seconds)
    cli.warn_of_sample(job.table)
    if problem:
        raise RunError(problem)
    return 0


def look_closer(
    job: Job,
    manifest: Manifest,
    results: "pd.DataFrame",
    history: np.ndarray,
    engine: Engine | None,
    clock: Stopwatch,
) -> str:
    """Retrains the best config and writes the overview, unless both are there.

    Returns:
      why the best config could not be retrained, or "".
    """
    run, retrained, problem = job.run, None, ""
    wanted = None
    if job.retrain_epochs:
        wanted = Retraining(
            epochs=job.retrain_epochs,
            config_id=int(results["config_id"].iloc[0]),
            matmul_precision=manifest.matmul_precision,
        )
    is_there = manifest.retraining == wanted and not run.damaged(manifest, "best")
    if run.damaged(manifest, "overview") or (wanted and not is_there):
        if wanted:
            retrained, problem = retrain_best(job, results, engine)
        clock.lap("retrain")
        write_overview(job, results, history, retrained)
        if retrained:
            manifest.retraining = wanted
            if not engine:  # else the session is in the list already
                manifest.sessions.append(rundir.describe_session("sweep", job.num_members))
        run.record(manifest, "overview", *(["best"] if retrained else []))
    return problem


def main() -> int:
    """Runs the job that the flags describe, or goes on with it."""
    clock = Stopwatch()
    clock.lap("import")
    select_platform(flags.FLAGS.platform, flags.FLAGS.matmul_precision)
    job = the_job()
    path = job.run.path
    rundir.check_place(path)
    if not job.run.manifest_path.exists():
        rundir.check_folder(path, job.num_bytes)
    if flags.FLAGS.profile:
        rundir.check_place(flags.FLAGS.profile, flag="--profile")
    cli.warn_of_sample(job.table)
    cli.warn_of_repeats(job.table)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with held(path):
            return work(job, clock)
    except Interrupted as interrupted:
        interrupted.hint = f"what is finished is kept; go on with\n  {continuation(job.run)}"
        raise
    except OSError as error:
        raise RunError(
            f"{error.filename or path}: {error.strerror}; what is finished is kept, and once that "
            f"is mended, this goes on: {continuation(job.run)}"
        ) from None


def define_flags() -> None:
    """Defines the flags of this command."""
    cli.define_data_flag()
    cli.define_platform_flag()
    cli.define_precision_flag()
    flags.DEFINE_string("sweep", "assignment", "A name in sweeps/, or the path of a TOML file.")
    flags.DEFINE_multi_string(
        "set", [], "key=value over the sweep file, as --set=epochs=20 or "
        "--set=axes.dropout1=[0.0,0.5]; repeatable.",
    )  # fmt: skip
    flags.DEFINE_string(
        "workdir", None, "Run directory; an unfinished run there is gone on with. Default: "
        "runs/<sweep>-<UTC time>.",
    )  # fmt: skip
    flags.DEFINE_boolean("overwrite", False, "Remove the run that is in --workdir.")
    flags.DEFINE_enum(
        "batching", "auto", batching.MODES, "Which networks share a compiled program: those of "
        "the same shape, all (padded with zeros), or as many as seems fastest.",
    )  # fmt: skip
    flags.DEFINE_string(
        "profile", None, "A folder for the JAX profiler's trace of the training, for TensorBoard "
        "or Perfetto.",
    )  # fmt: skip
    flags.DEFINE_integer(
        "seed", 0, "First seed; it also seeds the split.", lower_bound=0, upper_bound=2**31
    )
    flags.DEFINE_integer(
        "num_seeds", None, "Replicates of each config. Default: what the sweep says, or 1.",
        lower_bound=1, upper_bound=100_000,
    )  # fmt: skip
    flags.DEFINE_integer(
        "retrain_epochs", 50, "Epochs of the best config's retraining; 0 skips it.",
        lower_bound=0, upper_bound=100_000,
    )  # fmt: skip


if __name__ == "__main__":
    define_flags()
    cli.run(main)
