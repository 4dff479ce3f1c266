"""What stands in each section of the report: a run's figures as tables, texts and images."""

import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from gtzan_jax import claims, effects
from gtzan_jax.errors import InputError
from gtzan_jax.features import FeatureTable
from gtzan_jax.files import refuse_links
from gtzan_jax.finished import FinishedRun, table_of
from gtzan_jax.manifest import Session, environment
from gtzan_jax.rundir import RESULT_METRICS
from gtzan_jax.space import HYPERPARAMETERS
from gtzan_jax.splits import random_split
from gtzan_jax.trained import load_model

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_TOP = 20
_CONFUSED = 10
_NOTHING = "–"
_NUMBER = re.compile(r"[+−]?[\d.,]+(e[+-]\d+)?( %| to [+−]?[\d.]+)?|–")  # or an interval


@dataclass(frozen=True)
class Table:
    """A table as it is printed: names of the columns, and rows of texts."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def numeric(self) -> list[bool]:
        """For each column, whether it holds numbers only, which align on the right."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.columns)
        return [bool(cells) and all(map(_NUMBER.fullmatch, cells)) for cells in columns]


def find_baselines(run: FinishedRun, folder: str | None) -> Path | None:
    """Returns the folder of baselines that belongs to a run; None if there is none.

    Args:
      run: the run.
      folder: which one; None takes the newest ``baselines-*`` beside the run directory that is
        of the same feature table.

    Raises:
      InputError: ``folder`` holds a link, no baselines, or those of another feature table.
    """
    checksum = run.manifest.data.sha256
    if folder is not None:
        refuse_links(Path(folder))
        found = _baselines_checksum(Path(folder))
        if found is None:
            raise InputError(
                f"--baselines={folder}: no baselines.json and baselines.csv that can be used"
            )
        if found != checksum:
            raise InputError(f"--baselines={folder}: made from another feature table than the run")
        return Path(folder)
    beside = run.run.path.resolve().parent.glob("baselines-*")
    fitting = [path for path in beside if _baselines_checksum(path) == checksum]
    return max(fitting, key=lambda path: (path / "baselines.json").stat().st_mtime, default=None)


class _BaselinesTable(msgspec.Struct):
    sha256: str


class _BaselinesNetwork(msgspec.Struct):
    name: str


class _Baselines(msgspec.Struct):
    """What the report needs of baselines.json."""

    data: _BaselinesTable
    ours: _BaselinesNetwork
    best_classical: str
    notes: dict[str, str]


def _read_baselines(folder: Path) -> _Baselines:
    """Reads baselines.json; raises OSError, ValueError or RecursionError."""
    return msgspec.json.decode((folder / "baselines.json").read_bytes(), type=_Baselines)


def _baselines_checksum(folder: Path) -> str | None:
    try:
        refuse_links(folder)
        checksum = _read_baselines(folder).data.sha256
    except (OSError, ValueError, RecursionError):
        return None
    return checksum if (folder / "baselines.csv").is_file() else None


def run_section(run: FinishedRun) -> dict[str, Any]:
    """Returns what was run, on what, with what, and how long it took."""
    manifest, sweep = run.manifest, run.sweep
    data, split, seeds = manifest.data, manifest.split, manifest.seeds
    rates = ", ".join(f"{name} {rate:g}" for name, rate in sweep.learning_rates.items())
    source = "the SYNTHETIC sample, not GTZAN" if run.is_sample else data.name
    facts = {
        "data": f"{source}; {data.tracks:,} tracks, {data.features} features, "
        f"{len(data.genres)} genres: {', '.join(data.genres)}",
        "checksum (SHA-256)": data.sha256,
        "split": f"{split.train:,} tracks to train on, {split.test:,} to test on, at "
        f"random, seed {split.seed}",
        "sweep": f"{sweep.name}: {sweep.num_configs:,} configurations × {len(seeds)} "
        f"{'seed' if len(seeds) == 1 else 'seeds'} × {sweep.epochs} epochs",
        "seeds": ", ".join(map(str, seeds)),
        "training": f"loss {sweep.loss}, batches of {sweep.batch_size}, slope of leaky ReLU "
        f"{sweep.leaky_slope:g}, learning rates: {rates}",
        "precision of products": manifest.matmul_precision,
        **_sessions(manifest.sessions),
        "seconds": ", ".join(f"{part} {s:.1f}" for part, s in manifest.timings_s.items()),
    }
    axes = [[name, ", ".join(map(str, values))] for name, values in sweep.axes.items()]
    return {
        "facts": Table(("what", "value"), list(facts.items())),
        "axes": Table(("hyperparameter", "values"), axes),
    }


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
    accuracy, *others = RESULT_METRICS
    spread = [name for name in ("test_accuracy_std",) if name in frame]
    # The accuracy stands in front, where a narrow screen shows it.
    shown = ["rank", accuracy, *spread, *HYPERPARAMETERS, *others]
    columns = [*shown, "diverged", "config_id"]
    if not frame["diverged"].any():
        columns.remove("diverged")
    # By way of JSON, because it turns what is not finite into null.
    rows = json.loads(frame[columns].to_json(orient="values", double_precision=7))
    choices = {name: values for name, values in run.sweep.axes.items() if len(values) > 1}
    return {
        "top": _table(frame[shown].head(_TOP)),
        "all_rows": {
            "columns": columns,
            "rows": rows,
            "choices": choices,
            "decimals": [name for name in columns if name.startswith(("test_", "train_"))],
        },
    }


def effects_section(run: FinishedRun, images: dict[str, bytes]) -> dict[str, Any]:
    """Makes section 3 and the pictures of section 5."""
    from gtzan_jax import plots

    axes = {name: values for name, values in run.sweep.axes.items() if len(values) > 1}
    sound = run.results[~run.results["diverged"]]
    section: dict[str, Any] = {
        "diverged": len(run.results) - len(sound),
        "constant": {n: v[0] for n, v in run.sweep.axes.items() if len(v) == 1},
        "by_value": None,
        "shares": None,
    }
    if sound.empty or not axes:
        return section
    spread = effects.distributions(run.accuracy, axes)
    differences = effects.paired_differences(run.accuracy, axes)
    section["by_value"] = _table(spread)
    section["differences"] = _differences_table(differences)
    figures = {
        "by_value": plots.accuracy_by_value(sound, run.sweep.axes, run.note),
        "differences": plots.mean_differences(differences, run.note),
        "parallel": plots.parallel_coordinates(sound, axes, run.note),
        "pairs": plots.pair_heatmap(sound, axes, run.note),
    }
    if not section["diverged"]:
        parts = effects.decompose(run.accuracy, axes)
        section["shares"] = _shares(parts, len(run.manifest.seeds))
        figures["shares"] = plots.variance_shares(parts.terms, run.note)
    images |= {name: _png(figure) for name, figure in figures.items()}
    return section


def _differences_table(differences: "pd.DataFrame") -> Table:
    """Lays paired differences out in percentage points."""
    several = "seed_low" in differences
    columns = ["hyperparameter", "value", "against", "pairs", "difference, points"]
    columns += ["95 % interval over the pairs", *(["over the seeds"] if several else [])]
    rows = []
    for row in differences.to_dict("records"):
        cells = [row["hyperparameter"], str(row["value"]), str(row["baseline"]), str(row["pairs"])]
        cells += [points(row["difference"]), _interval(row["low"], row["high"])]
        cells += [_interval(row["seed_low"], row["seed_high"])] if several else []
        rows.append([*cells, percent(row["wins"]), percent(row["losses"])])
    return Table([*columns, "better in", "worse in"], rows)


def _shares(parts: effects.Decomposition, num_seeds: int) -> dict[str, Any]:
    """Returns what the template says of a decomposition."""
    terms = parts.terms
    columns = ["", "degrees of freedom", "share of the variance"]
    if num_seeds > 1:
        columns += ["expected of seed noise alone", "p"]
    rows = []
    for row in terms.to_dict("records"):
        cells = [row["term"], str(row["df"]), percent(row["share"], 3)]
        if num_seeds > 1:
            cells += [percent(row["noise_share"], 3), f"{row['p_value']:.2g}"]
        rows.append(cells)
    main = int((terms["order"] == 1).sum())
    sums = terms.groupby("order")["share"].sum()
    whole = {
        "hyperparameters alone": sums.get(1, 0.0),
        "pairs": sums.get(2, 0.0),
        "three and more": parts.higher,
    }
    if num_seeds > 1:
        whole |= {"seeds, all configurations alike": parts.seed, "seed noise": parts.noise}
    return {
        "main": Table(["hyperparameter", *columns[1:]], rows[:main]),
        "pairs": Table(["pair", *columns[1:]], rows[main:]),
        "whole": Table(("part", "share"), [[k, percent(v, 3)] for k, v in whole.items()]),
        "std": math.sqrt(parts.variance),
        "first": terms["term"][0],
        "first_share": terms["share"][0],
        "num_seeds": num_seeds,
    }


def claims_section(
    run: FinishedRun, others: Sequence[FinishedRun], table: FeatureTable | None
) -> dict[str, Any]:
    """Returns each claim with what every run says of it."""
    tables = [table]
    for other in others:
        same = table and table.sha256 == other.manifest.data.sha256
        tables.append(table if same else table_of(other, None)[0])
    runs = (run, *others)
    judged = [claims.judge(each, its) for each, its in zip(runs, tables, strict=True)]
    names = [f"{each.name} ({each.sweep.loss})" for each in runs]
    rows = [
        {
            "claim": found[0],
            "found": [(name, each) for name, each in zip(names, found, strict=True)],
        }
        for found in zip(*judged, strict=True)
    ]
    losses = {each.sweep.loss for each in runs}
    return {"rows": rows, "names": names, "losses": losses}


def retrained_section(
    run: FinishedRun, table: FeatureTable | None, images: dict[str, bytes]
) -> dict[str, Any] | None:
    """Returns the retrained model's figures and pictures; None if there is no such model."""
    if run.retrained is None:
        return None
    for name in ("accuracy", "loss", "confusion_matrix"):
        path = run.run.best / f"{name}.png"
        if path.is_file():
            images[name] = path.read_bytes()
    model, history = load_model(run.run.path), run.retrained
    at = {"first": 0, "best on the test part": int(history["test_accuracy"].argmax())}
    epochs = history.iloc[[*at.values(), -1]].copy()
    epochs.insert(0, "", [*at, "last"])
    section = {
        "model": model,
        "weights": sum(array.size for layer in model.params.values() for array in layer.values()),
        "epochs": _table(epochs),
        "first": history.iloc[0],
        "last": history.iloc[-1],
        "scores": _table(run.scores) if run.scores is not None else None,
        "confused": None,
    }
    if table:
        test = random_split(table, run.manifest.split.seed).test
        predicted = model.predict_proba(table)[test].argmax(axis=1)
        section["confused"] = confused_pairs(table.y[test], predicted, table.genres)
    return section


def confused_pairs(true: np.ndarray, predicted: np.ndarray, genres: Sequence[str]) -> Table:
    """Lists which genre was taken for which, most often first.

    Args:
      true: (tracks,) genres, by number.
      predicted: (tracks,) genres, by number.
      genres: their names.
    """
    counts = np.zeros((len(genres), len(genres)), int)
    np.add.at(counts, (true, predicted), 1)
    mistakes = counts - np.diag(np.diag(counts))
    rows = []
    for place in np.argsort(-mistakes, axis=None, kind="stable")[:_CONFUSED]:
        actual, taken = np.unravel_index(place, counts.shape)
        if mistakes[actual, taken]:
            share = mistakes[actual, taken] / counts[actual].sum()
            cells = [genres[actual], genres[taken], str(mistakes[actual, taken])]
            rows.append([*cells, str(counts[actual].sum()), percent(share)])
    return Table(("genre", "taken for", "tracks", "of", "share"), rows)


def classical_section(folder: Path | None, images: dict[str, bytes]) -> dict[str, Any] | None:
    """Reads the baselines; None if there are none."""
    import pandas as pd

    if folder is None:
        return None
    try:
        described = _read_baselines(folder)
        scores = pd.read_csv(folder / "baselines.csv").set_index("model", drop=False)
        paired = pd.read_csv(folder / "comparison.csv").set_index("model")
        importance = pd.read_csv(folder / "importance.csv").set_index("feature")
        ours, best = described.ours.name, described.best_classical
        section = {
            "folder": folder.name,
            "scores": _scores_table(scores, paired),
            "splits": sum(str(column).startswith("split_") for column in scores),
            "selection": described.notes["selection"],
            "notes": described.notes,
            "ours": scores.loc[ours],
            "best": scores.loc[best],
            "paired": paired.loc[best],
            "top_classical": importance["classical_mean"].idxmax(),
            "top_network": importance["mlp_mean"].idxmax(),
            "agreement": importance["classical_mean"].corr(
                importance["mlp_mean"], method="spearman"
            ),
        }
        for name in ("baselines", "importance"):
            images[name] = (folder / f"{name}.png").read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"{folder}: its files cannot be used ({reason})") from None
    return section


def _scores_table(scores: "pd.DataFrame", paired: "pd.DataFrame") -> Table:
    columns = ["model", "accuracy", "deviation", "fit, s", "predict, s"]
    columns += ["ours minus it, points", "95 % interval", "p"]
    rows = []
    for row in scores.to_dict("records"):
        name = row["model"]
        cells = [name, f"{row['accuracy_mean']:.4f}", f"{row['accuracy_std']:.4f}"]
        cells += [f"{row['fit_seconds']:.2f}", f"{row['predict_seconds']:.3f}"]
        if name in paired.index:
            test = paired.loc[name]
            cells += [points(test["difference"]), _interval(test["low"], test["high"])]
            cells += [f"{test['p_value']:.2g}"]
        else:
            cells += [_NOTHING] * 3
        rows.append(cells)
    return Table(columns, rows)


def limits_section(run: FinishedRun, table: FeatureTable | None) -> dict[str, Any]:
    """Returns the figures of the section on limits."""
    best = run.results.iloc[0]
    accuracy = None if best["diverged"] else float(best["test_accuracy"])
    tested = run.manifest.split.test
    straddling = None
    if table:
        test = set(random_split(table, run.manifest.split.seed).test.tolist())
        straddling = sum(0 < len(test.intersection(rows)) < len(rows) for rows in table.repeats)
    return {
        "best": accuracy,
        "error": accuracy and math.sqrt(accuracy * (1 - accuracy) / tested),
        "repeats": len(run.manifest.data.repeats),
        "straddling": straddling,
    }


def verdict(claim: claims.Claim) -> str:
    """Returns whether a claim holds, in words."""
    return {True: "holds", False: "does not hold", None: "not judged"}[claim.holds]


def _table(frame: "pd.DataFrame") -> Table:
    """Lays a frame out: counts as they are, other numbers to four decimals."""
    rows = [
        [_cell(name, value) for name, value in zip(frame.columns, row, strict=True)]
        for row in frame.itertuples(index=False)
    ]
    return Table([str(name) for name in frame.columns], rows)


def _cell(name: str, value: Any) -> str:
    if not isinstance(value, float) or name in HYPERPARAMETERS or name == "value":
        return str(value)
    if not math.isfinite(value):
        return _NOTHING
    return f"{value:.0f}" if name in ("tracks", "epoch", "configs") else f"{value:.4f}"


def percent(share: float, digits: int = 0) -> str:
    """Prints a share in percent."""
    return f"{100 * share:.{digits}f} %" if math.isfinite(share) else _NOTHING


def points(difference: float, sign: str = "+") -> str:
    """Prints a difference of accuracies in percentage points."""
    if not math.isfinite(difference):
        return _NOTHING
    return f"{100 * difference:{sign}.2f}".replace("-", "−")


def _interval(low: float, high: float) -> str:
    return f"{points(low)} to {points(high)}" if math.isfinite(low) else _NOTHING


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
