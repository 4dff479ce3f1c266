"""The main job, as users run it: in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gtzan_jax import load_model, load_table, random_split
from gtzan_jax.rundir import RunDir
from gtzan_jax.sample import sample_frame

SMOKE = ["--sweep=smoke", "--data=sample", "--retrain_epochs=3", "--platform=cpu"]


def command(module, *flags, folder):
    """Runs a command of the project in a folder; returns what the process did."""
    return subprocess.run(
        [sys.executable, "-m", f"gtzan_jax.{module}", *flags],
        cwd=folder, capture_output=True, text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))},
    )  # fmt: skip


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A finished run of the smoke sweep with two seeds, and the process that made it."""
    folder = tmp_path_factory.mktemp("smoke")
    done = command("sweep", *SMOKE, "--num_seeds=2", "--seed=3", "--workdir=run", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run", done


def test_the_run_directory_is_complete(smoke):
    run, _ = smoke
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock", "best", "chunks", "history.csv", "manifest.json", "overview", "results.csv",
        "tensorboard",
    ]  # fmt: skip
    assert sorted(path.name for path in (run / "best").iterdir()) == [
        "accuracy.png", "confusion_matrix.png", "history.csv", "loss.png",
        "model.json", "model.safetensors", "scores.csv",
    ]  # fmt: skip
    assert len(pd.read_csv(run / "results.csv")) == 24
    assert len(pd.read_csv(run / "history.csv")) == 24 * 2 * 2
    assert len(pd.read_csv(run / "best" / "history.csv")) == 3
    events = list((run / "tensorboard").rglob("events*"))
    assert len(events) == 24 * 2 + 1


def test_the_manifest_says_what_was_run(smoke):
    manifest = json.loads((smoke[0] / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["sweep"]["epochs"] == 2
    assert manifest["seeds"] == [3, 4]
    assert manifest["data"]["source"] == "sample"
    assert manifest["data"]["sha256"] == load_table("sample").sha256
    assert (manifest["split"]["train"], manifest["split"]["test"]) == (700, 300)
    assert manifest["split"]["seed"] == 3
    assert "same 30 %" in manifest["split"]["note"]
    assert manifest["matmul_precision"] == "float32"
    assert manifest["programs_compiled"] == 1  # for both shapes and the retraining
    assert manifest["retraining"]["epochs"] == 3
    assert manifest["peak_rss_bytes"] > 10**8
    [session] = manifest["sessions"]
    assert session["platform"] == "cpu"
    assert session["members_before"] == 0
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
    assert len(lines) < 20


def test_the_sample_is_named_everywhere(smoke):
    run, done = smoke
    assert "sample" in done.stdout
    assert "sample" in (run / "manifest.json").read_text()
    assert (pd.read_csv(run / "results.csv")["data"] == "sample").all()
    assert json.loads((run / "best" / "model.json").read_text())["data"] == "sample"
    overview = b"".join(path.read_bytes() for path in (run / "overview").glob("events*"))
    assert b"SYNTHETIC sample" in overview


def test_a_falling_back_is_told_at_start_and_end(tmp_path):
    # No table in the folder or the cache, and a proxy that refuses: as without a network.
    (tmp_path / "cache").mkdir()
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HTTPS_PROXY": "http://127.0.0.1:9"}
    code = (
        "import sys; from gtzan_jax import features, resources\n"
        "features.PACKAGE = resources.PACKAGE / 'nowhere' / 'else'\n"
        "import runpy; runpy.run_module('gtzan_jax.sweep', run_name='__main__', alter_sys=True)"
    )
    flags = ["--sweep=smoke", "--retrain_epochs=0", "--set=epochs=1", "--workdir=run"]
    done = subprocess.run(
        [sys.executable, "-c", code, *flags],
        cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("synthetic sample stands in for the real feature table") == 2
    assert "best" not in [path.name for path in (tmp_path / "run").iterdir()]


def test_the_model_predicts_as_reported(smoke):
    run, _ = smoke
    model, table = load_model(run), load_table("sample")
    test = random_split(table, 3).test
    right = model.predict(table)[test] == np.array(table.genres)[table.y[test]]
    last = pd.read_csv(run / "best" / "history.csv").iloc[-1]
    assert right.mean() == pytest.approx(last.test_accuracy, abs=1e-6)
    scores = pd.read_csv(run / "best" / "scores.csv")
    assert list(scores.columns) == ["genre", "precision", "recall", "f1", "tracks"]
    assert (scores.recall * scores.tracks).sum() == pytest.approx(right.sum())


def test_the_retraining_goes_on_where_the_sweep_stopped(smoke):
    run, _ = smoke
    best = pd.read_csv(run / "results.csv").iloc[0]
    history = pd.read_csv(run / "history.csv").query("seed == 3")
    swept = history[history.config_id == best.config_id].iloc[:, 2:]
    retrained = pd.read_csv(run / "best" / "history.csv")
    np.testing.assert_allclose(retrained[:2], swept, rtol=1e-4)


def test_another_config_can_be_retrained(smoke):
    run, _ = smoke
    flags = [f"--workdir={run}", "--rank=2", "--retrain_epochs=4", "--platform=cpu"]
    done = command("retrain", *flags, folder=run.parent)
    assert done.returncode == 0, done.stderr
    second = pd.read_csv(run / "results.csv").iloc[1]
    assert load_model(run).config.optimizer == second.optimizer
    assert len(pd.read_csv(run / "best" / "history.csv")) == 4
    manifest = RunDir(run).read_manifest()
    assert (manifest.retraining.epochs, manifest.retraining.config_id) == (4, second.config_id)
    assert manifest.retraining.matmul_precision == "float32"  # the sweep's
    assert [session.members_before for session in manifest.sessions] == [0, 48]
    assert "gtzan_jax.retrain" in manifest.sessions[1].command


def test_a_split_that_lacks_a_genre_leaves_nothing(tmp_path):
    # Of a genre with two tracks, some seeds put both into the test part.
    frame = sample_frame().groupby("label").head(20)
    rare = frame[frame.label == "blues"].index[2:]
    frame.drop(index=rare).to_csv(tmp_path / "table.csv", index=False)
    table = load_table(tmp_path / "table.csv")
    seed = next(s for s in range(99) if 0 not in table.y[random_split(table, s).train])
    flags = ["--data=table.csv", f"--seed={seed}", "--sweep=smoke", "--platform=cpu"]
    done = command("sweep", *flags, folder=tmp_path)
    assert done.returncode == 2
    assert "no track of blues is in the train part" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize(
    ("module", "flags", "message"),
    [
        ("sweep", ["--platform=gpu"], "JAX finds no GPU here, only cpu"),
        ("sweep", ["--platform=abacus"], "should be one of <auto|cpu|gpu|tpu>"),
        ("sweep", ["--swep=smoke"], "Did you mean: sweep"),
        ("sweep", ["--sweep=smok"], "did you mean 'smoke'?"),
        ("sweep", ["smoke"], "unexpected argument 'smoke'"),
        ("sweep", ["--data=nowhere.csv"], "nowhere.csv"),
        ("sweep", ["--num_seeds=0"], "num_seeds"),
        ("sweep", ["--set=batch_size=900"], "larger than the train part, 700 of 1000 tracks"),
        ("sweep", ["--set=epoch=3"], "sweeps/assignment.toml with --set: unknown key 'epoch'"),
        ("retrain", ["--workdir=nowhere"], "not a run directory"),
        ("retrain", [], "--workdir"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(tmp_path, module, flags, message):
    if module == "sweep" and not any(flag.startswith("--data") for flag in flags):
        flags = ["--data=sample", *flags]
    done = command(module, *flags, folder=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not list(tmp_path.iterdir())


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
    assert len(retrained) == 50
    if data == "real":
        assert 0.71 <= retrained.test_accuracy.max() <= 0.77
