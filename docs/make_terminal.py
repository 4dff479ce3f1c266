"""Draws docs/images/predict.png: the README's commands on songs by new artists.

    python docs/make_terminal.py MUSIC SONGS

MUSIC is a folder of GTZAN's songs with a subfolder a genre, SONGS has the two songs as WAV; the
table is data/features_30_sec.csv. Takes about a minute on two cores.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from gtzan_jax.tables.dividing import groups_of
from gtzan_jax.tables.sources import load_table

ROOT = Path(__file__).parent.parent
SHOWN = ("jazz.00042.wav", "rock.00017.wav")  # the first is classified correctly
SWEEP = "gtzan_jax.sweep --data=music --protocol=holdout --set=batch_size=8 --workdir=runs/mine"
PREDICT = "gtzan_jax.predict runs/mine songs --explain"
COLUMNS, DPI = 80, 150
POINTS, LEADING, MARGIN = 9, 1.25, 0.15  # of a letter, lines by its size, inches
WIDTH = 0.602  # of a letter of DejaVu Sans Mono, by its size


def left_out() -> set[str]:
    """Returns the stems of the songs shown, of their artists' others, and of their repeats."""
    table = load_table(ROOT / "data" / "features_30_sec.csv")
    groups, tracks = groups_of(table), np.array(table.tracks)
    return {Path(track).stem for track in tracks[np.isin(groups, groups[np.isin(tracks, SHOWN)])]}


def output(command: str, folder: str) -> str:
    """Returns the output of ``python -m`` with a command."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", *command.split()],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE, encoding="utf-8", check=True,
    ).stdout  # fmt: skip


def drawn(text: str) -> Figure:
    """Draws text as a terminal of 80 columns."""
    lines = text.splitlines()
    if max(map(len, lines)) > COLUMNS:
        sys.exit("a line is longer than the terminal is wide")
    width = COLUMNS * WIDTH * POINTS / 72 + 2 * MARGIN
    height = len(lines) * LEADING * POINTS / 72 + 2 * MARGIN
    figure = Figure(figsize=(width, height), facecolor="#1c1e26")
    for row, line in enumerate(lines):
        y = 1 - (MARGIN + (row + 0.8) * LEADING * POINTS / 72) / height
        figure.text(
            MARGIN / width, y, line, family="DejaVu Sans Mono", size=POINTS, color="#e6e6e6",
            parse_math=False,
        )  # fmt: skip
    return figure


def main() -> None:
    """Trains, predicts, and writes the picture."""
    if len(sys.argv) != 3 or not all(Path(each).is_dir() for each in sys.argv[1:]):
        sys.exit(__doc__)
    (music, songs), out = (Path(each).resolve() for each in sys.argv[1:]), left_out()
    with tempfile.TemporaryDirectory() as folder:
        copies = [(p, f"music/{p.parent.name}") for p in music.glob("*/*") if p.stem not in out]
        for path, place in [*copies, *((songs / name, "songs") for name in SHOWN)]:
            Path(folder, place).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, Path(folder, place))
        output(SWEEP, folder)
        text = f"$ python -m {PREDICT}\n{output(PREDICT, folder)}"
    print(text)
    buffer = io.BytesIO()
    drawn(text).savefig(buffer, dpi=DPI)
    with Image.open(buffer) as image:
        small = image.convert("RGB").quantize(16)
        small.save(ROOT / "docs" / "images" / "predict.png", optimize=True)


if __name__ == "__main__":
    main()
