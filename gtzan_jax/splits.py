"""Protocols: which tracks train and which test, and how features are standardised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError

if TYPE_CHECKING:
    from gtzan_jax.features import FeatureTable

TEST_SIZE = 0.3
"""The share of tracks that the assignment tests on."""


@dataclass(frozen=True, eq=False)
class Split:
    """Row indices into a feature table, in the order that the protocol drew them."""

    train: NDArray[np.intp]  # (train,)
    test: NDArray[np.intp]  # (test,)

    def __repr__(self) -> str:
        return f"Split({len(self.train):,} train, {len(self.test):,} test)"


@dataclass(frozen=True, eq=False)
class Dataset:
    """A split table, standardised: ``(x - mean) / scale``, statistics of the train part only."""

    x_train: NDArray[np.float32]  # (train, features)
    y_train: NDArray[np.int32]  # (train,), indexes genres
    x_test: NDArray[np.float32]  # (test, features)
    y_test: NDArray[np.int32]  # (test,)
    mean: NDArray[np.float64]  # (features,)
    scale: NDArray[np.float64]  # (features,), the deviation; 1 where a feature is constant
    features: tuple[str, ...]
    genres: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"Dataset({len(self.y_train):,} train, {len(self.y_test):,} test, "
            f"{len(self.features)} features, {len(self.genres)} genres)"
        )


class Sizes(NamedTuple):
    """The sizes of a dataset: all that compiling needs to know of it."""

    num_train: int
    num_test: int
    num_features: int
    num_classes: int

    @classmethod
    def of(cls, dataset: Dataset) -> Sizes:
        """Returns the sizes of a dataset."""
        num_train, num_features = dataset.x_train.shape
        return cls(num_train, len(dataset.x_test), num_features, len(dataset.genres))


def train_size(tracks: int, test_size: float = TEST_SIZE) -> int:
    """Returns how many of ``tracks`` rows a random split trains on.

    Raises:
        InputError: one of the two parts would be empty.
    """
    if not 0 < test_size < 1:
        raise InputError(f"test size {test_size:g} is not a share between 0 and 1")
    size = tracks - math.ceil(test_size * tracks)
    if size < 1:
        raise InputError(f"test size {test_size:g} leaves none of {tracks} tracks to train on")
    return size


def random_split(table: FeatureTable, seed: int, test_size: float = TEST_SIZE) -> Split:
    """Splits the tracks at random, not stratified, as the assignment did with scikit-learn.

    Args:
        table: the feature table.
        seed: scikit-learn's random_state, 0 to 2³² - 1.
        test_size: the share of tracks to test on.

    Raises:
        InputError: the seed is out of range, or one of the two parts would be empty.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"split seed {seed} is not between 0 and {2**32 - 1}")
    # As sklearn.model_selection.train_test_split, which takes two seconds to import.
    num_test = len(table.y) - train_size(len(table.y), test_size)
    rows = np.random.RandomState(seed).permutation(len(table.y))
    return Split(train=rows[num_test:], test=rows[:num_test])


def standardise(table: FeatureTable, split: Split) -> Dataset:
    """Scales each feature to mean 0 and deviation 1 over the train part.

    The test part is scaled with the train part's numbers: its own must stay unknown to what is
    trained. Statistics are float64, since a float32 sum over features as large as 10⁶ loses
    digits.

    Raises:
        InputError: a genre has no track in the train part, or a number of the test part is
            beyond float32 when it is scaled.
    """
    y_train = table.y[split.train]
    absent = [genre for i, genre in enumerate(table.genres) if i not in y_train]
    if absent:
        raise InputError(
            f"no track of {', '.join(absent)} is in the train part; "
            f"choose another split seed, a smaller test size, or a table with more such tracks"
        )
    x_train = table.x[split.train].astype(np.float64)
    x_test = table.x[split.test].astype(np.float64)
    mean, scale = x_train.mean(axis=0), x_train.std(axis=0)
    # The deviation of equal numbers is not quite 0 in floating point; see StandardScaler.
    scale[scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)] = 1.0
    standardised = (x_test - mean) / scale
    for row, column in np.argwhere(np.abs(standardised) > np.finfo(np.float32).max)[:1]:
        raise InputError(
            f"track {table.tracks[split.test[row]]!r}, column {table.features[column]!r}: "
            f"{x_test[row, column]:g} is too far from the tracks to train on, which have "
            f"{mean[column]:g} ± {scale[column]:g}"
        )
    return Dataset(
        x_train=((x_train - mean) / scale).astype(np.float32),
        y_train=y_train,
        x_test=standardised.astype(np.float32),
        y_test=table.y[split.test],
        mean=mean,
        scale=scale,
        features=table.features,
        genres=table.genres,
    )
