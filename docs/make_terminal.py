"""Draws the README's terminal: what a model says of songs, none by an artist that it knows.

    python docs/make_terminal.py MUSIC SONGS

MUSIC is a folder of GTZAN's songs with a subfolder a genre, SONGS one of more of them as WAV; the
table lies at data/features_30_sec.csv. The commands are the README's; the folder music has MUSIC's
songs but these and all others of their artists. Takes about a minute on two cores.
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
TABLE = ROOT / "data" / "features_30_sec.csv"
PICTURE = ROOT / "docs" / "images" / "predict.png"
SHOWN = ("jazz.00042.wav", "rock.00017.wav")  # one that it tells, one that it does not
COLUMNS = 80
POINTS, LEADING, MARGIN = 9, 1.25, 0.15  # of a letter, lines by its size, inches
WIDTH = 0.602  # of a letter of DejaVu Sans Mono, by its size
DPI = 150


def relatives(names: tuple[str, ...]) -> set[str]:
    """Returns the stems of songs, others of their artists, and what repeats one of these."""
    table = load_table(TABLE)
    groups = groups_of(table)
    out = np.isin(groups, groups[np.isin(table.tracks, names)])
    return {Path(track).stem for track in np.array(table.tracks)[out]}


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
    if len(sys.argv) != 3 or not all(Path(each).is_dir() for each in sys.argv[1:]):
        sys.exit(__doc__)
    music, songs = (Path(each).resolve() for each in sys.argv[1:])
    left_out = relatives(SHOWN)
    with tempfile.TemporaryDirectory() as folder:
        for song in music.glob("*/*"):
            if song.stem not in left_out:
                place = Path(folder, "music", song.parent.name)
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(song, place)
        Path(folder, "songs").mkdir()
        for name in SHOWN:
            shutil.copy(songs / name, Path(folder, "songs"))
        sweep = ("-m", "gtzan_jax.sweep", "--data=music", "--protocol=holdout")
        output(*sweep, "--set=batch_size=8", "--workdir=runs/mine", folder=folder)
        predict = ("-m", "gtzan_jax.predict", "runs/mine", "songs", "--explain")
        said = output(*predict, folder=folder)
    text = f"$ python {' '.join(predict)}\n{said}"
    print(text)
    buffer = io.BytesIO()
    drawn(text).savefig(buffer, dpi=DPI)
    with Image.open(buffer) as image:
        image.convert("RGB").quantize(16).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
