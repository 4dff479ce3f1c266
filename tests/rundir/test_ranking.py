import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import make_history, make_sweep

from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.history import trials_of
from gtzan_jax.rundir.ranking import rank_at_best_epochs, results_table

PROTOCOLS = ["assignment", "holdout", "kfold"]
SWEEPS = {name: make_sweep(protocol=name) for name in PROTOCOLS}  # 12 configs, 2 epochs
IDS = [config.id for config in SWEEPS["assignment"].configs]
SELECT_ON = {"assignment": "test", "holdout": "validation", "kfold": "validation"}
PLACE = {metric: place for place, metric in enumerate(METRICS)}


def random_history(num_folds=1, num_seeds=1):
    trials = tuple(trials_of(SWEEPS["assignment"], num_folds, range(num_seeds)))
    shape = (len(trials), 2, len(METRICS))
    return make_history(
        trials, np.random.default_rng(0).uniform(0.1, 0.9, shape).astype(np.float32)
    )


def order_of(table):
    return [IDS.index(config_id) for config_id in table["config_id"]]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_results_are_ranked_by_the_part_that_the_protocol_selects_on(protocol):
    history, sweep = random_history(), SWEEPS[protocol]
    table = results_table(sweep, history)
    final = history.figures[:, -1]
    assert (
        order_of(table) == np.argsort(-final[:, PLACE[f"{SELECT_ON[protocol]}_accuracy"]]).tolist()
    )
    assert table["rank"].to_list() == list(range(1, 13))
    for row in table.to_dict("records"):
        place = IDS.index(row["config_id"])
        assert {name: row[name] for name in sweep.axes} == dict(sweep.configs[place])
        for metric in METRICS:
            if metric in row:
                assert row[metric] == pytest.approx(final[place, PLACE[metric]], abs=1e-7)


def test_columns_of_one_run():
    axes = "num_units1,num_units2,num_units3,dropout1,dropout2,dropout3,activation,initializer,"
    axes += "optimizer"
    figures = "test_accuracy,test_loss,train_accuracy,train_loss"
    columns = {name: ",".join(results_table(SWEEPS[name], random_history())) for name in PROTOCOLS}
    assert columns["assignment"] == f"rank,{axes},{figures},diverged,config_id"
    validated = f"rank,{axes},validation_accuracy,validation_loss,{figures},diverged,config_id"
    assert columns["holdout"] == columns["kfold"] == validated


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ties_break_by_loss_then_by_grid_order(protocol):
    history, part = random_history(), SELECT_ON[protocol]
    final = history.figures[:, -1]
    final[:, PLACE[f"{part}_accuracy"]] = 0.5
    final[:, PLACE[f"{part}_loss"]] = 1.0
    final[[7, 3], PLACE[f"{part}_loss"]] = 0.25
    expected = [3, 7, *(i for i in range(12) if i not in (3, 7))]
    assert order_of(results_table(SWEEPS[protocol], history)) == expected


def test_the_order_of_the_history_does_not_matter():
    history, sweep = random_history(), SWEEPS["assignment"]
    history.figures[:, -1, PLACE["test_accuracy"]] = np.arange(12) // 3 / 10
    history.figures[:, -1, PLACE["test_loss"]] = 1.0
    expected = results_table(sweep, history)
    shuffled = np.random.default_rng(1).permutation(12)
    other = make_history(tuple(history.trials[i] for i in shuffled), history.figures[shuffled])
    pd.testing.assert_frame_equal(results_table(sweep, other), expected)


def test_a_part_of_the_configs_is_ranked_like_the_whole():
    history, sweep = random_history(), SWEEPS["assignment"]
    some = [1, 4, 5, 10]
    part = make_history(tuple(history.trials[i] for i in some), history.figures[some])
    whole = results_table(sweep, history)
    expected = whole[whole["config_id"].isin([IDS[i] for i in some])].reset_index(drop=True)
    expected["rank"] = range(1, 5)
    pd.testing.assert_frame_equal(results_table(sweep, part), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_diverged_configs_rank_last(protocol, metric, bad):
    history = random_history(num_folds=2)
    history.figures[10:12, -1, PLACE[f"{SELECT_ON[protocol]}_accuracy"]] = 1.0
    history.figures[11, 0, PLACE[metric]] = bad  # in the first epoch, of one of two runs
    table = results_table(SWEEPS[protocol], history)
    assert order_of(table)[-1] == 5
    assert table["diverged"].to_list() == [False] * 11 + [True]


def test_what_a_search_gave_up_ranks_before_what_diverged_the_later_the_better():
    history, sweep = random_history(), SWEEPS["holdout"]
    history.figures[:, :, PLACE["validation_accuracy"]] = np.arange(12)[:, None] / 20
    history.figures[11, 0, PLACE["train_loss"]] = np.nan  # the best one, trained to the end
    reached = np.where(np.isin(np.arange(12), [8, 9, 10]), 1, 2).astype(np.int32)
    history = dataclasses.replace(history, reached=reached, last=reached, best=reached)
    table = results_table(sweep, history)
    assert order_of(table) == [7, 6, 5, 4, 3, 2, 1, 0, 10, 9, 8, 11]
    assert table["epochs_given"].to_list() == [2] * 8 + [1] * 3 + [2]


@pytest.mark.parametrize("runs", [(1, 3), (3, 1), (2, 2)])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_several_runs_give_mean_and_deviation(protocol, runs):
    history = random_history(*runs)
    table = results_table(SWEEPS[protocol], history)
    assert set(table["num_folds"]) == {runs[0]}
    assert set(table["num_seeds"]) == {runs[1]}
    deviations = [column for column in table if column.endswith("_std")]
    parts = ["test"] if protocol == "assignment" else ["validation", "test"]
    assert deviations == [f"{part}_accuracy_std" for part in parts]
    final = history.by_config(history.figures)[:, :, -1].astype(np.float64)
    for row in table.to_dict("records"):
        place = IDS.index(row["config_id"])
        for metric in METRICS:
            values = final[place, :, PLACE[metric]]
            if metric in row:
                assert row[metric] == pytest.approx(np.mean(values), abs=1e-7)
            if f"{metric}_std" in row:
                assert row[f"{metric}_std"] == pytest.approx(np.std(values, ddof=1), abs=1e-7)
    means = final[:, :, PLACE[f"{SELECT_ON[protocol]}_accuracy"]].mean(axis=1)
    assert order_of(table) == np.argsort(-means).tolist()


def test_the_order_of_seeds_does_not_change_the_ranking():
    history = random_history(num_seeds=12)
    # Losses whose sum depends on the order of its terms, of configs that are equal otherwise.
    losses = np.float32([1e8, 0.1, 0.3, 0.7, 0.123, 0.456, 0.77, 0.9, 0.11, 0.13, 0.17, 0.19])
    turned = np.array([np.roll(losses, place) for place in range(12)])
    assert len(set(turned.astype(np.float64).mean(axis=1))) > 1
    history.figures[:, -1] = 0.5
    history.figures[:, -1, PLACE["test_loss"]] = turned.ravel()
    assert order_of(results_table(SWEEPS["assignment"], history)) == list(range(12))


def test_each_config_is_ranked_after_its_best_epoch():
    """By pandas, of rounded figures with many ties, and of configs that diverged or were ended."""
    random = np.random.default_rng(3)
    means = random.integers(0, 4, (40, 5, len(METRICS))) / 4
    means[7, 2:] = np.nan  # given up by the search after two epochs
    means[11] = np.nan
    index = pd.MultiIndex.from_product([range(40), range(1, 6)], names=["config", "epoch"])
    frame = pd.DataFrame(means.reshape(200, -1), index=index, columns=list(METRICS))
    frame["partial"] = frame.isna().any(axis=1).groupby("config").transform("any")
    frame = frame.reset_index()
    for part in ("validation", "test"):
        by = ["partial", f"{part}_accuracy", f"{part}_loss", "config", "epoch"]
        best = frame.sort_values(by, ascending=[True, False, True, True, True])
        best = best.drop_duplicates("config")
        order, epochs = rank_at_best_epochs(means, part)
        assert order.tolist() == best["config"].tolist()
        assert epochs[order].tolist() == best["epoch"].tolist()
