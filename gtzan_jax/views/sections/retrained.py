"""The section on the retrained networks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax.analysis import endings
from gtzan_jax.errors import InputError
from gtzan_jax.models.layout import num_weights
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.tables.protocols import PROTOCOLS, split_note
from gtzan_jax.tables.schema import data_note
from gtzan_jax.views.sections.calibration import calibration_section
from gtzan_jax.views.sections.pictures import Pictures, draw
from gtzan_jax.views.sections.selection import whose_songs
from gtzan_jax.views.text import Table, counted, percent, plus_minus

if TYPE_CHECKING:
    import pandas as pd

_CONFUSED = 10


def retrained_section(run: FinishedRun, pictures: Pictures) -> dict[str, Any] | None:
    """Returns the retrained networks' figures, and draws them; None if there are none."""
    retraining = run.manifest.retraining
    if run.retrained is None or retraining is None:
        return None
    config, history = run.sweep.configs[run.sweep.places[retraining.config_id]], run.retrained
    last, chosen = endings.kept_epoch(history), endings.chosen_epoch(history)
    means, common = endings.mean_curves(history), endings.common_epochs(history)
    saved = run.retraining("best")
    early = endings.stopped_early(history, retraining.epochs)
    same = retraining.protocol == run.sweep.protocol
    counts = _confusion(run)
    confused = None if counts is None else confused_pairs(counts, run.manifest.data.genres)
    how = split_note(retraining.protocol, run.manifest.split.seed, retraining.num_folds)
    note = run.note if same else data_note(run.manifest.data.source, "", how)
    _draw(run, counts, note, pictures)
    return {
        "name": config.name,
        "is_best": retraining.config_id == run.results["config_id"].iloc[0],
        "protocol": retraining.protocol,
        "same_protocol": same,
        "networks": len(last.epochs),
        "folds": retraining.num_folds,
        "seed": retraining.seeds[0],
        "num_epochs": retraining.epochs,
        "last": last,
        "over_songs": endings.over_songs(saved.songs if saved else None),
        "over": whose_songs(run, retraining.protocol),
        "chose": same and run.protocol.select_on == "test",
        "stopped_early": early,
        "when": f"at the {'epochs' if len(last.epochs) > 1 else 'epoch'} kept by early stopping"
        if early
        else f"after {counted(retraining.epochs, 'epoch')}",
        "has_dropout": any(config[name] for name in config if name.startswith("dropout")),
        "common_epochs": common,
        "longest": len(means),
        "loss": _loss(means.iloc[:common], len(means)),
        "chosen": chosen,
        "endings": _endings_table(last, chosen, early),
        "train": run.manifest.split.folds[0].train if same else None,
        "weights": num_weights(config, run.manifest.data.features, len(run.manifest.data.genres)),
        "first_epoch": means.iloc[0],
        "kept": history[history["kept"]].mean(),
        "scores": Table.of(run.scores) if run.scores is not None else None,
        "calibration": calibration_section(run, note, pictures),
        "confused": confused,
        "most_confused": _most_confused(confused),
    }


def retrainings_table(run: FinishedRun) -> Table | None:
    """Returns all retrainings of a run, a row each; None where there are none."""
    rows = []
    for name, saved in run.retrainings.items():
        kept, about = endings.kept_epoch(saved.history), saved.about
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
    columns = ("name", "config", "protocol", "epochs", "networks", "test accuracy", "folder")
    return Table(columns, rows) if rows else None


def _draw(run: FinishedRun, counts: np.ndarray | None, note: str, pictures: Pictures) -> None:
    from gtzan_jax.views import plots

    if run.retrained is None:
        return
    for quantity in ("accuracy", "loss"):
        figure = plots.training_curves(run.retrained, quantity, "", note)
        draw(pictures, quantity, figure)
    if counts is not None:
        draw(
            pictures,
            "confusion_matrix",
            plots.confusion_matrix(counts, run.manifest.data.genres, note, ""),
        )


def _endings_table(last: endings.Ending, chosen: endings.Ending | None, early: bool) -> Table:
    """Returns the test accuracies of the networks by the rules that end a training."""
    kept = "early stopping's" if early else "the last"
    rules = {kept: last} | ({"best on the validation part": chosen} if chosen else {})
    rows = [
        [rule, str(len(e.epochs)), _span(e.epochs), plus_minus(e.mean, e.deviation)]
        for rule, e in rules.items()
    ]
    return Table(("epoch", "networks", "which", "test accuracy, mean ± deviation"), rows)


def _loss(means: "pd.DataFrame", longest: int) -> str:
    """Returns a sentence on the test loss: when it is lowest, and what comes after.

    Args:
      means: of the networks, a row for each epoch that all of them were trained.
      longest: epochs of the network that was trained longest.
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


def _span(epochs: np.ndarray) -> str:
    low, high = epochs.min(), epochs.max()
    return f"{low} to {high}" if low < high else str(low)


def _confusion(run: FinishedRun) -> np.ndarray | None:
    """Reads best/confusion.csv: (genres, genres) counts; None if it is not there."""
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
    """Lists which genre was taken for which, the largest share of a genre's predictions first.

    Args:
      counts: (genres, genres) predictions; rows are true genres, columns predictions.
      genres: their names.
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


def _most_confused(pairs: Table | None) -> str:
    """Returns a sentence on the mistakes that :func:`confused_pairs` lists first."""
    if pairs is None:
        return ""
    if not pairs.rows:
        return "No track is mistaken."
    largest = pairs.rows[0][-1]
    others = sum(row[-1] == largest for row in pairs.rows[1:])
    tied = f" (and {counted(others, 'other pair')} as often)" if others else ""
    actual, taken = pairs.rows[0][:2]
    share = f"{largest} of the predictions for {actual}"
    return f"Most often {actual} is taken for {taken}{tied}: {share}."
