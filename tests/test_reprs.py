"""What a notebook or a debugger shows of an object: one short line."""

import dataclasses
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from conftest import make_dataset, make_sweep
from finished_runs import random_history, write_run

import gtzan_jax
from gtzan_jax import Engine, TrainedModel, load_sweep, load_table, random_split, standardise
from gtzan_jax.compare import compare
from gtzan_jax.engine import Chunk
from gtzan_jax.exploration import pca
from gtzan_jax.finished import read_run
from gtzan_jax.report import Report
from gtzan_jax.splits import Sizes

SWEEP = load_sweep("assignment")
CONFIG = SWEEP.configs()[-1]


PCA = pca(load_table("sample"), "standard")
SHARE = 100 * sum(PCA.ratios)


def a_table():
    return load_table("sample")


def a_split():
    return random_split(a_table(), 0)


def a_dataset():
    return standardise(a_table(), a_split())


def a_model():
    params = {"hidden1": {"kernel": np.zeros((57, 128)), "bias": np.zeros(128)}}
    return TrainedModel.of(CONFIG, params, SWEEP, a_table(), a_dataset())


def an_engine():
    with Engine(make_sweep(), Sizes.of(make_dataset()), chunk_size=4, mode="shape") as engine:
        return engine


def a_chunk():
    bucket = next(iter(an_engine().chunks))
    return Chunk(bucket, 3, tuple(range(300)), np.zeros((300, 10, 4), np.float32))


REPRS = {
    "Config": (
        lambda: CONFIG,
        "Config(num_units1=128, num_units2=128, num_units3=128, dropout1=0.2, dropout2=0.2, "
        "dropout3=0.2, activation='leaky_relu', initializer='random_uniform', "
        "optimizer='rmsprop')",
    ),
    "Sweep": (lambda: SWEEP, "Sweep('assignment', 768 configs × 10 epochs, loss cross_entropy)"),
    "FeatureTable": (
        a_table,
        "FeatureTable(1,000 tracks × 57 features, 10 genres, source 'sample')",
    ),
    "Split": (a_split, "Split(700 train, 300 test)"),
    "Dataset": (a_dataset, "Dataset(700 train, 300 test, 57 features, 10 genres)"),
    "TrainedModel": (
        a_model,
        "TrainedModel(128-128-128_0.2-0.2-0.2_leaky_relu_random_uniform_rmsprop, 57 features, "
        "10 genres, trained on 'sample')",
    ),
    "Engine": (an_engine, "Engine('tiny', 12 configs, 2 programs, 2 cpu devices)"),
    "Pca": (lambda: PCA, f"Pca(standard scaling, 3 components, {SHARE:.1f} % of the variance)"),
    "Chunk": (a_chunk, "Chunk(300 members of seed 3, widths (8, 6, 5))"),
}


@pytest.mark.parametrize(("make", "expected"), REPRS.values(), ids=REPRS)
def test_an_object_is_shown_on_one_line(make, expected):
    assert repr(make()) == str(make()) == expected


def test_a_finished_run_is_shown_on_one_line(tmp_path):
    sweep = make_sweep()
    run = read_run(write_run(tmp_path / "my\nrun", sweep, random_history(sweep, 2)))
    assert repr(run) == "FinishedRun('my\\nrun', 12 configs × 2 seeds × 2 epochs, not retrained)"


def test_what_is_made_of_runs_is_shown_on_one_line(tmp_path):
    sweep = make_sweep()
    runs = [read_run(write_run(tmp_path / n, sweep, random_history(sweep))) for n in ("a", "b")]
    assert repr(compare(runs)) == "Comparison(2 runs, 12 configs in common)"
    assert repr(Report("<p>" * 500, "", {"a": b""})) == "Report(1,500 letters of HTML, 1 images)"


def test_a_long_or_hostile_source_stays_short():
    table = dataclasses.replace(a_table(), source="\x1b[31m\n" + "x" * 5000)
    model = dataclasses.replace(a_model(), data=table.source)
    sweep = dataclasses.replace(SWEEP, name=table.source)
    for thing in (table, model, sweep):
        assert repr(thing).isprintable()
        assert len(repr(thing)) < 180


def test_all_public_classes_are_looked_at():
    exported = {name for name in gtzan_jax.__all__ if inspect.isclass(getattr(gtzan_jax, name))}
    assert exported - {"InputError"} <= set(REPRS)


def package_dataclasses():
    found = pkgutil.walk_packages(gtzan_jax.__path__, "gtzan_jax.")
    for name in (each.name for each in found if not each.name.endswith("__main__")):
        module = importlib.import_module(name)
        for thing in vars(module).values():
            if dataclasses.is_dataclass(thing) and thing.__module__ == module.__name__:
                yield thing


def test_no_dataclass_shows_its_arrays():
    large = ("ndarray", "NDArray", "DataFrame", "Params", "bytes", "Figure")
    shown = [
        f"{each.__name__}.{field.name}"
        for each in package_dataclasses()
        if hasattr(each.__repr__, "__wrapped__")  # as dataclass makes it
        for field in dataclasses.fields(each)
        if field.repr and any(name in str(field.type) for name in large)
    ]
    assert shown == []
