"""Explores a feature table: figures, tables, doubtful data, and TensorBoard's projector."""

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax.analysis import exploration
from gtzan_jax.analysis.exploration import Pca
from gtzan_jax.files import write_atomically, write_csv
from gtzan_jax.inference.songs import load_features
from gtzan_jax.rundir import directory
from gtzan_jax.tables.schema import NO_OPTIONS, Columns, FeatureTable
from gtzan_jax.text import counted, printable, tensorboard_line
from gtzan_jax.views import messages
from gtzan_jax.views.progress import watch_songs

if TYPE_CHECKING:
    import pandas as pd

_PAIRS_SHOWN = 5
_MOST_DRAWN = 64  # features by class, the highest ranks
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


def explore(data: str, workdir: str | None, columns: Columns = NO_OPTIONS) -> None:
    """Explores a feature table, writes the findings to a folder and prints a summary."""
    table = load_features(data, watch_songs, columns)
    if missing := int(np.isnan(table.x).sum()):
        medians = np.nanmedian(table.x, axis=0)
        table = replace(table, x=np.where(np.isnan(table.x), medians, table.x).astype(np.float32))
        values = counted(missing, "missing value")
        messages.warn(f"{values}: each is replaced by the median of its column, over all rows")
    folder = Path(workdir or directory.default_folder("eda"))
    pcas = {scaling: exploration.pca(table, scaling) for scaling in exploration.SCALINGS}
    directory.create_folder(folder)
    messages.warn_of_sample(table.notice)
    print(printable(f"{table.note()}, {len(table.features)} features"), flush=True)
    correlations, quality = exploration.correlations(table), exploration.data_quality(table)
    loadings, ratios = exploration.pca_frames(pcas.values())
    frames = {
        "correlations": correlations.rename_axis("feature").reset_index(),
        "correlation_pairs": exploration.strongest_pairs(correlations),
        "feature_ranking": exploration.rank_features(table),
        "pca_loadings": loadings,
        "pca_explained_variance": ratios,
    }
    for name, frame in frames.items():
        marked = frame.assign(data="sample") if table.is_sample else frame
        write_csv(folder / f"{name}.csv", marked)
    text = json.dumps(quality, indent=2, allow_nan=False)
    write_atomically(folder / "data_quality.json", text + "\n")
    write_projector(folder / "projector", table)
    write_figures(folder, table, correlations, frames["feature_ranking"], pcas)
    _print_summary(folder, table, frames, pcas, quality)
    messages.warn_of_sample(table.notice)


def write_figures(
    folder: Path,
    table: FeatureTable,
    correlations: "pd.DataFrame",
    ranking: "pd.DataFrame",
    pcas: Mapping[str, Pca],
) -> None:
    """Draws and writes all figures; of many features those of the highest ranks."""
    from gtzan_jax.views import plots

    figures = {
        "correlation_heatmap": plots.correlation_heatmap(
            correlations, table.note(), " that are means" * table.has_moments
        ),
        "contact_sheet": plots.contact_sheet(table, ranking.head(_MOST_DRAWN)),
    }
    for scaling, pca in pcas.items():
        for dimensions in (2, 3):
            figures[f"pca_{scaling}_{dimensions}d"] = plots.pca_scatter(pca, table, dimensions)
        figures[f"pca_{scaling}_loadings"] = plots.pca_loadings(pca, table.note())
    for name, figure in figures.items():
        write_atomically(folder / f"{name}.png", plots.image_of(figure))
    (folder / "boxplots").mkdir()
    for row in ranking.head(_MOST_DRAWN).itertuples():
        caption = (
            f"place {row.rank} of {len(ranking)}: ANOVA F {row.anova_f:.1f}, "
            f"mutual information {row.mutual_information:.2f} nats"
        )
        figure = plots.feature_by_genre(table, str(row.feature), caption)
        name = str(row.feature)
        if not table.has_moments:  # names may be no file names
            name = f"{row.rank}_{_NOT_IN_NAMES.sub('_', name)[:60]}"
        write_atomically(folder / "boxplots" / f"{name}.png", plots.image_of(figure))


def write_projector(folder: Path, table: FeatureTable) -> None:
    """Writes the standardised rows, with class and name, for TensorBoard's projector."""
    from gtzan_jax.views import tensorboard

    words = table.words
    columns = {words.label: [table.genres[genre] for genre in table.y], words.row: table.tracks}
    if table.is_sample:
        columns["data"] = ["sample"] * len(table.y)
    name = f"{len(table.features)} standardised features" + (" (sample)" * table.is_sample)
    vectors = exploration.scaled(table, "standard")
    tensorboard.write_projector(folder, name, vectors, columns)
    # TensorBoard opens with this page, not with the projector.
    about = (
        f"{table.note()}\n\nThe page [Projector](#projector) shows the {words.rows} in three "
        f"dimensions, by their principal components: choose *Color by* {words.label}, and untick "
        "*Spherize data*. Reload to see the page listed above."
    )
    tensorboard.write_notes(folder / "summary", {"about": about}, {})


def _print_summary(
    folder: Path,
    table: FeatureTable,
    frames: "Mapping[str, pd.DataFrame]",
    pcas: Mapping[str, Pca],
    quality: Mapping[str, Any],
) -> None:
    words = table.words
    differing = sum(repeat[f"{words.labels}_differ"] for repeat in quality["repeats"])
    first = ", ".join(frames["feature_ranking"]["feature"][:_PAIRS_SHOWN])
    doubts = (
        f"exact repeats: {counted(len(quality['repeats']), 'group')} of {words.rows}"
        f"{f', {differing} of them across {words.labels}' if quality['repeats'] else ''}; "
        f"{len(quality['constant_features'])} constant and "
        f"{counted(len(quality['extreme_features']), 'extreme feature')}"
    )
    lines = ["", f"strongest correlations between {'means' if table.has_moments else 'features'}"]
    lines += [
        f"  {pair.correlation:+z.4f}  {pair.feature}, {pair.other}"
        for pair in frames["correlation_pairs"].head(_PAIRS_SHOWN).itertuples()
    ]
    lines += _wrapped(f"features that separate {words.labels} best: {first}")
    lines += [
        f"PCA, {scaling} scaling, variance explained: "
        + ", ".join(f"{ratio:.8f}" for ratio in pca.ratios)
        for scaling, pca in pcas.items()
    ]
    lines += [*_wrapped(doubts), f"figures, tables and data_quality.json in {folder}"]
    lines.append(f"  {tensorboard_line(folder / 'projector')}   # at /#projector, PCA in 3-D")
    for line in lines:
        print(printable(line))


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, 80, subsequent_indent="  ", break_on_hyphens=False)
