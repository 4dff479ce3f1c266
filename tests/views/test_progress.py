import io
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import make_sweep
from rich.console import Console

from gtzan_jax.metrics import METRICS
from gtzan_jax.views import progress as module
from gtzan_jax.views.progress import PartsProgress, SongsProgress, SweepProgress

SWEEP = make_sweep()


class FakeEngine:
    num_programs = 2
    num_compiled = 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


def feed(progress):
    """Feeds four segments of three trials, one of which diverges."""
    for _ in range(4):
        kept = np.full((3, len(METRICS)), 0.25, np.float32)
        kept[:, METRICS.index("validation_accuracy")] = 0.75
        kept[1, :6] = [np.nan, 0.9] * 3
        task = SimpleNamespace(config_ids="abc", first_epoch=1, epochs=3)
        progress.take(SimpleNamespace(task=task, kept=kept))


def test_without_a_terminal_every_eighth_is_a_line(capsys):
    with SweepProgress(FakeEngine(), SWEEP, 48) as progress:
        feed(progress)
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r"[\d,]+/s", "N/s", line) for line in lines] == [
        f"  {count} of 48 epochs, N/s, best accuracy 0.250, 1 of 2 programs compiled"
        for count in (6, 12, 18, 24)
    ]


@pytest.mark.parametrize("protocol", ["holdout", "kfold"])
def test_the_best_is_that_of_the_part_that_ranks(capsys, protocol):
    with SweepProgress(FakeEngine(), make_sweep(protocol=protocol), 48) as progress:
        feed(progress)
    assert capsys.readouterr().out.splitlines()[-1].count("best accuracy 0.750")


def test_what_is_there_already_counts_as_done(capsys):
    with SweepProgress(FakeEngine(), SWEEP, 48, there=18) as progress:
        feed(progress)
    assert capsys.readouterr().out.splitlines()[-1].startswith("  42 of 48 epochs,")


@pytest.mark.parametrize("columns", ["80", "120"])
def test_in_a_terminal_it_is_a_bar_of_one_line(monkeypatch, columns):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    with SweepProgress(FakeEngine(), SWEEP, 48) as progress:
        feed(progress)
    last = sys.stderr.getvalue().replace("\r", "\n").split("\n")[-2]
    assert re.sub(r"\x1b\[[\d;]*m", "", last).count("24/48 epochs, ") == 1
    assert "best accuracy 0.250" in last


def test_in_a_terminal_compiled_programs_count_between_tasks(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    engine = FakeEngine()
    with SweepProgress(engine, SWEEP, 48):
        engine.num_compiled = 2
    assert "2 of 2 programs compiled" in sys.stderr.getvalue()


@pytest.mark.parametrize("has_widgets", [False, True])
def test_in_jupyter_it_is_a_bar_where_there_are_widgets(monkeypatch, has_widgets):
    found = object() if has_widgets else None
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: found)
    assert module._can_draw(Console(force_jupyter=True)) is has_widgets


def test_a_job_in_parts_tells_each_part(capsys):
    with PartsProgress({"first": 2, "second": 3}) as progress:
        progress.take("first")
        progress.take("first")
        progress.take("second", 3)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["  1 of 5 steps, first", "  2 of 5 steps, first", "  5 of 5 steps, second"]


def test_songs_have_a_line_each_eighth_with_the_time_that_is_left(capsys, monkeypatch):
    clock = SimpleNamespace(perf_counter=lambda: clock.now, now=0.0)
    monkeypatch.setattr(module, "time", clock)
    with SongsProgress(1000) as progress:
        assert progress.state() == "starting"
        for number in range(1000):
            if number < 100:
                progress.take(is_new=False)  # kept from before
            else:
                clock.now += 0.5
                progress.take()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert lines[0] == "  125 of 1,000 songs, 2.0/s, 7 min left"
    assert lines[-1] == "  1,000 of 1,000 songs, 2.0/s, 0 min left"
