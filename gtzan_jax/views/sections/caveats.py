"""The caveats, a part of the report's section on reliability."""

import numpy as np

from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.tables.protocols import ARTISTS_APART, make_splits
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.views.sections.artists import artists_known
from gtzan_jax.views.sections.section import Section, paragraph, strong
from gtzan_jax.views.sections.selection import TOGETHER
from gtzan_jax.views.text import counted

PRETRAINED = (
    "The features are from musicnn, a network trained to predict tags, genres among them, of the "
    "Million Song Dataset. If that has some of these {songs}, or others of their albums, every "
    "accuracy here may be too high. No protocol shows by how much; songs released after 2011, the "
    "year of that data set, would."
)


def caveats_part(run: FinishedRun, table: FeatureTable | None, missing_table: str) -> Section:
    """Makes the part on caveats; ``missing_table`` is why the table is not available."""
    split, data, on_sound = run.manifest.split, run.manifest.data, run.sweep.family == "cnn"
    folds, seeds = len(split.folds), len(run.manifest.seeds)
    noise = "With one seed, small differences may be noise."
    if seeds > 1:
        noise = f"The {seeds} seeds vary all random numbers but the split."
    items = {
        f"Selection on the {run.protocol.select_on} part.": [run.protocol.note_for(data.words)],
        f"{counted(folds, 'fold').capitalize()}, {counted(seeds, 'seed')}.": [
            f"Another split of the {data.words.rows} gives other figures. {noise}",
            *split.left_out,
        ],
    }
    if data.is_segmented:
        items["Segments."] = [
            "Each row is a segment of a song. Validation and test accuracy, and so the ranking, "
            "are of songs: the mean log-probability of their segments. Losses and train accuracy "
            "are of segments."
        ]
    what, groups = "spectrograms" if on_sound else "features", len(data.repeats)
    if groups:
        items["Repeats."] = [
            f"{counted(groups, 'group')} of {data.unit} {'has' if groups == 1 else 'have'} exactly "
            f"equal {what}.",
            _straddling(run, table, missing_table),
        ]
    if data.is_of_songs:
        items["Artists."] = _artists(run, table)
    elif not data.words.is_grouped:
        items["Groups."] = [TOGETHER]
    if data.pretrained:
        items["Pretrained features."] = [PRETRAINED.format(songs=data.words.rows)]
    if run.is_sample:
        made = "random rows with the means and covariances of GTZAN's genres"
        if on_sound:
            made = "songs made by a program, in ten styles named after GTZAN's genres"
        items["Synthetic sample."] = [f"The data are {made}. No figure is about music."]
    text = [paragraph(strong(name), *words, kind="item") for name, words in items.items()]
    return Section("Caveats", text, name="caveats")


def _artists(run: FinishedRun, table: FeatureTable | None) -> list[str]:
    """Returns sentences on the artists of a table of songs."""
    known = artists_known(run, table)
    artists = (
        "The artists are unknown. If one has songs in both parts, a model may recognise the artist "
        "instead of the genre."
    )
    if run.words.is_grouped:
        artists = f"All {run.words.rows} of one {run.words.group} are on one side."
    elif run.sweep.protocol in ARTISTS_APART:
        artists = (
            "All songs of one artist are on one side, as far as the list of artists is complete."
        )
    elif known:
        artists = (
            "GTZAN has several tracks by many artists, and this protocol puts them into both "
            "parts. A model may recognise the artist instead of the genre: no figure of this sweep "
            "is about new artists."
        )
    return [artists, *["Some tracks of GTZAN are mislabelled (Sturm, 2013)."] * bool(known)]


def _straddling(run: FinishedRun, table: FeatureTable | None, missing_table: str) -> str:
    """Counts the groups of equal rows that lie in the train and in the test part of a fold."""
    if table is None:
        return f"The number that lie in both parts of a fold is unknown: {missing_table}."
    split = run.manifest.split
    folds = make_splits(table, run.sweep.protocol, split.seed, run.sweep.num_folds).folds
    count = sum(
        any(np.isin(rows, fold.train).any() and np.isin(rows, fold.test).any() for fold in folds)
        for rows in table.repeats
    )
    if not count:
        return "None lies in the train and the test part of a fold."
    return (
        f"{count} of them {'lies' if count == 1 else 'lie'} in the train and the test part of a "
        f"fold: the answer for a test {run.words.row} was seen in training."
    )
