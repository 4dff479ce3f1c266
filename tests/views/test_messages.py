import dataclasses
import sys

import numpy as np
import pytest
from conftest import make_sweep, make_table
from finished_runs import random_history, write_best_history, write_run

from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.tables.protocols import LEAK
from gtzan_jax.tables.sources import load_table
from gtzan_jax.views import messages

ONE = dict.fromkeys(["num_units2", "num_units3", "dropout2", "dropout3"])
DEEP = {f"num_units{layer}": [512] for layer in range(1, 7)} | {"dropout1": [0.25]}
DEEP |= {f"dropout{layer}": [0.25] for layer in range(2, 7)}
SWEEPS = {
    "three layers": make_sweep(),
    "one layer": make_sweep(axes=ONE | {"learning_rate": [0.1, 1e-05]}, learning_rates=None),
    "six layers": make_sweep(
        axes=DEEP | {"learning_rate": [0.1], "batch_size": [16, 32]},
        learning_rates=None,
        batch_size=None,
    ),
    "kfold": make_sweep(protocol="kfold", num_folds=3),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_the_summary_fits_80_columns(name, tmp_path, capsys):
    sweep = SWEEPS[name]
    table = load_table("sample")
    run = read_finished(write_run(tmp_path / "run", sweep, random_history(sweep), table))
    messages.print_summary(run, {"train": 1.25, "write": 0.5})
    lines = capsys.readouterr().out.splitlines()
    end = next(place for place, line in enumerate(lines) if line.startswith("these figures"))
    assert all(len(line) <= 80 for line in lines[:end])
    assert lines[1].startswith("rank  accuracy" if name != "kfold" else "rank  validation  acc")
    best = run.results.iloc[0]
    row = next(line for line in lines if line.startswith("   1  "))
    assert f"{best.test_accuracy:.4f}" in row
    text = " ".join(" ".join(lines[:end]).split())
    assert "-".join(map(str, run.config().units)) in text
    assert all(axis.rstrip("0123456789") in text for axis in sweep.axes)
    assert lines[-1] == "1.8 s (train 1.2, write 0.5)"


def test_the_summary_tells_of_a_retraining_and_of_diverged_configs(tmp_path, capsys):
    history = random_history(make_sweep())
    history.figures[3] = np.nan
    path = write_run(tmp_path / "run", make_sweep(), history)
    write_best_history(path, test_accuracy=np.array([[0.5, 0.75, 0.625], [0.5, 0.75, 0.675]]))
    messages.print_summary(read_finished(path), {})
    printed = capsys.readouterr().out
    assert "1 of 12 configs diverged; they rank last" in printed
    line = "retrained 2 times for 3 epochs: test accuracy 0.6500 ± 0.0354"
    assert line in printed.splitlines()
    assert f"the model in {path / 'best'}" in printed


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_leak_is_red_on_a_terminal(capsys, monkeypatch, is_terminal):
    messages.warn_of_leak("")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    messages.warn_of_leak(LEAK)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("\033[1;31mLEAK: " if is_terminal else "LEAK: ")
    assert line.endswith("\033[0m") == is_terminal


def test_warnings_are_lines_that_a_terminal_can_bear(capsys):
    table = make_table()
    messages.warn_of_table(table)
    assert capsys.readouterr().err == ""
    tracks = ("a\x1b[31m.wav", *table.tracks[1:])
    repeated = dataclasses.replace(table, repeats=((0, 1),), tracks=tracks, notice="x " * 100)
    messages.warn_of_table(repeated)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == lines[-2] == "!" * 80
    assert all(len(line) <= 80 for line in lines[:-1])
    assert lines[-1].startswith("warning: 2 of 100 tracks repeat another's features exactly (a [31")


def test_the_start_names_what_is_trained(capsys, tmp_path):
    messages.print_start(make_sweep(), 6, "2 cpu devices", "table\n.csv", tmp_path)
    messages.print_trained(0, 72)
    messages.print_trained(24, 72)
    assert capsys.readouterr().out.splitlines() == [
        "tiny: 12 configs × 6 runs × 2 epochs, 2 cpu devices",
        f"  from table .csv to {tmp_path}",
        "  24 of 72 member-epochs are already trained",
    ]
