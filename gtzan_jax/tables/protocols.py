"""Protocols: ways to divide songs into folds, and the meaning of their figures.

The segments of a song follow it, except under one protocol, which shows the effect; see
``Protocol.leak``.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gtzan_jax import checks
from gtzan_jax.checks import Problems
from gtzan_jax.errors import InputError
from gtzan_jax.metrics import METRICS, SEGMENT_METRICS
from gtzan_jax.tables import lists
from gtzan_jax.tables.folds import Fold, FoldArrays, Rows, Sizes, arrays_of, sizes_of
from gtzan_jax.tables.schema import SONGS, FeatureTable, Words, data_note, rows_note
from gtzan_jax.tables.splits import (
    VALIDATION_SHARE,
    Mask,
    deal,
    deal_groups,
    random_split,
)
from gtzan_jax.text import counted

_ARTIST_FOLDS = ("1", "2", "3")  # in the list
_HOLDOUT_TEST_SHARE = 0.2
_DIVISIONS = 3  # of artist_kfold

ARTISTS_APART = ("artist_kfold", "artist_folds", "fault_filtered")
"""The protocols that test on unseen artists."""

LEAK = "LEAK: segments of one song are on both sides"


@dataclass(frozen=True)
class Protocol:
    """A named way to divide songs."""

    name: str
    divide: Callable[[FeatureTable, int, int], list[Fold]]  # for a split seed, a number of folds
    summary: str  # for figures; names the split seed where that matters
    note: str  # the question that it answers, and the meaning of its figures; see ``note_for``
    select_on: Literal["validation", "test"] = "validation"  # by which configs are ranked
    takes_num_folds: bool = False  # whether the user chooses their number
    num_divisions: int = 1  # how often it divides the songs anew, and tests each
    goes_by: str = ""  # its list of GTZAN's tracks, if any; see ``lists``
    leak: str = ""  # the defect of its figures, if it divides rows rather than songs
    keeps_repeats: bool = True  # whether equal rows stay on one side

    def note_for(self, words: Words) -> str:
        """Returns the note for a table, of which these are the words."""
        if words.is_grouped:
            question = f"How well are {words.rows} told of another {words.group} than trained on?"
            sides = f"All {words.rows} of one {words.group} are on one side."
        elif words == SONGS:
            question = _SEEN
            sides = "Exact repeats are on one side, songs of one artist on both."
            if not self.keeps_repeats:
                sides = "Songs of one artist, and exact repeats, may be on both sides."
        else:
            question = "How well are rows told that are like those trained on?"
            where = "are on one side" if self.keeps_repeats else "may be on both sides"
            sides = f"Exact repeats {where}."
        lead = "As in the assignment, the" if words.label == SONGS.label else "The"
        return self.note.format(question=question, sides=sides, lead=lead, **words._asdict())

    def is_apart(self, words: Words) -> bool:
        """Returns whether groups of a table, of which these are the words, are on one side."""
        return self.name in ARTISTS_APART or words.is_grouped

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of its figures on a table of songs."""
        return self.metrics_of(is_segmented=False)

    def metrics_of(self, is_segmented: bool) -> tuple[str, ...]:
        """Returns the names of its figures: of the validation part only if it selects on that."""
        unused = "validation" if self.select_on == "test" else " "
        hidden = () if is_segmented else SEGMENT_METRICS
        return tuple(m for m in METRICS if not m.startswith(unused) and m not in hidden)


@dataclass(frozen=True, eq=False)
class Splits:
    """A table that a protocol has divided, ready for the trainer.

    ``left_out`` are sentences on the differences of the table and the protocol's list.
    """

    table: FeatureTable
    protocol: Protocol
    split_seed: int
    folds: tuple[Fold, ...]
    left_out: tuple[str, ...] = ()

    def __repr__(self) -> str:
        folds = counted(len(self.folds), "fold")
        return f"Splits({self.protocol.name}, {folds} of {self.table!r})"

    @functools.cached_property
    def sizes(self) -> Sizes:
        """The sizes of arrays for all folds."""
        return sizes_of(self.table, self.folds)

    @functools.cached_property
    def arrays(self) -> tuple[FoldArrays, ...]:
        """The trainer's arrays of each fold."""
        return tuple(arrays_of(self.table, fold, self.sizes) for fold in self.folds)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the figures of its folds."""
        return self.protocol.metrics_of(self.table.is_segmented)

    @property
    def marks(self) -> dict[str, str]:
        """The marks of each row of its figures, by column: sample and leak, if any."""
        marks = {"data": "sample"} if self.table.is_sample else {}
        return marks | ({"leak": self.protocol.leak} if self.protocol.leak else {})

    @property
    def note(self) -> str:
        """The splits in a few words for figures."""
        words = self.table.words
        return split_note(self.protocol.name, self.split_seed, len(self.folds), words)

    @property
    def caption(self) -> str:
        """The caption of figures: the data's source, the number of divided rows, the division."""
        used = max(len(f.train) + len(f.validation) + len(f.test) for f in self.folds)
        rows = rows_note(len(self.table.y), self.table.num_songs, used, self.table.words)
        return data_note(self.table.source, rows, self.note)


@checks.known_names
def make_splits(table: FeatureTable, protocol: str, split_seed: int, num_folds: int) -> Splits:
    """Divides a table's songs, and with them its rows.

    Args:
      table: the feature table.
      protocol: a name from ``PROTOCOLS``.
      split_seed: 0 to 2³² - 1.
      num_folds: ignored by protocols without a choice.

    Raises:
      InputError: an argument is impossible, or the table has too few or the wrong songs.
    """
    problems = Problems()
    problems.check(checks.instance, table, "table", FeatureTable)
    problems.check(checks.Choice(tuple(PROTOCOLS)), protocol, "protocol")
    problems.check(checks.Whole(0, 2**32 - 1), split_seed, "split_seed")
    problems.check(checks.Whole(1, 1000), num_folds, "num_folds")
    problems.raise_any()
    chosen, songs = PROTOCOLS[protocol], table.by_song
    if chosen.leak and not table.is_segmented:
        raise InputError(
            f"{table.source}: {protocol} shows what dividing segments does, and this table has a "
            "row a song; give a table of segments, such as --data=sample3, or take another protocol"
        )
    if chosen.goes_by and not table.is_of_songs:
        raise InputError(
            f"{table.source}: {protocol} goes by a list of GTZAN's tracks, and is for its features "
            "alone; take another protocol, such as kfold"
        )
    if chosen.goes_by:
        lists.check_known(songs, chosen.goes_by)
    left_out = lists.left_out(songs, chosen.goes_by) if chosen.goes_by else ()
    folds = chosen.divide(table if chosen.leak else songs, split_seed, num_folds)
    if not chosen.leak:
        ends = np.cumsum(np.bincount(table.songs))
        rows_of = np.split(np.argsort(table.songs, kind="stable"), ends[:-1])
        folds = [
            Fold(*(np.concatenate([ends[:0], *(rows_of[song] for song in part)]) for part in fold))
            for fold in folds
        ]
    splits = Splits(table, chosen, split_seed, tuple(folds), left_out)
    if table.group is not None and (chosen.goes_by or chosen.leak):
        _check_apart(splits, table.group)
    return splits


def split_note(protocol: str, split_seed: int, num_folds: int, words: Words = SONGS) -> str:
    """Returns the splits in a few words for figures."""
    summary = PROTOCOLS[protocol].summary.format(num_folds=num_folds, split_seed=split_seed)
    if not words.is_grouped:
        return summary
    return summary.replace(", split seed", f", each {words.group} on one side, split seed")


def groups_of(table: FeatureTable) -> NDArray[np.int32]:
    """Returns the group of each row: (rows,) numbers from 0, in the order of their first rows.

    Rows of one song, with equal features, or of one listed artist are a group, which resampling
    draws as a whole, since such rows are alike. Where a column has the groups, it is they, and
    of songs those with equal features join them.
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
    """Numbers groups of rows: those of the table's column, of which overlapping ones become one."""
    first = np.arange(len(table.y))
    if table.group is not None:
        first = np.unique(table.group, return_index=True)[1][table.group]
        if not table.is_of_songs:
            together = ()  # rows of a few whole numbers may be equal, and would join all groups

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


def _check_apart(splits: Splits, group: NDArray[np.int32]) -> None:
    """Raises InputError where a group of the table's column is in two parts of a fold."""
    for fold in splits.folds:
        train, validation, test = (np.unique(group[rows]) for rows in fold)
        held = np.concatenate([validation, test])
        if np.isin(held, train).any() or len(np.unique(held)) < len(held):
            raise InputError(
                f"{splits.table.source}: {splits.protocol.name} has rows of one "
                f"{splits.table.words.group} in two parts; take another protocol, such as kfold, "
                "or leave --group out"
            )


def _assignment(table: FeatureTable, seed: int, _num_folds: int) -> list[Fold]:
    if table.group is None:
        return [random_split(len(table.y), seed)]
    groups = repeats_of(table)
    test = np.isin(groups, random_split(groups.max() + 1, seed).test)
    return [_fold(table, ~test, None, test)]


def _holdout(table: FeatureTable, seed: int, _num_folds: int) -> list[Fold]:
    groups, random = repeats_of(table), np.random.RandomState(seed)
    if table.group is not None:
        validation, test = _fifths(table.y, groups, 2, random)
        return [_fold(table, ~validation & ~test, validation, test)]
    places = deal(table.y, groups, random)
    validation = places < VALIDATION_SHARE
    test = ~validation & (places < VALIDATION_SHARE + _HOLDOUT_TEST_SHARE)
    return [_fold(table, ~validation & ~test, validation, test)]


def _kfold(table: FeatureTable, seed: int, num_folds: int) -> list[Fold]:
    words, counts = table.words, np.bincount(table.y)
    what = words.rows
    if table.group is not None:
        counts = np.bincount(np.unique(np.stack([table.y, repeats_of(table)]), axis=1)[0])
        what = f"groups ({words.group})"
        if counts.min() < 2:
            raise InputError(
                f"all {words.rows} of the {words.label} {table.genres[counts.argmin()]!r} are of "
                f"one {words.group}: none could be tested after others were trained on"
            )
    if num_folds > counts.min():
        raise InputError(
            f"{num_folds} folds need as many {what} of each {words.label}, and the smallest, "
            f"{table.genres[counts.argmin()]!r}, has {counts.min()}; take "
            f"--num_folds={max(2, counts.min())} or fewer"
        )
    return _stratified(table, np.arange(len(table.y)), seed, num_folds)


def _mixed_artists(table: FeatureTable, seed: int, _num_folds: int) -> list[Fold]:
    part = _parts(table, lists.ARTIST_FOLDS)
    return _stratified(table, np.flatnonzero(part != ""), seed, len(_ARTIST_FOLDS))


def _stratified(table: FeatureTable, rows: Rows, seed: int, num_folds: int) -> list[Fold]:
    """Divides rows into stratified folds, with a fifth of each train part for validation."""
    y, groups, random, folds = table.y, repeats_of(table), np.random.RandomState(seed), []
    part = np.full(len(y), -1)
    if table.group is not None:
        part[rows] = deal_groups(y[rows], groups[rows], num_folds, random)
        for number in range(num_folds):
            test, held = part == number, np.zeros(len(y), bool)
            others = rows[part[rows] != number]
            [held[others]] = _fifths(y[others], groups[others], 1, random)
            folds.append(_fold(table, (part >= 0) & ~test & ~held, held, test))
        return folds
    part[rows] = np.floor(num_folds * deal(y[rows], groups[rows], random))
    for number in range(num_folds):
        test, others = part == number, rows[part[rows] != number]
        held = np.zeros(len(y), bool)
        held[others] = deal(y[others], groups[others], random) < VALIDATION_SHARE
        folds.append(_fold(table, (part >= 0) & ~test & ~held, held, test))
    return folds


def _fault_filtered(table: FeatureTable, _seed: int, _num_folds: int) -> list[Fold]:
    part = _parts(table, lists.FAULT_FILTERED)
    return [_fold(table, part == "train", part == "validation", part == "test")]


def _artist_folds(table: FeatureTable, seed: int, _num_folds: int) -> list[Fold]:
    part, random = _parts(table, lists.ARTIST_FOLDS), np.random.RandomState(seed)
    return [_with_validation(table, part != "", part == n, random) for n in _ARTIST_FOLDS]


def _artist_kfold(table: FeatureTable, seed: int, _num_folds: int) -> list[Fold]:
    rows = np.flatnonzero(_parts(table, lists.ARTIST_FOLDS) != "")
    groups, random, folds = groups_of(table), np.random.RandomState(seed), []
    for _ in range(_DIVISIONS):
        part = np.full(len(table.y), -1)
        part[rows] = deal_groups(table.y[rows], groups[rows], len(_ARTIST_FOLDS), random)
        for number in range(len(_ARTIST_FOLDS)):
            folds.append(_with_validation(table, part >= 0, part == number, random))
    return folds


def _with_validation(
    table: FeatureTable, listed: Mask, test: Mask, random: np.random.RandomState
) -> Fold:
    """Holds out a fifth of the other listed rows for validation, of groups of its own."""
    others, parts = np.flatnonzero(listed & ~test), round(1 / VALIDATION_SHARE)
    held = np.zeros(len(test), bool)
    held[others] = deal_groups(table.y[others], groups_of(table)[others], parts, random) == 0
    return _fold(table, listed & ~test & ~held, held, test)


def with_validation(table: FeatureTable, fold: Fold, seed: int, groups: NDArray[np.int32]) -> Fold:
    """Returns a fold with a validation part: its own, or a stratified fifth of its train part.

    ``groups`` is (table's rows,), the numbers of groups each of which stays on one side.
    """
    if len(fold.validation):
        return fold
    rows, random, held = fold.train, np.random.RandomState(seed), np.zeros(len(table.y), bool)
    if table.group is None:
        held[rows] = deal(table.y[rows], groups[rows], random) < VALIDATION_SHARE
        return Fold(rows[~held[rows]], rows[held[rows]], fold.test)
    [held[rows]] = _fifths(table.y[rows], groups[rows], 1, random)
    train, test = (np.isin(np.arange(len(table.y)), part) for part in (rows, fold.test))
    return _fold(table, train & ~held, held, test)


def _fifths(
    y: NDArray[np.int32], groups: NDArray[np.int32], count: int, random: np.random.RandomState
) -> list[Mask]:
    """Deals whole groups into five parts; returns those nearest to a fifth of the rows."""
    num_parts = min(round(1 / VALIDATION_SHARE), len(np.unique(groups)))
    parts = deal_groups(y, groups, num_parts, random)
    off = np.abs(np.bincount(parts, minlength=num_parts) - VALIDATION_SHARE * len(y))
    nearest = np.argsort(off, kind="stable")
    return [parts == part for part in (*nearest, -1)[:count]]  # -1: none is left, and its is empty


def _fold(table: FeatureTable, train: Mask, validation: Mask | None, test: Mask) -> Fold:
    """Returns the fold of three parts, each (rows,); none is empty but validation, if None."""
    parts = {"train": train, "validation": validation, "test": test}
    masks = {name: np.zeros_like(train) if m is None else m for name, m in parts.items()}
    for name, part in parts.items():
        if part is not None and not part.any():
            words, count = table.words, sum(int(mask.sum()) for mask in masks.values())
            groups = f", in groups by {words.group}," if words.is_grouped else ""
            raise InputError(
                f"the {name} part of a fold would be empty: {count} {words.rows}{groups} are too "
                "few"
            )
    return Fold(*map(np.flatnonzero, masks.values()))


def _parts(table: FeatureTable, name: str) -> NDArray[np.str_]:
    """Returns the part of each row in a list: (rows,), "" where the list has none."""
    return np.array([listed.part if listed else "" for listed in lists.look_up(table, name)])


_SEEN = "How well are songs told by artists that were trained on?"
_UNSEEN = "How well are songs told by artists that were not trained on?"

_ALL = (
    Protocol(
        "assignment",
        _assignment,
        "random 70:30 split, split seed {split_seed}",
        "{lead} configs are ranked by their accuracy on the same 30 % of the "
        "{rows} that is reported, so the best one's accuracy is optimistic. {sides}",
        select_on="test",
        keeps_repeats=False,
    ),
    Protocol(
        "holdout",
        _holdout,
        "stratified 60:20:20 split, split seed {split_seed}",
        "{question} 60 % of the {rows} train, 20 % rank the configs, and the accuracy on the last "
        "20 %, which nothing is chosen by, stands beside it. {sides} One split: another would give "
        "other figures.",
    ),
    Protocol(
        "kfold",
        _kfold,
        "{num_folds} stratified folds, split seed {split_seed}",
        "{question} Each {row} is tested once, by networks that did not train on it; a fifth of "
        "each train part ranks the configs. {sides} The networks of different folds share most of "
        "their train {rows}.",
        takes_num_folds=True,
    ),
    Protocol(
        "artist_kfold",
        _artist_kfold,
        f"{_DIVISIONS} random divisions into {len(_ARTIST_FOLDS)} folds that share no artist, "
        "split seed {split_seed}",
        f"{_UNSEEN} The tracks whose artists Foleis and Tavares (2020) list, divided at random "
        f"{_DIVISIONS} times into {len(_ARTIST_FOLDS)} folds that share no artist and have as many "
        "tracks of each genre as that allows. Each track is tested once a division; a fifth of "
        "each train part, of artists of its own, ranks the configs. Artists may be shared under "
        "other names.",
        num_divisions=_DIVISIONS,
        goes_by=lists.ARTIST_FOLDS,
    ),
    Protocol(
        "fault_filtered",
        _fault_filtered,
        "fault-filtered split of Kereliuk, Sturm and Larsen",
        f"{_UNSEEN} GTZAN without repeats and distortions, in the three parts of Kereliuk, Sturm "
        "and Larsen (2015). No artist is known to be in two of them but one of disco, with two "
        "tracks in the train part and one in the test part. One split: another would give other "
        "figures.",
        goes_by=lists.FAULT_FILTERED,
    ),
    Protocol(
        "artist_folds",
        _artist_folds,
        "{num_folds} folds that share no artist, validation parts of split seed {split_seed}",
        f"{_UNSEEN} No artist is in two of the three folds of Foleis and Tavares (2020), and each "
        "of their tracks is tested once; about a fifth of each train part, of artists of its own, "
        "ranks the configs. For comparison with papers: these folds are harder than random ones "
        "that share no artist, since they differ in more than artists; see artist_kfold.",
        goes_by=lists.ARTIST_FOLDS,
    ),
    Protocol(
        "mixed_artists",
        _mixed_artists,
        "{num_folds} stratified folds of the tracks of artist_kfold, split seed {split_seed}",
        "The control of artist_kfold: the same tracks in folds of the same size, so that songs of "
        "one artist are on both sides. The difference between the two is what it is worth to have "
        "trained on the artists.",
        goes_by=lists.ARTIST_FOLDS,
    ),
    Protocol(
        "leaky_chunks",
        _assignment,
        f"{LEAK}; random 70:30 split of segments, split seed {{split_seed}}",
        f"{LEAK}. A network need only know a song again, so that its figures say nothing about "
        "songs that it has not heard. It is here to show how much that is: reports of 0.90 on "
        "three-second segments divide them so. The configs are ranked by the test part.",
        select_on="test",
        leak=LEAK,
    ),
)

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _ALL}
