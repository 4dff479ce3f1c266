"""The feature table: its columns, and the validated rows."""

import functools
import re
import reprlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gtzan_jax import checks
from gtzan_jax.checks import Problems

_BEFORE_TEMPO = (
    "chroma_stft", "rms", "spectral_centroid", "spectral_bandwidth", "rolloff",
    "zero_crossing_rate", "harmony", "perceptr",
)  # fmt: skip
_MFCCS = tuple(f"mfcc{i}" for i in range(1, 21))

FEATURES: tuple[str, ...] = (
    *(f"{stem}_{moment}" for stem in _BEFORE_TEMPO for moment in ("mean", "var")),
    "tempo",
    *(f"{stem}_{moment}" for stem in _MFCCS for moment in ("mean", "var")),
)
"""The 57 features, in the table's order."""

TAGS: tuple[str, ...] = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s",
    "alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists",
    "classic rock", "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s", "chill",
    "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic", "experimental",
    "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening", "sexy",
    "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop",
    "sad", "House", "happy",
)  # fmt: skip
"""The tags of musicnn's network of the Million Song Dataset, in the order of its output."""

UNITS: tuple[str, ...] = tuple(f"unit{number:03d}" for number in range(1, 201))
"""The units of that network's penultimate layer, from which it computes the tags."""

EXTRACTORS: dict[str, tuple[str, ...]] = {
    "gtzan": FEATURES,
    "musicnn": UNITS,
    "musicnn_tags": TAGS,
}
"""Features of songs, by the name of their extractor."""


def columns_of(features: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the columns of a table of songs."""
    return ("filename", "length", *features, "label")


COLUMNS = columns_of(FEATURES)
"""The 60 columns of GTZAN's CSV, in its order."""

MAX_CLASSES = 256  # a prediction is stored in a byte

FILE_NAME = "features_30_sec.csv"
FILE_NAME_3 = "features_3_sec.csv"

SAMPLES = ("sample", "sample3", "sounds")
"""Sources of synthetic tables: of songs, of their segments, and of spectrograms."""

SEGMENT = re.compile(
    r"(?P<song>.+\.(?:\d{5}|sample\d\d))\.(?P<segment>\d{1,3})(?:\.\w+)?", re.ASCII
)
"""The name of a segment: blues.00000.wav is a song, blues.00000.3.wav a segment of it.

Five digits, or sample and two digits, precede its number: live.2020.3.wav is not a segment.
"""


class Words(NamedTuple):
    """Nouns for a table's rows, classes and groups."""

    row: str
    rows: str
    unit: str  # of evaluation: a row, or the song of a segment
    units: str
    label: str
    labels: str
    group: str  # of similar rows: artist, or the column's name, such as patient
    is_grouped: bool  # True if a column has the groups; then every protocol heeds them


@dataclass(frozen=True)
class Columns:
    """Columns of a table that are not features, and the treatment of missing values."""

    label: str = "label"
    group: str = ""  # column of groups, each on one side of a split; "": none
    drop: tuple[str, ...] = ()  # sorted
    impute: str = ""  # "median": of the train part; "": missing values are errors

    def __post_init__(self) -> None:
        problems = Problems()
        problems.check(checks.text, self.label, "label")
        problems.check(checks.text, self.group, "group")
        drop = problems.check(checks.texts, self.drop, "drop")
        problems.check(checks.Choice(("", "median")), self.impute, "impute")
        problems.raise_any()
        object.__setattr__(self, "drop", tuple(sorted(set(drop))))

    def words(self, is_of_songs: bool) -> Words:
        """Returns the nouns for a table."""
        if is_of_songs:
            names, group = ("track", "tracks", "song", "songs", "genre", "genres"), "artist"
        else:
            names, group = ("row", "rows", "row", "rows", "class", "classes"), "group"
        return Words(*names, self.group or group, bool(self.group))


NO_OPTIONS = Columns()

SONGS = NO_OPTIONS.words(is_of_songs=True)
"""The nouns for a table of songs."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """The validated table. Row i of ``x``, ``y`` and ``tracks`` is a song, or a segment of one.

    A table of spectrograms has a third axis, time, and its features are the bands. In a table of
    other data ``tracks`` are the names of rows, and ``genres`` the classes.
    """

    x: NDArray[np.floating]  # (rows, features) float32; spectrograms (rows, bands, frames) float16
    y: NDArray[np.int32]  # (rows,), indexes genres
    tracks: tuple[str, ...]  # file names
    features: tuple[str, ...]  # of spectrograms: the bands, "mel01" the lowest
    genres: tuple[str, ...]  # sorted; whole numbers by size
    sha256: str  # of the content and the options; see ``reading.sha256_of``
    source: str  # one of SAMPLES, "kaggle", "kaggle3", "DataFrame", or the path as given
    repeats: tuple[tuple[int, ...], ...]  # groups of rows whose features are exactly equal
    notice: str = ""  # a warning about its figures
    samples: int = 0  # median number of audio samples of a row; 0 if not known
    group: NDArray[np.int32] | None = None  # (rows,) number of the group, if a column has groups
    columns: Columns = NO_OPTIONS
    is_of_songs: bool = True

    def __repr__(self) -> str:
        features = f"{len(self.features)} features"
        if self.is_spectrogram:
            features = f"{self.x.shape[1]} bands × {self.x.shape[2]} frames"
        return (
            f"FeatureTable({self.rows_note} × {features}, "
            f"{len(self.genres)} {self.words.labels}, source {reprlib.repr(self.source)})"
        )

    @property
    def words(self) -> Words:
        """The nouns for rows, classes and groups."""
        return self.columns.words(self.is_of_songs)

    @property
    def is_sample(self) -> bool:
        """True if the table is synthetic."""
        return self.source in SAMPLES

    @property
    def pretrained(self) -> Literal["", "musicnn"]:
        """The pretrained network whose features these are, "musicnn", or ""."""
        return "musicnn" if self.is_of_songs and {*self.features} <= {*TAGS, *UNITS} else ""

    @property
    def has_moments(self) -> bool:
        """True if features are means and variances over a song's time."""
        return self.is_of_songs and not self.pretrained

    @property
    def is_spectrogram(self) -> bool:
        """True if each row is a spectrogram, (bands, frames)."""
        return self.x.ndim == 3

    @functools.cached_property
    def songs(self) -> NDArray[np.int32]:
        """(rows,) the number of each row's song, from 0 in the order of their first rows."""
        if not self.is_of_songs:
            return np.arange(len(self.y), dtype=np.int32)
        numbers: dict[str, int] = {}
        names = (c["song"] if (c := SEGMENT.fullmatch(track)) else track for track in self.tracks)
        return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int32)

    @property
    def num_songs(self) -> int:
        """Number of songs."""
        return int(self.songs.max()) + 1

    @property
    def is_segmented(self) -> bool:
        """True if songs have several rows."""
        return self.num_songs < len(self.y)

    @functools.cached_property
    def by_song(self) -> "FeatureTable":
        """The table with the first row of each song; the table itself if songs have one row.

        Its ``repeats`` are songs with exactly equal rows.
        """
        if not self.is_segmented:
            return self
        first = np.unique(self.songs, return_index=True)[1]
        alike = [sorted({int(song) for song in self.songs[list(rows)]}) for rows in self.repeats]
        return replace(
            self,
            x=self.x[first],
            y=self.y[first],
            tracks=tuple(self.tracks[row] for row in first),
            group=None if self.group is None else self.group[first],
            repeats=tuple(dict.fromkeys(tuple(songs) for songs in alike if len(songs) > 1)),
        )

    @property
    def rows_note(self) -> str:
        """Number and kind of rows, for captions."""
        return rows_note(len(self.y), self.num_songs, words=self.words)

    def note(self, split: str = "") -> str:
        """Returns the caption of figures of all rows: the source, and the splits, if any."""
        return data_note(self.source, self.rows_note, split)


def rows_note(rows: int, songs: int, used: int | None = None, words: Words = SONGS) -> str:
    """Returns number and kind of rows; ``used`` is the number that a protocol divides."""
    count = f"{rows:,}" if used in (None, rows) else f"{used:,} of {rows:,}"
    return f"{count} {words.rows}" if rows == songs else f"{count} segments of {songs:,} songs"


def data_note(source: str, rows: str, split: str = "") -> str:
    """Returns the caption of figures; ``rows`` is from ``rows_note``."""
    name = "SYNTHETIC sample, not GTZAN" if source in SAMPLES else Path(source).name
    return f"Data: {'; '.join(filter(None, (name, rows, split)))}"
