"""Fills the README's figures from the records, draws its picture, and fills a table beside it.

    python docs/make_readme.py [RUN BASELINES]

RUN and BASELINES are folders that ``gtzan_jax.sweep`` and ``gtzan_jax.baselines --protocol=all``
wrote on the real table; without them the picture and the table stay. Needs chromium of Debian.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from pages import fill
from PIL import Image

from gtzan_jax.jobs.reporting import write_report
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.views.text import Table

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "images" / "report.png"
WIDTH, HEIGHT = 1280, 868  # pixels
MODEL = "gtzan_jax MLP"
GAP = ("kfold", "mixed_artists", "artist_kfold", "artist_folds", "fault_filtered")


def finding(protocols: dict[str, Any]) -> str:
    """Returns the gap between known and new artists, by the 57 features and by tags.

    Args:
      protocols: the part of that name of docs/pretrained.json.
    """
    scores = {
        (features, row["protocol"]): row
        for features in ("57 features", "tags")
        for row in protocols[features]["scores"]
        if row["model"] == MODEL
    }
    random, apart, tags = (
        "{accuracy:.2f} [{low:.2f}, {high:.2f}]".format(**scores[key])
        for key in (
            ("57 features", "mixed_artists"),
            ("57 features", "artist_kfold"),
            ("tags", "artist_kfold"),
        )
    )
    tested = scores["57 features", "mixed_artists"]["tested"]
    return (
        f"**The finding.** On {tested} songs of GTZAN with published tags and artists, the "
        f"accuracy is {random} in random folds, and {apart} in random folds that share no artist. "
        f"With a pretrained network's tags instead of the 57 features it is {tags} there; that "
        "network may have been trained on some of these songs "
        "([Pretrained features](docs/pretrained.md#known-artists-and-new-artists))."
    )


def seconds(record: dict[str, Any]) -> str:
    """Returns the seconds of the 768 networks beside Keras's and PyTorch's, as a table."""
    rows = {
        "main_cold": "`python -m gtzan_jax.sweep`, retraining and all files included",
        "cold": "the same without the retraining",
        "torch_batched": "PyTorch, networks of one shape batched by hand",
        "keras_loop": "Keras on PyTorch, its fastest backend here, one after another (projected)",
    }
    lines = [f"| {what} | {record['rows'][row]['median']:.0f} |" for row, what in rows.items()]
    machine = record["machine"]
    head = (
        f"| 768 networks, 10 epochs, {machine['cores']} cores of {machine['processor']}, version "
        f"{record['versions']['gtzan_jax']} | seconds |"
    )
    return "\n".join([head, "|---|---|", *lines])


def gap(folder: Path) -> str:
    """Returns the accuracies by model and protocol, with intervals, from a folder of baselines."""
    scores = pd.read_csv(folder / "baselines.csv")
    scores["cell"] = [
        f"{row.accuracy:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in scores.itertuples()
    ]
    accuracy = scores.pivot(index="model", columns="protocol", values="accuracy")
    order = accuracy["kfold"].sort_values(ascending=False).index
    shown = [name for name in GAP if name in accuracy]
    cells = scores.pivot(index="model", columns="protocol", values="cell").loc[order, shown]
    mixed, apart = accuracy["mixed_artists"], accuracy["artist_kfold"]
    return (
        f"The same 948 songs give {mixed.min():.2f} to {mixed.max():.2f} in random folds and "
        f"{apart.min():.2f} to {apart.max():.2f} in random folds that share no artist, by model:"
        f"\n\n{Table.of(cells.reset_index()).markdown}\n\nTest accuracy, everything tuned inside "
        "the train parts, with 95 % intervals for these fits: over other songs of such artists in "
        "`kfold` and `mixed_artists`, over other artists in the others "
        "(`python -m gtzan_jax.baselines --protocol=all`)."
    )


def draw_report(run: str, baselines: str) -> None:
    """Draws the first screen of the report on a run."""
    finished = read_finished(run)
    if finished.is_sample:
        sys.exit("the README shows the real table, and this run was trained on the sample")
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder, "report.html"), Path(folder, "report.png")
        write_report([finished], baselines=[baselines], output=page)
        options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", f"--screenshot={shot}"]
        command = ["chromium", *options, f"--window-size={WIDTH},{HEIGHT}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        with Image.open(shot) as image:
            image.convert("RGB").quantize(128).save(PICTURE, optimize=True)


def main() -> None:
    """Fills the blocks between markers, and draws the picture where runs are given."""
    readme = ROOT / "README.md"
    pretrained = json.loads((ROOT / "docs" / "pretrained.json").read_text(encoding="utf-8"))
    record = json.loads((ROOT / "benchmarks" / "results" / "latest.json").read_text("utf-8"))
    fill(readme, "finding", finding(pretrained["protocols"]))
    fill(readme, "seconds", seconds(record))
    if len(sys.argv) > 1:
        draw_report(*sys.argv[1:])
        fill(ROOT / "docs" / "which_number.md", "gap", gap(Path(sys.argv[2])))


if __name__ == "__main__":
    main()
