"""Tables of spectrograms, a row for each segment of three seconds; computed once, then cached.

Sources are a folder of sound files, Kaggle's copy of GTZAN, and synthetic songs.
"""

import functools
import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError, SoundError, nearest
from gtzan_jax.files import digest
from gtzan_jax.resources import PACKAGE
from gtzan_jax.sound import files, spectrogram_cache, synthetic
from gtzan_jax.sound.features import segments_of
from gtzan_jax.sound.mel import BAND_NAMES, log_mel
from gtzan_jax.sound.processes import of_many
from gtzan_jax.sound.rows import labelled_songs, made_by, names_of
from gtzan_jax.tables import kaggle
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.validation import check_labels, equal_rows
from gtzan_jax.text import printable

SOUND_NAMES = ("auto", "sounds", "sample", "kaggle")

# Folders of GTZAN's sound, in the current folder or in the checkout.
PLACES = (Path("data", "genres_original"), Path("data", "genres"))

SYNTHETIC_SONGS = 20  # of each genre
SYNTHETIC_SECONDS = 9.1  # three segments and at least one sample more
_SONGS_A_PROCESS = 25  # fewer take less time than the start of a process

Segments = NDArray[np.float16]  # (segments, bands, frames), of one song
Watch = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass(frozen=True)
class _Sound:
    """A song that is not decoded yet."""

    song: files.Song
    identity: str  # checksum of its samples' source
    read: Callable[[], NDArray[np.float32]]

    def __str__(self) -> str:
        return str(self.song.path)


def unwatched(songs: Iterable[Any], total: int) -> Iterable[Any]:
    """Shows no progress."""
    del total
    return songs


def load_spectrograms(
    data: str | os.PathLike[str] = "auto", watch: Watch = unwatched
) -> FeatureTable:
    """Loads spectrograms of segments of three seconds, (rows, bands, frames) float16 in dB.

    Files that cannot be read are left out, with a warning each.

    Args:
      data: a folder of sound files whose subfolders are the genres; ``sounds`` or ``sample``, the
        synthetic songs; ``kaggle``; or ``auto``, one of ``PLACES``, else the synthetic songs with a
        ``notice``.
      watch: wraps the songs to be computed, to show progress; unused if the cache has the table.
    """
    name = os.fspath(data)
    if name == "auto":
        return _auto_table(watch)
    if name in ("sounds", "sample"):
        return _synthetic_table(watch)
    if name == "kaggle":
        return _folder_table(kaggle.download_sound(), name, watch)
    folder = Path(os.path.expanduser(name))
    if name and folder.is_dir():
        return _folder_table(folder, name, watch)
    given = f"give {', '.join(SOUND_NAMES)}, or a folder of sound files with genres as subfolders"
    if name and folder.exists():
        raise InputError(
            f"{printable(name)} is a file, but a network on spectrograms needs sound: {given}"
        )
    raise InputError(f"no sound {printable(name)!r}{nearest(name, SOUND_NAMES)}: {given}")


def find_spectrograms(sha256: str, source: str = "") -> FeatureTable | None:
    """Returns the spectrograms with a checksum, if the cache has them; reads no sound.

    Synthetic songs missing from the cache are computed again; on another processor they may differ
    in a last digit, and so in the checksum.
    """
    found = spectrogram_cache.find(sha256, source)
    if found is None and source == "sounds":
        with suppress(InputError):  # the packages may be missing
            found = _synthetic_table(unwatched)
    return found if found is not None and found.sha256 == sha256 else None


def _auto_table(watch: Watch) -> FeatureTable:
    for place in PLACES:
        for folder in (place, PACKAGE.parent / place):
            if folder.is_dir():
                return _folder_table(folder, str(place), watch)
    notice = (
        f"SYNTHETIC songs replace real ones, because there is no folder {PLACES[0]}. Figures from "
        "them show that the program works and say nothing about music. For GTZAN's songs, "
        f"--data=kaggle downloads {kaggle.SOUND_SIZE} from "
        f"https://www.kaggle.com/datasets/{kaggle.HANDLE}; or give the path of a folder of your "
        "own songs with a subfolder for each genre."
    )
    return replace(_synthetic_table(watch), notice=notice)


def _synthetic_table(watch: Watch) -> FeatureTable:
    identity = f"{digest(Path(synthetic.__file__))} {SYNTHETIC_SECONDS}"
    sounds = []
    for genre, number in itertools.product(synthetic.GENRES, range(SYNTHETIC_SONGS)):
        name = f"{genre}.{number:05d}.wav"
        read = functools.partial(synthetic.song, genre, number, SYNTHETIC_SECONDS)
        sounds.append(_Sound(files.Song(Path(name), name, genre), identity, read))
    return _cached_table(sounds, [], "sounds", watch)


def _folder_table(folder: Path, source: str, watch: Watch) -> FeatureTable:
    songs, left_out = labelled_songs(folder)
    for sentence in files.left_out(folder):
        warnings.warn(sentence, stacklevel=2)
    sounds = [_Sound(s, identity, functools.partial(files.read, s.path)) for s, identity in songs]
    return _cached_table(sounds, left_out, source, watch)


def _cached_table(
    sounds: Sequence[_Sound], left_out: Sequence[str], source: str, watch: Watch
) -> FeatureTable:
    """Returns the table of songs from the cache, or computes and caches it."""
    _check_labels([sound.song for sound in sounds], source, left_out)
    key = made_by([[s.song.name, s.song.label, s.identity] for s in sounds])
    kept = spectrogram_cache.load(key, source)
    if kept is None:
        kept = _computed_table(sounds, source, watch)
        spectrogram_cache.keep(key, *kept)
    table, refused = kept
    for reason in (*left_out, *refused):
        warnings.warn(f"left out: {reason}", stacklevel=2)
    if empty := {sound.song.label for sound in sounds} - set(table.genres):
        warnings.warn(f"genres without a usable song: {', '.join(sorted(empty))}", stacklevel=2)
    return table


def _computed_table(
    sounds: Sequence[_Sound], source: str, watch: Watch
) -> tuple[FeatureTable, list[str]]:
    """Returns the table of the usable songs, and the reasons against the others."""
    import joblib

    workers = min(joblib.cpu_count(), 1 + len(sounds) // _SONGS_A_PROCESS)
    found: dict[str, Segments] = {}
    refused = {}
    for sound, result in watch(of_many(_spectrograms, sounds, workers), len(sounds)):
        if isinstance(result, SoundError):
            refused[sound.song.name] = str(result)
        else:
            found[sound.song.name] = result
    songs = [sound.song for sound in sounds if sound.song.name in found]
    reasons = [refused[name] for name in sorted(refused)]
    _check_labels(songs, source, reasons)
    x = np.concatenate([found[song.name] for song in songs])
    counts = [len(found[song.name]) for song in songs]
    genres, number = np.unique([song.label for song in songs], return_inverse=True)
    table = FeatureTable(
        x=x,
        y=np.repeat(number, counts).astype(np.int32),
        tracks=tuple(itertools.chain.from_iterable(map(names_of, songs, counts))),
        features=BAND_NAMES,
        genres=tuple(genres.tolist()),
        sha256="",
        source=source,
        repeats=equal_rows(x),
    )
    return replace(table, sha256=spectrogram_cache.digest_of(table)), reasons


def _spectrograms(sound: _Sound) -> Segments:
    """Computes the spectrograms of a song's segments; raises SoundError without a segment."""
    samples = sound.read()
    with files.named(sound.song.path):
        return np.stack([log_mel(segment) for segment in segments_of(samples)])


def _check_labels(songs: Sequence[files.Song], source: str, left_out: Sequence[str]) -> None:
    """Checks the number of songs and of genres; an error also names a song left out."""
    others = f" ({len(left_out)} left out, such as {left_out[0]})" if left_out else ""
    labels, hint = [song.label for song in songs], f"{others}; a subfolder is a genre"
    check_labels(labels, printable(source), hint=hint)
