"""Classical models under the protocols, and tables that compare any models.

A setting of a model, such as an SVM's penalty, is chosen on the validation part of each fold; the
model is then fitted to train and validation part together and predicts the test part. The same is
done with our network in :mod:`gtzan_jax.jobs.nested`.
"""

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from gtzan_jax.analysis.inference import corrected_t_test
from gtzan_jax.analysis.selection import accuracy_interval
from gtzan_jax.tables.folds import Fold, songs_of
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
    """Result of a model on one fold.

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

    Settings are scikit-learn's own but for the grids, iterations to converge, more trees in the
    forests, and smaller trees that see a part of the features in the boosting, which are quicker.
    Of equally good settings the first is taken, scikit-learn's own where a grid has it.

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
    leaves: dict[str, Sequence[Any]] = {"min_samples_leaf": [1, 3]}
    boosting = ensemble.HistGradientBoostingClassifier(max_features=0.3, random_state=seed)
    models: dict[str, tuple[Any, dict[str, Sequence[Any]]]] = {
        "gradient boosting": (boosting, {"max_leaf_nodes": [8, 4]}),
        "random forest": (ensemble.RandomForestClassifier(**forest), leaves),
        "extra trees": (ensemble.ExtraTreesClassifier(**forest), leaves),
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
    pipelines = {
        name: make_pipeline(StandardScaler(), model) for name, (model, _) in models.items()
    }
    return {
        name: Tuned(
            pipeline,
            {f"{pipeline.steps[-1][0]}__{key}": of for key, of in models[name][1].items()},
        )
        for name, pipeline in pipelines.items()
    }


def evaluate(
    models: Mapping[str, Tuned],
    table: FeatureTable,
    folds: Sequence[Fold],
    jobs: int = -1,
    num_seeds: int = 1,
) -> Iterator[tuple[str, int, Outcome]]:
    """Chooses, fits and scores every model on every fold, and yields each when it is done.

    Settings are chosen with the first seed; models that draw random numbers are then fitted with
    each seed. The work is spread over processes, each with one thread, so that the seconds of
    models can be compared.

    Args:
      models: such as from :func:`classical_models`, those that take long first.
      table: the feature table.
      folds: with a validation and a test part.
      jobs: processes; -1 for one a core, and 1 for none besides this one.
      num_seeds: fits of each model that draws random numbers.

    Yields:
      the model's name, the place of the fold, and the model's outcome on it, in any order.
    """
    from sklearn.utils.parallel import Parallel, delayed

    work = Parallel(jobs, return_as="generator_unordered")
    yield from work(
        delayed(_evaluate)(name, tuned, table, place, fold, num_seeds)
        for name, tuned in models.items()
        for place, fold in enumerate(folds)
    )


def _evaluate(
    name: str, tuned: Tuned, table: FeatureTable, place: int, fold: Fold, num_seeds: int
) -> tuple[str, int, Outcome]:
    from sklearn.model_selection import GridSearchCV

    x, y = table.x[fold.test].astype(np.float64), table.y[fold.test]
    with threadpool_limits(1):
        started = time.perf_counter()
        cut = np.split(np.arange(len(fold.train) + len(fold.validation)), [len(fold.train)])
        search = GridSearchCV(
            tuned.estimator, dict(tuned.grid), scoring="accuracy", cv=[cut], refit=False
        )
        _fit(search, table, fold)
        seed_name = f"{tuned.estimator.steps[-1][0]}__random_state"
        first = tuned.estimator.get_params().get(seed_name)  # None where nothing is drawn
        seeds = [first] if first is None else range(first, first + num_seeds)
        seedings = [{} if seed is None else {seed_name: seed} for seed in seeds]
        models = [_fitted(tuned, search.best_params_ | each, table, fold) for each in seedings]
        fitted = time.perf_counter()
        right = np.stack([model.predict(x) == y for model in models])
        predicted = time.perf_counter()
        hits = right
        if table.is_chunked:
            hits = np.stack([vote_hits(m, x, y, table.songs[fold.test]) for m in models])
    outcome = Outcome(
        hits=hits.mean(axis=0),
        validation_accuracy=float(search.best_score_),
        settings=search.best_params_,
        fit_seconds=fitted - started,
        predict_seconds=(predicted - fitted) / len(models),
        settings_tried=len(search.cv_results_["params"]),
        seeds=len(models),
        chunk_accuracy=float(right.mean()) if table.is_chunked else None,
    )
    return name, place, outcome


def vote_hits(model: Any, x: np.ndarray, y: np.ndarray, songs: np.ndarray) -> np.ndarray:
    """Returns (songs,) float64 whether the chunks of each song together are recognised.

    The class of the largest mean probability wins, or, where a model has none, as an SVM, of the
    largest mean decision value. Not of log-probabilities: those of trees are often of 0.

    Args:
      model: a fitted scikit-learn classifier.
      x: (rows, features).
      y: (rows,) classes.
      songs: (rows,) the number of each row's song.
    """
    proba = hasattr(model, "predict_proba")
    scores = model.predict_proba(x) if proba else model.decision_function(x)
    if scores.ndim == 1:  # of two classes, for the second
        scores = np.stack([-scores, scores], axis=1)
    first, number = songs_of(songs)
    votes = np.zeros((len(first), scores.shape[1]))
    np.add.at(votes, number, scores)
    hits: np.ndarray = model.classes_[votes.argmax(axis=1)] == y[first]
    return hits.astype(np.float64)


def _fitted(tuned: Tuned, settings: Mapping[str, Any], table: FeatureTable, fold: Fold) -> Any:
    from sklearn.base import clone

    return _fit(clone(tuned.estimator).set_params(**settings), table, fold)


def _fit(estimator: Any, table: FeatureTable, fold: Fold) -> Any:
    """Fits an estimator to train and validation part."""
    from sklearn.exceptions import ConvergenceWarning

    rows = np.concatenate([fold.train, fold.validation])
    with warnings.catch_warnings():
        # An estimator that does not converge in time is scored as it is.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(table.x[rows].astype(np.float64), table.y[rows])


def refit(
    tuned: Tuned, table: FeatureTable, folds: Sequence[Fold], outcomes: Sequence[Outcome]
) -> list[Any]:
    """Returns a model of the first seed as it was chosen and fitted on each fold."""
    with threadpool_limits(1):
        return [
            _fitted(tuned, outcome.settings, table, fold)
            for fold, outcome in zip(folds, outcomes, strict=True)
        ]


class Judged(NamedTuple):
    """Outcomes of models under a protocol, on the same folds."""

    outcomes: Mapping[str, Sequence[Outcome]]  # by model, those of the folds in their order
    group: np.ndarray  # (tested,) int, of the test rows of all folds, one fold after another
    test_over_train: float  # rows tested per row that models are refitted to, mean of the folds

    def hits(self, model: str) -> np.ndarray:
        """Returns (tested,) hits of a model, in the order of ``group``."""
        return np.concatenate([outcome.hits for outcome in self.outcomes[model]])


def scores_table(judged: Mapping[str, Judged]) -> "pd.DataFrame":
    """Tabulates the figures of every model under every protocol, the best of a protocol first.

    Returns:
      protocol, model, accuracy of the test songs of all folds together, low, high (its 95 %
      interval over groups: for other artists under a protocol of ``ARTISTS_APART``, elsewhere for
      other songs of such artists; fitted models, train parts and seeds held fixed), accuracy_std
      (over the folds, n - 1; NaN where there is one), folds, tested (songs, as often as they are),
      settings_tried and seeds (as in :class:`Outcome`), fit_seconds and predict_seconds (means
      of a fold); of a table of chunks also chunk_accuracy (mean of the folds).
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for protocol, of_models in judged.items():
        of_protocol = []
        for model, outcomes in of_models.outcomes.items():
            hits = of_models.hits(model)
            low, high = accuracy_interval(hits, of_models.group)
            row: dict[str, Any] = {"protocol": protocol, "model": model, "accuracy": hits.mean()}
            row |= {"low": low, "high": high}
            row["accuracy_std"] = pd.Series([o.accuracy for o in outcomes]).std()
            row |= {"folds": len(outcomes), "tested": len(hits)}
            row |= {"settings_tried": outcomes[0].settings_tried, "seeds": outcomes[0].seeds}
            for name in ("fit_seconds", "predict_seconds", "chunk_accuracy"):
                if getattr(outcomes[0], name) is not None:
                    row[name] = np.mean([getattr(outcome, name) for outcome in outcomes])
            of_protocol.append(row)
        rows += sorted(of_protocol, key=lambda row: -row["accuracy"])
    return pd.DataFrame(rows).round(7)


def comparison_table(judged: Mapping[str, Judged], ours: str) -> "pd.DataFrame":
    """Compares our model with every other one under every protocol, track by track.

    Returns:
      protocol, model, difference (our accuracy minus the model's), low, high (95 % interval),
      with_refitting (whether that is the corrected t over the folds, for models fitted to other
      train parts; otherwise it is over groups, as in :func:`scores_table`, for these fitted models
      only); the strongest model of a protocol first.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for protocol, of_models in judged.items():
        of_protocol = []
        for model in of_models.outcomes:
            if model != ours:
                differences = of_models.hits(ours) - of_models.hits(model)
                pairs = zip(of_models.outcomes[ours], of_models.outcomes[model], strict=True)
                by_fold = np.array([mine.accuracy - other.accuracy for mine, other in pairs])
                _, low, high, _ = corrected_t_test(by_fold, of_models.test_over_train)
                refitted = bool(np.isfinite(low))
                if not refitted:
                    low, high = accuracy_interval(differences, of_models.group)
                row = {"protocol": protocol, "model": model, "difference": differences.mean()}
                of_protocol.append(row | {"low": low, "high": high, "with_refitting": refitted})
        rows += sorted(of_protocol, key=lambda row: row["difference"])
    return pd.DataFrame(rows).round(7)


def folds_table(judged: Mapping[str, Judged]) -> "pd.DataFrame":
    """Tabulates folds: protocol, fold, model, accuracy, validation_accuracy, chosen."""
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

    Args:
      fitted: for each fold an estimator that was fitted to its train part.
      table: the feature table.
      folds: of its rows.
      seed: of the shuffles, the same for every model.
      repeats: shuffles of each feature.
      done: called after each fold.

    Returns:
      (folds, features) float64 mean drops of accuracy over the repeats.
    """
    from sklearn.inspection import permutation_importance

    def accuracy(estimator: Any, x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean(estimator.predict(x) == y))

    def drops(estimator: Any, fold: Fold) -> np.ndarray:
        x, y = table.x[fold.test].astype(np.float64), table.y[fold.test]
        found = permutation_importance(
            estimator, x, y, scoring=accuracy, n_repeats=repeats, random_state=seed
        )
        return np.asarray(found.importances_mean)

    # Threads: predictions spend their time outside Python, and new processes would import JAX.
    # Each starts none of its own: several that wait for the same cores make it far slower.
    rows = []
    pool = ThreadPoolExecutor(os.cpu_count(), initializer=threadpool_limits, initargs=(1,))
    with threadpool_limits(1), pool:
        for row in pool.map(drops, fitted, folds):
            rows.append(row)
            done()
    return np.stack(rows)


def importance_table(
    features: Sequence[str], classical: np.ndarray, ours: np.ndarray
) -> "pd.DataFrame":
    """Sets two models' importances side by side, the most important on average first.

    The drops are from :func:`permutation_drops`. Returns feature, classical_mean, classical_std,
    mlp_mean, mlp_std; means and deviations (n - 1) over the folds.
    """
    import pandas as pd

    table = pd.DataFrame({"feature": list(features)})
    for name, drops in (("classical", classical), ("mlp", ours)):
        table[f"{name}_mean"] = drops.mean(axis=0)
        table[f"{name}_std"] = pd.DataFrame(drops).std()
    order = np.argsort(-(table["classical_mean"] + table["mlp_mean"]), kind="stable")
    return table.loc[order].reset_index(drop=True).round(7)
