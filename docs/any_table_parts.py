"""Measures what docs/any_table.md says: our sweep and scikit-learn's searches on four tables.

``make_any_table.py`` calls it and writes the page. Every search gets the same outer folds, and in
each the same cut of its train part into one that is trained on and one that is chosen by; what it
chooses is fitted to both again. Nothing is chosen by a test part.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
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
from gtzan_jax.tables.schema import Columns
from gtzan_jax.tables.sources import load_table

ROOT = Path(__file__).parent.parent
JOBS = 2  # processes of a search of scikit-learn's; ours is one process
EPOCHS = 10  # of every network, ours and MLPClassifier's

MADE = {
    "n_samples": 20_000, "n_features": 50, "n_informative": 15, "n_redundant": 10,
    "n_classes": 4, "n_clusters_per_class": 4, "flip_y": 0.02, "class_sep": 1.0, "random_state": 0,
}  # fmt: skip
"""The arguments of make_classification. Four clusters a class: no plane divides the classes."""

TABLES: dict[str, Callable[[], Any]] = {
    "wine": lambda: datasets.load_wine(return_X_y=True, as_frame=True),
    "breast cancer": lambda: datasets.load_breast_cancer(return_X_y=True, as_frame=True),
    "digits": lambda: datasets.load_digits(return_X_y=True, as_frame=True),
    "made": lambda: datasets.make_classification(**MADE),
}
PROTOCOLS = {"made": "holdout"}  # one split of many rows; five folds of the others
ALL = 768  # settings of the grid of MLPClassifier, as many as our sweep has configs
FITTED = {"wine": ALL, "breast cancer": 96, "digits": 96, "made": 96}
"""Settings that GridSearchCV fits, drawn at random; the seconds of the others are projected."""
HALVED = {"made": 96}  # settings that HalvingGridSearchCV starts with, elsewhere all

OURS, GRID, HALVING = "ours, 768 configs", "GridSearchCV", "HalvingGridSearchCV"
LINEAR, BOOSTING = "logistic regression", "histogram boosting"

MLP_GRID: dict[str, list[Any]] = {
    "hidden_layer_sizes": [(a, b, c) for a in (64, 128) for b in (64, 128) for c in (64, 128)],
    "activation": ["relu", "tanh"],
    "solver": ["adam", "sgd"],
    "learning_rate_init": [0.0005, 0.001, 0.005, 0.02],
    "alpha": [0.0, 1e-4, 1e-2],
    "batch_size": [32, 64],
}  # 768 settings, of the widths that our sweep has
GRIDS: dict[str, dict[str, list[Any]]] = {
    LINEAR: {"C": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]},
    BOOSTING: {"learning_rate": [0.05, 0.1, 0.2], "max_leaf_nodes": [8, 31]},
}


class Timed(NamedTuple):
    """A search on one fold."""

    outcome: Outcome
    per_fit: float  # seconds of one setting, the last fit to both parts not among them


def splits_of(name: str) -> Splits:
    """Returns a table, divided for all searches."""
    return make_splits(load_table(TABLES[name]()), PROTOCOLS.get(name, "kfold"), 0, 5)


def searches(name: str) -> dict[str, Callable[[list[Any]], Any]]:
    """Returns scikit-learn's searches by name, each a function of the cut for cv."""

    def grid(model: Any, values: Any) -> Callable[[list[Any]], Any]:
        pipeline = make_pipeline(StandardScaler(), model)
        several = values if isinstance(values, list) else [values]
        step = pipeline.steps[-1][0]
        prefixed = [{f"{step}__{key}": of for key, of in each.items()} for each in several]
        return lambda cut: GridSearchCV(pipeline, prefixed, cv=cut, n_jobs=JOBS)

    network = MLPClassifier(max_iter=EPOCHS, n_iter_no_change=EPOCHS, random_state=0)
    boosting = HistGradientBoostingClassifier(random_state=0)

    def halving(cut: list[Any]) -> Any:
        made = grid(network, sampled(HALVED.get(name, ALL)))(cut)
        return HalvingGridSearchCV(
            made.estimator, made.param_grid, cv=cut, n_jobs=JOBS, random_state=0,
            resource="mlpclassifier__max_iter", min_resources=1, max_resources=EPOCHS,
        )  # fmt: skip

    return {
        GRID: grid(network, sampled(FITTED[name])),
        HALVING: halving,
        LINEAR: grid(LogisticRegression(max_iter=1000), GRIDS[LINEAR]),
        BOOSTING: grid(boosting, GRIDS[BOOSTING]),
    }


def sampled(count: int) -> list[dict[str, list[Any]]]:
    """Returns some settings of the grid of MLPClassifier, drawn without repeats."""
    drawn = ParameterSampler(MLP_GRID, count, random_state=0)
    return [{key: [value] for key, value in settings.items()} for settings in drawn]


def searched(search: Callable[[list[Any]], Any], splits: Splits, fold: Fold) -> Timed:
    """Chooses on the validation part of a fold, refits, and tests."""
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
    return Timed(outcome, (fitted - started - made.refit_time_) / tried)


def ours(name: str, folds: int) -> list[Outcome]:
    """Chooses among the assignment's 768 on the first folds of a table, and refits the winners.

    The seconds of a fold are those of programs, compiled or found, and of training.
    """
    splits = splits_of(name)
    some = splits.folds[:folds]
    return [searched(lambda cut: SweepClassifier(cv=cut), splits, fold).outcome for fold in some]


def our_process(name: str, folds: int, cache: str) -> list[Outcome]:
    """Calls ``ours`` in a new process with a cache of programs of its own."""
    done = subprocess.run(  # noqa: S603 — this interpreter and this file
        [sys.executable, __file__, name, str(folds)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": cache},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    return [Outcome(**each | {"hits": np.array(each["hits"], float)}) for each in found]


def compared(name: str) -> dict[str, Any]:
    """Measures all searches on a table."""
    splits = splits_of(name)
    count, found, seconds = len(splits.folds), {}, dict[str, Any]()
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = (our_process(name, 1, cache)[0] for _ in range(2))
        every = our_process(name, count, cache) if count > 1 else [warm]
    seconds[OURS] = {"cold": cold.fit_seconds, "warm": warm.fit_seconds}
    found |= {(OURS, place): outcome for place, outcome in enumerate(every)}
    made = searches(name)
    searched(made[LINEAR], splits, splits.folds[0])  # starts the processes
    for model, search in made.items():
        timed = [searched(search, splits, fold) for fold in splits.folds]
        found |= {(model, place): each.outcome for place, each in enumerate(timed)}
        # Those of the first fold, as ours.
        seconds[model] = {"search": timed[0].outcome.fit_seconds, "per_fit": timed[0].per_fit}
    outcomes = outcomes_table([splits], found, [OURS, *made])
    return {
        "rows": splits.table.x.shape[0],
        "features": splits.table.x.shape[1],
        "classes": len(splits.table.genres),
        "split": splits.note,
        "scores": scores_table(outcomes).to_dict("records"),
        "comparison": comparison_table(outcomes, OURS).to_dict("records"),
        "chosen": outcomes.loc[outcomes["fold"] == 0, ["model", "chosen"]].to_dict("records"),
        "seconds": seconds,
    }


GROUPS = 13  # writers of the digits that scikit-learn ships
_GROUP_SWEEP = {"axes.num_units2=[64]", "axes.num_units3=[64]", "axes.dropout2=[0.1]",
                "axes.dropout3=[0.1]", "axes.initializer=[\"glorot_uniform\"]"}  # fmt: skip


def grouped() -> dict[str, Any]:
    """Measures the accuracy on the digits with and without a group column, and with a false one.

    The rows stand by writer, whose names are not published: a group is one of 13 blocks of rows one
    after another. The false groups are the same blocks, dealt to rows at random.
    """
    x, y = TABLES["digits"]()
    blocks = np.arange(len(y)) * GROUPS // len(y)
    columns = {"": None, "block": blocks, "shuffled": np.random.default_rng(0).permutation(blocks)}
    found, hits = dict[str, Any](), {}
    for name, column in columns.items():
        frame = x.assign(target=y) if column is None else x.assign(target=y, block=column)
        with tempfile.TemporaryDirectory() as folder:
            run = run_sweep(
                "assignment", frame, folder, overrides=sorted(_GROUP_SWEEP), protocol="kfold",
                num_folds=5, label="target", group="" if column is None else "block",
                retrain_epochs=0,
            )  # fmt: skip
            best = run.sweep.places[run.results["config_id"].iloc[0]]
            of = run.predictions
            hits[name] = of.correct[best].mean(axis=0)[np.argsort(of.row)]
            group = np.arange(len(y)) if column is None else column
            low, high = accuracy_interval(hits[name], group)
            found[name] = {"accuracy": float(hits[name].mean()), "low": low, "high": high}
            found[name]["configs"] = len(run.results)
    for name in ("block", "shuffled"):
        difference = hits[name] - hits[""]
        low, high = mean_interval(difference, blocks)
        found[name]["difference"] = [float(difference.mean()), low, high]
    return found


SIZES = (1_000, 10_000, 100_000, 1_000_000)
_SMALL = {"axes.num_units1": [32, 64], "axes.num_units2": [32], "axes.num_units3": [32]}


def of_rows(count: int) -> dict[str, Any]:
    """Measures reading, training and predicting a table of so many rows × 20 in this process."""
    x, y = datasets.make_classification(
        count, 20, n_informative=8, n_redundant=4, n_clusters_per_class=4, flip_y=0.05,
        random_state=0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        pd.DataFrame(x.astype(np.float32)).rename("f{}".format, axis=1).assign(label=y).to_csv(
            path, index=False
        )
        del x, y
        size, started = path.stat().st_size, time.perf_counter()
        table = load_table(path, Columns(label="label"))
        read, read_peak = time.perf_counter() - started, _peak()
        run = run_sweep(
            "smoke", table, Path(folder, "run"), protocol="holdout", epochs=3, retrain_epochs=3,
            overrides=[f"{key}={value}" for key, value in _SMALL.items()],
        )  # fmt: skip
        manifest = run.manifest
        kept = sum(p.stat().st_size for p in Path(folder, "run").rglob("*") if p.is_file())
        started, model = time.perf_counter(), run.best
        model.predict_proba(table)
        return {
            "csv_bytes": size,
            "read_s": read,
            "read_peak_bytes": read_peak,
            "seconds": manifest.timings_s,
            "peak_bytes": manifest.peak_rss_bytes,
            "predict_s": time.perf_counter() - started,
            "folder_bytes": kept,
            "accuracy": float(run.results["test_accuracy"].iloc[0]),
            "configs": len(run.results),
        }


def sized() -> dict[str, Any]:
    """Measures each size in a process of its own; those that fail say how."""
    found = dict[str, Any]()
    for count in SIZES:
        done = subprocess.run(  # noqa: S603 — this interpreter and this file
            [sys.executable, __file__, "rows", str(count)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        failed = {"failed": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]}
        lines = done.stdout.splitlines()
        found[str(count)] = json.loads(lines[-1]) if done.returncode == 0 else failed
    return found


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def plain(value: Any) -> Any:
    """Returns what JSON cannot write as what it can."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


PARTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    **{name: (lambda name=name: compared(name)) for name in TABLES},
    "group": grouped,
    "rows": sized,
}


if __name__ == "__main__":
    with _quiet():
        number = int(sys.argv[2])
        answer: Any = of_rows(number) if sys.argv[1] == "rows" else [
            outcome._asdict() for outcome in ours(sys.argv[1], number)
        ]  # fmt: skip
    print(json.dumps(answer, default=plain))
