"""Where JAX runs: platform, devices, precision and the compilation cache.

JAX is imported inside functions, because commands name the platforms in their ``--help``.
"""

import contextlib
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from gtzan_jax.errors import InputError
from gtzan_jax.resources import cache_dir

if TYPE_CHECKING:
    import jax

PLATFORMS = ("auto", "cpu", "gpu", "tpu")
MatmulPrecision = Literal["float32", "tensorfloat32", "bfloat16"]
MATMUL_PRECISIONS: tuple[MatmulPrecision, ...] = get_args(MatmulPrecision)

_EXTRAS = {"gpu": "cuda", "tpu": "tpu"}


def select_platform(name: str = "auto", matmul_precision: str = "float32") -> "list[jax.Device]":
    """Chooses where JAX computes, before it has touched a backend.

    Every CPU core becomes a JAX device, so that cores and accelerators take the same path.

    Args:
      name: a name from ``PLATFORMS``.
      matmul_precision: a name from ``MATMUL_PRECISIONS``. By default an accelerator would round
        the factors of float32 products to fewer bits (TF32 on a GPU, bfloat16 on a TPU), and
        accuracies would drift between platforms.

    Returns:
      the devices of the platform.

    Raises:
      InputError: the platform is not there; the message lists what is.
    """
    import jax

    if name == "cpu":
        jax.config.update("jax_platforms", "cpu")
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        _update_before_start("jax_num_cpu_devices", _usable_cores())
    jax.config.update("jax_default_matmul_precision", matmul_precision)
    _enable_compilation_cache(cache_dir() / "xla")
    devices = jax.devices()
    if name != "auto" and devices[0].platform != name:
        found = f"{devices[0].platform} ({len(devices)} devices)"
        extra = _EXTRAS.get(name)
        install = f"On a machine that has one, pip install -e '.[{extra}]' adds its support; else "
        raise InputError(
            f"--platform={name}: JAX finds no {name.upper()} here, only {found}. "
            f"{install if extra else ''}take --platform=cpu or leave the flag out"
        )
    return devices


def devices_in_use() -> list[str]:
    """Returns the platform's name, and those of its devices."""
    import jax

    return [jax.default_backend(), *map(str, jax.devices())]


@contextlib.contextmanager
def profiled(folder: str | None) -> Iterator[None]:
    """Writes the JAX profiler's trace of what is done meanwhile, if there is a folder for it.

    Raises:
      InputError: the folder cannot be made.
    """
    if not folder:
        yield
        return
    import jax

    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--profile={folder}: cannot be made: {error.strerror}") from None
    with jax.profiler.trace(folder):
        yield


def _update_before_start(option: str, value: int) -> None:
    import jax

    # In a notebook JAX may have started: then its devices stay as they are.
    with contextlib.suppress(RuntimeError):
        jax.config.update(option, value)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _enable_compilation_cache(folder: Path) -> None:
    """Lets a later process find the programs that this one compiles.

    Cached programs are machine code: the folder must be the user's and closed to others.
    """
    import jax

    if jax.config.values["jax_compilation_cache_dir"]:  # the user's own choice
        return
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        above = [parent.stat().st_mode for parent in folder.resolve().parents]
    except OSError:
        return  # no home to write to: compile anew each time
    foreign = hasattr(os, "getuid") and status.st_uid != os.getuid()
    # Who can write to a folder above can put another in the place of this one.
    open_above = any(mode & stat.S_IWOTH and not mode & stat.S_ISVTX for mode in above)
    if foreign or open_above or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        warnings.warn(
            f"{folder} is writable for others: compiled programs are not cached there",
            stacklevel=3,
        )
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
