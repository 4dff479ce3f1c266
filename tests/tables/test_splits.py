import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from gtzan_jax.tables.splits import deal, deal_groups

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
def test_whole_groups_are_dealt_into_parts_as_equal_as_they_allow(seed):
    part = deal_groups(Y, GROUPS, 4, np.random.RandomState(seed))
    counts = np.array([np.bincount(part[genre == Y], minlength=4) for genre in (0, 1)])
    assert abs(counts - 25).max() <= 5  # half of a large group
    assert all(len(set(part[group == GROUPS])) == 1 for group in range(110))


def test_a_part_has_large_groups_as_often_as_small_ones():
    random = np.random.RandomState(0)
    sizes = np.array([29, 8, 7, 5, 4] + 35 * [1])  # reggae's artists
    groups = np.repeat(np.arange(40), sizes)
    drawn = [
        deal_groups(np.zeros(88, np.int32), groups, 5, random)[np.cumsum(sizes) - 1] == 0
        for _ in range(2000)
    ]
    share = np.mean(drawn, axis=0)
    assert np.abs(share - 0.2).max() < 4 * np.sqrt(0.2 * 0.8 / 2000)


def test_groups_are_dealt_as_scikit_learn_deals_them():
    """The spread of the parts' sizes in a genre, over many draws, is that of its splitter."""
    theirs, ours = [], []
    for seed in range(20):
        splitter = StratifiedGroupKFold(4, shuffle=True, random_state=seed)
        theirs += [np.bincount(Y[test], minlength=2) for _, test in splitter.split(Y, Y, GROUPS)]
        part = deal_groups(Y, GROUPS, 4, np.random.RandomState(seed))
        ours += [np.bincount(Y[part == number], minlength=2) for number in range(4)]
    assert np.std(ours) <= np.std(theirs) + 1e-9
