import json
import re

import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep
from finished_runs import random_history, write_run

from gtzan_jax.errors import InputError
from gtzan_jax.features import load_table
from gtzan_jax.finished import read_run, table_of

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


def edit_manifest(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def drop_column(path, column):
    pd.read_csv(path).drop(columns=column).to_csv(path, index=False)


def drop_row(path):
    pd.read_csv(path).iloc[1:].to_csv(path, index=False)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), "not a run directory"),
        (lambda f: (f / "manifest.json").write_text("[1]"), "not a manifest"),
        (lambda f: edit_manifest(f, lambda m: m.update(status="running")), "did not finish"),
        (lambda f: edit_manifest(f, lambda m: m.pop("sweep")), "KeyError: 'sweep'"),
        (lambda f: edit_manifest(f, lambda m: m["data"].pop("sha256")), "'sha256'"),
        (lambda f: edit_manifest(f, lambda m: m["sweep"].pop("axes")), "'axes' is missing"),
        (lambda f: edit_manifest(f, lambda m: m.update(seeds=[0, 5])), "every config and seed"),
        (lambda f: (f / "results.csv").unlink(), "did not finish"),
        (lambda f: drop_column(f / "results.csv", "diverged"), "no column diverged"),
        (lambda f: drop_row(f / "results.csv"), "not one row for each of 12 configs"),
        (lambda f: (f / "history.csv").unlink(), "FileNotFoundError"),
        (lambda f: (f / "history.csv").write_text("a,b\n1"), "cannot be used"),
        (lambda f: drop_column(f / "history.csv", "test_accuracy"), "cannot be used"),
        (lambda f: (f / "history.csv").write_bytes(b"\xff\xfe\x00"), "cannot be used"),
    ],
)
def test_what_is_no_finished_run_is_refused_in_one_line(folder, damage, message):
    damage(folder)
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read_run(folder)
    assert "\n" not in str(error.value)


def test_a_damaged_retraining_is_refused(folder):
    (folder / "best").mkdir()
    (folder / "best" / "history.csv").write_text("epoch,train_loss\n1,2\n")
    with pytest.raises(InputError, match="train_accuracy"):
        read_run(folder)


def test_the_table_is_found_by_the_manifest(folder):
    table, missing = table_of(read_run(folder), None)
    assert table.sha256 == load_table("sample").sha256
    assert missing == ""


def test_a_table_that_is_gone_or_another_is_not_used(folder, tmp_path):
    edit_manifest(folder, lambda m: m["data"].update(source="gone.csv", flag="gone.csv"))
    table, missing = table_of(read_run(folder), None)
    assert table is None
    assert "not where the run found it" in missing
    assert table_of(read_run(folder), "sample")[0] is not None
    edit_manifest(folder, lambda m: m["data"].update(source="sample", sha256="0"))
    assert "has changed" in table_of(read_run(folder), None)[1]
    with pytest.raises(InputError, match="another checksum"):
        table_of(read_run(folder), "sample")
    with pytest.raises(InputError, match="no feature table"):
        table_of(read_run(folder), str(tmp_path / "nowhere.csv"))
