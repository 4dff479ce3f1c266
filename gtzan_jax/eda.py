"""Looks at the feature table before anything is trained.

  python -m gtzan_jax.eda
  python -m gtzan_jax.eda --data=my/features.csv --workdir=runs/my-eda

Writes figures, the tables behind them, a list of what is doubtful in the data,
and a log directory for TensorBoard's projector.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

import gtzan_jax
from gtzan_jax import cli, exploration, rundir
from gtzan_jax.exploration import Pca
from gtzan_jax.features import FeatureTable, load_table
from gtzan_jax.files import write_atomically
from gtzan_jax.text import printable

if TYPE_CHECKING:
    import pandas as pd

PAIRS_SHOWN = 5


def write_tables(folder: Path, table: FeatureTable, frames: "Mapping[str, pd.DataFrame]") -> None:
    """Writes each frame as <name>.csv; the sample's frames say that they are."""
    for name, frame in frames.items():
        marked = frame.assign(data="sample") if table.is_sample else frame
        text = marked.to_csv(index=False, lineterminator="\n")
        write_atomically(folder / f"{name}.csv", text)


def write_figures(
    folder: Path,
    table: FeatureTable,
    matrix: "pd.DataFrame",
    ranking: "pd.DataFrame",
    pcas: Mapping[str, Pca],
) -> None:
    """Draws everything.

    Args:
      folder: where to.
      table: the feature table.
      matrix: correlations.
      ranking: from ``exploration.rank_features``.
      pcas: by scaling.
    """
    from gtzan_jax import plots

    note = table.note()
    plots.correlation_heatmap(matrix, note).savefig(folder / "correlation_heatmap.png")
    plots.contact_sheet(table, ranking).savefig(folder / "contact_sheet.png")
    boxplots = folder / "boxplots"
    boxplots.mkdir()
    for row in ranking.itertuples():
        caption = (
            f"place {row.rank} of {len(ranking)}: ANOVA F {row.anova_f:.1f}, "
            f"mutual information {row.mutual_information:.2f} nats"
        )
        figure = plots.feature_by_genre(table, str(row.feature), caption)
        figure.savefig(boxplots / f"{row.feature}.png")
    for scaling, pca in pcas.items():
        for dimensions in (2, 3):
            figure = plots.pca_scatter(pca, table, dimensions)
            figure.savefig(folder / f"pca_{scaling}_{dimensions}d.png")
        plots.pca_loadings(pca, note).savefig(folder / f"pca_{scaling}_loadings.png")


def write_projector(folder: Path, table: FeatureTable) -> None:
    """Writes the tracks, standardised, with genre and file name, for TensorBoard's projector."""
    from gtzan_jax import tensorboard

    columns = {"genre": [table.genres[genre] for genre in table.y], "track": table.tracks}
    if table.is_sample:
        columns["data"] = ["sample"] * len(table.y)
    name = f"{len(table.features)} standardised features" + (" (sample)" * table.is_sample)
    vectors = exploration.scaled(table, "standard")
    tensorboard.write_projector(folder, name, vectors, columns)


def print_summary(
    folder: Path,
    pairs: "pd.DataFrame",
    ranking: "pd.DataFrame",
    pcas: Mapping[str, Pca],
    quality: Mapping[str, Any],
) -> None:
    """Prints what was found, and where everything is."""
    print("\nstrongest correlations of means")
    for pair in pairs.head(PAIRS_SHOWN).itertuples():
        print(f"  {pair.correlation:+.4f}  {pair.feature}, {pair.other}")
    print(f"most telling features: {', '.join(ranking['feature'][:PAIRS_SHOWN])}")
    for scaling, pca in pcas.items():
        ratios = ", ".join(f"{ratio:.8f}" for ratio in pca.ratios)
        print(f"variance explained by 3 components, {scaling} scaling: {ratios}")
    differing = sum(repeat["genres_differ"] for repeat in quality["repeats"])
    print(
        f"exact repeats: {len(quality['repeats'])} groups of tracks, {differing} of them across "
        f"genres; {len(quality['constant_features'])} constant and "
        f"{len(quality['extreme_features'])} extreme features"
    )
    print(printable(f"figures, tables and data_quality.json in {folder}"))
    print(
        printable(f"  tensorboard --logdir {folder / 'projector'}   # at /#projector, PCA in 3-D:"),
        "color by genre, untick 'Spherize data'",
    )
    print(f"{time.perf_counter() - gtzan_jax.STARTED:.1f} s")


def main() -> int:
    """Explores the table that the flags name."""
    table = load_table(flags.FLAGS.data)
    folder = Path(flags.FLAGS.workdir or rundir.default_folder("eda"))
    pcas = {scaling: exploration.pca(table, scaling) for scaling in exploration.SCALINGS}
    rundir.create_folder(folder)
    cli.warn_of_sample(table)
    print(printable(f"{table.note()}, {len(table.features)} features"), flush=True)
    matrix = exploration.correlations(table)
    pairs = exploration.strongest_pairs(matrix)
    ranking = exploration.rank_features(table)
    quality = exploration.data_quality(table)
    frames = {
        "correlations": matrix.rename_axis("feature").reset_index(),
        "correlation_pairs": pairs,
        "feature_ranking": ranking,
        "pca_loadings": exploration.loadings_frame(pcas.values()),
        "pca_explained_variance": exploration.ratios_frame(pcas.values()),
    }
    write_tables(folder, table, frames)
    text = json.dumps(quality, indent=2, allow_nan=False)
    write_atomically(folder / "data_quality.json", text + "\n")
    write_projector(folder / "projector", table)
    write_figures(folder, table, matrix, ranking, pcas)
    print_summary(folder, pairs, ranking, pcas, quality)
    cli.warn_of_sample(table)
    return 0


if __name__ == "__main__":
    cli.define_data_flag()
    flags.DEFINE_string("workdir", None, "Where to write. Default: runs/eda-<UTC time>.")
    cli.run(main)
