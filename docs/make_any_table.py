"""Measures and writes the figures of docs/own_table.md: twenty minutes on two quiet cores.

    python docs/make_any_table.py                # measures everything, and writes the page
    python docs/make_any_table.py digits rows    # measures these parts again, keeps the others
    python docs/make_any_table.py text           # measures nothing

Parts are wine, "breast cancer", digits, made, group and rows; docs/any_table.json records each.
All searches get the same folds, and in each the same cut of its train part into one to train on
and one to choose by; the chosen model is refitted to both. No test part chooses.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pages import fill
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 — makes the next name
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, ParameterSampler
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gtzan_jax import SweepClassifier, run_sweep
from gtzan_jax.analysis.classical import Outcome, comparison_table, outcomes_table, scores_table
from gtzan_jax.analysis.selection import accuracy_interval, mean_interval
from gtzan_jax.tables.folds import Fold
from gtzan_jax.tables.protocols import Splits, make_splits
from gtzan_jax.tables.sources import load_table
from gtzan_jax.views.text import Table

Found = Mapping[str, Any]  # of a part, as measured

PAGE = Path(__file__).with_name("own_table.md")
MEASURED = PAGE.with_name("any_table.json")
JOBS = 2  # processes of a search of scikit-learn's; ours is one process
EPOCHS = 10  # of every network, ours and MLPClassifier's

MADE = {  # for make_classification; four clusters a class: no plane divides the classes
    "n_samples": 20_000, "n_features": 50, "n_informative": 15, "n_redundant": 10,
    "n_classes": 4, "n_clusters_per_class": 4, "flip_y": 0.02, "class_sep": 1.0, "random_state": 0,
}  # fmt: skip

TABLES: dict[str, Callable[[], Any]] = {
    "wine": lambda: datasets.load_wine(return_X_y=True, as_frame=True),
    "breast cancer": lambda: datasets.load_breast_cancer(return_X_y=True, as_frame=True),
    "digits": lambda: datasets.load_digits(return_X_y=True, as_frame=True),
    "made": lambda: datasets.make_classification(**MADE),
}
PROTOCOLS = {"made": "holdout"}  # one split of many rows; five folds of the others
ALL = 768  # settings of the grid of MLPClassifier, as many as our sweep has configs
# Settings that GridSearchCV fits, drawn at random; the seconds of the others are projected.
FITTED = {"wine": ALL, "breast cancer": 96, "digits": 96, "made": 96}
HALVED = {"made": 96}  # settings that HalvingGridSearchCV starts with, elsewhere all

OURS, GRID, HALVING = "ours, 768 configs", "GridSearchCV", "HalvingGridSearchCV"
LINEAR, BOOSTING = "logistic regression", "histogram boosting"
MODELS = (OURS, GRID, HALVING, LINEAR, BOOSTING)

MLP_GRID: dict[str, list[Any]] = {
    "hidden_layer_sizes": [(a, b, c) for a in (64, 128) for b in (64, 128) for c in (64, 128)],
    "activation": ["relu", "tanh"],
    "solver": ["adam", "sgd"],
    "learning_rate_init": [0.0005, 0.001, 0.005, 0.02],
    "alpha": [0.0, 1e-4, 1e-2],
    "batch_size": [32, 64],
}  # 768 settings, of the widths that our sweep has
LINEAR_GRID = {"C": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]}
BOOSTING_GRID = {"learning_rate": [0.05, 0.1, 0.2], "max_leaf_nodes": [8, 31]}


def splits_of(name: str) -> Splits:
    """Returns a table, divided for all searches."""
    return make_splits(load_table(TABLES[name]()), PROTOCOLS.get(name, "kfold"), 0, 5)


def searches(name: str) -> dict[str, Callable[[list[Any]], Any]]:
    """Returns scikit-learn's searches by name, each a function of the cut for cv."""

    def grid(model: Any, grids: list[dict[str, list[Any]]]) -> Callable[[list[Any]], Any]:
        pipeline = make_pipeline(StandardScaler(), model)
        step = pipeline.steps[-1][0]
        prefixed = [{f"{step}__{key}": of for key, of in each.items()} for each in grids]
        return lambda cut: GridSearchCV(pipeline, prefixed, cv=cut, n_jobs=JOBS)

    def sampled(count: int) -> list[dict[str, list[Any]]]:
        drawn = ParameterSampler(MLP_GRID, count, random_state=0)
        return [{key: [value] for key, value in each.items()} for each in drawn]

    network = MLPClassifier(max_iter=EPOCHS, n_iter_no_change=EPOCHS, random_state=0)

    def halving(cut: list[Any]) -> Any:
        made = grid(network, sampled(HALVED.get(name, ALL)))(cut)
        return HalvingGridSearchCV(
            made.estimator, made.param_grid, cv=cut, n_jobs=JOBS, random_state=0,
            resource="mlpclassifier__max_iter", min_resources=1, max_resources=EPOCHS,
        )  # fmt: skip

    return {
        GRID: grid(network, sampled(FITTED[name])),
        HALVING: halving,
        LINEAR: grid(LogisticRegression(max_iter=1000), [LINEAR_GRID]),
        BOOSTING: grid(HistGradientBoostingClassifier(random_state=0), [BOOSTING_GRID]),
    }


def searched(
    search: Callable[[list[Any]], Any], splits: Splits, fold: Fold
) -> tuple[Outcome, float]:
    """Chooses on the validation part, refits, tests; returns the seconds of a setting, too."""
    rows = np.concatenate([fold.train, fold.validation])
    x, y, count = splits.table.x.astype(np.float64), splits.table.y, len(fold.train)
    made = search([(np.arange(count), np.arange(count, len(rows)))])
    with warnings.catch_warnings():  # ten epochs are not to converge
        warnings.simplefilter("ignore", ConvergenceWarning)
        started = time.perf_counter()
        made.fit(x[rows], y[rows])
        fitted = time.perf_counter()
    hits = (made.predict(x[fold.test]) == y[fold.test]).astype(float)
    tried = len(made.cv_results_["params"])
    outcome = Outcome(
        hits, float(made.best_score_), made.best_params_, fitted - started,
        time.perf_counter() - fitted, tried, 1,
    )  # fmt: skip
    return outcome, (fitted - started - made.refit_time_) / tried


def ours(name: str, folds: int) -> list[dict[str, Any]]:
    """Chooses among the assignment's 768 on the first folds of a table, and refits the winners."""
    splits = splits_of(name)
    search = functools.partial(searched, lambda cut: SweepClassifier(cv=cut), splits)
    return [search(fold)[0]._asdict() for fold in splits.folds[: int(folds)]]


def in_process(function: str, *arguments: object, **environment: str) -> Any:
    """Calls a function of this file in a new process, and returns its answer."""
    done = subprocess.run(  # noqa: S603 — this interpreter and this file
        [sys.executable, __file__, f"--{function}", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(PAGE.parents[1])} | environment,
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def compared(name: str) -> dict[str, Any]:
    """Measures all searches on a table; seconds are those of the first fold."""
    splits = splits_of(name)
    count, found, seconds = len(splits.folds), {}, dict[str, Any]()
    with tempfile.TemporaryDirectory() as cache:
        runs = [in_process("ours", name, n, XDG_CACHE_HOME=cache) for n in (1, 1, count)]
    cold, warm, every = [[Outcome(**each) for each in run] for run in runs]
    seconds[OURS] = {"cold": cold[0].fit_seconds, "warm": warm[0].fit_seconds}
    for place, each in enumerate(every):
        found[OURS, place] = each._replace(hits=np.array(each.hits, float))
    made = searches(name)
    searched(made[LINEAR], splits, splits.folds[0])  # starts the processes
    for model, search in made.items():
        timed = [searched(search, splits, fold) for fold in splits.folds]
        found |= {(model, place): outcome for place, (outcome, _) in enumerate(timed)}
        seconds[model] = {"search": timed[0][0].fit_seconds, "per_fit": timed[0][1]}
    outcomes = outcomes_table([splits], found, [OURS, *made])
    return {
        "rows": splits.table.x.shape[0],
        "features": splits.table.x.shape[1],
        "scores": scores_table(outcomes).to_dict("records"),
        "comparison": comparison_table(outcomes, OURS).to_dict("records"),
        "seconds": seconds,
    }


GROUPS = 13  # writers of the digits that scikit-learn ships
_GROUP_SWEEP = ["axes.dropout2=[0.1]", "axes.dropout3=[0.1]", 'axes.initializer=["glorot_uniform"]',
                "axes.num_units2=[64]", "axes.num_units3=[64]"]  # fmt: skip


def grouped() -> dict[str, Any]:
    """Measures the digits, whose rows are ordered by writer, without groups, and with two kinds."""
    x, y = TABLES["digits"]()
    blocks = np.arange(len(y)) * GROUPS // len(y)
    columns = {"": None, "block": blocks, "shuffled": np.random.default_rng(0).permutation(blocks)}
    found, hits = dict[str, Any](), {}
    for name, column in columns.items():
        frame = x.assign(target=y) if column is None else x.assign(target=y, block=column)
        with tempfile.TemporaryDirectory() as folder:
            run = run_sweep(
                "assignment", frame, folder, overrides=_GROUP_SWEEP, protocol="kfold", num_folds=5,
                label="target", group="" if column is None else "block", retrain_epochs=0,
            )  # fmt: skip
            best = run.sweep.places[run.results["config_id"].iloc[0]]
            of = run.predictions
            hits[name] = of.correct[best].mean(axis=0)[np.argsort(of.row)]
            low, high = accuracy_interval(hits[name], np.arange(len(y)) if name == "" else column)
            found[name] = {"accuracy": float(hits[name].mean()), "low": low, "high": high,
                           "configs": len(run.results)}  # fmt: skip
    for name in ("block", "shuffled"):
        difference = hits[name] - hits[""]
        low, high = mean_interval(difference, blocks)
        found[name]["difference"] = [float(difference.mean()), low, high]
    return found


SIZES = (100_000, 1_000_000)
_SMALL = ["axes.num_units1=[32, 64]", "axes.num_units2=[32]", "axes.num_units3=[32]"]


def of_rows(count: int) -> dict[str, Any]:
    """Measures reading, training and predicting a table of so many rows × 20 in this process."""
    x, y = datasets.make_classification(
        int(count), 20, n_informative=8, n_redundant=4, n_clusters_per_class=4, flip_y=0.05,
        random_state=0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path, frame = Path(folder, "table.csv"), pd.DataFrame(x.astype(np.float32))
        frame.rename("f{}".format, axis=1).assign(label=y).to_csv(path, index=False)
        del x, y, frame
        started = time.perf_counter()
        table = load_table(path)
        read = time.perf_counter() - started
        run = run_sweep(
            "smoke", table, Path(folder, "run"), protocol="holdout", epochs=3, retrain_epochs=3,
            overrides=_SMALL,
        )  # fmt: skip
        started, model = time.perf_counter(), run.best
        model.predict_proba(table)
        return {
            "read_s": read,
            "seconds": run.manifest.timings_s,
            "peak_bytes": run.manifest.peak_rss_bytes,
            "predict_s": time.perf_counter() - started,
        }


PARTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    **{name: (lambda name=name: compared(name)) for name in TABLES},
    "group": grouped,
    "rows": lambda: {str(count): in_process("of_rows", count) for count in SIZES},
}


def signed(value: float, low: float, high: float) -> str:
    """Returns a difference in points with its interval."""
    return f"{100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})".replace("-", "−")


def seconds(value: float) -> str:
    """Returns seconds with two digits at least."""
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s" if value >= 1 else f"{value:.2f} s"


def verdicts(parts: Mapping[str, Found]) -> str:
    """Returns which models differ clearly from our sweep, and where a linear model will do."""
    clear, linear = [], []
    for name in TABLES:
        rows = {row["model"]: row for row in parts[name]["comparison"]}
        for model, row in rows.items():
            if row["low"] > 0 or row["high"] < 0:
                points = signed(row["difference"], row["low"], row["high"])
                clear.append(f"{name}, {model} {points}")
        if rows[LINEAR]["low"] <= 0:
            linear.append(f"{name} ({seconds(parts[name]['seconds'][LINEAR]['search'])})")
    text = f"Clearly different from ours: {'; '.join(clear) or 'nothing'}."
    if linear:
        text += f" Logistic regression is not clearly worse on {', '.join(linear)}: use it there."
    return text


def accuracy_table(parts: Mapping[str, Found]) -> Table:
    """Returns accuracies with intervals over test rows."""
    heads = [f"{n}: {parts[n]['rows']:,} × {parts[n]['features']}" for n in TABLES]
    scores = {name: {row["model"]: row for row in parts[name]["scores"]} for name in TABLES}
    rows = [[model, *(_interval(scores[name][model]) for name in TABLES)] for model in MODELS]
    return Table(("test accuracy", *heads), rows)


def _interval(row: Mapping[str, Any]) -> str:
    return f"{row['accuracy']:.3f} ({max(0.0, row['low']):.3f}–{min(1.0, row['high']):.3f})"


def projected(part: Found) -> float:
    """Returns the seconds of GridSearchCV over the whole grid; measured where all is fitted."""
    (tried,) = (row["settings_tried"] for row in part["scores"] if row["model"] == GRID)
    times = part["seconds"][GRID]
    return float(times["search"] + (ALL - tried) * times["per_fit"])


def seconds_table(parts: Mapping[str, Found]) -> Table:
    """Returns the seconds of tuning and fitting on one train part."""
    rows = []
    for name in TABLES:
        times = parts[name]["seconds"]
        rows.append([
            name, seconds(times[OURS]["cold"]), seconds(times[OURS]["warm"]),
            seconds(projected(parts[name])) + "*" * (FITTED[name] < ALL),
            seconds(times[HALVING]["search"]) + "†" * (name in HALVED),
        ])  # fmt: skip
    return Table(("seconds", "ours, cold", "ours, warm", GRID, HALVING), rows)


def group_table(found: Found) -> Table:
    """Returns accuracies with and without groups."""
    names = {"": "no group", "block": "`--group=block`", "shuffled": "shuffled blocks"}
    rows = [
        [text, _interval(found[name]), signed(*found[name]["difference"]) if name else "–"]
        for name, text in names.items()
    ]
    return Table(("digits", "test accuracy", "points"), rows)


def sizes_table(found: Found) -> Table:
    """Returns times and memory by number of rows."""
    rows = []
    for count in SIZES:
        of, part = found[str(count)], found[str(count)]["seconds"]
        rows.append([
            f"{count:,}", seconds(of["read_s"]), seconds(part["compile"] + part["train"]),
            seconds(part["retrain"]), seconds(of["predict_s"]), f"{of['peak_bytes'] / 1e9:.2f}",
        ])  # fmt: skip
    heads = ("rows × 20", "read", "compile and train", "retrain", "predict all", "memory, GB")
    return Table(heads, rows)


def blocks(parts: Mapping[str, Found]) -> dict[str, str]:
    """Returns the blocks between the page's markers, by name."""
    return {
        "accuracy": accuracy_table(parts).markdown,
        "found": verdicts(parts),
        "seconds": seconds_table(parts).markdown,
        "group": group_table(parts["group"]).markdown,
        "sizes": sizes_table(parts["rows"]).markdown,
    }


def main() -> None:
    """Measures what is asked for, and rewrites the blocks between the markers."""
    wanted, parts = sys.argv[1:] or list(PARTS), json.loads(MEASURED.read_text())
    for name in wanted if wanted != ["text"] else []:
        print(f"measuring {name}", flush=True)
        parts[name] = PARTS[name]() | {"load": os.getloadavg()[1]}
        MEASURED.write_text(json.dumps(parts, indent=1, default=lambda of: of.tolist()) + "\n")
    for name, text in blocks(parts).items():
        fill(PAGE, name, text)


if __name__ == "__main__":
    called = {"--ours": ours, "--of_rows": of_rows}.get(sys.argv[1] if sys.argv[1:] else "")
    print(json.dumps(called(*sys.argv[2:]), default=lambda of: of.tolist())) if called else main()
