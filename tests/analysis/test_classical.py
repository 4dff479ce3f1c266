import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import scipy
from conftest import make_segments
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from gtzan_jax import load_table, make_splits
from gtzan_jax.analysis.classical import (
    Outcome,
    classical_models,
    comparison_table,
    evaluate,
    permutation_drops,
    refit,
    scores_table,
)
from gtzan_jax.analysis.selection import accuracy_interval, mean_interval
from gtzan_jax.tables.dividing import groups_of
from gtzan_jax.tables.folds import judged_rows

QUICK = ("SVM (RBF)", "LDA", "Gaussian naive Bayes", "decision tree")


@pytest.fixture(scope="module")
def table():
    return load_table("sample")


@pytest.fixture(scope="module")
def folds(table):
    return make_splits(table, "artist_folds", 0, 3).folds


def some_models(names=QUICK):
    models = classical_models(0)
    return {name: models[name] for name in names}


def outcomes_of(models, table, folds, num_seeds=1):
    """Returns the outcomes of every model, those of the folds in their order."""
    outcomes = evaluate(models, table, folds, 1, num_seeds)
    found = {(name, place): outcome for name, place, outcome in outcomes}
    return {name: [found[name, place] for place in range(len(folds))] for name in models}


def with_another_test_part(table, fold):
    """Returns a table whose rows of a test part have each other's features and labels."""
    random = np.random.default_rng(0)
    x, y = table.x.copy(), table.y.copy()
    x[fold.test], y[fold.test] = random.permutation(x[fold.test]), random.permutation(y[fold.test])
    return dataclasses.replace(table, x=x, y=y)


def test_there_are_ten_classical_models_behind_a_scaler():
    models = classical_models(7)
    assert len(models) == 10
    for model, grid in models.values():
        assert isinstance(model, Pipeline)
        assert isinstance(model.steps[0][1], StandardScaler)
        assert model.steps[-1][1].get_params().get("random_state", 7) in (7, None)
        assert len(ParameterGrid(dict(grid))) <= 12
        assert grid.keys() <= model.get_params().keys()


def test_models_are_chosen_and_scored_as_in_a_plain_loop(table, folds):
    x, y, varied = table.x.astype(float), table.y, False
    for name, outcomes in outcomes_of(some_models(), table, folds[:2], 3).items():
        model, grid = some_models()[name]
        for fold, outcome in zip(folds, outcomes, strict=False):
            best, settings = -1.0, {}
            for candidate in ParameterGrid(dict(grid)):
                fitted = clone(model).set_params(**candidate).fit(x[fold.train], y[fold.train])
                found = accuracy_score(y[fold.validation], fitted.predict(x[fold.validation]))
                if found > best:
                    best, settings = found, candidate
            both = np.concatenate([fold.train, fold.validation])
            seeds, hits = range(3 if name == "decision tree" else 1), []
            for seed in seeds:
                last = clone(model).set_params(**settings)
                if len(seeds) > 1:
                    last[-1].random_state = seed
                hits.append(last.fit(x[both], y[both]).predict(x[fold.test]) == y[fold.test])
            assert len(seeds) == outcome.seeds
            varied |= len(np.unique(hits, axis=0)) > 1
            assert outcome.settings_tried == len(ParameterGrid(dict(grid)))
            assert outcome.settings == settings
            assert outcome.validation_accuracy == pytest.approx(best)
            np.testing.assert_allclose(outcome.hits, np.mean(hits, axis=0))
            assert 0 < outcome.fit_seconds < 10
            assert outcome.predict_seconds > 0
    assert varied  # seeds of a model that draws random numbers


def test_nothing_is_chosen_by_the_test_part(table, folds):
    other = with_another_test_part(table, folds[0])
    before, after = (outcomes_of(some_models(), t, folds[:1]) for t in (table, other))
    for name in QUICK:
        (one,), (two,) = before[name], after[name]
        assert one.settings == two.settings
        assert one.validation_accuracy == two.validation_accuracy
        assert two.hits.mean() < 0.25 < one.hits.mean()


def test_scrambled_labels_leave_chance(table, folds):
    scrambled = dataclasses.replace(table, y=np.random.default_rng(0).permutation(table.y))
    for outcomes in outcomes_of(some_models(), scrambled, folds).values():
        assert abs(np.mean([o.hits.mean() for o in outcomes]) - 0.1) < 0.03  # 3 deviations of 948


def test_what_was_chosen_is_fitted_again(table, folds):
    models = some_models(["SVM (RBF)"])
    (outcomes,) = outcomes_of(models, table, folds).values()
    again = refit(models["SVM (RBF)"], table, folds, [each.settings for each in outcomes])
    for fold, model, outcome in zip(folds, again, outcomes, strict=True):
        hits = model.predict(table.x[fold.test].astype(float)) == table.y[fold.test]
        np.testing.assert_array_equal(hits, outcome.hits)


def outcome(*hits):
    return Outcome(np.array(hits, float), 0.5, {}, 1.0 + len(hits), 0.5, 12, 5)


def tabulated(protocol, by_model, group, test_over_train=0.5):
    """Returns the rows of outcomes. group: of the songs of all folds, one after another."""
    return pd.DataFrame([
        {"protocol": protocol, "model": model, "accuracy": of_fold.hits.mean(), "group": groups}
        | {"test_over_train": test_over_train} | of_fold._asdict()
        for model, of_folds in by_model.items()
        for of_fold, groups in zip(
            of_folds, np.split(group, np.cumsum([len(o.hits) for o in of_folds])[:-1]), strict=True
        )
    ])  # fmt: skip


GROUP = np.array([0, 0, 1, 2, 3, 3])
OUTCOMES = pd.concat([
    tabulated("folded", {
        "worse": [outcome(0, 0, 1, 0), outcome(1, 0)],
        "ours": [outcome(0.6, 1, 1, 1), outcome(0.2, 1)],
        "better": [outcome(1, 1, 1, 1), outcome(0, 1)],
    }, GROUP),
    tabulated("alone", {"worse": [outcome(0, 1, 0)], "ours": [outcome(1, 1, 0)]}, GROUP[:3]),
])  # fmt: skip


def test_scores_are_pooled_over_the_test_tracks():
    table = scores_table(OUTCOMES)
    assert list(table.columns) == [
        "protocol", "model", "accuracy", "low", "high", "accuracy_std", "folds", "tested",
        "settings_tried", "seeds", "fit_seconds", "predict_seconds",
    ]  # fmt: skip
    assert list(table["protocol"]) == ["folded"] * 3 + ["alone"] * 2
    assert list(table["model"]) == ["better", "ours", "worse", "ours", "worse"]
    ours = table.iloc[1]
    assert ours["accuracy"] == pytest.approx(4.8 / 6)  # not the mean of 0.9 and 0.6
    assert ours["accuracy_std"] == pytest.approx(0.3 / math.sqrt(2))
    assert list(ours[["folds", "tested", "fit_seconds", "predict_seconds"]]) == [2, 6, 4.0, 0.5]
    assert list(ours[["settings_tried", "seeds"]]) == [12, 5]
    interval = accuracy_interval(np.array([0.6, 1, 1, 1, 0.2, 1]), GROUP)
    np.testing.assert_allclose(ours[["low", "high"]].astype(float), interval, atol=1e-6)
    assert np.isnan(table["accuracy_std"].iloc[3])


def test_differences_are_paired_by_track():
    table = comparison_table(OUTCOMES, "ours")
    assert list(table.columns) == [
        "protocol", "model", "difference", "low", "high", "with_refitting",
    ]  # fmt: skip
    assert list(table["protocol"]) == ["folded", "folded", "alone"]
    assert list(table["model"]) == ["better", "worse", "worse"]
    np.testing.assert_allclose(table["difference"], [-0.2 / 6, 2.8 / 6, 1 / 3], atol=1e-6)
    differences = np.array([0.6, 1, 0, 1, -0.8, 1])
    interval = mean_interval(differences, GROUP)
    np.testing.assert_allclose(table.loc[1, ["low", "high"]].astype(float), interval, atol=1e-6)
    assert not table["with_refitting"].any()  # two folds


@pytest.mark.parametrize("divisions", [1, 3])
def test_with_five_folds_or_more_differences_include_refitting(divisions):
    """Of songs tested several times, too; by hand, with scipy's t."""
    random, folds, test_over_train = np.random.default_rng(0), 5 * divisions, 1 / 4
    hits = random.integers(0, 2, (2, folds, 20)).astype(float)
    hits[0, :, :12] = 1
    group = np.concatenate([np.arange(100) // 3] * divisions)
    outcomes = {name: [outcome(*h) for h in of] for name, of in zip("ab", hits, strict=True)}
    [row] = comparison_table(tabulated("p", outcomes, group, test_over_train), "a").itertuples()
    by_fold = (hits[0] - hits[1]).mean(axis=1)
    error = math.sqrt((1 / folds + test_over_train) * by_fold.var(ddof=1))
    expected = scipy.stats.t(folds - 1, by_fold.mean(), error).interval(0.95)
    np.testing.assert_allclose((row.low, row.high), expected, atol=1e-6)
    assert row.with_refitting
    four = {name: of_folds[:4] for name, of_folds in outcomes.items()}
    [row] = comparison_table(tabulated("p", four, group[:80], 1 / 4), "a").itertuples()
    assert not row.with_refitting


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
    """The figures are those of independent measurements, rounded, with other validation parts."""
    table = load_table(real_table_path)
    expected = pd.DataFrame(
        {
            "kfold": [0.73, 0.70, 0.53],
            "mixed_artists": [0.73, 0.70, np.nan],
            "fault_filtered": [0.48, 0.53, 0.42],
            "artist_folds": [0.49, 0.52, np.nan],
        },
        index=["SVM (RBF)", "logistic regression", "Gaussian naive Bayes"],
    )
    models = some_models(expected.index)  # a small validation part may choose another C
    regression = models["logistic regression"]
    models["logistic regression"] = regression._replace(grid={"logisticregression__C": [0.3]})
    for protocol, column in expected.items():
        folds = make_splits(table, protocol, 0, 5).folds
        for name, outcomes in outcomes_of(models, table, folds).items():
            if not np.isnan(column[name]):
                hits = np.concatenate([outcome.hits for outcome in outcomes])
                assert hits.mean() == pytest.approx(column[name], abs=0.03), (protocol, name)


# Tables of segments.


@pytest.mark.parametrize("num_genres", [2, 4])
@pytest.mark.parametrize("name", ["LDA", "SVM (RBF)"])
def test_the_segments_of_a_song_vote(name, num_genres):
    table = make_segments(60, num_genres, num_features=5)
    [fold] = make_splits(table, "holdout", 0, 5).folds
    models = some_models([name])
    [outcome] = outcomes_of(models, table, [fold])[name]
    [fitted] = refit(models[name], table, [fold], [outcome.settings])
    x = table.x[fold.test].astype(np.float64)
    scores = fitted.predict_proba(x) if name == "LDA" else fitted.decision_function(x)
    if scores.ndim == 1:
        scores = np.stack([-scores, scores], axis=1)
    frame = pd.DataFrame(scores).assign(y=table.y[fold.test])
    songs = frame.groupby(table.songs[fold.test], sort=False)
    right = songs[list(range(num_genres))].mean().to_numpy().argmax(axis=1) == songs["y"].first()
    np.testing.assert_array_equal(outcome.hits, right)
    by_segment = accuracy_score(table.y[fold.test], fitted.predict(x))
    assert outcome.segment_accuracy == pytest.approx(by_segment)
    groups = groups_of(table)[judged_rows(table, fold.test)]
    scores = scores_table(tabulated("holdout", {name: [outcome]}, groups))
    assert scores["segment_accuracy"].tolist() == pytest.approx([by_segment], abs=1e-7)
    assert scores["tested"].tolist() == [len(right)]
