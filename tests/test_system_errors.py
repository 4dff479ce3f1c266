"""Errors of the system are told with the place where it is known, and in one line."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT, make_sweep, make_table, slow
from finished_runs import random_history, write_run

from gtzan_jax.errors import InputError, RunError, described
from gtzan_jax.files import replaced_folder, write_atomically
from gtzan_jax.jobs import extracting, sweeping
from gtzan_jax.rundir.directory import RunDir

NAMELESS = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NAMELESS, "No space left on device"),
        (OSError(errno.EACCES, "Permission denied", "a/b"), "a/b: Permission denied"),
        (OSError("what a library says"), "what a library says"),
        (OSError(), "OSError"),
    ],
)
def test_an_error_names_its_place_where_it_knows_it(error, expected):
    assert described(error) == expected


def limited(kind, limit, *arguments, folder):
    """Runs a command that may not write larger files, or open more of them."""
    code = f"import resource; resource.setrlimit(resource.{kind}, ({limit}, {limit}))\n"
    code += "import os, sys; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    return subprocess.run(
        [sys.executable, "-c", code, "-m", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name in ("a", "b"):
        write_run(folder / name, make_sweep(), random_history(make_sweep()), make_table())
    return folder


@pytest.mark.parametrize(
    ("arguments", "code", "place"),
    [
        slow(["report", "a"], 2, "a/report.html"),
        (["compare", "a", "b", "--output=c.csv"], 2, "--output=c.csv"),
        slow(["eda", "--data=sample", "--workdir=eda"], 1, "eda/"),
        slow(["sweep", "--sweep=smoke", "--data=sample", "--workdir=new"], 1, "new/manifest.json"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_disk_that_is_full_is_named_by_the_file(arguments, code, place, runs):
    done = limited("RLIMIT_FSIZE", 500, f"gtzan_jax.{arguments[0]}", *arguments[1:], folder=runs)
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, last.startswith(f"error: {place}")) == (code, True), done.stderr
    assert "File too large" in last
    assert "Traceback" not in done.stderr
    assert ".tmp" not in last


@pytest.mark.slow
def test_too_many_open_files_are_told_in_a_line(runs):
    done = limited("RLIMIT_NOFILE", 12, "gtzan_jax.compare", "a", "b", folder=runs)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1, 2)


def failing(*_, **__):
    raise NAMELESS


def test_a_sweep_does_not_blame_its_folder_for_what_names_none(tmp_path):
    job = SimpleNamespace(run=RunDir(tmp_path / "run"), resume="CMD")
    with (
        pytest.raises(RunError, match=r"^No space left on device; progress .* resume with: CMD$"),
        sweeping._held(job),
    ):
        failing()


def test_processes_that_cannot_be_started_are_no_fault_of_the_output(tmp_path, monkeypatch):
    (tmp_path / "rock").mkdir()
    (tmp_path / "rock" / "a.wav").write_bytes(b"RIFF")
    monkeypatch.setattr(subprocess, "Popen", failing)
    ending = r"^a process cannot be started: No space left on device; progress .* resume with: CMD$"
    with pytest.raises(RunError, match=ending):
        extracting.extract(tmp_path, tmp_path / "t.csv", command="CMD")


def test_a_file_that_is_written_is_named(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            write_atomically(tmp_path / "table.csv", "x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.filename == str(tmp_path / "table.csv")
    with pytest.raises(OSError, match="No space") as raised, replaced_folder(tmp_path / "best"):
        raise NAMELESS
    assert raised.value.filename == str(tmp_path / "best")
    with pytest.raises(FileNotFoundError) as raised, replaced_folder(tmp_path / "best"):
        (tmp_path / "missing").read_bytes()
    assert raised.value.filename == str(tmp_path / "missing")


def test_a_name_as_long_as_names_can_be_is_written(tmp_path):
    path = tmp_path / ("x" * 251 + ".csv")
    write_atomically(path, "whole")
    assert path.read_text() == "whole"


def test_a_manifest_that_cannot_be_read_is_not_missing(tmp_path, monkeypatch):
    def unreadable(path):
        raise PermissionError(errno.EACCES, "Permission denied", path.name)

    monkeypatch.setattr(Path, "read_bytes", unreadable)
    with pytest.raises(InputError, match=r"^manifest.json: Permission denied"):
        RunDir(tmp_path).read_manifest()
