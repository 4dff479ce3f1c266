"""The machine of a measurement: versions, cores, processor."""

import os
import platform
from importlib import metadata
from pathlib import Path

import gtzan_jax

_PACKAGES = (
    "gtzan_jax", "jax", "jaxlib", "flax", "optax", "numpy", "pandas", "scikit-learn",
    "tensorboardX", "keras", "tensorflow", "torch",
)  # fmt: skip

_QUIET = 0.5  # load average over a minute


def versions() -> dict[str, str]:
    """Returns the versions of Python and the installed packages."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found | {"gtzan_jax": gtzan_jax.__version__}


def describe() -> dict[str, str | int]:
    """Returns system, processor and cores."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
    }


def busy() -> str:
    """Returns a sentence if the machine is busy, else "". Call before measuring."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return f"The machine was busy, with a load of {load:.1f}" if load > _QUIET else ""


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
