"""The command, as users run it."""

import pandas as pd
import pytest
from commands import command_here
from conftest import make_sweep
from finished_runs import random_history, write_run


@pytest.fixture
def folders(tmp_path):
    """Two runs whose grids overlap by half, one with an axis of its own values."""
    axes = {"first": {}, "other": {"axes": {"num_units1": [16, 12]}, "loss": "softmax_twice"}}
    return [
        write_run(tmp_path / name, sweep, random_history(sweep))
        for name, sweep in ((name, make_sweep(**changes)) for name, changes in axes.items())
    ]


def test_the_command_prints_and_writes(folders):
    names = [folder.name for folder in folders]
    done = command_here("compare", *names, "--output=both.csv", folder=folders[0].parent)
    assert done.returncode == 0, done.stderr
    assert "# first and other" in done.stdout
    assert ["sweep.loss", "cross_entropy", "softmax_twice"] in [
        line.strip("| ").replace("|", "").split() for line in done.stdout.splitlines()
    ]
    assert len(pd.read_csv(folders[0].parent / "both.csv")) == 6
