"""Draws the README's terminal: what a model says of songs, none by an artist that it knows.

    python docs/make_terminal.py SONGS

SONGS is a folder of GTZAN's songs as WAV; the table lies at
data/features_30_sec.csv. The commands are the README's, but for the table, which is one without
these songs and without all others of their artists. Takes about a minute on two cores.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from gtzan_jax.tables.dividing import groups_of
from gtzan_jax.tables.sources import load_table

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "data" / "features_30_sec.csv"
PICTURE = ROOT / "docs" / "images" / "predict.png"
SHOWN = ("jazz.00000.wav", "jazz.00042.wav")  # one that it tells, one that it does not
COLUMNS = 80
POINTS, LEADING, MARGIN = 9, 1.25, 0.15  # of a letter, lines by its size, inches
WIDTH = 0.602  # of a letter of DejaVu Sans Mono, by its size
DPI = 150


def others(names: list[str]) -> pd.DataFrame:
    """Returns the table without songs, others of their artists, and what repeats one of these."""
    table = load_table(TABLE)
    groups = groups_of(table)
    out = np.isin(groups, groups[np.isin(table.tracks, names)])
    rows = pd.read_csv(TABLE, dtype=str)
    return rows[~rows["filename"].isin(np.array(table.tracks)[out])]


def output(*arguments: str, folder: str) -> str:
    """Returns what a command prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    return subprocess.run(  # noqa: S603
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    ).stdout


def drawn(text: str) -> Figure:
    """Returns text as a terminal shows it."""
    lines = text.splitlines()
    if max(map(len, lines)) > COLUMNS:
        sys.exit("a line is longer than the terminal is wide")
    width = COLUMNS * WIDTH * POINTS / 72 + 2 * MARGIN
    height = len(lines) * LEADING * POINTS / 72 + 2 * MARGIN
    figure = Figure(figsize=(width, height), facecolor="#1c1e26")
    for row, line in enumerate(lines):
        below = MARGIN + (row + 0.8) * LEADING * POINTS / 72
        figure.text(
            MARGIN / width,
            1 - below / height,
            line,
            family="DejaVu Sans Mono",
            size=POINTS,
            color="#e6e6e6",
            parse_math=False,
        )
    return figure


def main() -> None:
    """Trains, predicts, and writes docs/images/predict.png."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    songs = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        others([*SHOWN]).to_csv(Path(folder, "others.csv"), index=False)
        Path(folder, "songs").mkdir()
        for name in SHOWN:
            shutil.copy(songs / name, Path(folder, "songs"))
        sweep = ("-m", "gtzan_jax.sweep", "--protocol=fault_filtered", "--workdir=runs/genres")
        output(*sweep, "--data=others.csv", folder=folder)
        predict = ("-m", "gtzan_jax.predict", "runs/genres", "songs", "--explain")
        said = output(*predict, folder=folder)
    text = f"$ python {' '.join(predict)}\n{said}"
    print(text)
    buffer = io.BytesIO()
    drawn(text).savefig(buffer, dpi=DPI)
    with Image.open(buffer) as image:
        image.convert("RGB").quantize(16).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
