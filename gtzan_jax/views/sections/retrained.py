"""The report's section on the retrained networks."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from gtzan_jax.analysis import endings
from gtzan_jax.errors import InputError
from gtzan_jax.models.family import num_weights
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.rundir.manifest import Retraining
from gtzan_jax.tables.protocols import PROTOCOLS, split_note
from gtzan_jax.tables.schema import data_note
from gtzan_jax.text import command_line
from gtzan_jax.views.sections.calibration import calibration_part
from gtzan_jax.views.sections.section import Section, code, figure, paragraph, strong
from gtzan_jax.views.sections.selection import whose_songs
from gtzan_jax.views.text import Table, counted, percent, plus_minus

if TYPE_CHECKING:
    import pandas as pd

_CONFUSED = 10


class Retrained:
    """The retrained networks of a run that has some.

    Attributes:
      last: at the epochs whose weights are kept.
      chosen: at those best by validation, if the protocol has a validation part.
      when: the epochs kept, in words.
      means: of the networks, a row an epoch.
      kept: means of the networks at the epochs kept.
      counts: (genres, genres) predictions by true genre; None if best/confusion.csv is missing.
      confused: from :func:`confused_pairs`; likewise.
    """

    def __init__(self, run: FinishedRun, history: "pd.DataFrame", about: Retraining) -> None:
        self.run, self.history, self.about = run, history, about
        self.config = run.sweep.configs[run.sweep.places[self.about.config_id]]
        self.last = endings.kept_epoch(self.history)
        self.chosen = endings.chosen_epoch(self.history)
        self.means = endings.mean_curves(self.history)
        self.kept = self.history[self.history["kept"]].mean()
        self.networks = len(self.last.epochs)
        self.stopped_early = endings.stopped_early(self.history, self.about.epochs)
        self.same_protocol = self.about.protocol == run.sweep.protocol
        data = run.manifest.data
        self.weights = num_weights(self.config, data.features, len(data.genres))
        epochs = "epochs" if self.networks > 1 else "epoch"
        self.when = f"after {counted(self.about.epochs, 'epoch')}"
        if self.stopped_early:
            self.when = f"at the {epochs} kept by early stopping"
        self.counts = _confusion(run)
        self.confused = None if self.counts is None else confused_pairs(self.counts, data.genres)


def retrained_of(run: FinishedRun) -> Retrained | None:
    """Returns a run's retrained networks, if there are any."""
    history, about = run.retrained, run.manifest.retraining
    return None if history is None or about is None else Retrained(run, history, about)


def retrained_section(run: FinishedRun, found: Retrained | None) -> Section:
    """Makes the section on the retrained networks."""
    title, parts, all_of_them = "The retrained networks", [], retrainings_part(run)
    if found is None:
        why: str = "Every configuration diverged."
        if not run.results["diverged"].all():
            why = code(command_line("retrain", [f"--workdir={run.run.path}"])) + " trains one."
        text = [paragraph("The sweep retrained no model.", why)]
        return Section(title, text, parts=[all_of_them] if all_of_them else [], name="retrained")
    how = split_note(found.about.protocol, run.manifest.split.seed, found.about.num_folds)
    note = run.note if found.same_protocol else data_note(run.manifest.data.source, "", how)
    text, confused = [paragraph(*_findings(found))], found.confused
    if confused is None:
        text.append(paragraph("The run has no " + code("best/confusion.csv") + "."))
    if calibrated := calibration_part(run, note):
        parts.append(calibrated)
    if confused:
        parts.append(Section("Most confused", tables=[confused], folded=True))
    if run.scores is not None:
        parts.append(Section("By genre", tables=[Table.of(run.scores)], folded=True))
    if all_of_them:
        parts.append(all_of_them)
    return Section(
        title, text, _figures(found, note), [_endings_table(found)], None, parts, "retrained"
    )


def _findings(found: Retrained) -> list[str]:
    run, about, networks = found.run, found.about, found.networks
    most = f", of at most {about.epochs}" if found.stopped_early else ""
    of = f", mean ± deviation of {networks} networks" if networks > 1 else ""
    folds = f" on {about.num_folds} folds" if about.num_folds > 1 else ""
    sentences: list[str] = [
        strong(plus_minus(found.last.mean, found.last.deviation))
        + " is the test accuracy of "
        + code(found.config.name)
        + f" {found.when}{most}{of}: {found.weights:,} weights, trained afresh under "
        f"{about.protocol}{folds}."
    ]
    saved = run.retraining("best")
    low, high = endings.over_songs(saved.songs if saved else None)
    if math.isfinite(low):
        sentences.append(
            f"For {whose_songs(run, about.protocol)} and these networks the 95 % interval is "
            f"{low:.2f} to {high:.2f}."
        )
    if found.same_protocol and run.protocol.select_on == "test" and len(run.results) > 1:
        sentences.append(
            "These are the tracks that chose the configuration, so that it looks better than it is."
        )
    first = "the first fold and " if about.num_folds > 1 else ""
    rule = (
        "after the epoch of its lowest validation loss"
        if found.stopped_early
        else "after the last epoch, a rule that looks at no figure"
    )
    sentences.append(f"The model that is kept is the one of {first}seed {about.seeds[0]} {rule}.")
    if about.config_id != run.results["config_id"].iloc[0]:
        sentences.append("It is not the best configuration of the sweep.")
    return sentences


def _figures(found: Retrained, note: str) -> list[Markup]:
    from gtzan_jax.views import plots

    history, genres = found.history, found.run.manifest.data.genres
    means, common = found.means, endings.common_epochs(history)
    mean = ", mean of the networks ± deviation" if found.networks > 1 else ""
    after = (
        f", from epoch {common + 1} on of those still in training" if common < len(means) else ""
    )
    dropout = any(found.config[name] for name in found.config if name.startswith("dropout"))
    captions = {
        "accuracy": f"Accuracy by epoch{mean}{after}. Train figures are taken while training"
        f"{', with dropout' if dropout else ''}.",
        "loss": loss_sentence(means.iloc[:common], len(means)),
    }
    figures = [
        figure(name, plots.training_curves(history, name, "", note),
               f"{name.capitalize()} of the parts by epoch", caption)
        for name, caption in captions.items()
    ]  # fmt: skip
    if found.counts is not None and found.confused is not None:
        drawn = plots.confusion_matrix(found.counts, genres, note, "")
        alt = "Confusion matrix of the test part"
        figures.append(figure("confusion_matrix", drawn, alt, most_confused(found.confused)))
    return figures


def retrainings_part(run: FinishedRun) -> Section | None:
    """Makes the part on all retrainings of a run; None where there are none."""
    rows, several = [], False
    for name, saved in run.retrainings.items():
        kept, about = endings.kept_epoch(saved.history), saved.about
        several |= len(kept.epochs) > 1
        leaks = " (LEAK)" if PROTOCOLS[about.protocol].leak else ""
        rows.append(
            [
                name,
                saved.config.name,
                f"{about.protocol}{leaks}",
                str(about.epochs),
                str(len(kept.epochs)),
                plus_minus(kept.mean, kept.deviation),
                saved.path.relative_to(run.run.path).as_posix(),
            ]
        )
    if not rows:
        return None
    over = ", mean ± standard deviation over the networks" if several else ""
    text = paragraph(f"Test accuracy at the epoch whose weights are kept{over}.")
    columns = ("name", "config", "protocol", "epochs", "networks", "test accuracy", "folder")
    return Section("All retrainings", [text], tables=[Table(columns, rows)])


def _endings_table(found: Retrained) -> Table:
    """Tabulates test accuracy by stopping rule."""
    rules = {"early stopping's" if found.stopped_early else "the last": found.last}
    if found.chosen:
        rules["best on the validation part"] = found.chosen
    spans = (sorted({e.epochs.min(), e.epochs.max()}) for e in rules.values())
    return Table.by_column(
        {
            "epoch": rules,
            "networks": [str(len(e.epochs)) for e in rules.values()],
            "which": [" to ".join(map(str, span)) for span in spans],
            "test accuracy, mean ± deviation": [
                plus_minus(e.mean, e.deviation) for e in rules.values()
            ],
        }
    )


def loss_sentence(means: "pd.DataFrame", longest: int) -> str:
    """Returns a sentence on the lowest and the last test loss.

    ``means`` has a row for each epoch that all networks have; the longest was trained ``longest``.
    """
    loss, accuracy = means["test_loss"].to_numpy(), means["test_accuracy"].to_numpy()
    lowest = int(loss.argmin())
    of = f" of the {len(loss)} that all networks have" if len(loss) < longest else ""
    sentence = f"The test loss is lowest in epoch {lowest + 1}{of}, {loss[lowest]:.3f}"
    if f"{loss[-1]:.3f}" == f"{loss[lowest]:.3f}":
        return f"{sentence}."
    overconfident = accuracy[-1] >= accuracy[lowest]
    return f"{sentence}, and {loss[-1]:.3f} in the last, " + (
        "while accuracy does not fall: the networks grow overconfident."
        if overconfident
        else "where accuracy is lower, too."
    )


def _confusion(run: FinishedRun) -> np.ndarray | None:
    """Reads best/confusion.csv: (genres, genres) counts; None if it is missing."""
    import pandas as pd

    path = run.run.best / "confusion.csv"
    if not path.is_file():
        return None
    try:
        counts = pd.read_csv(path, dtype=np.int64).to_numpy()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be used: {error}") from None
    genres = run.manifest.data.genres
    if counts.shape != (len(genres), len(genres)):
        raise InputError(f"{path} cannot be used: it is not {len(genres)} rows and columns")
    return counts


def confused_pairs(counts: np.ndarray, genres: Sequence[str]) -> Table:
    """Lists genres taken for others, the largest share of a genre's predictions first.

    ``counts`` is (genres, genres): rows are true genres, columns predictions.
    """
    mistakes = counts - np.diag(np.diag(counts))
    shares = mistakes / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = []
    for place in np.argsort(-shares, axis=None, kind="stable")[:_CONFUSED]:
        actual, taken = np.unravel_index(place, counts.shape)
        if mistakes[actual, taken]:
            cells = [genres[actual], genres[taken], str(mistakes[actual, taken])]
            rows.append([*cells, str(counts[actual].sum()), percent(shares[actual, taken])])
    return Table(("genre", "taken for", "predictions", "of", "share"), rows)


def most_confused(pairs: Table) -> str:
    """Returns a sentence on the first of :func:`confused_pairs`."""
    if not pairs.rows:
        return "No track is mistaken."
    largest = pairs.rows[0][-1]
    others = sum(row[-1] == largest for row in pairs.rows[1:])
    tied = f" (and {counted(others, 'other pair')} as often)" if others else ""
    actual, taken = pairs.rows[0][:2]
    share = f"{largest} of the predictions for {actual}"
    return f"Most often {actual} is taken for {taken}{tied}: {share}."
