"""The bytes of a CSV: looked at before they are taken for one.

What is no CSV is told by its kind: an archive, a web page, a pipe, too many rows.
"""

from __future__ import annotations

import os
import re
import reprlib
from pathlib import Path
from typing import IO

from gtzan_jax.errors import InputError

MAX_ROWS = 10_000_000
"""A CSV with so many rows is refused, unless GTZAN_JAX_MAX_ROWS allows more."""
_BLOCK = 2**20  # bytes that are looked at a time, and more than any line of a CSV has

# How files begin that come in the place of a CSV.
_OTHER_KINDS = {
    b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"PK\x03\x04": "a zip archive or a spreadsheet; take the CSV out of it",
    b"\xff\xfe": "in UTF-16; save it as UTF-8",
    b"\xfe\xff": "in UTF-16; save it as UTF-8",
    b"version https://git-lfs": "a Git LFS pointer; git lfs pull fetches the file itself",
    b"<": "a web page, not a CSV; the download may need a login",
}


def read_text(path: Path, name: str) -> str:
    """Returns the text of a CSV with LF line ends and without a byte-order mark.

    Args:
        path: where it is.
        name: what to call it in messages.

    Raises:
        InputError: it is no file that can be read, too large, or of another kind.
    """
    try:
        if path.is_dir():
            is_run = (path / "manifest.json").is_file()
            kind = "a run directory" if is_run else "a folder"
            makes = "" if is_run else ", which python -m gtzan_jax.extract makes of sound"
            raise InputError(
                f"cannot read {name}: it is {kind}; give the path of a CSV file{makes}"
            )
        if path.exists() and not path.is_file():
            raise InputError(f"cannot read {name}: it is a pipe or a device; give a CSV file")
        with path.open("rb") as file:
            _check_size(file, name)
            content = file.read()
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror}") from error
    return decode(content, name)


def _check_size(file: IO[bytes], name: str) -> None:
    """Refuses a file that is too large to be read at once, and no CSV of any size."""
    limit, lines, size = _max_rows(), 0, 0
    while block := file.read(_BLOCK):
        lines += max(block.count(b"\n"), block.count(b"\r"))
        size += len(block)
        if lines > limit:
            raise InputError(
                f"{name} has {limit:,} rows or more; if memory suffices, the environment "
                f"variable GTZAN_JAX_MAX_ROWS={10 * limit} allows for them"
            )
        if size > (lines + 1) * _BLOCK:
            raise InputError(f"{name} is no CSV: a line of it has more than {_BLOCK:,} bytes")
    file.seek(0)


def _max_rows() -> int:
    value = os.environ.get("GTZAN_JAX_MAX_ROWS") or str(MAX_ROWS)
    if not re.fullmatch("[1-9][0-9]{0,17}", value):
        raise InputError(f"GTZAN_JAX_MAX_ROWS must be a whole number, not {reprlib.repr(value)}")
    return int(value)


def decode(content: bytes, name: str) -> str:
    """Like ``read_text``, for what has been read already."""
    beginning = content[:1000].removeprefix(b"\xef\xbb\xbf").lstrip()
    for start, kind in _OTHER_KINDS.items():
        if beginning.startswith(start):
            raise InputError(f"{name} is {kind}")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name} is not a CSV in UTF-8 (line {line}); save it as UTF-8") from error
