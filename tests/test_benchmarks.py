import dataclasses
import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from conftest import ROOT, make_arrays, make_fold, make_table, without

from benchmarks import report
from benchmarks.__main__ import measure_round, present
from benchmarks.context import Context, csv_of
from benchmarks.floor import bytes_of_sweep, flops_of_sweep
from benchmarks.grid import batches, project, stratified, the_sweep
from benchmarks.peer import _fastest
from benchmarks.processes import run_module
from benchmarks.rows import QUICK, ROWS
from benchmarks.table import load_arrays
from benchmarks.targets import COMPARED, FIGURES, Figure
from gtzan_jax.errors import RunError
from gtzan_jax.tables.folds import Sizes
from gtzan_jax.tables.sources import load_table
from gtzan_jax.tables.splits import random_split

CIRCUMSTANCES = {"platform": "cpu", "data": "Data: made up", "missing": ["Keras: keras is …"]}
PARTS = {"import_s": 1.0, "load_s": 0.5, "compile_s": 5.0, "train_s": 8.0, "write_s": 1.4}
PARTS |= {"retrain_s": 2.0}


def made_up_round(cold: float, batched: float, steady: float) -> dict:
    ours = PARTS | {
        "start_s": 1.5,
        "total_s": 15.9,
        "wall_s": 16.0,
        "cpu_s": 18.0,
        "peak_rss_bytes": 1.2e9,
    }
    rates = {"flops": 8.6e11, "flops_per_s": 2e11, "bytes": 6.8e10, "bytes_per_s": 2e10}
    batched_answer = {"epochs": 10, "workers": 2, "threads": 1, "best_accuracy": 0.7}
    return {
        "main_cold": ours | {"seconds": cold + 2},
        "cold": ours | {"seconds": cold},
        "steady": rates | {"seconds": steady, "floor_s": 3.0, "bytes_seconds": 3.4},
        "torch_batched": batched_answer | {"seconds": batched, "training_s": batched - 5},
    }


def test_ratios_are_taken_within_a_round_and_then_their_median():
    # The second round met a machine half as fast: the ratios do not mind.
    rounds = [made_up_round(10, 40, 6), made_up_round(20, 80, 12), made_up_round(10, 30, 6)]
    record = report.record_of(rounds, **CIRCUMSTANCES)
    figure = record["figures"]["torch_batched"]
    assert (figure["median"], figure["min"], figure["max"]) == (4.0, 3.0, 4.0)
    assert figure["verdict"] == "stretch"
    assert record["figures"]["floor"]["median"] == 0.5
    assert record["figures"]["floor"]["verdict"] == "met"
    assert record["rows"]["cold"] == {"median": 10, "min": 10, "max": 20, "cpu_s": 18.0}
    assert record["breakdown"]["main_cold"]["compile"] == 5.0
    assert record["breakdown"]["main_warm"] == {}
    assert record["figures"]["main"]["max"] == 1.2
    assert record["figures"]["retraining"]["median"] == 0.25
    assert "keras" not in record["figures"]


def test_what_one_row_takes_more_than_another_is_a_figure():
    figure = Figure("…", "seconds", ("warm", "train_s"), None, 0.5, 0.2, less=("steady", "seconds"))
    measured = {"warm": {"train_s": 6.25}, "steady": {"seconds": 6.0}}
    assert figure.in_round(measured) == 0.25
    assert figure.in_round({"warm": measured["warm"]}) is None
    assert (figure.verdict(0.1), figure.verdict(0.25), figure.verdict(0.6)) == (
        "stretch", "met", "missed",
    )  # fmt: skip


def test_the_tables_show_every_row_figure_and_note():
    record = report.record_of([made_up_round(10, 40, 6)], **CIRCUMSTANCES)
    text = report.markdown(record)
    assert "| ours, cold | 10.0 | 10.0–10.0 | 1.00 | 18.0 |" in text
    assert "| PyTorch, batched by shape group and optimizer | 40.0 | 40.0–40.0 | 4.00 | – |" in text
    share = "| steady, share of the floor | 50 % | 50 % … 50 % | 50 % | 65 % | met |"
    assert share in text
    assert "| compile | 5.0 s |" in text
    assert "Not measured: Keras: keras is …" in text
    assert json.loads(json.dumps(record)) == record


def test_a_record_of_nothing_is_a_table_still():
    text = report.markdown(report.record_of([{}], **CIRCUMSTANCES))
    assert "## Figures" not in text


def test_the_comparison_names_what_was_and_what_is():
    then = report.record_of([made_up_round(10, 40, 6)], **CIRCUMSTANCES)
    now = report.record_of([made_up_round(10, 30, 4)], **CIRCUMSTANCES)
    lines = report.comparison(now, then)
    assert lines[0].endswith("recorded 1 : 4.00, now 1 : 3.00")
    assert lines[1] == "steady, share of the floor: recorded 50 %, now 75 %"
    assert report.comparison(now, {"figures": {}})[1].endswith("recorded nothing, now 75 %")


@pytest.mark.parametrize(
    ("at_least", "value", "verdict"),
    [
        (True, 3.0, "stretch"),
        (True, 2.0, "met"),
        (True, 1.9, "missed"),
        (False, 1.0, "stretch"),
        (False, 2.0, "met"),
        (False, 2.1, "missed"),
    ],
)
def test_verdicts(at_least, value, verdict):
    stretch = 3.0 if at_least else 1.0
    figure = Figure("…", "1 to", ("a", "b"), None, 2.0, stretch, at_least)
    assert figure.verdict(value) == verdict
    assert Figure("…", "1 to", ("a", "b")).verdict(value) == ""


def test_figures_and_rows_fit_together():
    for figure in FIGURES.values():
        assert figure.of[0] in ROWS
        assert all(place[0] in ROWS for place in (figure.over, figure.less) if place)
        assert figure.show(1.0) != figure.show(None) == "–"
    assert set(QUICK) <= set(ROWS)
    assert set(COMPARED) <= set(FIGURES)
    # What --quick measures suffices for what it compares.
    assert {place[0] for key in COMPARED for place in (FIGURES[key].of, FIGURES[key].over)} == {
        *QUICK
    }


def test_the_sample_takes_every_optimizer_in_every_shape_group():
    sweep = the_sweep()
    sample = stratified(sweep)
    strata = Counter((config.units, config["optimizer"]) for config in sample)
    assert len(strata) == len(sample) == 24
    for axis, values in sweep.axes.items():
        assert {config[axis] for config in sample} == set(values)
    assert len(set(stratified(sweep, 2))) == 48


def test_a_batch_shares_shape_and_optimizer():
    sweep = the_sweep()
    groups = batches(sweep)
    assert [len(group) for group in groups] == [32] * 24
    assert all(len({(c.units, c["optimizer"]) for c in group}) == 1 for group in groups)
    assert {config for group in groups for config in group} == set(sweep.configs)


def test_projection_weighs_the_optimizers_alike():
    seconds = {"adam": [1.0, 3.0], "sgd": [1.0], "rmsprop": [3.0]}
    assert project(seconds, the_sweep()) == 256 * 6.0


def test_peers_get_the_table_that_we_train_on(tmp_path):
    table = load_table("sample")
    arrays = load_arrays(str(csv_of(table, tmp_path)))
    [ours] = make_arrays(table, random_split(1000, 0))
    np.testing.assert_allclose(arrays.x_train, ours.x_train, atol=1e-4)
    np.testing.assert_allclose(arrays.x_test, ours.x_eval, atol=1e-4)
    np.testing.assert_array_equal(arrays.y_train, ours.y_train)
    np.testing.assert_array_equal(arrays.y_test, ours.y_eval)


def test_the_floor_counts_the_assignment():
    sizes = Sizes(700, 300, 57, 10)
    assert flops_of_sweep(the_sweep(), sizes) == pytest.approx(0.858e12, rel=1e-3)
    # 220 steps; on average 25,170 weights and biases of four bytes, two arrays, both ways.
    assert bytes_of_sweep(the_sweep(), sizes) == pytest.approx(68e9, rel=1e-2)


def test_the_fastest_variant_is_tried_for_once(monkeypatch, tmp_path):
    tried = []

    def run(_module, _flags, env):
        tried.append(env)
        seconds = {"a": 2.0, "b": 1.0}[env["NAME"]]
        return type("Finished", (), {"answer": {"seconds": {"adam": [seconds]}}})

    monkeypatch.setattr("benchmarks.peer.run_module", run)
    context = Context(tmp_path / "table.csv", tmp_path)
    variants = [{"env": {"NAME": name}} for name in "ab"]
    for _ in range(2):
        assert _fastest(context, "peer", variants, [], "seconds") == variants[1]
    assert len(tried) == 2


def test_a_peer_that_is_not_installed_is_skipped_with_the_remedy(monkeypatch):
    row = dataclasses.replace(ROWS["keras_loop"], needs=("no_such_module_here",))
    monkeypatch.setitem(ROWS, "keras_loop", row)
    can, cannot = present(["cold", "keras_loop"])
    assert can == ["cold"]
    assert "no_such_module_here is not installed; pip install -e '.[bench]'" in cannot[0]


def test_a_row_that_fails_does_not_end_the_round(monkeypatch, tmp_path, capsys):
    def fail(_context):
        raise RunError("python -m peer failed with code 1:\nlast line")

    def succeed(_context):
        return {"seconds": 2.0}

    rows = {
        "cold": dataclasses.replace(ROWS["cold"], measure=fail),
        "steady": dataclasses.replace(ROWS["steady"], measure=succeed),
        "ten_seeds": dataclasses.replace(ROWS["ten_seeds"], measure=fail),
    }
    for name, row in rows.items():
        monkeypatch.setitem(ROWS, name, row)
    context = Context(tmp_path / "table.csv", tmp_path)
    assert measure_round(rows, context, first=False) == {"steady": {"seconds": 2.0}}
    printed = capsys.readouterr()
    assert printed.err.count("last line") == 1  # ten seeds are for the first round only
    assert "ours, steady: 2.0 s" in printed.out


def test_a_quick_run_takes_the_variant_that_was_recorded():
    variant = {"flags": ["--workers=1"]}
    rounds = [{"torch_batched": {"variant": variant}, "cold": {"seconds": 1.0}}]
    assert report.variants(rounds) == {"torch_batched": variant}


def test_a_process_is_measured():
    finished = run_module("platform", [])
    assert 0 < finished.cpu_s < 60
    assert 1e6 < finished.peak_rss_bytes < 1e10
    assert finished.stdout


def test_a_failed_process_shows_its_last_lines():
    with pytest.raises(RunError, match=r"failed with code \d+:\n(.*\n)*.*no_such_module_here"):
        run_module("no_such_module_here")


def torch_or_skip():
    try:
        import torch
    except ImportError:
        without("torch", "needs PyTorch")
    return torch


def test_the_batched_peer_trains_as_a_plain_module_does():
    torch = torch_or_skip()
    from benchmarks import torch_batched, torch_loop

    sweep = the_sweep()
    [fold] = make_arrays(make_table(num_genres=10), make_fold(range(32), test=[32]))
    x = torch.from_numpy(fold.x_train)
    labels = torch.from_numpy(fold.y_train.astype(np.int64))
    for configs in batches(sweep)[:3]:  # adam, rmsprop, sgd
        layers, batch = torch_batched.start(configs, sweep, x.shape[1], 10)
        models = [torch_loop.build(config, sweep, x.shape[1], 10).eval() for config in configs]
        for trial, model in enumerate(models):
            dense = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
            for (kernel, bias), layer in zip(layers, dense, strict=True):
                layer.weight.data = kernel[trial].detach().T.clone()
                layer.bias.data = bias[trial, 0].detach().clone()
        name = configs[0]["optimizer"]
        rule = torch_batched.optimizer_of(name, [p for layer in layers for p in layer], sweep)
        logits = torch_batched.forward(layers, batch, x, training=False)
        torch_batched.losses(logits, labels).mean(1).sum().backward()
        rule.step()
        for trial, model in enumerate(models):
            own = torch_loop.optimizer_of(name, model, sweep)
            torch.nn.functional.cross_entropy(model(x), labels).backward()
            own.step()
            trained = torch_batched.forward(layers, batch, x, training=False)[trial]
            torch.testing.assert_close(trained, model(x), atol=1e-4, rtol=1e-3)


def test_the_batched_peer_drops_and_scales():
    torch = torch_or_skip()
    from benchmarks import torch_batched

    sweep = the_sweep()
    layers, batch = torch_batched.start(batches(sweep)[0], sweep, 57, 10)
    x = torch.ones(400, 57)
    with torch.no_grad():
        noisy = torch_batched.forward(layers, batch, x, training=True)
        plain = torch_batched.forward(layers, batch, x, training=False)
    assert (noisy.std(1) > 0).any()
    assert (plain.std(1) < 1e-5).all()


@pytest.mark.slow
def test_the_command_measures_the_floor_of_the_sample(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "--only=floor", "--repeats=1", "--data=sample"]
    flags = ["--name=trial", f"--out={tmp_path}"]
    done = subprocess.run([*command, *flags], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "the floor alone" in done.stdout
    record = json.loads((tmp_path / "trial.json").read_text())
    assert record["rounds"][0]["floor"]["flops"] == pytest.approx(0.858e12, rel=1e-3)
    assert "GFLOP/s" in (tmp_path / "trial.md").read_text()


def test_an_unknown_row_is_an_error(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "--only=colt", f"--out={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--only=colt: no such row" in done.stderr
