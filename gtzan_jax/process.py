"""The current process: versions, memory, name, and version mismatches with other processes."""

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping

import gtzan_jax
from gtzan_jax.resources import PACKAGE

_PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "numpy", "pandas", "scikit-learn", "tensorboardX", "optuna",
)  # fmt: skip
_COMPUTING = ("jax", "jaxlib", "flax", "optax", "numpy", "dask", "distributed")
_CODE = ("*.py", "tables/*.py", "space/*.py", "models/*.py", "trainer/*.py", "backends/*.py")


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on."""
    own = {"gtzan_jax": gtzan_jax.__version__}  # a checkout may be newer than its installation
    return {"python": platform.python_version()} | own | _installed(_PACKAGES)


@functools.cache
def computing() -> dict[str, str]:
    """Returns the versions that workers and client must share."""
    # With the code's checksum, since two commits may have one version.
    code = hashlib.sha256()
    for pattern in _CODE:
        for path in sorted(PACKAGE.glob(pattern)):
            code.update(path.read_bytes().replace(b"\r\n", b"\n"))
    own = f"{gtzan_jax.__version__} (code {code.hexdigest()[:8]})"
    python = ".".join(platform.python_version_tuple()[:2])
    return {"gtzan_jax": own, "python": python} | _installed(_COMPUTING)


def mismatch(who: str, theirs: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Returns a sentence that lists the versions other than the client's; "" if there are none."""
    different = [
        f"{name} {theirs.get(name, 'none')}, client {wanted.get(name, 'none')}"
        for name in sorted({*theirs, *wanted})
        if theirs.get(name) != wanted.get(name)
    ]
    if not different:
        return ""
    return f"version mismatch: {who} has {'; '.join(different)}; install the same versions"


def peak_rss_bytes() -> int | None:
    """Returns the peak memory of this process in bytes; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # KiB elsewhere


def name() -> str:
    """Returns a name for this process, with that of its machine."""
    return f"process {os.getpid()} on {platform.node()}"


def _installed(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
