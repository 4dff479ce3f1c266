"""The report's section on limits."""

import numpy as np

from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.tables.protocols import ARTISTS_APART, make_splits
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.views.sections.artists import artists_known
from gtzan_jax.views.sections.section import Section, paragraph, strong
from gtzan_jax.views.sections.selection import TOGETHER
from gtzan_jax.views.text import counted

PRETRAINED = (
    "The features are of musicnn, a network that learned listeners' tags of songs of the Million "
    "Song Dataset; the tags name genres. Some of these {songs}, or others of their albums, may be "
    "among those that it learned from, and would flatter every figure here. No protocol shows by "
    "how much: songs released after 2011, when that data set was published, would."
)


def caveats_section(run: FinishedRun, table: FeatureTable | None, missing_table: str) -> Section:
    """Makes the section on limits; ``missing_table`` is why the table is not available."""
    split, data, on_sound = run.manifest.split, run.manifest.data, run.sweep.family == "cnn"
    folds, seeds, divisions = len(split.folds), len(run.manifest.seeds), run.protocol.num_divisions
    times = "one division" if divisions == 1 else f"{divisions} divisions"
    noise = "one seed, from whose noise small differences are not told apart"
    if seeds > 1:
        noise = f"{seeds} seeds, which vary all random numbers but the division"
    items = {
        f"Selection on the {run.protocol.select_on} part.": [run.protocol.note_for(data.words)],
        f"{counted(folds, 'fold').capitalize()}.": [
            f"The figures are from {times} of the {data.words.rows}, and another gives others; and "
            f"from {noise}.",
            *split.left_out,
        ],
    }
    if data.is_segmented:
        items["Segments."] = [
            "The rows are segments of songs. Validation and test accuracy, by which configurations "
            "are ranked, are of songs, by the mean of their segments' log-probabilities. Losses, "
            "and the accuracy on the train part, are by segment."
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
            made = "songs made up by a program, in ten styles that have GTZAN's names"
        items["The sample."] = [
            f"This run is on the synthetic sample: {made}. No figure is about music."
        ]
    text = [paragraph(strong(name), *words, kind="item") for name, words in items.items()]
    return Section("Limits", text, name="limits")


def _artists(run: FinishedRun, table: FeatureTable | None) -> list[str]:
    """Returns sentences on the artists of a table of songs."""
    known = artists_known(run, table)
    artists = (
        "Who the songs are by is not known here. Where an artist has songs in both parts, a model "
        "may recognise the artist instead of the genre."
    )
    if run.words.is_grouped:
        artists = f"All {run.words.rows} of one {run.words.group} are on one side."
    elif run.sweep.protocol in ARTISTS_APART:
        artists = "The songs of an artist are on one side, as far as the list of artists goes."
    elif known:
        artists = (
            "GTZAN has several tracks by one artist in a genre, and this protocol puts them into "
            "both parts, so that a model may recognise the artist instead of the genre: no figure "
            "of this sweep is about new artists."
        )
    return [artists, *["Tracks of GTZAN are mislabelled, too (Sturm, 2013)."] * bool(known)]


def _straddling(run: FinishedRun, table: FeatureTable | None, missing_table: str) -> str:
    """Counts the groups of equal rows that lie in the train and in the test part of a fold."""
    if table is None:
        return f"How many of them lie in both parts of a fold is not known: {missing_table}."
    split = run.manifest.split
    folds = make_splits(table, run.sweep.protocol, split.seed, run.sweep.num_folds).folds
    count = sum(
        any(np.isin(rows, fold.train).any() and np.isin(rows, fold.test).any() for fold in folds)
        for rows in table.repeats
    )
    if not count:
        return "None lies in the train and in the test part of a fold."
    return (
        f"{count} of them {'lies' if count == 1 else 'lie'} in the train and in the test part of a "
        f"fold, where the answer to a test {run.words.row} was seen in training."
    )
