import signal
import subprocess
import sys

import pytest

COMMAND = """
import sys, time
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


@pytest.mark.parametrize(
    ("main", "code", "message"),
    [
        ("failing(InputError('no such file'))", 2, "error: no such file\n"),
        ("failing(RunError('all diverged'))", 1, "error: all diverged\n"),
        ("0", 0, ""),
        ("None", 0, ""),
    ],
)
def test_errors_are_one_line_and_a_code(main, code, message):
    process = start(main)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (code, message)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_command_and_tells_how_to_go_on(number, code):
    process = start("stopping()")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, errors = process.communicate("quickly\n", timeout=60)
    assert process.returncode == code
    assert errors == f"\nstopped by {number.name}\ngo on like this\n"


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
