import os
import subprocess
import sys

import numpy as np
import pytest
from commands import ask, ask_for_groups, get_json, served, served_projector
from conftest import make_sweep
from finished_runs import random_history
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gtzan_jax.metrics import METRICS
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.views.tensorboard import run_name, write_projector, write_runs

SWEEP = load_sweep("assignment", ["epochs=2"])
USED = PROTOCOLS["assignment"].metrics

LAYERS = ["num_units2", "num_units3", "dropout2", "dropout3"]
RATES = {"learning_rate": [0.1, 1e-05], "batch_size": [16, 32]}
SWEEPS = {
    "one layer": (dict.fromkeys(LAYERS) | RATES, {}),
    "four layers": ({"num_units4": [4], "dropout4": [0.5]} | RATES, {}),
    "kfold": ({}, {"protocol": "kfold", "num_folds": 3, "num_seeds": 2}),
}


def make(name):
    axes, changes = SWEEPS[name]
    if axes:
        changes = changes | {"learning_rates": None, "batch_size": None}
    return make_sweep(axes=axes, **changes)


def test_hparams_page_shows_every_run(tmp_path):
    history = random_history(SWEEP)
    write_runs(tmp_path, SWEEP, history, list(SWEEP.places)[::-1])  # the last is best
    with served(tmp_path) as address:
        groups = ask_for_groups(address, 768, SWEEP.axes, USED)
        experiment = ask(address, "experiment")
        assert "." not in get_json(f"{address}/data/runs")
    assert len(groups) == 768
    columns = [info["name"] for info in experiment["hparamInfos"]]
    assert sorted(columns) == sorted(SWEEP.axes)
    domains = {info["name"]: info["domainDiscrete"] for info in experiment["hparamInfos"]}
    assert domains["optimizer"] == ["adam", "rmsprop", "sgd"]
    metrics = {f"metrics/{metric}": metric for metric in USED}
    assert {i["name"]["tag"]: i["displayName"] for i in experiment["metricInfos"]} == metrics
    for group in groups:
        (session,) = group["sessions"]
        place = len(groups) - int(session["name"][:4])
        assert group["hparams"] == dict(SWEEP.configs[place])
        shown = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
        final = dict(zip(METRICS, history.figures[place, -1].tolist(), strict=True))
        assert shown == pytest.approx({tag: final[metric] for tag, metric in metrics.items()})


@pytest.mark.parametrize("name", SWEEPS)
def test_any_axes_folds_and_seeds_have_their_columns_and_groups(name, tmp_path):
    sweep = make(name)
    metrics = PROTOCOLS[sweep.protocol].metrics
    history = random_history(sweep, sweep.num_seeds)
    write_runs(tmp_path, sweep, history, list(sweep.places))
    num_runs = len(history.trials) // sweep.num_configs
    with served(tmp_path) as address:
        groups = ask_for_groups(address, sweep.num_configs, sweep.axes, metrics, num_runs)
    assert [len(group["sessions"]) for group in groups] == [num_runs] * sweep.num_configs
    configs = [dict(config) for config in sweep.configs]
    assert all(group["hparams"] in configs for group in groups)
    assert {value["name"]["tag"] for value in groups[0]["metricValues"]} == {
        f"metrics/{metric}" for metric in metrics
    }


@pytest.mark.parametrize(
    ("protocol", "num_seeds", "folders"),
    [
        ("assignment", 1, ["."]),
        ("holdout", 2, ["seed0", "seed1"]),
        ("kfold", 1, ["fold0", "fold1"]),
        ("kfold", 2, ["fold0/seed0", "fold0/seed1", "fold1/seed0", "fold1/seed1"]),
    ],
)
def test_a_run_folder_names_fold_and_seed_where_there_are_several(
    tmp_path, protocol, num_seeds, folders
):
    sweep = make_sweep(protocol=protocol, num_folds=2)
    write_runs(tmp_path, sweep, random_history(sweep, num_seeds), list(sweep.places)[:1])
    run = tmp_path / run_name(1, sweep.configs[0])
    found = [path.parent.relative_to(run).as_posix() for path in sorted(run.rglob("*events*"))]
    assert found == folders


def test_curves_are_those_of_the_history(tmp_path):
    history = random_history(SWEEP)
    write_runs(tmp_path, SWEEP, history, list(SWEEP.places))
    events = EventAccumulator(os.fspath(tmp_path / run_name(301, SWEEP.configs[300])))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == sorted(f"metrics/{metric}" for metric in USED)
    for metric in USED:
        scalars = events.Scalars(f"metrics/{metric}")
        assert [scalar.step for scalar in scalars] == [1, 2]
        np.testing.assert_array_equal(
            np.float32([scalar.value for scalar in scalars]),
            history.figures[300, :, METRICS.index(metric)],
        )


def test_only_so_many_runs_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr("gtzan_jax.views.tensorboard.MAX_RUNS", 5)
    sweep = make_sweep()
    order = list(sweep.places)[::-1]
    write_runs(tmp_path, sweep, random_history(sweep, 2), order)
    names = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert names == [run_name(1, sweep.configs[11]), run_name(2, sweep.configs[10])]


def test_neither_pytorch_nor_tensorflow_is_imported():
    code = (
        "import sys, gtzan_jax.views.tensorboard\n"
        "assert not {'torch', 'tensorflow'} & set(sys.modules), 'two seconds too long'\n"
        "from tensorboardX import crc32c\n"
        "assert crc32c.crc32c is not crc32c._crc32c, 'checksums are computed in Python'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_projector_gets_points_and_names(tmp_path):
    points = np.random.default_rng(0).normal(size=(30, 4))
    names = [f"<script>{row}\t\r\n\x85é" for row in range(30)]
    columns = {"genre": ["blues", "rock\n"] * 15, "track": names}
    write_projector(tmp_path / "log", 'some "points": ü', points, columns)
    with served_projector(tmp_path / "log") as (found, metadata):
        np.testing.assert_allclose(found, points, rtol=1e-6)
        assert metadata[0] == ["genre", "track"]
        assert metadata[1:3] == [["blues", "<script>0    é"], ["rock ", "<script>1    é"]]
        assert len(metadata) == 1 + 30


def test_projector_needs_as_many_names_as_columns_say(tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        write_projector(tmp_path, "points", np.eye(3), {"genre": ["a"] * 3, "track": ["b"] * 2})
