"""A sweep that is interrupted anywhere goes on and ends with the same bytes."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from commands import command, parsed
from conftest import slow
from finished_runs import flip
from jax.experimental.compilation_cache import compilation_cache

from gtzan_jax.errors import InputError, RunError
from gtzan_jax.files import held
from gtzan_jax.jobs.job import Training
from gtzan_jax.rundir import checkpoints
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.trainer import plan, task
from gtzan_jax.trainer.engine import Engine
from gtzan_jax.trainer.plan import COSTS

TABLES = ("results.csv", "history.csv")
AXES = ["--set=axes.num_units2=[16]", "--set=axes.dropout3=[0.0]"]  # 12 trials
pytestmark = pytest.mark.usefixtures("in_process")
TINY = ["--data=sample", "--sweep=smoke", "--retrain_epochs=3", *AXES]


@pytest.fixture(scope="module", autouse=True)
def small_tasks(tmp_path_factory):
    """Lets the command run in this process, with small tasks, each in a file of its own."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("xla")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    old = {name: jax.config.values[name] for name in settings}
    configure(settings)
    costs = {"cpu": COSTS["cpu"]._replace(trials=1)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "_COLLECT_S", -1.0)
        patch.setattr(plan, "COSTS", costs)
        yield
    configure(old)


def configure(settings):
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def run(folder, *more):
    """Runs the sweep command in this process; returns its exit code."""
    main, options = parsed("sweep", *TINY, f"--workdir={folder}", *more)
    return main(options) or 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run(folder) == 0
    return folder


def same(folder, whole):
    return all((folder / name).read_bytes() == (whole / name).read_bytes() for name in TABLES)


def assert_complete(folder, whole):
    """Asserts that a run is finished, with the tables of the whole one and nothing left over."""
    manifest = RunDir(folder).read_manifest()
    assert manifest.status == "finished"
    for name in (*TABLES, "best", "tensorboard", "overview"):
        assert RunDir(folder).damaged(manifest, name) is None
    assert same(folder, whole)
    names = lambda run: {path.relative_to(run).as_posix() for path in run.rglob("*")}  # noqa: E731
    events = lambda name: "events" in name or name.endswith(".safetensors")  # noqa: E731
    assert {n for n in names(folder) if not events(n)} == {n for n in names(whole) if not events(n)}


class Killed(BaseException):
    """Stands for the end of the process."""


def end_at(number, patch, how):
    """Ends the process, or what stands for it, at one of the steps that change the disk."""
    steps = iter(range(1, 10_000))

    def watched(real):
        def step(*args, **kwargs):
            if next(steps) == number:
                how()
            return real(*args, **kwargs)

        return step

    for name in ("replace", "fsync", "mkdir", "unlink", "rmdir"):
        patch.setattr(os, name, watched(getattr(os, name)))
    return lambda: next(steps) - 1


def count_steps(folder, monkeypatch):
    with monkeypatch.context() as patch:
        steps = end_at(-1, patch, None)
        run(folder)
        return steps()


def kill():
    raise Killed


def fill_disk():
    raise OSError(28, "No space left on device", "somewhere")


# Every step is tried by the slow test; an odd stride meets all kinds of them. What the end of
# a process would have closed stays open here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("how", "stride"), [(kill, 61), (fill_disk, 151), slow(kill, 1), slow(fill_disk, 1)]
)
def test_goes_on_after_any_step(tmp_path, monkeypatch, whole, how, stride):
    steps = count_steps(tmp_path / "counted", monkeypatch)
    assert steps > 60
    for number in range(1, steps + 1, stride):
        folder = tmp_path / f"run{number}"
        with monkeypatch.context() as patch:
            end_at(number, patch, how)
            try:
                run(folder)
            except (Killed, RunError):
                pass
            else:  # of what is not needed any more, nothing depends on the removal
                assert how is fill_disk
        assert run(folder) == 0
        assert_complete(folder, whole)
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "other",
    [
        ["--protocol=holdout"],
        ["--protocol=kfold", "--num_folds=3"],
        ["--protocol=holdout", "--set=axes.patience=[0, 1, 3]", "--set=epochs=24"],
    ],
    ids=["holdout", "kfold", "patience"],
)
def test_other_runs_go_on_with_the_same_bytes(tmp_path, monkeypatch, other):
    monkeypatch.setattr(task, "_MOST_TOGETHER", 2)
    flags = [*other, "--split_seed=5", "--set=axes.num_units1=[16]"]  # 6 configs or more
    with monkeypatch.context() as patch:
        steps = end_at(-1, patch, None)
        assert run(tmp_path / "whole", *flags) == 0
        count = steps()
    for number in (count // 4, count // 2, 3 * count // 4):
        folder = tmp_path / f"run{number}"
        with monkeypatch.context() as patch:
            end_at(number, patch, kill)
            with pytest.raises(Killed):
                run(folder, *flags)
        assert run(folder, *flags) == 0
        assert_complete(folder, tmp_path / "whole")


KILLED = """
import atexit, os, runpy, signal, sys
sys.path[:0] = {paths!r}
import conftest, test_resume
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
Figure.savefig = FigureCanvasAgg.print_png = conftest.save_little
from gtzan_jax.rundir import checkpoints
from gtzan_jax.trainer import task, plan
from gtzan_jax.trainer.plan import COSTS
checkpoints._COLLECT_S = -1.0
plan.COSTS = {{"cpu": COSTS["cpu"]._replace(trials=2)}}
class Patch:
    setattr = staticmethod(setattr)
steps = test_resume.end_at({number}, Patch, lambda: os.kill(os.getpid(), signal.SIGKILL))
atexit.register(lambda: print(steps()))
sys.argv = {argv!r}
runpy.run_module("gtzan_jax.sweep", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_killed_at_25_points_it_ends_with_the_same_bytes(tmp_path, capsys):
    """A real SIGKILL, in a process of its own, at points spread over all steps of a run."""
    paths = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

    def sweep_process(folder, number):
        argv = ["sweep", *TINY, "--platform=cpu", f"--workdir={folder}"]
        code = KILLED.format(paths=paths, number=number, argv=argv)
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert sweep_process(tmp_path / "whole", -1).returncode == 0
    # The first process has filled the compilation cache, which takes steps of its own.
    steps = int(sweep_process(tmp_path / "counted", -1).stdout.splitlines()[-1])
    lines = []
    for number in sorted({round(1 + i * (steps - 1) / 26) for i in range(27)}):
        folder = tmp_path / f"run{number}"
        killed = sweep_process(folder, number)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        resumed = sweep_process(folder, -1)
        assert resumed.returncode == 0, resumed.stderr
        assert_complete(folder, tmp_path / "whole")
        there = [line for line in resumed.stdout.splitlines() if "are already trained" in line]
        lines.append(f"killed at step {number} of {steps}: {''.join(there) or '  0 epochs'}, same")
    with capsys.disabled():
        print("", *lines, f"{len(lines)} points, all identical", sep="\n")
    assert len(lines) >= 25


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_is_finished(tmp_path, number, code):
    flags = ["--sweep=smoke", "--data=sample", "--platform=cpu"]
    flags += ["--retrain_epochs=0", "--num_seeds=20"]
    argv = [sys.executable, "-m", "gtzan_jax.sweep", *flags]
    process = subprocess.Popen(
        argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if " compiled" in line:
            process.send_signal(number)
            break
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert f"stopped by {number.name}" in errors
    module, *again = shlex.split(errors.splitlines()[-1])[2:]
    done = command(module.split(".")[1], *again, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "of 960 epochs are already trained" in done.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    assert RunDir(folder).read_manifest().status == "finished"


@pytest.mark.parametrize("flags", [[], ["--retrain_epochs=5"], ["--retrain_seeds=2"]])
def test_a_finished_run_trains_nothing(whole, monkeypatch, capsys, flags):
    monkeypatch.setattr(Training, "begin", None)
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("events*")}
    assert run(whole, *flags) == 0
    printed = capsys.readouterr().out
    assert "24 of 24 epochs are already trained" in printed
    # What was asked for instead is not trained in the place of what is there, but named.
    stays = f"{whole / 'best'} is kept (3 epochs, 10 seeds)"
    assert [stays in printed, *(flag in printed for flag in flags)] == [bool(flags)] + [True] * len(
        flags
    )
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("events*")}


def test_a_finished_run_keeps_its_manifest(whole):
    assert run(whole) == 0  # other flags, as of the test before, would be recorded to resume with
    before = (whole / "manifest.json").read_bytes()
    assert run(whole) == 0
    assert (whole / "manifest.json").read_bytes() == before


def test_every_session_that_trained_is_listed(tmp_path, monkeypatch, whole):
    add, tasks_there = checkpoints.Checkpoints.add, []

    def add_two(store, trained):
        tasks_there.append(trained.task)
        if len(tasks_there) > 2:
            raise Killed
        return add(store, trained)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "add", add_two)
        with pytest.raises(Killed):
            run(tmp_path / "run", "--retrain_epochs=0")
    assert RunDir(tmp_path / "run").read_manifest().status == "running"
    assert run(tmp_path / "run", "--retrain_epochs=0") == 0
    assert run(tmp_path / "run", "--retrain_epochs=0") == 0  # trains nothing
    assert run(tmp_path / "run") == 0
    sessions = RunDir(tmp_path / "run").read_manifest().sessions
    trained = sum(len(task.config_ids) for task in tasks_there[:2])
    assert [session.trials_before for session in sessions] == [0, trained, 12]
    assert 0 < trained < 12
    assert all(session.devices and session.versions["jax"] for session in sessions)
    assert [session.started for session in sessions] == sorted(s.started for s in sessions)
    assert len(RunDir(whole).read_manifest().sessions) == 1


def test_what_was_left_out_is_made_up_for(tmp_path, whole):
    assert run(tmp_path / "run", "--retrain_epochs=0") == 0
    assert not (tmp_path / "run" / "best").exists()
    assert run(tmp_path / "run") == 0
    assert_complete(tmp_path / "run", whole)


@pytest.mark.parametrize(
    ("flag", "difference"),
    [
        ("--set=epochs=3", "sweep.epochs 2 there, 3 here"),
        ("--set=axes.dropout1=[0.5]", "sweep.axes.dropout1"),
        ("--seed=1", "seeds [0] there, [1] here"),
        ("--num_seeds=2", "seeds [0] there, [0, 1] here"),
        ("--set=loss=softmax_twice", "sweep.loss 'cross_entropy' there, 'softmax_twice' here"),
        ("--split_seed=1", "split.seed 0 there, 1 here"),
        ("--protocol=holdout", "sweep.protocol 'assignment' there, 'holdout' here"),
        ("--matmul_precision=bfloat16", "matmul_precision 'float32' there, 'bfloat16' here"),
    ],
)
def test_another_run_is_refused(whole, flag, difference):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("[!.]*")}
    with pytest.raises(InputError) as error:
        run(whole, flag)
    assert difference in str(error.value)
    assert "--overwrite" in str(error.value)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("[!.]*")} == before


@pytest.mark.parametrize("flag", ["--seed=1", slow("--matmul_precision=bfloat16")])
def test_another_run_can_be_removed(tmp_path, whole, flag):
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "notes.txt").touch()
    assert run(tmp_path / "run", flag, "--overwrite", "--retrain_epochs=0") == 0
    on_cpu_the_same = "precision" in flag  # which multiplies exactly, whatever is asked
    assert same(tmp_path / "run", whole) == on_cpu_the_same
    assert (tmp_path / "run" / "notes.txt").exists()


def damages(folder):
    """Names a file of every kind that a run writes."""
    kinds = ("results.csv", "history.csv", "checkpoints/*", "best/*", "overview/*/events*")
    return [
        next(iter(sorted(folder.glob(kind)))).relative_to(folder)
        for kind in (*kinds, "tensorboard/*/events*")
    ]


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        slow(lambda p: p.write_bytes(b"")),
        slow(lambda p: p.write_bytes(p.read_bytes()[:-9])),
        slow(Path.unlink),
    ],
    ids=["flipped", "emptied", "truncated", "removed"],
)
def test_any_damaged_file_is_mended(tmp_path, whole, damage):
    for name in damages(whole):
        shutil.copytree(whole, tmp_path / "run")
        damage(tmp_path / "run" / name)
        assert run(tmp_path / "run") == 0
        assert_complete(tmp_path / "run", whole)
        shutil.rmtree(tmp_path / "run")


def test_a_damaged_manifest_is_refused(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    flip(tmp_path / "run" / "manifest.json")
    with pytest.raises(InputError, match=r"manifest\.json"):
        run(tmp_path / "run")


def test_a_second_sweep_is_refused_with_the_first_ones_number(whole):
    with held(whole), pytest.raises(InputError, match=f"is in use by process {os.getpid()} on "):
        run(whole)
    assert run(whole) == 0  # the lock is gone with who held it


SMALL_FILES = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
sys.argv = {argv!r}
runpy.run_module("gtzan_jax.sweep", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_a_full_disk_is_told_and_gone_on_from(tmp_path, whole):
    argv = ["sweep", *TINY, "--workdir=run", "--platform=cpu"]
    done = subprocess.run(
        [sys.executable, "-c", SMALL_FILES.format(argv=argv)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "0"},
    )
    assert done.returncode == 1, done.stderr
    assert "File too large; progress is saved" in done.stderr
    assert "Traceback" not in done.stderr
    assert run(tmp_path / "run") == 0
    assert_complete(tmp_path / "run", whole)


# Plain SGD follows a gradient of any size; Adam and RMSprop divide it away.
WILD = ["--set=axes.optimizer=['sgd']", "--set=learning_rates={adam=1e6, sgd=1e6, rmsprop=1e6}"]


def test_when_all_diverge_it_is_said_and_the_results_are_kept(tmp_path, capsys):
    with pytest.raises(RunError, match="all configurations diverged"):
        run(tmp_path / "run", *WILD)
    assert "4 of 4 configurations diverged" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["diverged"] == 4
    assert not (tmp_path / "run" / "best").exists()
    assert (tmp_path / "run" / "results.csv").read_text().count("True") == 4


def test_a_retraining_that_diverges_is_told_and_not_kept(tmp_path, monkeypatch, whole):
    assert run(tmp_path / "run", "--retrain_epochs=0") == 0
    train = Engine.run

    def diverge(*args):
        first, *rest = train(*args)
        first.history[0, 3:] = float("nan")
        yield from [first, *rest]

    monkeypatch.setattr(Engine, "run", diverge)
    reason = r"diverged in epoch 4 of 5 \(1 of 10 networks\), so it is not saved"
    with pytest.raises(RunError, match=reason):
        run(tmp_path / "run", "--retrain_epochs=5")
    assert same(tmp_path / "run", whole)
    assert RunDir(tmp_path / "run").read_manifest().retraining is None
    assert not (tmp_path / "run" / "best").exists()
