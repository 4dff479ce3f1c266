"""Classical models evaluated under the protocols, and tables that compare models."""

import itertools
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from gtzan_jax.analysis.inference import t_test
from gtzan_jax.analysis.selection import accuracy_interval, mean_interval
from gtzan_jax.tables.dividing import groups_of
from gtzan_jax.tables.folds import Fold, judged_rows, songs_of
from gtzan_jax.tables.protocols import Splits
from gtzan_jax.tables.schema import FeatureTable

if TYPE_CHECKING:  # pandas and scikit-learn: not before they are needed
    import pandas as pd

IMPORTANCE_REPEATS = 3  # shuffles of each feature in each fold; folds repeat them, too


class Tuned(NamedTuple):
    """A scikit-learn estimator, and the parameter values among which each fold selects."""

    estimator: Any  # unfitted
    grid: Mapping[str, Sequence[Any]]  # empty if there is nothing to select


class Outcome(NamedTuple):
    """Result of a model on one fold."""

    hits: np.ndarray  # (tested songs,) float64 in [0, 1]; means over the seeds
    validation_accuracy: float  # of the selected settings, fitted to the train part only
    settings: Mapping[str, Any]  # selected
    fit_seconds: float  # selection and all seeds included
    predict_seconds: float  # of one fitted model
    settings_tried: int
    seeds: int  # fitted models whose hits are averaged; 1 for deterministic models
    segment_accuracy: float | None = None  # share of the test segments; None without segments


def classical_models(seed: int, impute: str = "") -> dict[str, Tuned]:
    """Returns scikit-learn models with a scaler; ties go to the first value of a grid.

    ``impute`` is the strategy for missing values, "median" or "" for none.
    """
    from sklearn import ensemble, neural_network, tree
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    filling = [SimpleImputer(strategy=impute)] if impute else []
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
        "LDA": (LinearDiscriminantAnalysis(solver="lsqr"), {"shrinkage": [None, "auto"]}),
        "nearest neighbours": (KNeighborsClassifier(), {"n_neighbors": [5, 3, 9, 15]}),
        "Gaussian naive Bayes": (GaussianNB(), {}),
        "decision tree": (
            tree.DecisionTreeClassifier(random_state=seed),
            {"max_leaf_nodes": [None, 16, 32, 64]},
        ),
    }
    tuned = {}
    for name, (model, grid) in models.items():
        pipeline = make_pipeline(*filling, StandardScaler(), model)
        step = pipeline.steps[-1][0]
        tuned[name] = Tuned(pipeline, {f"{step}__{key}": of for key, of in grid.items()})
    return tuned


def evaluate(
    models: Mapping[str, Tuned],
    table: FeatureTable,
    folds: Sequence[Fold],
    jobs: int = -1,
    num_seeds: int = 1,
) -> Iterator[tuple[str, int, Outcome]]:
    """Selects settings, fits and scores every model on every fold.

    Settings are selected on the validation part with the first seed; the model is then fitted to
    train and validation part with each seed, and predicts the test part. Each of the ``jobs``
    processes (-1: one a core) has one thread, so that the seconds of models are comparable.

    Yields:
      the model's name, the number of the fold, and the outcome, once finished.
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
        first = tuned.estimator.get_params().get(seed_name)  # None for a deterministic model
        seeds = [first] if first is None else range(first, first + num_seeds)
        seedings = [{} if seed is None else {seed_name: seed} for seed in seeds]
        models = [_fitted(tuned, search.best_params_ | each, table, fold) for each in seedings]
        fitted = time.perf_counter()
        right = np.stack([model.predict(x) == y for model in models])
        predicted = time.perf_counter()
        hits = right
        if table.is_segmented:
            hits = np.stack([vote_hits(m, x, y, table.songs[fold.test]) for m in models])
    outcome = Outcome(
        hits=hits.mean(axis=0),
        validation_accuracy=float(search.best_score_),
        settings=search.best_params_,
        fit_seconds=fitted - started,
        predict_seconds=(predicted - fitted) / len(models),
        settings_tried=len(search.cv_results_["params"]),
        seeds=len(models),
        segment_accuracy=float(right.mean()) if table.is_segmented else None,
    )
    return name, place, outcome


def vote_hits(model: Any, x: np.ndarray, y: np.ndarray, songs: np.ndarray) -> np.ndarray:
    """Returns (songs,) float64, 1 where a song's segments together vote for its class.

    The class with the largest mean probability wins, or that with the largest mean decision value.
    ``songs`` is (rows,), the number of each row's song.
    """
    # Not log-probabilities: trees often give probability 0.
    proba = hasattr(model, "predict_proba")
    scores = model.predict_proba(x) if proba else model.decision_function(x)
    if scores.ndim == 1:  # two classes: the value of the second
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
        # An estimator that has not converged is scored as it is.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(table.x[rows].astype(np.float64), table.y[rows])


def refit(
    tuned: Tuned, table: FeatureTable, folds: Sequence[Fold], settings: Iterable[Mapping[str, Any]]
) -> list[Any]:
    """Refits a model on each fold, with the first seed and the settings selected there."""
    with threadpool_limits(1):
        return [_fitted(tuned, s, table, f) for s, f in zip(settings, folds, strict=True)]


def outcomes_table(
    all_splits: Sequence[Splits], found: Mapping[tuple[str, int], Outcome], models: Sequence[str]
) -> "pd.DataFrame":
    """Tabulates outcomes, a row for each protocol, model and fold.

    Args:
      all_splits: of one table.
      found: by model and number of the fold, counted through all of ``all_splits``.
      models: their names.

    Returns:
      protocol, fold, model, accuracy, chosen (the settings as text), group ((tested,) int, of the
      songs), test_over_train (test rows a row of the refit), and the fields of :class:`Outcome`.
    """
    import pandas as pd

    table, group = all_splits[0].table, groups_of(all_splits[0].table)
    rows, first = [], 0
    for splits in all_splits:
        for model, (place, fold) in itertools.product(models, enumerate(splits.folds)):
            outcome = found[model, first + place]
            chosen = [f"{n.rpartition('__')[2]}={v}" for n, v in outcome.settings.items()]
            row: dict[str, Any] = {"protocol": splits.protocol.name, "fold": place, "model": model}
            row |= {"accuracy": float(outcome.hits.mean()), "chosen": ", ".join(chosen)}
            row["group"] = group[judged_rows(table, fold.test)]
            row["test_over_train"] = fold.test.size / (fold.train.size + fold.validation.size)
            rows.append(row | outcome._asdict())
        first += len(splits.folds)
    return pd.DataFrame(rows)


def scores_table(outcomes: "pd.DataFrame") -> "pd.DataFrame":
    """Tabulates the figures of every model under every protocol, the best of a protocol first.

    Returns:
      protocol, model, accuracy over the test songs of all folds, low, high (its 95 % interval over
      groups of songs, for these fitted models), accuracy_std (over the folds, n - 1), folds, tested
      (songs, with repeats), settings_tried, seeds, and means over the folds of fit_seconds,
      predict_seconds and, for segments, segment_accuracy.
    """
    means = ["fit_seconds", "predict_seconds", "segment_accuracy"]
    means = [name for name in means if outcomes[name].notna().all()]
    rows = []
    for (protocol, model), folds in outcomes.groupby(["protocol", "model"], sort=False):
        hits = np.concatenate([*folds["hits"]])
        low, high = accuracy_interval(hits, np.concatenate([*folds["group"]]))
        row = {"protocol": protocol, "model": model, "accuracy": hits.mean()}
        row |= {"low": low, "high": high, "accuracy_std": folds["accuracy"].std()}
        row |= {"folds": len(folds), "tested": len(hits)}
        row |= dict(folds[["settings_tried", "seeds"]].iloc[0]) | dict(folds[means].mean())
        rows.append(row)
    return _by_protocol(sorted(rows, key=lambda row: -row["accuracy"]), outcomes)


def comparison_table(outcomes: "pd.DataFrame", ours: str) -> "pd.DataFrame":
    """Compares our model with every other one under every protocol, track by track.

    Returns:
      protocol, model, difference (our accuracy minus the model's), low, high (95 % interval),
      with_refitting (True: corrected t over the folds, for models fitted to other train parts;
      False: over groups of songs, for these fitted models); the strongest model first.
    """
    rows = []
    for (protocol, model), other in outcomes.groupby(["protocol", "model"], sort=False):
        if model == ours:
            continue
        mine = outcomes[(outcomes["protocol"] == protocol) & (outcomes["model"] == ours)]
        by_fold = mine["accuracy"].to_numpy() - other["accuracy"].to_numpy()
        _, low, high, _ = t_test(by_fold, float(other["test_over_train"].mean()))
        differences = np.concatenate([*mine["hits"]]) - np.concatenate([*other["hits"]])
        refitted = bool(np.isfinite(low))
        if not refitted:
            low, high = mean_interval(differences, np.concatenate([*other["group"]]))
        row = {"protocol": protocol, "model": model, "difference": differences.mean()}
        rows.append(row | {"low": low, "high": high, "with_refitting": refitted})
    return _by_protocol(sorted(rows, key=lambda row: row["difference"]), outcomes)


def _by_protocol(rows: Sequence[dict[str, Any]], outcomes: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    frame = pd.DataFrame(rows).set_index("protocol")
    return frame.loc[outcomes["protocol"].unique()].reset_index().round(7)


def permutation_drops(
    fitted: Sequence[Any],
    table: FeatureTable,
    folds: Sequence[Fold],
    seed: int,
    repeats: int = IMPORTANCE_REPEATS,
    done: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Measures the loss of accuracy when one feature of the test part is shuffled.

    ``fitted`` has an estimator for each fold; ``done`` is called after each.

    Returns:
      (folds, features) float64 mean drops over the repeats.
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

    # Threads, since predictions run outside Python and new processes would import JAX; one BLAS
    # thread each, since more would compete for the same cores.
    pool = ThreadPoolExecutor(os.cpu_count(), initializer=threadpool_limits, initargs=(1,))
    rows = []
    with threadpool_limits(1), pool:
        for row in pool.map(drops, fitted, folds):
            rows.append(row)
            done()
    return np.stack(rows)


def importance_table(
    features: Sequence[str], classical: np.ndarray, ours: np.ndarray
) -> "pd.DataFrame":
    """Tabulates two models' :func:`permutation_drops`, the largest mean first.

    Returns feature, classical_mean, classical_std, mlp_mean, mlp_std; deviations (n - 1) over the
    folds.
    """
    import pandas as pd

    table = pd.DataFrame({"feature": list(features)})
    for name, drops in (("classical", classical), ("mlp", ours)):
        table[f"{name}_mean"] = drops.mean(axis=0)
        table[f"{name}_std"] = pd.DataFrame(drops).std()
    order = np.argsort(-(table["classical_mean"] + table["mlp_mean"]), kind="stable")
    return table.loc[order].reset_index(drop=True).round(7)
