"""Explores a feature table: writes figures, tables, doubtful data, and TensorBoard's projector."""

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtzan_jax.analysis import exploration
from gtzan_jax.analysis.exploration import Pca
from gtzan_jax.files import write_atomically, write_csv
from gtzan_jax.rundir import directory
from gtzan_jax.sound.summary import load_features
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.text import counted, printable, tensorboard_line
from gtzan_jax.views import messages
from gtzan_jax.views.progress import watch_songs

if TYPE_CHECKING:
    import pandas as pd

_PAIRS_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Exploration:
    """Findings about a table."""

    table: FeatureTable
    correlations: "pd.DataFrame" = field(repr=False)
    pairs: "pd.DataFrame" = field(repr=False)  # from exploration.strongest_pairs
    ranking: "pd.DataFrame" = field(repr=False)  # from exploration.rank_features
    pcas: Mapping[str, Pca]  # by scaling
    quality: Mapping[str, Any]  # from exploration.data_quality


def explore(data: str = "auto", workdir: str | None = None) -> Exploration:
    """Explores a feature table, writes the findings into a folder and prints a summary.

    Args:
      data: the table, as for ``load_features``.
      workdir: the folder. Default: ``runs/eda-<UTC time>``.

    Raises:
      InputError: the table or the folder cannot be used.
    """
    table = load_features(data, watch_songs)
    folder = Path(workdir or directory.default_folder("eda"))
    pcas = {scaling: exploration.pca(table, scaling) for scaling in exploration.SCALINGS}
    directory.create_folder(folder)
    messages.warn_of_sample(table.notice)
    print(printable(f"{table.note()}, {len(table.features)} features"), flush=True)
    matrix = exploration.correlations(table)
    found = Exploration(
        table,
        matrix,
        exploration.strongest_pairs(matrix),
        exploration.rank_features(table),
        pcas,
        exploration.data_quality(table),
    )
    write_tables(folder, found)
    write_projector(folder / "projector", table)
    write_figures(folder, found)
    for line in _summary(folder, found):
        print(printable(line))
    messages.warn_of_sample(table.notice)
    return found


def write_tables(folder: Path, found: Exploration) -> None:
    """Writes the frames as CSV, those of the sample marked, and data_quality.json."""
    loadings, ratios = exploration.pca_frames(found.pcas.values())
    frames = {
        "correlations": found.correlations.rename_axis("feature").reset_index(),
        "correlation_pairs": found.pairs,
        "feature_ranking": found.ranking,
        "pca_loadings": loadings,
        "pca_explained_variance": ratios,
    }
    for name, frame in frames.items():
        marked = frame.assign(data="sample") if found.table.is_sample else frame
        write_csv(folder / f"{name}.csv", marked)
    text = json.dumps(found.quality, indent=2, allow_nan=False)
    write_atomically(folder / "data_quality.json", text + "\n")


def write_figures(folder: Path, found: Exploration) -> None:
    """Draws and writes all figures."""
    from gtzan_jax.views import plots

    table, ranking, note = found.table, found.ranking, found.table.note()
    figures = {
        "correlation_heatmap": plots.correlation_heatmap(found.correlations, note),
        "contact_sheet": plots.contact_sheet(table, ranking),
    }
    for scaling, pca in found.pcas.items():
        for dimensions in (2, 3):
            figures[f"pca_{scaling}_{dimensions}d"] = plots.pca_scatter(pca, table, dimensions)
        figures[f"pca_{scaling}_loadings"] = plots.pca_loadings(pca, note)
    for name, figure in figures.items():
        write_atomically(folder / f"{name}.png", plots.image_of(figure))
    boxplots = folder / "boxplots"
    boxplots.mkdir()
    for row in ranking.itertuples():
        caption = (
            f"place {row.rank} of {len(ranking)}: ANOVA F {row.anova_f:.1f}, "
            f"mutual information {row.mutual_information:.2f} nats"
        )
        figure = plots.feature_by_genre(table, str(row.feature), caption)
        write_atomically(boxplots / f"{row.feature}.png", plots.image_of(figure))


def write_projector(folder: Path, table: FeatureTable) -> None:
    """Writes the tracks, standardised, with genre and file name, for TensorBoard's projector."""
    from gtzan_jax.views import tensorboard

    columns = {"genre": [table.genres[genre] for genre in table.y], "track": table.tracks}
    if table.is_sample:
        columns["data"] = ["sample"] * len(table.y)
    name = f"{len(table.features)} standardised features" + (" (sample)" * table.is_sample)
    vectors = exploration.scaled(table, "standard")
    tensorboard.write_projector(folder, name, vectors, columns)
    # TensorBoard opens on this page, not on the projector.
    about = (
        f"{table.note()}\n\nThe tracks in three dimensions, by their principal components, are on "
        "the page [Projector](#projector): choose *Color by* genre, and untick *Spherize data*. "
        "A reload lists the page above."
    )
    tensorboard.write_notes(folder / "summary", {"about": about}, {})


def _summary(folder: Path, found: Exploration) -> list[str]:
    """Returns the lines of a summary."""
    quality = found.quality
    differing = sum(repeat["genres_differ"] for repeat in quality["repeats"])
    return [
        "",
        "strongest correlations of means",
        *(
            f"  {pair.correlation:+z.4f}  {pair.feature}, {pair.other}"
            for pair in found.pairs.head(_PAIRS_SHOWN).itertuples()
        ),
        *_wrapped(f"most telling features: {', '.join(found.ranking['feature'][:_PAIRS_SHOWN])}"),
        *(
            f"variance of 3 components, {scaling} scaling: "
            + ", ".join(f"{ratio:.8f}" for ratio in pca.ratios)
            for scaling, pca in found.pcas.items()
        ),
        *_wrapped(
            f"exact repeats: {counted(len(quality['repeats']), 'group')} of tracks"
            f"{f', {differing} of them across genres' if quality['repeats'] else ''}; "
            f"{len(quality['constant_features'])} constant and "
            f"{counted(len(quality['extreme_features']), 'extreme feature')}"
        ),
        f"figures, tables and data_quality.json in {folder}",
        f"  {tensorboard_line(folder / 'projector')}   # at /#projector, PCA in 3-D",
    ]


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, 80, subsequent_indent="  ", break_on_hyphens=False)
