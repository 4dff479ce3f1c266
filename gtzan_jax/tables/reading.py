"""Reads the cells of a table, each with its place for messages.

A CSV is read with the standard library, which gives the line of each value, and neither renames a
repeated column nor shifts a row that is too long; importing pandas would delay the first program.
"""

import csv
import hashlib
import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from reprlib import repr as shown
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError, nearest
from gtzan_jax.tables.schema import EXTRACTORS, MAX_CLASSES, NO_OPTIONS, Columns, columns_of
from gtzan_jax.text import flag

MAX_BYTES = 2**31  # four million rows of twenty features
_BLOCK = 2**20  # bytes, more than a line of a CSV has
LOOKED_AT = 1000  # rows, to find columns that may be the label

# First bytes of other kinds of files.
_OTHER_KINDS = {
    b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"PK\x03\x04": "a zip archive or a spreadsheet; take the CSV out of it",
    b"\xff\xfe": "in UTF-16; save it as UTF-8",
    b"\xfe\xff": "in UTF-16; save it as UTF-8",
    b"version https://git-lfs": "a Git LFS pointer; git lfs pull fetches the file itself",
    b"<": "a web page, not a CSV; the download may need a login",
}
_LINE = re.compile(r"[^\r\n]*[\r\n]|[^\r\n]+\Z")
MISSING = frozenset(("", "na", "n/a", "nan", "null"))
"""Cells without a value, in lower case."""

_NO_NUMBERS = MISSING | {"none", "?"}
_TRUTHS = {"True": 1.0, "true": 1.0, "False": 0.0, "false": 0.0}


class Wrong(NamedTuple):
    """Cells of a column that are not numbers."""

    row: int  # of the first
    cell: str  # the first
    times: int


class Roles(NamedTuple):
    """The roles of a table's columns, by name."""

    is_of_songs: bool  # True if the features are those of an extractor, such as GTZAN's
    texts: list[str]  # label, group, file name
    numbers: list[str]


class Cells(NamedTuple):
    """The cells of a table, before their values are checked."""

    source: str
    sha256: str
    is_of_songs: bool
    row: Callable[[int], str]  # names a row in messages
    texts: Mapping[str, Sequence[str]]  # by column
    names: list[str]  # columns of numbers
    numbers: NDArray[np.float64]  # (rows, names); NaN for missing values
    wrong: dict[str, Wrong]  # by column


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
                raise InputError(
                    f"{name} is not a CSV: its first line has more than {_BLOCK:,} bytes"
                )
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


def sha256_of(content: str | bytes, columns: Columns = NO_OPTIONS) -> str:
    """Returns the SHA-256 of a table: of its text, and of options other than the default."""
    digest = hashlib.sha256(content.encode() if isinstance(content, str) else content)
    if columns != NO_OPTIONS:
        digest.update(repr(columns).encode())
    return digest.hexdigest()


def read_csv(text: str, source: str, columns: Columns) -> Cells:
    """Reads the cells of a CSV; messages name a row by its line, from 1 for the header."""
    text = text.replace("\r\n", "\n")
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{source}, line {number}: a NUL byte; the file is damaged or in UTF-16")
    # Not StringIO, which takes four bytes per character.
    reader = csv.reader((line[0] for line in _LINE.finditer(text)), strict=True)
    rows = filter(None, reader)  # skips blank lines
    try:
        header = _named(next(rows, []), source)
        roles = roles_of(header, columns, source, lambda: islice(rows, LOOKED_AT))
        text_places = list(map(header.index, roles.texts))
        places = list(map(header.index, roles.numbers))
        lines, values, wrong = array("q"), array("d"), dict[str, Wrong]()
        texts: list[list[str]] = [[] for _ in roles.texts]
        for row in rows:
            if len(row) != len(header):
                hint = "; does a number contain a comma?" if len(row) > len(header) else ""
                raise InputError(
                    f"{source}, line {reader.line_num}: {len(row)} values for {len(header)} "
                    f"columns{hint}"
                )
            for column, place in zip(texts, text_places, strict=True):
                column.append(row[place])
            cells = [row[place] for place in places]
            values.extend(_numbers(cells, len(lines), roles.numbers, wrong))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"{source}, line {reader.line_num}: not a CSV ({error})") from error
    return Cells(
        source=source,
        sha256=sha256_of(text, columns),
        is_of_songs=roles.is_of_songs,
        row=lambda i: f"line {lines[i]}",
        texts=dict(zip(roles.texts, texts, strict=True)),
        names=roles.numbers,
        numbers=np.frombuffer(values, np.float64).reshape(len(lines), len(places)),
        wrong=wrong,
    )


def _named(header: list[str], source: str) -> list[str]:
    """Checks a header; names columns without a name as pandas does."""
    if not header:
        raise InputError(f"{source} is empty")
    if header[0].lower().startswith("sep="):
        raise InputError(
            f"{source}: line 1 is {','.join(header)!r}, which only Excel understands; delete it"
        )
    for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(header) == 1 and separator in header[0]:
            raise InputError(
                f"{source} is separated by {word}; save it with commas, and points in numbers"
            )
    numbers = [name for name in header if name.replace(".", "").isdigit()]
    are_names = len(set(numbers)) == len(numbers) and "." not in "".join(numbers)  # 0, 1, 2, …
    if 2 * len(numbers) > len(header) and not are_names:
        raise InputError(f"{source}: line 1 has numbers instead of column names; add a header")
    return [name or f"Unnamed: {place}" for place, name in enumerate(header)]


def _numbers(
    cells: list[str], row: int, names: Sequence[str], wrong: dict[str, Wrong]
) -> list[float]:
    """Returns the numbers of a row, NaN for missing values; adds other cells to ``wrong``."""
    joined = "".join(cells)
    try:
        # float() also accepts 1_000, and digits of other scripts.
        if "_" not in joined and joined.isascii():
            return list(map(float, cells))
    except ValueError:
        pass
    values = []
    for cell, name in zip(cells, names, strict=True):
        try:
            value = float(cell) if "_" not in cell and cell.isascii() else None
        except ValueError:
            value = _TRUTHS.get(cell)
        if value is None and not is_missing(cell):
            first = wrong.get(name, Wrong(row, cell, 0))
            wrong[name] = first._replace(times=first.times + 1)
        values.append(math.nan if value is None else value)
    return values


def is_missing(cell: str) -> bool:
    """Returns whether a cell of a column of numbers has no value."""
    return cell.strip().lower() in _NO_NUMBERS


def drop_flag(names: Sequence[str]) -> str:
    """Returns the flag that leaves columns out, quoted for a shell."""
    return flag("drop", listed(names))


def listed(names: Sequence[str]) -> str:
    """Returns names as the value of a flag, separated by commas."""
    return ",".join(f'"{name}"' if "," in name else name for name in names)


def roles_of(
    header: Sequence[str],
    columns: Columns,
    source: str,
    rows: Callable[[], Iterable[Sequence[str]]],
) -> Roles:
    """Returns the roles of columns; ``rows`` returns some rows, to suggest a label.

    Raises:
      InputError: a column is repeated, missing or an index; or a table of songs has other columns
        than GTZAN's.
    """
    named = {"label": columns.label, "group": columns.group}
    songs = _columns_of_songs(header)
    known = {*header, *songs}
    absent = [name for name in columns.drop if name not in known]
    problems = [f"--drop: no column {shown(name)}{nearest(name, header)}" for name in absent]
    if columns.group and columns.group not in header:
        hint = nearest(columns.group, header)
        problems.append(f"--group: no column {shown(columns.group)}{hint}")
    clash = [flag for flag, name in named.items() if name in columns.drop]
    problems += [f"--{flag} and --drop both name {shown(named[flag])}" for flag in clash]
    if columns.group == columns.label:
        problems.append(f"--label and --group both name {shown(columns.label)}")
    left = [name for name in header if name not in columns.drop]
    hidden = [name for name in header if not name.isprintable()]
    problems += [f"the column {shown(name)} has an invisible character" for name in hidden[:1]]
    if unnamed := [name for name in left if name.startswith("Unnamed:")]:
        place = header.index(unnamed[0]) + 1
        index = ", as pandas and Excel write an index" if place == 1 else ""
        problems.append(f"column {place} has no name{index}: {drop_flag(unnamed)} leaves it out")
        left = [name for name in left if name not in unnamed]
    if songs:
        wanted = [*songs[:-1], columns.label, *filter(None, [columns.group])]
        optional = () if "length" in header else ("length",)
        wanted = [name for name in wanted if name not in (*columns.drop, *optional)]
        problems += _differences(left, wanted)
    else:
        problems += _differences(left, left)
        if not problems and columns.label not in header:
            problems.append(_asked(header, columns.label, rows()))
    if problems:
        raise InputError(f"{source}: {'; '.join(problems)}")
    texts = ["filename" if "filename" in left else "", columns.label, columns.group]
    texts = list(dict.fromkeys(filter(None, texts)))
    numbers = [name for name in left if name not in texts]
    if songs:
        numbers.sort(key=songs.index)
    elif not numbers:
        raise InputError(f"{source}: no column of numbers beside {', '.join(map(shown, texts))}")
    return Roles(bool(songs), texts, numbers)


def _columns_of_songs(header: Sequence[str]) -> tuple[str, ...]:
    """Returns the columns of the table of songs that a header resembles; else none."""
    for features in EXTRACTORS.values():
        if "filename" in header and len({*header}.intersection(features)) >= len(features) / 2:
            return columns_of(features)
    return ()


def _differences(header: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Returns texts that list missing, unknown and repeated columns of a header."""
    missing = [name for name in wanted if name not in header]
    unknown = [name for name in header if name not in wanted]
    repeated = [name for name, count in Counter(header).items() if count > 1]
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
    return problems


def _asked(header: Sequence[str], label: str, rows: Iterable[Sequence[str]]) -> str:
    """Returns the message for a missing label, with columns that may be it."""
    columns = [dict.fromkeys(column) for column in zip(*rows, strict=False)]
    candidates = [
        f"{shown(name)} ({', '.join(map(shown, islice(values, 3)))}{', …' * (len(values) > 3)})"
        for name, values in zip(header, columns, strict=False)
        if 2 <= len(values) <= min(MAX_CLASSES, 30) and not any("." in v for v in values)
    ]
    listed = f", such as {' or '.join(candidates[:4])}" if candidates else ""
    problem = f"no column {shown(label)}{nearest(label, header)}"
    return f"{problem}; name the column of classes with --label=COLUMN{listed}"
