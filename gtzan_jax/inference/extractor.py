"""Computes the features of songs: the assignment's, or those of a pretrained network."""

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import SoundError
from gtzan_jax.files import digest
from gtzan_jax.sound import musicnn, musicnn_weights
from gtzan_jax.sound.files import Song
from gtzan_jax.sound.musicnn import Windows
from gtzan_jax.sound.processes import of_many
from gtzan_jax.sound.rows import Kept, Rows, frame_of_songs, made_by, rows_of
from gtzan_jax.tables.schema import EXTRACTORS, FEATURES

if TYPE_CHECKING:
    import pandas as pd

_AT_ONCE = 160  # windows, of several songs
_NETWORK = Path(__file__).parent.parent / "models" / "musicnn.py"


@dataclass(frozen=True)
class Extractor:
    """Computes rows of songs, one for each or one for each three seconds."""

    name: str  # one of EXTRACTORS
    segmented: bool = False

    @property
    def _computed(self) -> tuple[str, ...]:
        """The features that are computed together."""
        return FEATURES if self.name == "gtzan" else musicnn.NAMES

    def prepare(self) -> None:
        """Raises InputError where the weights that are needed cannot be had."""
        if self.name != "gtzan":
            musicnn_weights.load_weights()

    def kept(self, folder: Path) -> Kept:
        """Returns the rows of finished songs in a folder."""
        what: object = self.segmented
        if self.name != "gtzan":
            what = [self.segmented, musicnn_weights.SHA256, digest(_NETWORK)]
        return Kept(folder, made_by(what), len(self._computed))

    def rows(self, paths: Iterable[Path], workers: int) -> Iterator[tuple[Path, Rows | SoundError]]:
        """Yields sound files with their rows, or why there are none, as they are finished."""
        if self.name == "gtzan":
            compute = functools.partial(rows_of, segmented=self.segmented)
            yield from of_many(compute, paths, workers)
            return
        waiting: dict[Path, Windows] = {}
        read = functools.partial(musicnn.windows_of_file, segmented=self.segmented)
        for path, found in of_many(read, paths, workers):
            if isinstance(found, SoundError):
                yield path, found
                continue
            waiting[path] = found
            if sum(len(windows.mel) for windows in waiting.values()) >= _AT_ONCE:
                yield from _rows_of_windows(waiting)
                waiting = {}
        if waiting:
            yield from _rows_of_windows(waiting)

    def frame(self, songs: Sequence[Song], rows: Mapping[Path, Rows]) -> "pd.DataFrame":
        """Returns the table of the songs that have rows."""
        return frame_of_songs(songs, rows, self._computed, EXTRACTORS[self.name], self.segmented)


def features_of_windows(windows: Windows) -> NDArray[np.float64]:
    """Returns (parts, 250), the mean tags and units of each part's windows."""
    from gtzan_jax.models.musicnn import outputs  # imports JAX

    made = outputs(musicnn_weights.load_weights(), windows.mel)
    return np.stack([made[places].mean(axis=0, dtype=np.float64) for places in windows.places])


def _rows_of_windows(songs: Mapping[Path, Windows]) -> Iterator[tuple[Path, Rows]]:
    """Yields rows of several songs, whose windows are computed together."""
    every = songs.values()
    starts = itertools.accumulate((len(each.mel) for each in every), initial=0)
    joined = Windows(
        np.concatenate([each.mel for each in every]),
        [start + p for start, each in zip(starts, every, strict=False) for p in each.places],
        [count for each in every for count in each.samples],
    )
    features = iter(features_of_windows(joined))
    for path, each in songs.items():
        # Six digits, of the seven that float32 has.
        yield (
            path,
            [
                [float(count), *(float(f"{value:.6g}") for value in next(features))]
                for count in each.samples
            ],
        )
