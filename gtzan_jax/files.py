"""Atomic writes of files and folders, checksums, and locks of folders."""

import contextlib
import hashlib
import json
import os
import reprlib
import shutil
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax.errors import InputError
from gtzan_jax.text import printable

if TYPE_CHECKING:
    import pandas as pd

_PREFIX, _SUFFIX = ".", ".tmp"  # of unfinished files and folders
_LOCK = ".lock"

Kind = tuple[str, tuple[int, ...]]
"""Type of an array, as safetensors names it (F32, U8), and shape."""


def write_atomically(path: Path, content: str | bytes | Iterable[str]) -> None:
    """Writes a file beside its place, flushes it and moves it there: never half a file."""
    parts = [content] if isinstance(content, str | bytes) else content
    with named(path):
        handle, temporary = tempfile.mkstemp(_SUFFIX, f"{_PREFIX}{path.name[:50]}.", path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                for part in parts:
                    file.write(part.encode("utf-8") if isinstance(part, str) else part)
                file.flush()
                os.fsync(file.fileno())
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)  # mkstemp's files are for their owner only
            os.replace(temporary, path)
            _sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Makes OSErrors name ``path`` if they name no file, or its temporary one."""
    try:
        yield
    except OSError as error:
        aside = error.filename is None or str(error.filename).endswith(_SUFFIX)
        if not aside or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_csv(path: Path, frame: "pd.DataFrame") -> None:
    """Writes a frame as a CSV with LF line ends."""
    write_csv_parts(path, [frame])


def write_csv_parts(path: Path, parts: "Iterable[pd.DataFrame]") -> None:
    """Writes frames with the same columns below each other, as one CSV with LF line ends."""
    write_atomically(
        path,
        (
            part.to_csv(index=False, header=place == 0, lineterminator="\n")
            for place, part in enumerate(parts)
        ),
    )


@contextlib.contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yields an empty folder to write into, which replaces ``folder`` at the end."""
    aside = folder.with_name(f"{_PREFIX}{folder.name}{_SUFFIX}")
    shutil.rmtree(aside, ignore_errors=True)
    with named(folder):
        aside.mkdir()
        try:
            yield aside
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(aside, folder)
            _sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def remove_temporaries(folder: Path) -> None:
    """Removes the unfinished files of a killed process; the caller must hold the folder's lock."""
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def is_empty(folder: Path) -> bool:
    """Returns whether a folder contains at most unfinished files and a lock."""
    return all(
        path.name == _LOCK or (path.name.startswith(_PREFIX) and path.name.endswith(_SUFFIX))
        for path in folder.iterdir()
    )


def refuse_links(folder: Path) -> None:
    """Checks that a folder contains only plain files and folders, at any depth.

    In an untrusted run directory a link may lead anywhere, a pipe may never end, and a lock that is
    a hard link would be overwritten. The folder itself may be a link, and need not exist.
    """
    folders = [os.fspath(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    is_file = entry.is_file(follow_symlinks=False)
                    if entry.name == _LOCK:
                        is_file = is_file and entry.stat().st_nlink == 1
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                        continue
                    if not is_file:
                        raise InputError(
                            f"{printable(entry.path)} is a link or a special file; a run directory "
                            "may contain only plain files and folders: remove it"
                        )
        except FileNotFoundError:  # removed by another process
            continue
        except OSError as error:
            raise InputError(
                f"{printable(error.filename)}: cannot be read: {error.strerror}"
            ) from None


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file, or of the names and contents of all files in a folder."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256()
    for file_path in sorted(p for p in path.rglob("*") if p.is_file()):
        name = file_path.relative_to(path).as_posix()
        whole.update(f"{name}\0{digest(file_path)}\n".encode())
    return whole.hexdigest()


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Writes arrays as safetensors, with a document, which has a ``format``, and a checksum."""
    from safetensors.numpy import save

    document = {**about, "checksum": _checksum(arrays, about)}
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomically(path, save(whole, {"about": json.dumps(document, allow_nan=False)}))


def load_arrays(
    path: Path, number: int, expected: Callable[[dict[str, Any]], Mapping[str, Kind]]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads a file of :func:`save_arrays`; checks the size of each array before reading it.

    Raises ValueError if it has another format, is damaged or edited. ``expected`` returns type and
    shape of each array for the document, and may raise an error for a wrong one.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            if about.get("format") != number:
                found = about.get("format", "of an older version")
                raise ValueError(f"format {reprlib.repr(found)}, not {number} of this version")
            wanted = expected(about)
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            kinds = {n: (s.get_dtype(), tuple(s.get_shape())) for n, s in slices.items()}
            for name in sorted({*kinds, *wanted}):
                if kinds.get(name) != wanted.get(name):
                    raise ValueError(f"{name} is {kinds.get(name)}, not {wanted.get(name)}")
            arrays = {name: file.get_tensor(name) for name in wanted}
        if about.pop("checksum") != _checksum(arrays, about):
            raise ValueError("wrong checksum: the file is damaged or edited")
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError,
        SafetensorError,
    ) as error:  # fmt: skip
        reason = printable(f"{type(error).__name__}: {' '.join(str(error).split())}")
        raise ValueError(f"{path.name} cannot be used ({reason[:200]})") from None
    return arrays, about


def _checksum(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> str:
    whole = hashlib.sha256(json.dumps(about, sort_keys=True, allow_nan=False).encode())
    for name in sorted(arrays):
        array = arrays[name]
        whole.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a JSON document with the SHA-256 of its other keys as its ``checksum``."""
    content = {key: value for key, value in document.items() if key != "checksum"}
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return content | {"checksum": hashlib.sha256(text.encode()).hexdigest()}


def is_sealed(document: Any) -> bool:
    """Returns whether a JSON document has the checksum of :func:`sealed`."""
    return isinstance(document, dict) and sealed(document) == document


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Locks a folder against other processes; the lock ends with the process.

    Without effect where the file system has no locks, as on some network disks.
    """
    from filelock import lock_descriptor

    refuse_links(folder)
    # Not O_TRUNC: the holder's name stays until the lock is held.
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        try:
            taken = lock_descriptor(handle, blocking=False)
        except OSError as error:
            reason = error.strerror
            remedy = "run only one command in it at a time"
            warnings.warn(f"{folder} cannot be locked ({reason}): {remedy}", stacklevel=3)
            taken = True
        # Windows locks the first byte, also against reading: the holder's name begins behind it.
        if not taken:
            os.lseek(handle, 1, os.SEEK_SET)
            holder = printable(os.read(handle, 1000).decode("utf-8", "replace")).strip()
            raise InputError(
                f"{folder} is in use by {holder or 'another process'}; wait for it or stop it, or "
                "give another --workdir"
            )
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, f" process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Makes a rename durable, where the system lets folders be opened."""
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
