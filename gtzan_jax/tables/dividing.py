"""Rules of the protocols: dividing rows into folds, and the groups that stay on one side."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError
from gtzan_jax.tables import lists
from gtzan_jax.tables.folds import Fold, Rows
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.splits import VALIDATION_SHARE, Mask, deal, deal_groups, random_split

ARTIST_PARTS = ("1", "2", "3")  # in the list
_HOLDOUT_TEST_SHARE = 0.2

DIVISIONS = 3
"""Number of random divisions of ``artist_kfold``."""


def groups_of(table: FeatureTable) -> NDArray[np.int32]:
    """Returns the group of each row: (rows,) numbers from 0, in the order of their first rows.

    Rows of one song, with equal features, or of one listed artist are a group: such rows are alike,
    so resampling draws groups as a whole. If a column gives the groups, it replaces the artists;
    songs with equal features still share a group.
    """
    songs = table.by_song
    songs_of: dict[int, list[int]] = {}
    if table.is_of_songs and table.group is None:
        for song, listed in enumerate(lists.look_up(songs, lists.ARTIST_FOLDS)):
            if listed:
                songs_of.setdefault(listed.artist, []).append(song)
    return _merged(songs, [*songs_of.values(), *songs.repeats])[table.songs]


def repeats_of(table: FeatureTable) -> NDArray[np.int32]:
    """Returns the group of each row: of one song, with equal features, or by the table's column."""
    return _merged(table.by_song, table.by_song.repeats)[table.songs]


def _merged(table: FeatureTable, together: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    """Numbers groups of rows: the table's column, joined by the rows in each of ``together``."""
    first = np.arange(len(table.y))
    if table.group is not None:
        first = np.unique(table.group, return_index=True)[1][table.group]
        if not table.is_of_songs:
            together = ()  # coarse features may be equal in all groups, and would join them

    def root(row: int) -> int:
        while first[row] != row:
            row = first[row]
        return row

    for rows in together:
        roots = {root(row) for row in rows}
        first[list(roots)] = min(roots)
    while (first != first[first]).any():
        first = first[first]
    numbers: NDArray[np.int32] = np.unique(first, return_inverse=True)[1].astype(np.int32)
    return numbers


def assignment(table: FeatureTable, seed: int, _num_folds: int) -> list[Fold]:
    """Divides rows 70:30 at random, or the groups of the table's column."""
    if table.group is None:
        return [random_split(len(table.y), seed)]
    groups = repeats_of(table)
    split = random_split(groups.max() + 1, seed)
    fold = Fold(*(np.flatnonzero(np.isin(groups, part)) for part in split))
    return [_checked(table, fold, ("train", "test"))]


def holdout(table: FeatureTable, seed: int, _num_folds: int) -> list[Fold]:
    """Divides rows 60:20:20, stratified."""
    groups, random = repeats_of(table), np.random.RandomState(seed)
    if table.group is not None:
        validation, test = _fifths(table.y, groups, 2, random)
        return [_fold(table, ~validation & ~test, validation, test)]
    places = deal(table.y, groups, random)
    validation = places < VALIDATION_SHARE
    test = ~validation & (places < VALIDATION_SHARE + _HOLDOUT_TEST_SHARE)
    return [_fold(table, ~validation & ~test, validation, test)]


def kfold(table: FeatureTable, seed: int, num_folds: int) -> list[Fold]:
    """Divides rows into stratified folds."""
    words, counts = table.words, np.bincount(table.y)
    what = words.rows
    if table.group is not None:
        counts = np.bincount(np.unique(np.stack([table.y, repeats_of(table)]), axis=1)[0])
        what = f"groups ({words.group})"
        if counts.min() < 2:
            raise InputError(
                f"all {words.rows} of the {words.label} {table.genres[counts.argmin()]!r} are of "
                f"one {words.group}: the {words.label} cannot be both trained and tested; remove "
                f"its {words.rows}, or choose another --group"
            )
    if num_folds > counts.min():
        raise InputError(
            f"{num_folds} folds need as many {what} of each {words.label}, but the smallest, "
            f"{table.genres[counts.argmin()]!r}, has {counts.min()}; take "
            f"--num_folds={max(2, counts.min())} or fewer"
        )
    return _stratified(table, np.arange(len(table.y)), seed, num_folds)


def mixed_artists(table: FeatureTable, seed: int, _num_folds: int) -> list[Fold]:
    """Divides listed tracks into stratified folds."""
    part = _parts(table, lists.ARTIST_FOLDS)
    return _stratified(table, np.flatnonzero(part != ""), seed, len(ARTIST_PARTS))


def _stratified(table: FeatureTable, rows: Rows, seed: int, num_folds: int) -> list[Fold]:
    """Divides rows into stratified folds, with a validation fifth of each train part."""
    y, groups, random, folds = table.y, repeats_of(table), np.random.RandomState(seed), []
    part = np.full(len(y), -1)
    if table.group is None:
        part[rows] = np.floor(num_folds * deal(y[rows], groups[rows], random))
    else:
        part[rows] = deal_groups(y[rows], groups[rows], num_folds, random)
    for number in range(num_folds):
        test, others = part == number, rows[part[rows] != number]
        held = np.zeros(len(y), bool)
        held[others] = _held_out(table, others, groups, random)
        folds.append(_fold(table, (part >= 0) & ~test & ~held, held, test))
    return folds


def fault_filtered(table: FeatureTable, _seed: int, _num_folds: int) -> list[Fold]:
    """Divides tracks as the published list does."""
    part = _parts(table, lists.FAULT_FILTERED)
    return [_fold(table, part == "train", part == "validation", part == "test")]


def artist_folds(table: FeatureTable, seed: int, _num_folds: int) -> list[Fold]:
    """Divides tracks into the folds of the published list."""
    part, random = _parts(table, lists.ARTIST_FOLDS), np.random.RandomState(seed)
    return [_with_validation(table, part != "", part == n, random) for n in ARTIST_PARTS]


def artist_kfold(table: FeatureTable, seed: int, _num_folds: int) -> list[Fold]:
    """Divides listed tracks several times into folds that share no artist."""
    rows = np.flatnonzero(_parts(table, lists.ARTIST_FOLDS) != "")
    groups, random, folds = groups_of(table), np.random.RandomState(seed), []
    for _ in range(DIVISIONS):
        part = np.full(len(table.y), -1)
        part[rows] = deal_groups(table.y[rows], groups[rows], len(ARTIST_PARTS), random)
        for number in range(len(ARTIST_PARTS)):
            folds.append(_with_validation(table, part >= 0, part == number, random))
    return folds


def _with_validation(
    table: FeatureTable, listed: Mask, test: Mask, random: np.random.RandomState
) -> Fold:
    """Returns a fold with whole groups, a fifth of the other listed rows, for validation."""
    others, parts = np.flatnonzero(listed & ~test), round(1 / VALIDATION_SHARE)
    held = np.zeros(len(test), bool)
    held[others] = deal_groups(table.y[others], groups_of(table)[others], parts, random) == 0
    return _fold(table, listed & ~test & ~held, held, test)


def with_validation(table: FeatureTable, fold: Fold, seed: int, groups: NDArray[np.int32]) -> Fold:
    """Returns a fold with a validation part: its own, or a stratified fifth of its train part.

    ``groups`` is (table's rows,), the number of each row's group; a group stays on one side.

    Raises:
      InputError: there are too few groups.
    """
    if len(fold.validation):
        return fold
    held = _held_out(table, fold.train, groups, np.random.RandomState(seed))
    return _checked(table, Fold(fold.train[~held], fold.train[held], fold.test))


def _held_out(
    table: FeatureTable, rows: Rows, groups: NDArray[np.int32], random: np.random.RandomState
) -> Mask:
    """Returns a mask (rows,) of a stratified fifth of the rows, with groups on one side."""
    if table.group is None:
        return deal(table.y[rows], groups[rows], random) < VALIDATION_SHARE
    return _fifths(table.y[rows], groups[rows], 1, random)[0]


def _fifths(
    y: NDArray[np.int32], groups: NDArray[np.int32], count: int, random: np.random.RandomState
) -> list[Mask]:
    """Deals whole groups into five parts; returns the parts nearest to a fifth of the rows."""
    num_parts = min(round(1 / VALIDATION_SHARE), len(np.unique(groups)))
    parts = deal_groups(y, groups, num_parts, random)
    off = np.abs(np.bincount(parts, minlength=num_parts) - VALIDATION_SHARE * len(y))
    nearest = np.argsort(off, kind="stable")
    return [parts == part for part in (*nearest, -1)[:count]]  # -1: a part without rows


def _fold(table: FeatureTable, *parts: Mask) -> Fold:
    """Returns the fold of train, validation and test masks (rows,), none of them empty."""
    return _checked(table, Fold(*map(np.flatnonzero, parts)))


def _checked(table: FeatureTable, fold: Fold, needed: Sequence[str] = Fold._fields) -> Fold:
    """Returns a fold; raises InputError if a needed part is empty."""
    for name in needed:
        if not len(getattr(fold, name)):
            words, count = table.words, sum(map(len, fold))
            groups = f", in groups by {words.group}," if words.is_grouped else ""
            raise InputError(
                f"the {name} part of a fold would be empty: {count} {words.rows}{groups} are too "
                "few"
            )
    return fold


def _parts(table: FeatureTable, name: str) -> NDArray[np.str_]:
    """Returns (rows,) the part of each row in a list, "" if it is not listed."""
    return np.array([listed.part if listed else "" for listed in lists.look_up(table, name)])
