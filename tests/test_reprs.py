"""What a notebook or a debugger shows of an object: one short line."""

import dataclasses
import functools
import importlib
import inspect
import pkgutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from conftest import make_sweep
from finished_runs import random_history, write_run

import gtzan_jax
from gtzan_jax import (
    Columns,
    Engine,
    Explanation,
    Prediction,
    SweepClassifier,
    TrainedModel,
    load_sweep,
    load_table,
    make_splits,
    read_run,
)
from gtzan_jax.analysis.between_runs import compare
from gtzan_jax.analysis.exploration import pca
from gtzan_jax.inference.front_end import Span
from gtzan_jax.inference.prediction import Part, Unlike
from gtzan_jax.jobs.reporting import Report
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.space.config import Trial
from gtzan_jax.trainer.engine import Task, Trained

SWEEP = load_sweep("assignment")
CONFIG = SWEEP.configs[-1]


PCA = pca(load_table("sample"), "standard")
SHARE = 100 * sum(PCA.ratios)


def a_table():
    return load_table("sample")


def a_division():
    return make_splits(a_table(), "holdout", 0, 1)


def a_model():
    params = {"hidden1.kernel": np.zeros((57, 128)), "hidden1.bias": np.zeros(128)}
    return TrainedModel.of(CONFIG, params, SWEEP, a_division(), 0)


def a_prediction():
    return Prediction(
        "songs/my\nsong.mp3", 61.0, ("jazz", "blues"), np.array([0.75, 0.25]), True,
        [Span(0, 661_500), Span(661_500, 1_323_000)], np.full((2, 2), 0.5),
        Unlike(3.0, 100, 2.0, ()), False, (), np.zeros((2, 57), np.float32),
    )  # fmt: skip


@functools.cache
def an_engine():
    sizes = a_division().sizes
    with Engine(make_sweep(), MlpFamily(), sizes, task_size=4, mode="shape") as engine:
        return engine


def a_task():
    return Task(0, 8, tuple(Trial(f"c{number:011x}", 1, 3) for number in range(300)), 0, 10)


def what_it_came_to():
    return Trained(
        a_task(),
        np.zeros((300, 10, 6), np.float32),
        np.zeros((300, 9), np.uint8),
        *np.ones((2, 300), np.int32),
        [],
    )


@functools.cache
def a_run(kind):
    """A finished run of two seeds, in a folder whose name has a line break."""
    with tempfile.TemporaryDirectory() as folder:
        sweep = make_sweep()
        return kind(write_run(Path(folder, "my\nrun"), sweep, random_history(sweep, 2)))


TASK = "Task(300 trials of fold 1, seed 3, epochs 0 to 10)"
RUN = "('my\\nrun', 12 configs × 1 fold × 2 seeds × 2 epochs, not retrained)"
TABLE = "FeatureTable(1,000 tracks × 57 features, 10 genres, source 'sample')"
REPRS = {
    "Config": (
        lambda: CONFIG,
        "Config(128-128-128_0.2-0.2-0.2_leaky_relu_random_uniform_rmsprop)",
    ),
    "Sweep": (lambda: SWEEP, "Sweep('assignment', 768 configs of 9 axes, 10 epochs)"),
    "FeatureTable": (a_table, TABLE),
    "Columns": (
        lambda: Columns("cultivar", group="patient"),
        "Columns(label='cultivar', group='patient', drop=(), impute='')",
    ),
    "SweepClassifier": (lambda: SweepClassifier("smoke"), "SweepClassifier(sweep='smoke')"),
    "Fold": (
        lambda: a_division().folds[0],
        "Fold(train 600, validation 200, test 200)",
    ),
    "Splits": (a_division, f"Splits(holdout, 1 fold of {TABLE})"),
    "TrainedModel": (
        a_model,
        "TrainedModel(128-128-128_0.2-0.2-0.2_leaky_relu_random_uniform_rmsprop, 7,424 weights, "
        "10 genres, data 'sample')",
    ),
    "TrainedModel of rows": (
        lambda: dataclasses.replace(a_model(), front_end=None, data="wine.csv"),
        "TrainedModel(128-128-128_0.2-0.2-0.2_leaky_relu_random_uniform_rmsprop, 7,424 weights, "
        "10 classes, data 'wine.csv')",
    ),
    "Prediction": (
        a_prediction,
        "Prediction('songs/my\\nsong.mp3', 'jazz' 0.750 calibrated, 2 windows, "
        "out of distribution)",
    ),
    "Explanation": (
        lambda: Explanation("jazz", (Part("tempo", 1.0),), -0.5, -1.5, 0.0, np.zeros(1)),
        "Explanation(genre='jazz', output=-0.5, baseline=-1.5, gap=0.0)",
    ),
    "Engine": (an_engine, "Engine('tiny', 12 configs, 2 programs, 2 cpu devices)"),
    "Pca": (lambda: PCA, f"Pca(standard scaling, 3 components, {SHARE:.1f} % of the variance)"),
    "Task": (a_task, TASK),
    "Trained": (what_it_came_to, f"Trained({TASK})"),
    "FinishedRun": (lambda: a_run(read_finished), f"FinishedRun{RUN}"),
    "Run": (lambda: a_run(read_run), f"Run{RUN}"),
    "History": (lambda: random_history(make_sweep(), 2), "History(24 trials × 2 epochs)"),
}


@pytest.mark.parametrize(("make", "expected"), REPRS.values(), ids=REPRS)
def test_an_object_is_shown_on_one_line(make, expected):
    assert repr(make()) == str(make()) == expected


def test_what_is_made_of_runs_is_shown_on_one_line(tmp_path):
    sweep = make_sweep()
    history = random_history(sweep)
    runs = [read_finished(write_run(tmp_path / name, sweep, history)) for name in ("a", "b")]
    assert repr(compare(runs)) == "Comparison(2 runs, 12 configs in common)"
    assert repr(Report("<p>" * 500, "")) == "Report(missing_table='')"


def test_a_long_or_hostile_source_stays_short():
    table = dataclasses.replace(a_table(), source="\x1b[31m\n" + "x" * 5000)
    model = dataclasses.replace(a_model(), data=table.source)
    sweep = dataclasses.replace(SWEEP, name=table.source)
    for thing in (table, model, sweep):
        assert repr(thing).isprintable()
        assert len(repr(thing)) < 180


def test_all_public_classes_are_looked_at():
    exported = {name for name in gtzan_jax.__all__ if inspect.isclass(getattr(gtzan_jax, name))}
    assert exported - {"InputError", "RunError"} <= set(REPRS)


def package_dataclasses():
    found = pkgutil.walk_packages(gtzan_jax.__path__, "gtzan_jax.")
    for name in (each.name for each in found if not each.name.endswith("__main__")):
        module = importlib.import_module(name)
        for thing in vars(module).values():
            if dataclasses.is_dataclass(thing) and thing.__module__ == module.__name__:
                yield thing


def test_no_dataclass_shows_its_arrays():
    large = ("ndarray", "NDArray", "DataFrame", "Params", "bytes", "Figure", "State")
    shown = [
        f"{each.__name__}.{field.name}"
        for each in package_dataclasses()
        if hasattr(each.__repr__, "__wrapped__")  # as dataclass makes it
        for field in dataclasses.fields(each)
        if field.repr and any(name in str(field.type) for name in large)
        if "Callable" not in str(field.type)  # a function does not show what it takes
    ]
    assert shown == []
