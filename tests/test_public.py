"""The names that the package offers: listed, documented, and exact about what they are given."""

import dataclasses
import inspect

import numpy as np
import pytest
from commands import parsed
from conftest import make_sweep, make_table, this_process
from finished_runs import random_history, write_run

import gtzan_jax
from gtzan_jax import InputError
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.jobs import sweeping
from gtzan_jax.jobs.options import SweepOptions

FUNCTIONS = [n for n in gtzan_jax.__all__ if inspect.isfunction(getattr(gtzan_jax, n))]
SIGNATURE = inspect.signature(gtzan_jax.run_sweep).parameters
OWN = ("command",)  # what only the command gives


def test_the_public_names_are_listed_and_there_is_nothing_else():
    assert dir(gtzan_jax) == sorted(gtzan_jax.__all__)
    assert {"run_sweep", "load_sweep", "make_splits", "InputError"} <= set(dir(gtzan_jax))
    assert set(FUNCTIONS) == {
        "make_splits", "load_model", "load_sweep", "load_table", "read_run", "register_family",
        "run_sweep",
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in gtzan_jax.__all__ if name[0] != "_"])
def test_every_public_name_can_be_imported_and_is_documented(name):
    found = getattr(gtzan_jax, name)
    assert inspect.cleandoc(found.__doc__).partition("\n")[0].endswith(".")
    assert not found.__doc__.startswith(f"{name}(")  # what a dataclass has without a docstring


METHODS = [TrainedModel.predict, TrainedModel.predict_proba, TrainedModel.predict_file]
METHODS += [TrainedModel.score, TrainedModel.explain, gtzan_jax.Run.config]
METHODS += [gtzan_jax.SweepClassifier.fit, gtzan_jax.SweepClassifier.save]


@pytest.mark.parametrize(
    "function", [*(getattr(gtzan_jax, name) for name in FUNCTIONS), *METHODS],
    ids=lambda function: function.__qualname__,
)  # fmt: skip
def test_every_public_function_says_what_it_raises(function):
    raised = inspect.getdoc(function).partition("Raises:\n")[2]
    assert "InputError: " in raised
    assert all(p.annotation is not p.empty for p in list(inspect.signature(function).parameters
               .values()) if p.name != "self")  # fmt: skip


def test_the_parameters_of_run_sweep_are_the_flags_of_the_command():
    options = {f.name: f.default for f in dataclasses.fields(SweepOptions)}
    _, given = parsed("sweep")
    assert vars(given) == options | {
        "drop": [], "overrides": [], "command": "python -m gtzan_jax.sweep",
    }  # fmt: skip
    assert {name: p.default for name, p in SIGNATURE.items()} == options
    text = inspect.getdoc(gtzan_jax.run_sweep)
    assert all(f"\n  {name}: " in text for name in SIGNATURE)


@pytest.mark.parametrize(
    ("function", "name", "nearest"),
    [
        ("run_sweep", "seeds", "num_seeds"),
        ("run_sweep", "folds", "num_folds"),
        ("run_sweep", "retrain_epoch", "retrain_epochs"),
        ("run_sweep", "worker", "workers"),
        ("load_sweep", "override", "overrides"),
        ("load_table", "dat", "data"),
        ("load_model", "paths", "path"),
        ("read_run", "pth", "path"),
        ("make_splits", "splits_seed", "split_seed"),
    ],
)
def test_an_unknown_parameter_is_answered_with_the_nearest(function, name, nearest):
    with pytest.raises(TypeError) as told:
        getattr(gtzan_jax, function)(**{name: 3})
    assert str(told.value) == f"{function}() has no parameter {name!r} (did you mean {nearest!r}?)"


def test_a_parameter_like_no_other_is_answered_with_all():
    with pytest.raises(TypeError, match=r"no parameter 'xyz'; it has name_or_path, overrides$"):
        gtzan_jax.load_sweep("smoke", xyz=1)


WRONG = {"sweep": None, "data": 3, "workdir": 3}
WRONG |= {name: object() for name in SIGNATURE if name not in WRONG}
ALSO_WRONG = {
    "num_seeds": "3", "retrain_epochs": 2.5, "workers": True, "epochs": "20", "seed": 2.0,
    "overwrite": 1, "overrides": "epochs=3", "protocol": ["holdout"], "search": 3,
    "split_seed": None, "retrain_seeds": np.float64(2.0), "loss": "crossentropy",
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [*WRONG.items(), *ALSO_WRONG.items()])
def test_a_wrong_type_is_refused_with_the_parameter(tmp_path, monkeypatch, name, value):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as told:
        gtzan_jax.run_sweep(**{"sweep": "smoke", "data": "sample", name: value})
    assert str(told.value).startswith((f"{name} must be ", f"{name}: unknown "))
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(InputError) as told:
        gtzan_jax.run_sweep("smoke", **ALSO_WRONG)
    order = [name for name in SIGNATURE if name in ALSO_WRONG]
    starts = [f"({n}) {name}" for n, name in enumerate(order[:10], 1)]
    places = [str(told.value).find(start) for start in starts]
    assert places == sorted(places)
    assert min(places) == len("12 problems: ")
    assert str(told.value).endswith("; and 2 more")
    assert [text.partition(" ")[0].rstrip(":") for text in told.value.problems] == order


def a_model():
    sweep, table = gtzan_jax.load_sweep("smoke"), gtzan_jax.load_table("sample")
    params = {"hidden1.kernel": np.zeros((57, 16)), "hidden1.bias": np.zeros(16)}
    splits = gtzan_jax.make_splits(table, "holdout", 0, 5)
    return TrainedModel.of(sweep.configs[0], params, sweep, splits, 0)


CALLS = {
    "load_sweep": (gtzan_jax.load_sweep, [None], "name_or_path must be text or a path, not None"),
    "load_sweep overrides": (
        gtzan_jax.load_sweep, ["smoke", [3]], "overrides[0] must be text, not 3",
    ),
    "load_table": (
        gtzan_jax.load_table, [3], "data must be text or a path, a DataFrame, or (X, y), not 3",
    ),
    "load_model": (gtzan_jax.load_model, [None], "path must be text or a path, not None"),
    "read_run": (gtzan_jax.read_run, [b"run"], "path must be text or a path, not b'run'"),
    "make_splits": (
        gtzan_jax.make_splits, ["sample", "k_fold", "0", 2.5],
        "4 problems: (1) table must be a FeatureTable, not 'sample'; (2) protocol: unknown value "
        "'k_fold' (did you mean 'kfold'?); choose one of assignment, holdout, kfold, artist_kfold, "
        "fault_filtered, artist_folds, mixed_artists, leaky_segments; (3) split_seed must be a "
        "whole number from 0 to 4,294,967,295, not '0'; "
        "(4) num_folds must be a whole number from 1 to 1,000, not 2.5",
    ),
    "predict": (
        lambda x: a_model().predict(x), [3],
        "table must be a FeatureTable, a DataFrame or an array, not 3",
    ),
    "predict_proba": (
        lambda x: a_model().predict_proba(x), ["t"],
        "table must be a FeatureTable, a DataFrame or an array, not 't'",
    ),
    "score": (
        lambda x: a_model().score(x, []), [None],
        "table must be a FeatureTable, a DataFrame or an array, not None",
    ),
    "predict_file": (
        lambda *x: a_model().predict_file(*x), [3, "1"],
        "2 problems: (1) path must be text or a path, not 3; (2) hop_seconds must be a number from "
        "0 to 1e+06, not '1'",
    ),
    "explain": (lambda x: a_model().explain(x), [3], "prediction must be a Prediction, not 3"),
}  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "message"), CALLS.values(), ids=CALLS)
def test_public_functions_refuse_other_types(function, arguments, message):
    with pytest.raises(InputError) as told:
        function(*arguments)
    assert str(told.value) == message


@pytest.mark.parametrize("rank", [0, -1, 13, 1.0, "1"])
def test_a_rank_that_is_not_there_is_refused(tmp_path, rank):
    sweep = make_sweep()
    run = gtzan_jax.read_run(write_run(tmp_path / "run", sweep, random_history(sweep, 2)))
    assert run.config(12).id == run.results["config_id"].iloc[-1]
    with pytest.raises(InputError, match="rank must be a whole number from 1 to 12, not "):
        run.config(rank)


@pytest.fixture
def job_of(monkeypatch, tmp_path):
    """Returns what gives the job of a call, instead of doing it."""
    jobs = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweeping, "open_backend", this_process)

    def stop(job):
        jobs.append(job)
        raise SystemExit

    monkeypatch.setattr(sweeping, "_held", stop)

    def make(*args, **options):
        with pytest.raises(SystemExit):
            gtzan_jax.run_sweep(*args, **options)
        return jobs.pop()

    return make


NAMED = {
    "epochs": (20, "epochs=20"),
    "batch_size": (np.int64(16), "batch_size=16"),
    "loss": ("softmax_twice", "loss=softmax_twice"),
    "protocol": ("holdout", "protocol=holdout"),
    "num_folds": (3, "num_folds=3"),
    "search": ("random", "search.kind=random"),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_parameter_means_what_the_override_means(job_of, name):
    value, override = NAMED[name]
    more = ["protocol=kfold"] * (name == "num_folds")
    job = job_of("smoke", make_table(), overrides=more, **{name: value})
    sweep = gtzan_jax.load_sweep("smoke", [override, *more])
    assert job.sweep.to_dict() == sweep.to_dict() != gtzan_jax.load_sweep("smoke").to_dict()
    assert job.splits.protocol.name == sweep.protocol


def test_a_sweep_file_is_given_as_a_path(job_of, tmp_path):
    (tmp_path / "mine.toml").write_text("[axes]\nnum_units1 = [4, 8]\n")
    job = job_of(tmp_path / "mine.toml", make_table(), tmp_path / "run")
    assert (job.sweep.name, job.sweep.num_configs) == ("mine", 2)


def test_a_sweep_object_has_no_overrides():
    with pytest.raises(InputError, match=r"change the Sweep itself: epochs, optimizer=lion$"):
        gtzan_jax.run_sweep(make_sweep(), "sample", epochs=3, overrides=["optimizer=lion"])
