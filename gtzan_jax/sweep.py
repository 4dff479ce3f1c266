"""The main job: ``python -m gtzan_jax.sweep``.

Trains every config of a sweep, ranks them, writes the run directory, retrains the best.
"""

import datetime
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from absl import flags

import gtzan_jax
from gtzan_jax import cli, rundir
from gtzan_jax.engine import Engine, data_of
from gtzan_jax.errors import InputError
from gtzan_jax.features import FeatureTable, load_table
from gtzan_jax.platforms import select_platform
from gtzan_jax.progress import SweepProgress
from gtzan_jax.rundir import RunDir
from gtzan_jax.space import Sweep, load_sweep
from gtzan_jax.splits import TEST_SIZE, Dataset, Sizes, random_split, standardise, train_size
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


def train_members(engine: Engine, dataset: Dataset, seeds: Sequence[int]) -> np.ndarray:
    """Trains every config with every seed, showing progress.

    Returns:
      (configs, seeds, epochs, 4) float32 history, in the order of ``training.METRICS``.
    """
    sweep = engine.sweep
    history = np.full((sweep.num_configs, len(seeds), sweep.epochs, len(METRICS)), np.nan, "f4")
    with SweepProgress(engine, len(seeds)) as progress:
        for chunk in engine.run(data_of(dataset), seeds):
            history[list(chunk.config_ids), seeds.index(chunk.seed)] = chunk.history
            progress.take(chunk)
    return history


def describe(sweep: Sweep, table: FeatureTable, seeds: Sequence[int]) -> dict[str, Any]:
    """Returns what the manifest says of a run before it starts."""
    num_train = train_size(len(table.y))
    return {
        "status": "running",
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "gtzan_jax.sweep", *sys.argv[1:]]),
        "sweep": sweep.to_dict(),
        "seeds": list(seeds),
        "data": rundir.describe_data(table, flags.FLAGS.data),
        "split": {
            "protocol": "random",
            "seed": seeds[0],
            "test_size": TEST_SIZE,
            "train": num_train,
            "test": len(table.y) - num_train,
            "note": SELECTION_NOTE,
        },
        "platform": jax.default_backend(),
        "devices": [str(device) for device in jax.devices()],
        "versions": rundir.versions(),
    }


def write_tensorboard(
    run: RunDir,
    table: FeatureTable,
    sweep: Sweep,
    seeds: Sequence[int],
    results: "pd.DataFrame",
    history: np.ndarray,
    retrained: "Retrained | None",
) -> None:
    """Writes the log directory of all runs, and the small one to look at first."""
    from gtzan_jax import plots, tensorboard

    tensorboard.write_runs(run.tensorboard, sweep, seeds, history)
    note = table.note(seeds[0])
    best = results["config_id"][:10].to_list()
    names = [sweep.configs()[config_id].name for config_id in best]
    accuracy = history[:, :, :, METRICS.index("test_accuracy")].mean(axis=1)
    figures = {
        "by_value": plots.accuracy_by_value(results, sweep.axes, note),
        "top_ten": plots.top_curves(accuracy[best], names, note),
        **(retrained.figures if retrained else {}),
    }
    texts = {
        "results": rundir.markdown_table(results.head(20)),
        "about": f"{note}\n\n{SELECTION_NOTE}\n\n{table.notice}",
    }
    curves = retrained.history if retrained else None
    tensorboard.write_overview(run.overview, sweep, results, history, texts, figures, curves)


def retrain_best(
    run: RunDir,
    sweep: Sweep,
    table: FeatureTable,
    dataset: Dataset,
    results: "pd.DataFrame",
    seed: int,
) -> "Retrained | None":
    """Retrains the best config and writes it, unless even that one diverged."""
    from gtzan_jax.retrain import retrain, save

    if results["diverged"].iloc[0]:
        return None
    config = sweep.configs()[results["config_id"].iloc[0]]
    retrained = retrain(config, sweep, table, dataset, seed, flags.FLAGS.retrain_epochs)
    save(retrained, run)
    return retrained


def sizes_of(table: FeatureTable, sweep: Sweep) -> Sizes:
    """Returns the sizes that the dataset will have, known before it is split.

    Raises:
      InputError: a batch would be larger than the train part.
    """
    num_train = train_size(len(table.y))
    if sweep.batch_size > num_train:
        raise InputError(
            f"batch_size {sweep.batch_size} is larger than the train part, {num_train} of "
            f"{len(table.y)} tracks; --set=batch_size=32 makes it smaller"
        )
    return Sizes(num_train, len(table.y) - num_train, len(table.features), len(table.genres))


def print_start(run: RunDir, sweep: Sweep, table: FeatureTable, num_seeds: int) -> None:
    """Prints what is about to be done."""
    seeds = f" × {num_seeds} seeds" if num_seeds > 1 else ""
    devices = f"{len(jax.devices())} {jax.default_backend()} devices"
    print(f"{sweep.name}: {sweep.num_configs:,} configs{seeds} × {sweep.epochs} epochs, {devices}")
    print(f"  from {table.source} to {run.path}", flush=True)


def print_summary(
    run: RunDir,
    results: "pd.DataFrame",
    retrained: "Retrained | None",
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
    if retrained:
        print(summary(retrained))
    model = f", the model in {run.best}" if retrained else ""
    print(f"results in {run.results_path}{model}")
    print(f"  tensorboard --logdir {run.tensorboard}   # every run, HParams page")
    print(f"  tensorboard --logdir {run.overview}   # the best, means, figures")
    parts = ", ".join(f"{part} {value:.1f}" for part, value in seconds.items())
    print(f"{sum(seconds.values()):.1f} s ({parts})")


def main() -> int:
    """Runs the job that the flags describe."""
    clock = Stopwatch()
    clock.lap("import")
    select_platform(flags.FLAGS.platform)
    sweep = load_sweep(flags.FLAGS.sweep, flags.FLAGS.set)
    first, count = flags.FLAGS.seed, flags.FLAGS.num_seeds or sweep.num_seeds
    seeds = range(first, first + count)
    table = load_table(flags.FLAGS.data)
    sizes = sizes_of(table, sweep)
    run = RunDir(flags.FLAGS.workdir or rundir.default_folder(sweep.name))
    rundir.check_folder(run.path)
    cli.warn_of_sample(table)
    cli.warn_of_repeats(table)
    print_start(run, sweep, table, count)
    with Engine(sweep, sizes) as engine:  # compiles while scikit-learn is being imported
        dataset = standardise(table, random_split(table, first))
        rundir.create_folder(run.path)
        manifest = describe(sweep, table, seeds)
        run.write_manifest(manifest)
        clock.lap("load")
        history = train_members(engine, dataset, seeds)
    clock.lap("train")
    clock.move("train", "compile", engine.compile_wait_s)
    results = rundir.results_table(sweep, count, history)
    if table.is_sample:
        results["data"] = "sample"
    run.write_tables(results, rundir.history_table(seeds, history))
    clock.lap("write")
    retrained = None
    if flags.FLAGS.retrain_epochs:
        retrained = retrain_best(run, sweep, table, dataset, results, first)
    clock.lap("retrain")
    write_tensorboard(run, table, sweep, seeds, results, history, retrained)
    clock.lap("write")
    manifest |= {
        "status": "finished",
        "timings_s": clock.seconds | {"total": sum(clock.seconds.values())},
        "programs_compiled": engine.num_programs + bool(retrained),
        "peak_rss_bytes": rundir.peak_rss_bytes(),
        "diverged": int(results["diverged"].sum()),
    }
    run.write_manifest(manifest)
    print_summary(run, results, retrained, clock.seconds)
    cli.warn_of_sample(table)
    return 0


if __name__ == "__main__":
    cli.define_data_flag()
    cli.define_platform_flag()
    flags.DEFINE_string("sweep", "assignment", "A name in sweeps/, or the path of a TOML file.")
    flags.DEFINE_multi_string(
        "set", [], "key=value over the sweep file, as --set=epochs=20 or "
        "--set=axes.dropout1=[0.0,0.5]; repeatable.",
    )  # fmt: skip
    flags.DEFINE_string("workdir", None, "Run directory. Default: runs/<sweep>-<UTC time>.")
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
    cli.run(main)
