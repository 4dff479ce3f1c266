import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import make_history, make_segments, make_sweep, make_table

from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.history import trials_of
from gtzan_jax.rundir.predictions import load_predictions, predictions_of, save_predictions
from gtzan_jax.tables.dividing import groups_of
from gtzan_jax.tables.protocols import make_splits

PARTS = ("validation", "test")
SWEEP = make_sweep(protocol="kfold", num_folds=3)
TABLE = make_table(num_tracks=100)
DIVISION = make_splits(TABLE, "kfold", 0, 3)
TRIALS = trials_of(SWEEP, 3, [4, 5])


def test_the_songs_of_all_folds_are_predicted_once_where_segments_vote():
    table = make_segments(100)
    splits = make_splits(table, "kfold", 0, 3)
    evaluated = splits.sizes.num_judged
    assert evaluated < splits.sizes.num_eval
    predicted = np.random.default_rng(0).integers(0, 4, (len(TRIALS), evaluated), np.uint8)
    figures = np.zeros((len(TRIALS), 2, len(METRICS)), np.float32)
    history = dataclasses.replace(make_history(TRIALS, figures), predicted=predicted)
    made = predictions_of(SWEEP, history, splits)
    assert sorted(table.songs[made.row]) == list(range(100))
    np.testing.assert_array_equal(made.label, table.y[made.row])
    np.testing.assert_array_equal(made.group, groups_of(table)[made.row])
    for fold, parts in enumerate(splits.folds):
        start = len(set(table.songs[parts.validation]))
        mine = made.row[made.fold == fold]
        assert table.songs[mine].tolist() == pd.unique(table.songs[parts.test]).tolist()
        trial = TRIALS.index((SWEEP.configs[2].id, fold, 5))
        expected = predicted[trial, start:][: len(mine)]
        np.testing.assert_array_equal(made.predicted[2, 1, made.fold == fold], expected)


@pytest.mark.parametrize("part", PARTS)
def test_the_rows_of_a_part_of_all_folds_stand_in_one_row(tmp_path, part):
    evaluated = DIVISION.sizes.num_eval
    predicted = np.random.default_rng(0).integers(0, 4, (len(TRIALS), evaluated), np.uint8)
    figures = np.zeros((len(TRIALS), 2, len(METRICS)), np.float32)
    history = dataclasses.replace(make_history(TRIALS, figures), predicted=predicted)
    parts = {part: predictions_of(SWEEP, history, DIVISION, part) for part in PARTS}
    save_predictions(parts, tmp_path / "p.safetensors")
    found = load_predictions(tmp_path / "p.safetensors", part)
    if part == "test":
        assert sorted(found.row) == list(range(100))  # kfold tests each track once
    for place, (row, fold, label) in enumerate(
        zip(found.row, found.fold, found.label, strict=True)
    ):
        validation, test = DIVISION.folds[fold].validation.tolist(), DIVISION.folds[fold].test
        is_test = part == "test"
        at = len(validation) + test.tolist().index(row) if is_test else validation.index(row)
        assert label == TABLE.y[row]
        for config in (0, 7):
            for seed in (4, 5):
                trial = TRIALS.index((SWEEP.configs[config].id, fold, seed))
                expected = predicted[trial, at]
                assert found.predicted[config, seed - 4, place] == expected
                assert found.correct[config, seed - 4, place] == (expected == label)
    np.testing.assert_array_equal(found.group, groups_of(TABLE)[found.row])
