"""The script that prints docs/reproduction.md, on runs that are not the real ones."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_sweep
from finished_runs import history_of, random_history, write_run

from gtzan_jax.assignment.claims import Claim
from gtzan_jax.space.sweep_file import load_sweep

SCRIPT = Path(__file__).parents[2] / "docs" / "make_reproduction.py"


def printed(monkeypatch, capsys, *folders):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, folders)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    return capsys.readouterr()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Both losses and another slope, three seeds each; each accuracy is that of 16 configs."""
    path, folders = tmp_path_factory.mktemp("runs"), []
    for name, changes in {
        "plain": [],
        "twice": ["loss=softmax_twice"],
        "slope": ["leaky_slope=0.3"],
    }.items():
        sweep = load_sweep("assignment", changes)
        accuracy = np.random.default_rng(1).permuted(
            np.repeat(np.linspace(0.1, 0.7, 48), 16)[:, None].repeat(3, axis=1), axis=0
        )
        folders.append(write_run(path / name, sweep, history_of(sweep, accuracy)))
    return folders


def test_it_prints_every_section_and_the_ranges_of_ties(folders, monkeypatch, capsys):
    out, err = printed(monkeypatch, capsys, *folders)
    headings = [line for line in out.splitlines() if line.startswith("#")]
    assert headings == [
        "# Reproduction",
        "## The claims",
        "## How claims are marked",
        "## Shares of the variance of test accuracy",
        "## Another seed, another slope",
    ]
    assert "\n| claim | published | cross-entropy | softmax twice |\n" in out
    assert "--num_seeds=3 --set=leaky_slope=0.3 --retrain_epochs=0\n" in out
    rows = [line.split(" | ") for line in out.splitlines() if line.startswith(("| 0.2 ", "| 0.3 "))]
    assert len(rows) == 2
    assert all("–" in cell for row in rows for cell in row[1:3])
    assert "share initial weights, order of rows and dropout noise" in out
    assert "A figure without a mark is not confirmed." in out
    assert "no claim is marked: the synthetic sample" in err


@pytest.mark.parametrize("worst", ["sgd", "adam"])
def test_shares_of_the_variance_are_ranges_over_seeds(worst, tmp_path, monkeypatch, capsys):
    """One optimizer is far behind in the first of two seeds, and nothing else does much."""
    sweep = load_sweep("assignment")
    behind = np.array([[0.3 * (config["optimizer"] == worst), 0] for config in sweep.configs])
    wide = np.array([[0.01 * (config["num_units3"] == 128)] for config in sweep.configs])
    one, two = (
        write_run(tmp_path / f"{count}", sweep, history_of(sweep, (0.6 - behind + wide)[:, :count]))
        for count in (1, 2)
    )
    out, _ = printed(monkeypatch, capsys, one, two, one)
    assert "| optimizer | 100 % | 0–100 % |" in out
    assert "| num_units3 | < 1 % | 0–100 % |" in out
    assert "| dropout1 |" not in out


@pytest.mark.parametrize(
    ("different", "lines"),
    [
        ([(True, True), (False, False)], ["1 of 2", "only: none.", "1 of 2", "only: none."]),
        ([(True, False), (True, False)], ["2 of 2", "only: 1, 2.", "0 of 2", "only: none."]),
        ([(False, True), (True, True)], ["1 of 2", "only: none.", "2 of 2", "only: 1."]),
    ],
)
def test_the_summary_numbers_the_claims_that_only_one_loss_contradicts(different, lines):
    judged = {
        name: [Claim("", "", "", each) for each in column]
        for name, column in zip(
            ("cross-entropy", "softmax twice"), zip(*different, strict=True), strict=True
        )
    }
    text = runpy.run_path(str(SCRIPT))["summary"](judged)
    found = [part for line in text.splitlines() for part in line.split(" claims are ")]
    assert [a in b for a, b in zip(lines, found, strict=True)] == [True] * 4


def test_another_sweep_is_refused(folders, tmp_path, monkeypatch, capsys):
    sweep = make_sweep()
    small = write_run(tmp_path / "small", sweep, random_history(sweep))
    with pytest.raises(SystemExit, match="not a sweep of the assignment"):
        printed(monkeypatch, capsys, *folders[:2], small)
    with pytest.raises(SystemExit, match="CROSS_ENTROPY SOFTMAX_TWICE SLOPE"):
        printed(monkeypatch, capsys, *folders[:2])
