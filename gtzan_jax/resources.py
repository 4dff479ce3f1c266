"""Paths of shipped files and of the cache."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

_FOLDERS = ("MPLCONFIGDIR", "NUMBA_CACHE_DIR", "KAGGLEHUB_CACHE", "KAGGLE_LOGGING_ROOT_DIR")


def resource(*parts: str) -> Path:
    """Returns the path of a shipped file or folder, such as ``resource("sweeps", "smoke.toml")``.

    A wheel carries the top-level folders inside the package; in a checkout they are beside it.
    """
    for root in (PACKAGE, PACKAGE.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError(f"{'/'.join(parts)} is not part of this installation of gtzan_jax")


def cache_dir() -> Path:
    """Returns this package's cache folder, which may not exist yet."""
    from platformdirs import user_cache_path

    return user_cache_path("gtzan_jax")


def replace_unusable_home() -> None:
    """Points the environment to a temporary folder if home or cache is not writable.

    In a container whose user has no entry in /etc/passwd, for example, Matplotlib, librosa, Numba
    and kagglehub fail or warn. The folder is removed when this process ends, unless by a signal.
    """
    home = os.path.expanduser("~")  # stays "~" for an unknown user
    has_home = os.path.isabs(home)
    has_cache = _is_writable(os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"))
    if has_cache and (_is_writable(home) or all(name in os.environ for name in _FOLDERS)):
        return
    import atexit
    import tempfile

    try:
        folder = tempfile.mkdtemp(prefix="gtzan_jax-")
        atexit.register(_remove, folder, os.getpid())
    except OSError:  # nothing is writable
        folder = os.path.join(os.devnull, "none")
    if not has_cache:
        os.environ["XDG_CACHE_HOME"] = folder
    if not has_home:
        os.environ["HOME"] = folder
    for name in _FOLDERS:
        os.environ.setdefault(name, folder)


def _is_writable(folder: str) -> bool:
    """Returns whether a folder is writable or can be created."""
    path = Path(folder)
    try:
        while not path.exists() and path != path.parent:
            path = path.parent
        return path.is_absolute() and path.is_dir() and os.access(path, os.W_OK | os.X_OK)
    except OSError:  # a folder above is closed
        return False


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked child
        import shutil

        shutil.rmtree(folder, ignore_errors=True)
