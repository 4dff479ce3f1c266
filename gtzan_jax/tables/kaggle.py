"""The download of a feature table, or of the sound, from Kaggle, within bounds of time.

kagglehub is not imported before it is needed, because a command's start-up time counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gtzan_jax.errors import InputError

T = TypeVar("T")

HANDLE = "andradaolteanu/gtzan-dataset-music-genre-classification"
PATH = "Data/features_30_sec.csv"
PATH_3 = "Data/features_3_sec.csv"

SOUND_PATH = "Data/genres_original"
SOUND_SIZE = "1.2 GB"
"""Of the whole data set, which is what kagglehub downloads of a folder; then its spectrograms."""

PROBE_URL = "https://api.kaggle.com"
PROBE_SECONDS = 4.0
"""How long Kaggle may take to answer at all before it counts as out of reach."""
DOWNLOAD_SECONDS = 120.0
"""How long the download of a file of 1 or 11 MB may take, once Kaggle answers."""
SOUND_SECONDS = 4 * 3600.0
"""The same for the whole data set: 1 Mbit/s would take 2.7 hours."""
MAX_BYTES = 20_000_000
"""What is larger is not the file."""


def download(path: str = PATH) -> bytes:
    """Downloads a file of the data set from Kaggle.

    Args:
        path: ``PATH`` or ``PATH_3``.

    Raises:
        InputError: Kaggle is out of reach, refuses, stalls, or sends far too much.
    """
    return _download(lambda: _fetch(path), DOWNLOAD_SECONDS)


def download_sound() -> Path:
    """Downloads the whole data set, unless kagglehub has it, and says how large it is before.

    Returns:
        the folder with a subfolder of sound files for each genre; a thousand songs.

    Raises:
        InputError: Kaggle is out of reach, refuses or stalls, or the data set has no such folder.
    """
    print(
        f"GTZAN's sound from Kaggle: {SOUND_SIZE}, unless kagglehub has downloaded it before",
        flush=True,
    )
    folder = _download(_fetch_all, SOUND_SECONDS) / SOUND_PATH
    if not folder.is_dir():
        raise InputError(
            f"the download from Kaggle has no folder {SOUND_PATH}: remove {folder.parents[1]} and "
            "try again"
        )
    return folder


def _download(fetch: Callable[[], T], seconds: float) -> T:
    """Returns ``fetch()``, or raises InputError."""
    try:
        _within(PROBE_SECONDS, _probe)
    except Exception as error:
        raise InputError(f"Kaggle is out of reach ({type(error).__name__})") from error
    try:
        return _within(seconds, fetch)
    # kagglehub documents no set of exceptions: HTTP, file system and its own ones all occur.
    except Exception as error:
        raise InputError(f"the download from Kaggle failed ({_reason(error)})") from error


def _probe() -> None:
    import requests

    # Any answer at all will do; the proxies of the environment are honoured.
    requests.head(PROBE_URL, timeout=PROBE_SECONDS)


def _fetch(path: str) -> bytes:
    import kagglehub

    # Forced, since kagglehub's own cache would serve a damaged copy again and again.
    found = Path(kagglehub.dataset_download(HANDLE, path=path, force_download=True))
    with found.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        found.unlink()
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    return content


def _fetch_all() -> Path:
    import kagglehub

    return Path(kagglehub.dataset_download(HANDLE))


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Returns ``call()``, or raises what it raises, or TimeoutError after ``seconds``.

    Timeouts of sockets do not bound the look-up of a name, so the call gets a thread that may
    be left behind.
    """
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return results[0]


def _reason(error: Exception) -> str:
    """Returns the error as a short phrase on one line."""
    text = " ".join(str(error).split())
    short = text if len(text) <= 120 else f"{text[:119]}…"
    return f"{type(error).__name__}: {short}" if short else type(error).__name__
