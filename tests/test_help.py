"""What the commands say of themselves, each in a process of its own, as users ask for it."""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from commands import defined

from gtzan_jax.space.hyperparameters import HYPERPARAMETERS
from gtzan_jax.space.overrides import SHORT_NAMES

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path.stem
    for path in (ROOT / "gtzan_jax").glob("[!_]*.py")
    if "cli.run(main" in path.read_text("utf-8")
)
COMMANDS = [f"gtzan_jax.{module}" for module in MODULES]


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@functools.cache
def output(*arguments):
    """What Python prints when it is given these; it must end well and without a warning."""
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def listed(text):
    """The flags that a help lists, each at the beginning of a line."""
    return set(re.findall(r"^  --(?:\[no\])?(\w+):", text, re.MULTILINE))


@pytest.mark.parametrize("command", [*COMMANDS, "benchmarks"])
def test_the_help_has_every_flag_and_two_examples(command):
    text = output("-m", command, "--help")
    with defined("benchmarks.__main__" if command == "benchmarks" else command) as (_, _, own):
        assert own
    axes = set(SHORT_NAMES) if command == "gtzan_jax.sweep" else set()  # named above the list
    assert listed(text) == own - axes
    assert {HYPERPARAMETERS[name].stem for name in HYPERPARAMETERS if axes} <= set(
        re.findall(r"\w+", text)
    )
    assert axes <= own
    examples = re.findall(rf"^  python -m {re.escape(command)}\b(.*)$", text, re.MULTILINE)
    assert len(examples) == 2
    assert set(re.findall(r"--(\w+)", " ".join(examples))) <= own
    # absl puts a line with the path of the file above the flags.
    lines = [line for line in text.splitlines() if not line.endswith(".py:")]
    assert max(map(len, lines)) <= 80
    assert "``" not in text


def test_the_help_of_the_main_job_has_the_flags_of_the_page():
    page = (ROOT / "docs" / "sweeps.md").read_text("utf-8")
    table = page.partition("<!-- flags -->")[2].partition("<!-- /flags -->")[0]
    promised = set(re.findall(r"^\| `--(\w+)` \|", table, re.MULTILINE))
    assert {"data", "platform", "matmul_precision", "num_seeds"} <= promised
    assert listed(output("-m", "gtzan_jax.sweep", "--help")) == promised


def test_every_hyperparameter_has_a_text_that_is_the_help_of_its_flag():
    with defined("gtzan_jax.sweep"):
        for name, axis in HYPERPARAMETERS.items():
            assert 10 <= len(axis.text) <= 80
            assert flags.FLAGS[name].help == axis.text or name == "dropout"
        text = flags.FLAGS["dropout"].help  # of both kinds of model
        assert "hidden layers, where --dropout=0.1,0.3 varies each layer by itself; or of" in text
        assert text.endswith("whole channels, after each block.")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_package_lists_its_commands(arguments):
    text = output("-m", "gtzan_jax", *arguments)
    shown = re.findall(r"^  python -m gtzan_jax\.(\w+) .*\w{3}", text, re.MULTILINE)
    assert sorted(shown) == MODULES
    assert "--help" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_list_of_commands_does_not_wait_for_imports():
    done = run("-X", "importtime", "-m", "gtzan_jax")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "gtzan_jax.errors" in imported
    assert not imported & {"jax", "numpy", "absl", "pandas"}


@pytest.mark.parametrize(
    ("argument", "remedy"),
    [
        ("sweep", "the command is python -m gtzan_jax.sweep"),
        ("swep", "(did you mean 'sweep'?)"),
        ("--data=sample", "lists the commands"),
    ],
)
def test_the_package_takes_no_arguments(argument, remedy):
    done = run("-m", "gtzan_jax", argument)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: unexpected argument '{argument}'")
    assert done.stderr.count("\n") == 1
    assert remedy in done.stderr
