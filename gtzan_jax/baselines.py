"""Compares our network with classical models.

  python -m gtzan_jax.baselines
  python -m gtzan_jax.baselines --run=runs/RUN --num_splits=20

Writes into its folder:

  baselines.csv    one row a model: accuracies on every split, seconds
  comparison.csv   our network against each other model, paired by split
  importance.csv   what the features are worth to the best classical model
                   and to our network
  baselines.json   what was run, on what, with what, and how to read it
  baselines.png, importance.png
"""

import dataclasses
import json
import shlex
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
from absl import flags

import gtzan_jax
from gtzan_jax import cli, comparison, rundir
from gtzan_jax.comparison import OURS, NetworkClassifier
from gtzan_jax.errors import InputError
from gtzan_jax.features import FeatureTable, load_table
from gtzan_jax.files import write_atomically
from gtzan_jax.finished import read_run
from gtzan_jax.manifest import Data, as_dict
from gtzan_jax.platforms import select_platform
from gtzan_jax.progress import PartsProgress
from gtzan_jax.space import Config, Sweep, load_sweep
from gtzan_jax.splits import TEST_SIZE, Split, random_split, standardise
from gtzan_jax.text import printable

if TYPE_CHECKING:
    import pandas as pd

IMPORTANCE = "feature importance"

NOTES = {
    "splits": "The classical models and ours are all evaluated on the same splits.",
    "selection": (
        "Choosing among models by these means is itself selection: the winner's mean is "
        "optimistic. The penalty of the SVM and the size of the boosting's trees were chosen by "
        "hand with such splits of the real table in view; the other classical models have "
        "scikit-learn's settings. The config of our network is the best of a sweep, chosen by "
        "tracks that are in these test parts as well. Both are advantages on the real table."
    ),
    "seconds": (
        "fit_seconds and predict_seconds are means per split. The classical models are fitted "
        "one after another, each on one core. Our network is trained on all splits as one "
        "batch, on all devices: its fit_seconds are the wall time of the batch, compiling "
        "included, divided by the number of splits. Every prediction includes the scaling; "
        "ours is timed after a first one that compiles."
    ),
    "test": (
        "Random splits overlap, so the interval and the p-value are those of Nadeau and "
        "Bengio's corrected t-test (2003), whose variance factor is 1/n + test/train. They are "
        "not adjusted for the number of models compared. One seed initialises all models: its "
        "own share of the variance is not in the figures."
    ),
    "importance": (
        "Permutation importance is the accuracy lost when one feature of the test part is "
        f"shuffled: mean of {comparison.IMPORTANCE_REPEATS} shuffles in each split, then mean "
        "and deviation over the splits. Features that carry the same information stand in for "
        "each other, so each of them seems worth less than it is."
    ),
}


@dataclass(frozen=True)
class Comparison:
    """What the command found."""

    scores: "pd.DataFrame" = field(repr=False)  # from comparison.scores_table
    paired: "pd.DataFrame" = field(repr=False)  # from comparison.compare
    importance: "pd.DataFrame" = field(repr=False)  # from comparison.importance_table
    best_classical: str


def run_comparison(
    models: Mapping[str, Any],
    config: Config,
    sweep: Sweep,
    table: FeatureTable,
    splits: Sequence[Split],
    seed: int,
) -> Comparison:
    """Evaluates our network and the classical models, showing progress, and compares them.

    Args:
      models: from ``comparison.classical_models``, or some of them.
      config: of our network.
      sweep: gives the network's epochs, loss, batch size, learning rates and leaky slope.
      table: the feature table.
      splits: of its tracks; all models get the same.
      seed: of our network and of the shuffles.
    """
    parts = dict.fromkeys([OURS, *models], len(splits)) | {IMPORTANCE: 2 * len(splits)}
    with PartsProgress(parts) as progress:
        ours, networks = comparison.evaluate_network(config, sweep, table, splits, seed)
        progress.take(OURS, len(splits))
        others = comparison.evaluate(models, table, splits, progress.take)
        best = max(others, key=lambda scores: scores.accuracies.mean()).model
        estimators: list[Sequence[Any]] = [
            comparison.refit(models[best], table, splits),
            [NetworkClassifier(network) for network in networks],
        ]
        drops = [
            comparison.permutation_drops(
                fitted, table, splits, seed, done=lambda: progress.take(IMPORTANCE)
            )
            for fitted in estimators
        ]
    return Comparison(
        comparison.scores_table([ours, *others]),
        comparison.compare(ours, others, len(splits[0].test) / len(splits[0].train)),
        comparison.importance_table(table.features, *drops),
        best,
    )


def chosen_config(run: str | None) -> tuple[Config, Sweep, Data | None]:
    """Returns the config to compare, the sweep that it is from, and what that says of its data.

    Args:
      run: a finished sweep's run directory, whose best config it is; None for the
        assignment's published best, of which no data are known.

    Raises:
      InputError: the folder is no run directory, or every config of the sweep diverged.
    """
    if run is None:
        return comparison.PUBLISHED_BEST, load_sweep("assignment"), None
    found = read_run(run)
    best = found.results.iloc[0]
    if best["diverged"]:
        raise InputError(f"--run={run}: every config of its sweep diverged; name another run")
    return found.sweep.configs()[int(best["config_id"])], found.sweep, found.manifest.data


def describe(
    models: Mapping[str, Any],
    config: Config,
    sweep: Sweep,
    table: FeatureTable,
    splits: Sequence[Split],
    seed: int,
) -> dict[str, Any]:
    """Returns what baselines.json says before the results."""
    constants = sweep.to_dict()
    del constants["axes"], constants["num_seeds"]
    return {
        "command": shlex.join(["python", "-m", "gtzan_jax.baselines", *sys.argv[1:]]),
        "data": as_dict(rundir.describe_data(table, flags.FLAGS.data)),
        "split": {
            "protocol": "random",
            "seeds": list(range(seed, seed + len(splits))),
            "test_size": TEST_SIZE,
            "train": len(splits[0].train),
            "test": len(splits[0].test),
        },
        "seed": seed,
        "models": {name: " ".join(str(m.steps[-1][1]).split()) for name, m in models.items()},
        "ours": {
            "name": OURS,
            "run": flags.FLAGS.run,
            "config": dataclasses.asdict(config),
            "sweep": constants,
        },
        "platform": jax.default_backend(),
        "devices": [str(device) for device in jax.devices()],
        "versions": rundir.versions(),
    }


def save(
    found: Comparison, folder: Path, table: FeatureTable, note: str, description: Mapping[str, Any]
) -> None:
    """Writes the tables, the figures and the description."""
    from gtzan_jax import plots

    frames = {
        "baselines": found.scores,
        "comparison": found.paired,
        "importance": found.importance,
    }
    for name, frame in frames.items():
        marked = frame.assign(data="sample") if table.is_sample else frame
        text = marked.to_csv(index=False, lineterminator="\n")
        write_atomically(folder / f"{name}.csv", text)
    figures = {
        "baselines": plots.model_comparison(found.scores, found.paired, OURS, note),
        "importance": plots.feature_importance(found.importance, found.best_classical, OURS, note),
    }
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png")
    text = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / "baselines.json", text + "\n")


def print_summary(found: Comparison, folder: Path) -> None:
    """Prints the tables of scores and of differences as one, and where everything is."""
    shown = ["model", "accuracy_mean", "accuracy_std", "fit_seconds"]
    table = found.scores[shown].merge(found.paired, how="left", on="model")
    print("\n" + table.to_string(index=False, float_format="{:.3f}".format, na_rep=""))
    print("(difference: our accuracy minus the model's, with its 95 % interval)")
    print(textwrap.fill(f"{NOTES['splits']} {NOTES['selection']}", 100))
    seconds = time.perf_counter() - gtzan_jax.STARTED
    print(printable(f"{seconds:.1f} s; results in {folder}"))


def main() -> int:
    """Runs the comparison that the flags describe."""
    select_platform(flags.FLAGS.platform)
    seed = flags.FLAGS.seed
    config, sweep, run_data = chosen_config(flags.FLAGS.run)
    sweep = dataclasses.replace(sweep, epochs=flags.FLAGS.epochs)
    table = load_table(flags.FLAGS.data)
    splits = [random_split(table, seed + i) for i in range(flags.FLAGS.num_splits)]
    for split in splits:
        standardise(table, split)  # refuses a train part without some genre, before work begins
    folder = Path(flags.FLAGS.workdir or rundir.default_folder("baselines"))
    rundir.create_folder(folder)
    cli.warn_of_sample(table)
    models = comparison.classical_models(seed)
    notes = dict(NOTES)
    if run_data and run_data.sha256 != table.sha256:
        notes["run"] = (
            f"The config is the best of the sweep in {flags.FLAGS.run}, whose feature table has "
            "another checksum than this one."
        )
        print(printable(notes["run"]))
    print(printable(f"{len(models) + 1} models on {len(splits)} random splits of {table.source}"))
    print(f"ours: {config.name}, {sweep.epochs} epochs")
    found = run_comparison(models, config, sweep, table, splits, seed)
    description = describe(models, config, sweep, table, splits, seed)
    description |= {"best_classical": found.best_classical, "notes": notes}
    description["seconds"] = round(time.perf_counter() - gtzan_jax.STARTED, 3)
    seeds = f"seeds {seed} to {seed + len(splits) - 1}"
    note = f"{table.note()}; {len(splits)} random 70:30 splits, {seeds}"
    save(found, folder, table, note, description)
    print_summary(found, folder)
    cli.warn_of_sample(table)
    return 0


if __name__ == "__main__":
    cli.define_data_flag()
    cli.define_platform_flag()
    flags.DEFINE_string("workdir", None, "Where to write. Default: runs/baselines-<UTC time>.")
    flags.DEFINE_string(
        "run", None, "A sweep's run directory, to compare its best config. Default: the best "
        "config that the assignment published.",
    )  # fmt: skip
    flags.DEFINE_integer("num_splits", 10, "Random 70:30 splits.", lower_bound=2, upper_bound=1000)
    flags.DEFINE_integer(
        "seed", 0, "Seed of the first split, the next one's is one more; it also seeds the models.",
        lower_bound=0, upper_bound=2**31,
    )  # fmt: skip
    flags.DEFINE_integer("epochs", 50, "Epochs of our network.", lower_bound=1, upper_bound=100_000)
    cli.run(main)
