"""What tests skip without, they fail without where it is required."""

import os
import shutil
import subprocess
import sys

import pytest
import test_benchmarks
from commands import browser_programs
from conftest import ROOT, without

TEST = """
def test_it(real_table_path):
    assert real_table_path.read_text() == "the table"
"""


@pytest.fixture
def repository(tmp_path):
    """A folder with our conftest.py, a test that needs the table, and no table."""
    folder = tmp_path / "repository"
    (folder / "tests").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "conftest.py", folder / "tests")
    (folder / "tests" / "test_it.py").write_text(TEST)
    return folder


def put_table(folder):
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "features_30_sec.csv").write_text("the table")


def outcome(repository, needs):
    """What pytest says in its last line, and its exit code."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        env=environment | {"PYTHONPATH": str(ROOT), "GTZAN_JAX_REQUIRE": needs},
        cwd=repository, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


def test_a_table_that_is_not_there_is_skipped_unless_it_is_required(repository):
    code, line = outcome(repository, "browser")
    assert (code, line.split(" in ")[0]) == (0, "1 skipped")
    code, line = outcome(repository, "browser table")
    assert (code, line.split(" in ")[0]) == (1, "1 error")


@pytest.mark.parametrize("place", ["repository", "shared"])
def test_a_table_that_is_required_is_found(repository, place):
    put_table(repository.parent / place)
    code, line = outcome(repository, "table")
    assert (code, line.split(" in ")[0]) == (0, "1 passed")


def test_a_misspelt_need_is_refused(repository):
    code, line = outcome(repository, "tabel browser")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "GTZAN_JAX_REQUIRE: tabel is none of table, browser, torch, sound" in line


def ending(function):
    """How a function ends the test that calls it: skipped or failed, and why."""
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception)) as caught:
        function()
    return caught.type, str(caught.value)


@pytest.mark.parametrize(
    ("need", "function"),
    [("browser", browser_programs), ("torch", test_benchmarks.torch_or_skip)],
)
def test_a_program_that_is_not_there_is_skipped_unless_it_is_required(need, function, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("GTZAN_JAX_REQUIRE", "table")
    kind, reason = ending(function)
    assert kind is pytest.skip.Exception
    monkeypatch.setenv("GTZAN_JAX_REQUIRE", f"table {need}")
    told = f"{reason}; GTZAN_JAX_REQUIRE names '{need}', so that this is no skip"
    assert ending(function) == (pytest.fail.Exception, told)


def test_all_needs_are_known():
    with pytest.raises(ValueError, match="'tabel'"):
        without("tabel", "a misspelt need")


@pytest.mark.parametrize(
    ("places", "programs", "needs"),
    [
        ([], [], ""),
        (["repository"], ["chromium"], "table"),
        (["shared"], [], "table"),
        ([], ["chromium", "chromedriver"], "browser"),
        (["repository/data/audio"], [], "sound"),
        (["shared/data/audio", "shared"], [], "table sound"),
        (["repository", "shared"], ["chromium", "chromedriver"], "table browser"),
    ],
)
def test_continuous_integration_requires_what_there_is(repository, places, programs, needs):
    for place in places:
        folder = repository.parent / place
        folder.mkdir(parents=True) if folder.name == "audio" else put_table(folder)
    (repository / "bin").mkdir()
    for name in programs:
        (repository / "bin" / name).write_text("#!/bin/sh\n")
        (repository / "bin" / name).chmod(0o755)
    script = (ROOT / ".ci" / "run").read_text()
    function = script[script.index("required() {") :].partition("\n}\n")[0] + "\n}\nrequired"
    done = subprocess.run(
        [shutil.which("bash"), "-euo", "pipefail", "-c", function],
        env={"PATH": str(repository / "bin")},
        cwd=repository, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{needs}\n", "")
    assert 'GTZAN_JAX_REQUIRE="$(required)"' in script
