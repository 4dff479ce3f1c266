"""Compares our network with classical models on the same splits.

Writes into its folder:

baselines.csv    one row a model: accuracies on every split, seconds
comparison.csv   our network against each other model, paired by split
importance.csv   what the features are worth to the best classical model and to our network
baselines.json   what was run, on what, with what, and how to read it
baselines.png, importance.png
"""

import dataclasses
import functools
import json
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax.analysis import classical
from gtzan_jax.analysis.classical import Scores
from gtzan_jax.errors import InputError
from gtzan_jax.files import write_atomically, write_csv
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.models.trained import TrainedModel
from gtzan_jax.rundir import directory
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.rundir.manifest import Data, as_dict
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.folds import unseen_genres
from gtzan_jax.tables.protocols import PROTOCOLS, Division
from gtzan_jax.tables.sources import load_table
from gtzan_jax.tables.splits import random_split
from gtzan_jax.text import printable
from gtzan_jax.trainer.engine import Engine
from gtzan_jax.trainer.platforms import devices_in_use, select_platform
from gtzan_jax.trainer.replicas import replicate
from gtzan_jax.views import messages
from gtzan_jax.views.progress import PartsProgress

if TYPE_CHECKING:
    import pandas as pd

OURS = "gtzan_jax MLP"
_IMPORTANCE = "feature importance"

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
        "one after another, each on one core. Our network is trained on all devices: its "
        "fit_seconds are the wall time of all splits, compiling included, divided by their "
        "number. Every prediction includes the scaling; ours is timed after a first one that "
        "compiles."
    ),
    "test": (
        "Random splits overlap, so the interval and the p-value are those of Nadeau and "
        "Bengio's corrected t-test (2003), whose variance factor is 1/n + test/train. They are "
        "not adjusted for the number of models compared. One seed initialises all models: its "
        "own share of the variance is not in the figures."
    ),
    "importance": (
        "Permutation importance is the accuracy lost when one feature of the test part is "
        f"shuffled: mean of {classical.IMPORTANCE_REPEATS} shuffles in each split, then mean "
        "and deviation over the splits. Features that carry the same information stand in for "
        "each other, so each of them seems worth less than it is."
    ),
}


@dataclass(frozen=True)
class Request:
    """What to compare.

    Attributes:
      run: a sweep's run directory, whose best config is compared; None for the assignment's
        published best.
      num_splits: random 70:30 splits, at least 2.
      seed: of the first split, the next one's is one more; it also seeds the models.
      epochs: of our network.
      command: what to record as the command.
    """

    data: str = "auto"
    run: str | None = None
    num_splits: int = 10
    seed: int = 0
    epochs: int = 50
    platform: str = "auto"
    workdir: str | None = None
    command: str = "gtzan_jax.run_baselines"


@dataclass(frozen=True)
class Contender:
    """Our network: its config, and the sweep that gives its constants."""

    config: Config
    sweep: Sweep


@dataclass(frozen=True, eq=False)
class Baselines:
    """What was found, and where it was written."""

    scores: "pd.DataFrame" = field(repr=False)  # from classical.scores_table
    paired: "pd.DataFrame" = field(repr=False)  # from classical.compare_paired
    importance: "pd.DataFrame" = field(repr=False)  # from classical.importance_table
    best_classical: str
    folder: Path


@dataclass(frozen=True)
class NetworkClassifier:
    """A trained network with scikit-learn's methods: features as they are in, class numbers out."""

    model: TrainedModel

    def fit(self, *_: object) -> "NetworkClassifier":
        """Does nothing: scikit-learn asks for the method, and the network is trained."""
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns (tracks,) int class numbers. x: (tracks, features), not standardised."""
        return np.asarray(self.model.predict_matrix(x).argmax(axis=1))


def run_baselines(request: Request) -> Baselines:
    """Evaluates our network and the classical models, and writes everything.

    Raises:
      InputError: the run, the table or the folder cannot be used.
    """
    started = time.perf_counter()
    select_platform(request.platform)
    ours, run_data = chosen(request.run)
    ours = dataclasses.replace(ours, sweep=dataclasses.replace(ours.sweep, epochs=request.epochs))
    table = load_table(request.data)
    seeds = range(request.seed, request.seed + request.num_splits)
    folds = tuple(random_split(len(table.y), seed) for seed in seeds)
    division = Division(table, PROTOCOLS["assignment"], request.seed, folds)
    for sentence in unseen_genres(table, folds):
        messages.warn(sentence)
    division.arrays  # noqa: B018 — refuses what cannot be standardised before work begins
    folder = Path(request.workdir or directory.default_folder("baselines"))
    directory.create_folder(folder)
    messages.warn_of_table(table)
    notes = dict(NOTES)
    if run_data and run_data.sha256 != table.sha256:
        notes["run"] = (
            f"The config is the best of a sweep over {run_data.source}, whose checksum is not "
            "this table's."
        )
        messages.warn(notes["run"])
    models = classical.classical_models(request.seed)
    print(printable(f"{len(models) + 1} models on {len(folds)} random splits of {table.source}"))
    print(f"  ours: {ours.config.name}, {request.epochs} epochs", flush=True)
    found = compare_models(models, ours, division, request.seed, folder)
    description = describe(models, ours, division, request) | {
        "best_classical": found.best_classical,
        "notes": notes,
        "seconds": round(time.perf_counter() - started, 3),
    }
    save(found, division, description)
    return found


def chosen(run: str | None) -> tuple[Contender, Data | None]:
    """Returns the network to compare, and what its sweep's manifest says of its data.

    Raises:
      InputError: the folder is no run directory, or every config of the sweep diverged.
    """
    if run is None:
        sweep = load_sweep("published_best")
        return Contender(sweep.configs[0], sweep), None
    found = read_finished(run)
    if found.results["diverged"].iloc[0]:
        raise InputError(f"--run={run}: every config of its sweep diverged; name another run")
    return Contender(found.config(), found.sweep), found.manifest.data


def compare_models(
    models: Mapping[str, Any], ours: Contender, division: Division, seed: int, folder: Path
) -> Baselines:
    """Evaluates our network and the classical models, showing progress, and compares them."""
    table, folds = division.table, division.folds
    parts = dict.fromkeys([OURS, *models], len(folds)) | {_IMPORTANCE: 2 * len(folds)}
    with PartsProgress(parts) as progress:
        our_scores, networks = evaluate_network(ours, division, seed)
        progress.take(OURS, len(folds))
        others = classical.evaluate(models, table, folds, progress.take)
        best = max(others, key=lambda scores: scores.accuracies.mean()).model
        estimators: list[Sequence[Any]] = [classical.refit(models[best], table, folds), networks]
        done = functools.partial(progress.take, _IMPORTANCE)
        drops = [
            classical.permutation_drops(fitted, table, folds, seed, done=done)
            for fitted in estimators
        ]
    ratio = len(folds[0].test) / len(folds[0].train)
    return Baselines(
        classical.scores_table([our_scores, *others]),
        classical.compare_paired(our_scores, others, ratio),
        classical.importance_table(table.features, *drops),
        best,
        folder,
    )


def evaluate_network(
    ours: Contender, division: Division, seed: int
) -> tuple[Scores, list[NetworkClassifier]]:
    """Trains our network on every fold and scores it, with the weights of the last epoch.

    Members of all folds share a seed, hence dropout noise; each fold has its own initial weights.
    """
    started = time.perf_counter()
    config, sweep, table = ours.config, ours.sweep, division.table
    with Engine(sweep, MlpFamily(), division.sizes, configs=[config]) as engine:
        trained = [
            replicate(engine, division.arrays, config.id, fold, [seed], sweep.epochs)[0]
            for fold in range(len(division.folds))
        ]
    fit_seconds = (time.perf_counter() - started) / len(division.folds)
    networks = [
        NetworkClassifier(TrainedModel.of(config, replica.params, sweep, division, fold))
        for fold, replica in enumerate(trained)
    ]
    classical.score(networks[0], table, division.folds[0])  # compiles
    scored = [
        classical.score(network, table, fold)
        for network, fold in zip(networks, division.folds, strict=True)
    ]
    accuracies, seconds = np.array(scored).T
    return Scores(OURS, accuracies, fit_seconds, float(seconds.mean())), networks


def describe(
    models: Mapping[str, Any], ours: Contender, division: Division, request: Request
) -> dict[str, Any]:
    """Returns what baselines.json says before the results."""
    constants = ours.sweep.to_dict()
    for key in ("axes", "num_seeds", "protocol", "num_folds"):
        del constants[key]
    fold, (platform, *devices) = division.folds[0], devices_in_use()
    return {
        "command": request.command,
        "data": as_dict(directory.describe_data(division.table, request.data)),
        "split": {
            "protocol": "random 70:30",
            "seeds": list(range(request.seed, request.seed + len(division.folds))),
            "train": len(fold.train),
            "test": len(fold.test),
        },
        "seed": request.seed,
        "models": {name: " ".join(str(m.steps[-1][1]).split()) for name, m in models.items()},
        "ours": {
            "name": OURS,
            "run": request.run,
            "config": dict(ours.config),
            "sweep": constants,
        },
        "platform": platform,
        "devices": devices,
        "versions": directory.versions(),
    }


def save(found: Baselines, division: Division, description: Mapping[str, Any]) -> None:
    """Writes the tables, the figures and the description."""
    from gtzan_jax.views import plots

    table, folder = division.table, found.folder
    frames = {
        "baselines": found.scores,
        "comparison": found.paired,
        "importance": found.importance,
    }
    for name, frame in frames.items():
        write_csv(folder / f"{name}.csv", frame.assign(data="sample") if table.is_sample else frame)
    seeds = description["split"]["seeds"]
    note = table.note(f"{len(seeds)} random 70:30 splits, seeds {seeds[0]} to {seeds[-1]}")
    best = found.best_classical
    figures = {
        "baselines": plots.model_comparison(found.scores, found.paired, OURS, note),
        "importance": plots.feature_importance(found.importance, best, OURS, note),
    }
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png")
    text = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / "baselines.json", text + "\n")


def summary(found: Baselines) -> str:
    """Returns the tables of scores and of differences as one, and where everything is."""
    shown = ["model", "accuracy_mean", "accuracy_std", "fit_seconds"]
    table = found.scores[shown].merge(found.paired, how="left", on="model")
    lines = [
        table.to_string(index=False, float_format="{:.3f}".format, na_rep=""),
        "(difference: our accuracy minus the model's, with its 95 % interval)",
        textwrap.fill(f"{NOTES['splits']} {NOTES['selection']}", 80),
        printable(f"results in {found.folder}"),
    ]
    return "\n".join(lines)
