import dataclasses
import io
import os

import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep
from finished_runs import random_history
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.ranking import results_table
from gtzan_jax.space.config import Config
from gtzan_jax.tables.protocols import PROTOCOLS, make_splits
from gtzan_jax.tables.sources import load_table
from gtzan_jax.views import overview, plots

ON_SONGS = [name for name, protocol in PROTOCOLS.items() if not protocol.leak]


def write(folder, sweep, history, retrained=True):
    table = load_table("sample")
    splits = make_splits(table, sweep.protocol, 0, sweep.num_folds)
    curves = pd.DataFrame(
        {"fold": 0, "seed": 0, "epoch": [1, 2, 3], "kept": [False, False, True]}
        | dict.fromkeys(METRICS, 0.5)
    )
    drawn = plots.confusion_matrix(np.eye(2, dtype=int), "ab", "note")
    of_retraining = (curves, {"accuracy": plots.image_of(drawn)}) if retrained else (None, {})
    results = results_table(sweep, history)
    overview.write(folder, sweep, splits, results, history, *of_retraining)


def read(folder):
    events = EventAccumulator(os.fspath(folder))
    events.Reload()
    return events


def texts_of(folder):
    """Returns the texts of the summary by their tags."""
    summary = read(folder / "summary")
    return {
        tag: summary.Tensors(tag)[0].tensor_proto.string_val[0].decode()
        for tag in summary.Tags()["tensors"]
    }


def test_it_holds_what_to_see_first(tmp_path):
    sweep = make_sweep()
    history = random_history(sweep, 2)
    history.figures[11, 1, 0] = np.nan  # a diverged trial must not spoil the means
    write(tmp_path, sweep, history)
    runs = {os.fspath(p.parent.relative_to(tmp_path)) for p in tmp_path.rglob("*events*")}
    means = {f"mean/{axis}={v}" for axis, values in sweep.varying.items() for v in values}
    assert {"summary", "retrained", *means} <= runs
    assert sum(run.startswith("best/") for run in runs) == 10
    assert len(runs) == 2 + 10 + 2 + 2 + 3
    summary = read(tmp_path / "summary")
    names = ["effects", "retrained_accuracy"]
    assert sorted(summary.Tags()["images"]) == [f"figures/{name}" for name in names]
    image = summary.Images("figures/effects")[0]
    with Image.open(io.BytesIO(image.encoded_image_string)) as opened:
        assert (opened.format, opened.size) == ("PNG", (image.width, image.height))
    diverged = history.trials[11].config_id
    adam = [config["optimizer"] == "adam" and config.id != diverged for config in sweep.configs]
    figures = history.by_config(history.figures)[adam, :, -1, METRICS.index("test_accuracy")]
    mean = read(tmp_path / "mean" / "optimizer=adam").Scalars("metrics/test_accuracy")
    assert mean[-1].value == pytest.approx(figures.mean(), rel=1e-5)


@pytest.mark.parametrize("protocol", ON_SONGS)
def test_the_curves_are_those_of_the_protocol(tmp_path, protocol):
    sweep = make_sweep(protocol=protocol, num_folds=2)
    write(tmp_path, sweep, random_history(sweep))
    for run in ("retrained", "mean/activation=relu"):
        scalars = read(tmp_path / run).Tags()["scalars"]
        assert sorted(scalars) == sorted(f"metrics/{name}" for name in PROTOCOLS[protocol].metrics)


def test_one_config_has_no_means(tmp_path):
    axes = {"num_units1": [8], "activation": ["relu"], "optimizer": ["adam"]}
    sweep = make_sweep(axes=axes)
    history = random_history(sweep)
    assert overview.mean_curves(sweep, history) == {}
    write(tmp_path, sweep, history, retrained=False)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["best", "summary"]
    about = texts_of(tmp_path)["about"]
    assert "`best/RANK`: the best configuration" in about
    assert "`mean" not in about
    assert "`retrained" not in about


@pytest.mark.parametrize("kind", ["halving", "one_at_a_time"])
def test_a_search_that_gives_configs_up_has_no_means(kind):
    sweep = make_sweep(search={"kind": kind}, epochs=4, protocol="holdout")
    history = random_history(sweep)
    assert {"activation=relu", "activation=leaky_relu"} <= set(overview.mean_curves(sweep, history))
    reached = np.where(np.arange(len(history.trials)) < 2, 4, 1)
    history = dataclasses.replace(history, reached=reached, last=reached, best=reached)
    assert overview.mean_curves(sweep, history) == {}


def test_means_are_of_any_axes():
    sweep = make_sweep(axes={"learning_rate": [0.1, 1e-05]}, learning_rates=None)
    history = random_history(sweep)
    curves = overview.mean_curves(sweep, history)
    assert {"learning_rate=0.1", "learning_rate=1e-05"} <= set(curves)
    chosen = [Config.of(**config).get("learning_rate") == 0.1 for config in sweep.configs]
    expected = history.by_config(history.figures)[chosen].mean(axis=(0, 1))
    np.testing.assert_allclose(curves["learning_rate=0.1"], expected, rtol=1e-6)


def test_texts_tell_the_runs(tmp_path):
    sweep = make_sweep()
    write(tmp_path, sweep, random_history(sweep))
    about = texts_of(tmp_path)["about"]
    for run in ("best/RANK`: the 10 best", "mean/NAME=VALUE`: ", "retrained`: the best"):
        assert run in about
