"""Published lists of GTZAN's tracks, in ``data/``, with the part and artist of each track."""

import csv
import functools
import re
import reprlib
from typing import TYPE_CHECKING, NamedTuple

from gtzan_jax.errors import InputError
from gtzan_jax.resources import resource
from gtzan_jax.tables.validation import plain_genre

if TYPE_CHECKING:
    from gtzan_jax.tables.schema import FeatureTable

FAULT_FILTERED = "fault_filtered"
ARTIST_FOLDS = "artist_folds"

_MIN_KNOWN = 0.1  # share of listed tracks in a table of GTZAN

# blues.00012.wav, genres/blues/blues.00012.au, blues.00012.3.wav, blues.sample12.wav.
_NAME = re.compile(r"(?:.*[/\\])?([a-z]+)\.(?:000|sample)(\d\d)(?:\.\d{1,2})?(?:\.[a-z]\w*)?")


class Listed(NamedTuple):
    """The entry of a track in a list."""

    part: str  # train, validation or test; or the number of a fold
    artist: int  # a number within the list; fault_filtered has no artists


def read_rows(name: str) -> list[dict[str, str]]:
    """Reads the rows of a shipped CSV, without its comments."""
    with resource("data", f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


@functools.cache
def read_list(name: str) -> dict[str, Listed]:
    """Reads the part and the artist of each track of a list, such as blues.00012."""
    artists = [(row, tracks) for row in read_rows(name) for tracks in row["tracks"].split(";")]
    listed = {}
    for artist, (row, tracks) in enumerate(artists):
        for span in tracks.split():  # such as 00 or 12-45
            first, _, last = span.partition("-")
            for number in range(int(first), int(last or first) + 1):
                listed[f"{row['genre']}.{number:05d}"] = Listed(row["part"], artist)
    return listed


def track_of(file_name: str) -> str | None:
    """Returns GTZAN's track of a file name, such as blues.00012; None if there is none.

    Ignores folder, ending and case; accepts segments, and the sample's blues.sample12.wav.
    """
    match = _NAME.fullmatch(file_name.lower())
    return f"{match[1]}.000{match[2]}" if match else None


def look_up(table: "FeatureTable", name: str) -> list[Listed | None]:
    """Returns the entry of a list for each row of a table, None for unlisted tracks."""
    listed = read_list(name)
    return [listed.get(track_of(track) or "") for track in table.tracks]


def is_known(table: "FeatureTable", name: str) -> bool:
    """Returns whether a list has enough of a table's tracks."""
    found = look_up(table, name)
    return len(found) - found.count(None) >= _MIN_KNOWN * len(found)


def check_known(table: "FeatureTable", name: str) -> None:
    """Checks that a list has at least one in ten of a table's tracks."""
    if not is_known(table, name):
        found = look_up(table, name)
        raise InputError(
            f"{table.source}: {name} lists {len(found) - found.count(None)} of its {len(found):,} "
            "tracks: it needs GTZAN's file names, such as 'blues.00000.wav', not "
            f"{reprlib.repr(table.tracks[found.index(None)])}; take another protocol, such as kfold"
        )


def left_out(table: "FeatureTable", name: str) -> tuple[str, ...]:
    """Returns sentences on differences between a list and a table, and on misleading names."""
    listed, tracks = read_list(name), [track_of(track) for track in table.tracks]
    genres = [table.genres[genre] for genre in table.y]
    unlisted = sum(track not in listed for track in tracks)
    lacking = len(listed.keys() - set(tracks))
    other = [
        f"{reprlib.repr(file)}, {reprlib.repr(genre)}"
        for file, track, genre in zip(table.tracks, tracks, genres, strict=True)
        if track in listed and plain_genre(genre) != track.split(".")[0]
    ]
    whole, sentences = f"of the table's {len(tracks):,} tracks", []
    if unlisted:
        sentences.append(
            f"{unlisted:,} {whole} are not in the list of {name}: neither trained nor tested on"
        )
    if lacking:
        sentences.append(
            f"{lacking:,} of {len(listed):,} tracks in the list of {name} are not in the table"
        )
    if other:
        sentences.append(
            f"{len(other):,} {whole} have another genre than in their file names, such as "
            f"{other[0]}; the table's genre is used"
        )
    return tuple(sentences)
