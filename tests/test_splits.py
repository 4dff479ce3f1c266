from dataclasses import replace

import numpy as np
import pytest
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from gtzan_jax.errors import InputError
from gtzan_jax.features import load_table
from gtzan_jax.splits import TEST_SIZE, Split, random_split, standardise, train_size


@pytest.fixture(scope="module")
def table():
    return load_table("sample")


def first_rows(table, count):
    return replace(table, x=table.x[:count], y=table.y[:count], tracks=table.tracks[:count])


@pytest.mark.parametrize("seed", [0, 42, 2**32 - 1])
def test_random_split_is_the_assignments(table, seed):
    split = random_split(table, seed)
    # The assignment split the rows themselves, not their numbers.
    x_train, x_test, y_train, y_test = train_test_split(
        table.x, table.y, test_size=0.3, random_state=seed
    )
    np.testing.assert_array_equal(table.x[split.train], x_train)
    np.testing.assert_array_equal(table.x[split.test], x_test)
    np.testing.assert_array_equal(table.y[split.train], y_train)
    np.testing.assert_array_equal(table.y[split.test], y_test)


def test_a_split_uses_each_track_once(table):
    split = random_split(table, 0)
    assert sorted([*split.train, *split.test]) == list(range(1000))
    assert (len(split.train), len(split.test)) == (700, 300)


@pytest.mark.parametrize("test_size", [TEST_SIZE, 0.1, 0.25, 1 / 3, 0.7])
def test_train_size_is_known_before_the_split(table, test_size):
    for tracks in [*range(20, 140), 930, 999, 1000]:
        split = random_split(first_rows(table, tracks), 0, test_size)
        assert train_size(tracks, test_size) == len(split.train)


@pytest.mark.parametrize("test_size", [0.0, 1.0, -0.3, 1.5, 0.99, float("nan")])
def test_a_test_size_that_leaves_a_part_empty_is_refused(table, test_size):
    with pytest.raises(InputError, match="test size"):
        random_split(first_rows(table, 20), 0, test_size)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(table, seed):
    with pytest.raises(InputError, match="split seed"):
        random_split(table, seed)


def test_standardise_uses_the_train_part_only(table):
    split = random_split(table, 0)
    dataset = standardise(table, split)
    train = table.x[split.train].astype(np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    np.testing.assert_allclose(dataset.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(dataset.scale, deviation, rtol=1e-9)
    np.testing.assert_allclose(dataset.x_train, (train - mean) / deviation, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        dataset.x_test, (table.x[split.test] - mean) / deviation, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(dataset.y_train, table.y[split.train])
    np.testing.assert_array_equal(dataset.y_test, table.y[split.test])
    assert {dataset.x_train.dtype, dataset.x_test.dtype} == {np.dtype(np.float32)}
    assert {dataset.y_train.dtype, dataset.y_test.dtype} == {np.dtype(np.int32)}
    assert {dataset.mean.dtype, dataset.scale.dtype} == {np.dtype(np.float64)}


def test_standardise_is_scikit_learns(table):
    x = table.x.copy()
    x[:, 3], x[:, 4] = 0.1, 1e6 + 1e-9 * np.arange(len(x))  # equal but for rounding
    split = random_split(table, 1)
    dataset = standardise(replace(table, x=x), split)
    scaler = StandardScaler().fit(x[split.train].astype(np.float64))
    np.testing.assert_allclose(dataset.mean, scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(dataset.scale, scaler.scale_, rtol=1e-9)


def test_the_test_part_does_not_touch_the_statistics(table):
    split = random_split(table, 0)
    x = table.x.copy()
    x[split.test] *= 100
    changed, original = standardise(replace(table, x=x), split), standardise(table, split)
    np.testing.assert_array_equal(changed.mean, original.mean)
    np.testing.assert_array_equal(changed.scale, original.scale)
    np.testing.assert_array_equal(changed.x_train, original.x_train)


def test_a_constant_feature_becomes_zero(table):
    x = table.x.copy()
    x[:, 3] = 7.3e6
    dataset = standardise(replace(table, x=x), random_split(table, 0))
    assert dataset.scale[3] == 1
    assert not dataset.x_train[:, 3].any()
    assert not dataset.x_test[:, 3].any()


def test_a_genre_without_train_tracks_is_refused(table):
    split = Split(train=np.arange(900), test=np.arange(900, 1000))
    with pytest.raises(InputError, match=r"no track of rock is in the train part.*seed"):
        standardise(table, split)
