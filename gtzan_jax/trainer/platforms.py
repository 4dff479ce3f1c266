"""JAX's platform, devices, precision and compilation cache; imports JAX only in functions."""

import contextlib
import functools
import importlib.metadata
import importlib.util
import math
import os
import stat
import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from gtzan_jax import process
from gtzan_jax.errors import InputError, RunError
from gtzan_jax.resources import cache_dir

if TYPE_CHECKING:
    import jax

PLATFORMS = ("auto", "cpu", "gpu", "tpu")
MatmulPrecision = Literal["float32", "tensorfloat32", "bfloat16"]
MATMUL_PRECISIONS: tuple[MatmulPrecision, ...] = get_args(MatmulPrecision)

_CGROUP = Path("/sys/fs/cgroup")  # limits of a container
_EXTRAS = {"gpu": "cuda", "tpu": "tpu"}

# Flags of XLA that do not change figures on a CPU.
_FLAGS = (
    "--xla_force_host_platform_device_count", "--xla_cpu_multi_thread_eigen",
    "intra_op_parallelism_threads", "--xla_dump_", "--xla_gpu_", "--xla_tpu_",
)  # fmt: skip


def select_platform(name: str = "auto", matmul_precision: str = "float32") -> "list[jax.Device]":
    """Selects JAX's platform before JAX is initialised, and returns its devices.

    Each CPU core becomes a device. Sets the matmul precision, since accelerators round the factors
    of float32 products by default (to TF32 on a GPU, bfloat16 on a TPU).
    """
    check_flags()
    jax = _imported()
    if name == "cpu":
        jax.config.update("jax_platforms", "cpu")
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):  # JAX may have started in a notebook
            jax.config.update("jax_num_cpu_devices", usable_cores())
    set_precision(matmul_precision)
    _enable_compilation_cache(cache_dir() / "xla")
    devices = _devices()
    if name != "auto" and devices[0].platform != name:
        found = f"{devices[0].platform} ({len(devices)} devices)"
        extra = _EXTRAS.get(name)
        install = (
            f"On a machine with one, install its support with pip install -e '.[{extra}]'; else "
        )
        raise InputError(
            f"--platform={name}: JAX found no {name.upper()}, only {found}. "
            f"{install if extra else ''}use --platform=cpu or leave the flag out"
        )
    return devices


def check_flags() -> None:
    """Raises InputError for XLA_FLAGS that may change figures or that XLA may not know."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    if refused := [flag for flag in flags if not flag.startswith(_FLAGS)]:
        raise InputError(
            f"XLA_FLAGS: {' '.join(refused)} may change figures; remove "
            f"{'it' if len(refused) == 1 else 'them'} from XLA_FLAGS"
        )


def may_find_accelerator() -> bool:
    """Returns whether JAX may find an accelerator, without importing JAX."""
    wanted = os.environ.get("JAX_PLATFORMS")
    if wanted:
        return wanted != "cpu"
    # As JAX does: plugins as packages or entry points, and libtpu.
    named = importlib.metadata.entry_points(group="jax_plugins")
    return bool(named) or any(map(importlib.util.find_spec, ("jax_plugins", "libtpu")))


def usable_cores() -> int:
    """Returns the number of cores that this process or its container may use."""
    from joblib import cpu_count

    return int(cpu_count())


def own_cores() -> list[int]:
    """Returns the ids of the usable cores; [] in a container with a share of more cores."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return cores if len(cores) == usable_cores() else []


def free_bytes() -> float:
    """Returns the free memory of the machine or the container; infinite if unknown."""
    free = [math.inf]
    with contextlib.suppress(OSError, ValueError):
        available = Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()
        free.append(1024.0 * int(available[0]))
    with contextlib.suppress(OSError, ValueError):  # a container's, if there is a limit
        most, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        statistics = (_CGROUP / "memory.stat").read_text().split()
        cached = int(statistics[statistics.index("inactive_file") + 1])  # freed when needed
        free.append(float(most - used + cached))
    return min(free)


@functools.cache
def worker_devices() -> "tuple[jax.Device, ...]":
    """Starts JAX in a worker: on a CPU with one device and one thread.

    XLA splits sums over threads, so figures would depend on the number of cores.
    """
    cpu_alone = not may_find_accelerator()
    if cpu_alone:
        os.environ["NPROC"] = "1"  # XLA's threads
    check_flags()
    _imported()
    _enable_compilation_cache(cache_dir() / "xla")
    devices = tuple(_devices())
    if devices[0].platform != "cpu":
        return devices
    if not cpu_alone:
        raise RunError(
            f"{process.name()} has JAX's plugin for an accelerator, but no accelerator: start it "
            "with JAX_PLATFORMS=cpu"
        )
    return devices[:1]


def precision() -> str | None:
    """Returns JAX's matmul precision."""
    found: str | None = _imported().config.values["jax_default_matmul_precision"]
    return found


def set_precision(matmul_precision: str | None) -> None:
    """Sets JAX's matmul precision."""
    import jax

    jax.config.update("jax_default_matmul_precision", matmul_precision)


def profiled(folder: "str | os.PathLike[str] | None") -> AbstractContextManager[None]:
    """Returns a context that JAX's profiler traces into a folder, if one is given."""
    if not folder:
        return contextlib.nullcontext()
    import jax

    return jax.profiler.trace(folder)


def _imported() -> Any:
    try:
        import jax
    except ValueError as error:
        raise InputError(f"JAX rejects an environment variable: {error}") from None
    return jax


def _devices() -> "list[jax.Device]":
    import jax

    try:
        return list(jax.local_devices())
    except Exception as error:  # of several classes
        wanted = os.environ.get("JAX_PLATFORMS")
        reason = str(error).splitlines()[0] if str(error) else "no device was found"
        raise InputError(
            f"JAX cannot start{f' with JAX_PLATFORMS={wanted}' if wanted else ''}: {reason}; unset "
            "JAX_PLATFORMS, or use --platform=cpu"
        ) from None


def _enable_compilation_cache(folder: Path) -> None:
    """Caches compiled programs, in a folder that only the user can write to."""
    import jax

    if jax.config.values["jax_compilation_cache_dir"]:  # the user's own choice
        return
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        above = [parent.stat().st_mode for parent in folder.resolve().parents]
    except OSError:
        return  # no writable home: compile each time
    foreign = hasattr(os, "getuid") and status.st_uid != os.getuid()
    # Anyone who can write to a parent folder can replace this one.
    open_above = any(mode & stat.S_IWOTH and not mode & stat.S_ISVTX for mode in above)
    if foreign or open_above or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        whose = "belongs to another user" if foreign else "is writable by others"
        warnings.warn(f"{folder} {whose}: compiled programs are not cached", stacklevel=3)
        return
    if not os.access(folder, os.W_OK):  # JAX would warn for each program
        return
    # JAX warns of a file that another process is still writing, then compiles.
    warnings.filterwarnings("ignore", "Error reading persistent compilation cache entry")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
