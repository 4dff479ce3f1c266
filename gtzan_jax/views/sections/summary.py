"""The report's summary: the sweep, and the accuracy on known and on new artists."""

import math

import numpy as np
from markupsafe import Markup

from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.tables.protocols import ARTISTS_APART, split_note
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.views.sections.artists import Reading, artists_known, measuring, new_artists
from gtzan_jax.views.sections.baselines import Baselines
from gtzan_jax.views.sections.section import Section, code, figure, joined, paragraph
from gtzan_jax.views.sections.selection import SEEN, TOGETHER, Winner, whose_songs
from gtzan_jax.views.text import counted, points


def swept(run: FinishedRun) -> str:
    """Describes the sweep in a sentence."""
    sweep, data, split = run.sweep, run.manifest.data, run.manifest.split
    drawn = "every combination of" if sweep.is_grid else f"by {sweep.search.kind} search over"
    grid = f" ({drawn} {counted(len(sweep.varying), 'hyperparameter')})"
    runs = [(len(split.folds), "fold"), (len(run.manifest.seeds), "seed")]
    times = "".join(f" × {counted(count, noun)}" for count, noun in runs if count > 1)
    most = "up to " if "epochs_given" in run.results else ""
    source = "the SYNTHETIC sample" if run.is_sample else data.name
    return (
        f"{counted(sweep.num_configs, 'configuration')}{grid if sweep.varying else ''}{times}, "
        f"trained for {most}{counted(sweep.epochs, 'epoch')} each on {source}: {run.rows_note} of "
        f"{len(data.genres)} {run.words.labels}, "
        f"{split_note(sweep.protocol, split.seed, len(split.folds), run.words)}."
    )


def trust_part(
    run: FinishedRun,
    winner: Winner | None,
    baselines: Baselines | None,
    table: FeatureTable | None = None,
    data: str | None = None,
) -> Section:
    """Makes the summary's part on accuracy, with a figure if baselines have several protocols.

    ``table`` is the run's feature table, if available, ``data`` its path, if given.
    """
    from gtzan_jax.views import plots

    apart, of_songs, text = run.protocol.is_apart(run.words), run.manifest.data.is_of_songs, []
    reading = new_artists(run, baselines) if of_songs and not apart else None
    is_known = True if reading else of_songs and artists_known(run, table)
    if winner:
        text.append(_own_headline(run, winner, is_known))
    if reading:
        how = f"Protocol {reading.protocol}: {reading.source}."
        text.append(_headline(reading, "new artists", "other artists", how))
    elif winner and of_songs and not apart:
        unknown = "This table does not name the artists."
        how = unknown if is_known is False else "Not measured for this sweep yet."
        text.append(_headline_of("?", "new artists", how))
    if not (reading or apart or is_known is False):
        proviso = "" if is_known else ", if the file names are GTZAN's"
        measure = f"To measure the accuracy on new artists{proviso}, then report again:"
        text.append(paragraph(measure, code(measuring(run, data))))
    if not (of_songs or apart):
        text.append(paragraph(TOGETHER))
    if winner and winner.on_test and len(run.results) > 1:
        seen = f"is about {points(winner.optimism, '', 1)} points too high"
        if winner.optimism < SEEN:
            seen = f"shows no optimism on resampled {run.words.rows}"
        selects = f"Selected and reported on the same test {run.words.rows}:"
        best = f"the best accuracy, {winner.apparent:.3f}, {seen}."
        text.append(paragraph(selects, best, kind="caution"))
    figures = []
    # The network of baselines is an MLP: its accuracies are not those of a CNN.
    if baselines and len(baselines.protocols) > 1 and run.sweep.family == "mlp":
        alt = "Test accuracy of our network and of the best of the other models under each protocol"
        drawn = plots.accuracy_rows(baselines.pairs)
        figures = [figure("accuracy_by_protocol", drawn, alt, baselines.finding)]
    return Section("Test accuracy", text, figures, name="accuracy")


def _own_headline(run: FinishedRun, winner: Winner, is_known: bool | None) -> Markup:
    """Makes the headline of the best config's accuracy, corrected if the test part selected it."""
    label, over = "new songs, artists unknown", "new songs by unknown artists"
    if run.protocol.leak:
        over = "songs in the training set"
        label = f"{over} (LEAK: too high)"
    elif run.words.is_grouped or not run.manifest.data.is_of_songs:
        label = over = whose_songs(run, run.sweep.protocol)
    elif run.sweep.protocol in ARTISTS_APART:
        label = over = "new artists"
    elif is_known:
        label, over = "artists in the training set", "other songs of such artists"
    seeds = "this seed" if len(run.manifest.seeds) == 1 else "these seeds"
    most = "at most " if run.sweep.stops_early else ""
    chosen = f", corrected for selection on these {run.words.rows}"
    how = (
        f"Protocol {run.sweep.protocol}, {most}{counted(run.sweep.epochs, 'epoch')}"
        f"{chosen if winner.on_test and len(run.results) > 1 else ''}."
    )
    if math.isnan(winner.low) and not run.manifest.data.is_of_songs:
        tested = len(np.unique(run.predictions.row))
        how += f" No interval: {counted(tested, 'test row')}."
    reading = Reading(run.sweep.protocol, winner.trusted, winner.low, winner.high, "")
    return _headline(reading, label, f"{over} and the networks of {seeds}", how)


def _headline(reading: Reading, label: str, over: str, how: str) -> Markup:
    """Makes the headline of an accuracy, with its interval, if any, over ``over``."""
    ends = f"{reading.low:.2f} to {reading.high:.2f}"
    sure = f"95 % interval {ends}, for {over}." if math.isfinite(reading.low) else ""
    return _headline_of(f"{reading.accuracy:.2f}", label, joined(sure, how))


def _headline_of(accuracy: str, label: str, how: str) -> Markup:
    words = Markup("<strong>{}</strong> <b>{}</b> <span>{}</span>").format(accuracy, label, how)
    return paragraph(words, kind="headline")
