"""Computes the feature table of a folder of sound files."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gtzan_jax.errors import InputError, Interrupted, RunError, SoundError, described
from gtzan_jax.files import write_csv
from gtzan_jax.inference.extractor import Extractor
from gtzan_jax.rundir.directory import check_place
from gtzan_jax.sound.files import NO_GENRE, Song, digest_of, left_out, songs_in
from gtzan_jax.sound.musicnn_weights import read_weights
from gtzan_jax.sound.rows import Kept, Rows
from gtzan_jax.tables.sources import read_table
from gtzan_jax.text import command_line, flag, printable
from gtzan_jax.trainer.platforms import select_platform, usable_cores
from gtzan_jax.views import messages
from gtzan_jax.views.progress import SongsProgress
from gtzan_jax.views.text import counted

SEGMENT_SECONDS = 3  # of the published table


@dataclass(frozen=True, eq=False)
class Extraction:
    """Result of extracting a folder."""

    output: Path
    songs: int  # in the table
    rows: int
    failures: Mapping[Path, SoundError] = field(repr=False)  # unusable files


def extract(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str] = "features.csv",
    *,
    features: str = "gtzan",
    weights: str | None = None,
    segment_seconds: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    command: str = "",
) -> Extraction:
    """Computes the features of each sound file of a folder, and writes a table of them.

    Progress is saved beside the table until all files are in it: the same call resumes. See
    ``options.ExtractOptions`` for the parameters.

    Raises:
      RunError: no file could be read, or the disk is full.
    """
    if segment_seconds not in (None, SEGMENT_SECONDS):
        raise InputError(f"segment_seconds={segment_seconds}: it must be {SEGMENT_SECONDS} or None")
    output = Path(os.path.expanduser(output))
    if output.is_dir():
        raise InputError(f"{flag('output', output)}: it is a folder; name a file in it")
    if os.path.lexists(output) and not overwrite:
        remedy = "--overwrite replaces it, or name another"
        raise InputError(f"{flag('output', output)}: it already exists; {remedy}")
    check_place(output.parent, name="output")
    songs, extractor = songs_in(folder), Extractor(features, segment_seconds is not None)
    if weights is not None:
        if extractor.name == "gtzan":
            raise InputError("--weights is for a pretrained network: add --features=musicnn")
        read_weights(weights)
    if extractor.name != "gtzan":
        select_platform()
    kept = extractor.kept(output.with_name(f"{output.name}.part"))
    print(f"{counted(len(songs), 'sound file')} in {printable(folder)}", flush=True)
    for sentence in left_out(folder):
        messages.warn(sentence)
    if astray := [song.name for song in songs if song.label == NO_GENRE]:
        where = f"{counted(len(astray), 'song')} in no genre's folder, such as {astray[0]}"
        messages.warn(f"{where}: labelled {NO_GENRE!r}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        rows, failures = _compute(songs, kept, extractor, workers or usable_cores())
        if rows:
            write_csv(output, extractor.frame(songs, rows))
    except Interrupted as interrupted:
        how = f"\n  {printable(command)}" if command else " the same call"
        interrupted.hint = f"progress is saved in {printable(kept.path)}; resume with{how}"
        raise
    except OSError as error:
        raise RunError(
            f"{described(error)}; progress is saved: fix the problem, then resume with: "
            f"{command or 'the same call'}"
        ) from None
    if not failures:
        kept.remove()
    done = Extraction(output, len(rows), sum(map(len, rows.values())), failures)
    _print_result(done, kept)
    in_table = {song.label for song in songs if song.path in rows}
    if empty := {song.label for song in songs} - in_table:
        messages.warn(f"genres without a song in the table: {', '.join(sorted(empty))}")
    return done


def _compute(
    songs: list[Song], kept: Kept, extractor: Extractor, workers: int
) -> tuple[dict[Path, Rows], dict[Path, SoundError]]:
    """Returns the rows of the usable songs, and the errors of the others."""
    rows: dict[Path, Rows] = {}
    failures: dict[Path, SoundError] = {}
    digests: dict[Path, str] = {}
    with SongsProgress(len(songs)) as progress:

        def take(path: Path, found: Rows | SoundError, is_new: bool) -> None:
            if isinstance(found, SoundError):
                failures[path] = found
                messages.warn(str(found))
            else:
                rows[path] = found
            progress.take(is_new=is_new and path in rows)

        def not_done() -> Iterator[Path]:
            for song in songs:
                try:
                    digests[song.path] = digest_of(song)
                except SoundError as error:
                    take(song.path, error, is_new=False)
                    continue
                if (done := kept.find(digests[song.path])) is None:
                    yield song.path
                else:
                    take(song.path, done, is_new=False)

        for path, found in extractor.rows(not_done(), min(workers, len(songs))):
            if not isinstance(found, SoundError):
                kept.add(digests[path], found)
            take(path, found, is_new=True)
    return rows, failures


def _print_result(done: Extraction, kept: Kept) -> None:
    """Prints the result, and warnings about the table."""
    if done.failures:
        print(f"\n{counted(len(done.failures), 'file')} could not be used:")
        for error in done.failures.values():
            print(f"  {printable(error)}")
    if not done.songs:
        raise RunError("no file could be used; nothing is written")
    rows = f", {done.rows:,} segments" if done.rows > done.songs else ""
    print(printable(f"\n{counted(done.songs, 'song')}{rows} in {done.output}"))
    if done.failures:
        print(printable(f"progress is saved in {kept.path}"))
        print("  the same command with --overwrite reads only failed and changed files")
    try:
        read_table(done.output)
    except InputError as error:
        messages.warn(f"--data cannot use this table: {error}")
    else:
        command = command_line("sweep", ["--protocol=holdout", f"--data={done.output}"])
        print(printable(f"  {command}"))
