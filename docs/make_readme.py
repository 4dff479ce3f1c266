"""Fills the README's result table, its pictures and the gallery's from real runs.

    python docs/make_readme.py RUN EDA BASELINES

These are folders that ``gtzan_jax.sweep`` (with nothing compiled before), ``gtzan_jax.eda`` and
``gtzan_jax.baselines`` wrote, all on the real table.
"""

import sys
from pathlib import Path

import pandas as pd
from pages import fill
from PIL import Image

from gtzan_jax.analysis.retraining_summary import kept_epoch, over_songs
from gtzan_jax.rundir.finished import FinishedRun, read_finished
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE
from gtzan_jax.views.messages import detectable_difference
from gtzan_jax.views.sections.effects import effects_figure, effects_of
from gtzan_jax.views.text import Table, plus_minus

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
SHOWN = 5
GAP = ("kfold", "mixed_artists", "artist_kfold", "artist_folds", "fault_filtered")


def results_block(run: FinishedRun) -> str:
    """Returns the best configs as a table, and a sentence on how they were come by."""
    manifest, results, history = run.manifest, run.results, run.retrained
    if history is None:
        sys.exit("the README shows the retraining, and this run has none")
    shown = results.head(SHOWN)[["rank", *run.sweep.axes, "test_accuracy"]]
    session, seconds = manifest.sessions[-1], manifest.timings_s
    cores, last = len(session.devices), kept_epoch(history)
    saved = run.retraining("best")
    low, high = over_songs(saved.songs if saved else None)
    return (
        f"{Table.of(shown).markdown}\n\n"
        f"The best {SHOWN} of {len(results)} networks after {run.sweep.epochs} epochs, ranked by "
        "the songs that they are reported on. With these songs and seed "
        f"{manifest.seeds[0]}, {int(results[INDISTINGUISHABLE].sum())} are statistically "
        f"indistinguishable from the best: {detectable_difference(run)}. The first, retrained "
        f"{len(last.epochs)} times for {history['epoch'].max()} epochs, ends at "
        f"{plus_minus(last.mean, last.deviation)} (deviation over seeds); for other songs of such "
        f"artists the 95 % interval is {low:.2f} to {high:.2f}, and these songs chose it. All of "
        f"it, imports, compilation, TensorBoard files and retraining included, took "
        f"{seconds['total']:.0f} seconds on {cores} {session.platform.upper()} cores, with nothing "
        "compiled before."
    )


def gap_blocks(folder: Path) -> tuple[str, str]:
    """Returns a sentence on the gap, and it with the accuracies by model and protocol.

    Args:
      folder: that ``gtzan_jax.baselines --protocol=all`` wrote.
    """
    scores = pd.read_csv(folder / "baselines.csv")
    scores["cell"] = [
        f"{row.accuracy:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in scores.itertuples()
    ]
    accuracy = scores.pivot(index="model", columns="protocol", values="accuracy")
    order = accuracy["kfold"].sort_values(ascending=False).index
    shown = [name for name in GAP if name in accuracy]
    cells = scores.pivot(index="model", columns="protocol", values="cell").loc[order, shown]
    mixed, apart = accuracy["mixed_artists"], accuracy["artist_kfold"]
    line = (
        f"The same 948 songs give {mixed.min():.2f} to {mixed.max():.2f} in random folds and "
        f"{apart.min():.2f} to {apart.max():.2f} in random folds that share no artist, by model"
    )
    return f"{line}.", (
        f"{line}:\n\n{Table.of(cells.reset_index()).markdown}\n\nTest accuracy, everything tuned "
        "inside the train parts, with 95 % intervals for these fits: over other songs of such "
        "artists in `kfold` and `mixed_artists`, over other artists in the others "
        "(`python -m gtzan_jax.baselines --protocol=all`)."
    )


def copy_picture(picture: Path, name: str) -> None:
    """Copies a PNG into docs/images with 128 colours, which suffice and are a third the size."""
    with Image.open(picture) as image:
        image.convert("RGB").quantize(128).save(IMAGES / f"{name}.png", optimize=True)


def main() -> None:
    """Rewrites blocks of README.md and docs/which_number.md, and pictures in docs/images."""
    run, eda, baselines = read_finished(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    if run.is_sample:
        sys.exit("the README shows the real table, and this run trained on the sample")
    title = f"Effect of each value on the test accuracy of {len(run.results)} networks"
    found = effects_of(run.accuracy_by_fold, run.sweep)
    if found is None:
        sys.exit("the README shows the effects of a grid")
    figure = effects_figure(found, run.sweep, title, run.note)
    figure.savefig(IMAGES / "by_value.png")
    for name in ("accuracy", "loss", "confusion_matrix"):
        copy_picture(run.run.best / f"{name}.png", f"retrained_{name}")
    for name in ("contact_sheet", "correlation_heatmap", "pca_min-max_2d", "pca_min-max_3d"):
        copy_picture(eda / f"{name}.png", name)
    for name in ("baselines", "importance"):
        copy_picture(baselines / f"{name}.png", name)
    fill(ROOT / "README.md", "results", results_block(run))
    line, table = gap_blocks(baselines)
    fill(ROOT / "README.md", "gap", line)
    fill(ROOT / "docs" / "which_number.md", "gap", table)


if __name__ == "__main__":
    main()
