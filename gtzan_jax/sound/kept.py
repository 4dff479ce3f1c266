"""Finished songs, kept beside the table: a line of JSON each."""

import json
from pathlib import Path

from gtzan_jax.errors import InputError
from gtzan_jax.files import is_sealed, named, sealed
from gtzan_jax.sound.rows import Rows
from gtzan_jax.tables.schema import FEATURES
from gtzan_jax.text import printable


class Kept:
    """Rows of songs by the checksums of their files.

    A line holds its own checksum and the versions that computed it. Lines cut by a killed process,
    and those of other versions, are ignored.

    Args:
      output: the table; the lines are in a file of its name with ``.part``.
      made_by: from ``rows.made_by``.
    """

    def __init__(self, output: Path, made_by: str) -> None:
        self.path = output.with_name(f"{output.name}.part")
        self._made_by = made_by
        self._rows: dict[str, Rows] = {}
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_file()):
            raise InputError(f"{printable(self.path)} is a link or no plain file; remove it")
        for line in self.path.read_bytes().split(b"\n") if self.path.exists() else ():
            try:
                document = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if is_sealed(document) and document.get("made_by") == made_by:
                self._rows[str(document.get("file"))] = document.get("rows")

    def find(self, digest: str) -> Rows | None:
        """Returns the rows of the file with a checksum, if it is finished."""
        rows = self._rows.get(digest)
        return rows if _is_whole(rows) else None

    def add(self, digest: str, rows: Rows) -> None:
        """Keeps rows; they are in the file when this returns."""
        document = sealed({"file": digest, "made_by": self._made_by, "rows": rows})
        line = json.dumps(document, allow_nan=False).encode() + b"\n"
        with named(self.path), self.path.open("ab+") as file:
            if file.tell():
                file.seek(-1, 2)
                if file.read(1) != b"\n":  # a line that a killed process left
                    line = b"\n" + line
            file.write(line)
        self._rows[digest] = rows

    def remove(self) -> None:
        """Removes the file."""
        self.path.unlink(missing_ok=True)


def _is_whole(rows: object) -> bool:
    return isinstance(rows, list) and all(
        isinstance(row, list)
        and len(row) == 1 + len(FEATURES)
        and all(isinstance(value, float) for value in row)
        for row in rows
    )
