"""Where shipped files lie, and where downloads are kept."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def resource(*parts: str) -> Path:
    """Returns the path of a shipped file or folder, such as ``resource("sweeps", "smoke.toml")``.

    A wheel carries the top-level folders inside the package; in a checkout they lie beside it.

    Raises:
        FileNotFoundError: neither place has it.
    """
    for root in (PACKAGE, PACKAGE.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError(f"{'/'.join(parts)} is not part of this installation of gtzan_jax")


def cache_dir() -> Path:
    """Returns the user's cache folder for this package; it may not exist yet."""
    from platformdirs import user_cache_path

    return user_cache_path("gtzan_jax")
