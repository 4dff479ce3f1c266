"""A finished run in Python: its study for Optuna, and a run on a table of one's own, end to end."""

import builtins
import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep, slow
from finished_runs import num_folds_of, random_history, write_run
from sklearn.datasets import load_wine
from sklearn.metrics import accuracy_score

from gtzan_jax import (
    InputError,
    load_model,
    load_sweep,
    load_table,
    make_splits,
    read_run,
    run_sweep,
)
from gtzan_jax.metrics import METRICS
from gtzan_jax.tables.schema import Columns

optuna = pytest.importorskip("optuna")
from optuna import visualization  # noqa: E402
from optuna.distributions import CategoricalDistribution as Categorical  # noqa: E402
from optuna.distributions import FloatDistribution as Float  # noqa: E402
from optuna.distributions import IntDistribution as Int  # noqa: E402
from optuna.trial import TrialState  # noqa: E402

VALIDATION = METRICS.index("validation_accuracy")


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def halved(sweep, num_seeds=1):
    """Returns a random history of halving: of twelve configs four have 2 epochs, and one all 6."""
    history = random_history(sweep, num_seeds)
    reached = np.repeat(np.r_[1, 2, 2, 6, 2, np.ones(7, int)], num_folds_of(sweep) * num_seeds)
    reached = reached.astype(np.int32)
    figures = np.where((np.arange(6) < reached[:, None])[:, :, None], history.figures, 0)
    return dataclasses.replace(
        history, figures=figures, reached=reached, last=reached, best=reached
    )


def run_of(folder, sweep, history):
    return read_run(write_run(folder / "wine run", sweep, history))


@pytest.mark.parametrize(("protocol", "num_seeds"), [("holdout", 1), ("artist_folds", 2)])
def test_a_study_has_a_trial_of_each_config_best_first(tmp_path, protocol, num_seeds):
    sweep = make_sweep(protocol=protocol, epochs=3)
    history = random_history(sweep, num_seeds)
    history.figures[3:9, -1] = 0.95  # several are best
    run = run_of(tmp_path, sweep, history)
    study = run.to_optuna()
    assert (study.study_name, study.metric_names) == ("wine run", ["validation_accuracy"])
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert len(study.trials) == len(run.results) == 12
    means = history.figures.reshape(12, -1, 3, len(METRICS)).mean(axis=1, dtype=np.float64)
    for number, (trial, row) in enumerate(zip(study.trials, run.results.itertuples(), strict=True)):
        assert (trial.number, trial.state) == (number, TrialState.COMPLETE)
        place = sweep.places[row.config_id]
        assert trial.params | study.user_attrs == dict(sweep.configs[place])
        assert trial.value == row.validation_accuracy
        assert list(trial.intermediate_values) == [1, 2, 3]
        curve = list(trial.intermediate_values.values())
        np.testing.assert_allclose(curve, means[place, :, VALIDATION], atol=1e-6)
        assert trial.user_attrs == {
            "config_id": row.config_id,
            "rank": number + 1,
            "num_folds": num_folds_of(sweep),
            "num_seeds": num_seeds,
            "test_accuracy (not for selection)": row.test_accuracy,
        }
    assert study.best_trial.user_attrs["config_id"] == run.results["config_id"][0]
    assert set(study.best_params) == {"num_units1", "activation", "optimizer"}


def test_where_configs_are_ranked_by_the_test_part_its_figure_is_the_value(tmp_path):
    sweep = make_sweep(protocol="assignment")
    run = run_of(tmp_path, sweep, random_history(sweep))
    study = run.to_optuna()
    assert study.metric_names == ["test_accuracy"]
    assert [trial.value for trial in study.trials] == run.results["test_accuracy"].tolist()
    assert set(study.best_trial.user_attrs) == {"config_id", "rank", "num_folds", "num_seeds"}


def test_configs_that_halving_stopped_are_pruned(tmp_path):
    sweep = make_sweep(
        protocol="holdout", epochs=6, search={"kind": "halving", "num_configs": 12, "eta": 3}
    )
    history = halved(sweep, 2)
    history.figures[-1, 0, 0] = np.nan  # the last config's second seed
    run = run_of(tmp_path, sweep, history)
    study = run.to_optuna()
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, *[TrialState.PRUNED] * 10, TrialState.FAIL]
    assert [trial.last_step for trial in study.trials] == [6, 2, 2, 2, *[1] * 8]
    for trial in study.trials[:-1]:
        assert trial.value == pytest.approx(trial.intermediate_values[trial.last_step], abs=1e-6)
    assert study.trials[-1].value is None
    assert study.best_trial.params | study.user_attrs == dict(sweep.configs[3])


def test_a_config_that_diverged_at_once_has_no_values(tmp_path):
    sweep = make_sweep(protocol="holdout")
    history = random_history(sweep)
    history.figures[0] = np.nan
    trial = run_of(tmp_path, sweep, history).to_optuna().trials[-1]
    assert (trial.state, trial.value, trial.intermediate_values) == (TrialState.FAIL, None, {})


def test_epochs_that_a_seed_did_not_reach_have_no_mean(tmp_path):
    sweep = make_sweep(protocol="holdout", epochs=4, axes={"patience": [1, 2]})
    history = random_history(sweep, 2)
    last = np.r_[2, 4, np.full(len(history.trials) - 2, 4)].astype(np.int32)
    history = dataclasses.replace(history, last=last, best=np.minimum(last, 3))
    run = run_of(tmp_path, sweep, history)
    trials = {trial.user_attrs["config_id"]: trial for trial in run.to_optuna().trials}
    first, other = (trials[config.id] for config in sweep.configs[:2])
    assert (list(first.intermediate_values), first.state) == ([1, 2], TrialState.COMPLETE)
    assert list(other.intermediate_values) == [1, 2, 3, 4]
    kept = history.figures[[0, 1], [1, 2], VALIDATION].mean()  # 2 and 3 are best
    assert first.value == pytest.approx(kept, abs=1e-6)


RANGES = {
    "num_units1": {"low": 4, "high": 64, "log": True},
    "num_units2": {"low": 4, "high": 12, "step": 4},
    "dropout1": {"low": 0.1, "high": 0.5, "step": 0.0123},  # rounded to four digits
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "momentum": {"low": 0.0, "high": 0.9},
    "batch_size": [16, 32],
    "nesterov": [False, True],
}


def test_ranges_are_distributions_of_numbers(tmp_path):
    sweep = make_sweep(
        axes=RANGES, learning_rates=None, batch_size=None, protocol="holdout",
        search={"kind": "random", "num_configs": 40},
    )  # fmt: skip
    study = run_of(tmp_path, sweep, random_history(sweep)).to_optuna()
    assert study.trials[0].distributions == {
        "num_units1": Int(4, 64, log=True),
        "num_units2": Int(4, 12),
        "dropout1": Float(0.1, 0.5),
        "activation": Categorical(["relu", "leaky_relu"]),
        "optimizer": Categorical(["adam", "sgd", "rmsprop"]),
        "learning_rate": Float(1e-4, 1e-1, log=True),
        "batch_size": Categorical([16, 32]),
        "momentum": Float(0.0, 0.9),
        "nesterov": Categorical([False, True]),
    }
    constant = {"num_units3": 5, "dropout2": 0.2, "dropout3": 0.0, "initializer": "glorot_uniform"}
    assert study.user_attrs == constant


@pytest.mark.parametrize("axes", [{}, RANGES], ids=["grid", "ranges"])
def test_importances_and_plots_are_made_without_a_warning(tmp_path, axes):
    search = {"kind": "random", "num_configs": 40} if axes else None
    more = {"learning_rates": None, "batch_size": None} if axes else {}
    sweep = make_sweep(axes=axes, protocol="holdout", search=search, **more)
    history = random_history(sweep)
    by = [config["optimizer"] == "sgd" for config in sweep.configs]
    history.figures[by, -1, VALIDATION] -= 10
    study = run_of(tmp_path, sweep, history).to_optuna()
    importances = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    assert next(iter(importances)) == "optimizer"
    assert importances["optimizer"] > 0.8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for name in ("parallel_coordinate", "slice", "contour", "param_importances",
                     "optimization_history", "intermediate_values", "edf", "rank"):  # fmt: skip
            plot = getattr(visualization.matplotlib, f"plot_{name}")
            few = {"params": ["num_units1", "optimizer"]}
            assert plot(study, **few if name in ("slice", "contour", "rank") else {}) is not None


def test_a_large_grid_is_a_study_within_seconds(tmp_path):
    import time

    sweep = load_sweep("assignment", ["protocol=holdout"])
    run = run_of(tmp_path, sweep, random_history(sweep))
    start = time.process_time()
    assert len(run.to_optuna().trials) == 768
    assert time.process_time() - start < 5  # 0.2 s


def test_without_optuna_the_extra_is_named(tmp_path, monkeypatch):
    sweep, plain = make_sweep(), builtins.__import__
    run = run_of(tmp_path, sweep, random_history(sweep))

    def without(name, *rest):
        if name == "optuna":
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError) as told:
        run.to_optuna()
    message = "a study needs Optuna: pip install -e '.[search]'"
    assert str(told.value) == message


WINE = load_wine(as_frame=True).frame.rename(columns={"target": "kind"})
X, Y = WINE.drop(columns="kind"), WINE["kind"]
HOLES = X.mask(np.random.default_rng(0).random(X.shape) < 0.05).assign(kind=Y)
DATA = {
    "frame": slow(WINE, {"label": "kind"}),
    "missing": (HOLES, {"label": "kind", "impute": "median"}),
    "arrays": slow((X.to_numpy(), Y.to_numpy()), {}),
    "words": slow((X, np.array(["barolo", "grignolino", "barbera"])[Y]), {}),
}


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(("data", "options"), DATA.values(), ids=DATA)
def test_a_run_on_a_table_of_ones_own_predicts_it(tmp_path, data, options):
    sweep = make_sweep(epochs=3, protocol="holdout", axes={"num_units1": [16]})
    run = run_sweep(sweep, data, tmp_path / "wine", retrain_epochs=40, retrain_seeds=1, **options)
    model = run.best
    assert repr(run) == "Run('wine', 6 configs × 1 fold × 1 seed × 3 epochs, the best retrained)"
    assert repr(model).startswith("TrainedModel(16-6-5_")
    assert " weights, 3 classes, data " in repr(model)
    assert (model.front_end, model.distribution) == (None, None)
    rows, labels = data if isinstance(data, tuple) else (data, Y)
    probabilities, predicted = model.predict_proba(rows), model.predict(rows)
    assert probabilities.shape == (178, 3)
    names = np.array(model.genres)
    assert predicted.tolist() == names[probabilities.argmax(axis=1)].tolist()
    truth = [str(label) for label in labels]
    score = model.score(rows, labels)
    assert score == pytest.approx(accuracy_score(truth, predicted))
    assert score > 0.8
    # What the retraining says of its test part is what the model predicts of it.
    table = load_table(data, Columns(**options))
    fold = make_splits(table, "holdout", run.manifest.split.seed, 1).folds[0]
    right = np.array(predicted)[fold.test] == np.array(truth)[fold.test]
    assert model.calibration.test.accuracy == pytest.approx(right.mean())
    again = load_model(tmp_path / "wine")
    assert again.predict_proba(rows).tobytes() == probabilities.tobytes()
    if isinstance(rows, pd.DataFrame):
        rows[rows.columns[::-1]].assign(more="x").to_csv(tmp_path / "rows.csv")
        found = again.predict_proba(pd.read_csv(tmp_path / "rows.csv"))
        np.testing.assert_allclose(found, probabilities, rtol=1e-6)
    if "label" in options:
        assert again.score(data) == score
    study = run.to_optuna()
    assert study.best_trial.user_attrs["config_id"] == run.results["config_id"][0]
