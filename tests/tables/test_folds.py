import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import make_fold, make_segments, make_table
from sklearn.preprocessing import StandardScaler

from gtzan_jax.errors import InputError
from gtzan_jax.tables.folds import Sizes, arrays_of, judged_rows, scaler_of, sizes_of, unseen_genres
from gtzan_jax.tables.protocols import make_splits
from gtzan_jax.tables.splits import random_split

TABLE = make_table(num_tracks=143, num_features=5)


def with_features(table, x):
    return replace(table, x=np.asarray(x, np.float32))


def test_genres_that_cannot_be_learnt_are_named():
    table = make_table(num_tracks=40, num_features=2)
    everything = np.arange(40)
    whole = make_fold(everything[:30], test=everything[30:])
    no_two = make_fold(everything[table.y != 2], test=everything[table.y == 2])
    only_one = make_fold(everything[table.y == 1], test=everything[table.y != 1])
    assert unseen_genres(table, [whole]) == []
    sentences = unseen_genres(table, [whole, no_two, only_one])
    assert [s.split(" is in ")[0] for s in sentences] == [
        "no track of genre2", "no track of genre0, genre2, genre3",
    ]  # fmt: skip
    assert ["fold 1" in sentences[0], "fold 2" in sentences[1]] == [True, True]


def test_standardising_is_scikit_learns():
    x = 1e4 * np.random.default_rng(0).lognormal(size=(143, 5))
    x[:, 3], x[:, 4] = 0.1, 1e6 + 1e-9 * np.arange(143)  # equal but for rounding
    table, fold = with_features(TABLE, x), random_split(143, 1)
    reference = StandardScaler().fit(table.x[fold.train].astype(np.float64))
    scaler = scaler_of(table, fold)
    np.testing.assert_allclose(scaler.mean, reference.mean_, rtol=1e-12)
    np.testing.assert_allclose(scaler.scale, reference.scale_, rtol=1e-9)
    assert {scaler.mean.dtype, scaler.scale.dtype} == {np.dtype(np.float64)}
    arrays = arrays_of(table, fold, sizes_of(table, [fold]))
    for got, rows in ((arrays.x_train, fold.train), (arrays.x_eval, fold.test)):
        expected = reference.transform(table.x[rows].astype(np.float64))
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["assignment", "holdout", "kfold"])
def test_only_train_rows_touch_the_statistics(name):
    for fold in make_splits(TABLE, name, 0, 5).folds:
        x = TABLE.x.copy()
        x[np.concatenate([fold.validation, fold.test])] *= 100
        changed = with_features(TABLE, x)
        for got, expected in zip(scaler_of(changed, fold), scaler_of(TABLE, fold), strict=True):
            np.testing.assert_array_equal(got, expected)
        sizes = sizes_of(TABLE, [fold])
        got, expected = arrays_of(changed, fold, sizes), arrays_of(TABLE, fold, sizes)
        np.testing.assert_array_equal(got.x_train, expected.x_train)
        assert np.abs(got.x_train.mean(axis=0)).max() < 1e-6
        np.testing.assert_allclose(got.x_train.std(axis=0), 1, rtol=1e-6)


def test_a_constant_feature_becomes_zero():
    x = TABLE.x.copy()
    x[:, 3] = 7.3e6
    table, fold = with_features(TABLE, x), random_split(143, 0)
    arrays = arrays_of(table, fold, sizes_of(table, [fold]))
    assert scaler_of(table, fold).scale[3] == 1
    assert not arrays.x_train[:, 3].any()
    assert not arrays.x_eval[:, 3].any()


def test_a_number_far_from_the_train_part_is_refused():
    x = TABLE.x.copy()
    fold = random_split(143, 0)
    x[:, 2] *= 1e-3
    x[fold.test[4], 2] = 3e38
    table = with_features(TABLE, x)
    name = re.escape(repr(table.tracks[fold.test[4]]))
    with pytest.raises(InputError, match=rf"track {name}, column '{table.features[2]}': 3e\+38"):
        arrays_of(table, fold, sizes_of(table, [fold]))


def test_folds_are_laid_out_in_arrays_of_one_size():
    table = make_table(num_tracks=30, num_features=3)
    rows = np.random.default_rng(0).permutation(30)
    small = make_fold(rows[:7], rows[7:9], rows[9:12])
    large = make_fold(rows[:5], rows[5:5], rows[12:24])
    sizes = sizes_of(table, [small, large])
    assert sizes == Sizes(num_train=7, num_eval=12, num_features=3, num_classes=4)
    arrays = arrays_of(table, small, sizes)
    np.testing.assert_array_equal(arrays.row, rows[:7])
    np.testing.assert_array_equal(arrays.y_train, table.y[rows[:7]])
    np.testing.assert_array_equal(arrays.train_weight, [1] * 7)
    np.testing.assert_array_equal(arrays.y_eval, [*table.y[rows[7:12]], *[0] * 7])
    np.testing.assert_array_equal(arrays.validation_weight, [1, 1, *[0] * 10])
    np.testing.assert_array_equal(arrays.test_weight, [0, 0, 1, 1, 1, *[0] * 7])
    assert not arrays.x_eval[5:].any()
    padded = arrays_of(table, large, sizes)
    np.testing.assert_array_equal(padded.train_weight, [1] * 5 + [0] * 2)
    np.testing.assert_array_equal(padded.row, [*rows[:5], 0, 0])
    np.testing.assert_array_equal(padded.validation_weight, [0] * 12)
    np.testing.assert_array_equal(padded.test_weight, [1] * 12)
    assert not padded.x_train[5:].any()
    for one, other in zip(arrays, padded, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
    kinds = {name: array.dtype for name, array in arrays._asdict().items()}
    assert kinds.pop("row") == np.uint32
    whole = [kinds.pop(name) for name in ("y_train", "y_eval", "song_eval", "y_song")]
    assert set(whole) == {np.dtype(np.int32)}
    assert set(kinds.values()) == {np.dtype(np.float32)}


@pytest.mark.parametrize("protocol", ["holdout", "leaky_segments"])
def test_songs_are_numbered_by_part(protocol):
    table = make_segments(60)
    other = make_fold(np.arange(9), test=np.arange(9, 12))
    [fold] = make_splits(table, protocol, 0, 5).folds
    sizes = sizes_of(table, [fold, other])
    arrays = arrays_of(table, fold, sizes)
    frame = pd.DataFrame(
        {
            "part": np.repeat([0, 1], [len(fold.validation), len(fold.test)]),
            "song": table.songs[np.r_[fold.validation, fold.test]],
            "row": np.r_[fold.validation, fold.test],
        }
    )
    songs = frame.groupby(["part", "song"], sort=False)
    assert sizes.num_songs == sizes.num_judged == songs.ngroups
    np.testing.assert_array_equal(arrays.song_eval, songs.ngroup())
    first = songs["row"].first()
    np.testing.assert_array_equal(arrays.y_song, table.y[first])
    part = first.index.get_level_values("part")
    np.testing.assert_array_equal(arrays.validation_song_weight, part == 0)
    np.testing.assert_array_equal(arrays.test_song_weight, part == 1)
    judged = [judged_rows(table, rows) for rows in (fold.validation, fold.test)]
    np.testing.assert_array_equal(np.concatenate(judged), first)
    padded = arrays_of(table, other, sizes)
    for one, same in zip(arrays, padded, strict=True):
        assert (one.shape, one.dtype) == (same.shape, same.dtype)
    assert padded.test_song_weight.sum() == len(set(table.songs[9:12]))


def test_a_row_a_song_is_judged_as_it_is():
    rows = np.random.default_rng(0).permutation(143)
    np.testing.assert_array_equal(judged_rows(TABLE, rows), rows)
    sizes = sizes_of(TABLE, [random_split(143, 0)])
    assert (sizes.num_songs, sizes.num_judged) == (0, sizes.num_eval)
