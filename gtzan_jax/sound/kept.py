"""Finished songs, kept beside the table: a file of rows each."""

import shutil
from pathlib import Path

import numpy as np

from gtzan_jax.errors import InputError
from gtzan_jax.files import load_arrays, save_arrays
from gtzan_jax.sound.rows import Rows
from gtzan_jax.tables.schema import FEATURES
from gtzan_jax.text import printable

_FORMAT = 1


class Kept:
    """Rows of songs by the checksums of their files, in a folder named as the table, ``.part``.

    A file's name has the versions that computed it, ``made_by`` (see ``rows.made_by``), so that
    those of others are not found.
    """

    def __init__(self, output: Path, made_by: str) -> None:
        self.path = output.with_name(f"{output.name}.part")
        self._made_by = made_by
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise InputError(f"{printable(self.path)} is a link or no folder; remove it")

    def find(self, digest: str) -> Rows | None:
        """Returns the rows of the file with a checksum, if it is finished."""
        try:
            arrays, _ = load_arrays(
                self._file(digest),
                _FORMAT,
                lambda about: {"rows": ("F64", (about["rows"], 1 + len(FEATURES)))},
            )
        except ValueError:
            return None
        rows: Rows = arrays["rows"].tolist()
        return rows

    def add(self, digest: str, rows: Rows) -> None:
        """Keeps rows; they are on the disk when this returns."""
        self.path.mkdir(exist_ok=True)
        about = {"format": _FORMAT, "rows": len(rows)}
        save_arrays(self._file(digest), {"rows": np.array(rows)}, about)

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _file(self, digest: str) -> Path:
        return self.path / f"{digest}-{self._made_by[:16]}.safetensors"
