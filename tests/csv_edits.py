"""Small tables as texts of CSVs, and edits of them."""

import hashlib
import io

import pandas as pd

from gtzan_jax.tables.sample import sample_text
from gtzan_jax.tables.schema import COLUMNS


def small_text(tracks_per_genre):
    """Returns a valid CSV of some tracks of blues, then as many of jazz, from line 2 on."""
    lines = sample_text().splitlines()
    rows = lines[1 : 1 + tracks_per_genre] + lines[501 : 501 + tracks_per_genre]
    return "\n".join([lines[0], *rows]) + "\n"


def sample_frame():
    """Returns the sample as a frame: 1,000 synthetic tracks, the table's 60 columns."""
    return pd.read_csv(io.StringIO(sample_text()))


def sha256(text):
    """Returns the checksum that a table of this text has."""
    return hashlib.sha256(text.encode()).hexdigest()


def set_cell(line, column, value):
    """Returns an edit of a CSV: it gives one cell another text."""

    def edit(text):
        lines = text.splitlines()
        cells = lines[line - 1].split(",")
        cells[COLUMNS.index(column)] = value
        lines[line - 1] = ",".join(cells)
        return "\n".join(lines)

    return edit
