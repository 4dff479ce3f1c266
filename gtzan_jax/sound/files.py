"""Sound files of a folder, and their samples."""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.files import digest
from gtzan_jax.sound.decoding import DECODED, NOT_DECODED, audio_module, decode
from gtzan_jax.text import printable

SAMPLE_RATE = 22_050
"""In Hz; sounds of other rates are resampled."""

NO_GENRE = "unknown"
"""The label of a song outside any genre's folder."""

GTZAN_NAME = re.compile(r"(?P<genre>[^.]+)\.\d{5}", re.ASCII)
"""The name of a GTZAN song without its ending: ``blues.00000``."""

_MAX_BYTES = 2**32  # WAV's own bound
_MOST_NAMED = 5  # endings


@dataclass(frozen=True)
class Song:
    """A sound file, its name and its genre in a table."""

    path: Path
    name: str  # the table's filename: GTZAN's blues.00000.wav, or the path within the folder
    label: str  # the genre


def songs_in(folder: str | os.PathLike[str]) -> list[Song]:
    """Finds the sound files of a folder, at any depth, sorted by name.

    The genre of a song is the first subfolder on its path. A song named as in GTZAN,
    ``rock.00000.wav``, has the genre of its name, if it is in a folder of that name or in no
    subfolder. Any other song in no subfolder has the genre ``NO_GENRE``. Links and hidden files are
    ignored.
    """
    root = Path(os.path.expanduser(folder))
    if not root.is_dir():
        raise InputError(f"{printable(folder)} is not a folder; give a folder of sound files")
    songs = []
    for path in filter(_is_sound, _files(root)):
        place, gtzan = path.relative_to(root), GTZAN_NAME.fullmatch(path.stem)
        folders = place.parts[:-1]
        if gtzan and (not folders or gtzan["genre"] in folders):
            songs.append(Song(path, path.name, gtzan["genre"]))
        else:
            songs.append(Song(path, place.as_posix(), folders[0] if folders else NO_GENRE))
    if not songs:
        others = "".join(f"; {sentence}" for sentence in left_out(root))
        raise InputError(f"{printable(folder)} holds no sound file{others}")
    return sorted(songs, key=lambda song: song.name)


def left_out(folder: str | os.PathLike[str]) -> list[str]:
    """Returns a warning of the files that ``songs_in`` leaves out, and one of empty genres."""
    root = Path(os.path.expanduser(folder))
    files = list(_files(root))
    kinds = Counter(_kind(path) for path in files if not _is_sound(path)).items()
    ordered = sorted(kinds, key=lambda item: (-item[1], item[0]))
    counts = [f"{count:,} {kind}" for kind, count in ordered[:_MOST_NAMED]]
    if rest := sum(count for _, count in ordered[_MOST_NAMED:]):
        counts.append(f"{rest:,} others")
    with_songs = {path.relative_to(root).parts[0] for path in files if _is_sound(path)}
    folders = [p.name for p in root.iterdir() if p.is_dir() and not p.is_symlink()]
    empty = sorted(f for f in folders if f not in with_songs and not f.startswith("."))
    sentences = {"left out": counts, "folders without a sound file": empty}
    return [f"{what}: {', '.join(names)}" for what, names in sentences.items() if names]


def _files(root: Path) -> Iterator[Path]:
    """Yields the files of a folder, at any depth, except hidden ones and those behind links."""

    def fail(error: OSError) -> None:
        raise InputError(f"{printable(error.filename)}: cannot be opened: {error.strerror}")

    for folder, subfolders, names in os.walk(root, onerror=fail):
        links = [name for name in subfolders if Path(folder, name).is_symlink()]
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (Path(folder, name) for name in (*names, *links) if not name.startswith("."))


def _kind(path: Path) -> str:
    if path.is_symlink():
        return "links"
    if not path.is_file():
        return "pipes or devices"
    return path.suffix.lower() or "without an ending"


def _is_sound(path: Path) -> bool:
    is_named = path.suffix.lower() in (*DECODED, *NOT_DECODED)
    return is_named and path.is_file() and not path.is_symlink()


@contextlib.contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns errors of a sound file into a SoundError with its name."""
    try:
        yield
    except OSError as error:
        raise SoundError(f"{printable(path)}: cannot be read: {error.strerror}") from None
    except SoundError as error:
        raise SoundError(f"{printable(path)}: {error}") from None


def read(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Reads a sound file: returns (samples,) at ``SAMPLE_RATE``, the mean of its channels.

    Raises SoundError with the file's name if it cannot be read, is damaged or out of bounds.
    """
    path = Path(os.path.expanduser(path))
    with named(path):
        _check(path)
        return np.concatenate(
            [
                samples
                if rate == SAMPLE_RATE
                else audio_module("librosa").resample(samples, orig_sr=rate, target_sr=SAMPLE_RATE)
                for rate, samples in decode(path)
            ]
        )


def digest_of(song: Song) -> str:
    """Returns the SHA-256 of a song's file; raises SoundError if its name fits no table."""
    with named(song.path):
        for text, what in ((song.name, "name"), (song.label, "folder's name")):
            if text != text.strip() or not text.isprintable():
                raise SoundError(
                    f"its {what} begins or ends with a space, or has an invisible character; "
                    "rename it"
                )
        _check(song.path)
        return digest(song.path)


def _check(path: Path) -> None:
    """Checks the size of a sound file."""
    size = path.stat().st_size
    if not path.is_file():
        raise SoundError("it is not a regular file")
    if not size:
        raise SoundError("it is empty")
    if size > _MAX_BYTES:
        raise SoundError(f"it has {size:,} bytes; at most {_MAX_BYTES:,} are read")
