import numpy as np
import pytest

from gtzan_jax.tables.splits import deal, hold_groups

# Of each of two genres: five groups of ten rows, 50 of one.
GROUPS = np.repeat(np.arange(110), ([10] * 5 + [1] * 50) * 2)
Y = np.repeat([0, 1], 100)


@pytest.mark.parametrize("seed", range(10))
def test_large_groups_are_dealt_out_by_their_size(seed):
    places = deal(Y, GROUPS, np.random.RandomState(seed))
    assert ((places >= 0) & (places < 1)).all()
    assert all(len(set(places[group == GROUPS])) == 1 for group in range(110))
    for of_genre in (places[:100], places[100:]):
        counts = np.histogram(of_genre, bins=5, range=(0, 1))[0]
        assert abs(counts - 20).max() <= 10


@pytest.mark.parametrize("seed", range(10))
def test_whole_groups_are_held_out_as_near_to_the_share_as_they_allow(seed):
    held = hold_groups(Y, GROUPS, 0.25, np.random.RandomState(seed))
    assert abs(np.bincount(Y[held]) - 25).max() <= 5  # half of a large group
    assert all(len(set(held[group == GROUPS])) == 1 for group in range(110))


def test_a_genre_of_one_large_group_is_not_held_out():
    y, groups = np.repeat([0, 1], [30, 4]), np.array([0] * 30 + [1, 2, 3, 4])
    held = hold_groups(y, groups, 0.25, np.random.RandomState(0))
    assert np.bincount(y[held], minlength=2).tolist() == [0, 1]
