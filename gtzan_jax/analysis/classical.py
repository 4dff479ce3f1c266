"""Classical models on the folds of a protocol, and any models' figures beside each other's.

A setting of a model, such as an SVM's penalty, is chosen on the validation part of each fold; the
model is then fitted to train and validation part together and predicts the test part. Our network
is treated likewise in :mod:`gtzan_jax.jobs.contender`.
"""

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from gtzan_jax.analysis.inference import corrected_t_test
from gtzan_jax.analysis.selection import accuracy_interval
from gtzan_jax.analysis.votes import vote_hits
from gtzan_jax.tables.folds import Fold
from gtzan_jax.tables.schema import FeatureTable

if TYPE_CHECKING:  # pandas and scikit-learn: not before they are needed
    import pandas as pd

IMPORTANCE_REPEATS = 3  # shuffles of each feature in each fold; the folds are repeats as well


class Tuned(NamedTuple):
    """A scikit-learn estimator, and the values by parameter among which each fold chooses."""

    estimator: Any  # unfitted
    grid: Mapping[str, Sequence[Any]]  # empty where there is nothing to choose


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a model did on one fold.

    Attributes:
      hits: (tested,) float64 in [0, 1], of the songs of the test part in the order of their first
        rows; means over the seeds.
      validation_accuracy: of the chosen settings, before the validation part is trained on.
      settings: that were chosen.
      fit_seconds: choosing and all seeds included.
      predict_seconds: of one fitted model.
      settings_tried: among which they were chosen.
      seeds: fitted models whose hits are averaged; 1 where none draws random numbers.
      chunk_accuracy: the share of the test rows that were recognised where those are chunks.
    """

    hits: np.ndarray = field(repr=False)
    validation_accuracy: float
    settings: Mapping[str, Any]
    fit_seconds: float
    predict_seconds: float
    settings_tried: int
    seeds: int
    chunk_accuracy: float | None = None

    @property
    def accuracy(self) -> float:
        """The share of the tested songs that were recognised."""
        return float(self.hits.mean())

    @property
    def chosen(self) -> str:
        """The settings as text; "" where there was nothing to choose."""
        return ", ".join(f"{n.rpartition('__')[2]}={v}" for n, v in self.settings.items())


def classical_models(seed: int) -> dict[str, Tuned]:
    """Returns scikit-learn's models by name, each a pipeline behind a scaler.

    What no grid names has scikit-learn's value, but for what it takes to converge, more trees in
    the forests, and in the boosting smaller trees that see a part of the features, which are
    quicker. Of equally good settings the first is taken, scikit-learn's own where a grid has it.

    Args:
      seed: the first of the models that draw random numbers.
    """
    from sklearn import discriminant_analysis, ensemble, neural_network, tree
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    forest: dict[str, Any] = {"n_estimators": 200, "random_state": seed}
    boosting = ensemble.HistGradientBoostingClassifier(max_features=0.3, random_state=seed)
    models: dict[str, tuple[Any, dict[str, Sequence[Any]]]] = {
        "gradient boosting": (boosting, {"max_leaf_nodes": [8, 4]}),
        "random forest": (
            ensemble.RandomForestClassifier(**forest),
            {"min_samples_leaf": [1, 3]},
        ),
        "extra trees": (ensemble.ExtraTreesClassifier(**forest), {"min_samples_leaf": [1, 3]}),
        "scikit-learn MLP": (
            neural_network.MLPClassifier(max_iter=1000, random_state=seed),
            {"hidden_layer_sizes": [(100,), (128, 128, 64)]},
        ),
        "SVM (RBF)": (SVC(), {"C": [1.0, 0.1, 10.0, 100.0], "gamma": ["scale", 0.005, 0.05]}),
        "logistic regression": (
            LogisticRegression(max_iter=1000),
            {"C": [1.0, 0.003, 0.01, 0.03, 0.1, 0.3, 3.0, 10.0, 100.0]},
        ),
        "LDA": (
            discriminant_analysis.LinearDiscriminantAnalysis(solver="lsqr"),
            {"shrinkage": [None, "auto"]},
        ),
        "nearest neighbours": (KNeighborsClassifier(), {"n_neighbors": [5, 3, 9, 15]}),
        "Gaussian naive Bayes": (GaussianNB(), {}),
        "decision tree": (
            tree.DecisionTreeClassifier(random_state=seed),
            {"max_leaf_nodes": [None, 16, 32, 64]},
        ),
    }
    found = {}
    for name, (model, grid) in models.items():
        pipeline = make_pipeline(StandardScaler(), model)
        step = pipeline.steps[-1][0]
        found[name] = Tuned(pipeline, {f"{step}__{key}": values for key, values in grid.items()})
    return found


def evaluate(
    models: Mapping[str, Tuned],
    table: FeatureTable,
    folds: Sequence[Fold],
    jobs: int = -1,
    num_seeds: int = 1,
) -> Iterator[tuple[str, int, Outcome]]:
    """Chooses, fits and scores every model on every fold, and yields each when it is done.

    Settings are chosen with the first seed; models that draw random numbers are then fitted with
    each seed.

    The work is spread over processes, each with one thread, so that the seconds of models can be
    compared.

    Args:
      models: such as from :func:`classical_models`, those that take long first.
      table: the feature table.
      folds: with a validation and a test part.
      jobs: processes; -1 for one a core, and 1 for none besides this one.
      num_seeds: fits of each model that draws random numbers.

    Yields:
      the model's name, the place of the fold, and how the model did on it, in any order.
    """
    from sklearn.utils.parallel import Parallel, delayed

    x = table.x.astype(np.float64)
    songs = table.songs if table.is_chunked else None
    work = Parallel(jobs, return_as="generator_unordered")
    yield from work(
        delayed(_evaluate)(name, tuned, x, table.y, songs, place, fold, num_seeds)
        for name, tuned in models.items()
        for place, fold in enumerate(folds)
    )


def _evaluate(
    name: str,
    tuned: Tuned,
    x: np.ndarray,
    y: np.ndarray,
    songs: np.ndarray | None,
    place: int,
    fold: Fold,
    num_seeds: int,
) -> tuple[str, int, Outcome]:
    test_x, test_y = x[fold.test], y[fold.test]
    with threadpool_limits(1):
        started = time.perf_counter()
        search = choose(tuned, x, y, fold)
        seedings = _seedings(tuned.estimator, num_seeds)
        models = [_fitted(tuned, search.best_params_ | seeding, x, y, fold) for seeding in seedings]
        fitted = time.perf_counter()
        right = np.stack([model.predict(test_x) == test_y for model in models])
        seconds = fitted - started, (time.perf_counter() - fitted) / len(models)
        hits, by_chunk = right, None
        if songs is not None:
            hits = np.stack([vote_hits(m, test_x, test_y, songs[fold.test]) for m in models])
            by_chunk = float(right.mean())
    tried = len(search.cv_results_["params"]), len(models)
    chosen = float(search.best_score_), search.best_params_
    return name, place, Outcome(hits.mean(axis=0), *chosen, *seconds, *tried, by_chunk)


def _seedings(estimator: Any, num_seeds: int) -> list[dict[str, int]]:
    """Returns the settings of each fit: its seed, or none for the one fit that draws nothing."""
    name = f"{estimator.steps[-1][0]}__random_state"
    first = estimator.get_params().get(name)
    return [{}] if first is None else [{name: first + place} for place in range(num_seeds)]


def choose(tuned: Tuned, x: np.ndarray, y: np.ndarray, fold: Fold) -> Any:
    """Fits each candidate to the train part, and scores it on the validation part.

    The test part is not looked at.

    Returns:
      the ``GridSearchCV``, which has refitted nothing.
    """
    from sklearn.model_selection import GridSearchCV

    rows = np.concatenate([fold.train, fold.validation])
    places = np.split(np.arange(len(rows)), [len(fold.train)])
    how: dict[str, Any] = {"scoring": "accuracy", "cv": [places], "refit": False}
    return _fit(GridSearchCV(tuned.estimator, dict(tuned.grid), **how), x[rows], y[rows])


def _fitted(
    tuned: Tuned, settings: Mapping[str, Any], x: np.ndarray, y: np.ndarray, fold: Fold
) -> Any:
    """Returns a model fitted to train and validation part."""
    from sklearn.base import clone

    rows = np.concatenate([fold.train, fold.validation])
    return _fit(clone(tuned.estimator).set_params(**settings), x[rows], y[rows])


def _fit(estimator: Any, x: np.ndarray, y: np.ndarray) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # What does not converge in time is judged by what it has come to.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(x, y)


def refit(
    tuned: Tuned, table: FeatureTable, folds: Sequence[Fold], outcomes: Sequence[Outcome]
) -> list[Any]:
    """Returns a model of the first seed as it was chosen and fitted on each fold."""
    x = table.x.astype(np.float64)
    with threadpool_limits(1):
        return [
            _fitted(tuned, outcome.settings, x, table.y, fold)
            for fold, outcome in zip(folds, outcomes, strict=True)
        ]


class Judged(NamedTuple):
    """How models did under a protocol, on the same folds."""

    outcomes: Mapping[str, Sequence[Outcome]]  # by model, those of the folds in their order
    group: np.ndarray  # (tested,) int, of the test rows of all folds, one fold after another
    test_over_train: float  # rows tested per row that models are refitted to, mean of the folds

    def hits(self, model: str) -> np.ndarray:
        """Returns (tested,) hits of a model, in the order of ``group``."""
        return np.concatenate([outcome.hits for outcome in self.outcomes[model]])


def scores_table(judged: Mapping[str, Judged]) -> "pd.DataFrame":
    """Lays the figures of every model under every protocol out, the best of a protocol first.

    Args:
      judged: by protocol.

    Returns:
      protocol, model, accuracy of the test songs of all folds together, low, high (its 95 %
      interval over groups: for other artists under a protocol of ``ARTISTS_APART``, elsewhere for
      other songs of such artists; fitted models, train parts and seeds held fixed), accuracy_std
      (over the folds, n - 1; NaN where there is one), folds, tested (songs, as often as they are),
      settings_tried and seeds (as in :class:`Outcome`), fit_seconds and predict_seconds (means
      of a fold); of a table of chunks also chunk_accuracy (mean of the folds).
    """
    import pandas as pd

    rows = []
    for protocol, of_models in judged.items():
        for model, outcomes in of_models.outcomes.items():
            hits = of_models.hits(model)
            low, high = accuracy_interval(hits, of_models.group)
            rows.append(
                {
                    "protocol": protocol,
                    "model": model,
                    "accuracy": hits.mean(),
                    "low": low,
                    "high": high,
                    "accuracy_std": pd.Series([o.accuracy for o in outcomes]).std(),
                    "folds": len(outcomes),
                    "tested": len(hits),
                    "settings_tried": outcomes[0].settings_tried,
                    "seeds": outcomes[0].seeds,
                    "fit_seconds": np.mean([o.fit_seconds for o in outcomes]),
                    "predict_seconds": np.mean([o.predict_seconds for o in outcomes]),
                }
            )
            if all(o.chunk_accuracy is not None for o in outcomes):
                rows[-1]["chunk_accuracy"] = np.mean([o.chunk_accuracy for o in outcomes])
    return _in_order(pd.DataFrame(rows), judged, "accuracy", ascending=False)


def comparison_table(judged: Mapping[str, Judged], ours: str) -> "pd.DataFrame":
    """Compares our model with every other one under every protocol, track by track.

    Args:
      judged: by protocol.
      ours: the name of our model.

    Returns:
      protocol, model, difference (our accuracy minus the model's), low, high (95 % interval),
      with_refitting (whether that is the corrected t over the folds, for models fitted to other
      train parts; otherwise it is over groups, as in :func:`scores_table`, for these fitted models
      only); the strongest model of a protocol first.

    References:
      Bouckaert and Frank, Evaluating the Replicability of Significance Tests for Comparing Learning
      Algorithms, PAKDD (2004): the same t over all folds of repeated divisions.
    """
    import pandas as pd

    rows = []
    for protocol, of_models in judged.items():
        for model in of_models.outcomes:
            if model != ours:
                differences = of_models.hits(ours) - of_models.hits(model)
                pairs = zip(of_models.outcomes[ours], of_models.outcomes[model], strict=True)
                by_fold = np.array([mine.accuracy - other.accuracy for mine, other in pairs])
                _, *interval, _ = corrected_t_test(by_fold, of_models.test_over_train)
                if not (refitted := bool(np.isfinite(interval[0]))):
                    interval = [*accuracy_interval(differences, of_models.group)]
                rows.append((protocol, model, differences.mean(), *interval, refitted))
    columns = ["protocol", "model", "difference", "low", "high", "with_refitting"]
    return _in_order(pd.DataFrame(rows, columns=columns), judged, "difference", ascending=True)


def _in_order(
    frame: "pd.DataFrame", protocols: Iterable[str], column: str, ascending: bool
) -> "pd.DataFrame":
    """Sorts rows by a column within each protocol; the protocols keep their order."""
    place = frame["protocol"].map({name: place for place, name in enumerate(protocols)})
    frame = frame.assign(place=place).sort_values(
        ["place", column], ascending=[True, ascending], kind="stable", ignore_index=True
    )
    return frame.drop(columns="place").round(7)


def folds_table(judged: Mapping[str, Judged]) -> "pd.DataFrame":
    """Lays every fold out: protocol, fold, model, accuracy, validation_accuracy, chosen."""
    import pandas as pd

    columns = ["protocol", "fold", "model", "accuracy", "validation_accuracy", "chosen"]
    rows = [
        (protocol, fold, model, outcome.accuracy, outcome.validation_accuracy, outcome.chosen)
        for protocol, of_models in judged.items()
        for model, outcomes in of_models.outcomes.items()
        for fold, outcome in enumerate(outcomes)
    ]
    return pd.DataFrame(rows, columns=columns).round(7)


def permutation_drops(
    fitted: Sequence[Any],
    table: FeatureTable,
    folds: Sequence[Fold],
    seed: int,
    repeats: int = IMPORTANCE_REPEATS,
    done: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Measures how much accuracy is lost when one feature of the test part is shuffled.

    The same seed shuffles every model's features alike.

    Args:
      fitted: for each split an estimator that was fitted to its train part.
      table: the feature table.
      folds: of its tracks.
      seed: of the shuffles.
      repeats: shuffles of each feature.
      done: called after each split.

    Returns:
      (splits, features) float64 mean drops of accuracy over the repeats.
    """
    from sklearn.inspection import permutation_importance

    def drops(estimator: Any, fold: Fold) -> np.ndarray:
        x = table.x[fold.test].astype(np.float64)
        found = permutation_importance(
            estimator, x, table.y[fold.test], scoring=_accuracy, n_repeats=repeats,
            random_state=seed,
        )  # fmt: skip
        return np.asarray(found.importances_mean)

    # Threads: predictions spend their time outside Python, and new processes would import JAX.
    # Each starts none of its own: several that wait for the same cores make it far slower.
    rows = []
    with (
        threadpool_limits(1),
        ThreadPoolExecutor(os.cpu_count(), initializer=threadpool_limits, initargs=(1,)) as pool,
    ):
        for row in pool.map(drops, fitted, folds):
            rows.append(row)
            done()
    return np.stack(rows)


def _accuracy(estimator: Any, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(estimator.predict(x) == y))


def importance_table(
    features: Sequence[str], classical: np.ndarray, ours: np.ndarray
) -> "pd.DataFrame":
    """Lays two models' importances side by side, the most important on average first.

    Args:
      features: their names.
      classical: (splits, features) from :func:`permutation_drops`, of a classical model.
      ours: the same of our network.

    Returns:
      feature, classical_mean, classical_std, mlp_mean, mlp_std; means and deviations (n - 1)
      over the splits.
    """
    import pandas as pd

    table = pd.DataFrame({"feature": list(features)})
    for name, drops in (("classical", classical), ("mlp", ours)):
        table[f"{name}_mean"] = drops.mean(axis=0)
        table[f"{name}_std"] = pd.DataFrame(drops).std()
    order = (table["classical_mean"] + table["mlp_mean"]).sort_values(
        ascending=False, kind="stable"
    )
    return table.loc[order.index].reset_index(drop=True).round(7)
