"""Whatever is given as a table or a sweep: it works, or one line says why not.

The examples are few and always the same, unless GTZAN_JAX_FUZZ_SECONDS says for how long each
test shall look for others. What was found that way is kept in tests/corpus.
"""

import dataclasses
import os
import time
from pathlib import Path

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from conftest import make_history, make_sweep, slow
from csv_edits import small_text
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from gtzan_jax.errors import InputError
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.resources import resource
from gtzan_jax.rundir.history import trials_of
from gtzan_jax.rundir.ranking import results_table
from gtzan_jax.space.sweep_file import load_sweep, parse_sweep, sweep_names
from gtzan_jax.tables.folds import Sizes, arrays_of, sizes_of
from gtzan_jax.tables.protocols import PROTOCOLS, make_splits
from gtzan_jax.tables.schema import COLUMNS, FEATURES, Columns
from gtzan_jax.tables.sources import load_table
from gtzan_jax.tables.validation import parse_table
from gtzan_jax.trainer.engine import Engine

CORPUS = Path(__file__).parent / "corpus"
SECONDS = float(os.environ.get("GTZAN_JAX_FUZZ_SECONDS", 0))
MOST_SECONDS = 5.0  # that a small file may take


def explore(check, strategy, examples=100):
    """Checks examples of a strategy: a fixed number, and others as long as is asked for."""
    count = 0

    # Without a database, which would be a folder wherever the tests run.
    @settings(max_examples=examples, deadline=None, database=None, derandomize=not SECONDS)
    @given(strategy)
    def search(value):
        nonlocal count
        count += 1
        check(value)

    end = time.monotonic() + SECONDS
    search()
    while time.monotonic() < end:
        search()
    if SECONDS:
        print(f"\n{check.__name__}: {count:,} examples")


def works_or_tells(load, *args):
    """Returns what was loaded, or None where one line said why it cannot be."""
    started, problem, loaded = time.process_time(), "", None
    try:
        loaded = load(*args)
    except InputError as error:
        problem = str(error)
    assert problem.isprintable()
    assert len(problem) < 2000  # up to ten problems
    assert time.process_time() - started < MOST_SECONDS
    return loaded


def mutations(content, pieces):
    """Returns a strategy for bytes: the content with some parts cut, repeated, or replaced."""
    places = st.integers(0, len(content))
    piece = st.one_of(st.sampled_from(pieces), st.binary(max_size=4))
    edits = st.lists(st.tuples(places, st.integers(0, 40), piece), min_size=1, max_size=4)

    def mutate(chosen):
        mutated = content
        for place, length, new in chosen:
            mutated = mutated[:place] + new + mutated[place + length :]
        return mutated

    return edits.map(mutate)


# ---------------------------------------------------------------------------------------- tables

PIECES = [
    b"", b",", b",,", b";", b"\t", b"\n", b"\r", b"\r\n", b"\n\n", b'"', b'""', b"'", b" ", b"\0",
    b"nan", b"inf", b"-inf", b"1e300", b"-1e-320", b"1_000", b"0x10", b"1,5", b"-", b"e", b"blues",
    b"Blues", b"jazz\xe2\x80\x8b", b"\xc2\xa0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xe9", b"\xc3\xa9",
    b"\x1f\x8b", b"PK\x03\x04", b"<html>", b"\xd9\xa1", b"\xe2\x80\xa8", b"\x1b[31m", b"\x85",
    b"filename", b"length", b"label", b"tempo", b"=1+1",
]  # fmt: skip


@pytest.fixture(scope="module")
def small_table():
    """A valid CSV of 24 tracks."""
    return small_text(12).encode()


@pytest.fixture
def load_csv(tmp_path):
    def load(content):
        path = tmp_path / "t.csv"
        path.write_bytes(content)
        table = load_table(path)
        assert table.x.shape == (len(table.y), len(FEATURES))
        assert np.isfinite(table.x).all()
        assert set(table.y) == set(range(len(table.genres)))
        assert len(set(table.tracks)) == len(table.y)

    return load


def test_any_bytes_as_a_table_work_or_are_told(load_csv):
    def check_bytes(content):
        works_or_tells(load_csv, content)

    explore(check_bytes, st.one_of(st.binary(), st.text().map(str.encode)))


def test_any_mutation_of_a_table_works_or_is_told(load_csv, small_table):
    def check_mutations(content):
        works_or_tells(load_csv, content)

    explore(check_mutations, mutations(small_table, PIECES), examples=300)


@pytest.mark.parametrize("path", sorted((CORPUS / "csv").iterdir()), ids=lambda path: path.name)
def test_the_tables_of_the_corpus_work_or_are_told(load_csv, path):
    works_or_tells(load_csv, path.read_bytes())


# -------------------------------------------------------------------------------------- training

TRACKS, GENRES = 40, ("blues", "jazz", "rock")
ONE_CONFIG = make_sweep(
    epochs=1,
    batch_size=8,
    axes={"num_units1": [8], "activation": ["relu"], "optimizer": ["adam"]},
)


OTHERS = [name for name, each in PROTOCOLS.items() if not each.leak and name != "kfold"]


@pytest.fixture(scope="module", params=["kfold", *map(slow, OTHERS)])
def protocol(request):
    return request.param


@pytest.fixture(scope="module")
def sizes(protocol):
    """Sizes that the folds of any table of TRACKS tracks fit into."""
    train, evaluated = (28, 12) if protocol == "assignment" else (TRACKS, TRACKS)
    return Sizes(train, evaluated, len(FEATURES), len(GENRES))


@pytest.fixture(scope="module")
def engine(sizes):
    with Engine(ONE_CONFIG, MlpFamily(), sizes, devices=jax.devices()[:1]) as engine:
        yield engine


@pytest.mark.parametrize("columns", [Columns("class"), Columns("class", "by", ("a",), "median")])
def test_a_damaged_table_of_ones_own_works_or_is_told(tmp_path, columns):
    rows = [f"{i % 7 / 4},{i * i % 11},{'xyz'[i % 3]},{i // 4}" for i in range(24)]

    def load(content):
        (tmp_path / "t.csv").write_bytes(content)
        table = load_table(tmp_path / "t.csv", columns)
        assert len(table.y) == len(table.tracks) == len(table.x) >= 20
        assert not np.isinf(table.x).any()
        assert columns.impute or not np.isnan(table.x).any()
        assert (table.group is None) == (not columns.group)
        [fold] = make_splits(table, "holdout", 0, 2).folds
        arrays_of(table, fold, sizes_of(table, [fold]))

    def check_own(content):
        works_or_tells(load, content)

    content = "\n".join(["a,b,class,by", *rows]).encode()
    load(content)
    explore(check_own, mutations(content, [*PIECES, b"class", b"sep=;", b"NA"]), examples=200)


def numbers():
    largest = float(np.finfo(np.float32).max)
    usual = st.floats(-largest, largest, allow_nan=False)
    return st.one_of(usual, st.floats(-1e3, 1e3), st.sampled_from([0.0, 1e-45, 1e38, -largest]))


def tables():
    """Returns a strategy for the texts of tables of one size, of any numbers and labels."""
    values = hnp.arrays(np.float64, (TRACKS, len(FEATURES)), elements=numbers(), fill=numbers())
    labels = st.lists(st.sampled_from(GENRES), min_size=TRACKS, max_size=TRACKS)

    def text(values, labels):
        rows = [
            ",".join([f"disco.{i:05d}.wav", "1", *map(repr, row), label])
            for i, (row, label) in enumerate(zip(values.tolist(), labels, strict=True))
        ]
        return "\n".join([",".join(COLUMNS), *rows])

    return st.builds(text, values, labels)


def test_any_table_that_validates_trains(protocol, sizes, engine):
    trained = []
    sweep = dataclasses.replace(ONE_CONFIG, protocol=protocol)

    def arrays_of_each_fold(text):
        table = parse_table(text, "t.csv")
        if len(table.genres) < len(GENRES):
            raise InputError("the engine is made for as many genres as there are")
        return [arrays_of(table, fold, sizes) for fold in make_splits(table, protocol, 0, 2).folds]

    def check_training(text):
        arrays = works_or_tells(arrays_of_each_fold, text)
        if arrays is None:
            return
        trials = trials_of(sweep, len(arrays), [0])
        tasks = list(engine.run(engine.plan.tasks(trials), arrays))
        assert [trial for task in tasks for trial in task.task.trials] == trials
        figures = np.concatenate([task.history for task in tasks])
        diverged = not np.isfinite(figures).all()
        results = results_table(sweep, make_history(tuple(trials), figures))
        assert results["diverged"].to_list() == [diverged]
        if not diverged:
            for name in results:
                if name.endswith("_accuracy"):
                    assert 0 <= results[name][0] <= 1
        trained.append(not diverged)

    explore(check_training, tables(), examples=30)
    assert any(trained)


# ---------------------------------------------------------------------------------------- sweeps

TOML_PIECES = [
    b"", b"=", b"==", b"[", b"]", b"[[", b"]]", b"{", b"}", b",", b".", b"#", b"\n", b"\r", b'"',
    b"'''", b'"""', b"\\", b"\0", b"\xff", b"\xef\xbb\xbf", b"nan", b"-inf", b"inf", b"true", b"0",
    b"-1", b"1e999", b"1_000", b"0xffffffffffffffff", b"9" * 30, b"2024-01-01", b"07:32:00", b"[]",
    b'"a\\nb"', b'"\\u001b"', b"epochs", b"axes", b"[axes]", b"[axes.epochs]", b"name", b"a.b = 1",
    b"num_seeds = 2\n", b"[" * 2_000, b"9" * 5_000, b"0x" + b"f" * 5_000, b"0.10000001",
]  # fmt: skip


def check_sweep(sweep):
    """Asserts that a sweep that was accepted is one: it reads back, and its names differ."""
    document = sweep.to_dict()
    again = parse_sweep(document, document.pop("name"), "t")
    assert again.to_dict() == sweep.to_dict()
    if sweep.num_configs < 2_000:
        assert again.configs == sweep.configs
        assert len({config.name for config in sweep.configs}) == sweep.num_configs
        assert len(sweep.places) == sweep.num_configs


@pytest.fixture
def load_toml(tmp_path):
    def load(content):
        path = tmp_path / "t.toml"
        path.write_bytes(content)
        check_sweep(load_sweep(str(path)))

    return load


def test_any_bytes_as_a_sweep_work_or_are_told(load_toml):
    def check_bytes_as_sweep(content):
        works_or_tells(load_toml, content)

    explore(check_bytes_as_sweep, st.one_of(st.binary(), st.text().map(str.encode)))


@pytest.mark.parametrize("name", ["cnn", *(slow(n) for n in sweep_names() if n != "cnn")])
def test_any_mutation_of_a_sweep_works_or_is_told(load_toml, name):
    def check_mutations_of_sweep(content):
        works_or_tells(load_toml, content)

    content = resource("sweeps", f"{name}.toml").read_bytes()
    explore(check_mutations_of_sweep, mutations(content, TOML_PIECES), examples=200)


@pytest.mark.parametrize("path", sorted((CORPUS / "toml").iterdir()), ids=lambda path: path.name)
def test_the_sweeps_of_the_corpus_work_or_are_told(load_toml, path):
    works_or_tells(load_toml, path.read_bytes())


KEYS = [
    "epochs", "batch_size", "loss", "leaky_slope", "num_seeds", "learning_rates", "axes", "name",
    "learning_rates.adam", "axes.num_units1", "axes.num_units4", "axes.dropout1", "axes.dropout4",
    "axes.optimizer", "axes.learning_rate", "axes.batch_size", "protocol", "num_folds",
    "axes.x.y", "",
]  # fmt: skip


def test_any_setting_works_or_is_told():
    anything = st.text(st.characters())  # surrogates too, as arguments may have them
    scalars = st.one_of(anything, st.integers(), st.floats(), st.booleans())
    values = st.one_of(
        scalars.map(str),
        st.lists(st.one_of(st.integers(-2, 9_000), st.floats()), max_size=3).map(str),
        st.lists(scalars, max_size=2).map(str),
        st.sampled_from([piece.decode("latin-1") for piece in TOML_PIECES]),
    )
    setting = st.builds("{}{}{}".format, st.sampled_from(KEYS) | anything, st.just("="), values)

    def check_settings(overrides):
        sweep = works_or_tells(load_sweep, "smoke", overrides)
        if sweep:
            check_sweep(sweep)

    explore(check_settings, st.lists(setting | anything, min_size=1, max_size=3), examples=300)
