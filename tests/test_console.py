"""What the process of a command does with encodings, closed pipes, and signals, from its start."""

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, make_sweep, make_table, slow
from finished_runs import random_history, write_run

COMMANDS = ["", "sweep", "retrain", "predict", "report", "compare", "eda", "extract", "baselines"]
STRICT = {"PYTHONIOENCODING": "ascii:strict"}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SMOKE = ["--sweep=smoke", "--data=sample", "--retrain_epochs=0", "--platform=cpu"]

# Sends a signal to its process when a module is about to be imported, or says that one is.
SITECUSTOMIZE = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT"]:
            sys.meta_path.remove(self)
            number = int(os.environ["SIGNAL"])
            os.kill(os.getpid(), number) if number else os.write(1, b"started\\n")

if "gtzan_jax.workers" not in sys.orig_argv:
    sys.meta_path.insert(0, Finder())
"""


def start(command, *arguments, folder, stdout=subprocess.PIPE, **environment):
    """Starts a command; "" is the package."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_", "TF_CPP_"))}
    paths = os.pathsep.join([os.fspath(folder), os.fspath(ROOT)])
    return subprocess.Popen(
        [sys.executable, "-m", f"gtzan_jax.{command}".rstrip("."), *arguments],
        cwd=folder,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=kept | {"PYTHONPATH": paths} | environment,
    )


def end(process):
    """Waits for a process; returns its exit code, and what it printed."""
    try:
        output, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, output, errors


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with two finished runs of a sweep whose name needs an encoding, and a sound."""
    folder = tmp_path_factory.mktemp("réseaux ♪")
    for name in ("a", "b"):
        write_run(folder / name, make_sweep(), random_history(make_sweep()), make_table())
    (folder / "genre").mkdir()
    (folder / "genre" / "♪.wav").write_bytes(b"RIFF")
    return folder


# -------------------------------------------------------------------------------------- encodings


def output_of(command, *arguments, folder, **environment):
    code, output, errors = end(start(command, *arguments, folder=folder, **environment))
    assert b"Traceback" not in errors
    assert b"Error" not in errors
    return code, output, errors


@pytest.mark.parametrize(
    ("command", "encoding"),
    [
        ("sweep", "ascii"),
        ("sweep", "cp1252"),
        *(slow("sweep", encoding) for encoding in ("latin-1", "cp437", "ascii:strict")),
        *(slow(command, "ascii") for command in COMMANDS if command != "sweep"),
    ],
)
def test_the_help_can_be_printed_in_any_encoding(command, encoding, tmp_path):
    code, output, errors = output_of(command, "--help", folder=tmp_path, PYTHONIOENCODING=encoding)
    assert (code, errors) == (0, b"")
    text = output.decode(encoding.partition(":")[0])
    assert "python -m gtzan_jax" in text
    if command == "sweep":
        assert ("tls://…" in text, "tls://?" in text) == (
            encoding == "cp1252",
            encoding != "cp1252",
        )


@pytest.mark.parametrize(
    ("environment", "arguments", "code", "expected"),
    [
        slow(STRICT, ["report", "a"], 0, b"report in a"),
        (STRICT, ["compare", "a", "b"], 0, b"# a and b"),
        slow(C_LOCALE, ["compare", "a", "ré♪"], 2, b"error: r"),
        slow(STRICT, ["predict", "♪", "x.wav"], 2, b"error: "),
        slow(C_LOCALE, ["extract", "genre", "--output=♪.csv"], 1, b"error: no file could be used"),
        (C_LOCALE, ["♪"], 2, b"error: unexpected argument '"),
        slow(STRICT, ["eda", "--data=ré\udcff.csv"], 2, b"error: no feature table 'r"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_encoded_is_replaced(environment, arguments, code, expected, runs):
    if len(arguments) == 1:
        arguments = ["", *arguments]
    found, output, errors = output_of(*arguments, folder=runs, **environment)
    assert found == code
    assert expected in output + errors
    (output + errors).decode("ascii")


@pytest.mark.slow
def test_a_sweep_in_an_ascii_terminal_ends_well(tmp_path):
    code, output, errors = output_of(
        "sweep", *SMOKE, "--workdir=♪", "--workers=1", folder=tmp_path, **C_LOCALE
    )
    assert code == 0, errors
    assert b" ? " in output  # what multiplies
    assert (tmp_path / "♪" / "results.csv").is_file()


@pytest.mark.slow
def test_a_matplotlibrc_does_not_matter(runs):
    (runs / "broken").write_bytes(b"text.usetex: True\nfont.family: \xff\n")
    (runs / "matplotlibrc").write_text("text.usetex: True\nfont.family: No Such Font\n")
    settings = {"MPLBACKEND": "nonsense", "MATPLOTLIBRC": str(runs / "broken")}
    try:
        code, output, errors = output_of("report", "b", folder=runs, **settings)
    finally:
        (runs / "matplotlibrc").unlink()
    assert (code, errors) == (0, b"")
    assert output.startswith(b"report in b")


# ------------------------------------------------------------------------------------ closed pipes


def closed_pipe():
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.mark.parametrize("command", ["sweep", *map(slow, COMMANDS)])
def test_a_command_whose_output_nobody_reads_ends_quietly(command, tmp_path):
    code, _, errors = end(start(command, "--help", folder=tmp_path, stdout=closed_pipe()))
    assert (code, errors) == (141, b"")


@pytest.mark.parametrize("command", ["compare", slow("report")])
def test_a_command_that_is_started_without_an_output_ends_as_with_one(command, tmp_path):
    shell = f'exec "$0" -m gtzan_jax.{command} there not >&-'
    found = subprocess.run(["bash", "-c", shell, sys.executable], capture_output=True, cwd=tmp_path)
    assert (found.returncode, found.stdout) == (2, b"")
    assert found.stderr.startswith(b"error: there is not a run directory")
    assert found.stderr.count(b"\n") == 1


@pytest.mark.parametrize("command", ["sweep", slow("")])
def test_an_output_that_is_full_is_named(command, tmp_path):
    with open("/dev/full", "wb") as full:
        code, _, errors = end(start(command, "--help", folder=tmp_path, stdout=full))
    assert (code, errors) == (1, b"error: stdout: No space left on device\n")


@pytest.mark.slow
def test_a_sweep_whose_output_is_closed_keeps_what_is_finished(tmp_path):
    flags = [*SMOKE, "--workdir=run", "--set=epochs=40"]
    process = start("sweep", *flags, folder=tmp_path)
    assert any(b" compiled" in line for line in process.stdout)  # reads as far as that
    process.stdout.close()
    process.stdout = None
    code, _, errors = end(process)
    assert code == 141
    assert b"error" not in errors
    assert b"stopped" not in errors
    code, output, _ = end(start("sweep", *flags, folder=tmp_path))
    assert code == 0
    assert b"already trained" in output


# ---------------------------------------------------------------------------------------- signals

ARGUMENTS = {
    "": ["--help"], "predict": ["a", "x.wav"], "report": ["a"], "compare": ["a", "b"],
    "extract": ["genre"], "retrain": ["--workdir=a"],
}  # fmt: skip
EARLY, EXTENSION = "absl", "numpy._core._multiarray_umath"


@pytest.fixture
def signalled(runs):
    (runs / "sitecustomize.py").write_text(SITECUSTOMIZE)
    return runs


@pytest.mark.parametrize(
    ("command", "at", "number"),
    [
        ("sweep", EARLY, signal.SIGINT),
        ("compare", EXTENSION, signal.SIGTERM),
        *(slow(command, EARLY, signal.SIGINT) for command in COMMANDS[2:]),
        *(slow(command, EXTENSION, signal.SIGINT) for command in COMMANDS[1:]),
        slow("eda", "matplotlib.backends._backend_agg", signal.SIGINT),  # in the middle of work
        slow("report", "jinja2", signal.SIGINT),
        slow("", "difflib", signal.SIGINT),
    ],
)
def test_a_signal_during_an_import_is_told_in_one_line(command, at, number, signalled, tmp_path):
    arguments = ARGUMENTS.get(command, ["--data=sample"])
    if command == "eda":
        arguments = [*arguments, f"--workdir={tmp_path / 'eda'}"]
    if command == "":
        arguments = ["swep"]  # what is near it is looked for with difflib
    process = start(command, *arguments, folder=signalled, AT=at, SIGNAL=str(int(number)))
    code, _, errors = end(process)
    lines = [line for line in errors.decode().splitlines() if line and "!" not in line]
    assert [line for line in lines if "SYNTHETIC" not in line][-1:] == [f"stopped by {number.name}"]
    assert b"Traceback" not in errors
    assert b"rror" not in errors
    assert code == 128 + number


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("tenths", [0, 2, 4, 6, 8, 10, 12, 14])
def test_a_signal_at_any_moment_of_the_start_is_told_in_one_line(
    tenths, number, signalled, tmp_path
):
    flags = ["--sweep=smoke", "--data=sample", f"--workdir={tmp_path / 'run'}"]
    process = start("sweep", *flags, folder=signalled, AT=EARLY, SIGNAL="0")
    assert process.stdout.readline() == b"started\n"
    time.sleep(tenths / 10)
    process.send_signal(number)
    code, _, errors = end(process)
    assert code == 128 + number
    assert f"\nstopped by {number.name}\n" in errors.decode()
    assert b"Traceback" not in errors
    assert b"rror" not in errors
