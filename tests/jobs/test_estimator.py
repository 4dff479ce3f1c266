"""SweepClassifier beside scikit-learn's own searches, and by scikit-learn's own checks."""

import doctest
import pickle
import re

import joblib
import numpy as np
import pandas as pd
import pytest
from conftest import make_fold, make_history, make_sweep, make_table, slow
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    ParameterGrid,
    StratifiedKFold,
    cross_val_score,
    train_test_split,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import gtzan_jax
from gtzan_jax import InputError, RunError, SweepClassifier
from gtzan_jax.jobs import tuning
from gtzan_jax.metrics import METRICS
from gtzan_jax.models.family import FAMILIES
from gtzan_jax.rundir.history import trials_of
from gtzan_jax.space.config import Trial
from gtzan_jax.space.sweep_file import parse_sweep
from gtzan_jax.tables.folds import arrays_of, sizes_of
from gtzan_jax.tables.protocols import make_splits
from gtzan_jax.tables.sources import load_table
from gtzan_jax.trainer.engine import Engine
from gtzan_jax.trainer.programs import compile_training

GRID = {"num_units1": [8], "optimizer": ["adam", "sgd"], "learning_rate": [0.01, 0.003]}
ONE = {"num_units1": [8], "learning_rate": [0.03]}
X, Y = load_wine(return_X_y=True)
NAMES = np.array(["red", "white", "rosé"])[Y]
FRAME = pd.DataFrame(X, columns=load_wine().feature_names)


def small(sweep=GRID, **parameters):
    """Returns a search among four networks of eight units."""
    return SweepClassifier(sweep, **{"epochs": 6, **parameters})


@pytest.fixture(scope="module")
def fitted():
    wild = GRID | {"learning_rate": [0.3, 0.1]}
    return small(wild, cv=StratifiedKFold(3), num_seeds=2).fit(FRAME, NAMES)


def splits_of(monkeypatch, search, *rows):
    """Returns the folds that a search is fitted to."""
    found = []

    def stop(_, splits, *__, **___):
        found.append(splits)
        raise RunError("enough")

    monkeypatch.setattr("gtzan_jax.jobs.estimator.tune", stop)
    with pytest.raises(RunError, match="enough"):
        search.fit(*rows)
    return found[0].folds


def test_the_results_have_the_form_of_a_grid_search():
    grid = {"activation": ["relu", "tanh"], "batch_size": [16, 32], "learning_rate_init": [0.1]}
    theirs = GridSearchCV(MLPClassifier(max_iter=300), grid, cv=3).fit(X, NAMES).cv_results_
    ours = small(
        {"num_units1": [8], "activation": ["relu", "tanh"], "batch_size": [16, 32],
         "learning_rate": [0.1]}, cv=3,
    ).fit(X, NAMES).cv_results_  # fmt: skip
    names = {"param_learning_rate_init": "param_learning_rate"}
    shared = [names.get(key, key) for key in theirs]
    own = [key for key in ours if key not in ("param_num_units1", "epochs")]
    assert sorted(own) == sorted(shared)
    assert [key for key in own if key[:6] != "param_"] == [k for k in shared if k[:6] != "param_"]
    for key, other in theirs.items():
        found = ours[names.get(key, key)]
        assert type(found) is type(other)
        if key != "params":
            assert (found.dtype, found.shape) == (other.dtype, other.shape), key
        if key.startswith("param_"):
            np.testing.assert_array_equal(found.mask, other.mask)
    assert {type(each) for each in ours["params"]} == {dict}
    assert [list(row) for row in pd.DataFrame(ours).filter(like="param_").to_numpy()] == [
        list(each.values()) for each in ours["params"]
    ]


def test_the_best_is_the_best_of_the_table(fitted):
    table = pd.DataFrame(fitted.cv_results_)
    splits = table.filter(regex="split._test_score")
    assert splits.shape == (4, 3)
    assert fitted.n_splits_ == 3
    np.testing.assert_allclose(table["mean_test_score"], splits.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(table["std_test_score"], splits.std(axis=1, ddof=0), rtol=1e-9)
    scores = table["mean_test_score"].round(12)
    assert (scores.rank(method="min", ascending=False) <= table["rank_test_score"]).all()
    assert (scores.rank(method="max", ascending=False) >= table["rank_test_score"]).all()
    assert sorted(table["rank_test_score"]) == [1, 2, 3, 4]
    assert table["rank_test_score"].argmin() == fitted.best_index_
    assert fitted.best_score_ == table["mean_test_score"].max()
    assert fitted.best_params_ == table["params"][fitted.best_index_]
    assert fitted.best_epochs_ == table["epochs"][fitted.best_index_] <= 6


def test_the_scores_are_those_of_a_run(tmp_path):
    """The table by pandas, of the history that a run of the same splits has on the disk."""
    found = small(protocol="kfold", num_seeds=2, random_state=5).fit(X, NAMES).cv_results_
    document = {"axes": GRID, "epochs": 6, "num_seeds": 2, "protocol": "kfold"}
    run = gtzan_jax.run_sweep(
        parse_sweep(document, "four", "here"), (X, NAMES), tmp_path / "run", seed=5, split_seed=5,
        workers=0, retrain_epochs=0,
    )  # fmt: skip
    history = run.history.assign(right=lambda frame: frame["validation_accuracy"])
    means = history.groupby(["config_id", "epoch"])[["right", "validation_loss"]].mean()
    means = means.assign(right=means["right"].round(7))
    best = means.sort_values(["right", "validation_loss"], ascending=[False, True])
    of_config = best.groupby("config_id", sort=False).head(1).reset_index()
    places = [run.sweep.places[config_id] for config_id in of_config["config_id"]]
    assert np.argsort(found["rank_test_score"]).tolist() == places
    np.testing.assert_allclose(found["mean_test_score"][places], of_config["right"], atol=1e-6)
    assert found["epochs"][places].tolist() == of_config["epoch"].tolist()


def trained_by_hand(params, epochs, train, number=0, seed=0):
    """Returns the parameters of a network on some rows of wine, of an engine of its own.

    The initial weights go by the number of the fold, and by the seed.
    """
    document = {"axes": {name: [value] for name, value in params.items()}, "epochs": 6}
    sweep, table = parse_sweep(document, "one", "here"), load_table((FRAME, NAMES))
    fold = make_fold(train, validation=range(7))
    sizes = sizes_of(table, [fold])
    with Engine(sweep, FAMILIES["mlp"], sizes) as engine:
        tasks = engine.plan.repeats([Trial(sweep.configs[0].id, number, seed)], epochs)
        (trained,) = engine.run(tasks, [arrays_of(table, fold, sizes)] * (number + 1))
    return trained.params[0]


def test_the_refit_is_a_training_with_all_rows(fitted):
    assert fitted.best_epochs_ < fitted.epochs
    by_hand = trained_by_hand(fitted.best_params_, fitted.best_epochs_, range(len(X)))
    assert by_hand.keys() == fitted.model_.params.keys()
    for name, array in by_hand.items():
        np.testing.assert_allclose(fitted.model_.params[name], array, atol=2e-6)
    scaler = StandardScaler().fit(X.astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(fitted.model_.mean, scaler.mean_)
    np.testing.assert_allclose(fitted.model_.scale, scaler.scale_)
    assert dict(fitted.model_.config) == fitted.best_params_


def test_a_score_is_that_of_a_network_that_has_not_seen_the_rows(fitted):
    """By an engine of its own, a forward pass in NumPy and scikit-learn's score."""
    for number, (train, test) in enumerate(StratifiedKFold(3).split(X, NAMES)):
        scores, scaler = [], StandardScaler().fit(X[train])
        for seed in (0, 1):
            p = trained_by_hand(fitted.best_params_, fitted.best_epochs_, train, number, seed)
            hidden = np.maximum(
                scaler.transform(X[test]) @ p["hidden1.kernel"] + p["hidden1.bias"], 0
            )
            best = (hidden @ p["logits.kernel"] + p["logits.bias"]).argmax(axis=1)
            scores.append(accuracy_score(NAMES[test], fitted.classes_[best]))
        found = fitted.cv_results_[f"split{number}_test_score"][fitted.best_index_]
        assert found == pytest.approx(np.mean(scores), abs=1e-12)


def test_predictions_are_the_models(fitted):
    proba = fitted.predict_proba(FRAME)
    np.testing.assert_array_equal(fitted.predict(FRAME), fitted.model_.predict(FRAME))
    np.testing.assert_allclose(proba, fitted.model_.predict_proba(FRAME), atol=1e-6)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(fitted.classes_[proba.argmax(axis=1)], fitted.predict(FRAME))
    alone = np.concatenate([fitted.predict_proba(FRAME[i : i + 1]) for i in range(20)])
    np.testing.assert_array_equal(alone, proba[:20])
    many = pd.concat([FRAME] * 13)
    np.testing.assert_array_equal(fitted.predict_proba(many)[-len(X) :], proba)
    assert fitted.score(FRAME, NAMES) == (fitted.predict(FRAME) == NAMES).mean() > 0.9


LABELS = {
    "numbers": np.array([10, -3, 200])[Y],
    "text": NAMES,
    "objects": NAMES.astype(object),
    "truth values": Y > 0,
    "float": Y / 1.0,
    "a list": NAMES.tolist(),
    "series": pd.Series(NAMES, dtype="string"),
    "categories": pd.Series(NAMES, dtype="category"),
}


QUICK = ("text", "truth values", "a list")


@pytest.mark.parametrize(
    "labels", [each if name in QUICK else slow(each) for name, each in LABELS.items()], ids=LABELS
)
def test_labels_of_any_type_come_back(labels):
    search = small(ONE).fit(X, labels)
    theirs = DecisionTreeClassifier(max_depth=3).fit(X, labels)
    np.testing.assert_array_equal(search.classes_, theirs.classes_)
    assert search.predict(X).dtype == theirs.predict(X).dtype
    assert search.score(X, labels) > 0.9


@pytest.mark.parametrize("way", ["pickle", slow("joblib"), "save"])
def test_it_lasts(fitted, tmp_path, way):
    fitted.predict(FRAME)  # compiles, which must not stand in the way
    if way == "pickle":
        again = pickle.loads(pickle.dumps(fitted))
    elif way == "joblib":
        joblib.dump(fitted, tmp_path / "search.joblib")
        again = joblib.load(tmp_path / "search.joblib", mmap_mode="r")
    else:
        fitted.save(tmp_path / "model")
        again = gtzan_jax.load_model(tmp_path / "model")
        np.testing.assert_allclose(again.predict_proba(FRAME), fitted.predict_proba(FRAME),
                                   atol=1e-6)  # fmt: skip
    np.testing.assert_array_equal(again.predict(FRAME), fitted.predict(FRAME))


def test_a_clone_is_not_fitted_and_fits_alike(fitted):
    other = clone(fitted)
    assert not hasattr(other, "model_")
    assert other.get_params() == {**fitted.get_params(), "cv": other.cv}
    other.set_params(num_seeds=1, cv=2, sweep={"num_units1": [4, 8]})
    assert len(other.fit(FRAME, NAMES).cv_results_["params"]) == 2
    assert other.n_splits_ == 2


@pytest.mark.slow
def test_it_works_in_a_pipeline_and_in_a_cross_validation():
    holes = X.copy()
    holes[::7, 3] = np.nan
    steps = SimpleImputer(), StandardScaler(), small(ONE)
    pipeline = make_pipeline(*steps)
    assert pipeline.fit(holes, NAMES).score(holes, NAMES) > 0.9
    compiled = compile_training.cache_info().misses
    scores = cross_val_score(pipeline, holes, NAMES, cv=StratifiedKFold(4))
    assert scores.mean() > 0.85
    pipeline.fit(holes[:-35], NAMES[:-35])
    folds = compile_training.cache_info().misses - compiled
    assert folds <= 1  # tables of about one length share their programs


def test_columns_in_another_order_are_refused(fitted):
    assert fitted.feature_names_in_.tolist() == list(FRAME)
    assert fitted.n_features_in_ == len(FRAME.columns) == 13
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(FRAME[FRAME.columns[::-1]])


@pytest.mark.parametrize(
    "how", [{"protocol": "holdout"}, {"protocol": "kfold"}, {"cv": GroupKFold(3)}]
)
def test_groups_stay_on_one_side(monkeypatch, how):
    patients = np.array([f"patient {i}" for i in np.arange(len(X)) // 6])
    for fold in splits_of(monkeypatch, small(**how), X, Y, patients):
        parts = [set(patients[part]) for part in fold]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]


def test_a_splitter_divides_as_in_a_grid_search(monkeypatch):
    cut = StratifiedKFold(4, shuffle=True, random_state=1)
    for fold, (train, test) in zip(
        splits_of(monkeypatch, small(cv=cut), X, Y), cut.split(X, Y), strict=True
    ):
        np.testing.assert_array_equal(fold.train, train)
        np.testing.assert_array_equal(fold.validation, test)
        assert not len(fold.test)
    mask = np.arange(len(X)) % 3 == 0
    (fold,) = splits_of(monkeypatch, small(cv=[(~mask, mask)]), X, Y)
    np.testing.assert_array_equal(fold.validation, np.flatnonzero(mask))


SWEEPS = {
    "dict": GRID,
    "short names": {"num_units1": [8, 4], "num_units2": (4,), "dropout": np.array([0.0, 0.1]),
                    "optimizer": "adam"},
    "name": "smoke",
    "Sweep": gtzan_jax.load_sweep("smoke"),
}  # fmt: skip


@pytest.mark.parametrize(
    "sweep", [slow(each) if name == "Sweep" else each for name, each in SWEEPS.items()], ids=SWEEPS
)
def test_a_sweep_may_be_a_name_a_dict_or_a_sweep(sweep):
    search = small(sweep, epochs=2, num_seeds=1).fit(X, Y)
    found = search.cv_results_["params"]
    if sweep is GRID:
        assert sorted(map(str, map(sorted, map(dict.items, found)))) == sorted(
            str(sorted(each.items())) for each in ParameterGrid(GRID)
        )
    elif isinstance(sweep, dict):
        assert {(each["dropout1"], each["dropout2"]) for each in found} == {
            (a, b) for a in (0.0, 0.1) for b in (0.0, 0.1)
        }
        assert {each["num_units2"] for each in found} == {4}
    else:
        assert found == [dict(config) for config in gtzan_jax.load_sweep("smoke").configs]


@pytest.mark.parametrize(
    "search",
    [slow("random"), {"kind": "halving", "eta": 2}, slow({"kind": "tpe", "num_configs": 6})],
)
def test_each_kind_of_search(search):
    wide = {"num_units1": [4, 8], "learning_rate": [0.001, 0.003, 0.01, 0.03],
            "optimizer": ["adam", "sgd", "rmsprop"]}  # fmt: skip
    found = small(wide, search=search, epochs=8, random_state=3).fit(X, Y)
    table = pd.DataFrame(found.cv_results_)
    whole = table
    if search == "random":
        assert len(table) == 20
        document = {"axes": wide, "search": {"kind": "random", "seed": 3}}
        drawn = parse_sweep(document, "wide", "here").configs
        assert table["params"].tolist() == [dict(config) for config in drawn]
    elif search["kind"] == "halving":
        assert len(table) == 24
        whole = table[table["mean_fit_time"] == table["mean_fit_time"].max()]  # trained to the end
        assert 1 <= len(whole) < 24
    best = whole.sort_values("mean_test_score", ascending=False)["mean_test_score"].iloc[0]
    assert found.best_score_ == best
    assert found.best_index_ in whole.index
    assert (table["epochs"] <= 8).all()


def test_a_config_that_diverges_never_wins():
    wild = {"num_units1": [8], "optimizer": ["sgd"], "learning_rate": [1e6, 0.01]}
    with pytest.warns(UserWarning, match="1 of 2 configurations diverged and score NaN"):
        search = small(wild).fit(X, Y)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [True, False]
    assert search.cv_results_["rank_test_score"].tolist() == [2, 1]
    assert search.best_index_ == 1
    with pytest.raises(InputError, match="every configuration diverged"):
        small(wild | {"learning_rate": [1e6]}).fit(X, Y)


def test_epochs_that_a_config_was_not_trained_for_are_no_figures():
    sweep, table = make_sweep(protocol="kfold", num_folds=2), make_table()
    trials = trials_of(sweep, 2, [0, 1])
    history = make_history(trials, np.full((48, 2, len(METRICS)), 0.5, np.float32))
    history.reached[4:8] = 1  # the second config's
    history.figures[9, 0, 0] = np.inf  # in one trial of the third
    figures = tuning._figures(history, make_splits(table, "kfold", 0, 2))
    assert figures.shape == (12, 2, 2, 2, len(METRICS))
    missing = np.isnan(figures).all(axis=-1)
    expected = np.zeros((12, 2, 2, 2), bool)
    expected[1, :, :, 1] = True
    expected[2, 0, 1] = True
    np.testing.assert_array_equal(missing, expected)


def test_the_random_state_is_heeded():
    first, again, other = (small(random_state=seed).fit(X, Y) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.predict_proba(X), again.predict_proba(X))
    assert (first.predict_proba(X) != other.predict_proba(X)).any()
    drawn = small(random_state=np.random.RandomState(4)).fit(X, Y)
    twin = small(random_state=np.random.RandomState(4)).fit(X, Y)
    np.testing.assert_array_equal(drawn.predict_proba(X), twin.predict_proba(X))
    assert small(random_state=None).fit(X, Y).score(X, Y) > 0.5


def test_it_is_silent_unless_asked(capsys):
    small().fit(X, Y)
    assert capsys.readouterr() == ("", "")
    small(verbose=1).fit(X, Y)
    assert "epochs, " in capsys.readouterr().out


WRONG = {
    "a kind of search": ({"search": "randm"}, "unknown value 'randm' (did you mean 'random'?)"),
    "a search of a wrong type": ({"search": 3}, "search must be text or a dict, not 3"),
    "a setting of a search": ({"search": {"kind": "random", "eta": 2}}, "eta does not apply"),
    "epochs": ({"epochs": 0}, "epochs must be a whole number from 1 to 100,000, not 0"),
    "seeds": ({"num_seeds": "two"}, "num_seeds must be a whole number"),
    "a protocol": ({"protocol": "holdot"}, "unknown value 'holdot' (did you mean 'holdout'?)"),
    "a protocol of songs": ({"protocol": "artist_folds"}, "X, y"),
    "a seed": ({"random_state": -1}, "random_state must be a whole number from 0 to"),
    "a platform": ({"platform": "gppu"}, "platform"),
    "no folds": ({"cv": []}, "cv has no folds"),
    "no rows to train on": ({"cv": [([], [1])]}, "cv: fold 0 has no rows to train on or to"),
    "no rows to rank by": ({"cv": [([1, 60], [])]}, "cv: fold 0 has no rows to train on or to ra"),
    "a search by the test part": (
        {"search": "halving", "protocol": "assignment"}, "selects on the validation part",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("parameters", "message"), WRONG.values(), ids=WRONG)
def test_wrong_parameters_are_refused_in_a_line(parameters, message):
    with pytest.raises(InputError, match=re.escape(message)) as told:
        small(**parameters).fit(X, Y)
    assert "\n" not in str(told.value)


WRONG_SWEEPS = {
    "a hyperparameter": ({"num_units1": [8], "lerning_rate": [1]}, "mean 'learning_rate'?"),
    "no layer": ({"optimizer": ["adam"]}, "'num_units1' is missing"),
    "a value": ({"num_units1": [0]}, "axes.num_units1"),
    "a name": ("assignmen", "no sweep 'assignmen' (did you mean 'assignment'?)"),
    "a type": (3, "sweep must be a name, a path, a Sweep or a dict of lists, not 3"),
    "names of one thing": (
        {"num_units1": [8], "dropout": [0.1], "dropout1": [0.2]}, "contradict each other",
    ),
    "patience": ({"num_units1": [8], "patience": [3]}, "remove patience"),
    "of spectrograms": ("cnn", "spectrograms"),
}  # fmt: skip


@pytest.mark.parametrize(("sweep", "message"), WRONG_SWEEPS.values(), ids=WRONG_SWEEPS)
def test_wrong_sweeps_are_refused_in_a_line(sweep, message):
    with pytest.raises(InputError, match=re.escape(message)) as told:
        SweepClassifier(sweep).fit(X, Y)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("rows", "parameters", "message"),
    [
        ([0, 1, 2], {}, "y has one class, [0]: give rows of at least two"),
        (
            [0, 1, 60, 61],
            {"protocol": "holdout"},
            "part of a fold would be empty: 4 rows are too few",
        ),
        ([0, 1, 60, 61], {"protocol": "kfold"}, "has 2; try cv=2 or a splitter"),
        ([0, 1, 60, 61], {"cv": 5}, "n_splits=5"),
    ],
)
def test_too_few_rows_are_refused_with_what_to_do(rows, parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        small(**parameters).fit(X[rows], Y[rows])


def test_a_class_that_cannot_be_learnt_is_told():
    labels = np.where(np.arange(len(Y)) == 5, 9, Y)
    cut = [(np.arange(6, 178), np.arange(6))]
    with pytest.warns(UserWarning, match="no row of 9 is in the train part of fold 0"):
        small(cv=cut).fit(X, labels)


def test_the_example_of_the_documentation_works():
    (example,) = doctest.DocTestFinder(recurse=False).find(SweepClassifier, "SweepClassifier")
    found = doctest.DocTestRunner().run(example)
    assert (found.attempted, found.failed) == (6, 0)


@pytest.mark.parametrize("how", [slow({"cv": 2}), slow({"protocol": "holdout"})])
def test_scikit_learns_own_checks(how):
    """All of them: none is expected to fail."""
    from sklearn.utils.estimator_checks import check_estimator

    search = SweepClassifier({"num_units1": [16], "learning_rate": [0.01, 0.03]}, epochs=30, **how)
    found = check_estimator(search, on_skip=None)
    skipped = [each["check_name"] for each in found if each["status"] != "passed"]
    assert skipped == ["check_array_api_input"]  # which scikit-learn skips without SCIPY_ARRAY_API
    assert len(found) > 40


@pytest.mark.parametrize("load", [slow(load_iris), slow(load_digits)])
def test_it_is_as_good_as_a_grid_search(load):
    x, y = load(return_X_y=True)
    train, test, of_train, of_test = train_test_split(x, y, random_state=0, stratify=y)
    grid = {"mlpclassifier__hidden_layer_sizes": [(16,), (64,)]}
    theirs = GridSearchCV(
        make_pipeline(
            StandardScaler(), MLPClassifier(learning_rate_init=0.01, max_iter=1000, random_state=0)
        ),
        grid,
        cv=3,
    ).fit(train, of_train)
    ours = SweepClassifier({"num_units1": [16, 64], "learning_rate": [0.01]}, epochs=60, cv=3).fit(
        train, of_train
    )
    assert ours.score(test, of_test) > theirs.score(test, of_test) - 0.03


def test_a_fit_that_fails_leaves_the_old_one_whole():
    search = small(ONE).fit(X, Y)
    before = search.predict(X)
    with pytest.raises(InputError, match="cv has no folds"):
        search.set_params(cv=[]).fit(X, NAMES)
    np.testing.assert_array_equal(search.predict(X), before)


@pytest.mark.slow
def test_groups_are_asked_for_as_by_a_grid_search():
    with config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            small(ONE, cv=GroupKFold(3)), X, Y, cv=GroupKFold(3),
            params={"groups": np.arange(len(X)) % 11},
        )  # fmt: skip
    assert (scores > 0.8).all()
    with pytest.raises(InputError, match="groups has missing values: give each row a group"):
        small(ONE).fit(X, Y, np.r_[np.nan, np.arange(len(X) - 1)])


@pytest.mark.parametrize(
    ("shift", "what"), [(1.6e9, "float32 is too coarse for"), (1e39, "1e.39 is too large for f")]
)
def test_columns_that_float32_cannot_hold_are_refused(shift, what):
    with pytest.raises(InputError, match=f"X, column 'x0': {what}"):
        small(ONE).fit(X + shift, Y)


def test_rows_far_out_are_refused_rather_than_predicted_without_a_number(fitted):
    far = pd.concat([FRAME] * 9, ignore_index=True)
    far.loc[1500, "hue"] = 1e300
    with pytest.raises(InputError, match="row 1500, column 'hue': beyond the range of float32"):
        fitted.predict(far)
    with pytest.raises(InputError, match="row 0: the model's probabilities are not finite"):
        fitted.predict(FRAME * 0 + 3e38)


def test_logarithms_of_probabilities(fitted):
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(FRAME)), fitted.predict_proba(FRAME))


def test_a_refit_that_diverges_is_told(monkeypatch):
    def infinite(*given):
        arrays = arrays_of(*given)
        return arrays._replace(x_train=np.full_like(arrays.x_train, np.inf))

    monkeypatch.setattr(tuning, "arrays_of", infinite)
    with pytest.raises(RunError, match="diverged on all rows; lower the learning rates"):
        small().fit(X, Y)
