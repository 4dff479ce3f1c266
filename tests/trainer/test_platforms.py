import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import slow

from gtzan_jax.backends.backend import open_backend
from gtzan_jax.trainer import platforms

IMPORT = "from gtzan_jax.trainer.platforms import select_platform"


def test_jax_multiplies_and_sums_right():
    """Catches JAX versions like 0.10.2, which got this wrong on the CPU (jax issue 39103)."""
    rows = np.zeros((2**15 + 1, 3), np.float32)
    rows[:, 0] = np.arange(len(rows))
    matrix = jnp.eye(3)
    squares = jax.jit(jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2)))(rows)
    np.testing.assert_array_equal(squares, rows[:, 0] ** 2)


def in_new_process(code, **environment):
    """Runs code where JAX has not started yet and returns what it printed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_core_becomes_a_device():
    code = (
        "from gtzan_jax.trainer.platforms import select_platform, usable_cores\n"
        "print(len(select_platform('cpu')), usable_cores())"
    )
    devices, cores = in_new_process(code).split()
    assert devices == cores


def test_the_users_device_count_stands():
    code = f"{IMPORT}; print(len(select_platform('cpu')))"
    flags = "--xla_force_host_platform_device_count=3"
    assert in_new_process(code, XLA_FLAGS=flags) == "3"


@pytest.mark.parametrize(
    ("arguments", "precision"),
    [("", "HIGHEST"), slow(", 'tensorfloat32'", "HIGH"), (", 'bfloat16'", "DEFAULT")],
)
def test_products_are_accurate_unless_asked_otherwise(arguments, precision):
    code = (
        f"{IMPORT}; select_platform('cpu'{arguments})\n"
        "import jax, jax.numpy as jnp; x = jnp.ones((8, 8))\n"
        "print(jax.jit(jnp.matmul).lower(x, x).as_text())"
    )
    assert f"precision = [{precision}, {precision}]" in in_new_process(code)


@pytest.mark.parametrize("name", ["gpu", slow("tpu")])
def test_a_platform_that_is_not_there_is_told(name):
    code = f"""
{IMPORT}
from gtzan_jax.errors import InputError
try:
    select_platform("{name}")
except InputError as error:
    print(error)
"""
    message = in_new_process(code, JAX_PLATFORMS="cpu")
    assert f"--platform={name}: JAX found no {name.upper()}, only cpu (" in message
    assert "use --platform=cpu" in message


def test_devices_are_named():
    with open_backend("cpu", workers=0) as here:
        assert (here.platform, here.label) == ("cpu", f"{len(jax.devices())} cpu devices")
    assert here.devices == [str(device) for device in jax.devices()]


def test_a_trace_is_written_for_tensorboard(tmp_path):
    with platforms.profiled(None):
        pass
    with platforms.profiled(str(tmp_path / "new" / "trace")):
        jax.jit(lambda x: x @ x)(jnp.ones((8, 8))).block_until_ready()
    assert list((tmp_path / "new" / "trace").rglob("*.xplane.pb"))


def test_a_second_process_finds_the_programs(tmp_path):
    code = """
from gtzan_jax.trainer.platforms import select_platform
select_platform("cpu")
import jax, jax.numpy as jnp
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((8, 8))).block_until_ready()
print(hits.count("/jax/compilation_cache/cache_hits") > 0)
"""
    assert in_new_process(code, XDG_CACHE_HOME=str(tmp_path)) == "False"
    assert in_new_process(code, XDG_CACHE_HOME=str(tmp_path)) == "True"
