import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import make_history, make_sweep

from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir import history as history_module
from gtzan_jax.rundir.history import trials_of
from gtzan_jax.space.config import Trial

SWEEP = make_sweep()  # 12 configs, 2 epochs
TRIALS = tuple(trials_of(SWEEP, 2, [4, 5]))
HISTORY = make_history(
    TRIALS, np.random.default_rng(0).uniform(0, 1, (48, 2, len(METRICS))).astype(np.float32)
)


def test_trials_are_in_grid_order_then_by_fold_and_seed():
    assert len(TRIALS) == 48
    runs = [(0, 4), (0, 5), (1, 4), (1, 5)]
    assert TRIALS[:4] == tuple(Trial(SWEEP.configs[0].id, *run) for run in runs)
    assert HISTORY.config_ids == [config.id for config in SWEEP.configs]
    assert repr(HISTORY) == "History(48 trials × 2 epochs)"


def test_by_config_is_a_grid_of_runs():
    grid = HISTORY.by_config(HISTORY.figures)
    assert grid.shape == (12, 4, 2, len(METRICS))
    place = TRIALS.index(Trial(SWEEP.configs[7].id, 1, 4))
    np.testing.assert_array_equal(grid[7, 2], HISTORY.figures[place])
    assert np.shares_memory(grid, HISTORY.figures)  # large sweeps lie on the disk


def test_histories_of_some_configs():
    ids = [SWEEP.configs[place].id for place in (9, 2)]
    np.testing.assert_array_equal(HISTORY.places_of(ids), [[36, 37, 38, 39], [8, 9, 10, 11]])
    with pytest.raises(KeyError):
        HISTORY.places_of(["nothing"])


@pytest.mark.parametrize("names", ["aab", "abb", "abbb", "aaab", "abab", "abba", "aabbb"])
def test_configs_that_did_not_train_equally_often_have_no_grid(names):
    trials = tuple(Trial(name, 0, seed) for seed, name in enumerate(names))
    history = make_history(trials, np.zeros((len(names), 2, len(METRICS)), np.float32))
    with pytest.raises(ValueError, match="the configs do not have the same number of trials"):
        history.by_config(history.figures)


def stopped_early():
    """Two trials of three epochs: the first stopped after its second, the first was its best."""
    figures = np.arange(6 * len(METRICS), dtype=np.float32).reshape(2, 3, -1)
    figures[0, 2] = 0
    trials = make_history([Trial("a", 0, 0), Trial("b", 0, 0)], figures)
    return dataclasses.replace(trials, last=np.array([2, 3]), best=np.array([1, 3]))


def test_a_trial_that_stopped_early_counts_at_its_best_epoch():
    history = stopped_early()
    np.testing.assert_array_equal(history.kept, history.figures[[0, 1], [0, 2]])
    np.testing.assert_array_equal(history.trained, [[True, True, False], [True] * 3])
    np.testing.assert_array_equal(pd.concat(history.frames())["epoch"], [1, 2, 1, 2, 3])


def test_a_mean_curve_takes_in_whoever_was_trained():
    history = stopped_early()
    both = history.curves(np.array([0, 1]))
    np.testing.assert_array_equal(both[:2], history.figures[:, :2].mean(axis=0))
    np.testing.assert_array_equal(both[2], history.figures[1, 2])
    np.testing.assert_array_equal(history.curves(np.array([0])), history.figures[0, :2])


@pytest.mark.parametrize("rows", [1, 7, 50_000])
def test_long_form_has_a_row_for_every_trial_and_epoch(monkeypatch, rows):
    monkeypatch.setattr(history_module, "_ROWS", rows)
    frame = pd.concat(HISTORY.frames(), ignore_index=True)
    assert list(frame) == ["config_id", "fold", "seed", "epoch", *METRICS]
    assert len(frame) == 48 * 2
    assert frame.index.tolist() == list(range(96))
    parts = list(HISTORY.frames())
    assert max(map(len, parts)) <= max(rows, 2)
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), frame)
    config_id = SWEEP.configs[7].id
    row = frame.query("config_id == @config_id and fold == 1 and seed == 5 and epoch == 2")
    # Every float32 comes back to the bit.
    values = row[list(METRICS)].to_numpy(np.float32)
    assert values.tobytes() == HISTORY.figures[TRIALS.index(Trial(config_id, 1, 5)), 1].tobytes()


def test_long_form_of_some_metrics():
    [frame] = HISTORY.frames(("test_loss", "train_loss"))
    assert list(frame) == ["config_id", "fold", "seed", "epoch", "test_loss", "train_loss"]
    np.testing.assert_array_equal(frame["test_loss"], HISTORY.figures[:, :, 4].ravel())
    np.testing.assert_array_equal(frame["train_loss"], HISTORY.figures[:, :, 0].ravel())
