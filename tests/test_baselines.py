"""The comparison, as users run it: in a process of its own."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep
from finished_runs import write_run
from test_sweep import command

from gtzan_jax import load_table
from gtzan_jax.baselines import chosen_config
from gtzan_jax.comparison import OURS, PUBLISHED_BEST, classical_models
from gtzan_jax.errors import InputError

SWEEP = make_sweep(batch_size=16)


def make_run(path, diverged=False):
    """Writes as much of a run directory as the comparison reads: config 5 is its best."""
    history = np.full((SWEEP.num_configs, 1, 2, 4), np.nan if diverged else 0.5, np.float32)
    history[5] += 0.25
    elsewhere = replace(load_table("sample"), source="elsewhere.csv", sha256="0" * 64)
    return write_run(path, SWEEP, history, elsewhere)


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
    assert "warning" not in done.stderr
    assert "11 models on 2 random splits of sample" in done.stdout
    assert [line for line in lines if line.endswith("SVM (RBF) done")]
    assert "  26/26 steps" in done.stdout
    assert lines[-1].endswith("results in out")


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
    assert found["ours"]["config"]["num_units1"] == SWEEP.configs()[5].num_units1
    assert found["ours"]["config"]["optimizer"] == SWEEP.configs()[5].optimizer
    assert (found["ours"]["sweep"]["batch_size"], found["ours"]["sweep"]["epochs"]) == (16, 2)
    assert found["models"]["SVM (RBF)"] == "SVC(C=10.0)"
    scores = pd.read_csv(folder / "baselines.csv")
    assert found["best_classical"] == scores["model"][scores["model"] != OURS].iloc[0]
    assert found["platform"] == "cpu"
    assert "scikit-learn" in found["versions"]
    assert "same splits" in found["notes"]["splits"]
    assert "itself selection" in found["notes"]["selection"]
    assert "divided by the number of splits" in found["notes"]["seconds"]
    # The run was on another table: its config is taken all the same.
    assert "sweep in run, whose feature table has another checksum" in found["notes"]["run"]
    assert found["notes"]["run"] in done.stdout


def test_without_a_run_the_published_best_is_compared():
    config, sweep, data = chosen_config(None)
    assert config == PUBLISHED_BEST
    assert config in sweep.configs()
    assert data is None


def test_a_run_whose_configs_all_diverged_is_refused(tmp_path):
    run = make_run(tmp_path / "run", diverged=True)
    with pytest.raises(InputError, match="every config of its sweep diverged"):
        chosen_config(str(run))


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
