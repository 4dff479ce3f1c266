"""Our network beside classical models, on the same splits: scores, paired tests, importance.

The network is trained in :mod:`gtzan_jax.jobs.baselines`, which puts it all together.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from gtzan_jax.analysis.inference import PairedTest, corrected_t_test
from gtzan_jax.tables.folds import Fold
from gtzan_jax.tables.schema import FeatureTable

if TYPE_CHECKING:  # pandas and scikit-learn: not before they are needed
    import pandas as pd

IMPORTANCE_REPEATS = 3  # shuffles of each feature in each split; the splits are repeats as well


@dataclass(frozen=True, eq=False)
class Scores:
    """How one model did on every split."""

    model: str
    accuracies: np.ndarray = field(repr=False)  # (splits,) float64, of the test parts
    fit_seconds: float  # mean per split
    predict_seconds: float  # mean per split, of the test part


def classical_models(seed: int) -> dict[str, Any]:
    """Returns scikit-learn's models by name, each a pipeline behind a scaler.

    They have scikit-learn's settings but for those given here: what it takes to converge, a
    weaker penalty for the SVM, more trees in the forests, and in the boosting smaller trees
    that see a part of the features, which is quicker and no worse on 700 tracks.

    Args:
      seed: of the models that draw random numbers.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        HistGradientBoostingClassifier,
        RandomForestClassifier,
    )
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    models = {
        "logistic regression": LogisticRegression(max_iter=1000),
        "linear discriminant analysis": LinearDiscriminantAnalysis(),
        "5 nearest neighbours": KNeighborsClassifier(n_neighbors=5),
        "Gaussian naive Bayes": GaussianNB(),
        "SVM (RBF)": SVC(C=10.0),
        "decision tree": DecisionTreeClassifier(random_state=seed),
        "random forest": RandomForestClassifier(n_estimators=300, random_state=seed),
        "extra trees": ExtraTreesClassifier(n_estimators=300, random_state=seed),
        "histogram gradient boosting": HistGradientBoostingClassifier(
            max_leaf_nodes=8, max_features=0.3, random_state=seed
        ),
        "scikit-learn MLP": MLPClassifier(max_iter=1000, random_state=seed),
    }
    return {name: make_pipeline(StandardScaler(), model) for name, model in models.items()}


def evaluate(
    models: Mapping[str, Any],
    table: FeatureTable,
    folds: Sequence[Fold],
    done: Callable[[str], None] = lambda _: None,
) -> list[Scores]:
    """Fits every model to the train part of every split and scores it on the test part.

    One fit after another and each on one core, so that their seconds can be compared.

    Args:
      models: unfitted scikit-learn estimators by name, such as from :func:`classical_models`.
      table: the feature table.
      folds: of its tracks.
      done: called with the model's name after each split.

    Returns:
      one entry a model, in their order.
    """
    with threadpool_limits(1):
        return [_evaluate(name, model, table, folds, done) for name, model in models.items()]


def _evaluate(
    name: str,
    model: Any,
    table: FeatureTable,
    folds: Sequence[Fold],
    done: Callable[[str], None],
) -> Scores:
    accuracies, seconds = [], []
    for fold in folds:
        started = time.perf_counter()
        fitted = _fit(model, table, fold)
        fit_seconds = time.perf_counter() - started
        accuracy, predict_seconds = score(fitted, table, fold)
        accuracies.append(accuracy)
        seconds.append((fit_seconds, predict_seconds))
        done(name)
    return Scores(name, np.array(accuracies), *np.mean(seconds, axis=0).tolist())


def refit(model: Any, table: FeatureTable, folds: Sequence[Fold]) -> list[Any]:
    """Returns a scikit-learn model fitted to the train part of each split."""
    with threadpool_limits(1):
        return [_fit(model, table, fold) for fold in folds]


def _fit(model: Any, table: FeatureTable, fold: Fold) -> Any:
    from sklearn.base import clone

    return clone(model).fit(table.x[fold.train].astype(np.float64), table.y[fold.train])


def score(fitted: Any, table: FeatureTable, fold: Fold) -> tuple[float, float]:
    """Returns the accuracy on the test part, and the seconds that the prediction took."""
    x = table.x[fold.test].astype(np.float64)
    started = time.perf_counter()
    predicted = fitted.predict(x)
    seconds = time.perf_counter() - started
    return float(np.mean(predicted == table.y[fold.test])), seconds


def scores_table(scores: Sequence[Scores]) -> "pd.DataFrame":
    """Lays scores out as one row a model, best mean accuracy first.

    Returns:
      model, accuracy_mean, accuracy_std (over the splits, n - 1), fit_seconds,
      predict_seconds (means per split), and the test accuracies split_0, split_1 …
    """
    import pandas as pd

    rows = [
        {
            "model": score.model,
            "accuracy_mean": score.accuracies.mean(),
            "accuracy_std": score.accuracies.std(ddof=1),
            "fit_seconds": score.fit_seconds,
            "predict_seconds": score.predict_seconds,
        }
        | {f"split_{i}": accuracy for i, accuracy in enumerate(score.accuracies)}
        for score in scores
    ]
    table = pd.DataFrame(rows).sort_values(
        "accuracy_mean", ascending=False, kind="stable", ignore_index=True
    )
    return table.round(7)


def compare_paired(
    ours: Scores, others: Sequence[Scores], test_over_train: float
) -> "pd.DataFrame":
    """Compares our network with every other model, split by split.

    Args:
      ours: the scores of our network.
      others: the other models' scores, on the same splits.
      test_over_train: tracks of the test part per track of the train part.

    Returns:
      one row a model, the best first: model, difference (ours minus the model's accuracy),
      low, high (95 % interval) and p_value, by :func:`corrected_t_test`; the last three are NaN
      where the splits are too few.
    """
    import pandas as pd

    rows = [
        {"model": other.model}
        | corrected_t_test(ours.accuracies - other.accuracies, test_over_train)._asdict()
        for other in others
    ]
    table = pd.DataFrame(rows, columns=["model", *PairedTest._fields])
    table = table.sort_values("difference", kind="stable", ignore_index=True)
    return table.round({"difference": 7, "low": 7, "high": 7})


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
        table[f"{name}_std"] = drops.std(axis=0, ddof=1)
    order = (table["classical_mean"] + table["mlp_mean"]).sort_values(
        ascending=False, kind="stable"
    )
    return table.loc[order.index].reset_index(drop=True).round(7)
