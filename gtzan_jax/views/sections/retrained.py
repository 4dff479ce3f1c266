"""The report's section on the best model: the retrained networks."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from gtzan_jax.analysis import retraining_summary
from gtzan_jax.errors import InputError
from gtzan_jax.models.family import num_weights
from gtzan_jax.rundir.finished import FinishedRun, SavedRetraining
from gtzan_jax.tables.protocols import PROTOCOLS, split_note
from gtzan_jax.tables.schema import SONGS, Words, data_note
from gtzan_jax.text import command_line
from gtzan_jax.views.sections.calibration import calibration_part
from gtzan_jax.views.sections.section import Section, code, figure, paragraph, strong
from gtzan_jax.views.sections.selection import whose_songs
from gtzan_jax.views.text import Table, counted, percent, plus_minus

if TYPE_CHECKING:
    import pandas as pd


def retrained_section(run: FinishedRun) -> Section:
    """Makes the section on the retrained networks."""
    parts, saved = [], run.retraining("best")
    if saved is None:
        why: str = "Every configuration diverged."
        if not run.results["diverged"].all():
            why = code(command_line("retrain", [f"--workdir={run.run.path}"])) + " trains one."
        text, figures = [paragraph("The sweep retrained no model.", why)], []
    else:
        split = run.manifest.split
        how = split_note(saved.about.protocol, split.seed, saved.about.num_folds, run.words)
        note = data_note(run.manifest.data.source, "", how)
        if saved.about.protocol == run.sweep.protocol:
            note = run.note
        text, figures = [paragraph(*_findings(run, saved))], _figures(run, saved, note)
        if calibrated := calibration_part(run, note):
            parts.append(calibrated)
    scores = [] if run.scores is None else [Table.of(run.scores)]
    if run.retrainings:
        parts.append(_all_retrainings(run))
    return Section("Best model", text, figures, scores, parts=parts, name="model")


def _findings(run: FinishedRun, saved: SavedRetraining) -> list[str]:
    about, data = saved.about, run.manifest.data
    last, chosen = (
        retraining_summary.kept_epoch(saved.history),
        retraining_summary.chosen_epoch(saved.history),
    )
    networks, early = (
        len(last.epochs),
        retraining_summary.stopped_early(saved.history, about.epochs),
    )
    when = f"after {counted(about.epochs, 'epoch')}"
    rule = "after the last epoch, fixed in advance"
    if early:
        when = f"at the epochs kept by early stopping, at most {about.epochs}"
        rule = "after the epoch of its lowest validation loss"
    of = f" (mean ± deviation of {networks} networks)" if networks > 1 else ""
    folds = f" on {about.num_folds} folds" if about.num_folds > 1 else ""
    weights = num_weights(saved.config, data.features, len(data.genres))
    sentences: list[str] = [
        strong(plus_minus(last.mean, last.deviation))
        + f" test accuracy{of} {when}, retrained under {about.protocol}{folds}: "
        + code(saved.config.name)
        + f", {weights:,} weights."
    ]
    low, high = retraining_summary.over_songs(saved.songs)
    if math.isfinite(low):
        sentences.append(
            f"95 % interval {low:.2f} to {high:.2f}, for {whose_songs(run, about.protocol)} and "
            "these networks."
        )
    if chosen:
        accuracy = plus_minus(chosen.mean, chosen.deviation)
        sentences.append(f"At the epochs best on the validation part: {accuracy}.")
    same = about.protocol == run.sweep.protocol
    if same and run.protocol.select_on == "test" and len(run.results) > 1:
        sentences.append(
            f"These {run.words.rows} selected the configuration, so its accuracy is optimistic."
        )
    first = "the first fold and " if about.num_folds > 1 else ""
    sentences.append(f"Saved model: {first}seed {about.seeds[0]} {rule}.")
    if about.config_id != run.results["config_id"].iloc[0]:
        sentences.append("It is not the best configuration of the sweep.")
    return sentences


def _figures(run: FinishedRun, saved: SavedRetraining, note: str) -> list[Markup]:
    from gtzan_jax.views import plots

    history, genres, words = saved.history, run.manifest.data.genres, run.words
    means, common = (
        retraining_summary.mean_curves(history),
        retraining_summary.common_epochs(history),
    )
    after = f"From epoch {common + 1}: networks still in training." * (common < len(means))
    captions = {
        "accuracy": "Accuracy by epoch; on the train part during training, with any dropout.",
        "loss": loss_sentence(means.iloc[:common], len(means)),
    }
    figures = [
        figure(name, plots.training_curves(history, name, "", note),
               f"{name.capitalize()} of the parts by epoch", caption, after)
        for name, caption in captions.items()
    ]  # fmt: skip
    counts = _confusion(run)
    if counts is not None:
        drawn = plots.confusion_matrix(counts, genres, note, "", words)
        alt = "Confusion matrix of the test part"
        figures.append(figure("confusion_matrix", drawn, alt, most_confused(counts, genres, words)))
    return figures


def _all_retrainings(run: FinishedRun) -> Section:
    rows = []
    for name, saved in run.retrainings.items():
        kept, about = retraining_summary.kept_epoch(saved.history), saved.about
        leaks = " (LEAK)" if PROTOCOLS[about.protocol].leak else ""
        folder = saved.path.relative_to(run.run.path).as_posix()
        accuracy, networks = plus_minus(kept.mean, kept.deviation), str(len(kept.epochs))
        row = [name, saved.config.name, f"{about.protocol}{leaks}", str(about.epochs)]
        rows.append([*row, networks, accuracy, folder])
    columns = ("name", "config", "protocol", "epochs", "networks", "test accuracy", "folder")
    return Section("All retrainings", tables=[Table(columns, rows)], folded=True)


def loss_sentence(means: "pd.DataFrame", longest: int) -> str:
    """Returns a sentence on the lowest and the last test loss.

    ``means`` has a row for each epoch that all networks have; the longest was trained ``longest``.
    """
    loss, accuracy = means["test_loss"].to_numpy(), means["test_accuracy"].to_numpy()
    lowest = int(loss.argmin())
    of = f" of the {len(loss)} that all networks have" if len(loss) < longest else ""
    sentence = f"Test loss: lowest in epoch {lowest + 1}{of} ({loss[lowest]:.3f})"
    if f"{loss[-1]:.3f}" == f"{loss[lowest]:.3f}":
        return f"{sentence}."
    return f"{sentence}, {loss[-1]:.3f} in the last, " + (
        "while accuracy does not fall: the networks grow overconfident."
        if accuracy[-1] >= accuracy[lowest]
        else "where accuracy is lower, too."
    )


def _confusion(run: FinishedRun) -> np.ndarray | None:
    """Reads best/confusion.csv: (genres, genres) counts; None if it is missing."""
    import pandas as pd

    path, genres = run.run.best / "confusion.csv", run.manifest.data.genres
    if not path.is_file():
        return None
    try:
        counts = pd.read_csv(path, dtype=np.int64).to_numpy()
        if counts.shape != (len(genres), len(genres)):
            raise ValueError(f"it is not {len(genres)} rows and columns")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be used: {error}") from None
    return counts


def most_confused(counts: np.ndarray, genres: Sequence[str], words: Words = SONGS) -> str:
    """Returns a sentence on the most frequent confusion of two genres.

    ``counts`` is (genres, genres): rows are true genres, columns predictions.
    """
    mistakes = counts - np.diag(np.diag(counts))
    if not mistakes.any():
        return f"No {words.row} is misclassified."
    shares = mistakes / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    actual, taken = np.unravel_index(shares.argmax(), shares.shape)
    tied = int((shares == shares.max()).sum()) - 1
    also = f" (and {counted(tied, 'other pair')} as often)" if tied else ""
    # A number alone would not be understood as a class.
    of = "" if words.label == "genre" else f"{words.label} "
    names = [name if name[:1].isalpha() else f"{of}{name}" for name in genres]
    share = f"{percent(shares.max())} of {names[actual]}"
    return f"Most frequent confusion{also}: {names[actual]} predicted as {names[taken]}, {share}."
