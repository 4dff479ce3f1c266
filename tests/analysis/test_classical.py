import dataclasses

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from gtzan_jax import load_table
from gtzan_jax.analysis.classical import (
    Scores,
    classical_models,
    compare_paired,
    evaluate,
    permutation_drops,
    scores_table,
)
from gtzan_jax.analysis.inference import corrected_t_test
from gtzan_jax.jobs.baselines import OURS
from gtzan_jax.tables.splits import random_split

QUICK = ("linear discriminant analysis", "Gaussian naive Bayes", "decision tree")


@pytest.fixture(scope="module")
def table():
    return load_table("sample")


@pytest.fixture(scope="module")
def folds():
    return [random_split(1000, seed) for seed in range(3)]


def some_models(names=QUICK):
    models = classical_models(0)
    return {name: models[name] for name in names}


def test_there_are_ten_classical_models_behind_a_scaler():
    models = classical_models(7)
    assert len(models) == 10
    for model in models.values():
        assert isinstance(model, Pipeline)
        assert isinstance(model.steps[0][1], StandardScaler)
        assert model.steps[-1][1].get_params().get("random_state", 7) in (7, None)


def test_accuracies_are_those_of_a_plain_loop(table, folds):
    done = []
    scores = evaluate(some_models(), table, folds, done.append)
    assert done == [name for name in QUICK for _ in folds]
    for score, (name, model) in zip(scores, some_models().items(), strict=True):
        expected = [
            accuracy_score(
                table.y[fold.test],
                model.fit(table.x[fold.train].astype(float), table.y[fold.train]).predict(
                    table.x[fold.test].astype(float)
                ),
            )
            for fold in folds
        ]
        assert score.model == name
        np.testing.assert_allclose(score.accuracies, expected)
        assert score.predict_seconds > 0
        assert 0 < score.fit_seconds < 10


def test_scrambled_labels_leave_chance(table, folds):
    scrambled = dataclasses.replace(table, y=np.random.default_rng(0).permutation(table.y))
    for scores in evaluate(some_models(), scrambled, folds):
        assert abs(scores.accuracies.mean() - 0.1) < 0.05  # 3.3 deviations of 300 × 3 guesses


def test_tables_are_sorted_and_paired():
    ours = Scores(OURS, np.array([0.7, 0.8, 0.7, 0.8, 0.75]), 1.0, 0.1)
    worse = Scores("worse", np.array([0.5, 0.7, 0.6, 0.7, 0.7]), 2.0, 0.2)
    better = Scores("better", np.array([0.8, 0.8, 0.8, 0.8, 0.8]), 3.0, 0.3)
    table = scores_table([ours, worse, better])
    assert list(table.columns) == [
        "model", "accuracy_mean", "accuracy_std", "fit_seconds", "predict_seconds",
        *(f"split_{i}" for i in range(5)),
    ]  # fmt: skip
    assert list(table["model"]) == ["better", OURS, "worse"]
    expected = [0.75, 0.05, 1, 0.1, 0.7, 0.8, 0.7, 0.8, 0.75]
    np.testing.assert_allclose(table.iloc[1, 1:].astype(float), expected)
    paired = compare_paired(ours, [worse, better], 3 / 7)
    assert list(paired.columns) == ["model", "difference", "low", "high", "p_value"]
    assert list(paired["model"]) == ["better", "worse"]
    expected = corrected_t_test(np.array([0.2, 0.1, 0.1, 0.1, 0.05]), 3 / 7)
    np.testing.assert_allclose(paired.iloc[1, 1:].astype(float), expected, atol=1e-7)


class ByOneFeature:
    """Predicts the class from one column, as a stand-in for a fitted estimator."""

    def __init__(self, column, threshold):
        self.column = column
        self.threshold = threshold

    def fit(self):
        raise AssertionError("is fitted")

    def predict(self, x):
        return (x[:, self.column] > self.threshold).astype(int)


def test_only_a_feature_that_is_used_has_importance(table, folds):
    column = table.features.index("tempo")
    threshold = float(np.median(table.x[:, column]))
    halves = dataclasses.replace(table, y=(table.x[:, column] > threshold).astype(np.int32))
    estimators = [ByOneFeature(column, threshold) for _ in folds]
    drops = permutation_drops(estimators, halves, folds, seed=0, repeats=20)
    assert drops.shape == (3, 57)
    # Shuffling leaves a half of the tracks right by chance.
    np.testing.assert_allclose(drops[:, column], 0.5, atol=0.05)
    assert not np.delete(drops, column, axis=1).any()


@pytest.mark.slow
def test_the_real_table(real_table_path):
    """The bounds are those of independent measurements."""
    table = load_table(real_table_path)
    folds = [random_split(1000, seed) for seed in range(10)]
    bounds = {
        "SVM (RBF)": (0.70, 0.76),
        "logistic regression": (0.67, 0.73),
        "Gaussian naive Bayes": (0.48, 0.58),
    }
    for scores in evaluate(some_models(bounds), table, folds):
        low, high = bounds[scores.model]
        assert low < scores.accuracies.mean() < high
