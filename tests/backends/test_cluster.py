"""Workers of a Dask cluster, whatever ends them, end with the bytes of local processes."""

import asyncio
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError, Future
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT, make_arrays, make_fold, make_sweep, make_table
from loopback import loopback, wait_until

from gtzan_jax import process
from gtzan_jax.backends.cluster import Cluster, _answer_of
from gtzan_jax.backends.processes import Processes
from gtzan_jax.backends.remote import RemoteTrainer
from gtzan_jax.errors import BackendLostError, InputError, RunError
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.rundir.history import trials_of
from gtzan_jax.tables.folds import sizes_of
from gtzan_jax.trainer.plan import Plan

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")

TABLES = ("results.csv", "trials.csv", "history.csv", "best/history.csv")
SHORT = ["--sweep=smoke", "--data=sample", "--num_seeds=3", "--retrain_epochs=3"]
LONG = [*SHORT[:2], "--num_seeds=24", "--set=epochs=60", "--retrain_epochs=10"]


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    """A cluster of four workers, which a test may kill as long as it starts others.

    One request may be with each of them in turn while all are killed: by default Dask blames it.
    """
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "9")
    with loopback(tmp_path_factory.mktemp("dask") / "cluster", 4) as started:
        monkeypatch.undo()
        yield started


def begin(folder, *flags):
    """Begins the sweep command."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    command = subprocess.Popen(
        [sys.executable, "-m", "gtzan_jax.sweep", *flags, f"--workdir={folder}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=kept | {"PYTHONPATH": str(ROOT)}, cwd=folder.parent,
    )  # fmt: skip
    BEGUN.append(command)
    return command


BEGUN = []


@pytest.fixture(autouse=True)
def no_command_is_left():
    """Ends what a test that has failed has begun."""
    yield
    while BEGUN:
        with BEGUN.pop() as command:
            command.kill()


def end(command, code=0):
    """Waits for a command; returns what it printed, and what it complained of."""
    printed, errors = command.communicate(timeout=300)
    lines = [line for line in errors.splitlines() if "cpu_aot_loader" not in line]
    assert command.returncode == code, errors
    assert "Traceback" not in errors
    return printed, "\n".join(lines)


def tasks(folder):
    return list((folder / "checkpoints").glob("*.safetensors")) if folder.exists() else []


def tables(folder):
    """Returns the bytes of what a run comes to, its retraining included."""
    return {name: (folder / name).read_bytes() for name in TABLES}


def undisturbed(tmp_path_factory, flags):
    folder = tmp_path_factory.mktemp("local") / "run"
    end(begin(folder, *flags, "--workers=2"))
    return tables(folder)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """The tables of a short run by processes of this machine."""
    return undisturbed(tmp_path_factory, SHORT)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """The tables of a long one."""
    return undisturbed(tmp_path_factory, LONG)


# Nothing happens.


@pytest.mark.slow
def test_a_cluster_trains_to_the_bytes_of_local_processes(dask, tmp_path, short):
    printed, errors = end(begin(tmp_path / "run", *SHORT, f"--scheduler={dask.address}"))
    assert f"workers of {dask.address}, each with 1 × cpu" in " ".join(printed.split())
    assert errors == ""
    assert tables(tmp_path / "run") == short


@pytest.mark.slow
def test_a_cluster_is_found_by_its_schedulers_file(dask, tmp_path, short):
    end(begin(tmp_path / "run", *SHORT, f"--scheduler={dask.file}"))
    assert tables(tmp_path / "run") == short


@pytest.mark.slow
def test_a_cluster_does_as_well_for_long(dask, tmp_path, long):
    end(begin(tmp_path / "run", *LONG, f"--scheduler={dask.address}"))
    assert tables(tmp_path / "run") == long


# Somebody ends.


@pytest.mark.slow
def test_workers_that_are_killed_at_ten_moments_change_nothing(dask, tmp_path, long):
    """Some tasks apart: faster than any task is done, they look as if a task had done it."""
    dice, killed, runs = random.Random(0), 0, 0
    while killed < 10:
        runs += 1
        assert runs < 10
        folder, seen = tmp_path / f"run{runs}", 0
        command = begin(folder, *LONG, f"--scheduler={dask.address}")
        while command.poll() is None:
            time.sleep(dice.uniform(0.1, 1.0))
            if killed < 10 and len(tasks(folder)) >= seen + 4:
                seen = len(tasks(folder))
                dask.kill(dice.choice(dask.workers))
                dask.join()
                killed += 1
        end(command)
        assert tables(folder) == long


def test_answers_that_the_scheduler_takes_along_end_the_run_in_one_line():
    cluster, taken = object.__new__(Cluster), Future()
    taken.set_exception(CancelledError())
    cluster._scheduler, cluster._fit = "tcp://here", {"a"}
    cluster._client = SimpleNamespace(status="running", cancel=lambda _: None)
    cluster._look_again, cluster._begin = lambda: False, lambda *_: None
    cluster._call = lambda waiting: waiting.close() or taken
    request = SimpleNamespace(tasks=[SimpleNamespace(program=0)])
    with pytest.raises(BackendLostError, match="lost the connection to the scheduler tcp://here"):
        list(cluster.run([request], {}))


class DaskFuture:
    """Stands in for Dask's: is awaited once, and may be cancelled meanwhile."""

    def __init__(self, error=None, is_cancelled=False):
        self.error, self.becomes, self.is_cancelled = error, is_cancelled, False

    async def exception(self):
        self.is_cancelled = self.becomes
        return self.error

    def cancelled(self):
        return self.is_cancelled


class DaskClient:
    """Gathers one of the given lists at a time."""

    def __init__(self, *gathered):
        self.gathered = list(gathered)

    async def gather(self, futures, errors, asynchronous):
        assert (len(futures), errors, asynchronous) == (1, "skip", True)
        return self.gathered.pop(0) if self.gathered else []


def test_an_answer_that_is_lost_with_its_worker_is_waited_for_again():
    client = DaskClient([], ["answer"], ["another"])
    assert asyncio.run(_answer_of(client, DaskFuture())) == "answer"
    assert client.gathered == [["another"]]


def test_an_error_is_the_answer():
    error = ValueError("theirs")
    assert asyncio.run(_answer_of(DaskClient(["answer"]), DaskFuture(error))) is error


def test_a_future_that_is_cancelled_is_not_waited_for_any_more():
    answer = asyncio.run(_answer_of(DaskClient(), DaskFuture(is_cancelled=True)))
    assert isinstance(answer, CancelledError)


@pytest.mark.slow
def test_where_all_workers_are_killed_a_run_waits_for_others(dask, tmp_path, long):
    command = begin(tmp_path / "run", *LONG, f"--scheduler={dask.address}")
    wait_until(lambda: tasks(tmp_path / "run"))
    for worker in list(dask.workers):
        dask.kill(worker)
    time.sleep(3.0)
    used = Path(f"/proc/{command.pid}/stat").read_text().split()[13]
    time.sleep(3.0)
    assert command.poll() is None
    more = int(Path(f"/proc/{command.pid}/stat").read_text().split()[13]) - int(used)
    assert more < 100  # hundredths of a second: it sleeps
    dask.join(4)
    printed, _ = end(command)
    assert printed.count(f"waiting for a worker to join {dask.address} …") == 1
    assert tables(tmp_path / "run") == long


@pytest.mark.slow
def test_without_its_scheduler_a_run_ends_and_goes_on_later(tmp_path, long):
    flags = [*LONG]
    with loopback(tmp_path / "cluster", 2) as own:
        flags.append(f"--scheduler={own.address}")
        command = begin(tmp_path / "run", *flags)
        wait_until(lambda: tasks(tmp_path / "run"))
        own.kill_scheduler()
        _, errors = end(command, 1)
        assert errors == (
            f"error: lost the connection to the scheduler {own.address}; progress is saved: "
            "fix the problem, then resume with: python -m gtzan_jax.sweep "
            f"{' '.join(flags)} --workdir={tmp_path / 'run'}"
        )
        there = len(tasks(tmp_path / "run"))
        own.start_scheduler()
        own.join(2)
        printed, _ = end(begin(tmp_path / "run", *flags))
    assert there
    assert re.search(r"[1-9][\d,]* of 34,560 epochs", printed), printed
    assert tables(tmp_path / "run") == long


@pytest.mark.slow
def test_a_client_that_is_killed_goes_on_and_leaves_the_cluster_free(dask, tmp_path, long, short):
    flags = [*LONG, f"--scheduler={dask.address}"]
    command = begin(tmp_path / "run", *flags)
    wait_until(lambda: tasks(tmp_path / "run"))
    command.kill()
    command.communicate()
    end(begin(tmp_path / "other", *SHORT, f"--scheduler={dask.address}"))
    assert tables(tmp_path / "other") == short
    end(begin(tmp_path / "run", *flags))
    assert tables(tmp_path / "run") == long


# Somebody is not fit.


def with_another_line(folder):
    """Makes a copy of the package with one line changed; returns its PYTHONPATH."""
    shutil.copytree(ROOT / "gtzan_jax", folder / "gtzan_jax", symlinks=False)
    with (folder / "gtzan_jax" / "trainer" / "task.py").open("a") as source:
        source.write("# another line\n")
    return str(folder)


HAS_ANOTHER_JAX = """
import importlib.metadata
real = importlib.metadata.version
importlib.metadata.version = lambda name: "0.1" if name == "jax" else real(name)
"""
HAS_ANOTHER_DASK = HAS_ANOTHER_JAX.replace('"jax"', '"dask"')
IMPORTS = """
import os, sys
class Imports:
    def find_spec(self, name, *_):
        if name == "{name}":
            {does}
sys.meta_path.insert(0, Imports())
"""


def meets(does, name="gtzan_jax.backends.work"):
    """Returns what has a worker do something where it opens the first request."""
    return lambda folder: with_site(folder, IMPORTS.format(name=name, does=does))


def with_site(folder, code):
    """Makes a folder with code that Python runs at its start; returns a PYTHONPATH."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return os.pathsep.join([str(folder), str(ROOT)])


UNFIT = {
    "code": (
        with_another_line,
        r"version mismatch: .* has gtzan_jax \S+ \(code \w{8}\), client \S+ \(code \w{8}\)",
    ),
    "jax": (lambda f: with_site(f, HAS_ANOTHER_JAX), r"has jax 0\.1, client 0\.\d+\.\d+; install"),
    "dask": (
        lambda f: with_site(f, HAS_ANOTHER_DASK),
        r"version mismatch: .* has dask 0\.1, client \d+\.\S+; install the same versions",
    ),
    "none": (
        meets("raise ModuleNotFoundError(f'No module named {name!r}')", "gtzan_jax"),
        r"cannot be used \(ModuleNotFoundError\(\"No module named 'gtzan_jax'\"\)\): "
        r"install gtzan_jax there",
    ),
    "unpickling": (
        meets("raise ImportError('cannot import name x')"),
        r"cannot be used \(ImportError\('cannot import name x'\)\)",
    ),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Mismatched versions")  # Dask's, in this process
@pytest.mark.parametrize("kind", UNFIT)
def test_an_unfit_worker_is_refused_by_its_name(kind, tmp_path):
    make, message = UNFIT[kind]
    with loopback(tmp_path / "cluster", 1) as own:
        own.join(1, PYTHONPATH=make(tmp_path / "site"))
        wait_until(lambda: own.count() == 2)
        _, errors = end(begin(tmp_path / "run", *SHORT, f"--scheduler={own.address}"), 2)
        assert re.fullmatch(rf"error: tcp://127\.0\.0\.1:\d+\b.*{message}.*", errors), errors
        assert errors.endswith("install gtzan_jax there") == (kind == "none")
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("does", ["os._exit(3)", "raise SystemExit('no licence')"])
def test_a_worker_that_ends_when_it_is_asked_ends_the_run(does, tmp_path):
    path = meets(does)(tmp_path / "site")
    with loopback(tmp_path / "cluster", 0) as own:
        own.join(1, PYTHONPATH=path)
        wait_until(lambda: own.count() == 1)
        _, errors = end(begin(tmp_path / "run", *SHORT, f"--scheduler={own.address}"), 2)
    assert re.fullmatch(r"error: tcp://\S+ cannot be used \(.*\): see its log", errors)


@pytest.mark.slow
def test_a_scheduler_of_another_version_is_refused(monkeypatch, tmp_path):
    versions = process.computing() | {"dask": "0.1"}
    monkeypatch.setattr(process, "computing", lambda: versions)
    with (
        loopback(tmp_path / "cluster", 0) as own,
        pytest.raises(InputError, match=r"^--scheduler=tcp://\S+: version mismatch: scheduler has "
                      r"dask \S+, client 0\.1; install the same versions$"),
    ):  # fmt: skip
        Cluster(own.address)


@pytest.mark.slow
@pytest.mark.parametrize("kind", UNFIT)
def test_an_unfit_worker_that_joins_later_is_not_used(kind, tmp_path, long):
    make, message = UNFIT[kind]
    path = make(tmp_path / "site")
    with loopback(tmp_path / "cluster", 2) as own:
        command = begin(tmp_path / "run", *LONG, f"--scheduler={own.address}")
        wait_until(lambda: tasks(tmp_path / "run"))
        own.join(1, PYTHONPATH=path)
        own.join(1)
        _, errors = end(command)
    assert re.fullmatch(rf"warning: tcp://.*{message}.*; this worker is not used", errors), errors
    assert tables(tmp_path / "run") == long


# What travels.

TABLE = make_table(num_features=9)
ROWS = np.random.default_rng(0).permutation(100)
PARTS = [make_fold(ROWS[:70], ROWS[70:80], ROWS[80:]), make_fold(ROWS[50:90], ROWS[:5], ROWS[5:15])]
SIZES, FOLDS = sizes_of(TABLE, PARTS), make_arrays(TABLE, *PARTS)
SWEEP = make_sweep(epochs=3)
TRIALS = trials_of(SWEEP, 2, range(8))


def results_of(pool):
    """Returns what trials have come to, as bytes."""
    plan = Plan(SWEEP, MlpFamily(), SIZES, task_size=4, mode="shape")
    with RemoteTrainer(pool, "float32", plan) as trainer:
        return {
            trial: history.tobytes()
            for trained in trainer.run(trainer.plan.tasks(TRIALS), FOLDS)
            for trial, history in zip(trained.task.trials, trained.history, strict=True)
        }


def test_workers_without_a_table_are_sent_each_fold_once(tmp_path):
    (tmp_path / "empty").mkdir()
    with loopback(tmp_path / "cluster", 0) as own:
        own.join(1, cwd=tmp_path / "empty")
        pool = Cluster(own.address)
        assert results_of(pool) == results_of(Processes(1))
        assert len(pool._shared) == 4  # the function, the spec and two folds
        pool.close()
    assert not list((tmp_path / "empty").iterdir())


# Somebody is slow.


@pytest.mark.slow
def test_a_worker_that_stands_still_is_given_up_after_the_schedulers_time(
    tmp_path, long, monkeypatch
):
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL", "8 s")  # five minutes usually
    with loopback(tmp_path / "cluster", 3) as own:
        command = begin(tmp_path / "run", *LONG, f"--scheduler={own.address}")
        wait_until(lambda: tasks(tmp_path / "run"))
        own.workers[0].send_signal(signal.SIGSTOP)
        end(command)
    assert tables(tmp_path / "run") == long


@pytest.mark.slow
def test_a_worker_that_stands_still_for_a_while_goes_on(dask, tmp_path, long):
    command = begin(tmp_path / "run", *LONG, f"--scheduler={dask.address}")
    wait_until(lambda: tasks(tmp_path / "run"))
    dask.workers[1].send_signal(signal.SIGSTOP)
    time.sleep(4.0)
    dask.workers[1].send_signal(signal.SIGCONT)
    end(command)
    assert tables(tmp_path / "run") == long


@pytest.mark.slow
def test_a_worker_that_others_go_before_changes_nothing(dask, tmp_path, long):
    (slow,) = dask.join(1, before=("nice", "-n", "19"))
    end(begin(tmp_path / "run", *LONG, f"--scheduler={dask.address}"))
    dask.kill(slow)
    assert tables(tmp_path / "run") == long


# Somebody else is there.


@pytest.mark.slow
def test_a_run_directory_has_one_client(dask, tmp_path, long):
    first = begin(tmp_path / "run", *LONG, f"--scheduler={dask.address}")
    wait_until(lambda: tasks(tmp_path / "run"))
    _, errors = end(begin(tmp_path / "run", *LONG, f"--scheduler={dask.address}"), 2)
    assert re.fullmatch(rf"error: .* is in use by process {first.pid} on .*", errors), errors
    end(first)
    assert tables(tmp_path / "run") == long


@pytest.mark.slow
def test_two_clients_share_a_cluster(dask, tmp_path, long, short):
    flags = [f"--scheduler={dask.address}"]
    commands = begin(tmp_path / "a", *LONG, *flags), begin(tmp_path / "b", *SHORT, *flags)
    for command in commands:
        end(command)
    assert tables(tmp_path / "a") == long
    assert tables(tmp_path / "b") == short


# Somebody must not go on.


class Poisoned(Cluster):
    """A cluster whose workers end when they are handed a certain request."""

    def _begin(self, request, blobs):
        if (request.tasks[0].seed, request.tasks[0].fold) == (5, 1):
            return self._client.submit(os._exit, 3, **self._options)
        return super()._begin(request, blobs)


@pytest.mark.slow
def test_a_task_that_kills_its_workers_ends_the_run_with_its_name(tmp_path):
    with loopback(tmp_path / "cluster", 8) as own:
        wait_until(lambda: own.count() == 8)
        pool = Poisoned(own.address)
        ending = r"see the log of the last, tcp\S+$"
        task = r"Task\(.* fold 1, seed 5.*\)"
        with pytest.raises(RunError, match=rf"^4 workers were lost training {task}; {ending}"):
            results_of(pool)
        pool.close()


@pytest.mark.slow
def test_a_cluster_is_idle_after_ctrl_c(dask, tmp_path, short):
    command = begin(tmp_path / "run", *LONG, f"--scheduler={dask.address}")
    wait_until(lambda: tasks(tmp_path / "run"))
    command.send_signal(signal.SIGINT)
    _, errors = end(command, 130)
    assert "resume with" in errors
    wait_until(lambda: dask.tasks() == 0, 20)
    assert all(worker.poll() is None for worker in dask.workers)
    end(begin(tmp_path / "other", *SHORT, f"--scheduler={dask.address}"))
    assert tables(tmp_path / "other") == short


# Who may listen.


def make_certificate(folder):
    """Returns the paths of a new key and its certificate."""
    folder.mkdir()
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=cluster", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, certificate


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("openssl"), reason="makes certificates")
def test_a_cluster_with_tls_lets_in_who_has_its_certificate(tmp_path, short, monkeypatch):
    def have(key, certificate):
        for name, path in (("CA_FILE", certificate), ("CLIENT__CERT", certificate),
                           ("CLIENT__KEY", key)):  # fmt: skip
            monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{name}", str(path))

    key, certificate = make_certificate(tmp_path / "ours")
    security = [
        f"--tls-ca-file={certificate}", f"--tls-cert={certificate}", f"--tls-key={key}",
        "--protocol=tls",
    ]  # fmt: skip
    with loopback(tmp_path / "cluster", 2, *security) as own:
        assert own.address.startswith("tls://")
        flags = [*SHORT, f"--scheduler={own.address}"]
        _, errors = end(begin(tmp_path / "run", *flags), 2)
        assert errors.startswith(f"error: --scheduler={own.address}: no certificate is configured")
        have(*make_certificate(tmp_path / "strangers"))
        _, errors = end(begin(tmp_path / "run", *flags), 2)
        assert errors.startswith(f"error: --scheduler={own.address}: no answer from a scheduler")
        have(key, certificate)
        end(begin(tmp_path / "run", *flags))
    assert tables(tmp_path / "run") == short
