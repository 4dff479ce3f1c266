"""Sweeps on a table of segments, rightly divided and leaky: everything that they write."""

import dataclasses
import re
import shutil

import msgspec
import numpy as np
import pandas as pd
import pytest
from conftest import make_segments, make_sweep, slow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gtzan_jax
from gtzan_jax import load_model
from gtzan_jax.analysis.between_runs import compare
from gtzan_jax.jobs.comparing import markdown
from gtzan_jax.jobs.reporting import leak_of
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.tables.dividing import groups_of
from gtzan_jax.tables.folds import judged_rows
from gtzan_jax.tables.protocols import LEAK, make_splits
from gtzan_jax.views.plots.style import GREY, RED

TABLE = make_segments(80)
SWEEP = {"epochs": 2, "batch_size": 16, "axes": {"num_units1": [8], "activation": ["relu"]}}


pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture(scope="module", params=["holdout", slow("leaky_segments")])
def protocol(request):
    return request.param


@pytest.fixture(scope="module")
def run(protocol, tmp_path_factory):
    sweep = make_sweep(**SWEEP, protocol=protocol)
    folder = tmp_path_factory.mktemp("run") / "run"
    options = {"platform": "cpu", "retrain_epochs": 2, "retrain_seeds": 2, "num_seeds": 2}
    made = gtzan_jax.run_sweep(sweep, data=TABLE, workdir=folder, **options)
    made.report()
    return made


def test_the_figures_are_by_song_and_by_segment(run, protocol):
    parts = ["test"] if protocol == "leaky_segments" else ["validation", "test"]
    segments = [f"{part}_segment_accuracy" for part in parts]
    for frame in (run.results, run.history, pd.read_csv(run.run.trials_path), run.retrained):
        assert [name for name in frame if name.endswith("_segment_accuracy")] == segments
        assert (frame[segments].std() > 0).all()
    assert run.results[f"{parts[0]}_accuracy"].is_monotonic_decreasing
    assert (run.manifest.data.tracks, run.manifest.data.songs) == (241, 80)
    assert "241 segments of 80 songs" in run.note


def test_the_predictions_are_those_of_the_songs(run, protocol):
    [fold] = make_splits(TABLE, protocol, 0, 5).folds
    rows = judged_rows(TABLE, fold.test)
    np.testing.assert_array_equal(run.predictions.row, rows)
    np.testing.assert_array_equal(run.predictions.group, groups_of(TABLE)[rows])
    np.testing.assert_allclose(run.predictions.correct.mean(axis=2), run.accuracy, rtol=1e-6)
    confusion = pd.read_csv(run.run.best / "confusion.csv").to_numpy()
    assert confusion.sum() == 2 * len(rows)
    last = run.retrained[run.retrained["epoch"] == 2]["test_accuracy"]
    assert np.trace(confusion) / confusion.sum() == pytest.approx(last.mean())


def test_the_calibration_is_that_of_the_model_that_is_kept(run, protocol):
    songs = pd.read_csv(run.run.best / "calibration.csv")
    model = dataclasses.replace(load_model(run.run.path), calibration=None)
    [fold] = make_splits(TABLE, protocol, 0, 5).folds
    for part in ("validation", "test"):
        rows, said = getattr(fold, part), songs[songs["part"] == part]
        logs = pd.DataFrame(np.log(model.predict_matrix(TABLE.x[rows]).astype(np.float64)))
        means = np.exp(logs.groupby(TABLE.songs[rows], sort=False).mean().to_numpy())
        found = means.max(axis=1) / means.sum(axis=1)
        np.testing.assert_allclose(said["probability"], found, rtol=1e-4)


def test_tensorboard_has_both_figures(run):
    runs = EventAccumulator(str(next(path for path in run.run.tensorboard.glob("*/*"))))
    runs.Reload()
    assert {"metrics/test_accuracy", "metrics/test_segment_accuracy"} <= set(runs.Tags()["scalars"])


def test_a_leak_is_told_wherever_figures_are(run, protocol):
    leaky = protocol == "leaky_segments"
    page = (run.run.path / "report.html").read_text()
    warning = re.search(rf'<p class="warning" role="alert">\s*{LEAK}', page)
    assert bool(warning) == leaky
    trials = pd.read_csv(run.run.trials_path)
    for table in (run.results, trials, run.scores):
        assert ("leak" in table) == leaky
    assert (LEAK in run.note) == leaky
    overview = b"".join(path.read_bytes() for path in run.run.overview.rglob("events*"))
    assert (LEAK.encode() in overview) == leaky


def test_a_retraining_that_leaks_is_told_apart_from_its_sweep(run, protocol):
    other = "holdout" if protocol == "leaky_segments" else "leaky_segments"
    replace = msgspec.structs.replace
    retraining = replace(run.manifest.retraining, protocol=other)
    found = dataclasses.replace(run, manifest=replace(run.manifest, retraining=retraining))
    of = "the retrained networks" if other == "leaky_segments" else "the sweep"
    assert leak_of(found).startswith(f"{LEAK}. No figure of {of} says anything")
    assert leak_of(run).startswith(f"{LEAK}. No figure here says") == (protocol == "leaky_segments")


def test_a_comparison_names_the_run_that_leaks(run, protocol, tmp_path):
    note = f"- run: {LEAK}: its figures say nothing about songs outside the training set"
    twin = dataclasses.replace(run, run=RunDir(shutil.copytree(run.run.path, tmp_path / "other")))
    text = " ".join(markdown(compare([twin, run])).split())
    assert (note in text) == (protocol == "leaky_segments")


def test_a_caption_that_tells_of_a_leak_is_red(run, protocol):
    from gtzan_jax.views.plots.style import new_figure

    caption = new_figure(2, 2, note=run.note)._supxlabel
    assert caption.get_color() == (RED if protocol == "leaky_segments" else GREY)


def test_a_terminal_reads_of_the_leak_before_and_beside_the_figures(capfd, tmp_path, protocol):
    sweep = make_sweep(**SWEEP, protocol=protocol)
    gtzan_jax.run_sweep(
        sweep, data=TABLE, workdir=tmp_path / "run", platform="cpu", retrain_epochs=0
    )
    printed = capfd.readouterr()
    assert printed.err.count(LEAK) == (protocol == "leaky_segments")
    assert ("LEAKS: its accuracies are too high" in printed.out) == (protocol == "leaky_segments")
    assert "\033" not in printed.err  # no terminal
    assert "by segment" in printed.out
