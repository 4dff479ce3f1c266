"""Random splits of rows, stratified by genre.

Rows that belong together, such as exact repeats, are a *group* and stay on one side.
"""

import math

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.tables.folds import Fold, Rows

VALIDATION_SHARE = 0.2  # of the tracks that are not tested; of all in the holdout
_TEST_SHARE = 0.3  # in the assignment

Mask = NDArray[np.bool_]  # (rows,)


def random_split(num_rows: int, seed: int) -> Fold:
    """Splits rows 70:30 at random as scikit-learn's ``train_test_split``, which imports slowly."""
    num_test = math.ceil(_TEST_SHARE * num_rows)
    rows = np.random.RandomState(seed).permutation(num_rows)
    return Fold(train=rows[num_test:], validation=rows[:0], test=rows[:num_test])


def deal(
    y: NDArray[np.int32], groups: NDArray[np.int32], random: np.random.RandomState
) -> NDArray[np.float64]:
    """Deals out rows: returns (rows,) numbers in [0, 1), evenly spread within each genre.

    The rows with numbers in an interval are a part, stratified up to the size of a group, whose
    rows share a number. Each genre starts at a random place, so that remainders do not all go to
    the same part. A group of several genres counts as its first row's genre.
    """
    first, group, size = _grouped(groups)
    places = np.empty(len(first))
    for genre in np.unique(y):
        mine = np.flatnonzero(y[first] == genre)
        order = mine[random.permutation(len(mine))]
        ends = np.cumsum(size[order])
        places[order] = (ends - size[order] + random.uniform()) / ends[-1:]
    return places[group]


def deal_groups(
    y: NDArray[np.int32], groups: NDArray[np.int32], num_parts: int, random: np.random.RandomState
) -> NDArray[np.int32]:
    """Deals whole groups, which may be large, into parts: returns (rows,) the part.

    Genre by genre the largest group goes first, to the part with the fewest rows of its genres;
    ties are broken at random. A group of several genres counts as its first row's genre.
    ``StratifiedGroupKFold`` is similar, but its result depends on scikit-learn's version.
    """
    first, group, size = _grouped(groups)
    genres, genre = np.unique(y, return_inverse=True)
    counts = np.zeros((len(first), len(genres)), np.intp)
    np.add.at(counts, (group, genre), 1)
    rows = np.zeros((num_parts, len(genres)), np.intp)
    part = np.empty(len(first), np.int32)
    for number in range(len(genres)):
        mine = random.permutation(np.flatnonzero(genre[first] == number))
        for place in mine[np.argsort(-size[mine], kind="stable")]:
            alike = rows @ counts[place]
            part[place] = random.choice(np.flatnonzero(alike == alike.min()))
            rows[part[place]] += counts[place]
    return part[group]


def _grouped(groups: NDArray[np.int32]) -> tuple[Rows, Rows, NDArray[np.intp]]:
    """Returns the first row of each group, the group of each row, and the size of each group."""
    _, first, group, size = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    return first, group, size
