"""What stands in the sections of the report: a run's figures as tables, texts and images."""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax.analysis import effects, endings
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.rundir.manifest import Parts, Session, environment
from gtzan_jax.rundir.ranking import result_metrics
from gtzan_jax.tables.protocols import divide, split_note
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.views.text import Table, counted, interval, p_value, percent, points

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_TOP = 20
_CONFUSED = 10


def run_section(run: FinishedRun) -> dict[str, Any]:
    """Returns what was run, on what, with what, and how long it took."""
    manifest, sweep = run.manifest, run.sweep
    data, split = manifest.data, manifest.split
    how = split_note(sweep.protocol, split.seed, len(split.folds))
    source = "the SYNTHETIC sample, not GTZAN" if run.is_sample else data.name
    facts = {
        "data": f"{source}; {data.tracks:,} tracks, {data.features} features, "
        f"{len(data.genres)} genres: {', '.join(data.genres)}",
        "checksum (SHA-256)": data.sha256,
        "protocol": f"{sweep.protocol}: {how}; ranked on the {run.protocol.select_on} part",
        **_folds(split.folds),
        "sweep": f"{sweep.name}: {counted(sweep.num_configs, 'configuration')} × "
        f"{counted(len(split.folds), 'fold')} × {counted(len(manifest.seeds), 'seed')} × "
        f"{counted(sweep.epochs, 'epoch')}",
        "seeds": ", ".join(map(str, manifest.seeds)),
        "training": ", ".join(_constants(run)),
        "precision of products": manifest.matmul_precision,
        **_sessions(manifest.sessions),
        "seconds": ", ".join(f"{part} {s:.1f}" for part, s in manifest.timings_s.items()),
    }
    axes = [[name, ", ".join(map(str, values))] for name, values in sweep.axes.items()]
    return {
        "facts": Table(("what", "value"), list(facts.items())),
        "axes": Table(("hyperparameter", "values"), axes),
    }


def _folds(folds: Sequence[Parts]) -> dict[str, str]:
    """Returns how many tracks each part has, from the smallest fold to the largest."""
    uses = {
        "tracks to train on": {fold.train for fold in folds},
        "to rank by": {fold.validation for fold in folds},
        "to test on": {fold.test for fold in folds},
    }
    sizes = [
        f"{min(counts):,}{f' to {max(counts):,}' if len(counts) > 1 else ''} {use}"
        for use, counts in uses.items()
        if max(counts)
    ]
    return {"parts of a fold": ", ".join(sizes)}


def _constants(run: FinishedRun) -> list[str]:
    """Returns what all configs of the sweep share."""
    sweep = run.sweep
    shared = [f"loss {sweep.loss}"]
    if sweep.batch_size:
        shared.append(f"batches of {sweep.batch_size}")
    if "leaky_relu" in sweep.axes.get("activation", ()):
        shared.append(f"slope of leaky ReLU {sweep.leaky_slope:g}")
    if sweep.learning_rates:
        rates = ", ".join(f"{name} {rate:g}" for name, rate in sweep.learning_rates.items())
        shared.append(f"learning rates: {rates}")
    return shared


def _sessions(sessions: Sequence[Session]) -> dict[str, str]:
    """Returns when, where and with what a run was trained."""
    found = environment(sessions)
    versions = [
        f"{key.removeprefix('versions.')} {version}"
        for key, version in found.items()
        if key.startswith("versions.")
    ]
    return {
        "device": f"{found.get('platform', '')}: {found.get('devices', '')}",
        "versions": ", ".join(versions),
        "started": "; ".join(session.started for session in sessions),
        "command": "; ".join(dict.fromkeys(session.command for session in sessions)),
    }


def table_section(run: FinishedRun) -> dict[str, Any]:
    """Returns the best configs, and all of them for the table that can be sorted."""
    frame = run.results.drop(columns="data", errors="ignore")
    metrics = result_metrics(run.sweep.protocol)
    first = [name for name in metrics if name in ("validation_accuracy", "test_accuracy")]
    # The accuracies stand in front, where a narrow screen shows them.
    front = [other for name in first for other in (name, f"{name}_std") if other in frame]
    others = [name for name in metrics if name not in first]
    shown = ["rank", *front, *run.sweep.axes, *others]
    columns = [*shown, "diverged", "config_id"]
    if not frame["diverged"].any():
        columns.remove("diverged")
    rows = [
        [None if isinstance(v, float) and not math.isfinite(v) else v for v in row]
        for row in frame[columns].itertuples(index=False)
    ]
    return {
        "top": Table.of(frame[shown].head(_TOP)),
        "all_rows": {
            "columns": columns,
            "rows": rows,
            "choices": run.sweep.varying,
            "decimals": [*front, *others],
        },
    }


def effects_section(run: FinishedRun, images: dict[str, bytes]) -> dict[str, Any]:
    """Makes the section on effects, and the pictures of all configurations."""
    from gtzan_jax.views import plots

    sweep, sound = run.sweep, run.results[~run.results["diverged"]]
    section: dict[str, Any] = {
        "diverged": len(run.results) - len(sound),
        "constant": {n: v[0] for n, v in sweep.axes.items() if len(v) == 1},
        "by_value": None,
        "shares": None,
        "runs": runs_word(run),
    }
    if sound.empty or not sweep.varying:
        return section
    accuracy = run.accuracy_by_fold
    differences = effects.paired_differences(accuracy, sweep.varying)
    section["units"] = effects.units_of(*accuracy.shape[1:])
    section["by_value"] = Table.of(effects.distributions(accuracy, sweep.varying))
    section["differences"] = _differences_table(differences, section["units"])
    figures = {
        "by_value": plots.accuracy_by_value(sound, sweep.axes, run.note),
        "differences": plots.mean_differences(differences, run.note, section["units"]),
        "parallel": plots.parallel_coordinates(sound, sweep.axes, run.note),
        "pairs": plots.pair_heatmap(sound, sweep.axes, run.note),
    }
    if not section["diverged"]:
        parts = effects.decompose(accuracy, sweep.varying)
        section["shares"] = _shares(parts, section["units"], run)
        figures["shares"] = plots.variance_shares(parts.terms, run.note)
    images |= {name: _png(figure) for name, figure in figures.items()}
    return section


def runs_word(run: FinishedRun) -> str:
    """Returns what the several runs of a config are: seeds, folds, or both."""
    if len(run.manifest.split.folds) == 1:
        return "seeds"
    return "folds" if len(run.manifest.seeds) == 1 else "folds and seeds"


def _differences_table(differences: "pd.DataFrame", units: str | None) -> Table:
    """Lays paired differences out in percentage points."""
    columns = ["hyperparameter", "value", "against", "pairs", "difference, points"]
    columns += [f"95 % interval over the {units}"] if units else []
    columns += ["80 % of the pairs", "better in", "worse in"]
    rows = []
    for row in differences.to_dict("records"):
        cells = [row["hyperparameter"], str(row["value"]), str(row["baseline"]), str(row["pairs"])]
        cells += [points(row["difference"])]
        cells += [interval(row["low"], row["high"])] if units else []
        cells += [interval(row["p10"], row["p90"])]
        rows.append([*cells, percent(row["wins"]), percent(row["losses"])])
    return Table(columns, rows)


def _shares(parts: effects.Decomposition, units: str | None, run: FinishedRun) -> dict[str, Any]:
    """Returns what the template says of a decomposition."""
    terms = parts.terms
    columns = ["", "degrees of freedom", "share of the variance"]
    columns += ["expected of noise alone", "p", "p among all terms"] if units else []
    rows = []
    for row in terms.to_dict("records"):
        cells = [row["term"], str(row["df"]), percent(row["share"], 3)]
        if units:
            cells.append(percent(row["noise_share"], 3))
            cells += [p_value(row["p_value"]), p_value(row["p_holm"])]
        rows.append(cells)
    main = int((terms["order"] == 1).sum())
    sums = terms.groupby("order")["share"].sum()
    whole = {
        "hyperparameters alone": sums.get(1, 0.0),
        "pairs": sums.get(2, 0.0),
        "three and more": parts.higher,
    }
    if run.accuracy.shape[1] > 1:
        whole |= {f"{runs_word(run)}, all configurations alike": parts.runs, "noise": parts.noise}
    return {
        "main": Table(["hyperparameter", *columns[1:]], rows[:main]),
        "pairs": Table(["pair", *columns[1:]], rows[main:]),
        "whole": Table(("part", "share"), [[k, percent(v, 3)] for k, v in whole.items()]),
        "std": math.sqrt(parts.variance),
        "first": terms["term"][0],
        "first_share": terms["share"][0],
        "several": run.accuracy.shape[1] > 1,
    }


def retrained_section(run: FinishedRun, images: dict[str, bytes]) -> dict[str, Any] | None:
    """Returns the retrained model's figures and pictures; None if there is no such model."""
    retraining = run.manifest.retraining
    if run.retrained is None or retraining is None:
        return None
    for name in ("accuracy", "loss", "confusion_matrix"):
        path = run.run.best / f"{name}.png"
        if path.is_file():
            images[name] = path.read_bytes()
    config, history = run.sweep.configs[run.sweep.places[retraining.config_id]], run.retrained
    means = endings.mean_curves(history).reset_index()
    epochs = means.iloc[[0, -1]].copy()
    epochs.insert(0, "", ["first", "last"])
    return {
        "name": config.name,
        "fold": 0 if retraining.num_folds > 1 else None,
        "seed": retraining.seeds[0],
        "train": run.manifest.split.folds[0].train,
        "weights": _num_weights((run.manifest.data.features, *config.units), run),
        "epochs": Table.of(epochs),
        "first": means.iloc[0],
        "last": means.iloc[-1],
        "scores": Table.of(run.scores) if run.scores is not None else None,
        "confused": _confused(run),
    }


def _num_weights(sizes: Sequence[int], run: FinishedRun) -> int:
    """Returns the weights and biases of layers of given sizes, the last one for the genres."""
    outputs = (*sizes[1:], len(run.manifest.data.genres))
    return sum((inputs + 1) * units for inputs, units in zip(sizes, outputs, strict=True))


def _confused(run: FinishedRun) -> Table | None:
    """Reads best/confusion.csv; None if it is not there."""
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
    return confused_pairs(counts, genres)


def confused_pairs(counts: np.ndarray, genres: Sequence[str]) -> Table:
    """Lists which genre was taken for which, most often first.

    Args:
      counts: (genres, genres) tracks; rows are true genres, columns predictions.
      genres: their names.
    """
    mistakes = counts - np.diag(np.diag(counts))
    rows = []
    for place in np.argsort(-mistakes, axis=None, kind="stable")[:_CONFUSED]:
        actual, taken = np.unravel_index(place, counts.shape)
        if mistakes[actual, taken]:
            share = mistakes[actual, taken] / counts[actual].sum()
            cells = [genres[actual], genres[taken], str(mistakes[actual, taken])]
            rows.append([*cells, str(counts[actual].sum()), percent(share)])
    return Table(("genre", "taken for", "tracks", "of", "share"), rows)


def limits_section(run: FinishedRun, table: FeatureTable | None) -> dict[str, Any]:
    """Returns the figures of the section on limits."""
    best, split = run.results.iloc[0], run.manifest.split
    accuracy = None if best["diverged"] else float(best["test_accuracy"])
    # No track is in the test part of two folds.
    tested = sum(fold.test for fold in split.folds)
    return {
        "best": accuracy,
        "tested": tested,
        "error": accuracy and math.sqrt(accuracy * (1 - accuracy) / tested),
        "repeats": len(run.manifest.data.repeats),
        "straddling": None if table is None else _straddling(run, table),
        "num_folds": len(split.folds),
        "select_on": run.protocol.select_on,
        "note": run.protocol.note,
    }


def _straddling(run: FinishedRun, table: FeatureTable) -> int:
    """Counts groups of equal tracks of which some fold has one to train on, one to test on."""
    folds = divide(table, run.sweep.protocol, run.manifest.split.seed, run.sweep.num_folds).folds
    return sum(
        any(np.isin(rows, fold.train).any() and np.isin(rows, fold.test).any() for fold in folds)
        for rows in table.repeats
    )


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
