"""The script that prints docs/reproduction.md, on runs that are not the real ones."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_sweep
from finished_runs import history_of, random_history, write_run

from gtzan_jax.space.sweep_file import load_sweep

SCRIPT = Path(__file__).parents[2] / "docs" / "make_reproduction.py"


def printed(monkeypatch, capsys, *folders):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, folders)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    return capsys.readouterr()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Both losses, three seeds, and another slope; each accuracy is that of 16 configs."""
    path, folders = tmp_path_factory.mktemp("runs"), []
    overrides = {
        "one": [],
        "twice": ["loss=softmax_twice"],
        "seeds": [],
        "slope": ["leaky_slope=0.3"],
    }
    for name, changes in overrides.items():
        sweep = load_sweep("assignment", changes)
        count = 3 if name == "seeds" else 1
        accuracy = np.random.default_rng(1).permuted(
            np.repeat(np.linspace(0.1, 0.7, 48), 16)[:, None].repeat(count, axis=1), axis=0
        )
        folders.append(write_run(path / name, sweep, history_of(sweep, accuracy)))
    return folders


def test_it_prints_every_section_and_the_ranges_of_ties(folders, monkeypatch, capsys):
    out, err = printed(monkeypatch, capsys, *folders)
    headings = [line for line in out.splitlines() if line.startswith("#")]
    assert headings == [
        "# Reproduction",
        "## The claims",
        "## Shares of the variance of test accuracy",
        "## One seed or another",
        "## The slope of LeakyReLU",
    ]
    assert "| claim | published | cross-entropy | softmax twice | cross-entropy, 3 seeds | " in out
    assert "cross-entropy, slope 0.3 |" in out
    assert "--set=leaky_slope=0.3" in out
    rows = [line.split(" | ") for line in out.splitlines() if line.startswith(("| 0 |", "| 1 |"))]
    assert len(rows) == 2
    assert all("–" in cell for row in rows for cell in row[2:4])
    assert "share initial weights, order of rows and dropout noise" in out
    assert "cross-entropy: no claim is marked: the synthetic sample" in err


def test_without_a_slope_it_says_nothing_of_one(folders, monkeypatch, capsys):
    out, _ = printed(monkeypatch, capsys, *folders[:3])
    assert "## The slope" not in out


@pytest.mark.parametrize("worst", ["sgd", "adam"])
def test_shares_near_the_best_come_with_what_is_left_out(worst, tmp_path, monkeypatch, capsys):
    """One optimizer is far behind in the first of two seeds, and nothing else does anything."""
    sweep = load_sweep("assignment")
    behind = np.array([[0.3 * (config["optimizer"] == worst), 0] for config in sweep.configs])
    wide = np.array([[0.01 * (config["num_units3"] == 128)] for config in sweep.configs])
    runs = [
        write_run(tmp_path / f"{count}", sweep, history_of(sweep, (0.6 - behind + wide)[:, :count]))
        for count in (1, 2)
    ]
    out, _ = printed(monkeypatch, capsys, runs[0], runs[0], runs[1])
    assert f"- cross-entropy: num_units3 64, optimizer {worst}.\n" in out
    assert f"- cross-entropy, 2 seeds: num_units3 64 (2 of 2 seeds), optimizer {worst} (1 of" in out
    assert "| optimizer | 100 % | 100 % | 0–100 % |" in out.replace("< 1 %", "0 %")
    assert out.count("| +1.0 |") == 2


def test_another_sweep_is_refused(folders, tmp_path, monkeypatch, capsys):
    sweep = make_sweep()
    small = write_run(tmp_path / "small", sweep, random_history(sweep))
    with pytest.raises(SystemExit, match="not a sweep of the assignment"):
        printed(monkeypatch, capsys, *folders[:2], small)
    with pytest.raises(SystemExit, match="CROSS_ENTROPY SOFTMAX_TWICE SEEDS"):
        printed(monkeypatch, capsys, *folders[:2])
