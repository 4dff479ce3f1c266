"""The feature table: its columns, and what is kept of a valid one."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_STEMS_BEFORE_TEMPO = (
    "chroma_stft",
    "rms",
    "spectral_centroid",
    "spectral_bandwidth",
    "rolloff",
    "zero_crossing_rate",
    "harmony",
    "perceptr",
)

_STEMS_AFTER_TEMPO = tuple(f"mfcc{i}" for i in range(1, 21))


def _mean_and_var(stems: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{stem}_{moment}" for stem in stems for moment in ("mean", "var"))


FEATURES: tuple[str, ...] = (
    *_mean_and_var(_STEMS_BEFORE_TEMPO),
    "tempo",
    *_mean_and_var(_STEMS_AFTER_TEMPO),
)
"""The 57 features, in the table's order."""

COLUMNS: tuple[str, ...] = ("filename", "length", *FEATURES, "label")
"""The 60 columns of the CSV, in its order."""

FILE_NAME = "features_30_sec.csv"


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """The validated table. Row i of ``x``, ``y`` and ``tracks`` is one track."""

    x: NDArray[np.float32]  # (tracks, features)
    y: NDArray[np.int32]  # (tracks,), indexes genres
    tracks: tuple[str, ...]  # file names
    features: tuple[str, ...]
    genres: tuple[str, ...]  # alphabetical
    sha256: str  # of the CSV text with LF line ends, without a byte-order mark
    source: str  # "sample", "kaggle", or the path as given
    repeats: tuple[tuple[int, ...], ...]  # groups of rows whose features are exactly equal
    notice: str = ""  # why the sample stands in for the real table; "" if it does not

    def __repr__(self) -> str:
        tracks, features = self.x.shape
        return (
            f"FeatureTable({tracks:,} tracks × {features} features, {len(self.genres)} genres, "
            f"source {reprlib.repr(self.source)})"
        )

    @property
    def is_sample(self) -> bool:
        """Whether this is the embedded synthetic sample."""
        return self.source == "sample"

    def note(self, split: str = "") -> str:
        """Returns the caption of figures: the source of the data, and the split, if any."""
        return data_note(self.source, len(self.y), split)


def data_note(source: str, tracks: int, split: str = "") -> str:
    """Returns the caption of figures; see ``FeatureTable.note``."""
    name = "SYNTHETIC sample, not GTZAN" if source == "sample" else Path(source).name
    return f"Data: {name}; {tracks:,} tracks" + (f"; {split}" if split else "")
