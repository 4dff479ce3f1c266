"""Worker processes, and what they train, against this process's own engine and each other."""

import itertools
import operator
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import make_arrays, make_fold, make_sweep, make_table, slow

from gtzan_jax import cli, process
from gtzan_jax.backends import processes as processes_module
from gtzan_jax.backends import work
from gtzan_jax.backends.backend import open_backend
from gtzan_jax.backends.processes import Processes
from gtzan_jax.backends.remote import RemoteTrainer
from gtzan_jax.errors import InputError, RunError, WorkerLostError, WorkerStartError
from gtzan_jax.metrics import METRICS
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.rundir.history import trials_of
from gtzan_jax.space.config import Config, Trial
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.folds import sizes_of
from gtzan_jax.trainer import platforms
from gtzan_jax.trainer.engine import Engine
from gtzan_jax.trainer.plan import Plan
from gtzan_jax.views import messages
from gtzan_jax.workers import Process

TABLE = make_table(num_features=9)
ROWS = np.random.default_rng(0).permutation(100)
PARTS = [
    make_fold(ROWS[:70], ROWS[70:80], ROWS[80:]),
    make_fold(ROWS[50:90], ROWS[:5], ROWS[5:15]),
]
SIZES, FOLDS = sizes_of(TABLE, PARTS), make_arrays(TABLE, *PARTS)
SWEEP = make_sweep(epochs=3)  # 24 configs of 4 structures
TRIALS = trials_of(SWEEP, 2, [0, 7])


def trainer_of(count=2, sweep=SWEEP, pool=None, **options):
    options = {"task_size": 4, "mode": "shape"} | options
    return RemoteTrainer(
        pool or Processes(count), "float32", Plan(sweep, MlpFamily(), SIZES, **options)
    )


def results_of(trainer, trials=TRIALS, **options):
    """Returns what trials have come to, as bytes, from a trainer's run."""
    found = {}
    for trained in trainer.run(trainer.plan.tasks(trials), FOLDS, **options):
        parts = (trained.history, trained.predicted, trained.last, trained.best)
        for trial, *values in zip(trained.task.trials, *parts, strict=True):
            found[trial] = b"".join(np.asarray(value).tobytes() for value in values)
    return found


def history_in(result):
    """Returns (epochs, metrics) of a result."""
    count = SWEEP.epochs * len(METRICS)
    return np.frombuffer(result[: 4 * count], np.float32).reshape(SWEEP.epochs, -1)


@pytest.fixture(scope="module")
def undisturbed():
    with trainer_of(2) as trainer:
        return results_of(trainer)


class Fake:
    """A worker in this process; ``ends`` returns the error with which it is lost, if any.

    It answers when the pool waits for it, so that all are handed a request before.
    """

    pid = 1

    def __init__(self, ends=lambda _: None):
        self._ends, self._worker, self.seen = ends, work._Worker(), []

    def submit(self, _function, _wanted, pickled, spec, fold):
        request, future = pickle.loads(pickled), Future()
        self.seen.append((request, spec is not None, fold is not None))
        if error := self._ends(request):
            self._worker = work._Worker()
            future.set_exception(error)
        else:
            try:
                future.set_result(self._worker.work(request, spec, fold))
            except WorkerLostError as lost:
                future.set_exception(lost)
        return future

    def start(self):
        pass

    leave = end = start


@pytest.fixture
def pool_of(monkeypatch):
    """Makes pools of such workers."""

    def make(*fakes):
        monkeypatch.setattr(processes_module, "_process", lambda number, _: fakes[number])
        return Processes(len(fakes))

    return make


@pytest.fixture(params=["in this process", slow("processes")])
def pool(request, pool_of):
    """Two workers; the real ones must send back what those in this process need not."""
    return Processes(2) if request.param == "processes" else pool_of(Fake(), Fake())


# Who trains makes no difference.


@pytest.mark.parametrize("count", [1, slow(3)])
def test_the_bytes_do_not_depend_on_how_many_workers_there_are(count, undisturbed):
    with trainer_of(count) as trainer:
        assert results_of(trainer) == undisturbed
    assert sorted(undisturbed) == sorted(TRIALS)


def test_workers_train_as_this_process_does():
    options = {"task_size": 4, "mode": "shape"}
    with (
        trainer_of(2) as trainer,
        Engine(SWEEP, MlpFamily(), SIZES, devices=jax.devices()[:1], **options) as engine,
    ):
        tasks = trainer.plan.tasks(TRIALS)
        assert tasks == engine.plan.tasks(TRIALS)
        theirs = {trained.task: trained for trained in trainer.run(tasks, FOLDS)}
        for mine in engine.run(tasks, FOLDS):
            np.testing.assert_allclose(theirs[mine.task].history, mine.history, rtol=1e-5)


def test_a_worker_has_its_next_task_before_the_caller_looks_at_an_answer(pool_of):
    fake = Fake()
    with trainer_of(pool=pool_of(fake)) as trainer:
        answers = trainer.run(trainer.plan.tasks(TRIALS), FOLDS)
        next(answers)
        assert len(fake.seen) == 2


def test_the_wait_for_programs_is_the_mean_of_the_workers_and_no_sum():
    with trainer_of(2) as trainer:
        for worker, seconds in (("a", 4.0), ("b", 3.0), ("a", 1.0)):
            trainer._take_note(work.Answer((), (), worker, seconds, 0))
        assert trainer.compile_wait_s == 4.0


def test_trials_that_may_stop_early_are_repacked_by_workers(pool):
    axes = {"patience": [0, 1, 2], "optimizer": ["adam", "rmsprop"]}
    sweep = make_sweep(epochs=12, axes=axes, protocol="holdout")
    trials = trials_of(sweep, 1, [0])
    with Engine(sweep, MlpFamily(), SIZES, devices=jax.devices()[:1], task_size=4) as engine:
        mine = {t.task: t for t in engine.run(engine.plan.tasks(trials), FOLDS)}
    with trainer_of(sweep=sweep, pool=pool, mode="auto") as trainer:
        theirs = list(trainer.run(trainer.plan.tasks(trials), FOLDS))
    assert len(theirs) == len(mine) == 6
    for trained in theirs:
        np.testing.assert_array_equal(trained.last, mine[trained.task].last)
        np.testing.assert_array_equal(trained.best, mine[trained.task].best)
        np.testing.assert_allclose(trained.history, mine[trained.task].history, rtol=1e-5)
    assert min(t.last.min() for t in theirs) < 12


def test_trials_go_on_from_states_of_other_workers(pool, undisturbed):
    with trainer_of(pool=pool) as trainer:
        begun = list(trainer.run(trainer.plan.tasks(TRIALS, 0, 1, keep="states"), FOLDS))
    states = {m: s for t in begun for m, s in zip(t.task.trials, t.states, strict=True)}
    with trainer_of(pool=pool) as trainer:
        rest = list(trainer.run(trainer.plan.tasks(TRIALS, 1, 3), FOLDS, states))
    histories = {}
    for trained in [*begun, *rest]:
        for trial, history in zip(trained.task.trials, trained.history, strict=True):
            histories.setdefault(trial, []).append(history)
    for trial, parts in histories.items():
        np.testing.assert_allclose(np.concatenate(parts), history_in(undisturbed[trial]), rtol=1e-5)


def test_workers_repeat_a_config_as_this_process_does(pool):
    ids = [config.id for config in SWEEP.configs[:3]]
    wanted = [Trial(i, fold, seed) for i in ids for fold in (1, 0) for seed in (3, 4, 5, 6, 7)]

    def repeated(trainer):
        return {
            trained.task: trained for trained in trainer.run(trainer.plan.repeats(wanted, 2), FOLDS)
        }

    with trainer_of(pool=pool) as trainer:
        found = repeated(trainer)
    options = {"task_size": 4, "mode": "shape"}
    with Engine(SWEEP, MlpFamily(), SIZES, devices=jax.devices()[:1], **options) as engine:
        expected = repeated(engine)
    # Configs of a bucket together, by fold.
    of, folds = engine.plan.bucket_of, [m.fold for m in wanted]
    ordered = sorted(wanted, key=lambda m: (of[m.config_id], folds.index(m.fold)))
    first = {task: ordered.index(task.trials[0]) for task in found}
    assert [m for task in sorted(found, key=first.get) for m in task.trials] == ordered
    for task, mine in expected.items():
        np.testing.assert_allclose(found[task].history, mine.history, rtol=1e-5)
        for one, other in zip(mine.params, found[task].params, strict=True):
            assert other.keys() == one.keys()


def test_configs_that_come_later_reach_the_workers(pool, undisturbed):
    widest = Config.of(**{**SWEEP.configs[-1], "num_units1": 14, "num_units2": 7})
    with trainer_of(pool=pool, configs=[widest], mode="auto") as trainer:
        trainer.plan.admit(SWEEP.configs)
        tasks = trainer.plan.tasks(TRIALS, packed=True)
        got = {
            m: h
            for t in trainer.run(tasks, FOLDS)
            for m, h in zip(t.task.trials, t.history, strict=True)
        }
    assert sorted(got) == sorted(TRIALS)
    for trial, history in got.items():
        np.testing.assert_allclose(history, history_in(undisturbed[trial]), rtol=1e-5)


# Processes.


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="systems that pin")
def test_each_process_has_a_core_of_its_own_and_a_device():
    cores = platforms.own_cores()
    assert len(cores) == platforms.usable_cores() > 1
    pool = Processes()
    slots = pool.processes
    hosts = [slot.submit(work.host_for, process.computing()).result() for slot in slots]
    assert [(host.platform, len(host.devices)) for host in hosts] == [("cpu", 1)] * len(cores)
    assert [os.sched_getaffinity(slot.pid) for slot in slots] == [{core} for core in cores]
    for slot in slots:  # and every thread of it, XLA's and NumPy's among them
        requests = [int(path.name) for path in Path(f"/proc/{slot.pid}/task").iterdir()]
        assert {frozenset(os.sched_getaffinity(request)) for request in requests} == {
            frozenset(os.sched_getaffinity(slot.pid))
        }


@pytest.mark.parametrize(("usable", "count"), [(1, None), (None, 1)])
def test_which_cores_a_part_of_them_is_the_system_chooses(monkeypatch, usable, count):
    if usable:  # a container's share of the cores' time
        monkeypatch.setattr(platforms, "usable_cores", lambda: usable)
        monkeypatch.setattr(processes_module, "usable_cores", lambda: usable)
    [slot] = Processes(count).processes
    assert os.sched_getaffinity(slot.submit(os.getpid).result()) == os.sched_getaffinity(0)


def test_there_are_no_more_processes_than_memory_for_them(monkeypatch):
    assert 1e8 < platforms.free_bytes() < 1e14
    monkeypatch.setattr(processes_module, "usable_cores", lambda: 64)
    monkeypatch.setattr(processes_module, "free_bytes", lambda: 2e9)
    with pytest.warns(
        UserWarning,
        match=r"only 2.0 GB of memory are free: starting 3 worker processes for 64 cores",
    ):
        assert len(Processes().processes) == 3


@pytest.mark.parametrize("limit", ["max", "3000"])
def test_in_a_container_what_only_caches_files_is_free(monkeypatch, tmp_path, limit):
    files = {"max": limit, "current": "2500", "stat": "anon 1000\ninactive_file 700\nslab 5"}
    for name, text in files.items():
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(platforms, "_CGROUP", tmp_path)
    free = platforms.free_bytes()
    assert free > 1e8 if limit == "max" else free == 1200


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="systems that fork")
def test_a_forked_child_has_processes_of_its_own():
    mine = Processes(1).processes[0].submit(os.getpid).result()
    theirs, end = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns of threads: this process has it
        child = os.fork()
    if child == 0:
        try:
            pid = Processes(1).processes[0].submit(os.getpid).result(60)
            os.write(end, str(pid).encode())
        finally:
            os._exit(0)  # else a second copy of this worker of the tests goes on
    os.close(end)
    with os.fdopen(theirs) as answer:
        assert int(answer.read() or mine) != mine
    os.waitpid(child, 0)


def test_processes_are_found_again():
    assert Processes(2).processes == Processes(2).processes


def test_a_process_that_is_lost_is_told_and_started_anew():
    slot = Process()
    with pytest.raises(WorkerLostError, match="SIGKILL, perhaps out of memory"):
        slot.submit(os.kill, slot.submit(os.getpid).result(), signal.SIGKILL).result()
    with pytest.raises(WorkerLostError, match="ended with code 3"):
        slot.submit(os._exit, 3).result()
    slot.submit(os.write, 2, b"of an earlier call").result()
    with pytest.raises(WorkerLostError, match=r"SIGABRT$"):
        slot.submit(os.abort).result()
    with pytest.raises(WorkerLostError, match=r"SIGABRT; its last line: no such device$"):
        slot.submit(exec, "import os; os.write(2, b'no such device'); os.abort()").result()
    assert slot.submit(os.getpid).result() == slot.pid
    slot.shutdown()
    assert slot.pid is None


# What a worker meets in place of JAX, and what is said of it.
STARTS = {
    "import": ("raise ImportError('libx.so: no such file')", "ImportError: libx.so: no such file"),
    "error": ("raise RuntimeError('no home')", "RuntimeError: no home"),
    "exit": ("raise SystemExit('no licence')", "no licence"),
    "code": ("import os; os._exit(3)", "ended with code 3"),
    "signal": ("import os; os.abort()", "was ended by SIGABRT"),
    "killed": ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
    "words": (
        "import os; os.write(2, b'Unknown flag\\n'); os.kill(os.getpid(), 9)",
        "Unknown flag",
    ),
}


def replace_jax(monkeypatch, folder, code):
    """Has processes that are started from now on find other code where they import JAX."""
    (folder / "jax.py").write_text(code)
    monkeypatch.syspath_prepend(folder)


@pytest.mark.parametrize("kind", ["import", "killed", *map(slow, list(STARTS)[1:])])
def test_a_process_that_fails_to_start_is_told_by_its_last_line(kind, monkeypatch, tmp_path, capfd):
    code, message = STARTS[kind]
    slot = Process(prepare=work.__name__)
    with monkeypatch.context() as patch:
        replace_jax(patch, tmp_path, code)
        slot.start()
        for _ in range(2):  # it starts anew each time
            with pytest.raises(WorkerStartError) as raised:
                slot.submit(os.getpid).result()
            assert str(raised.value) == message
    assert capfd.readouterr().err == ""
    if kind == "error":
        assert slot.submit(os.getpid).result() == slot.pid
    slot.shutdown()


def test_a_process_that_the_system_has_no_room_for_is_told(monkeypatch):
    def none(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", none)
    slot = Process()
    with pytest.raises(WorkerStartError, match=r"^Resource temporarily unavailable$"):
        slot.submit(os.getpid).result()
    slot.shutdown()


def test_where_workers_fail_to_start_a_run_ends_soon_and_blames_no_task(monkeypatch, tmp_path):
    starts = []
    started = Process._started
    monkeypatch.setattr(processes_module, "_process", lambda *_: Process(prepare=work.__name__))
    monkeypatch.setattr(Process, "_started", lambda *a: starts.append(a) or started(*a))
    replace_jax(monkeypatch, tmp_path, "raise RuntimeError('no home')")
    ending = r"^3 workers in a row failed to start, the last: RuntimeError: no home$"
    pool = Processes(2)
    with trainer_of(pool=pool) as trainer, pytest.raises(RunError, match=ending):
        results_of(trainer)
    assert 3 <= len(starts) <= 4
    for slot in pool.processes:
        slot.shutdown()


@pytest.mark.parametrize(("here", "there"), [("1", "3"), slow("0", "0")])
def test_a_process_is_as_quiet_as_a_command_unless_asked(monkeypatch, here, there):
    """JAX sets the variable to 1 where it is imported first; then XLA prints pages of doubts."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", here)
    slot = Process()
    assert slot.submit(os.getenv, "TF_CPP_MIN_LOG_LEVEL").result() == there
    slot.shutdown()


def test_errors_come_back_in_one_line(capfd):
    slot = Process()
    with pytest.raises(InputError, match="nowhere"):
        slot.submit(load_sweep, "nowhere", []).result()
    with pytest.raises(RunError, match=r"^ZeroDivisionError") as told:
        slot.submit(operator.truediv, 1, 0).result()
    assert str(told.value) == "ZeroDivisionError: division by zero"
    assert "Traceback" in told.value.__notes__[0]  # of an accident there is more to know
    slot.submit(print, "not an answer").result()
    assert slot.submit(operator.add, 1, 2).result() == 3
    slot.shutdown()
    assert capfd.readouterr() == ("", "")


# What ends a worker.


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_workers_cost_nothing_but_time(seed, undisturbed):
    """Two at random moments: a third could be at the same task, which ends a run."""
    pool, random, stop = Processes(2), np.random.default_rng(seed), threading.Event()
    killed = []

    def kill():
        while len(killed) < 2 and not stop.wait(random.uniform(0.1, 1.0)):
            pids = [slot.pid for slot in pool.processes if slot.pid]
            if pids:
                killed.append(random.choice(pids))
                os.kill(killed[-1], signal.SIGKILL)

    with trainer_of(pool=pool) as trainer:
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            while len(killed) < 2:
                assert results_of(trainer) == undisturbed
        finally:
            stop.set()
            killer.join()


def is_poison(request):
    return TRIALS[5] in request.tasks[0].trials


def test_workers_that_are_lost_by_chance_cost_no_more_than_time(pool_of):
    dice, lost = random.Random(0), Counter()

    def ends(request):
        if lost[request.tasks] < 2 and dice.random() < 0.5:
            lost[request.tasks] += 1
            return WorkerLostError("left")
        return None

    with trainer_of(pool=pool_of(*(Fake(ends) for _ in range(3)))) as trainer:
        found = results_of(trainer)
    with trainer_of(pool=pool_of(Fake())) as healthy:
        assert found == results_of(healthy)
    assert lost.total() >= 6


def test_a_task_that_costs_three_workers_ends_the_run_with_its_name(pool_of):
    def ends(request):
        return WorkerLostError("was lost") if is_poison(request) else None

    fakes = [Fake(ends), Fake(ends)]
    task = r"Task\(3 trials of fold 0, seed 7, .*\)"
    ending = rf"^3 workers were lost training {task}; the last was lost$"
    with trainer_of(pool=pool_of(*fakes)) as trainer, pytest.raises(RunError, match=ending):
        results_of(trainer)
    assert sum(is_poison(request) for fake in fakes for request, *_ in fake.seen) == 3


def test_workers_that_fail_to_start_beside_others_cost_no_task(pool_of, undisturbed):
    errors = [WorkerStartError("no room")] * 2
    fails = Fake(lambda _: errors.pop() if errors else None)
    with trainer_of(pool=pool_of(Fake(), fails)) as trainer:
        assert sorted(results_of(trainer)) == sorted(undisturbed)
    assert not errors


def test_a_worker_is_handed_spec_and_folds_once_unless_it_is_lost(pool_of):
    errors = [WorkerLostError("left")]
    fake = Fake(lambda t: errors.pop() if t.tasks[0].fold == 1 and errors else None)
    with trainer_of(pool=pool_of(fake)) as trainer:
        results_of(trainer)
    handed = [flags for _, *flags in fake.seen]
    assert [spec for spec, _ in handed].count(True) == 2
    assert [fold for _, fold in handed].count(True) == 4  # one is lost, and all are handed anew


@pytest.mark.parametrize("kind", ["in this process", slow("a process")])
def test_a_worker_lost_while_it_waits_is_handed_all_anew(kind, pool_of, undisturbed):
    fake = Fake()
    pool = pool_of(fake) if kind == "in this process" else Processes(1)
    with trainer_of(pool=pool) as trainer:
        first = results_of(trainer)
        if kind == "in this process":
            fake._worker = work._Worker()
        else:
            os.kill(pool.processes[0].pid, signal.SIGKILL)
            wait_until(lambda: pool.processes[0].pid is None)
            assert first == undisturbed
        assert results_of(trainer) == first


def test_a_worker_lost_before_another_plan_of_equal_folds_is_handed_all_anew(pool_of):
    fake = Fake()
    pool = pool_of(fake)
    with trainer_of(pool=pool) as trainer:
        first = results_of(trainer)
    fake._worker = work._Worker()
    with trainer_of(pool=pool, task_size=3) as trainer:
        assert results_of(trainer) == first


def test_a_worker_known_to_be_lost_costs_no_request(pool_of):
    fake = Fake()
    with trainer_of(pool=pool_of(fake)) as trainer:
        first, requests = results_of(trainer), len(fake.seen)
        fake._worker, fake.pid = work._Worker(), None
        assert results_of(trainer) == first
    assert len(fake.seen) == 2 * requests


def test_a_worker_keeps_to_the_programs_that_it_has_compiled(pool_of):
    fakes = [Fake(), Fake()]
    with trainer_of(pool=pool_of(*fakes)) as trainer:
        results_of(trainer)
    assert all(fake.seen for fake in fakes)
    for fake in fakes:
        programs = [request.tasks[0].program for request, *_ in fake.seen]
        assert len(set(programs)) <= 3 < len(programs)
        seeds = [request.tasks[0].seed for request, *_ in fake.seen]
        assert sum(a != b for a, b in itertools.pairwise(seeds)) <= 2  # numbers are drawn once


def test_a_worker_forgets_folds_of_which_there_are_too_many(monkeypatch, pool_of, undisturbed):
    monkeypatch.setattr(work, "REMEMBERED_BYTES", 1.0)
    fake = Fake()
    with trainer_of(pool=pool_of(fake)) as trainer:
        assert sorted(results_of(trainer)) == sorted(undisturbed)
    assert len(fake._worker._folds) == len(fake._worker._engine[1]._placed) == 1


def test_workers_of_other_versions_are_refused_before_they_compute(monkeypatch):
    wanted = process.computing() | {"jax": "0.1", "gtzan_jax": "0.0 (code 1234)"}
    monkeypatch.setattr(pickle, "loads", None)  # not even what they are handed is opened
    with pytest.raises(
        RunError,
        match=r"^version mismatch: the worker, process .*, has gtzan_jax .*, client 0.0 "
        r"\(code 1234\); jax .*, client 0.1; install the same versions$",
    ):
        work.work(wanted, b"", None, None)


# A command and its processes.

SCRIPT = """
from gtzan_jax import run_sweep
run_sweep("smoke", "sample", "run", retrain_epochs=1)
import sys
print(sorted(name for name in ("jax", "flax", "optax", "sklearn") if name in sys.modules))
"""


def children_of(pid):
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_script_needs_no_guard_and_imports_no_jax(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("smoke: 24 configurations × 2 epochs") == 1
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_a_command(number, tmp_path):
    flags = ["--data=sample", f"--workdir={tmp_path / 'run'}", "--set=epochs=400", "--workers=2"]
    command = subprocess.Popen(
        [sys.executable, "-m", "gtzan_jax.sweep", "--sweep=smoke", *flags],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: len(children_of(command.pid)) == 2)
    workers = children_of(command.pid)
    command.stdout.readline()  # it has begun
    time.sleep(1.0)
    command.send_signal(number)
    _, errors = command.communicate(timeout=30)
    assert command.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    assert ("resume with" in errors) == (number != signal.SIGKILL)
    wait_until(lambda: all(map(gone, workers)))


# Where to train.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 2, "scheduler": "tcp://localhost:1"}, "leave one out"),
        ({"scheduler": "nowhere.json"}, "neither an address such as tcp://host:8786 nor a"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "no answer from a scheduler"),
    ],
)
def test_places_that_are_not_to_be_had_are_told(arguments, message, monkeypatch):
    from gtzan_jax.backends import cluster

    monkeypatch.setattr(cluster, "_ANSWER_S", 0.5)
    with pytest.raises(InputError, match=message):
        open_backend("cpu", **arguments)


def test_accelerators_are_looked_for_without_jax(monkeypatch):
    for value, expected in (("cpu", False), ("cuda,cpu", True), ("", False)):
        monkeypatch.setenv("JAX_PLATFORMS", value)
        assert platforms.may_find_accelerator() == expected
    monkeypatch.setattr(platforms.importlib.util, "find_spec", lambda name: name == "libtpu")
    assert platforms.may_find_accelerator()


def test_what_two_workers_warn_of_is_told_once(capsys):
    workers = [Process(), Process()]
    with messages.each_warning_once(), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = cli.show_warning
        for worker in workers:
            worker.submit(warnings.warn, "the cache is full").result()
    for worker in workers:
        worker.shutdown()
    assert capsys.readouterr().err == "warning: the cache is full\n"
