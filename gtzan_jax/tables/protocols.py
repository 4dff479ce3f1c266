"""Split protocols: ways to divide rows into folds, and the meaning of their figures.

All segments of a song are in one part, except under one protocol, which shows the effect of the
leak; see ``Protocol.leak``.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gtzan_jax import checks
from gtzan_jax.checks import Problems
from gtzan_jax.errors import InputError
from gtzan_jax.metrics import METRICS, SEGMENT_METRICS
from gtzan_jax.tables import dividing, lists
from gtzan_jax.tables.dividing import ARTIST_PARTS, DIVISIONS
from gtzan_jax.tables.folds import Fold, FoldArrays, Sizes, arrays_of, sizes_of
from gtzan_jax.tables.schema import SONGS, FeatureTable, Words, data_note, rows_note
from gtzan_jax.text import counted

ARTISTS_APART = ("artist_kfold", "artist_folds", "fault_filtered")
"""The protocols that test on unseen artists."""

LEAK = "LEAK: segments of one song are on both sides"


@dataclass(frozen=True)
class Protocol:
    """A named way to divide rows, or songs where a table has them."""

    name: str
    divide: Callable[[FeatureTable, int, int], list[Fold]]  # by split seed and number of folds
    summary: str  # for figures; names the split seed where that matters
    note: str  # the question, and the meaning of the figures; see ``note_for``
    select_on: Literal["validation", "test"] = "validation"  # part that ranks configs
    takes_num_folds: bool = False  # True if the user chooses their number
    num_divisions: int = 1  # number of times that it divides all songs
    goes_by: str = ""  # name of its list of GTZAN's tracks, if any; see ``lists``
    leak: str = ""  # the defect of its figures, if it divides rows, not songs
    keeps_repeats: bool = True  # True if equal rows stay on one side

    def note_for(self, words: Words) -> str:
        """Returns the note for a table with the given words."""
        if words.is_grouped:
            question = f"How well are {words.rows} of a new {words.group} classified?"
            sides = f"All {words.rows} of one {words.group} are on one side."
        elif words == SONGS:
            question = _SEEN
            sides = "Exact repeats are on one side, songs of one artist on both."
            if not self.keeps_repeats:
                sides = "Songs of one artist, and exact repeats, may be on both sides."
        else:
            question = "How well are rows like those of the train part classified?"
            where = "are on one side" if self.keeps_repeats else "may be on both sides"
            sides = f"Exact repeats {where}."
        lead = "As in the assignment, the" if words.label == SONGS.label else "The"
        return self.note.format(question=question, sides=sides, lead=lead, **words._asdict())

    def is_apart(self, words: Words) -> bool:
        """Returns whether groups of a table with the given words stay on one side."""
        return self.name in ARTISTS_APART or words.is_grouped

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics on a table without segments."""
        return self.metrics_of(is_segmented=False)

    def metrics_of(self, is_segmented: bool) -> tuple[str, ...]:
        """Returns the names of the metrics; those of an unused validation part are left out."""
        unused = "validation" if self.select_on == "test" else " "
        hidden = () if is_segmented else SEGMENT_METRICS
        return tuple(m for m in METRICS if not m.startswith(unused) and m not in hidden)


@dataclass(frozen=True, eq=False)
class Splits:
    """A table that a protocol has divided, ready for the trainer.

    ``left_out`` has sentences on differences between the table and the protocol's list.
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
        """Names of the metrics of each fold."""
        return self.protocol.metrics_of(self.table.is_segmented)

    @property
    def marks(self) -> dict[str, str]:
        """The marks in each row of result tables, by column: sample and leak, if any."""
        marks = {"data": "sample"} if self.table.is_sample else {}
        return marks | ({"leak": self.protocol.leak} if self.protocol.leak else {})

    @property
    def note(self) -> str:
        """A short description of the splits, for figures."""
        words = self.table.words
        return split_note(self.protocol.name, self.split_seed, len(self.folds), words)

    @property
    def caption(self) -> str:
        """The caption of figures: source of the data, number of divided rows, splits."""
        used = max(len(f.train) + len(f.validation) + len(f.test) for f in self.folds)
        rows = rows_note(len(self.table.y), self.table.num_songs, used, self.table.words)
        return data_note(self.table.source, rows, self.note)


@checks.known_names
def make_splits(table: FeatureTable, protocol: str, split_seed: int, num_folds: int) -> Splits:
    """Divides a table's rows, with those of a song in one part.

    Args:
      table: the feature table.
      protocol: a name from ``PROTOCOLS``.
      split_seed: 0 to 2³² - 1.
      num_folds: used by ``kfold`` only.

    Raises:
      InputError: an argument is wrong, or the table has too few songs, or other ones.
    """
    problems = Problems()
    problems.check(checks.instance, table, "table", FeatureTable)
    problems.check(checks.Choice(tuple(PROTOCOLS)), protocol, "protocol")
    problems.check(checks.Whole(0, 2**32 - 1), split_seed, "split_seed")
    problems.check(checks.Whole(1, 1000), num_folds, "num_folds")
    problems.raise_any()
    chosen, songs = PROTOCOLS[protocol], table.by_song
    if chosen.leak and not table.is_segmented:
        hint = "give one, such as --data=sample3, or " if table.is_of_songs else ""
        raise InputError(
            f"{table.source}: {protocol} needs a table of segments: {hint}take another protocol"
        )
    if chosen.goes_by and not table.is_of_songs:
        raise InputError(
            f"{table.source}: {protocol} uses a list of GTZAN's tracks, so it needs a table of "
            "them; take another protocol, such as kfold"
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
    """Returns a short description of splits, for figures."""
    summary = PROTOCOLS[protocol].summary.format(num_folds=num_folds, split_seed=split_seed)
    if not words.is_grouped:
        return summary
    return summary.replace(", split seed", f", each {words.group} on one side, split seed")


def _check_apart(splits: Splits, group: NDArray[np.int32]) -> None:
    """Raises InputError if a group of the table's column is in two parts of a fold."""
    for fold in splits.folds:
        train, validation, test = (np.unique(group[rows]) for rows in fold)
        held = np.concatenate([validation, test])
        if np.isin(held, train).any() or len(np.unique(held)) < len(held):
            raise InputError(
                f"{splits.table.source}: {splits.protocol.name} has rows of one "
                f"{splits.table.words.group} in two parts; take another protocol, such as kfold, "
                "or leave --group out"
            )


_SEEN = "How well are songs classified whose artists are also in the train part?"
_UNSEEN = "How well are songs classified whose artists are not in the train part?"

_ALL = (
    Protocol(
        "assignment",
        dividing.assignment,
        "random 70:30 split, split seed {split_seed}",
        "{lead} configs are ranked by their accuracy on the same 30 % of the "
        "{rows} that is reported, so the best one's accuracy is optimistic. {sides}",
        select_on="test",
        keeps_repeats=False,
    ),
    Protocol(
        "holdout",
        dividing.holdout,
        "stratified 60:20:20 split, split seed {split_seed}",
        "{question} Networks train on 60 % of the {rows}, 20 % rank the configs, and the accuracy "
        "on the last 20 %, which select nothing, is reported beside it. {sides} One split: another "
        "would give other figures.",
    ),
    Protocol(
        "kfold",
        dividing.kfold,
        "{num_folds} stratified folds, split seed {split_seed}",
        "{question} Each {row} is tested once, by networks that did not train on it; a fifth of "
        "each train part ranks the configs. {sides} The networks of different folds share most of "
        "their train {rows}.",
        takes_num_folds=True,
    ),
    Protocol(
        "artist_kfold",
        dividing.artist_kfold,
        f"{DIVISIONS} random divisions into {len(ARTIST_PARTS)} folds that share no artist, "
        "split seed {split_seed}",
        f"{_UNSEEN} The tracks whose artists Foleis and Tavares (2020) list, divided at random "
        f"{DIVISIONS} times into {len(ARTIST_PARTS)} folds that share no artist and have as many "
        "tracks of each genre as that allows. Each track is tested once per division; a fifth of "
        "each train part, of artists of its own, ranks the configs. Artists may be shared under "
        "other names.",
        num_divisions=DIVISIONS,
        goes_by=lists.ARTIST_FOLDS,
    ),
    Protocol(
        "fault_filtered",
        dividing.fault_filtered,
        "fault-filtered split of Kereliuk, Sturm and Larsen",
        f"{_UNSEEN} GTZAN without repeats and distortions, in the three parts of Kereliuk, Sturm "
        "and Larsen (2015). No artist is known to be in two of them but one of disco, with two "
        "tracks in the train part and one in the test part. One split: another would give other "
        "figures.",
        goes_by=lists.FAULT_FILTERED,
    ),
    Protocol(
        "artist_folds",
        dividing.artist_folds,
        "{num_folds} folds that share no artist, validation parts of split seed {split_seed}",
        f"{_UNSEEN} No artist is in two of the three folds of Foleis and Tavares (2020), and each "
        "of their tracks is tested once; about a fifth of each train part, of artists of its own, "
        "ranks the configs. For comparison with papers: these folds are harder than random ones "
        "that share no artist, since they differ in more than artists; see artist_kfold.",
        goes_by=lists.ARTIST_FOLDS,
    ),
    Protocol(
        "mixed_artists",
        dividing.mixed_artists,
        "{num_folds} stratified folds of the tracks of artist_kfold, split seed {split_seed}",
        "The control of artist_kfold: the same tracks in folds of the same size, so that songs of "
        "one artist are on both sides. The difference between the two protocols is the effect of "
        "training on the artists.",
        goes_by=lists.ARTIST_FOLDS,
    ),
    Protocol(
        "leaky_segments",
        dividing.assignment,
        f"{LEAK}; random 70:30 split of segments, split seed {{split_seed}}",
        f"{LEAK}. A network need only recognise a song, so the figures say nothing about new "
        "songs. This protocol shows the size of the effect: reports of 0.90 on three-second "
        "segments use this division. The configs are ranked by the test part.",
        select_on="test",
        leak=LEAK,
    ),
)

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _ALL}
