"""The main job, as users run it: in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import command, command_here
from conftest import ROOT, this_process
from csv_edits import sample_frame

from gtzan_jax import load_model, load_table, make_splits
from gtzan_jax.jobs import retraining
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.tables.splits import random_split

SMOKE = ["--sweep=smoke", "--data=sample", "--retrain_epochs=3", "--platform=cpu"]
SEEDS = ["--workers=1", "--num_seeds=2", "--seed=3", "--split_seed=7"]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A finished run of the smoke sweep with two seeds, and the process that made it."""
    folder = tmp_path_factory.mktemp("smoke")
    done = command("sweep", *SMOKE, *SEEDS, "--workdir=run", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run", done


def test_the_run_directory_is_complete(smoke):
    run, _ = smoke
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock", "best", "checkpoints", "history.csv", "manifest.json", "overview",
        "predictions.safetensors", "results.csv", "tensorboard", "trials.csv",
    ]  # fmt: skip
    assert sorted(path.name for path in (run / "best").iterdir()) == [
        "accuracy.png", "calibration.csv", "confusion.csv", "confusion_matrix.png",
        "history.csv", "loss.png", "model.safetensors", "reliability.png", "scores.csv",
        "songs.csv",
    ]  # fmt: skip
    assert len(pd.read_csv(run / "results.csv")) == 24
    assert len(pd.read_csv(run / "history.csv")) == 24 * 2 * 2
    assert len(pd.read_csv(run / "trials.csv")) == 24 * 2
    assert len(pd.read_csv(run / "best" / "history.csv")) == 10 * 3
    events = list((run / "tensorboard").rglob("events*"))
    assert len(events) == 24 * 2


def test_the_manifest_says_what_was_run(smoke):
    manifest = json.loads((smoke[0] / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["sweep"]["epochs"] == 2
    assert manifest["seeds"] == [3, 4]
    assert manifest["data"]["source"] == "sample"
    assert manifest["data"]["sha256"] == load_table("sample").sha256
    assert manifest["split"] == {
        "seed": 7,
        "folds": [{"train": 700, "validation": 0, "test": 300}],
    }
    assert (manifest["format"], manifest["sweep"]["protocol"]) == (9, "assignment")
    assert manifest["matmul_precision"] == "float32"
    assert manifest["programs_compiled"] == 1  # for both shapes
    best = pd.read_csv(smoke[0] / "results.csv").iloc[0]
    assert manifest["retraining"] == {
        "epochs": 3,
        "config_id": best.config_id,
        "protocol": "assignment",
        "num_folds": 1,
        "seeds": list(range(3, 13)),
        "matmul_precision": "float32",
    }
    assert manifest["peak_rss_bytes"] > 10**8
    [session] = manifest["sessions"]
    assert session["platform"] == "cpu"
    assert session["devices"]
    assert session["trials_before"] == 0
    assert "--num_seeds=2" in session["command"]
    seconds = manifest["timings_s"]
    parts = ["import", "load", "compile", "train", "write", "retrain"]
    assert list(seconds) == [*parts, "total"]
    assert seconds["total"] == pytest.approx(sum(seconds[part] for part in parts))
    assert min(seconds.values()) >= 0


def test_the_end_says_what_was_found_and_where(smoke):
    run, done = smoke
    lines = done.stdout.splitlines()
    best = pd.read_csv(run / "results.csv").iloc[0]
    assert any(f"{best.test_accuracy:.4f}" in line for line in lines)
    for part in ("results.csv", "tensorboard", "overview", "best"):
        assert any(str(Path("run") / part) in line for line in lines)
    assert max(map(len, lines)) <= 80
    for command_ in ("report run", "predict run SONG"):
        assert sum(f"  python -m gtzan_jax.{command_}   #" in line for line in lines) == 1
    assert "each accuracy is the mean over 2 seeds" in lines
    assert "  ±: standard deviation over 10 seeds" in lines
    assert "the best was chosen on the test part, so its accuracy there is optimistic" in lines
    tied = pd.read_csv(run / "results.csv").query("indistinguishable_from_best").test_accuracy
    assert len(tied) > 1
    said = f"{len(tied)} of 24 configurations are statistically indistinguishable from the best"
    assert (
        f"{said} on the test part (test accuracies {tied.min():.4f} to {tied.max():.4f})"
        in " ".join(done.stdout.split())
    )
    assert len(lines) < 30


def test_the_sample_is_named_everywhere(smoke):
    run, done = smoke
    assert "sample" in done.stdout
    assert "sample" in (run / "manifest.json").read_text()
    assert (pd.read_csv(run / "results.csv")["data"] == "sample").all()
    assert load_model(run).data == "sample"
    overview = b"".join(path.read_bytes() for path in (run / "overview").rglob("events*"))
    assert b"SYNTHETIC sample" in overview


@pytest.mark.slow
def test_a_falling_back_is_told_once_and_beside_the_figures(tmp_path):
    # No table in the folder or the cache, and a proxy that refuses: as without a network.
    (tmp_path / "cache").mkdir()
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HTTPS_PROXY": "http://127.0.0.1:9"}
    environment["PYTHONPATH"] = str(ROOT)
    code = (
        "import sys; from gtzan_jax import resources; from gtzan_jax.tables import sources\n"
        "sources.PACKAGE = resources.PACKAGE / 'nowhere' / 'else'\n"
        "import runpy; runpy.run_module('gtzan_jax.sweep', run_name='__main__', alter_sys=True)"
    )
    flags = ["--sweep=smoke", "--retrain_epochs=0", "--set=epochs=1", "--workdir=run"]
    done = subprocess.run(
        [sys.executable, "-c", code, *flags],
        cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("synthetic sample replaces the real feature table") == 1
    assert "these figures are from the SYNTHETIC sample" in done.stdout
    assert "best" not in [path.name for path in (tmp_path / "run").iterdir()]


def test_the_model_predicts_as_reported(smoke):
    run, _ = smoke
    model, table = load_model(run), load_table("sample")
    test = random_split(1000, 7).test
    right = model.predict(table)[test] == np.array(table.genres)[table.y[test]]
    history = pd.read_csv(run / "best" / "history.csv")
    last = history[history.epoch == history.epoch.max()].test_accuracy
    # The model is the first seed's; the scores are of all ten networks.
    assert right.mean() == pytest.approx(last.iloc[0], abs=1e-6)
    scores = pd.read_csv(run / "best" / "scores.csv")
    assert list(scores.columns) == ["genre", "precision", "recall", "f1", "tracks"]
    assert scores.tracks.sum() == 10 * 300
    assert (scores.recall * scores.tracks).sum() == pytest.approx(300 * last.sum())


def test_the_retraining_goes_on_where_the_sweep_stopped(smoke):
    run, _ = smoke
    best = pd.read_csv(run / "results.csv").iloc[0]
    retrained = pd.read_csv(run / "best" / "history.csv")
    assert (retrained.pop("kept") == (retrained.epoch == retrained.epoch.max())).all()
    assert retrained.seed.unique().tolist() == list(range(3, 13))
    history = pd.read_csv(run / "history.csv")
    swept = history[history.config_id == best.config_id].drop(columns="config_id")
    assert list(retrained.columns) == list(swept.columns)
    for seed in (3, 4):  # those of the sweep
        begun = retrained[(retrained.seed == seed) & (retrained.epoch <= 2)]
        np.testing.assert_allclose(begun, swept[swept.seed == seed], rtol=1e-4)


def test_another_config_can_be_retrained(smoke, monkeypatch):
    run, _ = smoke
    monkeypatch.setattr(retraining, "open_backend", this_process)
    flags = [f"--workdir={run}", "--rank=2", "--retrain_epochs=4", "--platform=cpu"]
    done = command_here("retrain", *flags, folder=run.parent)
    assert done.returncode == 0, done.stderr
    first, second = (row for _, row in pd.read_csv(run / "results.csv").head(2).iterrows())
    assert load_model(run).config.id == first.config_id
    folder = run / "retrained" / "rank2-4epochs"
    assert load_model(folder).config.id == second.config_id
    assert f"python -m gtzan_jax.predict {folder} SONG" in done.stdout
    assert len(pd.read_csv(folder / "history.csv")) == 10 * 4
    manifest = RunDir(run).read_manifest()
    [made] = manifest.retrainings.values()
    assert (made.epochs, made.config_id) == (4, second.config_id)
    assert made.matmul_precision == "float32"  # the sweep's
    assert [session.trials_before for session in manifest.sessions] == [0, 48]
    assert "gtzan_jax.retrain" in manifest.sessions[1].command


@pytest.mark.slow
def test_a_config_can_be_retrained_under_another_protocol(smoke):
    run, _ = smoke
    flags = [f"--workdir={run}", "--protocol=kfold", "--num_folds=3", "--retrain_seeds=2"]
    done = command("retrain", *flags, "--retrain_epochs=2", "--platform=cpu", folder=run.parent)
    assert done.returncode == 0, done.stderr
    assert "retrained 6 times for 2 epochs: test accuracy 0." in done.stdout
    assert "\n  at the epochs that are best on the validation part: 0." in done.stdout
    assert max(map(len, done.stdout.splitlines()[:2])) <= 80
    folder = run / "retrained" / "rank1-kfold-3folds-2epochs-2seeds"
    history = pd.read_csv(folder / "history.csv")
    assert len(history.groupby(["fold", "seed"])) == 6
    retraining = RunDir(run).read_manifest().retrainings[folder.name]
    assert (retraining.protocol, retraining.num_folds) == ("kfold", 3)
    scores = pd.read_csv(folder / "scores.csv")
    assert scores.tracks.sum() == 2 * 1000  # each track once a seed
    fold = make_splits(load_table("sample"), "kfold", 7, 3).folds[0]
    table = load_table("sample")
    right = load_model(folder).predict(table) == np.array(table.genres)[table.y]
    last = history.query("fold == 0 and epoch == 2").iloc[0]
    assert right[fold.test].mean() == pytest.approx(last.test_accuracy, abs=1e-6)


@pytest.mark.slow
def test_a_genre_that_cannot_be_learnt_is_told_of(tmp_path):
    # Of a genre with two tracks, some split seeds put both into the test part.
    frame = sample_frame().groupby("label").head(20)
    rare = frame[frame.label == "blues"].index[2:]
    frame.drop(index=rare).to_csv(tmp_path / "table.csv", index=False)
    table = load_table(tmp_path / "table.csv")
    blues = [row for row, genre in enumerate(table.y) if table.genres[genre] == "blues"]
    seed = next(
        seed
        for seed in range(99)
        if not set(blues) & set(make_splits(table, "assignment", seed, 1).folds[0].train)
    )
    flags = ["--data=table.csv", f"--split_seed={seed}", "--sweep=smoke", "--retrain_epochs=0"]
    done = command("sweep", *flags, "--platform=cpu", "--workdir=run", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "warning: no track of blues is in the train part of fold 0" in done.stderr
    assert RunDir(tmp_path / "run").read_manifest().status == "finished"


@pytest.mark.slow
@pytest.mark.parametrize(("data", "low", "high"), [("real", 0.67, 0.75), ("sample", 0.6, 0.9)])
def test_the_assignment(tmp_path, request, data, low, high):
    """All 768 networks; the bounds are those of independent implementations."""
    path = request.getfixturevalue("real_table_path") if data == "real" else "sample"
    done = command("sweep", f"--data={path}", "--platform=cpu", "--workdir=run", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    results = pd.read_csv(tmp_path / "run" / "results.csv")
    assert len(results) == 768
    assert low <= results.test_accuracy.max() <= high
    assert "sgd" not in set(results.optimizer[:100])
    retrained = pd.read_csv(tmp_path / "run" / "best" / "history.csv")
    last = retrained[retrained.epoch == 50].test_accuracy
    assert len(last) == 10
    if data == "real":
        assert 0.70 <= last.mean() <= 0.76
