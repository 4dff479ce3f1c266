"""Computes the features of songs: the assignment's 57, or those of a pretrained network."""

import functools
import importlib.metadata
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gtzan_jax.errors import SoundError
from gtzan_jax.files import digest
from gtzan_jax.inference.pretrained import features_of_windows
from gtzan_jax.sound import musicnn, musicnn_weights
from gtzan_jax.sound.files import Song
from gtzan_jax.sound.musicnn import Windows
from gtzan_jax.sound.processes import of_many
from gtzan_jax.sound.rows import Kept, Rows, frame_of_songs, made_by, rows_of
from gtzan_jax.tables.schema import EXTRACTORS, FEATURES

if TYPE_CHECKING:
    import pandas as pd

_PACKAGE = Path(__file__).parent.parent
_CODE = (
    "inference/extractor.py",
    "inference/pretrained.py",
    "models/musicnn.py",
    "sound/musicnn.py",
)


@dataclass(frozen=True)
class Extractor:
    """Computes rows of songs, one for each or one for each three seconds."""

    name: str  # one of EXTRACTORS
    segmented: bool = False

    @property
    def _computed(self) -> tuple[str, ...]:
        """All features that one computation gives."""
        return FEATURES if self.name == "gtzan" else musicnn.NAMES

    def kept(self, folder: Path) -> Kept:
        """Returns the rows of finished songs in a folder."""
        what: object = self.segmented
        if self.name != "gtzan":
            versions = [importlib.metadata.version(package) for package in ("jax", "flax")]
            code = [digest(_PACKAGE / module) for module in _CODE]
            what = [self.segmented, musicnn_weights.SHA256, versions, code]
        return Kept(folder, made_by(what), len(self._computed))

    def rows(self, paths: Iterable[Path], workers: int) -> Iterator[tuple[Path, Rows | SoundError]]:
        """Yields each sound file with its rows or its error, once finished.

        Raises:
          InputError: the weights of the pretrained network cannot be downloaded.
        """
        if self.name == "gtzan":
            compute = functools.partial(rows_of, segmented=self.segmented)
            yield from of_many(compute, paths, workers)
            return
        left, waiting = iter(paths), dict[Path, Windows]()
        if (first := next(left, None)) is None:
            return
        musicnn_weights.load_weights()
        read = functools.partial(musicnn.windows_of_file, segmented=self.segmented)
        for path, found in of_many(read, itertools.chain([first], left), workers):
            if isinstance(found, SoundError):
                yield path, found
                continue
            waiting[path] = found
            if sum(len(windows.mel) for windows in waiting.values()) >= musicnn.AT_ONCE:
                yield from _rows_of_windows(waiting)
                waiting = {}
        if waiting:
            yield from _rows_of_windows(waiting)

    def frame(self, songs: Sequence[Song], rows: Mapping[Path, Rows]) -> "pd.DataFrame":
        """Returns the table of the songs that have rows."""
        return frame_of_songs(songs, rows, self._computed, EXTRACTORS[self.name], self.segmented)


def _rows_of_windows(songs: Mapping[Path, Windows]) -> Iterator[tuple[Path, Rows]]:
    """Yields the rows of several songs, computed together."""
    found = features_of_windows(list(songs.values()))
    for (path, song), features in zip(songs.items(), found, strict=True):
        # Six digits, of the seven that float32 has.
        yield (
            path,
            [
                [float(count), *(float(f"{value:.6g}") for value in row)]
                for count, row in zip(song.samples, features, strict=True)
            ],
        )
