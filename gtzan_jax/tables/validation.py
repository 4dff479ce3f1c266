"""Validates a feature table: every column, row and value, with the place of what is wrong.

A CSV is read with the standard library: it knows the line that each value stands on, and unlike
pandas it neither renames a repeated column nor shifts a row that is too long. pandas is not
imported before it is needed, because a command's start-up time counts.
"""

from __future__ import annotations

import csv
import hashlib
import io
import reprlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError, nearest
from gtzan_jax.tables.schema import CHUNK, COLUMNS, FEATURES, FeatureTable

if TYPE_CHECKING:
    import pandas as pd

MIN_TRACKS = 20

MIN_TRACKS_PER_GENRE = 2
MAX_GENRES = 256  # a prediction is kept in a byte

_MOST_SAMPLES = 2**31 - 1  # of a row; a day of sound has fewer
_MOST_LENGTHS = 1.5  # times the shortest chunk of a table the longest may last

# What two spellings of one genre may differ in, besides capitals.

_JOINERS = str.maketrans("", "", " -_'")


def parse_table(text: str, source: str) -> FeatureTable:
    """Validates the text of a CSV.

    Args:
        text: 60 named columns in any order; at least 20 songs, of at least 2 genres with at
            least 2 songs each; a row a song, or a row for each chunk of the songs, which all names
            then tell, and of which none is there twice or far longer than others; unique file
            names; finite numbers that fit into float32.
        source: where the text is from, for messages and the table's ``source``.

    Raises:
        InputError: what is wrong, with the line (the header is line 1) and the column.
    """
    text = text.replace("\r\n", "\n")
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{source}, line {number}: a NUL byte; the file is damaged or in UTF-16")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    lines: list[str] = []
    try:
        for row in reader:
            if row:  # blank lines are no rows
                rows.append(row)
                lines.append(f"line {reader.line_num}")
    except csv.Error as error:
        raise InputError(f"{source}, line {reader.line_num}: not a CSV ({error})") from error
    if not rows:
        raise InputError(f"{source} is empty")
    header = rows[0]
    _check_separator(header, source)
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            hint = "; has a number a comma in it?" if len(row) > len(header) else ""
            raise InputError(f"{source}, {line}: {len(row)} values for {len(header)} columns{hint}")
    cells = np.array(rows[1:], dtype=object).reshape(-1, len(header))
    return _validate(header, cells, lines[1:], source, sha256_of(text))


def table_from_frame(frame: pd.DataFrame, source: str = "frame") -> FeatureTable:
    """Validates a pandas DataFrame with the 60 columns; the same rules as ``parse_table``.

    The table's SHA-256 is that of ``frame.to_csv(index=False)`` with LF line ends.

    Raises:
        InputError: what is wrong, with the row's index and the column.
    """
    header = [str(column) for column in frame.columns]
    rows = [f"row {index}" for index in frame.index]
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return _validate(header, frame.to_numpy(dtype=object), rows, source, sha256_of(text))


def sha256_of(text: str) -> str:
    """Returns the SHA-256 of a table's text."""
    return hashlib.sha256(text.encode()).hexdigest()


_Cells = NDArray[np.object_]  # (tracks, columns), text from a CSV or objects from a frame


def _validate(
    header: list[str], cells: _Cells, rows: list[str], source: str, sha256: str
) -> FeatureTable:
    """Returns the table; ``rows`` names each row for messages."""
    _check_columns(header, source)
    cells = cells[:, [header.index(column) for column in COLUMNS]]
    if len(cells) < MIN_TRACKS:
        raise InputError(f"{source}: {len(cells)} tracks, but at least {MIN_TRACKS} are needed")
    tracks = _texts(cells[:, 0], "filename", rows, source)
    labels = _texts(cells[:, -1], "label", rows, source)
    _check_unique(tracks, rows, source)
    first = _first_rows(tracks, labels, rows, source)
    _check_genres([labels[i] for i in first], [rows[i] for i in first], source)
    numbers = _numbers(cells[:, 1:-1], rows, source)
    if len(first) < len(rows):
        _check_lengths(numbers[:, 0], rows, source)
    samples = int(np.clip(np.median(numbers[:, 0]), 0, _MOST_SAMPLES))
    numbers = numbers[:, 1:]  # without length
    if (numbers == numbers[0]).all():
        raise InputError(f"{source}: every track has the same features: nothing can be learnt")
    genres, y = np.unique(np.array(labels), return_inverse=True)
    return FeatureTable(
        x=numbers.astype(np.float32),
        y=y.astype(np.int32),
        tracks=tuple(tracks),
        features=FEATURES,
        genres=tuple(genres.tolist()),
        sha256=sha256,
        source=source,
        repeats=_repeats(numbers),
        samples=samples,
    )


def _check_separator(header: list[str], source: str) -> None:
    for separator, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            raise InputError(f"{source} is separated by {word}; save it with commas")


def _check_columns(header: list[str], source: str) -> None:
    missing = [column for column in COLUMNS if column not in header]
    unknown = [column for column in header if column not in COLUMNS]
    repeated = [column for column, count in Counter(header).items() if count > 1]
    problems = [
        *_listed("missing column", missing),
        *_listed("unknown column", unknown, missing),
        *_listed("repeated column", repeated),
    ]
    if problems:
        raise InputError(f"{source}: {'; '.join(problems)}")


def _listed(title: str, names: list[str], valid: Sequence[str] = ()) -> list[str]:
    """Returns one phrase that tells the first three names, or nothing where there are none."""
    if not names:
        return []
    first = [f"{reprlib.repr(name)}{nearest(name, valid)}" for name in names[:3]]
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"{title}{'s' if len(names) > 1 else ''} {', '.join(first)}{rest}"]


def _texts(cells: _Cells, column: str, rows: list[str], source: str) -> list[str]:
    for cell, row in zip(cells, rows, strict=True):
        if not isinstance(cell, str) or not cell.strip():
            problem = "the value is empty or no text"
        elif cell != cell.strip():
            problem = f"{reprlib.repr(cell)} has spaces around it"
        elif not cell.isprintable():
            problem = f"{reprlib.repr(cell)} holds an invisible character"
        else:
            continue
        raise InputError(f"{source}, {row}, column {column!r}: {problem}")
    return [str(cell) for cell in cells]


def _check_unique(tracks: list[str], rows: list[str], source: str) -> None:
    first: dict[str, str] = {}
    for track, row in zip(tracks, rows, strict=True):
        if track in first:
            raise InputError(
                f"{source}, {row}, column 'filename': {reprlib.repr(track)} repeats {first[track]}"
            )
        first[track] = row


def _first_rows(tracks: list[str], labels: list[str], rows: list[str], source: str) -> list[int]:
    """Checks which rows are chunks of one song, and returns the first row of each song."""
    chunks = [CHUNK.fullmatch(track) for track in tracks]
    _check_kind(tracks, [bool(chunk) for chunk in chunks], rows, source)
    first: dict[str, int] = {}
    seen: dict[tuple[str, int], int] = {}
    for i, (chunk, track) in enumerate(zip(chunks, tracks, strict=True)):
        song = chunk["song"] if chunk else track
        head = first.setdefault(song, i)
        number = int(chunk["chunk"]) if chunk else 0
        twin = seen.setdefault((song, number), i)
        if twin != i:
            raise InputError(
                f"{source}, {rows[i]}, column 'filename': {reprlib.repr(track)} is the same chunk "
                f"as {reprlib.repr(tracks[twin])}, {rows[twin]}; keep one of them"
            )
        if labels[i] != labels[head]:
            raise InputError(
                f"{source}, {rows[i]}, column 'label': {reprlib.repr(labels[i])}, but "
                f"{rows[head]} has {reprlib.repr(labels[head])} for a chunk of the same song; "
                "give a song one genre"
            )
    if len(first) < MIN_TRACKS:
        raise InputError(
            f"{source}: chunks of {len(first)} songs, but at least {MIN_TRACKS} songs are needed"
        )
    return list(first.values())


def _check_kind(tracks: list[str], is_chunk: list[bool], rows: list[str], source: str) -> None:
    """Refuses songs and chunks in one table: a song would be in it whole, and in parts."""
    if any(is_chunk) and not all(is_chunk):
        chunk, song = is_chunk.index(True), is_chunk.index(False)
        raise InputError(
            f"{source}, {rows[song]}, column 'filename': {reprlib.repr(tracks[song])} is no "
            f"chunk, as {reprlib.repr(tracks[chunk])} of {rows[chunk]} is; give a table of songs, "
            "or one of chunks such as 'blues.00000.3.wav'"
        )


def _check_lengths(lengths: NDArray[np.float64], rows: list[str], source: str) -> None:
    """Refuses chunks that last far longer than others, which whole songs among them would."""
    short, long = int(lengths.argmin()), int(lengths.argmax())
    if lengths[short] <= 0 or lengths[long] > _MOST_LENGTHS * lengths[short]:
        raise InputError(
            f"{source}, {rows[long]}, column 'length': {lengths[long]:g} audio samples, but "
            f"{lengths[short]:g} in {rows[short]}; chunks must be of nearly one length"
        )


def _check_genres(labels: list[str], rows: list[str], source: str) -> None:
    counts = Counter(labels)
    if len(counts) < 2:
        only = reprlib.repr(labels[0])
        raise InputError(f"{source}: only one genre, {only}, but at least two are needed")
    if len(counts) > MAX_GENRES:
        raise InputError(
            f"{source}, column 'label': {len(counts):,} genres, such as {reprlib.repr(labels[0])}; "
            f"at most {MAX_GENRES} are allowed: are these the names of tracks?"
        )
    alike: dict[str, str] = {}  # by plain_genre
    for genre, count in counts.most_common():
        if count < MIN_TRACKS_PER_GENRE:
            raise InputError(
                f"{source}: genre {reprlib.repr(genre)} has {count} track, but each needs at "
                f"least {MIN_TRACKS_PER_GENRE}{nearest(genre, counts.keys() - {genre})}"
            )
        plain = plain_genre(genre)
        if alike.setdefault(plain, genre) != genre:
            raise InputError(
                f"{source}, {rows[labels.index(genre)]}, column 'label': {reprlib.repr(genre)} "
                f"beside {reprlib.repr(alike[plain])}; give one genre one name"
            )


def plain_genre(genre: str) -> str:
    """Returns what is left of a genre's name without case, spaces and hyphens."""
    return unicodedata.normalize("NFKC", genre).casefold().translate(_JOINERS)


def _numbers(cells: _Cells, rows: list[str], source: str) -> NDArray[np.float64]:
    """Returns length and the features as numbers: (tracks, 58) float64, finite as float32."""
    values = np.array([[_number(cell) for cell in row] for row in cells])
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(values.astype(np.float32))
    if bad.any():
        i, j = np.argwhere(bad)[0]
        cell = cells[i, j]
        if isinstance(cell, str) and not cell.strip():
            problem = "the value is missing"
        elif np.isfinite(values[i, j]):
            problem = f"{reprlib.repr(cell)} is too large for float32"
        else:
            hint = "; write it with a point, and without commas" if "," in str(cell) else ""
            problem = f"{reprlib.repr(cell)} is not a finite number{hint}"
        raise InputError(f"{source}, {rows[i]}, column {COLUMNS[1 + j]!r}: {problem}")
    return values


def _number(cell: Any) -> float:
    # float() takes more than a CSV means: 1_000, and the digits of other scripts.
    if isinstance(cell, str) and ("_" in cell or not cell.isascii()):
        return float("nan")
    try:
        return float(cell)
    except (TypeError, ValueError):
        return float("nan")


def _repeats(numbers: NDArray[np.float64]) -> tuple[tuple[int, ...], ...]:
    groups: dict[tuple[float, ...], list[int]] = {}
    for i, row in enumerate(numbers.tolist()):
        groups.setdefault(tuple(row), []).append(i)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)
