import re
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep
from csv_edits import sample_frame
from finished_runs import edit_manifest, flip, random_history, write_networks, write_run
from safetensors.numpy import save_file

from gtzan_jax.errors import InputError
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.directory import TABLES, RunDir
from gtzan_jax.rundir.finished import read_finished, table_of
from gtzan_jax.rundir.manifest import Retraining
from gtzan_jax.tables import kaggle, sources
from gtzan_jax.tables.sample import sample_text
from gtzan_jax.tables.schema import FILE_NAME
from gtzan_jax.tables.sources import load_table

SWEEP = make_sweep()
IDS = [config.id for config in SWEEP.configs]
RETRAINING = Retraining(
    epochs=1, config_id=IDS[0], protocol="assignment", num_folds=1, seeds=[0],
    matmul_precision="float32",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run", SWEEP, random_history(SWEEP, 2))


@pytest.mark.parametrize(
    ("protocol", "num_folds", "note"),
    [
        ("assignment", 1, "random 70:30 split, split seed 0"),
        ("holdout", 1, "stratified 60:20:20 split, split seed 0"),
        ("kfold", 3, "3 stratified folds, split seed 0"),
    ],
)
def test_what_was_written_is_read(tmp_path, protocol, num_folds, note):
    sweep = make_sweep(protocol=protocol, num_folds=3)
    history = random_history(sweep, 2)
    run = read_finished(write_run(tmp_path / "run", sweep, history))
    accuracy = history.by_config(history.figures)[:, :, -1, METRICS.index("test_accuracy")]
    assert accuracy.shape == (12, 2 * num_folds)
    np.testing.assert_allclose(run.accuracy, accuracy, rtol=1e-6)
    assert run.sweep.to_dict() == sweep.to_dict()
    assert run.name == "run"
    assert run.is_sample
    assert run.note == load_table("sample").note(note)
    assert note in run.note
    assert run.protocol.name == protocol
    assert run.retrained is None
    assert run.scores is None
    ids = run.results["config_id"].to_list()
    assert [run.config(rank).id for rank in range(1, 13)] == ids
    assert run.config().id == ids[0]
    assert len(run.history) == 12 * 2 * num_folds * 2
    assert list(run.history)[:4] == ["config_id", "fold", "seed", "epoch"]
    correct = run.predictions.correct
    assert correct.shape == (12, 2, sum(fold.test for fold in run.manifest.split.folds))
    # Each fold's accuracies are those of its stretch of the tested rows, nearly: see write_run.
    for fold in range(num_folds):
        share = correct[:, :, run.predictions.fold == fold].mean(axis=2)
        np.testing.assert_allclose(share, accuracy.reshape(12, num_folds, 2)[:, fold], atol=0.01)
    trials = pd.read_csv(run.run.trials_path)
    assert len(trials) == 12 * 2 * num_folds
    np.testing.assert_allclose(trials["test_accuracy"], accuracy.ravel(), rtol=1e-6)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: save_file({"row": np.zeros(3, np.int32)}, path),
    ],
)
def test_predictions_that_cannot_be_used_are_told(folder, damage):
    run = read_finished(folder)
    damage(folder / "predictions.safetensors")
    with pytest.raises(InputError, match=r"predictions\.safetensors cannot be used"):
        run.predictions  # noqa: B018


def test_a_reference_is_read_where_the_manifest_has_it(folder):
    run = RunDir(folder)
    write_networks(run.reference, "assignment", test_accuracy=np.array([[0.1, 0.2], [0.3, 0.4]]))
    assert read_finished(folder).reference is None
    run.record(run.read_manifest(), "reference")
    frame = read_finished(folder).reference
    assert frame["test_accuracy"].to_list() == [0.1, 0.2, 0.3, 0.4]
    flip(folder / "reference" / "history.csv")
    with pytest.raises(InputError, match=r"reference/history\.csv is missing or damaged"):
        read_finished(folder)


def test_diverged_configs_have_no_accuracy(tmp_path):
    history = random_history(SWEEP, 2)
    history.by_config(history.figures)[3, 1, 0, 0] = np.inf
    run = read_finished(write_run(tmp_path / "run", SWEEP, history))
    assert np.isnan(run.accuracy[3]).all()
    assert np.isfinite(np.delete(run.accuracy, 3, axis=0)).all()


def drop_column(path, column):
    pd.read_csv(path).drop(columns=column).to_csv(path, index=False)


def set_cell(path, column, value):
    frame = pd.read_csv(path).astype({column: object})
    frame.loc[len(frame) - 1, column] = value
    frame.to_csv(path, index=False)


def add_fold(manifest):
    manifest["split"]["folds"] *= 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), "it has no manifest.json"),
        (lambda f: (f / "manifest.json").write_text("[1]"), "checksum is wrong"),
        (lambda f: edit_manifest(f, lambda m: m.update(status="running")), "did not finish"),
        (lambda f: edit_manifest(f, lambda m: m.pop("sweep")), "required field `sweep`"),
        (lambda f: edit_manifest(f, lambda m: m["sweep"].pop("name")), "$.sweep.name"),
        (lambda f: edit_manifest(f, lambda m: m["data"].pop("sha256")), "at `$.data`"),
        (lambda f: edit_manifest(f, lambda m: m["sweep"].pop("axes")), "'axes' is missing"),
        (lambda f: edit_manifest(f, lambda m: m.update(seeds=[0, 5])), "cannot be used"),
        (lambda f: edit_manifest(f, add_fold), "cannot be used"),
        (lambda f: drop_column(f / "results.csv", "diverged"), "cannot be used"),
        (lambda f: set_cell(f / "trials.csv", "config_id", IDS[1]), "cannot be used"),
        (lambda f: (f / "trials.csv").write_text("a,b\n1"), "cannot be used"),
        (lambda f: drop_column(f / "trials.csv", "test_accuracy"), "cannot be used"),
        (lambda f: (f / "trials.csv").write_bytes(b"\xff\xfe\x00"), "cannot be used"),
    ],
)
def test_what_is_no_finished_run_is_refused_in_one_line(folder, damage, message):
    damage(folder)
    if message not in ("it has no manifest.json", "checksum is wrong"):
        edit_manifest(folder)  # the checksums of the files as they are now
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read_finished(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [*TABLES, "manifest.json", "best/scores.csv"])
@pytest.mark.parametrize(
    "damage",
    [flip, lambda p: p.write_bytes(b""), lambda p: p.write_bytes(p.read_bytes()[:-9]), Path.unlink],
    ids=["flipped", "emptied", "truncated", "removed"],
)
def test_a_damaged_file_is_named(folder, name, damage):
    (folder / "best").mkdir()
    (folder / "best" / "scores.csv").write_text("genre,precision,recall,f1\nrock,1,1,1\n")
    manifest = RunDir(folder).read_manifest()
    manifest.retraining = RETRAINING
    RunDir(folder).record(manifest, "best")
    read_finished(folder)
    damage(folder / name)
    with pytest.raises(InputError, match=re.escape(name)) as error:
        read_finished(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change", [{"config_id": "c00000000000"}, {"protocol": "nothing"}], ids=["config", "protocol"]
)
def test_a_retraining_of_another_sweep_is_refused(folder, change):
    run = RunDir(folder)
    manifest = run.read_manifest()
    (folder / "best").mkdir()
    (folder / "best" / "scores.csv").write_text("genre,precision,recall,f1\nrock,1,1,1\n")
    manifest.retraining = msgspec.structs.replace(RETRAINING, **change)
    run.record(manifest, "best")
    with pytest.raises(InputError, match="a retraining belongs to another sweep"):
        read_finished(folder)


def test_the_sample_is_at_hand(folder):
    table, missing = table_of(read_finished(folder), None)
    assert table.sha256 == load_table("sample").sha256
    assert missing == ""


def test_another_sample_is_not_used(folder):
    edit_manifest(folder, lambda m: m["data"].update(sha256="0" * 64))
    table, missing = table_of(read_finished(folder), None)
    assert table is None
    assert "SHA-256 000000000000…" in missing
    with pytest.raises(InputError, match="the checksums differ"):
        table_of(read_finished(folder), "sample")


@pytest.fixture
def elsewhere(folder, tmp_path, monkeypatch):
    """The run of a table in a file, which its manifest names; a current folder with nothing."""
    monkeypatch.setattr(sources, "PACKAGE", tmp_path / "checkout" / "gtzan_jax")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "mine.csv"
    sample_frame().iloc[::-1].to_csv(path, index=False)
    sha256 = load_table(path).sha256
    data = {"flag": str(path), "source": str(path), "sha256": sha256}
    edit_manifest(folder, lambda m: m["data"].update(data))
    return path


def test_a_path_in_a_manifest_is_not_opened(folder, elsewhere, tmp_path):
    table, missing = table_of(read_finished(folder), None)
    assert table is None
    assert "--data=PATH" in missing
    assert table_of(read_finished(folder), str(elsewhere))[0] is not None
    with pytest.raises(InputError, match="no feature table"):
        table_of(read_finished(folder), str(tmp_path / "nowhere.csv"))


@pytest.mark.parametrize(
    "place", ["here/data", "checkout/data", "cache/gtzan_jax"], ids=["here", "checkout", "cache"]
)
def test_a_table_is_found_where_tables_lie(folder, elsewhere, tmp_path, place):
    there = tmp_path / place / FILE_NAME
    there.parent.mkdir(parents=True)
    shutil.copy(elsewhere, there)
    table, missing = table_of(read_finished(folder), None)
    assert (table.sha256, missing) == (load_table(elsewhere).sha256, "")
    there.write_text(sample_text())  # a table, but not this run's
    assert table_of(read_finished(folder), None)[0] is None


@pytest.mark.usefixtures("elsewhere")
def test_a_table_from_kaggle_is_not_downloaded_unasked(folder, monkeypatch):
    monkeypatch.setattr(kaggle, "download", lambda: pytest.fail("downloads"))
    data = {"flag": "kaggle", "source": "kaggle", "sha256": sources.KAGGLE_SHA256}
    edit_manifest(folder, lambda m: m["data"].update(data))
    table, missing = table_of(read_finished(folder), None)
    assert table is None
    assert "--data=kaggle downloads it" in missing
