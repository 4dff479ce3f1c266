"""JAX's settings, of the environment or a notebook, change no figure; where JAX computes."""

import os
import re
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest
from conftest import ROOT, make_sweep, make_table, slow
from finished_runs import random_model

from gtzan_jax.backends.backend import open_backend
from gtzan_jax.errors import InputError
from gtzan_jax.models import jax_settings
from gtzan_jax.trainer import platforms

# Each would change figures, or end in a traceback, if it were not pinned or refused.
HARMFUL = {
    "JAX_ENABLE_X64": "1",
    "JAX_DEFAULT_DTYPE_BITS": "32",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_ENABLE_CUSTOM_PRNG": "1",
    "JAX_LEGACY_PRNG_KEY": "error",
    "JAX_RANDOM_SEED_OFFSET": "7",
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_DISABLE_JIT": "1",
    "JAX_NO_TRACING": "1",
    "JAX_NO_EXECUTION": "1",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_DEBUG_NANS": "1",
    "JAX_DEBUG_INFS": "1",
    "JAX_DEBUG_KEY_REUSE": "1",
    "JAX_CHECK_TRACER_LEAKS": "1",
    "JAX_ENABLE_CHECKS": "1",
    "JAX_ERROR_CHECKING_BEHAVIOR_NAN": "raise",
    "JAX_TRANSFER_GUARD": "disallow",
    "JAX_RAISE_PERSISTENT_CACHE_ERRORS": "1",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
}
TABLES = ("results.csv", "trials.csv", "history.csv", "best/history.csv", "best/calibration.csv")
SMOKE = ["--sweep=smoke", "--data=sample", "--retrain_epochs=1"]


def run(module, *flags, folder, **environment):
    """Runs a command with more in its environment."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_", "TF_CPP_"))}
    return subprocess.run(
        [sys.executable, "-m", f"gtzan_jax.{module}", *flags],
        cwd=folder, capture_output=True, text=True,
        env=kept | {"PYTHONPATH": str(ROOT)} | environment,
    )  # fmt: skip


def swept(folder, *flags, **environment):
    """Returns the bytes of a sweep's tables."""
    done = run("sweep", *SMOKE, *flags, "--workdir=run", folder=folder, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    return {name: (folder / "run" / name).read_bytes() for name in TABLES}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The tables of a sweep without any setting, by its number of workers."""
    return {
        workers: swept(tmp_path_factory.mktemp(f"plain{workers}"), f"--workers={workers}")
        for workers in (0, 1)
    }


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_settings_of_the_environment_change_no_figure(workers, plain, tmp_path):
    settings = {k: v for k, v in HARMFUL.items() if workers or k != "XLA_FLAGS"}
    assert swept(tmp_path, f"--workers={workers}", **settings) == plain[workers]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_DEFAULT_PRNG_IMPL",
        "JAX_THREEFRY_PARTITIONABLE", "JAX_DISABLE_JIT",
    ],
)  # fmt: skip
def test_no_setting_of_the_environment_changes_a_figure(name, plain, tmp_path):
    assert swept(tmp_path, "--workers=0", **{name: HARMFUL[name]}) == plain[0]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        slow("JAX_PLATFORMS", "cuda", r"JAX cannot start with JAX_PLATFORMS=cuda: .*=cpu"),
        ("JAX_PLATFORMS", "nonsense", r"JAX cannot start with JAX_PLATFORMS=nonsense: .*"),
        slow("JAX_ENABLE_X64", "maybe", r"JAX rejects .*: invalid truth value 'maybe' .*X64'"),
        slow("XLA_FLAGS", "--xla_cpu_enable_fast_math=true", r"XLA_FLAGS: --xla_cpu_\S+ may .*"),
        slow("XLA_FLAGS", "--xla_unheard_of=1", r"XLA_FLAGS: --xla_unheard_of=1 may .*"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_in_one_line(name, value, message, tmp_path):
    flags = [*SMOKE, "--workers=0", "--workdir=run"]
    done = run("sweep", *flags, folder=tmp_path, **{name: value})
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    assert re.fullmatch(f"error: {message}", line), line


def test_xlas_flags_that_change_nothing_are_taken(monkeypatch):
    flags = "--xla_force_host_platform_device_count=3 --xla_gpu_cuda_data_dir=/usr --xla_dump_to=x"
    monkeypatch.setenv("XLA_FLAGS", flags)
    platforms.check_flags()
    monkeypatch.setenv("XLA_FLAGS", f"{flags} --xla_allow_excess_precision=false")
    with pytest.raises(InputError, match=r"^XLA_FLAGS: --xla_allow_excess_precision=false may"):
        platforms.check_flags()


# A notebook.


@pytest.fixture
def harmful():
    """JAX with settings of a notebook that would change or end everything."""
    changes = {"jax_enable_x64": True, "jax_debug_nans": True, "jax_transfer_guard": "disallow"}
    before = {name: jax.config.values[name] for name in changes}
    for name, value in changes.items():
        jax.config.update(name, value)
    yield changes
    for name, value in before.items():
        jax.config.update(name, value)


def test_pins_hold_for_all_threads_and_end_with_the_last(harmful):
    def values():
        return {name: jax.config.values[name] for name in harmful}

    pinned = {name: jax_settings.PINNED[name] for name in harmful}
    inside, leave, seen = threading.Event(), threading.Event(), []

    def other():
        with jax_settings.pinned():
            inside.set()
            leave.wait(30)
            seen.append(values())

    thread = threading.Thread(target=other)
    with jax_settings.pinned():
        assert values() == pinned
        thread.start()
        assert inside.wait(30)
    assert values() == pinned  # the other has not left
    leave.set()
    thread.join()
    assert seen == [pinned]
    assert values() == harmful


def test_a_notebooks_settings_change_no_prediction_and_stay(harmful):
    table = make_table()
    model = random_model(make_sweep().configs[0], table)
    with jax_settings.pinned():
        expected = model.predict_proba(table)
    jax.clear_caches()
    np.testing.assert_array_equal(model.predict_proba(table), expected)
    assert {name: jax.config.values[name] for name in harmful} == harmful


@pytest.mark.usefixtures("harmful")
def test_training_in_a_notebook_leaves_its_settings():
    before = dict(jax.config.values)
    with open_backend("cpu", "bfloat16", workers=0):
        assert jax.config.values["jax_default_matmul_precision"] == "bfloat16"
        assert not jax.config.values["jax_enable_x64"]
    ours = ("jax_compilation_cache", "jax_persistent_cache")
    changed = {name for name, value in jax.config.values.items() if before[name] != value}
    assert {name for name in changed if not name.startswith(ours)} == set()


@pytest.mark.slow
def test_every_pin_is_what_jax_has_by_itself():
    code = (
        "import jax\nfrom gtzan_jax.models.jax_settings import PINNED\nvalues = jax.config.values\n"
    )
    code += "print({n: (values[n], v) for n, v in PINNED.items() if values.get(n, v) != v})"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    done = subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True)
    assert done.stdout.strip() == "{}", done.stderr


# Where JAX computes.

# Prints, when a backend is first asked for, what was chosen for this process by then.
SPY = """
import atexit, os, sys
class Spy:
    def find_spec(self, name, path, target=None):
        if name != "jax._src.xla_bridge":
            return None
        sys.meta_path.remove(self)
        import importlib.util
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            real = module.backends
            def backends():
                import jax
                if not module._backends:
                    chosen = [jax.config.values[name] for name in NAMES]
                    with open(os.environ["SPY"], "a") as file:
                        print(*chosen, sep=chr(9), file=file)
                return real()
            module.backends = backends
        spec.loader.exec_module = exec_module
        return spec
NAMES = ("jax_platforms", "jax_default_matmul_precision", "jax_compilation_cache_dir")
sys.meta_path.insert(0, Spy())
"""


@pytest.fixture(scope="module")
def spied(tmp_path_factory):
    """Runs a command; returns what was chosen where each of its processes first used JAX."""
    folder = tmp_path_factory.mktemp("spied")
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(SPY)
    path = os.pathsep.join([str(folder / "site"), str(ROOT)])

    def spied_on(module, *flags):
        log = folder / "log"
        log.write_text("")
        done = run(module, *flags, folder=folder, PYTHONPATH=path, SPY=str(log))
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in log.read_text().splitlines()]

    spied_on.folder = folder
    return spied_on


@pytest.mark.slow
def test_the_platform_is_chosen_before_any_process_of_a_command_uses_jax(spied):
    flags = ["--platform=cpu", "--workers=1", "--workdir=run", "--retrain_epochs=1"]
    found = {"sweep": spied("sweep", *SMOKE[:2], *flags, "--matmul_precision=bfloat16")}
    found["retrain"] = spied("retrain", *flags, "--retrain_seeds=1")
    for command, [worker] in found.items():  # the command's own process needs no JAX
        *chosen, cache = worker
        assert chosen == ["cpu", "None"], command  # the precision comes with the first task
        assert os.path.basename(cache) == "xla", command
    assert spied("report", "run") == []


@pytest.mark.slow
def test_a_prediction_has_its_platform_chosen(spied):
    soundfile = pytest.importorskip("soundfile")
    if not (spied.folder / "run").exists():
        spied("sweep", *SMOKE, "--workers=0", "--workdir=run")
    noise = np.random.default_rng(0).normal(scale=0.1, size=30 * 22050)
    soundfile.write(spied.folder / "song.wav", noise, 22050)
    [[platform, precision, cache]] = spied("predict", "run", "song.wav", "--platform=cpu")
    assert (platform, precision, os.path.basename(cache)) == ("cpu", "float32", "xla")


@pytest.mark.slow
def test_baselines_have_their_platform_chosen(spied):
    flags = ["--sweep=smoke", "--data=sample", "--protocol=holdout", "--workdir=baselines"]
    found = spied("baselines", *flags, "--platform=cpu", "--workers=1")
    assert sorted(chosen[:2] for chosen in found) == [["cpu", "None"], ["cpu", "float32"]]


def test_a_notebook_that_computes_elsewhere_keeps_its_device_and_its_precision(monkeypatch):
    """It has begun on a GPU, say: what workers leave to its process is computed there."""
    chosen = []

    def refuse(name, precision):
        chosen.append((name, precision))
        raise InputError("JAX finds no CPU here, only gpu")

    monkeypatch.setattr(platforms, "select_platform", refuse)
    jax.config.update("jax_default_matmul_precision", "bfloat16")
    try:
        with open_backend("cpu", "float32", workers=1), jax_settings.pinned():
            assert platforms.precision() == "float32"
        assert platforms.precision() == "bfloat16"
    finally:
        jax.config.update("jax_default_matmul_precision", None)
    assert chosen == [("cpu", "float32")]
