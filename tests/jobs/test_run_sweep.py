"""The main job as one call, and what sweeps of other protocols and axes write."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from commands import ask_for_groups, command_here, served
from conftest import ROOT, make_document, make_sweep, make_table, slow
from csv_edits import sample_frame, small_text
from finished_runs import random_history, write_run
from report_words import words_of
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gtzan_jax
from gtzan_jax import InputError, RunError
from gtzan_jax.analysis.selection import compare_with_best
from gtzan_jax.jobs import sweeping
from gtzan_jax.jobs.job import Training
from gtzan_jax.jobs.options import RetrainOptions
from gtzan_jax.jobs.retraining import retrain_run
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.predictions import load_predictions
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE
from gtzan_jax.tables.protocols import make_splits
from gtzan_jax.tables.validation import parse_table

TINY = ["--data=sample", "--platform=cpu", "--sweep=tiny.toml"]


pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook") / "run"
    run = gtzan_jax.run_sweep("smoke", data="sample", workdir=folder, retrain_epochs=2)
    return run, folder


@pytest.mark.parametrize(("tracks", "size"), [(10, 8), slow(12, 8), slow(14, 16)])
def test_a_small_table_is_trained_on_as_the_error_says(tmp_path, tracks, size):
    (tmp_path / "small.csv").write_text(small_text(tracks), encoding="utf-8")
    options = {"data": tmp_path / "small.csv", "workdir": tmp_path / "run", "retrain_epochs": 0}
    few = ["protocol=holdout", "epochs=1"]
    with pytest.raises(InputError, match="larger than the train part") as told:
        gtzan_jax.run_sweep("published_best", **options, overrides=few)
    (remedy,) = re.findall(r"--set=(\S+)", str(told.value))
    assert remedy == f"batch_size={size}"
    run = gtzan_jax.run_sweep("published_best", **options, overrides=[*few, remedy])
    assert run.manifest.status == "finished"


def test_a_notebook_gets_results_history_model_and_report(smoke):
    run, folder = smoke
    assert len(run.results) == 24
    assert list(run.results["rank"]) == list(range(1, 25))
    pd.testing.assert_frame_equal(run.results, pd.read_csv(folder / "results.csv"))
    assert len(run.history) == 24 * 2
    assert set(run.history["config_id"]) == set(run.results["config_id"])
    assert len(run.retrained) == 10 * 2
    table = gtzan_jax.load_table("sample")
    assert set(run.best.predict(table)) <= set(table.genres)
    assert run.best.config == run.config(1)
    page = run.report()
    assert page == folder / "report.html"
    assert page.stat().st_size > 10_000
    session = run.manifest.sessions[0]
    assert session.command == "gtzan_jax.run_sweep"
    assert f"workdir={str(folder)!r}" in run.manifest.resume


def test_a_run_that_was_read_is_the_same(smoke):
    run, folder = smoke
    again = gtzan_jax.read_run(folder)
    pd.testing.assert_frame_equal(again.results, run.results)
    assert again.best.config == run.best.config
    assert repr(again) == repr(run)


def test_the_same_call_again_trains_nothing(smoke, monkeypatch, capsys):
    run, folder = smoke
    monkeypatch.setattr(Training, "begin", None)
    before = (folder / "manifest.json").read_bytes()
    again = gtzan_jax.run_sweep("smoke", data="sample", workdir=folder, retrain_epochs=2)
    assert "48 of 48 epochs are already trained" in capsys.readouterr().out
    pd.testing.assert_frame_equal(again.results, run.results)
    assert (folder / "manifest.json").read_bytes() == before


def test_an_unknown_option_is_a_type_error(tmp_path):
    with pytest.raises(TypeError, match="retrain_epoch"):
        gtzan_jax.run_sweep("smoke", data="sample", workdir=tmp_path / "run", retrain_epoch=2)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"batching": "shapes"}, "batching: unknown value 'shapes' (did you mean 'shape'?)"),
        ({"num_seeds": 0}, "num_seeds must be a whole number from 1"),
        ({"split_seed": 2**32}, "split_seed must be a whole number from 0"),
        ({"overwrite": True}, "--overwrite needs --workdir, the run directory to remove"),
        ({"overrides": ["num_seeds=2"], "num_seeds": 3}, "contradict each other"),
    ],
)
def test_impossible_options_are_refused(tmp_path, monkeypatch, option, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        gtzan_jax.run_sweep("smoke", data="sample", **option)
    assert message in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_sweep_and_a_frame_of_ones_own(tmp_path):
    frame = sample_frame().sample(120, random_state=3).reset_index(drop=True)
    table = parse_table(frame.to_csv(index=False), "my frame")
    sweep = make_sweep()
    run = gtzan_jax.run_sweep(sweep, table, tmp_path / "run", retrain_epochs=1, num_seeds=2)
    assert run.manifest.data.source == run.manifest.data.flag == "my frame"
    assert run.manifest.data.sha256 == table.sha256
    assert run.sweep.to_dict() == sweep.to_dict()
    assert list(run.results["num_seeds"].unique()) == [2]
    assert not run.is_sample
    assert len(run.best.predict(frame)) == 120
    with pytest.raises(InputError, match="overrides apply to sweep files only"):
        gtzan_jax.run_sweep(sweep, table, tmp_path / "run", overrides=["epochs=3"])


def test_what_fails_says_how_to_go_on(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", "somewhere")

    with monkeypatch.context() as patch:
        patch.setattr(sweeping, "_ranked", fail)
        with pytest.raises(RunError) as error:
            gtzan_jax.run_sweep(make_sweep(), make_table(), tmp_path / "run", retrain_epochs=0)
    folder = str(tmp_path / "run")
    assert f"run_sweep with the same arguments and workdir={folder!r}" in str(error.value)
    run = gtzan_jax.run_sweep(make_sweep(), make_table(), tmp_path / "run", retrain_epochs=0)
    assert run.manifest.status == "finished"
    assert len(run.manifest.sessions) == 1


def toml(document):
    """Writes a document as TOML, whose numbers, texts and lists are spelt as JSON's."""
    tables = {key: value for key, value in document.items() if isinstance(value, dict)}
    lines = [f"{k} = {json.dumps(v)}" for k, v in document.items() if k not in tables]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines)


def sweep_of(folder, *flags, **changes):
    """Runs the command on a tiny sweep; returns the run directory and what was printed."""
    (folder / "tiny.toml").write_text(toml(make_document(**changes)))
    done = command_here("sweep", *TINY, *flags, "--workdir=run", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run", done


PROTOCOLS = {
    "holdout": (["--protocol=holdout"], 1),
    "kfold": (["--protocol=kfold", "--num_folds=3"], 3),
}


@pytest.fixture(scope="module", params=["holdout", slow("kfold")])
def divided(request, tmp_path_factory):
    """A run of the command with another protocol: its name, folds, folder and process."""
    flags, num_folds = PROTOCOLS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    more = ["--split_seed=3", "--num_seeds=2", "--retrain_epochs=2"]
    return request.param, num_folds, *sweep_of(folder, *flags, *more)


def test_configs_are_ranked_by_the_validation_part(divided):
    _, num_folds, run, done = divided
    results = pd.read_csv(run / "results.csv")
    figures = [name for name in results.columns if name not in make_sweep().axes]
    assert figures == [
        "rank", "validation_accuracy", "validation_loss", "test_accuracy", "test_loss",
        "train_accuracy", "train_loss", "validation_accuracy_std", "test_accuracy_std",
        "num_seeds", "num_folds", "indistinguishable_from_best", "diverged", "config_id", "data",
    ]  # fmt: skip
    assert (results["num_folds"] == num_folds).all()
    assert (results["num_seeds"] == 2).all()
    ranked = results.sort_values(
        ["validation_accuracy", "validation_loss"], ascending=[False, True], kind="stable"
    )
    assert list(ranked["rank"]) == list(range(1, 13))
    assert f"{results['validation_accuracy'][0]:.4f}" in done.stdout
    assert f"{results['test_accuracy'][0]:.4f}" in done.stdout


def test_the_set_of_the_indistinguishable_is_built_on_the_validation_part(divided):
    run = gtzan_jax.read_run(divided[2])
    validation = load_predictions(run.run.predictions_path, "validation")
    places = run.results["config_id"].map(run.sweep.places)
    found = compare_with_best(validation.correct[places], validation.group)
    assert (run.results[INDISTINGUISHABLE] == found.indistinguishable).all()
    assert run.manifest.detectable == pytest.approx(found.detectable)
    assert (run.compared_on, run.num_compared_on) == ("validation", len(set(validation.row)))
    by_fold = [validation.correct[:, :, validation.fold == n].mean(axis=2) for n in set(
        validation.fold)]  # fmt: skip
    means = np.mean(by_fold, axis=(0, 2))[places]
    np.testing.assert_allclose(run.results["validation_accuracy"], means, atol=1e-6)


def test_the_results_are_the_means_of_the_history(divided):
    _, num_folds, run, _ = divided
    results = pd.read_csv(run / "results.csv").set_index("config_id")
    history = pd.read_csv(run / "history.csv")
    assert list(history.columns[:4]) == ["config_id", "fold", "seed", "epoch"]
    assert sorted(history["fold"].unique()) == list(range(num_folds))
    assert sorted(history["seed"].unique()) == [0, 1]
    assert len(history) == 12 * num_folds * 2 * 2
    last = history[history["epoch"] == 2].groupby("config_id")
    for metric in ("validation_accuracy", "test_accuracy", "train_loss"):
        np.testing.assert_allclose(
            last[metric].mean().loc[results.index], results[metric], atol=1e-6
        )
    for metric in ("validation_accuracy", "test_accuracy"):
        np.testing.assert_allclose(
            last[metric].std().loc[results.index], results[f"{metric}_std"], atol=1e-6
        )


def test_the_manifest_has_the_folds(divided):
    protocol, num_folds, run, _ = divided
    manifest = RunDir(run).read_manifest()
    assert (manifest.sweep["protocol"], manifest.split.seed) == (protocol, 3)
    expected = make_splits(gtzan_jax.load_table("sample"), protocol, 3, num_folds).folds
    found = [(fold.train, fold.validation, fold.test) for fold in manifest.split.folds]
    assert found == [(len(f.train), len(f.validation), len(f.test)) for f in expected]
    assert len(found) == num_folds
    assert sum(fold.test for fold in manifest.split.folds) == (1000 if num_folds > 1 else 200)


def test_the_best_model_is_scored_on_its_folds_test_part(divided):
    protocol, num_folds, run, _ = divided
    found, table = gtzan_jax.read_run(run), gtzan_jax.load_table("sample")
    first = found.retrained.query("fold == 0 and seed == 0")
    last = first.iloc[-1]
    fold = make_splits(table, protocol, 3, num_folds).folds[0]
    right = found.best.predict(table) == np.array(table.genres)[table.y]
    assert right[fold.test].mean() == pytest.approx(last["test_accuracy"], abs=1e-6)
    assert right[fold.validation].mean() == pytest.approx(last["validation_accuracy"], abs=1e-6)
    swept = found.history.query("fold == 0 and seed == 0")
    swept = swept[swept["config_id"] == found.results["config_id"][0]]
    first = first.drop(columns="kept")
    np.testing.assert_allclose(swept.iloc[:, 3:], first.iloc[:, 2:], rtol=1e-4)


def test_the_report_and_the_overview_know_the_protocol(divided):
    protocol, _, run, _ = divided
    page = gtzan_jax.read_run(run).report().read_text()
    assert protocol in page
    overview = b"".join(path.read_bytes() for path in (run / "overview").rglob("events*"))
    assert b"validation_accuracy" in overview


LAYERS = {
    1: {"num_units2": None, "num_units3": None, "dropout2": None, "dropout3": None},
    2: {"num_units3": None, "dropout3": None},
    4: {"num_units4": [4, 5]},
}


@pytest.fixture(scope="module", params=[slow(1), slow(2), 4])
def layered(request, tmp_path_factory):
    """A run with other layers, and two axes more: the number of layers, and the run."""
    axes = {
        **LAYERS[request.param],
        "activation": ["relu"],
        "optimizer": ["adam", "sgd"],
        "learning_rate": [0.001, 0.003],
        "batch_size": [32, 50],
    }
    folder = tmp_path_factory.mktemp(f"layers{request.param}")
    constants = {"learning_rates": None, "batch_size": None}
    run, _ = sweep_of(folder, "--retrain_epochs=2", axes=axes, **constants)
    return request.param, gtzan_jax.read_run(run)


def test_other_axes_are_in_the_results(layered):
    layers, run = layered
    sweep = run.sweep
    assert [name for name in sweep.axes if name.startswith("num_units")] == [
        f"num_units{layer}" for layer in range(1, layers + 1)
    ]
    assert list(run.results.columns[1 : 1 + len(sweep.axes)]) == list(sweep.axes)
    assert set(run.results["learning_rate"]) == {0.001, 0.003}
    assert set(run.results["batch_size"]) == {32, 50}
    assert len(run.results) == sweep.num_configs == 16 * (2 if layers == 4 else 1)
    assert not run.results["diverged"].any()
    assert "batch_size" not in run.manifest.sweep


def test_the_best_of_other_layers_predicts_as_reported(layered):
    layers, run = layered
    assert len(run.best.config.units) == layers
    table = gtzan_jax.load_table("sample")
    right = run.best.predict(table) == np.array(table.genres)[table.y]
    test = make_splits(table, "assignment", 0, 1).folds[0].test
    first = run.retrained.query("seed == 0")
    assert right[test].mean() == pytest.approx(first["test_accuracy"].iloc[-1], abs=1e-6)


def test_the_report_on_other_axes_has_them_and_no_claims(layered):
    _, run = layered
    done = command_here("report", "run", folder=run.run.path.parent)
    assert done.returncode == 0, done.stderr
    text = words_of((run.run.path / "report.html").read_text())
    assert "learning_rate" in text
    assert "batch_size" in text
    assert "claims" not in text


def test_tensorboard_has_the_axes_of_the_sweep(layered):
    _, run = layered
    folder, sweep = run.run.tensorboard, run.sweep
    assert len(list(folder.rglob("events*"))) == sweep.num_configs
    with served(folder) as address:
        groups = ask_for_groups(address, sweep.num_configs, list(sweep.axes), run.protocol.metrics)
    assert all(len(group["metricValues"]) == len(run.protocol.metrics) for group in groups)
    found = [tuple(group["hparams"][axis] for axis in sweep.axes) for group in groups]
    assert sorted(found) == sorted(tuple(config.values()) for config in sweep.configs)


IMPORTS = """
import importlib, sys
sys.path.insert(0, {root!r})
for module in {modules!r}:
    importlib.import_module("gtzan_jax." + module)
    slow = ("jax", "flax", "optax", "scipy", "librosa", "numba", "soundfile")
    if found := [name for name in slow if name in sys.modules]:
        sys.exit(f"{{module}}: {{found}}")
"""

COMMANDS = ["report", "compare", "eda", "sweep", "retrain", "baselines", "extract", "predict"]


def test_commands_are_imported_without_what_takes_long():
    modules = [*COMMANDS, "jobs.sweeping", "jobs.extracting"]
    code = IMPORTS.format(root=str(ROOT), modules=modules)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def imported_by(folder, *arguments):
    """The modules that a command imports, and its exit code."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *arguments],
        cwd=folder, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    lines = done.stderr.splitlines()
    return done.returncode, {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize("module", ["sweep", *map(slow, ("report", "compare", "eda", "baselines"))])
def test_help_does_not_wait_for_jax(tmp_path, module):
    code, modules = imported_by(tmp_path, f"gtzan_jax.{module}", "--help")
    assert code == 0
    assert "gtzan_jax.cli" in modules
    assert not modules & {"jax", "flax", "optax", "pandas", "sklearn", "matplotlib"}


@pytest.mark.slow
def test_reports_comparisons_and_looks_work_without_jax(smoke, tmp_path):
    for name in ("one", "other"):
        shutil.copytree(smoke[1], tmp_path / name)
    for arguments in (
        ["gtzan_jax.report", "one"],
        ["gtzan_jax.compare", "one", "other"],
        ["gtzan_jax.eda", "--data=sample", "--workdir=eda"],
    ):
        code, modules = imported_by(tmp_path, *arguments)
        assert code == 0
        assert "gtzan_jax.cli" in modules
        assert not modules & {"jax", "flax", "optax"}


@pytest.mark.slow
def test_trials_that_stop_early_count_at_their_best_epoch_everywhere(tmp_path):
    """In results.csv, trials.csv, TensorBoard, the report, best/ and the model."""
    axes = {"num_units1": [12], "activation": ["relu"], "patience": [0, 1, 2]}
    sweep = make_sweep(
        protocol="holdout", epochs=12, axes=axes | {"optimizer": ["adam"]},
        learning_rates={"adam": 0.2},
    )  # fmt: skip
    folder = tmp_path / "run"
    run = gtzan_jax.run_sweep(sweep, make_table(), folder, retrain_epochs=12, num_seeds=2)
    trials = pd.read_csv(folder / "trials.csv")
    best = run.history.merge(
        trials[["config_id", "seed", "best_epoch", "last_epoch"]], on=["config_id", "seed"]
    )
    assert (best.groupby(["config_id", "seed"])["epoch"].max() < 12).any()
    assert (best["epoch"] <= best["last_epoch"]).all()
    best = best[best["epoch"] == best["best_epoch"]]
    means = best.groupby("config_id")[["validation_accuracy", "test_accuracy"]].mean()
    results = run.results.set_index("config_id")
    np.testing.assert_allclose(means.loc[results.index], results[list(means)], atol=1e-6)
    epochs = trials.groupby("config_id")[["best_epoch", "last_epoch"]].mean()
    np.testing.assert_allclose(epochs.loc[results.index], results[list(epochs)])
    assert results.set_index("patience").loc[0, "last_epoch"] == 12
    events = [f for f in (folder / "tensorboard").rglob("events*") if "seed" in f.parent.name]
    steps = [max(scalar.step for scalar in scalars_of(file.parent)) for file in events]
    assert sorted(steps) == sorted(trials["last_epoch"])
    kept = run.retrained[run.retrained["kept"]]
    assert len(kept) == 10
    table = make_table()
    fold = make_splits(table, "holdout", 0, 5).folds[0]
    right = run.best.predict(table)[fold.test] == np.array(table.genres)[table.y[fold.test]]
    assert right.mean() == pytest.approx(kept.query("seed == 0")["test_accuracy"].item(), abs=1e-6)
    assert run.report().stat().st_size > 10_000


def scalars_of(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events.Scalars("metrics/test_accuracy")


def test_patience_needs_a_validation_part(tmp_path):
    with pytest.raises(InputError, match="the protocol assignment has none; take one of holdout"):
        make_sweep(axes={"patience": [5]})
    sweep = make_sweep(protocol="holdout", axes={"patience": [1]})
    folder = write_run(tmp_path / "run", sweep, random_history(sweep))
    with pytest.raises(InputError, match="the protocol assignment has none"):
        retrain_run(RetrainOptions(str(folder), protocol="assignment"))


def test_a_run_that_is_refused_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"the run needs [\d,]+ MB, and only"):
        gtzan_jax.run_sweep(
            "smoke", "sample", overrides=["epochs=100000"], num_seeds=100_000, workers=1
        )
    assert not list(tmp_path.glob("runs/*"))
