"""Worker processes, and what they train, against this process's own engine and each other."""

import itertools
import math
import operator
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter, defaultdict
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from conftest import make_arrays, make_fold, make_sweep, make_table

from gtzan_jax import cli, process
from gtzan_jax.backends import crew as crew_module
from gtzan_jax.backends import processes as processes_module
from gtzan_jax.backends import work
from gtzan_jax.backends.crew import Crew, _Handed
from gtzan_jax.backends.processes import Processes
from gtzan_jax.backends.waiting import Item, Waiting
from gtzan_jax.backends.workplace import workplace
from gtzan_jax.errors import InputError, RunError, WorkerLostError, WorkerStartError
from gtzan_jax.metrics import METRICS
from gtzan_jax.models.layout import MlpLayout
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.rundir.history import members_of
from gtzan_jax.space.config import Config, Member
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.folds import sizes_of
from gtzan_jax.trainer import platforms
from gtzan_jax.trainer.engine import Engine
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
MEMBERS = members_of(SWEEP, 2, [0, 7])


def crew_of(count=2, sweep=SWEEP, pool=None, **options):
    options = {"chunk_size": 4, "mode": "shape"} | options
    return Crew(pool or Processes(count), "float32", sweep, MlpLayout(), SIZES, **options)


def results_of(trainer, members=MEMBERS, **options):
    """Returns what members have come to, as bytes, from a trainer's run."""
    found = {}
    for trained in trainer.run(trainer.plan.chunks(members), FOLDS, **options):
        parts = (trained.history, trained.predicted, trained.last, trained.best)
        for member, *values in zip(trained.chunk.members, *parts, strict=True):
            found[member] = b"".join(np.asarray(value).tobytes() for value in values)
    return found


def history_in(result):
    """Returns (epochs, metrics) of a result."""
    count = SWEEP.epochs * len(METRICS)
    return np.frombuffer(result[: 4 * count], np.float32).reshape(SWEEP.epochs, -1)


@pytest.fixture(scope="module")
def undisturbed():
    with crew_of(2) as crew:
        return results_of(crew)


# Who trains makes no difference.


@pytest.mark.parametrize("count", [1, 3])
def test_the_bytes_do_not_depend_on_how_many_workers_there_are(count, undisturbed):
    with crew_of(count) as crew:
        assert results_of(crew) == undisturbed
    assert sorted(undisturbed) == sorted(MEMBERS)


def test_workers_train_as_this_process_does():
    options = {"chunk_size": 4, "mode": "shape"}
    with (
        crew_of(2) as crew,
        Engine(SWEEP, MlpFamily(), SIZES, devices=jax.devices()[:1], **options) as engine,
    ):
        chunks = crew.plan.chunks(MEMBERS)
        assert chunks == engine.plan.chunks(MEMBERS)
        theirs = {trained.chunk: trained for trained in crew.run(chunks, FOLDS)}
        for mine in engine.run(chunks, FOLDS):
            np.testing.assert_allclose(theirs[mine.chunk].history, mine.history, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_members_that_may_stop_early_are_repacked_by_workers(count):
    axes = {"patience": [0, 1, 2], "optimizer": ["adam", "rmsprop"]}
    sweep = make_sweep(epochs=12, axes=axes, protocol="holdout")
    members = members_of(sweep, 1, [0])
    with Engine(sweep, MlpFamily(), SIZES, devices=jax.devices()[:1], chunk_size=4) as engine:
        mine = {t.chunk: t for t in engine.run(engine.plan.chunks(members), FOLDS)}
    with crew_of(count, sweep, mode="auto") as crew:
        theirs = list(crew.run(crew.plan.chunks(members), FOLDS))
    assert len(theirs) == len(mine) == 6
    for trained in theirs:
        np.testing.assert_array_equal(trained.last, mine[trained.chunk].last)
        np.testing.assert_array_equal(trained.best, mine[trained.chunk].best)
        np.testing.assert_allclose(trained.history, mine[trained.chunk].history, rtol=1e-5)
    assert min(t.last.min() for t in theirs) < 12


def test_members_go_on_from_states_of_other_workers(undisturbed):
    with crew_of(2) as crew:
        begun = list(crew.run(crew.plan.chunks(MEMBERS, 0, 1, keep="states"), FOLDS))
    states = {m: s for t in begun for m, s in zip(t.chunk.members, t.states, strict=True)}
    with crew_of(1) as crew:
        rest = list(crew.run(crew.plan.chunks(MEMBERS, 1, 3), FOLDS, states))
    histories = {}
    for trained in [*begun, *rest]:
        for member, history in zip(trained.chunk.members, trained.history, strict=True):
            histories.setdefault(member, []).append(history)
    for member, parts in histories.items():
        np.testing.assert_allclose(
            np.concatenate(parts), history_in(undisturbed[member]), rtol=1e-5
        )


def test_workers_repeat_a_config_as_this_process_does():
    ids = [config.id for config in SWEEP.configs[:3]]
    wanted = [Member(i, fold, seed) for i in ids for fold in (1, 0) for seed in (3, 4, 5, 6, 7)]

    def repeated(trainer):
        return {
            trained.chunk: trained
            for trained in trainer.run(trainer.plan.repeats(wanted, 2), FOLDS)
        }

    with crew_of(2) as crew:
        found = repeated(crew)
    options = {"chunk_size": 4, "mode": "shape"}
    with Engine(SWEEP, MlpFamily(), SIZES, devices=jax.devices()[:1], **options) as engine:
        expected = repeated(engine)
    assert [m for chunk in sorted(found, key=lambda c: wanted.index(c.members[0]))
            for m in chunk.members] == wanted  # fmt: skip
    for chunk, mine in expected.items():
        np.testing.assert_allclose(found[chunk].history, mine.history, rtol=1e-5)
        for one, other in zip(mine.params, found[chunk].params, strict=True):
            assert other.keys() == one.keys()


def test_configs_that_come_later_reach_the_workers(undisturbed):
    widest = Config.of(**{**SWEEP.configs[-1], "num_units1": 14, "num_units2": 7})
    with crew_of(2, configs=[widest], mode="auto") as crew:
        crew.plan.admit(SWEEP.configs)
        chunks = crew.plan.chunks(MEMBERS, packed=True)
        got = {
            m: h
            for t in crew.run(chunks, FOLDS)
            for m, h in zip(t.chunk.members, t.history, strict=True)
        }
    assert sorted(got) == sorted(MEMBERS)
    for member, history in got.items():
        np.testing.assert_allclose(history, history_in(undisturbed[member]), rtol=1e-5)


def test_a_worker_gets_what_it_has_compiled_and_then_what_others_have_most_of():
    task = work.Task("", "")
    items = [Item(n, program, task, "") for n, program in enumerate("acbaabb")]
    waiting = Waiting(items)
    compiled = defaultdict(set, first={"a", "c"}, second={"b"})

    def take(slot):
        item = waiting.take(slot, compiled)
        compiled[slot].add(item.program)
        return item.number

    # Its own in their order, so that seeds follow each other.
    assert [take("first") for _ in range(4)] == [0, 1, 3, 4]
    # What comes back is the next of its program; who has nothing compiled helps where most is left.
    waiting.put_back(items[4])
    assert [take("third"), take("third"), take("second")] == [2, 5, 6]
    assert take("second") == 4
    assert not waiting


# Processes.


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="systems that pin")
def test_each_process_has_a_core_of_its_own_and_a_device():
    cores = platforms.own_cores()
    assert len(cores) == platforms.usable_cores() > 1
    pool = Processes()
    slots = list(pool.slots().values())
    hosts = [slot.submit(work.greet, process.computing()).result() for slot in slots]
    assert [(host.platform, len(host.devices)) for host in hosts] == [("cpu", 1)] * len(cores)
    assert [os.sched_getaffinity(slot.pid) for slot in slots] == [{core} for core in cores]
    for slot in slots:  # and every thread of it, XLA's and NumPy's among them
        tasks = [int(path.name) for path in Path(f"/proc/{slot.pid}/task").iterdir()]
        assert {frozenset(os.sched_getaffinity(task)) for task in tasks} == {
            frozenset(os.sched_getaffinity(slot.pid))
        }


@pytest.mark.parametrize(("usable", "count"), [(1, None), (None, 1)])
def test_which_cores_a_part_of_them_is_the_system_chooses(monkeypatch, usable, count):
    if usable:  # a container's share of the cores' time
        monkeypatch.setattr(platforms, "usable_cores", lambda: usable)
        monkeypatch.setattr(processes_module, "usable_cores", lambda: usable)
    [slot] = Processes(count).slots().values()
    assert os.sched_getaffinity(slot.submit(os.getpid).result()) == os.sched_getaffinity(0)


def test_there_are_no_more_processes_than_memory_for_them(monkeypatch):
    assert 1e8 < platforms.free_bytes() < 1e14
    monkeypatch.setattr(processes_module, "usable_cores", lambda: 64)
    monkeypatch.setattr(processes_module, "free_bytes", lambda: 2e9)
    with pytest.warns(UserWarning, match=r"2.0 GB of memory are free: 3 of 64 cores get a worker"):
        assert len(Processes().slots()) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="systems that fork")
def test_a_forked_child_has_processes_of_its_own():
    mine = Processes(1).slots()["process 0"].submit(os.getpid).result()
    theirs, end = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns of threads: this process has it
        child = os.fork()
    if child == 0:
        pid = Processes(1).slots()["process 0"].submit(os.getpid).result(20)
        os.write(end, str(pid).encode())
        os._exit(0)
    os.close(end)
    with os.fdopen(theirs) as answer:
        assert int(answer.read() or mine) != mine
    os.waitpid(child, 0)


def test_processes_are_found_again():
    assert dict(Processes(2).slots()) == dict(Processes(2).slots())


def test_a_process_that_is_lost_is_told_and_started_anew():
    slot = Process(prepare=work.__name__)
    with pytest.raises(WorkerLostError, match="SIGKILL, as where memory runs out"):
        slot.submit(os.kill, slot.submit(os.getpid).result(), signal.SIGKILL).result()
    with pytest.raises(WorkerLostError, match="ended with code 3"):
        slot.submit(os._exit, 3).result()
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


@pytest.mark.parametrize("kind", STARTS)
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
    slot = Process(prepare=work.__name__)
    with pytest.raises(WorkerStartError, match=r"^Resource temporarily unavailable$"):
        slot.submit(os.getpid).result()
    slot.shutdown()


def test_what_a_process_warns_of_while_it_starts_is_shown(monkeypatch, tmp_path, capfd):
    replace_jax(monkeypatch, tmp_path, "")
    (tmp_path / "sitecustomize.py").write_text("import os; os.write(2, b'a warning\\n')")
    real = "import sys; sys.path.remove(sys.path[0]); del sys.modules['jax']; import jax"
    (tmp_path / "jax.py").write_text(real.replace("sys.path[0]", repr(str(tmp_path))))
    slot = Process(prepare=work.__name__)
    slot.submit(os.write, 2, b"an error\n").result()
    slot.shutdown()
    assert capfd.readouterr().err == "a warning\nan error\n"


def test_where_workers_fail_to_start_a_run_ends_soon_and_blames_no_chunk(monkeypatch, tmp_path):
    starts = []
    started = Process._started
    monkeypatch.setattr(processes_module, "_process", lambda *_: Process(prepare=work.__name__))
    monkeypatch.setattr(Process, "_started", lambda *a: starts.append(a) or started(*a))
    replace_jax(monkeypatch, tmp_path, "raise RuntimeError('no home')")
    ending = (
        r"^3 workers in a row failed to start, the last: RuntimeError: no home; what is finished "
        r"is kept$"
    )
    pool = Processes(2)
    with crew_of(pool=pool) as crew, pytest.raises(RunError, match=ending):
        results_of(crew)
    assert 3 <= len(starts) <= 4
    for slot in pool.slots().values():
        slot.shutdown()


def test_workers_that_fail_to_start_beside_others_cost_no_chunk(undisturbed):
    desk = work._Desk()

    def fails(*_):
        raise WorkerStartError("was ended by SIGKILL")

    def works(_, pickled, blobs):
        return desk.work(pickle.loads(pickled), blobs)

    with crew_of(pool=Scripted([works], [fails, fails, works])) as crew:
        assert sorted(results_of(crew)) == sorted(undisturbed)


@pytest.mark.parametrize(("here", "there"), [("1", "3"), ("0", "0")])
def test_a_process_is_as_quiet_as_a_command_unless_asked(monkeypatch, here, there):
    """JAX sets the variable to 1 where it is imported first; then XLA prints pages of doubts."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", here)
    slot = Process(prepare=work.__name__)
    assert slot.submit(os.getenv, "TF_CPP_MIN_LOG_LEVEL").result() == there
    slot.shutdown()


def test_errors_come_back_in_one_line(capfd):
    slot = Process(prepare=work.__name__)
    with pytest.raises(InputError, match="nowhere"):
        slot.submit(load_sweep, "nowhere", []).result()
    with pytest.raises(RunError, match=r"^ZeroDivisionError: division by zero$"):
        slot.submit(operator.truediv, 1, 0).result()
    slot.submit(print, "not an answer").result()
    assert slot.submit(operator.add, 1, 2).result() == 3
    slot.shutdown()
    printed = capfd.readouterr()
    assert "not an answer" in printed.err
    assert "Traceback" in printed.err  # of an accident there is more to know
    assert not printed.out


# What ends a worker.


@pytest.mark.parametrize("seed", range(3))
def test_killed_workers_cost_nothing_but_time(seed, undisturbed):
    """Two at random moments: a third could be at the same chunk, which ends a run."""
    pool, random, stop = Processes(2), np.random.default_rng(seed), threading.Event()
    killed = []

    def kill():
        while len(killed) < 2 and not stop.wait(random.uniform(0.1, 1.0)):
            pids = [slot.pid for slot in pool.slots().values() if slot.pid]
            if pids:
                killed.append(random.choice(pids))
                os.kill(killed[-1], signal.SIGKILL)

    with crew_of(pool=pool) as crew:
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            while len(killed) < 2:
                assert results_of(crew) == undisturbed
        finally:
            stop.set()
            killer.join()


class Scripted:
    """A pool that answers in this process, as a test says; each of its slots is a list."""

    depth, patience_s, strikes = 1, math.inf, 3
    host, place, devices = Processes.host, "scripted", ()

    def __init__(self, *scripts):
        self._slots = {str(i): _Script(script) for i, script in enumerate(scripts)}

    def slots(self):
        return self._slots

    def explained(self, error):
        return error

    def stop(self):
        pass


class _Script(list):
    """Functions of a desk and the arguments of a call, one for each call, the last for the rest."""

    def submit(self, _, wanted, pickled, blobs):
        future = Future()
        try:
            future.set_result((self.pop(0) if len(self) > 1 else self[0])(wanted, pickled, blobs))
        except RunError as error:
            future.set_exception(error)
        return future


def test_a_worker_that_was_lost_before_it_knew_anything_costs_no_endless_questions(undisturbed):
    """The next one lacks more than the last one did: all of it must come with one answer."""
    desks = [work._Desk(), work._Desk()]
    asked = []

    def at(desk):
        def call(_, pickled, blobs):
            asked.append(blobs)
            assert len(asked) < 48, "asked without end"
            return desks[desk].work(pickle.loads(pickled), blobs)

        return call

    def lost(*_):
        raise WorkerLostError("was ended by a test")

    calls = [*[at(0)] * 30, lost, at(1)]  # in the midst of the second fold
    with crew_of(pool=Scripted(calls)) as crew:
        got = results_of(crew)
    assert sorted(got) == sorted(undisturbed)


def test_a_task_that_two_have_done_at_once_counts_once(undisturbed):
    desk = work._Desk()
    pool = Scripted(
        [lambda _, pickled, blobs: desk.work(pickle.loads(pickled), blobs)] * 2,
        [lambda _, pickled, blobs: desk.work(pickle.loads(pickled), blobs)] * 2,
    )
    with crew_of(pool=pool) as crew:
        crew._late = lambda running: next((h.item for h in running.values()), None)
        numbers = [m for t in crew.run(crew.plan.chunks(MEMBERS), FOLDS) for m in t.chunk.members]
    assert sorted(numbers) == sorted(undisturbed)


def test_what_is_late_others_do_at_once_and_again_where_they_are_late_too(monkeypatch):
    now = 0.0
    monkeypatch.setattr(crew_module, "time", SimpleNamespace(monotonic=lambda: now))
    pool = Scripted([])
    pool.patience_s = 10.0
    items = [Item(number, "program", work.Task("", ""), "") for number in range(2)]
    with crew_of(pool=pool) as crew:
        crew._compiled["other"].add("program")
        running = {Future(): _Handed("still", item, 0.0) for item in items}
        now = 1000.0
        assert crew._late(running) is None  # nobody knows how long a task takes
        now = 5.0
        crew._take_note(_Handed("other", items[0], 0.0), work.Answer())
        now = 20.0
        assert crew._late(running) is None
        now = 21.0  # more than twice the five seconds and ten
        for item in items:
            assert crew._late(running) is item
            running[Future()] = _Handed("other", item, now)
        assert crew._late(running) is None
        now = 25.0  # the other has taken four
        crew._take_note(_Handed("other", items[0], 21.0), work.Answer())
        assert crew._longest_s == 5.0
        now = 61.0
        assert crew._late(running) is None
        now = 62.0  # two are at it, for twice as long
        assert crew._late(running) is items[0]


def test_a_worker_forgets_folds_of_which_there_are_too_many(monkeypatch, undisturbed):
    monkeypatch.setattr(work, "_REMEMBERED_BYTES", 1.0)
    desk = work._Desk()
    pool = Scripted([lambda _, pickled, blobs: desk.work(pickle.loads(pickled), blobs)])
    with crew_of(pool=pool) as crew:
        assert sorted(results_of(crew)) == sorted(undisturbed)
    assert len(desk._folds) == len(desk._spec[2]._placed) == 1


class Poisoned:
    """A pool whose processes end when they are handed a task with some member."""

    depth, host, place, devices = 1, Processes.host, "poisoned", ()
    patience_s, strikes = Processes.patience_s, Processes.strikes

    def __init__(self, member):
        self._pool, self._poison = Processes(2), member
        self.ended = 0

    def slots(self):
        return {name: _Taster(self, slot) for name, slot in self._pool.slots().items()}

    def explained(self, error):
        return self._pool.explained(error)

    def stop(self):
        self._pool.stop()


def _members(piece):
    return [Member(config_id, piece.fold, piece.seed) for config_id in piece.config_ids]


class _Taster:
    def __init__(self, pool, slot):
        self._pool, self._slot = pool, slot

    def submit(self, function, wanted, pickled, blobs):
        task = pickle.loads(pickled)
        if any(self._pool._poison in _members(piece) for piece in task.pieces):
            self._pool.ended += 1
            return self._slot.submit(os.abort)
        return self._slot.submit(function, wanted, pickled, blobs)


def test_a_chunk_that_costs_three_workers_ends_the_run_with_its_name():
    pool = Poisoned(MEMBERS[5])
    found = []
    with (
        crew_of(pool=pool) as crew,
        pytest.raises(
            RunError, match=r"Chunk\(.*has cost 3 workers, the last was ended by SIGABRT"
        ),
    ):
        found += crew.run(crew.plan.chunks(MEMBERS), FOLDS)  # keeps what came before the error
    assert pool.ended == 3


class Mortal:
    """A pool of four that answers in this process, each time it is asked who is there.

    Args:
      costs: how many workers a task costs before it is done. A worker is lost with all that it has
        in hand, an answer that it has given before included.
      bad: whether a machine is bad: its worker is lost at whatever it does, and joins again.
    """

    depth, patience_s, strikes = 2, math.inf, 10
    host, place, devices = Processes.host, "mortal", ()

    def __init__(self, costs, bad=False):
        self._costs, self._desk = costs, work._Desk()
        self._bad = {0} if bad else set()
        self._names = itertools.count()
        self._slots = {next(self._names): _Mortal() for _ in range(4)}
        self.lost_at = Counter()

    def slots(self):
        for name, slot in [pair for pair in self._slots.items() if pair[1]]:
            futures, tasks, blobs = zip(*slot, strict=True)
            ends = next(
                (t for t in tasks if name in self._bad or self.lost_at[t.pieces] < self._costs(t)),
                None,
            )
            if ends is None:
                slot.pop(0)
                futures[0].set_result(self._desk.work(tasks[0], blobs[0]))
            else:
                self.lost_at[ends.pieces] += 1
                for future in futures:
                    future.set_exception(WorkerLostError("left"))
                del self._slots[name]
                joined = next(self._names)
                self._slots[joined] = _Mortal()
                self._bad |= {joined} if name in self._bad else set()
        return self._slots

    def explained(self, error):
        return error

    def stop(self):
        pass


class _Mortal(list):
    def submit(self, _function, _wanted, pickled, blobs):
        future = Future()
        self.append((future, pickle.loads(pickled), blobs))
        return future


def is_poison(task):
    return MEMBERS[5] in _members(task.pieces[0])


def by_chance(task, salt=0):
    """Draws how many workers are lost at a task."""
    return random.Random(f"{salt} {task.pieces}").choices([0, 1, 2], [2, 1, 1])[0]


@pytest.mark.parametrize("salt", range(3))
def test_workers_that_are_lost_by_chance_cost_no_more_than_time(salt):
    pool = Mortal(lambda task: by_chance(task, salt))
    with crew_of(pool=pool) as crew, crew_of(pool=Mortal(lambda _: 0)) as healthy:
        assert results_of(crew) == results_of(healthy)
    assert pool.lost_at.total() >= 6


def test_a_machine_that_ends_its_workers_is_not_taken_for_a_chunk():
    pool = Mortal(lambda _: 0, bad=True)
    with crew_of(pool=pool) as crew, crew_of(pool=Mortal(lambda _: 0)) as healthy:
        assert results_of(crew) == results_of(healthy)
    assert pool.lost_at.total() >= 3


@pytest.mark.parametrize(("others", "most"), [(lambda _: 0, 3), (by_chance, 10)])
def test_a_chunk_that_costs_workers_is_found_among_others(others, most):
    pool = Mortal(lambda task: math.inf if is_poison(task) else others(task))
    with crew_of(pool=pool) as crew, pytest.raises(RunError, match="has cost") as raised:
        results_of(crew)
    ((pieces, lost),) = pool.lost_at.most_common(1)
    assert 3 <= lost <= most
    assert MEMBERS[5] in _members(pieces[0])
    name = f"{len(pieces[0].config_ids)} members of fold 0, seed {MEMBERS[5].seed}"
    assert re.match(rf"Chunk\({name}.* has cost {lost} workers, the last left", str(raised.value))


def test_where_most_are_lost_with_others_a_chunk_may_cost_ten():
    item = Item(0, "program", work.Task("", ""), "it")
    with crew_of(pool=Mortal(None)) as crew:
        for count in range(1, 11):
            crew._losses._count, crew._losses._in_a_row = 2 * count, 0
            assert item.strikes == count - 1
            ending = pytest.raises(RunError, match=r"^it has cost 10 ")
            with ending if count == 10 else nullcontext():
                crew._lose("a", WorkerLostError("left"), Waiting([]), {
                    Future(): _Handed("a", item, 0.0)
                })  # fmt: skip


def test_where_all_chunks_cost_workers_a_run_ends_soon():
    pool = Mortal(lambda _: math.inf)
    ending = r"^14 workers were lost and nothing got done meanwhile, the last left, with Chunk\("
    with crew_of(pool=pool) as crew, pytest.raises(RunError, match=ending):
        results_of(crew)
    assert pool.lost_at.total() <= 17  # the last with three others


def test_what_a_lost_worker_had_in_hand_comes_next_and_alone():
    items = [Item(number, "program", work.Task("", ""), "") for number in range(8)]
    running = {Future(): _Handed(slot, i, 0.0) for i, slot in zip(items, "aaaba", strict=False)}
    running[Future()] = _Handed("b", items[4], 0.0)  # another does it, too
    next(iter(running)).set_result(work.Answer())  # which nobody has looked at yet
    waiting = Waiting(items[5:])
    pool = Mortal(None)
    with crew_of(pool=pool) as crew:
        crew._lose("a", WorkerLostError("left"), waiting, running)
        assert [item.strikes for item in items] == [0, 1, 1, 0, 1, 0, 0, 0]
        assert [handed.item.number for handed in running.values()] == [0, 3, 4]
        crew._losses._survivors = {"b", "c"}
        pool._slots = {"a new one": _Mortal(), "b": _Mortal(), "c": _Mortal()}
        pool.slots = lambda: pool._slots
        crew._hand_out(waiting, running)
        handed = [(h.slot, h.item.number) for h in running.values()][3:]
        assert handed == [("a new one", 5), ("c", 1)]  # who joins after a loss gets no suspect
        running = {f: h for f, h in running.items() if h.slot != "b"}
        crew._hand_out(waiting, running)
        assert [(h.slot, h.item.number) for h in running.values()][3:] == [("b", 2)]


def test_workers_of_other_versions_are_refused_before_they_compute(monkeypatch):
    wanted = process.computing() | {"jax": "0.1", "gtzan_jax": "0.0 (code 1234)"}
    monkeypatch.setattr(pickle, "loads", None)  # not even what they are handed is opened
    with pytest.raises(
        RunError,
        match=r"^version mismatch: the worker, process .*, has gtzan_jax .*, client 0.0 "
        r"\(code 1234\); jax .*, client 0.1; install the same versions$",
    ):
        work.work(wanted, b"", {})


def test_workers_of_another_kind_are_refused():
    pool = Processes(1)
    other = type("Other", (), {
        "depth": 1, "patience_s": 1.0, "strikes": 3, "place": "",
        "host": work.Host("cpu", ("a", "b")),
        "slots": pool.slots, "explained": pool.explained, "stop": pool.stop, "devices": (),
    })()  # fmt: skip
    with crew_of(pool=other) as crew, pytest.raises(RunError, match="must be of one kind"):
        results_of(crew)


# A command and its processes.

SCRIPT = """
from gtzan_jax import run_sweep
run_sweep("smoke", "sample", "run", retrain_epochs=0)
import sys
print(sorted(name for name in ("jax", "flax", "optax") if name in sys.modules))
"""


def children_of(pid):
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
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
    assert done.stdout.count("smoke: 24 configs") == 1
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
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
    assert ("go on with" in errors) == (number != signal.SIGKILL)
    wait_until(lambda: all(map(gone, workers)))


# Where to train.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 2, "scheduler": "tcp://localhost:1"}, "leave one out"),
        ({"scheduler": "nowhere.json"}, "neither an address such as tcp://host:8786 nor the file"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "no scheduler answers there"),
    ],
)
def test_places_that_are_not_to_be_had_are_told(arguments, message, monkeypatch):
    from gtzan_jax.backends import cluster

    monkeypatch.setattr(cluster, "_ANSWER_S", 0.5)
    with pytest.raises(InputError, match=message):
        workplace("cpu", **arguments)


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
