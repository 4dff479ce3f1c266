import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep
from finished_runs import edit_manifest, random_history, write_run

from gtzan_jax import features, kaggle
from gtzan_jax.errors import InputError
from gtzan_jax.features import load_table
from gtzan_jax.finished import read_run, table_of
from gtzan_jax.manifest import Retraining
from gtzan_jax.rundir import RunDir
from gtzan_jax.sample import sample_frame, sample_text

SWEEP = make_sweep()


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run", SWEEP, random_history(SWEEP, 2))


def test_what_was_written_is_read(folder):
    run = read_run(folder)
    history = random_history(SWEEP, 2)
    np.testing.assert_allclose(run.accuracy, history[:, :, -1, 3], rtol=1e-6)
    np.testing.assert_allclose(run.mean_accuracy, history[:, :, -1, 3].mean(axis=1), atol=1e-7)
    assert run.sweep == SWEEP
    assert run.name == "run"
    assert run.is_sample
    assert run.note == load_table("sample").note(0)
    assert run.retrained is None
    assert run.scores is None


def test_diverged_configs_have_no_accuracy(tmp_path):
    history = random_history(SWEEP, 2)
    history[3, 1, 0, 0] = np.inf
    run = read_run(write_run(tmp_path / "run", SWEEP, history))
    assert np.isnan(run.accuracy[3]).all()
    assert np.isfinite(np.delete(run.accuracy, 3, axis=0)).all()


def drop_column(path, column):
    pd.read_csv(path).drop(columns=column).to_csv(path, index=False)


def drop_row(path):
    pd.read_csv(path).iloc[1:].to_csv(path, index=False)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), "no readable manifest.json"),
        (lambda f: (f / "manifest.json").write_text("[1]"), "checksum does not fit"),
        (lambda f: edit_manifest(f, lambda m: m.update(status="running")), "did not finish"),
        (lambda f: edit_manifest(f, lambda m: m.pop("sweep")), "required field `sweep`"),
        (lambda f: edit_manifest(f, lambda m: m["sweep"].pop("name")), "$.sweep.name"),
        (lambda f: edit_manifest(f, lambda m: m["data"].pop("sha256")), "at `$.data`"),
        (lambda f: edit_manifest(f, lambda m: m["sweep"].pop("axes")), "'axes' is missing"),
        (lambda f: edit_manifest(f, lambda m: m.update(seeds=[0, 5])), "every config and seed"),
        (lambda f: drop_column(f / "results.csv", "diverged"), "no column diverged"),
        (lambda f: drop_row(f / "results.csv"), "not one row for each of 12 configs"),
        (lambda f: (f / "history.csv").write_text("a,b\n1"), "cannot be used"),
        (lambda f: drop_column(f / "history.csv", "test_accuracy"), "cannot be used"),
        (lambda f: (f / "history.csv").write_bytes(b"\xff\xfe\x00"), "cannot be used"),
    ],
)
def test_what_is_no_finished_run_is_refused_in_one_line(folder, damage, message):
    damage(folder)
    if message not in ("no readable manifest.json", "checksum does not fit"):
        edit_manifest(folder)  # the checksums of the files as they are now
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read_run(folder)
    assert "\n" not in str(error.value)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["results.csv", "history.csv", "manifest.json", "best/scores.csv"])
@pytest.mark.parametrize(
    "damage",
    [flip, lambda p: p.write_bytes(b""), lambda p: p.write_bytes(p.read_bytes()[:-9]), Path.unlink],
    ids=["flipped", "emptied", "truncated", "removed"],
)
def test_a_damaged_file_is_named(folder, name, damage):
    (folder / "best").mkdir()
    (folder / "best" / "scores.csv").write_text("genre,precision,recall,f1\nrock,1,1,1\n")
    manifest = RunDir(folder).read_manifest()
    manifest.retraining = Retraining(epochs=1, config_id=0, matmul_precision="float32")
    RunDir(folder).record(manifest, "best")
    read_run(folder)
    damage(folder / name)
    with pytest.raises(InputError, match=re.escape(name)) as error:
        read_run(folder)
    assert "\n" not in str(error.value)


def test_a_damaged_retraining_is_refused(folder):
    (folder / "best").mkdir()
    (folder / "best" / "history.csv").write_text("epoch,train_loss\n1,2\n")
    with pytest.raises(InputError, match="train_accuracy"):
        read_run(folder)


def test_the_sample_is_at_hand(folder):
    table, missing = table_of(read_run(folder), None)
    assert table.sha256 == load_table("sample").sha256
    assert missing == ""


def test_another_sample_is_not_used(folder):
    edit_manifest(folder, lambda m: m["data"].update(sha256="0" * 64))
    table, missing = table_of(read_run(folder), None)
    assert table is None
    assert "SHA-256 000000000000…" in missing
    with pytest.raises(InputError, match="another checksum"):
        table_of(read_run(folder), "sample")


@pytest.fixture
def elsewhere(folder, tmp_path, monkeypatch):
    """The run of a table in a file, which its manifest names; a current folder with nothing."""
    monkeypatch.setattr(features, "PACKAGE", tmp_path / "checkout" / "gtzan_jax")
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
    table, missing = table_of(read_run(folder), None)
    assert table is None
    assert "--data=PATH" in missing
    assert table_of(read_run(folder), str(elsewhere))[0] is not None
    with pytest.raises(InputError, match="no feature table"):
        table_of(read_run(folder), str(tmp_path / "nowhere.csv"))


@pytest.mark.parametrize(
    "place", ["here/data", "checkout/data", "cache/gtzan_jax"], ids=["here", "checkout", "cache"]
)
def test_a_table_is_found_where_tables_lie(folder, elsewhere, tmp_path, place):
    there = tmp_path / place / features.FILE_NAME
    there.parent.mkdir(parents=True)
    shutil.copy(elsewhere, there)
    table, missing = table_of(read_run(folder), None)
    assert (table.sha256, missing) == (load_table(elsewhere).sha256, "")
    there.write_text(sample_text())  # a table, but not this run's
    assert table_of(read_run(folder), None)[0] is None


@pytest.mark.usefixtures("elsewhere")
def test_a_table_from_kaggle_is_not_downloaded_unasked(folder, monkeypatch):
    monkeypatch.setattr(kaggle, "download", lambda: pytest.fail("downloads"))
    data = {"flag": "kaggle", "source": "kaggle", "sha256": features.KAGGLE_SHA256}
    edit_manifest(folder, lambda m: m["data"].update(data))
    table, missing = table_of(read_run(folder), None)
    assert table is None
    assert "--data=kaggle downloads it" in missing
