"""The comparison, as users run it: in a process of its own."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from commands import command
from conftest import make_sweep
from finished_runs import history_of, write_run

from gtzan_jax import Engine, load_sweep, load_table
from gtzan_jax.analysis.classical import (
    classical_models,
    importance_table,
    permutation_drops,
    refit,
)
from gtzan_jax.errors import InputError
from gtzan_jax.jobs.baselines import OURS, Contender, NetworkClassifier, chosen, evaluate_network
from gtzan_jax.metrics import METRICS
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.space.config import Member
from gtzan_jax.tables.protocols import PROTOCOLS, Division
from gtzan_jax.tables.splits import random_split

SWEEP = make_sweep(batch_size=16)


def make_run(path, diverged=False):
    """Writes as much of a run directory as the comparison reads: config 5 is its best."""
    accuracy = np.full((SWEEP.num_configs, 1), np.nan if diverged else 0.5)
    accuracy[5] += 0.25
    elsewhere = dataclasses.replace(load_table("sample"), source="elsewhere.csv", sha256="0" * 64)
    return write_run(path, SWEEP, history_of(SWEEP, accuracy), elsewhere)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished comparison on the sample, and the process that made it."""
    folder = tmp_path_factory.mktemp("baselines")
    make_run(folder / "run")
    flags = ["--data=sample", "--platform=cpu", "--num_splits=2", "--epochs=2", "--seed=4"]
    done = command("baselines", *flags, "--run=run", "--workdir=out", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "out", done


def test_the_folder_is_complete(finished):
    folder, done = finished
    assert sorted(path.name for path in folder.iterdir()) == [
        "baselines.csv", "baselines.json", "baselines.png", "comparison.csv",
        "importance.csv", "importance.png",
    ]  # fmt: skip
    lines = done.stdout.splitlines()
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning")]
    assert len(warnings) == 1  # of the run's table, see below
    assert "11 models on 2 random splits of sample" in done.stdout
    assert [line for line in lines if line.endswith("SVM (RBF) done")]
    assert "  26/26 steps" in done.stdout
    assert "results in out" in lines
    assert lines[-1].endswith(" s")


def test_the_tables_fit_together(finished):
    folder, _ = finished
    scores = pd.read_csv(folder / "baselines.csv")
    assert set(scores["model"]) == {OURS, *classical_models(0)}
    accuracies = scores[["split_0", "split_1"]]
    np.testing.assert_allclose(scores["accuracy_mean"], accuracies.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(scores["accuracy_std"], accuracies.std(axis=1), atol=1e-6)
    assert scores["accuracy_mean"].is_monotonic_decreasing
    means = scores.set_index("model")["accuracy_mean"]
    paired = pd.read_csv(folder / "comparison.csv").set_index("model")
    assert set(paired.index) == set(classical_models(0))
    differences = means[OURS] - means[paired.index]
    np.testing.assert_allclose(paired["difference"], differences, atol=1e-6)
    importance = pd.read_csv(folder / "importance.csv")
    assert set(importance["feature"]) == set(load_table("sample").features)


def test_every_table_says_that_the_sample_was_used(finished):
    folder, done = finished
    for name in ("baselines", "comparison", "importance"):
        assert (pd.read_csv(folder / f"{name}.csv")["data"] == "sample").all()
    assert json.loads((folder / "baselines.json").read_text())["data"]["source"] == "sample"
    assert "sample" in done.stdout


def test_the_description_says_what_was_compared(finished):
    folder, done = finished
    found = json.loads((folder / "baselines.json").read_text(encoding="utf-8"))
    assert found["data"]["sha256"] == load_table("sample").sha256
    assert found["split"]["seeds"] == [4, 5]
    assert (found["split"]["train"], found["split"]["test"]) == (700, 300)
    assert found["ours"]["config"]["num_units1"] == SWEEP.configs[5]["num_units1"]
    assert found["ours"]["config"]["optimizer"] == SWEEP.configs[5]["optimizer"]
    assert (found["ours"]["sweep"]["batch_size"], found["ours"]["sweep"]["epochs"]) == (16, 2)
    assert found["models"]["SVM (RBF)"] == "SVC(C=10.0)"
    scores = pd.read_csv(folder / "baselines.csv")
    assert found["best_classical"] == scores["model"][scores["model"] != OURS].iloc[0]
    assert found["platform"] == "cpu"
    assert "scikit-learn" in found["versions"]
    assert "same splits" in found["notes"]["splits"]
    assert "itself selection" in found["notes"]["selection"]
    assert "divided by their number" in found["notes"]["seconds"]
    # The run was on another table: its config is taken all the same.
    assert "sweep over elsewhere.csv, whose checksum is not this table's" in found["notes"]["run"]
    assert f"warning: {found['notes']['run']}" in done.stderr


def test_without_a_run_the_published_best_is_compared():
    ours, data = chosen(None)
    assert ours.config.name == "128-128-64_0.1-0.2-0.1_leaky_relu_glorot_uniform_adam"
    assert ours.config in ours.sweep.configs
    assert ours.config.id in load_sweep("assignment").places
    assert data is None


def test_a_run_whose_configs_all_diverged_is_refused(tmp_path):
    run = make_run(tmp_path / "run", diverged=True)
    with pytest.raises(InputError, match="every config of its sweep diverged"):
        chosen(str(run))


@pytest.mark.parametrize(
    ("flag", "message"),
    [("--num_splits=1", "num_splits"), ("--run=nowhere", "nowhere is not a run directory")],
)
def test_mistakes_get_one_line_and_exit_code_2(tmp_path, flag, message):
    done = command("baselines", "--data=sample", "--platform=cpu", flag, folder=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not list(tmp_path.iterdir())


# The network on the sample's splits.

FOLDS = tuple(random_split(1000, seed) for seed in range(3))
PUBLISHED = load_sweep("published_best", ["epochs=5"])
OURS_BEST = Contender(PUBLISHED.configs[0], PUBLISHED)
QUICK = "linear discriminant analysis"


def divided(table, *folds):
    return Division(table, PROTOCOLS["assignment"], 0, folds)


@pytest.fixture(scope="module")
def table():
    return load_table("sample")


@pytest.fixture(scope="module")
def network(table):
    return evaluate_network(OURS_BEST, divided(table, *FOLDS), seed=0)


def test_our_batch_equals_one_split_after_another(table, network):
    scores, classifiers = network
    config, sweep = OURS_BEST.config, OURS_BEST.sweep
    for fold, classifier, accuracy in zip(FOLDS, classifiers, scores.accuracies, strict=True):
        alone = divided(table, fold)
        with Engine(sweep, MlpFamily(), alone.sizes) as engine:
            params, history = engine.train_one(alone.arrays, Member(config.id, 0, 0), 5)
        model = classifier.model
        np.testing.assert_allclose(
            model.params["logits.kernel"], params["logits.kernel"], rtol=1e-3, atol=1e-5
        )
        last = history[-1, METRICS.index("test_accuracy")]
        assert accuracy == pytest.approx(last, abs=1e-6)
        predicted = NetworkClassifier(model).predict(table.x[fold.test].astype(float))
        assert np.mean(predicted == table.y[fold.test]) == pytest.approx(accuracy)
    assert scores.model == OURS
    assert min(scores.fit_seconds, scores.predict_seconds) > 0


def test_scrambled_labels_leave_chance_to_the_network(table):
    scrambled = dataclasses.replace(table, y=np.random.default_rng(0).permutation(table.y))
    ours, _ = evaluate_network(OURS_BEST, divided(scrambled, *FOLDS), seed=0)
    assert abs(ours.accuracies.mean() - 0.1) < 0.05  # 3.3 deviations of 300 × 3 guesses


def test_importance_is_measured_for_both_kinds_of_model(table, network):
    done = []
    classical, ours = (
        permutation_drops(fitted, table, FOLDS, 0, repeats=1, done=lambda: done.append(1))
        for fitted in (refit(classical_models(0)[QUICK], table, FOLDS), network[1])
    )
    assert len(done) == 2 * len(FOLDS)
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
def test_the_network_on_the_real_table(real_table_path):
    """The bounds are those of independent measurements."""
    folds = [random_split(1000, seed) for seed in range(10)]
    sweep = dataclasses.replace(OURS_BEST.sweep, epochs=50)
    contender = dataclasses.replace(OURS_BEST, sweep=sweep)
    ours, _ = evaluate_network(contender, divided(load_table(real_table_path), *folds), seed=0)
    assert 0.71 < ours.accuracies.mean() < 0.77
