"""Sweeps that search: what they write, what it costs, and that they go on after a kill."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep, make_table, slow

import gtzan_jax
from gtzan_jax.analysis.between_runs import compare
from gtzan_jax.errors import InputError
from gtzan_jax.jobs import searching
from gtzan_jax.jobs.job import Training
from gtzan_jax.rundir import checkpoints
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.space.search import config_epochs
from gtzan_jax.trainer import plan
from gtzan_jax.trainer.engine import Engine
from gtzan_jax.trainer.plan import COSTS
from gtzan_jax.views.sections.selection import winner_of

TABLE = make_table(num_features=12)
TABLES = ("results.csv", "trials.csv", "history.csv", "predictions.safetensors")
AXES = {"num_units2": None, "num_units3": None, "dropout2": None, "dropout3": None}
HALVING = {"kind": "halving", "eta": 2}


def sweep_of(search, epochs=4, **axes):
    """Returns a sweep of 12 configs of one hidden layer, or of other axes."""
    return make_sweep(axes=AXES | axes, epochs=epochs, protocol="holdout", search=search)


pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture(scope="module", autouse=True)
def small_tasks():
    """Trains few trials at a time, each task in a file of its own, and compiles one program."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "_COLLECT_S", -1.0)
        patch.setattr(plan, "COSTS", {"cpu": COSTS["cpu"]._replace(trials=2)})
        yield


def run(sweep, folder, **options):
    options = {"num_seeds": 2, "retrain_epochs": 0, "batching": "padded"} | options
    return gtzan_jax.run_sweep(sweep, TABLE, folder, **options)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """The same configs, all trained to the end."""
    return run(sweep_of(None), tmp_path_factory.mktemp("grid") / "run")


@pytest.fixture(scope="module")
def halved(tmp_path_factory):
    return run(sweep_of(HALVING), tmp_path_factory.mktemp("halved") / "run")


def test_survivors_have_the_histories_of_training_in_one_go(grid, halved):
    keys = ["config_id", "fold", "seed", "epoch"]
    both = halved.history.merge(grid.history, on=keys, suffixes=("", "_whole"))
    assert (
        len(both) == len(halved.history) == 2 * config_epochs(halved.sweep) == 2 * (12 + 6 + 3 * 2)
    )
    for metric in halved.protocol.metrics:
        np.testing.assert_array_equal(both[metric], both[f"{metric}_whole"])


def test_halving_keeps_the_best_by_validation(grid, halved):
    by = ["validation_accuracy", "validation_loss"]
    alive, order = set(grid.results["config_id"]), grid.sweep.places
    for end, keep in ((1, 6), (2, 3), (4, 1)):
        at = grid.history[(grid.history["epoch"] == end) & grid.history["config_id"].isin(alive)]
        means = at.groupby("config_id")[by].mean().round(7)
        means["place"] = [order[config_id] for config_id in means.index]
        ranked = means.sort_values([*by, "place"], ascending=[False, True, True])
        given = halved.results.set_index("config_id")["epochs_given"]
        assert (given.loc[list(alive)] >= end).all()
        alive = set(ranked.index[:keep])
    assert halved.results["config_id"].iloc[0] == alive.pop()
    assert halved.results["epochs_given"].value_counts().to_dict() == {1: 6, 2: 3, 4: 3}
    assert halved.results["epochs_given"].is_monotonic_decreasing
    assert not halved.results["indistinguishable_from_best"].iloc[3:].any()


def test_survivors_are_packed_and_states_that_are_needed_no_more_are_dropped(tmp_path, monkeypatch):
    calls = []
    real = Engine.run

    def watched(self, parts, folds, states=None):
        [kept] = {task.keep for task in parts}
        calls.append(([len(task.trials) for task in parts], len(states), kept))
        return real(self, parts, folds, states)

    monkeypatch.setattr(Engine, "run", watched)
    run(sweep_of(HALVING), tmp_path / "run")
    # Two devices of two trials each; two seeds.
    assert calls == [
        ([4, 4, 4] * 2, 0, "states"), ([4, 2] * 2, 24, "states"), ([3, 3], 12, "nothing")
    ]  # fmt: skip


class Killed(BaseException):
    """Stands for the end of the process."""


def run_killed(sweep, folder, monkeypatch, after):
    """Runs a sweep that is killed after so many tasks."""
    left = iter(range(after))

    def add(self, trained, real=checkpoints.Checkpoints.add):
        if next(left, None) is None:
            raise Killed
        return real(self, trained)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "add", add)
        with pytest.raises(Killed):
            run(sweep, folder)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("after", [1, 7, 9])
def test_a_killed_halving_goes_on_to_the_same_bytes(tmp_path, monkeypatch, halved, after):
    run_killed(sweep_of(HALVING), tmp_path / "run", monkeypatch, after)
    assert not (tmp_path / "run" / "results.csv").exists()
    run(sweep_of(HALVING), tmp_path / "run")
    for name in TABLES:
        assert (tmp_path / "run" / name).read_bytes() == (halved.run.path / name).read_bytes()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_first_rung_is_trained_again_beside_the_second(tmp_path, monkeypatch, halved):
    run_killed(sweep_of(HALVING), tmp_path / "run", monkeypatch, 9)
    path = tmp_path / "run" / "checkpoints" / "000001.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    run(sweep_of(HALVING), tmp_path / "run")
    for name in TABLES:
        assert (tmp_path / "run" / name).read_bytes() == (halved.run.path / name).read_bytes()


def test_states_that_do_not_fit_cost_time_and_change_nothing(tmp_path, monkeypatch, halved):
    monkeypatch.setattr(searching, "_STATE_BYTES", 1.0)
    run(sweep_of(HALVING), tmp_path / "run")
    for name in TABLES:
        assert (tmp_path / "run" / name).read_bytes() == (halved.run.path / name).read_bytes()


def test_a_finished_search_trains_nothing(halved, monkeypatch, capsys):
    monkeypatch.setattr(Training, "begin", None)
    run(sweep_of(HALVING), halved.run.path)
    assert "48 of 48 epochs are already trained" in capsys.readouterr().out


RANGES = {
    "num_units1": {"low": 4, "high": 9},
    "dropout1": {"low": 0.0, "high": 0.5},
    "activation": ["relu"],
}


@pytest.mark.parametrize("kind", ["random", slow("tpe")])
def test_a_search_over_ranges_writes_a_run_with_a_report(tmp_path, kind):
    if kind == "tpe":
        pytest.importorskip("optuna")
    sweep = sweep_of({"kind": kind, "num_configs": 10} | ({"batch": 4} if kind == "tpe" else {}),
                     epochs=2, **RANGES)  # fmt: skip
    done = run(sweep, tmp_path / "run", retrain_epochs=1)
    assert len(done.results) == done.sweep.num_configs == 10
    assert done.results["dropout1"].between(0, 0.5).all()
    assert set(done.results["num_units1"]) <= set(range(4, 10))
    assert done.best.config == done.config(1)
    assert "The search did not train a complete grid" in done.report().read_text()
    again = gtzan_jax.read_run(tmp_path / "run")
    assert again.sweep.configs == done.sweep.configs
    pd.testing.assert_frame_equal(again.results, done.results)
    # A config has the figures that it would have in a grid.
    config = done.config(1)
    alone = sweep_of(None, 2, **{name: [value] for name, value in config.items()})
    whole = run(alone, tmp_path / "alone")
    columns = ["validation_loss", "test_loss"]
    np.testing.assert_allclose(
        done.results[columns].iloc[0].astype(float), whole.results[columns].iloc[0].astype(float),
        rtol=1e-5,
    )  # fmt: skip


def test_a_killed_search_of_optunas_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    optuna = pytest.importorskip("optuna")
    sweep = sweep_of({"kind": "tpe", "num_configs": 10, "batch": 4}, epochs=2, **RANGES)
    run(sweep, tmp_path / "whole", retrain_epochs=1)
    run_killed(sweep, tmp_path / "run", monkeypatch, 3)
    run(sweep, tmp_path / "run", retrain_epochs=1)
    for name in (*TABLES, "configs.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "run" / "study.journal"))
    study = optuna.load_study(study_name="tiny", storage=optuna.storages.JournalStorage(backend))
    best = gtzan_jax.read_run(tmp_path / "run").results["validation_accuracy"].max()
    assert study.best_value == pytest.approx(best)
    # Finished, it needs neither Optuna nor its study, and refuses configs that are not its own.
    (tmp_path / "run" / "study.journal").unlink()
    monkeypatch.setattr(searching, "_search_of", None)
    run(sweep, tmp_path / "run")
    found = RunDir(tmp_path / "run")
    found.configs_path.write_text("[]")
    with pytest.raises(InputError, match=r"configs\.json is missing or damaged"):
        gtzan_jax.read_run(found.path)


def test_sweeps_that_stop_early_are_not_halved():
    with pytest.raises(InputError, match=r"leave axes\.patience out"):
        sweep_of(HALVING, patience=[2])


def test_the_report_speaks_of_what_was_trained_to_the_end(halved):
    page = " ".join(halved.report().read_text().split())
    assert (
        "Configurations that the search gave up early are not judged; they may be better." in page
    )


def test_brackets_train_no_more_than_they_ask_for(tmp_path):
    """Configs of one bracket share slices of a program with those of another."""
    result = run(sweep_of(HALVING | {"brackets": 3}), tmp_path / "run")
    budget = 2 * config_epochs(result.sweep)
    assert len(result.history) == budget
    store = checkpoints.Checkpoints(tmp_path / "run" / "checkpoints", 4, result_num_eval(result))
    assert store.trial_epochs == budget
    assert (result.results["epochs_given"] < 4).any()


def result_num_eval(result):
    [parts] = result.manifest.split.folds
    return parts.validation + parts.test


def test_configs_that_were_given_up_are_not_compared(grid, halved):
    pair = compare([grid, halved]).pairs.iloc[0]
    assert pair["difference"] == pytest.approx(0.0, abs=1e-9)


def test_where_all_that_is_left_diverged_nothing_was_selected(halved):
    """The first of the table is then one that was given up."""
    left = dataclasses.replace(halved, accuracy=np.full_like(halved.accuracy, np.nan))
    assert winner_of(left) is None
