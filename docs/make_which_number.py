"""Fills the blocks of docs/which_number.md, a part at a time.

    python docs/make_which_number.py artists TABLE          # the real table; six minutes
    python docs/make_which_number.py segments [TABLE]       # the synthetic segments; two minutes
    python docs/make_which_number.py simulations [NAME...]  # experiments; all take half an hour
    python docs/make_which_number.py overfitting RUN...     # of sweeps/overfitting.toml

docs/make_readme.py fills the block ``gap``.
"""

import json
import math
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from pages import fill
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from gtzan_jax import run_sweep
from gtzan_jax.analysis.selection import accuracy_interval, difference_interval
from gtzan_jax.rundir.finished import FinishedRun, read_finished
from gtzan_jax.tables.dividing import groups_of
from gtzan_jax.tables.protocols import PROTOCOLS, make_splits
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import KAGGLE_SHA256, load_table
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("which_number.md")
RECORD = PAGE.with_name("simulations.json")  # percent of errors, its standard error, replications
DIVISIONS, RESAMPLES = 10, 10_000
WAYS = ("mixed_artists", "artist_kfold", "artist_folds")
LEVEL = 0.05  # of p, all intervals together
METHODS = {  # experiments with a promise; others, without one
    "effect, over seeds": ("seeds2 seeds5", "t over pairs of configs", "pairs"),
    "effect, over folds": ("folds5 folds10", "", ""),
    "effect, over folds by artist": ("divisions3", "", ""),
    "F of three values": ("f3 f10", "plain F", "f_plain3 f_plain10"),
    "any of ten p": ("terms", "without Holm", "terms_plain"),
    "two models, over splits": ("splits", "same, other artists", "splits_artists"),
    "accuracy": ("accuracy", "binomial (Wilson)", "binomial"),
    "two accuracies": ("two", "t over tracks", "two_plain"),
    "paired by seed": ("paired", "over artists alone", "paired_artists"),
    "winner of 60": ("winner", "as chosen", "winner_plain"),
    "winner of 768": ("grid", "as chosen", "grid_plain"),
    "set of the best, 1 seed": ("best1 best_spread", "same, new seeds", "best1_luck1 best1_luck2"),
    "set of the best, more seeds": (
        "best5 best_shared best_shared_much best_two best_own best_minority", "", ""
    ),
    "calibration error": (
        "chance_fold chance300 chance100", "songs as independent",
        "chance_fold_plain chance300_plain chance100_plain",
    ),
    "published claim": ("figure highest best", "binomial", "figure_plain highest_plain best_plain"),
}  # fmt: skip


def models(seed: int) -> dict[str, Any]:
    """Returns the models, with ordinary settings."""
    found = {
        "SVM (RBF, C = 3)": SVC(C=3.0),
        "scikit-learn MLP": MLPClassifier((128, 128, 64), max_iter=40, random_state=seed),
        "logistic regression": LogisticRegression(C=0.3, max_iter=1000),
        "extra trees": ExtraTreesClassifier(200, random_state=seed),
        "LDA": LinearDiscriminantAnalysis(),
    }
    return {name: make_pipeline(StandardScaler(), model) for name, model in found.items()}


def hits_of(table: FeatureTable, protocol: str, name: str) -> np.ndarray:
    """Returns (divisions, rows) whether each row is classified correctly; NaN where not tested."""
    apart = PROTOCOLS[protocol].num_divisions
    found = np.full((DIVISIONS, len(table.y)), np.nan)
    for seed in range(DIVISIONS):
        folds = make_splits(table, protocol, seed // apart, 3).folds
        for fold in folds[3 * (seed % apart) :][:3]:
            rows = np.concatenate([fold.train, fold.validation])
            model = models(seed)[name].fit(table.x[rows], table.y[rows])
            found[seed, fold.test] = model.predict(table.x[fold.test]) == table.y[fold.test]
    return found


def artists(path: str) -> None:
    """Fills in the share of the gap that artists explain, by model; the fits are held fixed."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    table = load_table(path)
    if table.sha256 != KAGGLE_SHA256:
        sys.exit("the page shows the real table, and this is another")
    tests = [fold.test for fold in make_splits(table, "artist_folds", 0, 3).folds]
    tested = np.sort(np.concatenate(tests))
    group = np.unique(groups_of(table)[tested], return_inverse=True)[1]
    random, size = np.random.default_rng(0), group.max() + 1
    weights = random.multinomial(size, np.full(size, 1 / size), RESAMPLES)[:, group]
    songs, rows, shares, parts = np.bincount(group)[group], [], [], ""
    for name in models(0):
        hits = np.stack([hits_of(table, way, name)[:, tested].mean(axis=0) for way in WAYS])
        mixed, apart, published = hits.mean(axis=1)
        draws = (weights @ hits.T / weights.sum(axis=1, keepdims=True)).T
        low, high = np.percentile((draws[0] - draws[1]) / (draws[0] - draws[2]), (2.5, 97.5))
        shares.append(round((mixed - apart) / (mixed - published), 2))
        cells = [f"{figure:.3f}" for figure in (mixed, apart, published)]
        rows.append([name, *cells, f"{shares[-1]:.2f} ({low:.2f} to {high:.2f})"])
        parts = parts or "; ".join(
            f"{', '.join(f'{f:.3f}' for f in hits[:, of].mean(axis=1))} on songs by artists with "
            f"{count} ({of.sum()})"
            for count, of in {"one song": songs == 1, "six or more": songs > 5}.items()
        )
    low, high = 5 * math.floor(20 * min(shares)), 5 * math.ceil(20 * max(shares))
    line = (
        f"Artist overlap explains about {low} to {high} % of the gap between `mixed_artists` and "
        "`artist_folds`, by model."
    )
    columns = ("model", *WAYS, "share that artists explain, 95 % interval")
    parts = f"The first model reaches, in the order of the columns: {parts}."
    fill(PAGE, "shares", f"{line}\n\n{Table(columns, rows).markdown}\n\n{parts}")


def segments(path: str = "sample3") -> None:
    """Fills in the accuracy of the best of the sweep ``segments`` by segment and by song."""
    table, rows = load_table(path), []
    for protocol in ("leaky_segments", "assignment", "holdout", "artist_folds"):
        changes = [f"protocol={protocol}", "axes.batch_size=[128]"]
        with tempfile.TemporaryDirectory() as folder:
            run = run_sweep("segments", table, folder, overrides=changes, retrain_epochs=0)
        best = run.results.iloc[0][["test_segment_accuracy", "test_accuracy"]]
        mark = "**LEAK** " * protocol.startswith("leaky")
        rows.append([f"{mark}`{protocol}`", *map("{:.3f}".format, best)])
    columns = ("protocol", "accuracy by segment", "by song")
    fill(PAGE, "segments", f"{table.note()}.\n\n{Table(columns, rows).markdown}")


def simulations(*names: str) -> None:
    """Runs experiments of tests/, records how often they err, and fills in the tables."""
    sys.path.insert(0, str(PAGE.parent.parent / "tests"))
    from claim_simulations import CLAIM_EXPERIMENTS
    from simulations import EXPERIMENTS, calibration_of_few, error_rate, winner_bias

    experiments, record = EXPERIMENTS | CLAIM_EXPERIMENTS, json.loads(RECORD.read_text())
    for name in names or experiments:
        replications = min(40 * experiments[name].quick, 10_000)
        rate, error = error_rate(experiments[name], replications)
        record[name] = [round(100 * rate, 1), round(100 * error, 1), replications]
    lines = (f'  "{name}": {json.dumps(record[name])}' for name in experiments)
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    fill(PAGE, "rates", rates(record, experiments))
    if names:
        return
    bias, rest = map(_points, winner_bias(0.0, 200))
    line = f"exceeds its true accuracy by {bias} points on average, after the correction by {rest}."
    fill(PAGE, "biases", f"The best of 60 equally good configs {line}")
    found = {songs: calibration_of_few(songs, 500) for songs in (20, 100, 500)}
    rows = [
        [str(n), f"{f.low:.2f} to {f.high:.2f}", f"{100 * f.mean:.1f}, up to {100 * f.most:.1f}"]
        for n, f in found.items()
    ]
    heads = ("songs", "temperature, as a share of the true one", "error, points")
    fill(PAGE, "few", Table(heads, rows).markdown)


def rates(record: Mapping[str, list[float]], experiments: Mapping[str, Any]) -> str:
    """Returns how often the worst case of each method errs, and how many promises it exceeds."""

    def worst(names: str) -> str:
        return f"{max(record[name][0] for name in names.split())} %" if names else ""

    rows = [[of, worst(ours), text, worst(no)] for of, (ours, text, no) in METHODS.items()]
    heads = ("method that promises 5 %", "errs", "method without a promise", "errs")
    promised = {name: each for name, each in experiments.items() if each.nominal is not None}
    over = [name for name in promised if record[name][0] > 5]
    beyond = [
        f"{promised[name].what} ({promised[name].null})"
        for name in over
        if record[name][0] - 5 > 2 * record[name][1]
    ]
    return (
        f"{Table(heads, rows).markdown}\n\nThe Monte Carlo standard errors are at most "
        f"{max(error for _, error, _ in record.values())} points. Of {len(promised)} promises "
        f"{len(over)} were exceeded, {len(beyond)} of them by more than two such errors"
        f"{': ' * bool(beyond)}{'; '.join(beyond)}."
    )


def overfitting(*paths: str) -> None:
    """Fills in the gain of every proposal against overfitting, by protocol."""
    runs = [read_finished(path) for path in paths]
    if len({str(run.sweep.axes) for run in runs}) != 1:
        sys.exit("give runs of the same axes and values, one a protocol")
    tables = {run.sweep.protocol: gains(run) for run in runs}
    rows = [["plain network, test accuracy"], ["plain network, train accuracy"]]
    for run in runs:
        plain = run.predictions.correct[0].mean(axis=0)
        low, high = accuracy_interval(plain, run.predictions.group)
        rows[0].append(f"{plain.mean():.3f} ({low:.3f} to {high:.3f})")
        rows[1].append(f"{_means(run, 'train_accuracy')[0].mean():.3f}")
    axes = next(iter(tables.values()))["axis"]
    rows += [[f"`{axes[i]}`", *(_cell(t.iloc[i]) for t in tables.values())] for i in axes.index]
    fill(PAGE, "found", findings(tables))
    fill(PAGE, "tuned", Table(("proposal", *tables), rows).markdown)


def gains(run: FinishedRun) -> pd.DataFrame:
    """Returns the gain of the value that each fold's validation part chooses, one row an axis."""
    correct, fold = run.predictions.correct.astype(np.float64), run.predictions.fold
    validation, configs = _means(run, "validation_accuracy"), [dict(c) for c in run.sweep.configs]
    rows = []
    for axis, values in run.sweep.varying.items():
        if configs[0][axis] != values[0]:
            sys.exit(f"{run.name}: the first config is not the plain network")
        places = np.array([configs.index(configs[0] | {axis: value}) for value in values])
        best = places[validation[places].argmax(axis=0)]  # of each fold
        differences = correct[best[fold], :, np.arange(len(fold))].T - correct[0]
        ends = difference_interval(differences, run.predictions.group)
        rows.append((axis, differences.mean(), *ends, [configs[place][axis] for place in best]))
    return pd.DataFrame(rows, columns=["axis", "difference", "low", "high", "chosen"])


def _means(run: FinishedRun, metric: str) -> np.ndarray:
    """Returns (configs, folds) of a figure of trials.csv, the mean over seeds."""
    trials = pd.read_csv(run.run.trials_path)
    means = trials.groupby(["config_id", "fold"])[metric].mean().unstack()
    return means.loc[[config.id for config in run.sweep.configs]].to_numpy(np.float64)


def _cell(row: "pd.Series[Any]") -> str:
    if not np.isfinite(row["low"]):
        return "chose none"
    return f"{_interval(row)}; {', '.join(f'{value:g}' for value in sorted(set(row['chosen'])))}"


def _interval(row: "pd.Series[Any]") -> str:
    text = _points(row["difference"])
    return text + f" ({_points(row['low'])} to {_points(row['high'])})" * math.isfinite(row["low"])


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def findings(tables: Mapping[str, pd.DataFrame]) -> str:
    """Returns the values that help or hurt in each protocol, by intervals of tuned proposals."""
    lines, shown = [], []
    total = sum(np.isfinite(table["low"]).sum() for table in tables.values())
    for name, table in tables.items():
        missed = []
        for _, row in table[(table["low"] > 0) | (table["high"] < 0)].iterrows():
            p = _adjusted_p(row, total)
            shown += [f"`{row['axis']}` under {name}"] if p <= LEVEL else []
            does = ("helps", "costs accuracy") if p <= LEVEL else ("may help", "may cost accuracy")
            which = f"which {does[int(row['difference'] < 0)]} (Bonferroni p {p:.1g})"
            missed.append(f"`{row['axis']}` {_interval(row)}, {which}")
        best = table.loc[table["difference"].idxmax()]
        lines.append(
            f"- **{name}**: intervals that exclude 0: {'; '.join(missed) or 'none'}; largest gain: "
            f"`{best['axis']}` {_interval(best)}."
        )
    return "\n".join(lines) + (
        f"\n\nThese are {total} intervals of 95 %, of which {0.05 * total:.1f} may miss by chance. "
        f"Allowing for their number (Bonferroni), {' and '.join(shown) or 'none'} excludes 0."
    )


def _adjusted_p(row: "pd.Series[Any]", total: int) -> float:
    """Returns Bonferroni's p of a 95 % interval, by the normal: near enough where it ends at 0."""
    reach = (row["high"] - row["low"]) / 2
    z = NormalDist().inv_cdf(0.975) * abs(row["difference"]) / reach
    return min(1.0, 2 * total * NormalDist().cdf(-z))


if __name__ == "__main__":
    parts = {part.__name__: part for part in (artists, segments, simulations, overfitting)}
    if sys.argv[1:2] and sys.argv[1] in parts:
        parts[sys.argv[1]](*sys.argv[2:])
    else:
        sys.exit(__doc__)
