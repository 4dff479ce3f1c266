"""Our network as the baselines compare it: a sweep's winner of each fold, retrained.

All configs are trained on the train part of each fold. Config and epochs are chosen by its
validation part, and networks of several seeds, trained so on train and validation part together,
predict the test part. The folds that the configs are tried on have no test rows.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gtzan_jax.analysis.classical import Outcome
from gtzan_jax.backends.workplace import Workplace
from gtzan_jax.errors import InputError, RunError
from gtzan_jax.metrics import METRICS
from gtzan_jax.models.trained import TrainedModel
from gtzan_jax.rundir.history import History, members_of
from gtzan_jax.space.config import Config, Member
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import Fold, arrays_of, judged_rows, sizes_of
from gtzan_jax.tables.protocols import Division
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.trainer.chunk import Trained

OURS = "gtzan_jax MLP"

_CHUNKS = METRICS.index("test_chunk_accuracy")
_ACCURACY, _LOSS = METRICS.index("validation_accuracy"), METRICS.index("validation_loss")


class Choice(NamedTuple):
    """What was chosen for a fold."""

    config: Config
    epochs: int
    validation_accuracy: float  # after these epochs, mean over the sweep's seeds
    settings_tried: int  # configs times epochs


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


class Winner(NamedTuple):
    """What was chosen for a fold, retrained on its train and validation part."""

    choice: Choice
    networks: History  # one a seed; they have predicted the test rows only
    classifier: NetworkClassifier  # the first of them


def check_sweep(sweep: Sweep) -> None:
    """Raises InputError where config and epochs of each fold are not for a :class:`Contender`."""
    if sweep.stops_early:
        raise InputError(
            f"{sweep.name}: patience is an axis, but here each fold's epochs are chosen on its "
            "validation part; leave patience out"
        )
    if sweep.search.is_told:
        raise InputError(
            f"{sweep.name}: the search is '{sweep.search.kind}', but here every config is tried on "
            "every fold; --set=search.kind=grid tries all, random with search.num_configs some"
        )


class Contender:
    """Chooses and retrains our network on the folds of several protocols, with one trainer.

    Programs are compiled for the sizes that all folds fit into, hence once for all protocols. Use
    as a context manager.

    Args:
      place: where to train.
      sweep: its configs are tried on each fold, with as many seeds as it says.
      divisions: all that will be asked for, with a validation part in each fold.
      first_seed: of the sweep and of the retraining.
      num_seeds: networks of the retraining on each fold.

    Raises:
      InputError: see :func:`check_sweep`.
    """

    def __init__(
        self,
        place: Workplace,
        sweep: Sweep,
        divisions: Sequence[Division],
        first_seed: int,
        num_seeds: int,
    ) -> None:
        check_sweep(sweep)
        folds = [fold for division in divisions for fold in division.folds]
        self._sizes = sizes_of(divisions[0].table, [*map(_tried, folds), *map(_retrained, folds)])
        self._trainer = place.trainer(sweep, self._sizes, len(folds) * sweep.num_seeds)
        self.tried_seeds = range(first_seed, first_seed + sweep.num_seeds)
        self.seeds = range(first_seed, first_seed + num_seeds)

    def __enter__(self) -> "Contender":
        self._trainer.__enter__()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._trainer.__exit__(kind, error, traceback)

    def choose(
        self, division: Division, done: Callable[[int], None] = lambda _: None
    ) -> list[Choice]:
        """Trains every config on the train part of every fold, and chooses on the validation part.

        Args:
          division: one of those that the contender was made for.
          done: called with the number of networks that have been trained.

        Raises:
          InputError: no config is left of a fold, since all of them diverged.
        """
        sweep, table, seeds = self._trainer.sweep, division.table, self.tried_seeds
        figures = np.full(
            (len(division.folds), sweep.num_configs, len(seeds), sweep.epochs, len(METRICS)),
            np.nan,
            np.float32,
        )
        arrays = [arrays_of(table, _tried(fold), self._sizes) for fold in division.folds]
        chunks = self._trainer.chunks(members_of(sweep, len(arrays), seeds))
        for trained in self._trainer.run(chunks, arrays):
            chunk = trained.chunk
            places = [sweep.places[config_id] for config_id in chunk.config_ids]
            figures[chunk.fold, places, chunk.seed - seeds[0]] = trained.history
            done(len(places))
        return [best_of(sweep, validation) for validation in figures]

    def retrain(
        self,
        division: Division,
        choices: Sequence[Choice],
        done: Callable[[int], None] = lambda _: None,
    ) -> list[Winner]:
        """Trains what was chosen for each fold on its train and validation part.

        Raises:
          RunError: a network diverged.
        """
        folds = tuple(map(_retrained, division.folds))
        seen = dataclasses.replace(division, folds=folds)
        arrays = [arrays_of(division.table, fold, self._sizes) for fold in folds]
        members = [[Member(choice.config.id, place, seed) for seed in self.seeds]
                   for place, choice in enumerate(choices)]  # fmt: skip
        chunks = [
            chunk
            for wanted, choice in zip(members, choices, strict=True)
            for chunk in self._trainer.repeats(wanted, choice.epochs)
        ]
        results: dict[int, list[Trained]] = {place: [] for place in range(len(choices))}
        for trained in self._trainer.run(chunks, arrays):
            results[trained.chunk.fold].append(trained)
        winners = []
        for place, choice in enumerate(choices):
            config, networks = choice.config, History.of(members[place], results[place])
            if networks.diverged.any():
                raise RunError(
                    f"{division.protocol.name}, fold {place}: a network of {config.name} diverged "
                    "on train and validation part together; lower the sweep's learning rates"
                )
            [params] = (
                trained.params[trained.chunk.members.index(members[place][0])]
                for trained in results[place]
                if members[place][0] in trained.chunk.members
            )
            sweep = self._trainer.sweep
            model = TrainedModel.of(config, params, sweep, seen, place)
            winners.append(Winner(choice, networks, NetworkClassifier(model)))
            done(1)
        return winners


def best_of(sweep: Sweep, figures: np.ndarray) -> Choice:
    """Chooses config and epochs by the mean validation accuracy over seeds, ties by the loss.

    Of what is equal in both, the first config in grid order wins, and with it the fewest epochs. A
    config is out if one of its networks has diverged.

    Args:
      sweep: the sweep.
      figures: (configs, seeds, epochs, metrics) of one fold.

    Raises:
      InputError: every config has diverged.
    """
    means = figures.mean(axis=1, dtype=np.float64)
    whole = np.isfinite(means).all(axis=(1, 2))
    if not whole.any():
        raise InputError(f"{sweep.name}: every config diverged on a fold; lower the learning rates")
    accuracy = np.where(whole[:, None], means[..., _ACCURACY], -np.inf)
    order = np.lexsort((means[..., _LOSS].ravel(), -accuracy.ravel()))
    place, epoch = np.unravel_index(order[0], accuracy.shape)
    best = float(accuracy[place, epoch])
    return Choice(sweep.configs[place], int(epoch) + 1, best, accuracy.size)


def outcome_of(winner: Winner, table: FeatureTable, fold: Fold, fit_seconds: float) -> Outcome:
    """Returns how a winner did on its fold; a hit is the share of the networks that have it.

    Args:
      winner: of the fold.
      table: the feature table.
      fold: with the test part.
      fit_seconds: of a fold, choosing included.
    """
    choice = winner.choice
    rows = judged_rows(table, fold.test)
    hits = (winner.networks.predicted[:, : len(rows)] == table.y[rows]).mean(axis=0)
    by_chunk = float(winner.networks.kept[:, _CHUNKS].mean())
    settings = {"config": choice.config.name, "epochs": choice.epochs}
    winner.classifier.predict(table.x[fold.test])  # compiles
    started = time.perf_counter()
    winner.classifier.predict(table.x[fold.test])
    seconds = time.perf_counter() - started
    chunks = by_chunk if table.is_chunked else None
    tried = choice.settings_tried, len(winner.networks.members)
    return Outcome(hits, choice.validation_accuracy, settings, fit_seconds, seconds, *tried, chunks)


def _tried(fold: Fold) -> Fold:
    """Returns what the configs are tried on: no test rows, so that nothing can go by them."""
    return Fold(fold.train, fold.validation, fold.test[:0])


def _retrained(fold: Fold) -> Fold:
    """Returns what the winner is retrained on: train and validation part together."""
    return Fold(np.concatenate([fold.train, fold.validation]), fold.validation[:0], fold.test)
