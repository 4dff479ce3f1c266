"""Validates the cells of a table, with the place of each problem; builds the feature table."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from reprlib import repr as shown
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError, nearest
from gtzan_jax.tables.reading import MISSING, Cells, drop_flag, read_csv
from gtzan_jax.tables.schema import (
    MAX_CLASSES,
    NO_OPTIONS,
    SEGMENT,
    SONGS,
    Columns,
    FeatureTable,
    Words,
)
from gtzan_jax.text import counted

MIN_ROWS, MIN_ROWS_PER_CLASS = 20, 2
_MOST_VALUES = 20  # of a label that is any number; more values need some rows each
_FEW_ROWS = 5

_MOST_SAMPLES = 2**31 - 1  # of a row; a day of sound has fewer
_MOST_LENGTHS = 1.5  # the longest segment of a table relative to the shortest
_JOINERS = str.maketrans("", "", " -_'")  # ignored in genres

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")

_At = Callable[[int, str, str], InputError]  # error for a row, a column and a problem


def parse_table(text: str, source: str, columns: Columns = NO_OPTIONS) -> FeatureTable:
    """Validates the text of a CSV; see :func:`validated`. The header is line 1."""
    return validated(read_csv(text, source, columns), columns)


def validated(cells: Cells, columns: Columns) -> FeatureTable:
    """Validates the cells of a table; errors name the row and the column.

    A table has at least 20 rows, at least 2 classes with at least 2 rows each, and features that
    are finite as float32 and not all constant; values may be missing if ``columns`` impute them. A
    table of songs has its columns in any order, ``length`` optional, and unique file names: one row
    per song, or one per segment, as all names show, without repeated or far longer segments.
    """
    source, names = cells.source, cells.names

    def at(row: int, column: str, problem: str) -> InputError:
        return InputError(f"{source}, {cells.row(row)}, column {column!r}: {problem}")

    is_of_songs = cells.is_of_songs and "filename" in cells.texts
    columns = columns if columns != NO_OPTIONS else NO_OPTIONS  # the one that files leave out
    words, num_rows = columns.words(is_of_songs), len(cells.numbers)
    texts = {name: _texts(column, name, at) for name, column in cells.texts.items()}
    tracks, labels = texts.get("filename") or [*map(str, range(num_rows))], texts[columns.label]
    first: Sequence[int] = range(num_rows)
    group = _numbered(texts[columns.group])[1] if columns.group else None
    if is_of_songs:
        first = _first_rows(tracks, labels, columns.label, cells.row, at)
    else:
        _check_is_class(labels, columns.label, source)
    check_labels(
        [labels[i] for i in first],
        source,
        lambda i: f"{source}, {cells.row(first[i])}, column {columns.label!r}",
        words=words,
    )
    numbers = _finite(cells, columns, at)
    samples = 0
    if cells.is_of_songs and "length" in names:
        samples = _samples(numbers[:, 0], len(first) < num_rows, cells.row, at)
        numbers, names = numbers[:, 1:], names[1:]
    elif not is_of_songs:
        _check_no_index(numbers, names, source)
        check_precision(numbers, names, source)
    if (np.nanmin(numbers, axis=0) == np.nanmax(numbers, axis=0)).all():
        raise InputError(
            f"{source}: every {words.row} has the same features: nothing can be learnt"
        )
    genres, y = _numbered(labels)
    table = FeatureTable(
        x=numbers.astype(np.float32),
        y=y,
        tracks=tuple(tracks),
        features=tuple(names),
        genres=genres,
        sha256=cells.sha256,
        source=source,
        repeats=equal_rows(numbers),
        samples=samples,
        group=group,
        columns=columns,
        is_of_songs=is_of_songs,
    )
    if group is not None and table.is_segmented:
        for row in np.flatnonzero(group != group[first][table.songs])[:1]:
            raise at(row, columns.group, "differs from the value in the song's first segment")
    return table


def _samples(
    lengths: NDArray[np.float64], is_segmented: bool, row: Callable[[int], str], at: _At
) -> int:
    """Returns the median number of audio samples of a row; checks that segments are alike."""
    for i in np.flatnonzero(np.isnan(lengths))[:1]:
        raise at(int(i), "length", "the value is missing")
    short, long = int(lengths.argmin()), int(lengths.argmax())
    if is_segmented and not 0 < lengths[long] <= _MOST_LENGTHS * lengths[short]:
        problem = f"{lengths[long]:g} audio samples, but {lengths[short]:g} in {row(short)}"
        raise at(long, "length", f"{problem}; segments must be of nearly one length")
    return int(np.clip(np.median(lengths), 0, _MOST_SAMPLES))


def _texts(column: Sequence[str], name: str, at: _At) -> Sequence[str]:
    for row, cell in enumerate(column):
        if not cell.strip():
            raise at(row, name, "the value is empty")
        if cell.strip().lower() in MISSING:
            raise at(row, name, f"{shown(cell)} means a missing value; give it another name")
        if cell != cell.strip():
            raise at(row, name, f"{shown(cell)} has spaces around it")
        if not cell.isprintable():
            raise at(row, name, f"{shown(cell)} has an invisible character")
    return column


def _first_rows(
    tracks: Sequence[str],
    labels: Sequence[str],
    label: str,
    row: Callable[[int], str],
    at: _At,
) -> Sequence[int]:
    """Checks names and segments of songs; returns the first row of each song."""
    segments = [SEGMENT.fullmatch(track) for track in tracks]
    first: dict[str, int] = {}
    seen: dict[tuple[str, int], int] = {}
    for i, (segment, track) in enumerate(zip(segments, tracks, strict=True)):
        song, number = (segment["song"], int(segment["segment"])) if segment else (track, 0)
        head, twin = first.setdefault(song, i), seen.setdefault((song, number), i)
        if track == tracks[twin] and twin != i:
            raise at(i, "filename", f"{shown(track)} repeats {row(twin)}")
        if twin != i:
            other = f"{shown(tracks[twin])}, {row(twin)}"
            raise at(
                i, "filename", f"{shown(track)} is the same segment as {other}; keep one of them"
            )
        if labels[i] != labels[head]:
            other = f"{row(head)} has {shown(labels[head])} for a segment of the same song"
            raise at(i, label, f"{shown(labels[i])}, but {other}; give a song one genre")
    if any(segments) and not all(segments):  # mixed songs and segments
        song_row, segment_row = segments.index(None), next(i for i, c in enumerate(segments) if c)
        other = f"{shown(tracks[segment_row])} of {row(segment_row)}"
        remedy = "give a table of songs, or one of segments such as 'blues.00000.3.wav'"
        problem = f"{shown(tracks[song_row])} is a song, but {other} is a segment; {remedy}"
        raise at(song_row, "filename", problem)
    return list(first.values())


def check_labels(
    labels: Sequence[str],
    source: str,
    place: Callable[[int], str] | None = None,
    hint: str = "",
    words: Words = SONGS,
) -> None:
    """Checks labels: too few units, too few or many classes, two spellings of a class.

    ``place`` returns a label's place for messages; ``hint`` is a reason for too few units.
    """
    if len(labels) < MIN_ROWS:
        raise InputError(
            f"{source}: {len(labels)} {words.units}, but at least {MIN_ROWS} are needed{hint}"
        )
    counts = Counter(labels)
    if len(counts) < 2:
        only = shown(labels[0])
        raise InputError(
            f"{source}: only one {words.label}, {only}, but at least two are needed{hint}"
        )
    if len(counts) > MAX_CLASSES:
        raise InputError(
            f"{source}: {len(counts):,} {words.labels}, such as {shown(labels[0])}; at most "
            f"{MAX_CLASSES} are allowed: are these the names of {words.rows}?"
        )
    alike: dict[str, str] = {}  # by plain_genre
    for genre, count in counts.most_common():
        if count < MIN_ROWS_PER_CLASS:
            raise InputError(
                f"{source}: {words.label} {shown(genre)} has {count} {words.unit}, but each needs "
                f"at least {MIN_ROWS_PER_CLASS}{nearest(genre, counts.keys() - {genre})}{hint}"
            )
        other = alike.setdefault(plain_genre(genre), genre) if words.label == "genre" else genre
        if other != genre:
            where = place(labels.index(genre)) if place else source
            raise InputError(
                f"{where}: {shown(genre)} and {shown(other)}: use one name for one genre"
            )


def plain_genre(genre: str) -> str:
    """Returns a genre's name without case, spaces and hyphens."""
    return unicodedata.normalize("NFKC", genre).casefold().translate(_JOINERS)


def _check_is_class(labels: Sequence[str], name: str, source: str) -> None:
    """Raises InputError if the label is a quantity."""
    distinct = set(labels)
    if len(distinct) <= _MOST_VALUES:
        return
    try:
        numbers = list(map(float, distinct))
    except ValueError:
        return
    are_whole = all(number.is_integer() for number in numbers)
    if not are_whole or len(distinct) > min(MAX_CLASSES, len(labels) / _FEW_ROWS):
        raise InputError(
            f"{source}, column {name!r}: {len(distinct):,} different numbers are not classes; "
            "regression is not supported: give a column of classes, or cut this one into classes"
        )


def _numbered(values: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Returns the distinct values, sorted (by size if all are whole), and each value's number."""
    distinct, number = np.unique(np.array(values), return_inverse=True)
    try:
        order = np.argsort([int(value) for value in distinct], kind="stable")
    except ValueError:
        order = np.arange(len(distinct))
    return tuple(distinct[order].tolist()), np.argsort(order)[number].astype(np.int32)


def _check_no_index(numbers: NDArray[np.float64], names: Sequence[str], source: str) -> None:
    """Raises InputError if a column counts the rows, which would reveal sorted classes."""
    steps = np.diff(numbers, axis=0) == 1
    if counting := [name for name, counts in zip(names, steps.all(axis=0), strict=True) if counts]:
        raise InputError(
            f"{source}: column {counting[0]!r} counts the rows and is not a feature: "
            f"{drop_flag(counting[:1])} leaves it out"
        )


def check_precision(x: NDArray[np.float64], names: Sequence[str], source: str) -> None:
    """Raises InputError if float32 rounds a column by over a hundredth of its deviation."""
    largest = np.abs(x).max(axis=0, initial=0.0, where=~np.isnan(x))
    for column in np.flatnonzero(largest > np.finfo(np.float32).max)[:1]:
        problem = f"{largest[column]:g} is too large for float32"
        raise InputError(f"{source}, column {names[column]!r}: {problem}")
    with np.errstate(over="ignore", invalid="ignore"):
        steps, spread = np.spacing(largest.astype(np.float32)), np.nanstd(x, axis=0)
    for column in np.flatnonzero((spread > 0) & ~(steps <= spread / 100))[:1]:
        raise InputError(
            f"{source}, column {names[column]!r}: float32 is too coarse for numbers up to "
            f"{largest[column]:.12g} that differ by {spread[column]:g}; subtract a constant"
        )


def _finite(cells: Cells, columns: Columns, at: _At) -> NDArray[np.float64]:
    """Returns the numbers (rows, names): finite as float32, or missing if they are imputed."""
    numbers, names = cells.numbers, cells.names
    texts = [n for n, wrong in cells.wrong.items() if 2 * wrong.times > len(numbers)]
    if texts and not cells.is_of_songs and not _DECIMAL_COMMA.fullmatch(cells.wrong[texts[0]].cell):
        listed = ", ".join(map(shown, texts))
        raise InputError(
            f"{cells.source}: no numbers in column{'s' * (len(texts) > 1)} {listed}: "
            f"{drop_flag(texts)} leaves {'them' if len(texts) > 1 else 'it'} out"
        )
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(numbers.astype(np.float32))
    missing = np.isnan(numbers)
    for name, wrong in cells.wrong.items():
        missing[wrong.row, names.index(name)] = False
    for i, j in np.argwhere(bad & ~missing)[:1]:
        cell = cells.wrong.get(names[j])
        if cell is None or cell.row != i:
            size = f"{numbers[i, j]:g}"
            large = "too large for float32" if np.isfinite(numbers[i, j]) else "not a finite number"
            raise at(i, names[j], f"{size} is {large}")
        hint = "; write numbers with a point and without commas" if "," in cell.cell else ""
        raise at(i, names[j], f"{shown(cell.cell)} is not a finite number{hint}")
    if missing.any() and not columns.impute:
        i, j = np.argwhere(missing)[0]
        total, where = int(missing.sum()), int(missing.any(axis=0).sum())
        others = f", one of {total:,} in {counted(where, 'column')}" if total > 1 else ""
        remedy = "--impute=median fills in the median of each train part"
        raise at(i, names[j], f"the value is missing{others}; {remedy}")
    for j in np.flatnonzero(missing.all(axis=0))[:1]:
        flag = drop_flag([names[j]])
        raise InputError(f"{cells.source}: column {names[j]!r} has no value: {flag} leaves it out")
    return numbers


def equal_rows(x: NDArray[np.floating[Any]]) -> tuple[tuple[int, ...], ...]:
    """Returns the groups of exactly equal rows of a table's ``x``."""
    wide = np.ascontiguousarray(x + x.dtype.type(0)).reshape(len(x), -1)  # -0 is equal to 0
    rows = wide.view(np.dtype((np.void, wide.itemsize * wide.shape[1]))).ravel()
    _, number, count = np.unique(rows, return_inverse=True, return_counts=True)
    groups: dict[int, list[int]] = {}
    for row in np.flatnonzero(count[number] > 1):
        groups.setdefault(int(number[row]), []).append(int(row))
    return tuple(map(tuple, groups.values()))
