import dataclasses
import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from gtzan_jax import load_sweep, load_table, random_split, standardise
from gtzan_jax.comparison import (
    OURS,
    PUBLISHED_BEST,
    NetworkClassifier,
    Scores,
    classical_models,
    compare,
    corrected_t_test,
    evaluate,
    evaluate_network,
    importance_table,
    permutation_drops,
    refit,
    scores_table,
)
from gtzan_jax.engine import train_on_each
from gtzan_jax.training import METRICS

QUICK = ("linear discriminant analysis", "Gaussian naive Bayes", "decision tree")
SWEEP = load_sweep("assignment", ["epochs=5"])


@pytest.fixture(scope="module")
def table():
    return load_table("sample")


@pytest.fixture(scope="module")
def splits(table):
    return [random_split(table, seed) for seed in range(3)]


@pytest.fixture(scope="module")
def network(table, splits):
    return evaluate_network(PUBLISHED_BEST, SWEEP, table, splits, seed=0)


def some_models(names=QUICK):
    models = classical_models(0)
    return {name: models[name] for name in names}


def test_the_corrected_test_by_hand():
    # With three degrees of freedom the distribution of t has a closed form.
    differences = [0.02, -0.01, 0.03, 0.01]
    mean = 0.0125
    variance = (0.0075**2 + 0.0225**2 + 0.0175**2 + 0.0025**2) / 3
    error = math.sqrt((1 / 4 + 300 / 700) * variance)
    t = mean / error
    below = 0.5 + (t / math.sqrt(3) / (1 + t * t / 3) + math.atan(t / math.sqrt(3))) / math.pi
    found = corrected_t_test(np.array(differences), 300 / 700)
    assert found.difference == pytest.approx(mean)
    assert found.p_value == pytest.approx(2 * (1 - below))
    assert found.high - mean == pytest.approx(3.182446305 * error)  # of Student's table
    assert mean - found.low == pytest.approx(3.182446305 * error)


@pytest.mark.parametrize("count", [2, 10])
def test_without_overlap_it_is_the_paired_t_test(count):
    ours, others = np.random.default_rng(count).uniform(0.6, 0.8, (2, count))
    expected = stats.ttest_rel(ours, others)
    interval = expected.confidence_interval(0.95)
    found = corrected_t_test(ours - others, 0.0)
    np.testing.assert_allclose(found[1:], [interval.low, interval.high, expected.pvalue])
    corrected = corrected_t_test(ours - others, 3 / 7)
    assert corrected.low < found.low
    assert corrected.high > found.high
    assert corrected.p_value > found.p_value


def test_the_interval_and_the_p_value_agree():
    random = np.random.default_rng(0)
    outcomes = set()
    for shift in np.linspace(-0.1, 0.1, 201):
        found = corrected_t_test(random.normal(shift, 0.03, size=5), 3 / 7)
        outside = not found.low <= 0 <= found.high
        assert outside == (found.p_value < 0.05)
        outcomes.add(outside)
    assert outcomes == {True, False}


@pytest.mark.parametrize(("difference", "p_value"), [(0.0, 1.0), (0.25, 0.0)])
def test_equal_differences_leave_no_doubt(difference, p_value):
    found = corrected_t_test(np.full(4, difference), 3 / 7)
    assert found == (difference, difference, difference, p_value)


def test_one_difference_is_too_few():
    with pytest.raises(ValueError, match="at least two splits"):
        corrected_t_test(np.array([0.1]), 3 / 7)


def test_there_are_ten_classical_models_behind_a_scaler():
    models = classical_models(7)
    assert len(models) == 10
    for model in models.values():
        assert isinstance(model, Pipeline)
        assert isinstance(model.steps[0][1], StandardScaler)
        assert model.steps[-1][1].get_params().get("random_state", 7) in (7, None)


def test_accuracies_are_those_of_a_plain_loop(table, splits):
    done = []
    scores = evaluate(some_models(), table, splits, done.append)
    assert done == [name for name in QUICK for _ in splits]
    for score, (name, model) in zip(scores, some_models().items(), strict=True):
        expected = [
            accuracy_score(
                table.y[split.test],
                model.fit(table.x[split.train].astype(float), table.y[split.train]).predict(
                    table.x[split.test].astype(float)
                ),
            )
            for split in splits
        ]
        assert score.model == name
        np.testing.assert_allclose(score.accuracies, expected)
        assert score.predict_seconds > 0
        assert 0 < score.fit_seconds < 10


def test_our_batch_equals_one_split_after_another(table, splits, network):
    scores, models = network
    for split, model, accuracy in zip(splits, models, scores.accuracies, strict=True):
        dataset = standardise(table, split)
        [(params, history)] = train_on_each(PUBLISHED_BEST, SWEEP, [dataset], seed=0, epochs=5)
        np.testing.assert_allclose(
            model.params["logits"]["kernel"], params["logits"]["kernel"], rtol=1e-3, atol=1e-5
        )
        alone = history[-1, METRICS.index("test_accuracy")]
        assert accuracy == pytest.approx(alone, abs=1e-6)
        predicted = NetworkClassifier(model).predict(table.x[split.test].astype(float))
        assert np.mean(predicted == dataset.y_test) == pytest.approx(accuracy)
    assert scores.model == OURS
    assert min(scores.fit_seconds, scores.predict_seconds) > 0


def test_scrambled_labels_leave_chance(table, splits):
    guesses = sum(len(split.test) for split in splits)
    deviation = np.sqrt(0.1 * 0.9 / guesses)
    scrambled = dataclasses.replace(table, y=np.random.default_rng(0).permutation(table.y))
    ours, _ = evaluate_network(PUBLISHED_BEST, SWEEP, scrambled, splits, seed=0)
    for scores in [ours, *evaluate(some_models(), scrambled, splits)]:
        assert abs(scores.accuracies.mean() - 0.1) < 3 * deviation


def test_tables_are_sorted_and_paired():
    ours = Scores(OURS, np.array([0.7, 0.8]), 1.0, 0.1)
    worse = Scores("worse", np.array([0.5, 0.7]), 2.0, 0.2)
    better = Scores("better", np.array([0.8, 0.8]), 3.0, 0.3)
    table = scores_table([ours, worse, better])
    assert list(table.columns) == [
        "model", "accuracy_mean", "accuracy_std", "fit_seconds", "predict_seconds",
        "split_0", "split_1",
    ]  # fmt: skip
    assert list(table["model"]) == ["better", OURS, "worse"]
    np.testing.assert_allclose(table.iloc[1, 1:].astype(float), [0.75, 0.0707107, 1, 0.1, 0.7, 0.8])
    paired = compare(ours, [worse, better], 3 / 7)
    assert list(paired.columns) == ["model", "difference", "low", "high", "p_value"]
    assert list(paired["model"]) == ["better", "worse"]
    expected = corrected_t_test(np.array([0.2, 0.1]), 3 / 7)
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


def test_only_a_feature_that_is_used_has_importance(table, splits):
    column = table.features.index("tempo")
    threshold = float(np.median(table.x[:, column]))
    halves = dataclasses.replace(table, y=(table.x[:, column] > threshold).astype(np.int32))
    estimators = [ByOneFeature(column, threshold) for _ in splits]
    drops = permutation_drops(estimators, halves, splits, seed=0, repeats=20)
    assert drops.shape == (3, 57)
    # Shuffling leaves a half of the tracks right by chance.
    np.testing.assert_allclose(drops[:, column], 0.5, atol=0.05)
    assert not np.delete(drops, column, axis=1).any()


def test_importance_is_measured_for_both_kinds_of_model(table, splits, network):
    name = QUICK[0]
    done = []
    classical, ours = (
        permutation_drops(fitted, table, splits, 0, repeats=1, done=lambda: done.append(1))
        for fitted in (
            refit(some_models()[name], table, splits),
            [NetworkClassifier(model) for model in network[1]],
        )
    )
    assert len(done) == 2 * len(splits)
    found = importance_table(table.features, classical, ours)
    assert sorted(found["feature"]) == sorted(table.features)
    both = found["classical_mean"] + found["mlp_mean"]
    assert (np.diff(both) < 1e-6).all()
    row = found.set_index("feature").loc["tempo"]
    column = table.features.index("tempo")
    expected = [classical[:, column], ours[:, column]]
    np.testing.assert_allclose(
        row[["classical_mean", "mlp_mean"]], np.mean(expected, axis=1), atol=1e-6
    )
    np.testing.assert_allclose(
        row[["classical_std", "mlp_std"]], np.std(expected, axis=1, ddof=1), atol=1e-6
    )


@pytest.mark.slow
def test_the_real_table(real_table_path):
    """The bounds are those of independent measurements."""
    table = load_table(real_table_path)
    splits = [random_split(table, seed) for seed in range(10)]
    bounds = {
        "SVM (RBF)": (0.70, 0.76),
        "logistic regression": (0.67, 0.73),
        "Gaussian naive Bayes": (0.48, 0.58),
    }
    for scores in evaluate(some_models(bounds), table, splits):
        low, high = bounds[scores.model]
        assert low < scores.accuracies.mean() < high
    sweep = dataclasses.replace(load_sweep("assignment"), epochs=50)
    ours, _ = evaluate_network(PUBLISHED_BEST, sweep, table, splits, seed=0)
    assert 0.71 < ours.accuracies.mean() < 0.77
