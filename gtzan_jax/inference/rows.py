"""Rows for a model and their labels, from a feature table, a DataFrame or an array."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gtzan_jax.checks import shown
from gtzan_jax.errors import InputError, nearest
from gtzan_jax.tables.frames import numbers_of
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.text import counted, printable

if TYPE_CHECKING:
    import pandas as pd

    TableLike = FeatureTable | pd.DataFrame | ArrayLike

_SHOWN = 10  # names in a message
_SHAPES = {2: "(rows, features)", 3: "(rows, bands, frames)"}


def matrix_of(
    table: "TableLike", features: Sequence[str], num_axes: int, may_miss: bool
) -> NDArray[np.floating[Any]]:
    """Returns (rows, features) float32, as in a feature table, or (rows, bands, frames).

    Args:
      table: a DataFrame's columns are found by name; an array has the features in their order.
      features: of the model, in the order of the result.
      num_axes: 2, or 3 for spectrograms.
      may_miss: whether a value may be NaN.

    Raises:
      InputError: the table is none, has no rows, lacks features, or has values other than numbers.
    """
    import pandas as pd

    if isinstance(table, FeatureTable):
        same = table.features == tuple(features)
        x = table.x if same else table.x[:, _places(table.features, features)]
    elif isinstance(table, pd.DataFrame):
        columns = [table.iloc[:, p] for p in _places([*map(str, table.columns)], features)]
        pairs = zip(columns, features, strict=True)
        x = _narrow(np.stack([_numbers(column, name) for column, name in pairs], axis=1))
    else:
        x = _array(table, features, num_axes)
    if x.ndim != num_axes:
        raise InputError(f"table must be {_SHAPES[num_axes]}, and its shape is {x.shape}")
    if not len(x):
        raise InputError("the table has no rows")
    _check_finite(x, features, may_miss)
    return x


def labels_of(
    table: "TableLike", y: ArrayLike | None, column: str, classes: Sequence[str]
) -> list[str]:
    """Returns the labels of rows, or of a feature table's songs, as names of classes.

    Args:
      table: has the labels if ``y`` is None.
      y: (rows,) names, or numbers and booleans whose text is the name.
      column: of the labels in a DataFrame.
      classes: all allowed names.

    Raises:
      InputError: labels are missing, or a label is none of the classes.
    """
    import pandas as pd

    values: Any = y
    if y is None and isinstance(table, FeatureTable):
        values = [table.genres[label] for label in table.by_song.y]
    elif y is None and isinstance(table, pd.DataFrame):
        names = [*map(str, table.columns)]
        if column not in names:
            hint = nearest(column, names)
            raise InputError(f"the table has no column {column!r}{hint} of labels: give them as y")
        values = table.iloc[:, names.index(column)]
    elif y is None:
        raise InputError("y must be the labels: an array of features has none")
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        array = np.asarray(None)
    if array.ndim != 1:
        raise InputError(f"y must be (rows,), a label a row, and its shape is {array.shape}")
    labels = [_text(label, classes) for label in array.tolist()]
    known = set(classes)
    for row, label in enumerate(labels):
        if label not in known:
            raise InputError(
                f"row {row}: the label {shown(label)}{nearest(label, classes)} is none of the "
                f"model's classes: {_listed(classes)}"
            )
    return labels


def _text(label: Any, classes: Sequence[str]) -> str:
    """Returns a label as in its table: 3.0 becomes 3, unless the table's label is 3.0."""
    is_whole = isinstance(label, float) and label.is_integer()
    return str(int(label) if is_whole and str(label) not in classes else label)


def _places(names: Sequence[str], features: Sequence[str]) -> list[int]:
    """Returns the places of features among the names of columns."""
    places = {name: place for place, name in enumerate(names)}
    missing = [feature for feature in features if feature not in places]
    if missing:
        others = set(names) - set(features)
        hints = [f"{feature!r}{nearest(feature, others)}" for feature in missing[:_SHOWN]]
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise InputError(
            f"the table lacks {len(missing)} of the model's {counted(len(features), 'feature')}: "
            f"{', '.join(hints)}{more}"
        )
    twice = [name for name in features if names.count(name) > 1]
    if twice:
        raise InputError(f"the table has column {twice[0]!r} {names.count(twice[0])} times")
    return [places[feature] for feature in features]


def _array(values: ArrayLike, features: Sequence[str], num_axes: int) -> NDArray[np.floating[Any]]:
    """Returns an array of numbers with the features in the model's order."""
    try:
        masked = np.ma.isMaskedArray(values)
        x = np.ma.filled(np.ma.asarray(values, float), np.nan) if masked else np.asarray(values)
    except ValueError:  # lists of different lengths
        x = np.asarray(None)
    if not x.ndim or hasattr(values, "columns"):  # other frames have names
        what = printable(shown(values))
        raise InputError(f"table must be a FeatureTable, a DataFrame or an array, not {what}")
    if x.ndim == 1 and num_axes == 2:
        raise InputError(
            f"table must be {_SHAPES[2]}, and its shape is {x.shape}: x.reshape(1, -1) makes one "
            "row of it"
        )
    if x.ndim == num_axes and x.shape[1] != len(features):
        raise InputError(
            f"the array has {counted(x.shape[1], 'feature')}, and the model "
            f"{len(features)}: {_listed(features)}"
        )
    if x.ndim != num_axes:
        raise InputError(f"table must be {_SHAPES[num_axes]}, and its shape is {x.shape}")
    if x.dtype.kind not in "biuf" and x.ndim == 2:
        pairs = zip(x.T, features, strict=True)
        x = np.stack([_numbers(column, name) for column, name in pairs], axis=1)
    return _narrow(x)


def _numbers(column: Any, name: str) -> NDArray[np.float64]:
    """Returns a column as numbers, NaN where one is missing."""
    import pandas as pd

    values = pd.Series(column)
    numbers, others = numbers_of(values)
    for row in others[:1]:
        raise InputError(
            f"column {name!r} must have numbers, and row {row} has {shown(values.iloc[row])}"
        )
    return numbers


def _narrow(x: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Rounds numbers to float32 as a feature table does, large ones to infinity."""
    with np.errstate(over="ignore"):
        return x if x.dtype == np.float16 else x.astype(np.float32, copy=False)


def _check_finite(x: NDArray[np.floating[Any]], features: Sequence[str], may_miss: bool) -> None:
    if np.isfinite(x).all():
        return
    remedy = "fill them in, or train the model with --impute=median"
    for wrong, what, why in (
        (np.isinf(x), "number", "beyond the range of float32"),
        (np.isnan(x) & (not may_miss), "missing value", f"the model was trained on none; {remedy}"),
    ):
        for row, column, *_ in np.argwhere(wrong)[:1]:
            count = counted(int(wrong.sum()), what)
            raise InputError(f"{count}, the first in row {row}, column {features[column]!r}: {why}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more
