"""Computes the feature table of a folder of sound files."""

import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gtzan_jax.errors import InputError, Interrupted, RunError, SoundError, described
from gtzan_jax.files import digest, write_csv
from gtzan_jax.rundir.directory import check_place
from gtzan_jax.sound.files import NO_GENRE, Song, check_file, left_out, songs_in
from gtzan_jax.sound.kept import Kept
from gtzan_jax.sound.processes import of_many
from gtzan_jax.sound.rows import Rows, check_names, made_by, names_of, rows_of
from gtzan_jax.tables.schema import COLUMNS
from gtzan_jax.tables.sources import read_table
from gtzan_jax.text import command_line, flag, printable
from gtzan_jax.trainer.platforms import usable_cores
from gtzan_jax.views import messages
from gtzan_jax.views.progress import SongsProgress
from gtzan_jax.views.text import counted

if TYPE_CHECKING:
    import pandas as pd

CHUNK_SECONDS = 3
"""What a chunk may last: as the published table's."""


@dataclass(frozen=True, eq=False)
class Extraction:
    """Result of extracting a folder."""

    output: Path
    songs: int  # that are in the table
    rows: int
    failures: Mapping[Path, SoundError] = field(repr=False)  # files that could not be used


def extract(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str] = "features.csv",
    *,
    chunk_seconds: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    command: str = "",
) -> Extraction:
    """Computes the 57 features of each sound file of a folder and writes a table of them.

    What is done is kept beside the table until that is written with all files in it, so that the
    same call goes on where another one was ended.

    Args:
      folder: the songs, as ``sound.files.songs_in`` finds them.
      output: the CSV; it has the columns of GTZAN's table.
      chunk_seconds: 3 for a row for each chunk of three seconds; None for a row a song.
      workers: processes. Default: one a core.
      overwrite: whether a file may be there and is replaced.
      command: that goes on, for who ends it.

    Raises:
      InputError: the folder, the output or a flag cannot be used, or packages are missing.
      RunError: no file could be read, or the disk is full.
    """
    if chunk_seconds not in (None, CHUNK_SECONDS):
        raise InputError(f"chunk_seconds={chunk_seconds}: it must be {CHUNK_SECONDS} or None")
    output = Path(os.path.expanduser(output))
    chunked = chunk_seconds is not None
    _check_output(output, overwrite)
    songs = songs_in(folder)
    kept = Kept(output, made_by(chunked))
    _tell_what_is_there(songs, folder)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        rows, failures = _compute(songs, kept, chunked, workers or usable_cores())
        if rows:
            write_csv(output, _frame(songs, rows, chunked))
    except Interrupted as interrupted:
        how = f"\n  {printable(command)}" if command else " the same call"
        interrupted.hint = f"what is done is kept in {printable(kept.path)}; go on with{how}"
        raise
    except OSError as error:
        raise RunError(
            f"{described(error)}; what is done is kept, and once that is mended, this goes on: "
            f"{command or 'the same call'}"
        ) from None
    if not failures:
        kept.remove()
    done = Extraction(output, len(rows), sum(map(len, rows.values())), failures)
    _tell(done, kept)
    empty = {song.label for song in songs} - {song.label for song in songs if song.path in rows}
    if empty:
        messages.warn(f"genres without a song in the table: {', '.join(sorted(empty))}")
    return done


def _check_output(output: Path, overwrite: bool) -> None:
    if output.is_dir():
        raise InputError(f"{flag('output', output)}: it is a folder; name a file in it")
    if os.path.lexists(output) and not overwrite:
        raise InputError(
            f"{flag('output', output)}: it is there already; --overwrite replaces it, or name "
            "another"
        )
    check_place(output.parent, name="output")


def _tell_what_is_there(songs: list[Song], folder: str | os.PathLike[str]) -> None:
    print(f"{counted(len(songs), 'sound file')} in {printable(folder)}", flush=True)
    for sentence in left_out(folder):
        messages.warn(sentence)
    astray = [song for song in songs if song.label == NO_GENRE]
    if astray:
        messages.warn(
            f"{counted(len(astray), 'song')}, such as {astray[0].name}, in no genre's folder: "
            f"the label is {NO_GENRE!r}"
        )


def _compute(
    songs: list[Song], kept: Kept, chunked: bool, workers: int
) -> tuple[dict[Path, Rows], dict[Path, SoundError]]:
    """Returns the rows of the songs that can be used, and why the others cannot."""
    rows: dict[Path, Rows] = {}
    failures: dict[Path, SoundError] = {}
    digests: dict[Path, str] = {}
    compute = functools.partial(rows_of, chunked=chunked)
    with SongsProgress(len(songs)) as progress:

        def fail(path: Path, error: SoundError) -> None:
            failures[path] = error
            messages.warn(str(error))
            progress.take(is_new=False)

        def not_done() -> Iterator[Path]:
            for song in songs:
                try:
                    check_names(song)
                    digests[song.path] = _digest(song.path)
                except SoundError as error:
                    fail(song.path, error)
                    continue
                if (there := kept.find(digests[song.path])) is None:
                    yield song.path
                else:
                    rows[song.path] = there
                    progress.take(is_new=False)

        for path, found in of_many(compute, not_done(), min(workers, len(songs))):
            if isinstance(found, SoundError):
                fail(path, found)
            else:
                rows[path] = found
                kept.add(digests[path], found)
                progress.take()
    return rows, failures


def _digest(path: Path) -> str:
    try:
        check_file(path)
        return digest(path)
    except OSError as error:
        raise SoundError(f"{printable(path)}: cannot be read: {error.strerror}") from None


def _frame(songs: list[Song], rows: Mapping[Path, Rows], chunked: bool) -> "pd.DataFrame":
    """Returns the table, its songs in the order of their names."""
    import pandas as pd

    lines = [
        (name, int(length), *features, song.label)
        for song in songs
        if (own := rows.get(song.path)) is not None
        for name, (length, *features) in zip(
            names_of(song, len(own) if chunked else None), own, strict=True
        )
    ]
    return pd.DataFrame(lines, columns=list(COLUMNS))


def _tell(done: Extraction, kept: Kept) -> None:
    """Prints the result of extracting a folder, and what to know before using the table."""
    if done.failures:
        print(f"\n{counted(len(done.failures), 'file')} could not be used:")
        for error in done.failures.values():
            print(f"  {printable(error)}")
    if not done.songs:
        raise RunError("no file could be used; nothing is written")
    rows = f", {done.rows:,} chunks" if done.rows > done.songs else ""
    print(printable(f"\n{counted(done.songs, 'song')}{rows} in {done.output}"))
    if done.failures:
        print(printable(f"what is done is kept in {kept.path}, too: with --overwrite, the same"))
        print("command reads only what could not be used, or has changed")
    try:
        read_table(done.output)
    except InputError as error:
        messages.warn(f"as it is, --data does not take it: {error}")
    else:
        command = command_line("sweep", ["--protocol=holdout", f"--data={done.output}"])
        print(printable(f"  {command}"))
