import io
import sys

import numpy as np
import pytest
from conftest import make_sweep

from gtzan_jax.batching import Bucket
from gtzan_jax.engine import Chunk
from gtzan_jax.progress import PartsProgress, SweepProgress

SWEEP = make_sweep()  # two shape groups of six
BUCKETS = [Bucket(shape, tuple(ids)) for shape, ids in SWEEP.shape_groups().items()]


class FakeEngine:
    num_programs = 2
    num_compiled = 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


def feed(progress):
    """Feeds two seeds of the first group, in chunks of three; one member diverges."""
    ids = BUCKETS[0].config_ids
    for seed in (0, 1):
        for chunk in (ids[:3], ids[3:]):
            history = np.full((3, 2, 4), 0.25, np.float32)
            history[1, -1] = [np.nan, 0.9, np.nan, 0.9]
            progress.take(Chunk(BUCKETS[0], seed, chunk, history))


def test_without_a_terminal_every_eighth_is_a_line(capsys):
    with SweepProgress(FakeEngine(), 24) as progress:
        feed(progress)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(";")[0] for line in lines] == [
        f"  {count}/24 members, programs: 1/2 compiled" for count in (3, 6, 9, 12)
    ]
    assert lines[-1].endswith("/s; best 0.250")


def test_what_is_there_already_counts_as_done(capsys):
    with SweepProgress(FakeEngine(), 24, there=9) as progress:
        feed(progress)
    assert capsys.readouterr().out.splitlines()[-1].startswith("  21/24 members")


@pytest.mark.parametrize("columns", ["80", "120"])
def test_in_a_terminal_it_is_a_bar_of_one_line(monkeypatch, columns):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    with SweepProgress(FakeEngine(), 24) as progress:
        feed(progress)
        monkeypatch.setattr(progress, "_members", 103_680)
    last = sys.stderr.getvalue().replace("\r", "\n").split("\n")[-2]
    assert "12/24" in last
    assert "best 0.250" in last


def test_a_job_in_parts_tells_each_part(capsys):
    with PartsProgress({"first": 2, "second": 3}) as progress:
        progress.take("first")
        progress.take("first")
        progress.take("second", 3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(";")[0] for line in lines] == ["  2/5 steps", "  5/5 steps"]
    assert lines[1].endswith("second done")
