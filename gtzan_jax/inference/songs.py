"""Loads feature tables, or computes them from folders of songs."""

import os
import warnings
from pathlib import Path
from typing import Any

from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.inference.extractor import Extractor
from gtzan_jax.resources import cache_dir
from gtzan_jax.sound.files import left_out
from gtzan_jax.sound.rows import Rows, labelled_songs
from gtzan_jax.sound.spectrograms import Watch, load_spectrograms, unwatched
from gtzan_jax.sound.summary import check_no_options, summary_of
from gtzan_jax.tables.frames import read_frame
from gtzan_jax.tables.schema import NO_OPTIONS, Columns, FeatureTable
from gtzan_jax.tables.sources import DATA_NAMES, load_table
from gtzan_jax.tables.validation import check_labels, validated
from gtzan_jax.text import printable
from gtzan_jax.trainer.platforms import usable_cores

_EXTRACTOR = "musicnn"  # of a folder of songs


def load_data(
    data: Any = "auto", watch: Watch = unwatched, columns: Columns = NO_OPTIONS
) -> FeatureTable:
    """Loads a feature table, or computes that of a folder by :func:`load_songs`."""
    if isinstance(data, (str, os.PathLike)) and data not in DATA_NAMES:
        folder = os.path.expanduser(data)
        if data and os.path.isdir(folder) and not os.path.exists(f"{folder}/manifest.json"):
            check_no_options(columns)
            return load_songs(Path(folder), os.fspath(data), watch)
    return load_table(data, columns)


def load_features(
    data: Any = "auto", watch: Watch = unwatched, columns: Columns = NO_OPTIONS
) -> FeatureTable:
    """Loads as :func:`load_data`; for synthetic ``sounds``, the summary of their spectrograms."""
    if data == "sounds":
        check_no_options(columns)
        return summary_of(load_spectrograms(data, watch))
    return load_data(data, watch, columns)


def load_songs(folder: Path, source: str, watch: Watch = unwatched) -> FeatureTable:
    """Computes the table of a folder of songs, by a pretrained network; a subfolder is a genre.

    The features of each file are cached. Files that cannot be read, and those in no genre's folder,
    are left out, with a warning each. ``watch`` shows progress.

    Raises:
      InputError: there are too few songs, or the network's weights cannot be downloaded.
    """
    extractor = Extractor(_EXTRACTOR)
    kept = extractor.kept(cache_dir() / _EXTRACTOR)
    songs, refused = labelled_songs(folder)
    labels = [song.label for song, _ in songs]
    others = f" ({len(refused)} left out, such as {refused[0]})" if refused else ""
    check_labels(labels, printable(source), hint=f"{others}; a subfolder is a genre")
    digests = {song.path: digest for song, digest in songs}
    found = {path: kept.find(digest) for path, digest in digests.items()}
    rows: dict[Path, Rows] = {path: done for path, done in found.items() if done}
    if new := [path for path in digests if path not in rows]:
        computed = extractor.rows(new, min(usable_cores(), len(new)))
        for path, made in watch(computed, len(new)):
            if isinstance(made, SoundError):
                refused.append(str(made))
                continue
            rows[path] = made
            try:
                kept.add(digests[path], made)
            except OSError as error:
                reason = f"{kept.path}: features cannot be saved ({error.strerror})"
                warnings.warn(f"{reason}; the next command computes them again", stacklevel=2)
    for reason in (*left_out(folder), *(f"left out: {reason}" for reason in refused)):
        warnings.warn(reason, stacklevel=2)
    if empty := {*labels} - {song.label for song, _ in songs if song.path in rows}:
        warnings.warn(f"genres without a usable song: {', '.join(sorted(empty))}", stacklevel=2)
    if not rows:
        raise InputError(f"{printable(source)}: no sound file could be used")
    cells = read_frame(extractor.frame([song for song, _ in songs], rows), source, NO_OPTIONS)
    names = cells.texts["filename"]
    return validated(cells._replace(row=lambda i: names[i]), NO_OPTIONS)
