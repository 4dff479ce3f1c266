"""Folds: one division of a table into train, validation and test part, and its arrays.

Predictions are evaluated by song: if a song has several rows, its segments vote.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError

if TYPE_CHECKING:
    from gtzan_jax.tables.schema import FeatureTable

Rows = NDArray[np.intp]  # indices into a feature table


class Fold(NamedTuple):
    """The rows of each part, in the order in which the protocol drew them."""

    train: Rows
    validation: Rows  # may be empty
    test: Rows

    def __repr__(self) -> str:
        sizes = f"validation {len(self.validation)}, test {len(self.test)}"
        return f"Fold(train {len(self.train)}, {sizes})"


class Sizes(NamedTuple):
    """Sizes of arrays for all folds of a protocol; compiling needs nothing else of the data."""

    num_train: int  # rows of the largest train part
    num_eval: int  # rows of the largest validation and test part together
    num_features: int
    num_classes: int
    num_songs: int = 0  # of those parts; 0 if each row is a song
    frames: int = 0  # of spectrograms; 0 for a table of features

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of a row: (features,), or (bands, frames)."""
        return (self.num_features, self.frames) if self.frames else (self.num_features,)

    @property
    def row_type(self) -> "type[np.floating[Any]]":
        """The type of a row; float16 is too coarse for a table's features."""
        return np.float16 if self.frames else np.float32

    @property
    def num_judged(self) -> int:
        """Number of evaluated predictions of a trial, one for each song."""
        return self.num_songs or self.num_eval


class FoldArrays(NamedTuple):
    """A fold's arrays for the trainer: NumPy's, or JAX's once they are on a device.

    Weights are 1 for rows that count, and 0 for others.
    """

    x_train: Any  # (num_train, *row_shape) of row_type, standardised, 0 where padding
    y_train: Any  # (num_train,) int32
    train_weight: Any  # (num_train,) float32
    row: Any  # (num_train,) uint32, the row's place in the table, for random numbers
    x_eval: Any  # (num_eval, *row_shape) of row_type
    y_eval: Any  # (num_eval,) int32
    validation_weight: Any  # (num_eval,) float32
    test_weight: Any  # (num_eval,) float32
    song_eval: Any  # (num_eval,) int32, the number of the row's song, 0 where padding
    y_song: Any  # (num_songs,) int32
    validation_song_weight: Any  # (num_songs,) float32
    test_song_weight: Any  # (num_songs,) float32


class Scaler(NamedTuple):
    """The statistics of a train part: ``(x - mean) / scale`` standardises."""

    mean: NDArray[np.float64]  # (features,)
    scale: NDArray[np.float64]  # (features,), the deviation; 1 where a feature is constant
    fill: NDArray[np.float64] | None = None  # (features,), medians, in place of missing values

    def filled(self, x: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Returns (rows, features) with missing values filled in."""
        wide = x.astype(np.float64)
        return wide if self.fill is None else np.where(np.isnan(wide), self.fill, wide)


def unseen_genres(table: "FeatureTable", folds: Sequence[Fold]) -> list[str]:
    """Returns a sentence for each fold whose train part lacks a genre."""
    return [
        f"no {table.words.row} of {', '.join(genres)} is in the train part of fold {place}: "
        "it cannot be learnt there"
        for place, fold in enumerate(folds)
        if (genres := [g for i, g in enumerate(table.genres) if i not in table.y[fold.train]])
    ]


def sizes_of(table: "FeatureTable", folds: Sequence[Fold]) -> Sizes:
    """Returns the sizes of arrays for all folds."""
    judged = [len(_judged(table, fold)[0]) for fold in folds]
    return Sizes(
        max(len(fold.train) for fold in folds),
        max(len(fold.validation) + len(fold.test) for fold in folds),
        len(table.features),
        len(table.genres),
        max(judged) if table.is_segmented else 0,
        table.x.shape[2] if table.is_spectrogram else 0,
    )


def songs_of(songs: NDArray[np.int32]) -> tuple[Rows, Rows]:
    """Numbers the songs of some rows anew, from 0 in the order of their first rows.

    Returns (songs,) the place of each song's first row, and (rows,) the number of each row's song.
    """
    _, first, number = np.unique(songs, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return first[order], np.argsort(order)[number]


def judged_rows(table: "FeatureTable", rows: Rows) -> Rows:
    """Returns the first row of each song in a part."""
    return rows[songs_of(table.songs[rows])[0]]


def scaler_of(table: "FeatureTable", fold: Fold) -> Scaler:
    """Returns the statistics of each feature, or band, over a fold's train part, in float64.

    A float32 sum over features as large as 10⁶ would lose digits.
    """
    x, fill = table.x[fold.train], None
    if table.is_spectrogram:  # a band at a time, to save memory
        bands = [x[:, band].astype(np.float64) for band in range(x.shape[1])]
        mean, scale = np.array([b.mean() for b in bands]), np.array([b.std() for b in bands])
    else:
        wide = x.astype(np.float64)
        if table.columns.impute:
            fill = _medians(table, wide)
            wide = np.where(np.isnan(wide), fill, wide)
        mean, scale = wide.mean(axis=0), wide.std(axis=0)
    # The deviation of equal numbers is not quite 0 in floating point; see StandardScaler.
    scale[scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)] = 1.0
    return Scaler(mean, scale, fill)


def _medians(table: "FeatureTable", x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the median of each feature of a train part, ignoring missing values."""
    empty = np.isnan(x).all(axis=0)
    for column in np.flatnonzero(empty)[:1]:
        raise InputError(
            f"column {table.features[column]!r} has no value in the train part of a fold; "
            "leave it out with --drop"
        )
    return np.asarray(np.nanmedian(x, axis=0))


def arrays_of(table: "FeatureTable", fold: Fold, sizes: Sizes) -> FoldArrays:
    """Returns a fold's arrays of the given sizes, scaled by its train part's statistics."""
    scaler = scaler_of(table, fold)
    evaluated = np.concatenate([fold.validation, fold.test]).astype(np.intp)
    count, missing = len(fold.validation), sizes.num_eval - len(evaluated)
    parts = np.repeat([0, 1, 2], [count, len(fold.test), missing])
    first, number = _judged(table, fold)
    songs = parts[first] if sizes.num_songs else parts[:0]
    return FoldArrays(
        x_train=_filled(_scaled(table, fold.train, scaler), sizes.num_train),
        y_train=_filled(table.y[fold.train], sizes.num_train),
        train_weight=_filled(np.ones(len(fold.train), np.float32), sizes.num_train),
        row=_filled(fold.train.astype(np.uint32), sizes.num_train),
        x_eval=_filled(_scaled(table, evaluated, scaler), sizes.num_eval),
        y_eval=_filled(table.y[evaluated], sizes.num_eval),
        validation_weight=(parts == 0).astype(np.float32),
        test_weight=(parts == 1).astype(np.float32),
        song_eval=_filled(number, sizes.num_eval),
        y_song=_filled(table.y[evaluated[first]][: sizes.num_songs], sizes.num_songs),
        validation_song_weight=_filled((songs == 0).astype(np.float32), sizes.num_songs),
        test_song_weight=_filled((songs == 1).astype(np.float32), sizes.num_songs),
    )


def _judged(table: "FeatureTable", fold: Fold) -> tuple[Rows, NDArray[np.int32]]:
    """Numbers the songs of both evaluated parts as ``songs_of``; a song in both counts twice."""
    first, number = songs_of(table.songs[fold.validation])
    other, others = songs_of(table.songs[fold.test])
    places = np.concatenate([first, len(fold.validation) + other])
    return places, np.concatenate([number, len(first) + others]).astype(np.int32)


def standardised(x: NDArray[np.floating[Any]], scaler: Scaler) -> NDArray[np.float16]:
    """Returns (rows, bands, frames) spectrograms with each band standardised.

    Numbers beyond float16, from bands that hardly vary in the train part, are clipped: an infinite
    number would make all logits of its row NaN.
    """
    mean, scale = (numbers.astype(np.float32)[:, None] for numbers in scaler[:2])
    most = np.finfo(np.float16).max
    scaled = np.empty(x.shape, np.float16)
    for row, spectrogram in enumerate(x):  # one at a time, to save memory
        wide = (spectrogram.astype(np.float32) - mean) / scale
        scaled[row] = np.clip(wide, -most, most)
    return scaled


def _scaled(table: "FeatureTable", rows: Rows, scaler: Scaler) -> NDArray[np.floating[Any]]:
    if table.is_spectrogram:
        return standardised(table.x[rows], scaler)
    x = scaler.filled(table.x[rows])
    scaled = (x - scaler.mean) / scaler.scale
    words = table.words
    for row, column in np.argwhere(np.abs(scaled) > np.finfo(np.float32).max)[:1]:
        raise InputError(
            f"{words.row} {table.tracks[rows[row]]!r}, column {table.features[column]!r}: "
            f"{x[row, column]:g} is too far from the {words.rows} to train on, which have "
            f"{scaler.mean[column]:g} ± {scaler.scale[column]:g}"
        )
    return scaled.astype(np.float32)


def _filled(array: NDArray, size: int) -> NDArray:  # type: ignore[type-arg]
    """Pads the first axis of an array with zeros."""
    return np.pad(array, [(0, size - len(array))] + [(0, 0)] * (array.ndim - 1))
