"""Commands that commands print can be pasted into a shell, whatever the names of folders are."""

import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import make_sweep, make_table
from finished_runs import random_history, write_run
from report_words import words_of
from test_console import end, start

from gtzan_jax.jobs.job import Job
from gtzan_jax.jobs.options import SweepOptions
from gtzan_jax.jobs.reporting import build
from gtzan_jax.resources import resource
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.text import command_line, flag, tensorboard_line
from gtzan_jax.views import messages

ODD = 'it\'s $HOME a "b" \\c; *'


def pasted(line, folder):
    """Runs a line in a shell, as where one pastes it; returns the process that has ended."""
    line = re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", line.strip())
    return subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True)


def test_a_shell_takes_commands_as_they_were_given():
    words = ["--data=" + ODD, ODD]
    assert shlex.split(command_line("sweep", words)) == ["python", "-m", "gtzan_jax.sweep", *words]
    assert shlex.split(flag("workdir", ODD)) == [f"--workdir={ODD}"]
    assert shlex.split(tensorboard_line(ODD)) == ["tensorboard", "--logdir", ODD]
    assert flag("workdir", "runs/a-1") == "--workdir=runs/a-1"


@pytest.mark.parametrize(
    ("given", "options", "expected"),
    [
        ([], {}, ["--workdir=a b"]),
        (["--workdir=a b"], {"workdir": "a b"}, ["--workdir=a b"]),
        (
            ["--overwrite", "-workdir", "a b"],
            {"workdir": "a b", "overwrite": True},
            ["-workdir", "a b"],
        ),
    ],
)
def test_the_command_that_resumes_has_the_flags_that_it_needs(given, options, expected):
    words = ["--data=a b.csv", "--workers", "2"]
    options = SweepOptions(command=command_line("sweep", [*words, *given]), **options)
    job = SimpleNamespace(options=options, run=SimpleNamespace(path=Path("a b")))
    assert Job.resume.fget(job) == command_line("sweep", [*words, *expected])


def test_a_report_names_commands_for_its_own_run(tmp_path):
    table = make_table()
    folder = write_run(tmp_path / ODD, make_sweep(), random_history(make_sweep()), table)
    found = words_of(build(read_finished(folder)).html)
    (command,) = re.findall(r"`(python -m gtzan_jax\.retrain [^`]*)` trains one", found)
    assert shlex.split(command)[3] == f"--workdir={folder}"


def test_log_directories_are_shown_by_the_lines_of_the_summary(tmp_path, capsys):
    folder = write_run(tmp_path / ODD, make_sweep(), random_history(make_sweep()), make_table())
    messages.print_summary(read_finished(folder), {})
    lines = [line for line in capsys.readouterr().out.splitlines() if "--logdir" in line]
    shown = [shlex.split(line, comments=True)[2] for line in lines]
    assert shown == [str(folder / "tensorboard"), str(folder / "overview")]


@pytest.mark.slow
def test_the_printed_command_goes_on_from_a_folder_with_an_odd_name(tmp_path):
    folder = tmp_path / ODD
    folder.mkdir()
    shutil.copy(resource("sweeps", "smoke.toml"), folder / "my sweep.toml")
    flags = ["--sweep=my sweep.toml", "--data=sample", "--set=epochs=40", "--retrain_epochs=0"]
    place = ["--platform=cpu", "--workers=1", f"--workdir={ODD}", "--overwrite"]
    process = start("sweep", *flags, *place, folder=folder)
    assert any(b" compiled" in line for line in process.stdout)  # reads as far as that
    process.send_signal(signal.SIGINT)
    code, _, errors = end(process)
    assert code == 130
    line = errors.decode().splitlines()[-1]
    assert "--overwrite" not in line
    done = pasted(line, folder)
    assert done.returncode == 0, done.stderr
    assert "already trained" in done.stdout
    tensorboard = next(line for line in done.stdout.splitlines() if "--logdir" in line)
    assert (folder / shlex.split(tensorboard, comments=True)[2]).is_dir()
