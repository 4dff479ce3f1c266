import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gtzan_jax import plots
from gtzan_jax.rundir import results_table
from gtzan_jax.space import HYPERPARAMETERS, load_sweep
from gtzan_jax.tensorboard import run_name, write_overview, write_projector, write_runs
from gtzan_jax.training import METRICS

SWEEP = load_sweep("assignment", ["epochs=2"])


def random_history(num_seeds=1):
    shape = (SWEEP.num_configs, num_seeds, SWEEP.epochs, 4)
    return np.random.default_rng(0).uniform(0.1, 0.9, shape).astype(np.float32)


@contextlib.contextmanager
def served(logdir):
    """Runs TensorBoard on a log directory and yields its address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir)]
    command += ["--port", "0", "--load_fast", "false", "--host", "127.0.0.1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr:
                if found := re.search(r"http://\S+:\d+", line):
                    yield found[0]
                    break
            else:
                pytest.fail("TensorBoard did not start")
        finally:
            process.kill()


def ask(address, route, **body):
    """Asks the HParams plugin."""
    request = urllib.request.Request(
        f"{address}/data/plugin/hparams/{route}",
        json.dumps({"experimentName": ""} | body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def ask_for_groups(address, count):
    """Asks for all session groups, again while TensorBoard is still reading the files."""
    metrics = [{"name": {"group": "", "tag": metric}} for metric in METRICS]
    params = [{"metric": metric["name"], "order": "ORDER_UNSPECIFIED"} for metric in metrics]
    hparams = [{"hparam": name} for name in HYPERPARAMETERS]
    for _ in range(60):
        answer = ask(
            address,
            "session_groups",
            startIndex=0,
            sliceSize=2000,
            colParams=[*hparams, *params],
            allowedStatuses=["STATUS_SUCCESS"],
        )
        groups = answer.get("sessionGroups", [])
        if len(groups) == count and all(len(g.get("metricValues", [])) == 4 for g in groups):
            break
        time.sleep(0.5)
    return groups


@contextlib.contextmanager
def served_projector(logdir):
    """Runs TensorBoard and yields what its projector gets: the points, the rows of metadata."""
    with served(logdir) as address:
        plugin = f"{address}/data/plugin/projector"
        for _ in range(60):  # active once TensorBoard has looked into the folder
            if get_json(f"{address}/data/plugins_listing")["projector"]["enabled"]:
                break
            time.sleep(0.5)
        else:
            pytest.fail("the projector does not show up")
        (run,) = get_json(f"{plugin}/runs")
        (embedding,) = get_json(f"{plugin}/info?run={run}")["embeddings"]
        query = urllib.parse.urlencode({"run": run, "name": embedding["tensorName"]})
        with urllib.request.urlopen(f"{plugin}/tensor?{query}", timeout=60) as answer:
            points = np.frombuffer(answer.read(), np.float32).reshape(embedding["tensorShape"])
        with urllib.request.urlopen(f"{plugin}/metadata?{query}", timeout=60) as answer:
            lines = answer.read().decode().removesuffix("\n").split("\n")
        yield points, [line.split("\t") for line in lines]


def get_json(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def test_hparams_page_shows_every_run(tmp_path):
    history = random_history()
    write_runs(tmp_path, SWEEP, [0], history, range(SWEEP.num_configs))
    with served(tmp_path) as address:
        groups = ask_for_groups(address, 768)
        experiment = ask(address, "experiment")
    assert len(groups) == 768
    columns = [info["name"] for info in experiment["hparamInfos"]]
    assert sorted(columns) == sorted(HYPERPARAMETERS)
    domains = {info["name"]: info["domainDiscrete"] for info in experiment["hparamInfos"]}
    assert domains["optimizer"] == ["adam", "sgd", "rmsprop"]
    assert {info["name"]["tag"] for info in experiment["metricInfos"]} == set(METRICS)
    configs = SWEEP.configs()
    for group in groups:
        (session,) = group["sessions"]
        config_id = int(session["name"][:4])
        config = configs[config_id]
        assert group["hparams"] == {name: getattr(config, name) for name in HYPERPARAMETERS}
        shown = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
        expected = dict(zip(METRICS, history[config_id, 0, -1].tolist(), strict=True))
        assert shown == pytest.approx(expected)


def test_seeds_of_a_config_form_a_group(tmp_path):
    sweep = load_sweep("smoke", ["epochs=2"])
    history = np.random.default_rng(0).random((24, 3, 2, 4)).astype(np.float32)
    write_runs(tmp_path, sweep, [5, 6, 7], history, range(sweep.num_configs))
    with served(tmp_path) as address:
        groups = ask_for_groups(address, 24)
    assert [len(group["sessions"]) for group in groups] == [3] * 24


def test_curves_are_those_of_the_history(tmp_path):
    history = random_history()
    write_runs(tmp_path, SWEEP, [0], history, range(SWEEP.num_configs))
    events = EventAccumulator(os.fspath(tmp_path / run_name(300, SWEEP.configs()[300])))
    events.Reload()
    for column, metric in enumerate(METRICS):
        scalars = events.Scalars(metric)
        assert [scalar.step for scalar in scalars] == [1, 2]
        np.testing.assert_array_equal(
            np.float32([scalar.value for scalar in scalars]), history[300, 0, :, column]
        )


def test_overview_holds_what_to_see_first(tmp_path):
    history = random_history()
    history[5, 0, 1, 0] = np.nan  # a diverged member must not spoil the means
    results = results_table(SWEEP, 1, history)
    figure = plots.accuracy_by_value(results, SWEEP.axes, "Data: none")
    texts = {"results": "| a |\n| --- |\n| 1 |"}
    write_overview(tmp_path, SWEEP, results, history, texts, {"by_value": figure}, history[0, 0])
    runs = {os.fspath(p.parent.relative_to(tmp_path)) for p in tmp_path.rglob("events*")}
    top = sorted(run for run in runs if run.startswith("top/"))
    assert len(top) == 10
    best = SWEEP.configs()[results["config_id"][0]]
    assert top[0] == f"top/01_{best.name}"
    values = sum(len(values) for values in SWEEP.axes.values())
    assert len([run for run in runs if run.startswith("mean/")]) == values == 19
    root = EventAccumulator(os.fspath(tmp_path))
    root.Reload()
    assert root.Tags()["images"] == ["figures/by_value"]
    assert root.Images("figures/by_value")[0].encoded_image_string.startswith(b"\x89PNG")
    assert root.Tags()["tensors"] == ["results/text_summary"]
    mean = EventAccumulator(os.fspath(tmp_path / "mean" / "optimizer=adam"))
    mean.Reload()
    adam = [c.optimizer == "adam" and i != 5 for i, c in enumerate(SWEEP.configs())]
    expected = history[adam, 0, -1, 3].mean()
    assert mean.Scalars("test_accuracy")[-1].value == pytest.approx(expected, rel=1e-5)


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
