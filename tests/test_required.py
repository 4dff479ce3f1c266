"""What tests skip without, they fail without where it is required."""

import shutil
import subprocess
import sys

import conftest
import pytest
import test_benchmarks
from commands import browser_programs
from conftest import ROOT, without


def test_a_misspelt_need_is_refused(monkeypatch):
    monkeypatch.setenv("GTZAN_JAX_REQUIRE", "tabel browser")
    with pytest.raises(pytest.UsageError, match="tabel is none of table, browser, torch, sound"):
        conftest.pytest_configure()


def ending(function):
    """How a function ends the test that calls it: skipped or failed, and why."""
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception)) as caught:
        function()
    return caught.type, str(caught.value)


@pytest.mark.parametrize(
    ("need", "function"),
    [
        ("browser", browser_programs),
        ("torch", test_benchmarks.torch_or_skip),
        ("table", conftest.find_real_table),
    ],
)
def test_what_is_not_there_is_skipped_unless_it_is_required(need, function, monkeypatch):
    monkeypatch.setattr(conftest, "REAL_TABLES", ())
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("GTZAN_JAX_REQUIRE", "")
    kind, reason = ending(function)
    assert kind is pytest.skip.Exception
    monkeypatch.setenv("GTZAN_JAX_REQUIRE", f"sound {need}")
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
        (["shared/data/audio", "shared"], [], "table sound"),
        (["repository", "shared"], ["chromium", "chromedriver"], "table browser"),
    ],
)
def test_continuous_integration_requires_what_there_is(tmp_path, places, programs, needs):
    repository = tmp_path / "repository"
    for place in places:
        folder = tmp_path / place / "data"
        folder = folder.parent if place.endswith("audio") else folder
        folder.mkdir(parents=True, exist_ok=True)
        if folder.name == "data":
            (folder / "features_30_sec.csv").touch()
    (repository / "bin").mkdir(parents=True)
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
