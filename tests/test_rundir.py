import json

import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep

from gtzan_jax.errors import InputError
from gtzan_jax.rundir import (
    RunDir,
    create_folder,
    history_tables,
    markdown_table,
    results_table,
    versions,
)

SWEEP = make_sweep()  # 12 configs, 2 epochs


def random_history(num_seeds=1):
    shape = (SWEEP.num_configs, num_seeds, SWEEP.epochs, 4)
    return np.random.default_rng(0).uniform(0.1, 0.9, shape).astype(np.float32)


def test_results_are_ranked_by_test_accuracy():
    history = random_history()
    table = results_table(SWEEP, 1, history)
    assert ",".join(table.columns) == (
        "rank,num_units1,num_units2,num_units3,dropout1,dropout2,dropout3,activation,"
        "initializer,optimizer,test_accuracy,test_loss,train_accuracy,train_loss,"
        "diverged,config_id"
    )
    assert table["config_id"].to_list() == np.argsort(-history[:, 0, -1, 3]).tolist()
    assert table["rank"].to_list() == list(range(1, 13))
    configs = SWEEP.configs()
    for row in table.itertuples():
        config = configs[row.config_id]
        assert (row.num_units1, row.activation, row.optimizer) == (
            config.num_units1, config.activation, config.optimizer,
        )  # fmt: skip
        figures = [row.train_loss, row.train_accuracy, row.test_loss, row.test_accuracy]
        np.testing.assert_allclose(figures, history[row.config_id, 0, -1], atol=1e-7)


def test_ties_break_by_test_loss_then_by_id():
    history = random_history()
    history[:, 0, -1, 3] = 0.5
    history[:, 0, -1, 2] = 1.0
    history[[7, 3], 0, -1, 2] = 0.25
    expected = [3, 7, *(i for i in range(12) if i not in (3, 7))]
    assert results_table(SWEEP, 1, history)["config_id"].to_list() == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_diverged_members_rank_last(bad):
    history = random_history()
    history[5, 0, -1, 3] = 1.0
    history[5, 0, 0, 0] = bad  # in the first epoch already
    table = results_table(SWEEP, 1, history)
    assert table["config_id"].iloc[-1] == 5
    assert table["diverged"].to_list() == [False] * 11 + [True]


def test_several_seeds_give_mean_and_deviation():
    history = random_history(num_seeds=3)
    table = results_table(SWEEP, 3, history).set_index("config_id")
    final = history[:, :, -1, 3].astype(np.float64)
    for config_id in range(12):
        row = table.loc[config_id]
        assert row["test_accuracy"] == pytest.approx(np.mean(final[config_id]), abs=1e-7)
        assert row["test_accuracy_std"] == pytest.approx(np.std(final[config_id], ddof=1), abs=1e-7)
        assert row["num_seeds"] == 3


def test_the_order_of_seeds_does_not_change_the_ranking():
    history = random_history(num_seeds=3)
    backwards = history[:, ::-1]
    pd.testing.assert_frame_equal(
        results_table(SWEEP, 3, history), results_table(SWEEP, 3, backwards)
    )


def test_history_has_a_row_for_every_member_and_epoch(tmp_path):
    history = random_history(num_seeds=2)
    run = RunDir(tmp_path / "run")
    create_folder(run.path)
    run.write_tables(results_table(SWEEP, 2, history), history_tables([4, 5], history))
    read = pd.read_csv(run.history_path)
    assert ",".join(read.columns) == (
        "config_id,seed,epoch,train_loss,train_accuracy,test_loss,test_accuracy"
    )
    assert len(read) == 12 * 2 * 2
    row = read[(read.config_id == 7) & (read.seed == 5) & (read.epoch == 2)]
    # Every float32 comes back to the bit.
    values = row.iloc[0, 3:].to_numpy(np.float32)
    assert values.tobytes() == history[7, 1, 1].tobytes()
    assert len(run.read_results()) == 12


def test_an_occupied_folder_is_refused(tmp_path):
    (tmp_path / "precious.txt").touch()
    with pytest.raises(InputError, match="not empty"):
        create_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_a_file_is_no_run_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--workdir=.*file is not a folder"):
        create_folder(tmp_path / "file")
    with pytest.raises(InputError, match="not a run directory"):
        RunDir(tmp_path / "file").read_manifest()


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_broken_manifest_is_told(tmp_path, text):
    run = RunDir(tmp_path)
    run.manifest_path.write_text(text)
    with pytest.raises(InputError, match="manifest"):
        run.read_manifest()


def test_versions_name_what_figures_depend_on():
    assert {"python", "jax", "jaxlib", "flax", "optax", "scikit-learn"} <= versions().keys()
    json.dumps(versions())


def test_markdown_table():
    frame = pd.DataFrame({"rank": [1], "optimizer": ["adam"], "test_accuracy": [0.71666]})
    assert markdown_table(frame) == (
        "| rank | optimizer | test_accuracy |\n| --- | --- | --- |\n| 1 | adam | 0.7167 |"
    )
