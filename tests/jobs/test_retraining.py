"""The command retrain: folders of their own beside the sweep's best, which stays."""

import dataclasses
import itertools
import os
import shutil
from types import SimpleNamespace

import msgspec
import numpy as np
import pandas as pd
import pytest
from conftest import make_fold, make_sweep, make_table
from finished_runs import edit_manifest, flip
from report_words import lines_of, words_of
from scipy.special import log_softmax
from sklearn import metrics
from test_resume import Killed, end_at, kill

import gtzan_jax
from gtzan_jax import InputError, RunError, load_model, read_run
from gtzan_jax.files import digest
from gtzan_jax.jobs import retraining
from gtzan_jax.jobs.job import Training
from gtzan_jax.jobs.options import RetrainOptions
from gtzan_jax.jobs.retraining import evaluate, retrain_run, train_networks
from gtzan_jax.metrics import METRICS
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.space.config import Trial
from gtzan_jax.tables.protocols import PROTOCOLS, Splits
from gtzan_jax.tables.sources import load_table
from gtzan_jax.trainer.plan import Plan
from gtzan_jax.trainer.task import Task, Trained

AXES = ["axes.num_units2=[16]", "axes.dropout3=[0.0]", "axes.num_units1=[16]"]
NAME = "rank2-2epochs-2seeds"
SWEEP = {"data": "sample", "overrides": [*AXES, "protocol=holdout"]}


pytestmark = pytest.mark.usefixtures("in_process")


def sweep(folder, **options):
    return gtzan_jax.run_sweep("smoke", workdir=folder, **SWEEP | {"retrain_epochs": 1} | options)


def ask(folder, rank=2, epochs=2, seeds=2, **options):
    options |= {"rank": rank, "retrain_epochs": epochs, "retrain_seeds": seeds}
    return retrain_run(RetrainOptions(str(folder), **options))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run whose second config was retrained, what that came to, and its best before that."""
    folder = tmp_path_factory.mktemp("retrained") / "run"
    sweep(folder)
    best = digest(folder / "best"), RunDir(folder).read_manifest().retraining
    trained, train = [], retraining.retrain
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retraining, "retrain", lambda *a: trained.append(train(*a)) or trained[0])
        ask(folder)
    return folder, trained[0], best


@pytest.fixture
def folder(tmp_path, whole):
    shutil.copytree(whole[0], tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def quick(monkeypatch, whole):
    """Training comes to what it came to once, whatever is asked."""
    monkeypatch.setattr(retraining, "retrain", lambda *_: whole[1])


@pytest.fixture
def never(monkeypatch):
    monkeypatch.setattr(retraining, "retrain", None)
    monkeypatch.setattr(Training, "begin", None)


def test_the_sweeps_best_stays(whole):
    folder, _, (best, retraining_of_best) = whole
    run, path = read_run(folder), folder / "retrained" / NAME
    assert load_model(path).config == run.config(2)
    assert load_model(str(folder)).config == load_model(folder / "best").config == run.config(1)
    assert digest(folder / "best") == best
    manifest = run.manifest
    assert manifest.retraining == retraining_of_best
    assert list(manifest.retrainings) == [NAME]
    assert [session.trials_before for session in manifest.sessions] == [0, 6]
    files = {f"retrained/{NAME}/{file.name}" for file in path.iterdir()}
    assert files == {key for key in manifest.sha256 if key.startswith("retrained/")}


@pytest.mark.parametrize("name", ["best", f"retrained/{NAME}"])
def test_the_calibration_is_that_of_the_model_that_is_kept(whole, name):
    folder, table = whole[0] / name, load_table("sample")
    songs = pd.read_csv(folder / "calibration.csv")
    model = dataclasses.replace(load_model(folder), calibration=None)
    rows = [table.tracks.index(song) for song in songs["song"]]
    probability = model.predict_matrix(table.x[rows])
    np.testing.assert_allclose(songs["probability"], probability.max(axis=1), rtol=1e-4)
    best = np.array(table.genres)[probability.argmax(axis=1)]
    assert songs["predicted"].to_list() == best.tolist()


TABLE = make_table(60)
SPLITS = Splits(
    TABLE,
    PROTOCOLS["kfold"],
    0,
    (make_fold(range(40), test=range(40, 60)), make_fold(range(20, 60), test=range(13))),
)
MADE = make_sweep(protocol="kfold", num_folds=2)
BEST, OTHER = (MADE.configs[place].id for place in (0, 1))


def trained_of(config_id, fold, seeds, figure=0.5):
    """Made-up results of networks that never say the last class."""
    random = np.random.default_rng(seeds[0])
    task = Task(0, 2, tuple(Trial(config_id, fold, seed) for seed in seeds), 0, 3, "params")
    shapes = MlpFamily().shapes(MADE.configs[MADE.places[config_id]], len(TABLE.features), 4)
    logits = random.normal(size=(2, 20, 4)) - [0, 0, 0, 100]
    return Trained(
        task,
        np.full((2, 3, len(METRICS)), figure, np.float32),
        logits.argmax(axis=2).astype(np.uint8),
        np.full(2, 3, np.int32),
        np.full(2, 3, np.int32),
        params=[{name: random.normal(size=shape) for name, shape in shapes.items()}] * 2,
        logits=logits,
    )


def trainer_of(results):
    plan = Plan(MADE, MlpFamily(), SPLITS.sizes)
    return SimpleNamespace(plan=plan, run=lambda *_: iter(results))


def test_tables_of_folds_are_scikit_learns():
    results = [trained_of(BEST, fold, (7, 8)) for fold in (1, 0)]
    [networks] = train_networks(trainer_of(results), SPLITS, [BEST], [7, 8], 3)
    frames = evaluate(networks, MADE, SPLITS).frames
    true, said = [], []
    for trained in results:
        rows = SPLITS.folds[trained.task.fold].test
        for predicted in trained.predicted:
            true += TABLE.y[rows].tolist()
            said += predicted[: len(rows)].tolist()
    expected = metrics.confusion_matrix(true, said, labels=range(4))
    assert (expected != expected.T).any()
    np.testing.assert_array_equal(frames["confusion"], expected)
    scores = metrics.precision_recall_fscore_support(true, said, labels=range(4), zero_division=0)
    np.testing.assert_allclose(frames["scores"].iloc[:, 1:5].T, np.array(scores), rtol=1e-12)
    assert frames["scores"]["precision"].iloc[3] == 0
    first = np.exp(log_softmax(networks.logits[0], axis=1)).max(axis=1)
    np.testing.assert_allclose(frames["calibration"]["probability"], first, rtol=1e-9)


def test_a_diverged_config_is_told_when_the_others_have_trained():
    """Workers may finish the reference before the best."""
    results = [
        trained_of(config_id, fold, (7, 8), figure)
        for config_id, figure in ((BEST, np.nan), (OTHER, 0.5))
        for fold in (0, 1)
    ]
    for order in itertools.permutations(results):
        networks = train_networks(trainer_of(order), SPLITS, [BEST, OTHER], [7, 8], 3)
        assert next(networks).config.id == OTHER
        with pytest.raises(RunError, match=r"diverged in epoch 1 of 3 \(4 of 4 networks\)"):
            next(networks)


@pytest.mark.usefixtures("never")
def test_a_finished_run_trains_nothing_after_a_retraining(folder):
    contents = lambda: {name: digest(folder / name) for name in ("best", "retrained", "overview")}  # noqa: E731
    before = contents(), read_run(folder).manifest
    run = sweep(folder)
    before[1].resume = run.manifest.resume  # names the folder, which is a copy
    assert (contents(), run.manifest) == before
    assert list(run.retrainings) == ["best", NAME]
    assert run.retrainings["best"].model.config == run.best.config == run.config(1)
    second = run.retrainings[NAME]
    assert second.model.config == run.config(2)
    assert second.history.groupby(["fold", "seed"]).ngroups == 2
    assert repr(second).count("\n") == 0


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "rank1"),
        ({"rank": 3}, "rank3"),
        ({"protocol": "holdout"}, "rank1"),
        ({"protocol": "kfold"}, "rank1-kfold"),
        ({"protocol": "kfold", "num_folds": 5}, "rank1-kfold"),
        ({"protocol": "kfold", "num_folds": 3}, "rank1-kfold-3folds"),
        ({"num_folds": 3}, "rank1"),  # which holdout has no use for
        ({"retrain_seeds": 10}, "rank1"),
        ({"protocol": "kfold", "retrain_seeds": 10}, "rank1-kfold-10seeds"),
        ({"retrain_epochs": 7, "retrain_seeds": 3}, "rank1-7epochs-3seeds"),
        ({"matmul_precision": "bfloat16"}, "rank1-bfloat16"),
    ],
)
@pytest.mark.usefixtures("quick")
def test_no_two_requests_meet_in_one_folder(folder, options, name):
    assert retrain_run(RetrainOptions(str(folder), **options)).path == folder / "retrained" / name


@pytest.mark.usefixtures("never")
def test_the_same_request_does_nothing(folder, capsys):
    before = (folder / "manifest.json").read_bytes()
    assert ask(folder).config == read_run(folder).config(2)
    assert f"{folder}/retrained/{NAME} already has this" in capsys.readouterr().out
    # What the sweep has retrained already is not trained again either.
    assert retrain_run(RetrainOptions(str(folder), retrain_epochs=1)).path == folder / "best"
    assert (folder / "manifest.json").read_bytes() == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("quick")
def test_a_killed_retraining_leaves_nothing_partial(folder, monkeypatch):
    saved, number, killed = folder.with_name("saved"), 0, True
    shutil.copytree(folder, saved)
    while killed:
        shutil.rmtree(folder)
        shutil.copytree(saved, folder)
        number, killed = number + 7, False
        with monkeypatch.context() as patch:
            end_at(number, patch, kill)
            try:
                ask(folder, rank=3)
            except Killed:
                killed = True
        third = read_run(folder).config(3)
        for name, found in read_run(folder).retrainings.items():
            assert len(list(found.path.iterdir())) == 10, (number, name)
        assert ask(folder, rank=3).config == third
        assert read_run(folder).retrainings["rank3-2epochs-2seeds"].config == third
        assert not list(folder.rglob("*.tmp"))
    assert number > 25


@pytest.mark.usefixtures("quick")
def test_a_damaged_retraining_is_named_and_mended(folder):
    path = folder / "retrained" / NAME
    flip(path / "history.csv")
    assert len(read_run(folder).results) == 6  # the run itself is whole
    with pytest.raises(InputError, match=r"2seeds.history\.csv is missing or damaged"):
        _ = read_run(folder).retrainings
    ask(folder)
    assert set(read_run(folder).retrainings) == {"best", path.name}
    shutil.rmtree(path)
    assert set(read_run(folder).retrainings) == {"best"}


@pytest.mark.usefixtures("quick")
def test_a_damaged_retraining_is_in_no_others_way(folder):
    flip(folder / "retrained" / NAME / "history.csv")
    saved = ask(folder, rank=3)
    assert saved.path == folder / "retrained" / "rank3-2epochs-2seeds"


@pytest.mark.usefixtures("quick")
def test_a_folder_of_something_else_is_not_replaced(folder):
    mine = folder / "retrained" / "rank3-2epochs-2seeds"
    mine.mkdir()
    assert ask(folder, rank=3).path == mine  # an empty one is used
    edit_manifest(folder, lambda m: m["retrainings"][mine.name].update(epochs=3))
    with pytest.raises(
        InputError, match=r"seeds is not a retraining with these settings; move it away"
    ):
        ask(folder, rank=3)
    edit_manifest(folder, lambda m: m["retrainings"].pop(mine.name))
    shutil.rmtree(mine)
    mine.mkdir()
    (mine / "notes.txt").write_text("precious")
    with pytest.raises(
        InputError, match=r"seeds is not a retraining with these settings; move it away"
    ):
        ask(folder, rank=3)
    assert (mine / "notes.txt").read_text() == "precious"


@pytest.mark.usefixtures("never")
def test_a_run_whose_best_was_replaced_by_an_older_version_stays(folder, capsys):
    run = RunDir(folder)
    shutil.rmtree(run.best)
    os.replace(run.retrained / NAME, run.best)
    run.retrained.rmdir()
    manifest = run.read_manifest()
    manifest.retraining = manifest.retrainings.pop(NAME)
    run.record(manifest, "best", f"retrained/{NAME}")
    assert "retrainings" not in (folder / "manifest.json").read_text()
    before = digest(folder / "best")
    again = sweep(folder)
    assert digest(folder / "best") == before
    assert again.best.config == again.config(2)
    assert f"--workdir={folder} --retrain_epochs=1" in capsys.readouterr().out


@pytest.mark.usefixtures("quick")
def test_a_run_without_a_best_says_what_there_is(tmp_path):
    path = tmp_path / "run"
    sweep(path, retrain_epochs=0)
    with pytest.raises(
        InputError, match=f"make one of a finished run with: .*retrain --workdir={path}"
    ):
        load_model(path)
    made = retrain_run(RetrainOptions(str(path)))
    assert made.path == path / "retrained" / "rank1"
    for wrong in (path, path / "retrained"):
        with pytest.raises(InputError, match=f"give one of {made.path}"):
            load_model(wrong)
    assert list(read_run(path).retrainings) == ["rank1"]
    text = words_of(read_run(path).report().read_text())
    assert "The sweep retrained no model" in text
    assert "retrained/rank1" in text


@pytest.mark.usefixtures("quick")
def test_the_report_lists_all_retrainings(folder):
    ask(folder, seeds=1, protocol="assignment")
    run = read_run(folder)
    text = lines_of(run.report().read_text())
    lines = text.split("### All retrainings")[1].split("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line][1:]
    assert [row[0] for row in rows] == list(run.retrainings)
    for row, saved in zip(rows, run.retrainings.values(), strict=True):
        accuracy = saved.history[saved.history["kept"]]["test_accuracy"]
        assert row[5].startswith(f"{accuracy.mean():.3f}")
        assert (run.run.path / row[6].strip("`")).is_dir()


@pytest.mark.parametrize("name", ["../../etc", ".x", "a/b", "", "a\n"])
def test_a_strangers_name_leads_nowhere(folder, name):
    entry = msgspec.to_builtins(RunDir(folder).read_manifest().retraining)
    edit_manifest(folder, lambda m: m.update(retrainings={name: entry}))
    with pytest.raises(InputError, match="not a valid manifest"):
        read_run(folder)
