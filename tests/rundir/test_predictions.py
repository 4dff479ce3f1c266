import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import make_chunks, make_history, make_sweep, make_table

from gtzan_jax.errors import InputError
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.history import members_of
from gtzan_jax.rundir.predictions import load_predictions, predictions_of, save_predictions
from gtzan_jax.tables.protocols import divide, groups_of

PARTS = ("validation", "test")
SWEEP = make_sweep(protocol="kfold", num_folds=3)
TABLE = make_table(num_tracks=100)
DIVISION = divide(TABLE, "kfold", 0, 3)
MEMBERS = members_of(SWEEP, 3, [4, 5])


def test_the_songs_of_all_folds_are_predicted_once_where_chunks_vote():
    table = make_chunks(100)
    division = divide(table, "kfold", 0, 3)
    evaluated = division.sizes.num_judged
    assert evaluated < division.sizes.num_eval
    predicted = np.random.default_rng(0).integers(0, 4, (len(MEMBERS), evaluated), np.uint8)
    figures = np.zeros((len(MEMBERS), 2, len(METRICS)), np.float32)
    history = dataclasses.replace(make_history(MEMBERS, figures), predicted=predicted)
    made = predictions_of(SWEEP, history, division)
    assert sorted(table.songs[made.row]) == list(range(100))
    np.testing.assert_array_equal(made.label, table.y[made.row])
    np.testing.assert_array_equal(made.group, groups_of(table)[made.row])
    for fold, parts in enumerate(division.folds):
        start = len(set(table.songs[parts.validation]))
        mine = made.row[made.fold == fold]
        assert table.songs[mine].tolist() == pd.unique(table.songs[parts.test]).tolist()
        member = MEMBERS.index((SWEEP.configs[2].id, fold, 5))
        expected = predicted[member, start:][: len(mine)]
        np.testing.assert_array_equal(made.predicted[2, 1, made.fold == fold], expected)


def test_an_older_file_has_no_validation_part(tmp_path):
    figures = np.zeros((len(MEMBERS), 2, len(METRICS)), np.float32)
    predicted = np.zeros((len(MEMBERS), DIVISION.sizes.num_eval), np.uint8)
    history = dataclasses.replace(make_history(MEMBERS, figures), predicted=predicted)
    save_predictions({"test": predictions_of(SWEEP, history, DIVISION)}, tmp_path / "p")
    assert load_predictions(tmp_path / "p", SWEEP.num_configs, 2).predicted.size
    with pytest.raises(InputError, match="p: cannot be used"):
        load_predictions(tmp_path / "p", SWEEP.num_configs, 2, "validation")


@pytest.mark.parametrize("part", PARTS)
def test_the_rows_of_a_part_of_all_folds_stand_in_one_row(tmp_path, part):
    evaluated = DIVISION.sizes.num_eval
    predicted = np.random.default_rng(0).integers(0, 4, (len(MEMBERS), evaluated), np.uint8)
    figures = np.zeros((len(MEMBERS), 2, len(METRICS)), np.float32)
    history = dataclasses.replace(make_history(MEMBERS, figures), predicted=predicted)
    parts = {part: predictions_of(SWEEP, history, DIVISION, part) for part in PARTS}
    save_predictions(parts, tmp_path / "p.safetensors")
    found = load_predictions(tmp_path / "p.safetensors", SWEEP.num_configs, 2, part)
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
                member = MEMBERS.index((SWEEP.configs[config].id, fold, seed))
                expected = predicted[member, at]
                assert found.predicted[config, seed - 4, place] == expected
                assert found.correct[config, seed - 4, place] == (expected == label)
    np.testing.assert_array_equal(found.group, groups_of(TABLE)[found.row])
