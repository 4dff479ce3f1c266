import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_fold, make_table
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from gtzan_jax.errors import InputError
from gtzan_jax.metrics import METRICS
from gtzan_jax.tables.protocols import (
    PROTOCOLS,
    Sizes,
    arrays_of,
    divide,
    folds_of,
    random_split,
    scaler_of,
    sizes_of,
    split_note,
    unseen_genres,
)

TABLE = make_table(num_tracks=143, num_features=5)  # 36, 36, 36 and 35 tracks of the genres
STRATIFIED = [("holdout", 5), ("kfold", 2), ("kfold", 5), ("kfold", 7)]


def with_features(table, x):
    return replace(table, x=np.asarray(x, np.float32))


def parts_of(fold):
    return [fold.train, fold.validation, fold.test]


# The folds.


@pytest.mark.parametrize("seed", [0, 42, 2**32 - 1])
@pytest.mark.parametrize("tracks", [20, 143, 1000])
def test_the_assignment_splits_as_scikit_learn_does(tracks, seed):
    table = make_table(num_tracks=tracks, num_features=3)
    [fold] = folds_of(table, "assignment", seed, num_folds=5)
    # The assignment split the rows themselves, not their numbers.
    x_train, x_test, y_train, y_test = train_test_split(
        table.x, table.y, test_size=0.3, random_state=seed
    )
    np.testing.assert_array_equal(table.x[fold.train], x_train)
    np.testing.assert_array_equal(table.x[fold.test], x_test)
    np.testing.assert_array_equal(table.y[fold.train], y_train)
    np.testing.assert_array_equal(table.y[fold.test], y_test)
    assert len(fold.validation) == 0


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_fold_uses_every_track_once(name, seed):
    for fold in folds_of(TABLE, name, seed, 5):
        assert sorted(np.concatenate(parts_of(fold))) == list(range(143))
        assert {part.dtype.kind for part in parts_of(fold)} == {"i"}


@pytest.mark.parametrize(("name", "num_folds"), STRATIFIED)
@pytest.mark.parametrize("seed", range(5))
def test_parts_are_stratified(name, num_folds, seed):
    for fold in folds_of(TABLE, name, seed, num_folds):
        test_share = 0.2 if name == "holdout" else 1 / num_folds
        for genre in range(4):
            total = np.sum(TABLE.y == genre)
            counts = [np.sum(TABLE.y[part] == genre) for part in parts_of(fold)]
            _, validation, test = counts
            assert abs(test - test_share * total) < 1
            # A fifth of everything in holdout, a fifth of what is not tested in kfold.
            rest = total if name == "holdout" else total - test
            assert abs(validation - 0.2 * rest) < 1


def test_holdout_is_60_20_20():
    table = make_table(num_tracks=1000, num_genres=10, num_features=1)
    [fold] = folds_of(table, "holdout", 3, 5)
    assert [len(part) for part in parts_of(fold)] == [600, 200, 200]
    for part, count in zip(parts_of(fold), (60, 20, 20), strict=True):
        assert np.bincount(table.y[part]).tolist() == [count] * 10


@pytest.mark.parametrize("num_folds", [2, 5, 7])
def test_kfold_tests_every_track_once(num_folds):
    folds = folds_of(TABLE, "kfold", 0, num_folds)
    assert len(folds) == num_folds
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(143))
    table = make_table(num_tracks=1000, num_genres=10, num_features=1)
    for fold in folds_of(table, "kfold", 0, 5):
        assert [len(part) for part in parts_of(fold)] == [640, 160, 200]


def test_what_does_not_divide_evenly_is_not_one_parts_gain():
    # 13 tracks of each of 40 genres into five folds: 104 each, were it even.
    table = make_table(num_tracks=520, num_genres=40, num_features=1)
    for seed in range(3):
        sizes = [len(fold.test) for fold in folds_of(table, "kfold", seed, 5)]
        assert max(sizes) - min(sizes) < 25  # 40, if each genre began with the same fold


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_split_seed_alone_decides(name):
    first, again, other = (folds_of(TABLE, name, seed, 5) for seed in (4, 4, 5))
    for fold, same, different in zip(first, again, other, strict=True):
        for part, equal in zip(parts_of(fold), parts_of(same), strict=True):
            np.testing.assert_array_equal(part, equal)
        assert set(fold.test) != set(different.test)
        assert set(fold.validation) != set(different.validation) or name == "assignment"


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(InputError, match=f"split seed {seed} is not between 0 and 4294967295"):
        folds_of(TABLE, "assignment", seed, 5)


def test_too_few_tracks_for_the_folds_are_refused():
    table = make_table(num_tracks=27, num_genres=4, num_features=1)  # 6 tracks of the smallest
    assert len(folds_of(table, "kfold", 0, 6)) == 6
    with pytest.raises(InputError, match=r"7 folds.*smallest has 6; take --num_folds=6 or fewer"):
        folds_of(table, "kfold", 0, 7)


@pytest.mark.parametrize("name", ["holdout", "kfold"])
def test_a_part_without_tracks_is_refused(name):
    table = make_table(num_tracks=2, num_genres=1, num_features=1)
    for seed in range(5):
        with pytest.raises(InputError, match="part of a fold would be empty: 2 tracks are too few"):
            folds_of(table, name, seed, 2)


def test_what_a_protocol_ranks_by_is_measured():
    for protocol in PROTOCOLS.values():
        [*_, fold] = folds_of(TABLE, protocol.name, 0, 5)
        assert len(getattr(fold, protocol.select_on)) > 0
    assert PROTOCOLS["assignment"].select_on == "test"
    assert {PROTOCOLS[name].select_on for name in ("holdout", "kfold")} == {"validation"}
    without = tuple(metric for metric in METRICS if not metric.startswith("validation"))
    assert PROTOCOLS["assignment"].metrics == without
    assert PROTOCOLS["kfold"].metrics == METRICS
    assert [p.name for p in PROTOCOLS.values() if p.takes_num_folds] == ["kfold"]


def test_a_division_is_described_in_a_few_words():
    assert split_note("assignment", 3, 1) == "random 70:30 split, split seed 3"
    assert split_note("kfold", 0, 4) == "4 stratified folds, split seed 0"
    division = divide(TABLE, "kfold", 1, 3)
    assert division.note == "3 stratified folds, split seed 1"
    assert len(division.folds) == len(division.arrays) == 3
    assert division.arrays[0] is division.arrays[0]  # laid out once
    assert "kfold, 3 folds" in repr(division)
    assert re.fullmatch(r"Fold\(train 100, validation 0, test 43\)", repr(random_split(143, 0)))


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


# The arrays.


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


@pytest.mark.parametrize("name", PROTOCOLS)
def test_only_train_rows_touch_the_statistics(name):
    for fold in folds_of(TABLE, name, 0, 5):
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
    assert {kinds.pop("y_train"), kinds.pop("y_eval")} == {np.dtype(np.int32)}
    assert set(kinds.values()) == {np.dtype(np.float32)}
