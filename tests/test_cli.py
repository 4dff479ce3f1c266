import signal
import subprocess
import sys

import pytest
from commands import parsed, run_here

from gtzan_jax.jobs.options import PredictOptions, RetrainOptions

COMMAND = """
import importlib, os, signal, sys, time
from gtzan_jax import cli
from gtzan_jax.jobs.options import EdaOptions
from gtzan_jax.errors import InputError, Interrupted, RunError

def stopping():
    try:
        print("ready", flush=True)
        time.sleep(60)
    except Interrupted as interrupted:
        interrupted.hint = "go on like this"
        print("stopping", flush=True)
        time.sleep(sys.stdin.readline() == "slowly\\n" and 60)
        raise

class Finalized:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(60)

def stopping_after_a_finalizer():
    finalized = Finalized()
    del finalized  # what a signal raises in there is lost
    stopping()

class Finder:
    def find_spec(self, name, path=None, target=None):
        os.kill(os.getpid(), signal.SIGINT)

def ending_after_an_import():
    sys.meta_path.insert(0, Finder())
    importlib.import_module("colorsys")
    sys.meta_path.pop(0)

def failing(error):
    raise error

sys.argv = ["command"]
cli.run(lambda _: MAIN, EdaOptions)
"""


def start(main):
    command = [sys.executable, "-c", COMMAND.replace("MAIN", main)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_an_error_is_a_line_and_a_code():
    process = start("failing(RunError('all diverged'))")
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, "error: all diverged\n")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("sweep", ["--set=epoch=3"], "sweeps/assignment.toml with overrides: unknown key 'epoch'"),
        ("sweep", ["--protocol=leave_one_out"], "one of <assignment|holdout|kfold|artist_kfold|"),
        ("sweep", ["smoke"], "unexpected argument 'smoke'; flags begin with --"),
        ("retrain", ["--workdir=nowhere"], "not a run directory"),
        ("retrain", [], "missing --workdir; --help shows examples"),
        ("retrain", ["--workdir=a", "--rank=0"], "--rank=0: 0 is not an integer in the range [1, "),
        ("predict", ["run"], "missing SONG …; --help shows examples"),
        ("predict", ["run", "a.wav", "--hop_seconds=0"], "--hop_seconds=0"),
        ("compare", ["a"], "missing RUN_B …; --help"),
        ("report", [], "missing RUNDIR;"),
        ("extract", [], "missing FOLDER;"),
        ("extract", ["a", "--segment_seconds=5"], "should be one of <3>"),
        ("eda", ["--datta=sample"], "unknown flag --datta (did you mean --data?); --help lists"),
        ("eda", ["--data=nowhere.csv"], "nowhere.csv"),
        ("baselines", ["--workers=-1"], "--workers=-1"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, name, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert run_here(name, *arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not list(tmp_path.iterdir())


def test_arguments_and_flags_become_options():
    _, given = parsed("predict", "run", "a.wav", "--json", "folder", "--hop_seconds=1.5")
    assert given == PredictOptions("run", ["a.wav", "folder"], hop_seconds=1.5, json=True)
    _, given = parsed("report", "run")
    assert (given.run, given.others, given.baselines) == ("run", [], [])
    _, given = parsed("sweep", "--set=epochs=3", "--optimizer=adam,sgd", "--nooverwrite")
    assert given.overrides == ["epochs=3", "optimizer=adam,sgd"]
    words = "--set=epochs=3 --optimizer=adam,sgd --nooverwrite"
    assert given.command == f"python -m gtzan_jax.sweep {words}"
    _, given = parsed("retrain", "--workdir=run", "--rank=2")
    assert given == RetrainOptions("run", rank=2, command=given.command)


@pytest.mark.parametrize("main", ["stopping()", "stopping_after_a_finalizer()"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_command_and_tells_how_to_go_on(number, code, main):
    process = start(main)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, errors = process.communicate("quickly\n", timeout=60)
    assert process.returncode == code
    assert errors == f"\nstopped by {number.name}\ngo on like this\n"


def test_a_signal_during_the_last_import_is_not_lost():
    process = start("ending_after_an_import()")
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "\nstopped by SIGINT\n")


def test_a_second_signal_stops_at_once():
    process = start("stopping()")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "stopping\n"
    process.stdin.write("slowly\n")
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == -signal.SIGINT
    process.communicate()
