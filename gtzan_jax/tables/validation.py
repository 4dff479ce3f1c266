"""Reads and validates a feature table, with the place of each problem.

A CSV is read with the standard library: it knows the line of each value, neither renames a repeated
column nor shifts a row that is too long, and importing pandas would delay the first program.
"""

import csv
import hashlib
import io
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from reprlib import repr as shown
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError, nearest
from gtzan_jax.tables.schema import COLUMNS, FEATURES, SEGMENT, FeatureTable

MIN_SONGS, MIN_SONGS_PER_GENRE = 20, 2
MAX_GENRES = 256  # a prediction is kept in a byte
MAX_BYTES = 2**30  # about a million rows
_BLOCK = 2**20  # bytes, more than a line of a CSV has

_MOST_SAMPLES = 2**31 - 1  # of a row; a day of sound has fewer
_MOST_LENGTHS = 1.5  # the longest segment of a table relative to the shortest
_JOINERS = str.maketrans("", "", " -_'")  # ignored in genres

# First bytes of other kinds of files.
_OTHER_KINDS = {
    b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"PK\x03\x04": "a zip archive or a spreadsheet; take the CSV out of it",
    b"\xff\xfe": "in UTF-16; save it as UTF-8",
    b"\xfe\xff": "in UTF-16; save it as UTF-8",
    b"version https://git-lfs": "a Git LFS pointer; git lfs pull fetches the file itself",
    b"<": "a web page, not a CSV; the download may need a login",
}

_Cells = NDArray[np.object_]  # (tracks, columns), texts
_At = Callable[[int, str, str], InputError]  # the error of a row, a column and a problem


def read_text(path: Path, name: str) -> str:
    """Returns the text of a CSV with LF line ends and without a byte-order mark."""
    try:
        if path.is_dir():
            is_run = (path / "manifest.json").is_file()
            kind = "run directory" if is_run else "folder (gtzan_jax.extract makes a CSV of sound)"
            raise InputError(f"cannot read {name}: it is a {kind}; give the path of a CSV file")
        if path.exists() and not path.is_file():
            raise InputError(f"cannot read {name}: it is a pipe or a device; give a CSV file")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise InputError(f"{name} has {size:,} bytes; at most {MAX_BYTES:,} are read: cut it")
        with path.open("rb") as file:
            beginning = file.read(_BLOCK)
            if len(beginning) == _BLOCK and not re.search(rb"[\r\n]", beginning):
                raise InputError(f"{name} is no CSV: its first line has more than {_BLOCK:,} bytes")
            content = beginning + file.read()
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror}") from error
    return decode(content, name)


def decode(content: bytes, name: str) -> str:
    """Decodes the content of a CSV, see ``read_text``."""
    beginning = content[:1000].removeprefix(b"\xef\xbb\xbf").lstrip()
    for start, kind in _OTHER_KINDS.items():
        if beginning.startswith(start):
            raise InputError(f"{name} is {kind}")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name} is not a CSV in UTF-8 (line {line}); save it as UTF-8") from error


def parse_table(text: str, source: str) -> FeatureTable:
    """Validates the text of a CSV; errors name the line (the header is line 1) and the column.

    It has 60 named columns in any order; at least 20 songs, of at least 2 genres with at least 2
    songs each; a row a song, or a row for each segment of the songs, as all names show, none twice
    or far longer than others; unique file names; finite numbers that fit into float32.
    """
    text = text.replace("\r\n", "\n")
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{source}, line {number}: a NUL byte; the file is damaged or in UTF-16")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:  # blank lines are no rows
        rows = {f"line {reader.line_num}": row for row in reader if row}
    except csv.Error as error:
        raise InputError(f"{source}, line {reader.line_num}: not a CSV ({error})") from error
    if not rows:
        raise InputError(f"{source} is empty")
    header = next(iter(rows.values()))
    for separator, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            raise InputError(f"{source} is separated by {word}; save it with commas")
    for line, row in rows.items():
        if len(row) != len(header):
            hint = "; has a number a comma in it?" if len(row) > len(header) else ""
            raise InputError(f"{source}, {line}: {len(row)} values for {len(header)} columns{hint}")
    lines, (_, *cells) = list(rows)[1:], rows.values()
    array = np.array(cells, dtype=object).reshape(-1, len(header))
    return _validate(header, array, lines, source, sha256_of(text))


def sha256_of(text: str) -> str:
    """Returns the SHA-256 of a table's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _validate(
    header: list[str], cells: _Cells, rows: list[str], source: str, sha256: str
) -> FeatureTable:
    """Returns the table; ``rows`` names each row for messages."""

    def at(row: int, column: str, problem: str) -> InputError:
        return InputError(f"{source}, {rows[row]}, column {column!r}: {problem}")

    _check_columns(header, source)
    cells = cells[:, [header.index(column) for column in COLUMNS]]
    tracks = _texts(cells[:, 0], "filename", at)
    labels = _texts(cells[:, -1], "label", at)
    first = _first_rows(tracks, labels, rows, at)
    places = [f"{source}, {rows[i]}, column 'label'" for i in first]
    check_labels([labels[i] for i in first], source, places)
    numbers = _numbers(cells[:, 1:-1], at)
    lengths = numbers[:, 0]
    short, long = int(lengths.argmin()), int(lengths.argmax())
    if len(first) < len(rows) and not 0 < lengths[long] <= _MOST_LENGTHS * lengths[short]:
        problem = f"{lengths[long]:g} audio samples, but {lengths[short]:g} in {rows[short]}"
        raise at(long, "length", f"{problem}; segments must be of nearly one length")
    samples = int(np.clip(np.median(lengths), 0, _MOST_SAMPLES))
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
        repeats=equal_rows(numbers),
        samples=samples,
    )


def _check_columns(header: list[str], source: str) -> None:
    missing = [column for column in COLUMNS if column not in header]
    unknown = [column for column in header if column not in COLUMNS]
    repeated = [column for column, count in Counter(header).items() if count > 1]
    problems = []
    for kind, names, valid in (
        ("missing", missing, []),
        ("unknown", unknown, missing),
        ("repeated", repeated, []),
    ):
        listed = ", ".join(f"{shown(name)}{nearest(name, valid)}" for name in names[:3])
        rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
        if names:
            problems.append(f"{kind} column{'s' if len(names) > 1 else ''} {listed}{rest}")
    if problems:
        raise InputError(f"{source}: {'; '.join(problems)}")


def _texts(cells: _Cells, column: str, at: _At) -> list[str]:
    for row, cell in enumerate(cells):
        if not cell.strip():
            raise at(row, column, "the value is empty")
        if cell != cell.strip():
            raise at(row, column, f"{shown(cell)} has spaces around it")
        if not cell.isprintable():
            raise at(row, column, f"{shown(cell)} holds an invisible character")
    return list(cells)


def _first_rows(tracks: list[str], labels: list[str], rows: list[str], at: _At) -> list[int]:
    """Checks names and segments of songs; returns the first row of each song."""
    segments = [SEGMENT.fullmatch(track) for track in tracks]
    first: dict[str, int] = {}
    seen: dict[tuple[str, int], int] = {}
    for i, (segment, track) in enumerate(zip(segments, tracks, strict=True)):
        song, number = (segment["song"], int(segment["segment"])) if segment else (track, 0)
        head, twin = first.setdefault(song, i), seen.setdefault((song, number), i)
        if track == tracks[twin] and twin != i:
            raise at(i, "filename", f"{shown(track)} repeats {rows[twin]}")
        if twin != i:
            other = f"{shown(tracks[twin])}, {rows[twin]}"
            raise at(
                i, "filename", f"{shown(track)} is the same segment as {other}; keep one of them"
            )
        if labels[i] != labels[head]:
            other = f"{rows[head]} has {shown(labels[head])} for a segment of the same song"
            raise at(i, "label", f"{shown(labels[i])}, but {other}; give a song one genre")
    if any(segments) and not all(segments):  # a song would be in the table whole, and in parts
        song_row, segment_row = segments.index(None), next(i for i, c in enumerate(segments) if c)
        other = f"{shown(tracks[segment_row])} of {rows[segment_row]}"
        remedy = "give a table of songs, or one of segments such as 'blues.00000.3.wav'"
        raise at(
            song_row,
            "filename",
            f"{shown(tracks[song_row])} is no segment, as {other} is; {remedy}",
        )
    return list(first.values())


def check_labels(
    labels: Sequence[str], source: str, places: Sequence[str] = (), hint: str = ""
) -> None:
    """Checks numbers and genres of songs: few songs, few or many genres, two spellings of one.

    ``places`` are those of the labels, for messages; ``hint`` is a reason for too few songs.
    """
    if len(labels) < MIN_SONGS:
        raise InputError(
            f"{source}: {len(labels)} songs, but at least {MIN_SONGS} are needed{hint}"
        )
    counts = Counter(labels)
    if len(counts) < 2:
        only = shown(labels[0])
        raise InputError(f"{source}: only one genre, {only}, but at least two are needed{hint}")
    if len(counts) > MAX_GENRES:
        raise InputError(
            f"{source}: {len(counts):,} genres, such as {shown(labels[0])}; at most "
            f"{MAX_GENRES} are allowed: are these the names of tracks?"
        )
    alike: dict[str, str] = {}  # by plain_genre
    for genre, count in counts.most_common():
        if count < MIN_SONGS_PER_GENRE:
            raise InputError(
                f"{source}: genre {shown(genre)} has {count} song, but each needs at least "
                f"{MIN_SONGS_PER_GENRE}{nearest(genre, counts.keys() - {genre})}{hint}"
            )
        other = alike.setdefault(plain_genre(genre), genre)
        if other != genre:
            place = places[labels.index(genre)] if places else source
            raise InputError(
                f"{place}: {shown(genre)} beside {shown(other)}; give one genre one name"
            )


def plain_genre(genre: str) -> str:
    """Returns a genre's name without case, spaces and hyphens."""
    return unicodedata.normalize("NFKC", genre).casefold().translate(_JOINERS)


def _numbers(cells: _Cells, at: _At) -> NDArray[np.float64]:
    """Returns length and the features as numbers: (tracks, 58) float64, finite as float32."""
    values = np.array([[_number(cell) for cell in row] for row in cells])
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(values.astype(np.float32))
    for i, j in np.argwhere(bad)[:1]:
        cell = cells[i, j]
        if not cell.strip():
            problem = "the value is missing"
        elif np.isfinite(values[i, j]):
            problem = f"{shown(cell)} is too large for float32"
        else:
            hint = "; write it with a point, and without commas" if "," in cell else ""
            problem = f"{shown(cell)} is not a finite number{hint}"
        raise at(i, COLUMNS[1 + j], problem)
    return values


def _number(cell: str) -> float:
    # float() takes more than a CSV means: 1_000, and the digits of other scripts.
    try:
        return float(cell) if "_" not in cell and cell.isascii() else math.nan
    except ValueError:
        return math.nan


def equal_rows(x: NDArray[np.floating[Any]]) -> tuple[tuple[int, ...], ...]:
    """Returns the groups of exactly equal rows of a table's ``x``."""
    groups: dict[bytes, list[int]] = {}
    for i, row in enumerate(x + x.dtype.type(0)):  # -0 is equal to 0
        groups.setdefault(row.tobytes(), []).append(i)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)
