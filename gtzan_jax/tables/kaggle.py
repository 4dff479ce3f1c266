"""Downloads a feature table, or the sound, from Kaggle, within a time limit.

kagglehub is imported only when needed, since that takes time.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TypeVar

from gtzan_jax.errors import InputError
from gtzan_jax.text import printable

T = TypeVar("T")

HANDLE = "andradaolteanu/gtzan-dataset-music-genre-classification"
PATH = "Data/features_30_sec.csv"
PATH_3 = "Data/features_3_sec.csv"
SOUND_PATH = "Data/genres_original"
SOUND_SIZE = "1.2 GB"  # of the whole data set: kagglehub cannot download a folder alone

PROBE_URL = "https://api.kaggle.com"
PROBE_SECONDS = 4.0  # for an answer of Kaggle
DOWNLOAD_SECONDS = 120.0  # for 1 or 11 MB
SOUND_SECONDS = 4 * 3600.0  # for the data set: 1 Mbit/s would take 2.7 hours
MAX_BYTES = 20_000_000  # of a table


def download(path: str = PATH) -> bytes:
    """Downloads ``PATH`` or ``PATH_3`` from Kaggle."""
    return _download(lambda: _fetch(path), DOWNLOAD_SECONDS)


def download_sound() -> Path:
    """Downloads the data set unless kagglehub has it; returns the folder of songs by genre."""
    print(
        f"downloading GTZAN's sound from Kaggle, {SOUND_SIZE}, unless kagglehub has it already",
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
    """Returns ``fetch()``; turns any failure into InputError."""
    import requests

    try:
        _within(PROBE_SECONDS, lambda: requests.head(PROBE_URL, timeout=PROBE_SECONDS))
    except Exception as error:
        raise InputError(f"Kaggle is unreachable ({type(error).__name__})") from error
    try:
        return _within(seconds, fetch)
    # kagglehub documents no set of exceptions: HTTP, file system and its own ones all occur.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        reason = reason if len(reason) <= 150 else f"{reason[:149]}…"
        raise InputError(f"the download from Kaggle failed ({printable(reason)})") from error


def _fetch(path: str) -> bytes:
    import kagglehub

    # Forced, since kagglehub would return a damaged copy from its cache for ever.
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
    """Returns ``call()``, or raises its error, or TimeoutError after ``seconds``."""
    # A thread, since socket timeouts do not limit name look-ups.
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    if not wait([future], seconds).done:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return future.result()
