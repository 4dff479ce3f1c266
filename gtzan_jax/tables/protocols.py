"""Protocols: how songs are divided into folds, and what a fold looks like to the trainer.

A *fold* is one division into train, validation and test part. To a compiled program a fold is
data: arrays whose sizes all folds of a protocol share, standardised by the fold's train rows,
with weights that say which rows count where. No program is compiled for a fold.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError
from gtzan_jax.metrics import METRICS

if TYPE_CHECKING:
    from gtzan_jax.tables.schema import FeatureTable

Rows = NDArray[np.intp]  # indices into a feature table

_TEST_SHARE = 0.3  # of the tracks, in the assignment
_HOLDOUT = (0.2, 0.2)  # shares of validation and test


@dataclass(frozen=True, eq=False)
class Fold:
    """The rows of each part, in the order in which the protocol drew them."""

    train: Rows
    validation: Rows  # may be empty
    test: Rows

    def __repr__(self) -> str:
        return f"Fold(train {len(self.train)}, validation {len(self.validation)}, " + (
            f"test {len(self.test)})"
        )


class Sizes(NamedTuple):
    """All that compiling needs to know of a protocol's folds: the sizes of their arrays."""

    num_train: int  # rows of the largest train part
    num_eval: int  # rows of the largest validation and test part together
    num_features: int
    num_classes: int


class FoldArrays(NamedTuple):
    """A fold as the trainer gets it: NumPy's arrays, or JAX's once they are on a device.

    Weights are 1 where a row counts, and 0 elsewhere.
    """

    x_train: Any  # (num_train, features) float32, standardised, 0 where padding
    y_train: Any  # (num_train,) int32
    train_weight: Any  # (num_train,) float32
    row: Any  # (num_train,) uint32, the row's place in the table, which names it
    x_eval: Any  # (num_eval, features) float32
    y_eval: Any  # (num_eval,) int32
    validation_weight: Any  # (num_eval,) float32
    test_weight: Any  # (num_eval,) float32


class Scaler(NamedTuple):
    """``(x - mean) / scale`` standardises; the statistics of a train part."""

    mean: NDArray[np.float64]  # (features,)
    scale: NDArray[np.float64]  # (features,), the deviation; 1 where a feature is constant


@dataclass(frozen=True)
class Protocol:
    """A named way to divide songs.

    Attributes:
      divide: returns the folds of a table for a split seed and a number of folds.
      summary: what it does, in a few words for figures.
      select_on: the part by which configs are ranked, ``test`` or ``validation``.
      note: what its numbers mean, for reports.
      takes_num_folds: whether the number of folds is the user's choice.
    """

    name: str
    divide: Callable[["FeatureTable", int, int], list[Fold]]
    summary: str
    select_on: str
    note: str
    takes_num_folds: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        """The figures that it has: those on the validation part only where it selects on it."""
        unused = "validation" if self.select_on == "test" else " "
        return tuple(metric for metric in METRICS if not metric.startswith(unused))


@dataclass(frozen=True, eq=False)
class Division:
    """A table that a protocol has divided, ready for the trainer."""

    table: "FeatureTable"
    protocol: Protocol
    split_seed: int
    folds: tuple[Fold, ...]

    def __repr__(self) -> str:
        return f"Division({self.protocol.name}, {len(self.folds)} folds of {self.table!r})"

    @functools.cached_property
    def sizes(self) -> Sizes:
        """The sizes that the arrays of all folds fit into."""
        return sizes_of(self.table, self.folds)

    @functools.cached_property
    def arrays(self) -> tuple[FoldArrays, ...]:
        """What the trainer gets of each fold."""
        return tuple(arrays_of(self.table, fold, self.sizes) for fold in self.folds)

    @property
    def note(self) -> str:
        """How the songs are divided, in a few words for figures."""
        return split_note(self.protocol.name, self.split_seed, len(self.folds))


def divide(table: "FeatureTable", protocol: str, split_seed: int, num_folds: int) -> Division:
    """Divides a table by a protocol; see :func:`folds_of`."""
    folds = folds_of(table, protocol, split_seed, num_folds)
    return Division(table, PROTOCOLS[protocol], split_seed, tuple(folds))


def split_note(protocol: str, split_seed: int, num_folds: int) -> str:
    """Returns how songs are divided, in a few words for figures."""
    how = PROTOCOLS[protocol].summary.format(num_folds=num_folds)
    return f"{how}, split seed {split_seed}"


def folds_of(table: "FeatureTable", name: str, split_seed: int, num_folds: int) -> list[Fold]:
    """Divides a table.

    Args:
      table: the feature table.
      name: of a protocol.
      split_seed: 0 to 2³² - 1; another seed gives other folds.
      num_folds: of protocols that have a choice.

    Raises:
      InputError: the seed is out of range, or a part would be empty.
    """
    if not 0 <= split_seed < 2**32:
        raise InputError(f"split seed {split_seed} is not between 0 and {2**32 - 1}")
    return PROTOCOLS[name].divide(table, split_seed, num_folds)


def unseen_genres(table: "FeatureTable", folds: Sequence[Fold]) -> list[str]:
    """Returns a sentence for each fold whose train part has no track of some genre."""
    absent = [
        (place, [g for i, g in enumerate(table.genres) if i not in table.y[fold.train]])
        for place, fold in enumerate(folds)
    ]
    return [
        f"no track of {', '.join(genres)} is in the train part of fold {place}: "
        "it cannot be learnt there"
        for place, genres in absent
        if genres
    ]


def sizes_of(table: "FeatureTable", folds: Sequence[Fold]) -> Sizes:
    """Returns the sizes that the arrays of all folds fit into."""
    return Sizes(
        max(len(fold.train) for fold in folds),
        max(len(fold.validation) + len(fold.test) for fold in folds),
        len(table.features),
        len(table.genres),
    )


def scaler_of(table: "FeatureTable", fold: Fold) -> Scaler:
    """Returns the mean and deviation of each feature over a fold's train part.

    They are float64, since a float32 sum over features as large as 10⁶ loses digits.
    """
    x = table.x[fold.train].astype(np.float64)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    # The deviation of equal numbers is not quite 0 in floating point; see StandardScaler.
    scale[scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)] = 1.0
    return Scaler(mean, scale)


def arrays_of(table: "FeatureTable", fold: Fold, sizes: Sizes) -> FoldArrays:
    """Lays a fold out in arrays of the given sizes.

    Everything is scaled with the train part's numbers: those of the other parts must stay
    unknown to what is trained.

    Raises:
      InputError: a scaled number is beyond float32.
    """
    scaler = scaler_of(table, fold)
    evaluated = np.concatenate([fold.validation, fold.test]).astype(np.intp)
    count, missing = len(fold.validation), sizes.num_eval - len(evaluated)
    parts = np.repeat([0, 1, 2], [count, len(fold.test), missing])
    return FoldArrays(
        x_train=_filled(_scaled(table, fold.train, scaler), sizes.num_train),
        y_train=_filled(table.y[fold.train], sizes.num_train),
        train_weight=_filled(np.ones(len(fold.train), np.float32), sizes.num_train),
        row=_filled(fold.train.astype(np.uint32), sizes.num_train),
        x_eval=_filled(_scaled(table, evaluated, scaler), sizes.num_eval),
        y_eval=_filled(table.y[evaluated], sizes.num_eval),
        validation_weight=(parts == 0).astype(np.float32),
        test_weight=(parts == 1).astype(np.float32),
    )


def _scaled(table: "FeatureTable", rows: Rows, scaler: Scaler) -> NDArray[np.float32]:
    x = table.x[rows].astype(np.float64)
    scaled = (x - scaler.mean) / scaler.scale
    for row, column in np.argwhere(np.abs(scaled) > np.finfo(np.float32).max)[:1]:
        raise InputError(
            f"track {table.tracks[rows[row]]!r}, column {table.features[column]!r}: "
            f"{x[row, column]:g} is too far from the tracks to train on, which have "
            f"{scaler.mean[column]:g} ± {scaler.scale[column]:g}"
        )
    return scaled.astype(np.float32)


def _filled(array: NDArray, size: int) -> NDArray:  # type: ignore[type-arg]
    """Returns an array whose first axis has been filled up with zeros."""
    return np.pad(array, [(0, size - len(array))] + [(0, 0)] * (array.ndim - 1))


def random_split(num_rows: int, seed: int) -> Fold:
    """Splits rows 70:30 at random, not stratified, as the assignment did with scikit-learn.

    It is ``sklearn.model_selection.train_test_split`` to the row, without the two seconds that
    importing it takes.
    """
    num_test = math.ceil(_TEST_SHARE * num_rows)
    rows = np.random.RandomState(seed).permutation(num_rows)
    return Fold(train=rows[num_test:], validation=rows[:0], test=rows[:num_test])


def _assignment(table: "FeatureTable", seed: int, num_folds: int) -> list[Fold]:
    del num_folds
    return [random_split(len(table.y), seed)]


def _holdout(table: "FeatureTable", seed: int, num_folds: int) -> list[Fold]:
    del num_folds
    random = np.random.RandomState(seed)
    places = _dealt(table.y, np.arange(len(table.y)), random)
    ends = np.cumsum(_HOLDOUT)
    validation, test = places < ends[0], (places >= ends[0]) & (places < ends[1])
    return [_fold(table.y, ~validation & ~test, validation, test)]


def _kfold(table: "FeatureTable", seed: int, num_folds: int) -> list[Fold]:
    smallest = int(np.bincount(table.y).min())
    if num_folds > smallest:
        raise InputError(
            f"{num_folds} folds need as many tracks of each genre, and the smallest has "
            f"{smallest}; take --num_folds={max(2, smallest)} or fewer"
        )
    random = np.random.RandomState(seed)
    everything = np.arange(len(table.y))
    part = np.floor(num_folds * _dealt(table.y, everything, random)).astype(int)
    folds = []
    for number in range(num_folds):
        others = everything[part != number]
        held = np.zeros(len(table.y), bool)
        held[others[_dealt(table.y[others], others, random) < _HOLDOUT[0]]] = True
        test = part == number
        folds.append(_fold(table.y, ~test & ~held, held, test))
    return folds


def _dealt(y: NDArray[np.int32], rows: Rows, random: np.random.RandomState) -> NDArray[np.float64]:
    """Deals out rows: returns (rows,) numbers in [0, 1), evenly spread within each genre.

    Rows whose number lies in an interval are a stratified part. Each genre starts at another
    place, so that what does not divide evenly is not the same part's gain in every genre.
    """
    places = np.empty(len(rows))
    for genre in np.unique(y):
        mine = np.flatnonzero(y == genre)
        order = random.permutation(len(mine))
        places[mine[order]] = (np.arange(len(mine)) + random.uniform()) / len(mine)
    return places


def _fold(y: NDArray[np.int32], *parts: NDArray[np.bool_]) -> Fold:
    for name, part in zip(("train", "validation", "test"), parts, strict=True):
        if not part.any():
            raise InputError(
                f"the {name} part of a fold would be empty: {len(y)} tracks are too few"
            )
    return Fold(*(np.flatnonzero(part) for part in parts))


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "assignment",
            _assignment,
            "random 70:30 split",
            "test",
            "As in the assignment, the configs are ranked by their accuracy on the same 30 % of "
            "the tracks that is reported, so the best one's accuracy is optimistic.",
        ),
        Protocol(
            "holdout",
            _holdout,
            "stratified 60:20:20 split",
            "validation",
            "60 % of the tracks train, 20 % rank the configs, and the accuracy on the last 20 %, "
            "which nothing is chosen by, stands beside it. One split: another would give other "
            "figures.",
        ),
        Protocol(
            "kfold",
            _kfold,
            "{num_folds} stratified folds",
            "validation",
            "Each track is tested once, by networks that did not train on it; a fifth of each "
            "train part ranks the configs. The networks of different folds share most of their "
            "train tracks.",
            takes_num_folds=True,
        ),
    )
}
"""Every protocol by its name."""
