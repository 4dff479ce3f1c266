"""Fills the README's result table, its pictures and the gallery's from real runs.

    python docs/make_readme.py RUN EDA BASELINES

These are folders that ``gtzan_jax.sweep`` (with nothing compiled before), ``gtzan_jax.eda`` and
``gtzan_jax.baselines`` wrote, all on the real table.
"""

import re
import sys
from pathlib import Path

from PIL import Image

from gtzan_jax.rundir.finished import FinishedRun, read_finished
from gtzan_jax.views import plots
from gtzan_jax.views.sections.effects import main_shares, ranked_effects
from gtzan_jax.views.text import Table

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
SHOWN = 5


def results_block(run: FinishedRun) -> str:
    """Returns the best configs as a table, and a sentence on how they were come by."""
    manifest, results, history = run.manifest, run.results, run.retrained
    if history is None:
        sys.exit("the README shows the retraining, and this run has none")
    shown = results.head(SHOWN)[["rank", *run.sweep.axes, "test_accuracy"]]
    session, seconds = manifest.sessions[-1], manifest.timings_s
    cores = len(session.devices)
    return (
        f"{Table.of(shown).markdown}\n\n"
        f"The best {SHOWN} of {len(results)} networks after {manifest.sweep['epochs']} epochs. "
        f"Retrained for {len(history)} epochs, the first ends at "
        f"{history.test_accuracy.iloc[-1]:.4f}. All of it, imports, "
        f"compilation, TensorBoard files and retraining included, took "
        f"{seconds['total']:.0f} seconds on {cores} {session.platform.upper()} cores, "
        f"with nothing compiled before."
    )


def copy_picture(picture: Path, name: str) -> None:
    """Copies a PNG into docs/images with 128 colours, which suffice and are a third the size."""
    with Image.open(picture) as image:
        image.convert("RGB").quantize(128).save(IMAGES / f"{name}.png", optimize=True)


def main() -> None:
    """Rewrites the block between the markers in README.md, and docs/images."""
    run, eda, baselines = read_finished(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    if run.is_sample:
        sys.exit("the README shows the real table, and this run trained on the sample")
    values, parts = ranked_effects(run.accuracy_by_fold, run.sweep.varying)
    title = f"Effect of each value on the test accuracy of {len(run.results)} networks"
    shares = None if parts is None else main_shares(parts)
    plots.value_effects(values, shares, title, run.note).savefig(IMAGES / "by_value.png")
    for name in ("accuracy", "loss", "confusion_matrix"):
        copy_picture(run.run.best / f"{name}.png", f"retrained_{name}")
    for name in ("contact_sheet", "correlation_heatmap", "pca_min-max_2d", "pca_min-max_3d"):
        copy_picture(eda / f"{name}.png", name)
    for name in ("baselines", "importance"):
        copy_picture(baselines / f"{name}.png", name)
    readme = ROOT / "README.md"
    block = f"<!-- results -->\n{results_block(run)}\n<!-- /results -->"
    text = re.sub("<!-- results -->.*<!-- /results -->", block, readme.read_text(), flags=re.DOTALL)
    readme.write_text(text)


if __name__ == "__main__":
    main()
