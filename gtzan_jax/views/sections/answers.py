"""The first screen: what was swept, and the accuracy on known and on new artists."""

import math
from typing import TYPE_CHECKING, Any

from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.tables.protocols import ARTISTS_APART, split_note
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.views.sections.artists import Reading, artists_known, measuring, new_artists
from gtzan_jax.views.sections.pictures import Pictures, draw
from gtzan_jax.views.text import counted

if TYPE_CHECKING:
    import pandas as pd

Section = dict[str, Any] | None
Row = dict[str, Any]


def answers_section(
    run: FinishedRun,
    selected: Section,
    retrained: Section,
    classical: Section,
    pictures: Pictures,
    table: FeatureTable | None = None,
    data: str | None = None,
) -> dict[str, Any]:
    """Draws accuracy by protocol where baselines of its kind have several, else what the run has.

    Args:
      run: the run.
      selected: from ``selection_section``.
      retrained: from ``retrained_section``.
      classical: from ``classical_section``.
      pictures: gets the picture.
      table: the run's feature table, if it is at hand.
      data: where that is, if it was said.
    """
    from gtzan_jax.views import plots

    # The network of baselines is one for tables: its figures are none of a network on spectrograms.
    is_ours = run.sweep.family == "mlp"
    several = classical is not None and len(classical["protocols"]) > 1 and is_ours
    apart = run.sweep.protocol in ARTISTS_APART
    reading = None if apart else new_artists(run, classical)
    is_known = True if reading else artists_known(run, table)
    caption = ""
    if classical and several:
        rows = classical["by_protocol"]
        draw(pictures, "accuracy_by_protocol", plots.accuracy_rows(rows))
        bars = " Bars: 95 % intervals." if rows["low"].notna().any() else ""
        caption = f"{classical['finding']}{bars}"
    elif selected:
        rows = _rows(len(run.results), selected, retrained, reading)
        draw(pictures, "accuracies", plots.accuracy_rows(rows))
        caption = _caption(run, rows, selected["on_test"], retrained)
    figures = [_own_figure(run, selected, is_known)] if selected else []
    if reading:
        figures.append(
            _figure(reading.accuracy, "new artists", reading.low, reading.high, "other artists")
        )
        figures[-1]["how"] += f"Under {reading.protocol}, {reading.source}."
    elif selected and not apart:
        figures.append(_unmeasured(is_known))
    is_missing = not (reading or apart or is_known is False)
    return {
        "swept": _swept(run),
        "title": _title(run, apart, reading),
        "figures": figures,
        "command": measuring(run, data) if is_missing else "",
        "proviso": "" if is_known else ", if the file names are GTZAN's",
        "caption": caption,
        "by_protocol": several,
    }


def _title(run: FinishedRun, apart: bool, reading: Reading | None) -> str:
    """Returns what the figures are called: only one that holds for new artists is to be trusted."""
    if run.protocol.leak:
        return "A number not to trust" + (", and one for new artists" if reading else "")
    return "The number to trust" if apart and not run.is_sample else "Test accuracy"


def _own_figure(run: FinishedRun, selected: dict[str, Any], is_known: bool | None) -> Row:
    """Returns the accuracy of the run's best config, corrected where the test part chose it."""
    if run.sweep.protocol in ARTISTS_APART:
        label = "new artists"
    elif run.protocol.leak:
        label = "songs that were trained on"
    elif is_known:
        label = "songs of artists that were trained on"
    else:
        label = "new songs, whoever they are by"
    over = "other songs of such artists" if label.startswith("songs of artists") else label
    seeds = "this seed" if len(run.manifest.seeds) == 1 else "these seeds"
    figure = _figure(selected["trusted"], label, selected["low"], selected["high"], over, seeds)
    most = "at most " if run.sweep.stops_early else ""
    corrected = selected["on_test"] and len(run.results) > 1
    figure["how"] += (
        f"Under {run.sweep.protocol}, after {most}{counted(run.sweep.epochs, 'epoch')}"
        f"{', corrected for the choice by these tracks' if corrected else ''}."
    )
    return figure


def _figure(
    accuracy: float, label: str, low: float, high: float, over: str, seeds: str = ""
) -> Row:
    """Returns a figure of the first screen; ``how`` begins with its interval, if any.

    Args:
      accuracy: the figure.
      label: what it is the accuracy on.
      low: of the interval; NaN where there is none.
      high: likewise.
      over: what the interval is for.
      seeds: whose networks it is for, if that is known.
    """
    of = f", with the networks of {seeds}" if seeds else ""
    how = f"95 % interval for {over}{of}: {low:.2f} to {high:.2f}. " if math.isfinite(low) else ""
    return {"accuracy": f"{accuracy:.2f}", "label": label, "how": how}


def _unmeasured(is_known: bool | None) -> Row:
    """Returns what stands in place of a figure for new artists."""
    how = "Not measured yet."
    if is_known is False:
        how = (
            "Artists are unknown: this table does not say who its songs are by, so that an artist "
            "may be in both parts, and no protocol can keep them apart."
        )
    return {"accuracy": "?", "label": "new artists", "how": how}


def _caption(
    run: FinishedRun, rows: "pd.DataFrame", on_test: bool, retrained: dict[str, Any] | None
) -> str:
    """Returns the caption of :func:`_rows`: what is drawn, and nothing else."""
    split = run.manifest.split
    note = split_note(run.sweep.protocol, split.seed, len(split.folds))
    sentences = [f"Protocol {run.sweep.protocol}: {note}."]
    drawn = rows["low"].notna()
    again = rows["retrained"]
    bars = ["95 % intervals"] if (drawn & ~again).any() else []
    bars += ["deviations of retrained networks"] if (drawn & again).any() else []
    if bars:
        sentences.append(f"Bars: {'; '.join(bars)}.")
    if retrained and again.any() and on_test:
        longer = "train longer, and " if retrained["num_epochs"] > run.sweep.epochs else ""
        sentences.append(
            f"Retrained networks {longer}are tested on the tracks that chose their configuration."
        )
    return " ".join(sentences)


def _swept(run: FinishedRun) -> str:
    """Returns what was swept, in a sentence."""
    sweep, data, split = run.sweep, run.manifest.data, run.manifest.split
    drawn = "every combination of" if sweep.is_grid else f"by {sweep.search.kind} search over"
    grid = f" ({drawn} {counted(len(sweep.varying), 'hyperparameter')})"
    runs = [(len(split.folds), "fold"), (len(run.manifest.seeds), "seed")]
    times = "".join(f" × {counted(count, noun)}" for count, noun in runs if count > 1)
    most = "up to " if "epochs_given" in run.results else ""
    source = "the SYNTHETIC sample" if run.is_sample else data.name
    return (
        f"{counted(sweep.num_configs, 'network')}{grid if sweep.varying else ''}{times}, trained "
        f"for {most}{counted(sweep.epochs, 'epoch')} each on {source}: {run.rows_note} of "
        f"{len(data.genres)} genres, {split_note(sweep.protocol, split.seed, len(split.folds))}."
    )


def _rows(
    num_configs: int, selected: dict[str, Any], retrained: Section, reading: Reading | None
) -> "pd.DataFrame":
    """Returns the run's accuracies, as ``plots.accuracy_rows`` takes them."""
    import pandas as pd

    def row(label: str, accuracy: float, low: float = math.nan, high: float = math.nan) -> Row:
        ends = {"accuracy": accuracy, "low": low, "high": high}
        return {"label": label, "apart": False, "retrained": False} | ends

    ends = selected["low"], selected["high"]
    if selected["on_test"]:
        names = "as chosen", "corrected for the choice"
    else:
        names = "on the validation part", "on the test part"
    rows = [row(names[1], selected["trusted"], *ends)]
    if num_configs > 1 or not selected["on_test"]:
        rows.insert(0, row(f"best of {num_configs:,}, {names[0]}", selected["apparent"]))
    else:
        rows[0]["label"] = "the only configuration"
    if retrained and retrained["is_best"] and retrained["same_protocol"]:
        most = "at most " if retrained["stopped_early"] else ""
        times = f"retrained for {most}{counted(retrained['num_epochs'], 'epoch')}"
        endings = {times: retrained["last"], "retrained, epoch by validation": retrained["chosen"]}
        for label, ending in endings.items():
            if ending:
                low, high = ending.mean - ending.deviation, ending.mean + ending.deviation
                rows.append(row(label, ending.mean, low, high) | {"retrained": True})
    if reading:
        label = f"new artists ({reading.protocol})"
        rows.append(row(label, reading.accuracy, reading.low, reading.high) | {"apart": True})
    return pd.DataFrame(rows).assign(series="ours")
