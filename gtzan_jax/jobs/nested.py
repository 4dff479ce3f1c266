"""Nested selection of our network: chooses a config in each fold and retrains it."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gtzan_jax.analysis.classical import Outcome
from gtzan_jax.backends.backend import Backend
from gtzan_jax.errors import InputError, RunError
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.history import History, trials_of
from gtzan_jax.rundir.ranking import rank_at_best_epochs
from gtzan_jax.space.config import Config, Trial
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import Fold, Sizes, arrays_of, judged_rows, sizes_of
from gtzan_jax.tables.protocols import Splits
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.trainer.task import Trained
from gtzan_jax.trainer.trainer import Trainer

OURS = "gtzan_jax MLP"
TRIED, RETRAINED = f"{OURS}: selection", f"{OURS}: retraining"

Done = Callable[[str, int], None]

_SEGMENTS = METRICS.index("test_segment_accuracy")
_ACCURACY = METRICS.index("validation_accuracy")


class Choice(NamedTuple):
    """The config and the number of epochs chosen in a fold."""

    config: Config
    epochs: int
    validation_accuracy: float  # after these epochs; mean over the seeds of the sweep
    settings_tried: int  # configs × epochs


@dataclass(frozen=True)
class NetworkClassifier:
    """A trained network as a scikit-learn classifier with integer classes."""

    model: TrainedModel

    def fit(self, *_: object) -> "NetworkClassifier":
        """Does nothing; scikit-learn requires the method."""
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns (rows,) int class numbers. x: (rows, features), not standardised."""
        return np.asarray(self.model.predict_matrix(x).argmax(axis=1))


def check_sweep(sweep: Sweep) -> None:
    """Raises InputError for sweeps that do not fit nested selection."""
    if sweep.stops_early:
        raise InputError(
            f"{sweep.name}: the sweep has patience, but this command chooses the number of epochs "
            "on the validation part of each fold; remove patience"
        )
    if sweep.search.is_told:
        raise InputError(
            f"{sweep.name}: the search is '{sweep.search.kind}', but this command trains every "
            "configuration on every fold; use --set=search.kind=grid, or random with "
            "search.num_configs for fewer"
        )


def evaluate(
    backend: Backend,
    sweep: Sweep,
    all_splits: Sequence[Splits],
    first_seed: int,
    num_seeds: int,
    done: Done = lambda *_: None,
) -> list[tuple[Outcome, NetworkClassifier]]:
    """Chooses our network on the validation part of every fold, and retrains it on both parts.

    Args:
      backend: where to train.
      sweep: every config is trained on each fold, with the sweep's number of seeds.
      all_splits: splits of one table, with a validation part in each fold.
      first_seed: the first seed of the sweep and of the retraining.
      num_seeds: networks to retrain on each fold.
      done: called with :data:`TRIED` and a number of networks, or :data:`RETRAINED` and a number
        of folds.

    Returns:
      the outcome of each fold, and its network of the first seed.

    Raises:
      RunError: a network diverged in the retraining.
    """
    check_sweep(sweep)
    started, table = time.perf_counter(), all_splits[0].table
    folds = [fold for splits in all_splits for fold in splits.folds]
    # One size for all folds, so that programs are compiled once.
    sizes = sizes_of(table, [part(f) for f in folds for part in (_tried, _whole)])
    seeds = range(first_seed, first_seed + num_seeds)
    found: list[tuple[Outcome, NetworkClassifier]] = []
    with backend.trainer(sweep, sizes, len(folds) * sweep.num_seeds) as trainer:
        for splits in all_splits:
            choices = _choose(trainer, splits, sizes, first_seed, done)
            found += _retrain(trainer, splits, sizes, seeds, choices)
            done(RETRAINED, len(choices))
    seconds = (time.perf_counter() - started) / len(folds)
    return [(each._replace(fit_seconds=seconds), network) for each, network in found]


def _tried(fold: Fold) -> Fold:
    """Returns a fold without its test rows, so that no choice can depend on them."""
    return Fold(fold.train, fold.validation, fold.test[:0])


def _whole(fold: Fold) -> Fold:
    """Returns a fold whose train part includes the validation part."""
    return Fold(np.concatenate([fold.train, fold.validation]), fold.validation[:0], fold.test)


def _choose(trainer: Trainer, splits: Splits, sizes: Sizes, seed: int, done: Done) -> list[Choice]:
    sweep, count = trainer.plan.sweep, len(splits.folds)
    shape = (count, sweep.num_configs, sweep.num_seeds, sweep.epochs, len(METRICS))
    figures = np.full(shape, np.nan, np.float32)
    arrays = [arrays_of(splits.table, _tried(fold), sizes) for fold in splits.folds]
    trials = trials_of(sweep, count, range(seed, seed + sweep.num_seeds))
    for trained in trainer.run(trainer.plan.tasks(trials), arrays):
        task = trained.task
        places = [sweep.places[config_id] for config_id in task.config_ids]
        figures[task.fold, places, task.seed - seed] = trained.history
        done(TRIED, len(places))
    return [best_of(sweep, of_fold) for of_fold in figures]


def _retrain(
    trainer: Trainer,
    splits: Splits,
    sizes: Sizes,
    seeds: Sequence[int],
    choices: Sequence[Choice],
) -> list[tuple[Outcome, NetworkClassifier]]:
    seen = dataclasses.replace(splits, folds=tuple(map(_whole, splits.folds)))
    wanted = [
        [Trial(choice.config.id, place, seed) for seed in seeds]
        for place, choice in enumerate(choices)
    ]
    tasks = [
        task
        for trials, choice in zip(wanted, choices, strict=True)
        for task in trainer.plan.repeats(trials, choice.epochs)
    ]
    results: list[list[Trained]] = [[] for _ in choices]
    for trained in trainer.run(tasks, [arrays_of(splits.table, f, sizes) for f in seen.folds]):
        results[trained.task.fold].append(trained)
    found = []
    for place, (choice, trials, of_fold) in enumerate(zip(choices, wanted, results, strict=True)):
        networks = History.of(trials, of_fold)
        if networks.diverged.any():
            raise RunError(
                f"{splits.protocol.name}, fold {place}: {choice.config.name} diverged in the "
                "retraining; lower the learning rates of the sweep"
            )
        params = {
            t: p for each in of_fold for t, p in zip(each.task.trials, each.params, strict=True)
        }
        plan, first = trainer.plan, params[trials[0]]
        model = TrainedModel.of(choice.config, first, plan.sweep, seen, place)
        network = NetworkClassifier(model)
        outcome = _outcome(choice, networks, network, splits.table, splits.folds[place])
        found.append((outcome, network))
    return found


def best_of(sweep: Sweep, figures: np.ndarray) -> Choice:
    """Chooses config and epochs by the mean validation accuracy over seeds.

    Ties go to the lower loss, then to the first config in grid order, then to the fewest epochs.
    Configs with a diverged network are excluded. figures: (configs, seeds, epochs, metrics).
    """
    means = figures.mean(axis=1, dtype=np.float64)
    order, epochs = rank_at_best_epochs(means, "validation")
    place = order[0]
    if not np.isfinite(means[place]).all():
        raise InputError(
            f"{sweep.name}: every configuration diverged on a fold; lower the learning rates"
        )
    best = float(means[place, epochs[place] - 1, _ACCURACY])
    return Choice(sweep.configs[place], int(epochs[place]), best, means[..., 0].size)


def _outcome(
    choice: Choice, networks: History, network: NetworkClassifier, table: FeatureTable, fold: Fold
) -> Outcome:
    """Scores the networks of a fold; ``hits`` are the shares of networks that are right."""
    rows = judged_rows(table, fold.test)
    network.predict(table.x[fold.test])  # compiles
    started = time.perf_counter()
    network.predict(table.x[fold.test])
    return Outcome(
        hits=(networks.predicted[:, : len(rows)] == table.y[rows]).mean(axis=0),
        validation_accuracy=choice.validation_accuracy,
        settings={"config": choice.config.name, "epochs": choice.epochs},
        fit_seconds=0.0,  # set at the end
        predict_seconds=time.perf_counter() - started,
        settings_tried=choice.settings_tried,
        seeds=len(networks.trials),
        segment_accuracy=float(networks.kept[:, _SEGMENTS].mean()) if table.is_segmented else None,
    )
