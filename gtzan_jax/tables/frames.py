"""Reads the cells of DataFrames, of arrays with labels, and of Parquet files."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError
from gtzan_jax.tables.reading import LOOKED_AT, Cells, Wrong, is_missing, roles_of, sha256_of
from gtzan_jax.tables.schema import Columns

if TYPE_CHECKING:
    import pandas as pd


FRAME = "DataFrame"
"""Source of a table made from a DataFrame or arrays."""


def read_parquet(path: Path, name: str) -> "pd.DataFrame":
    """Reads a Parquet file.

    Raises:
      InputError: it cannot be read, or PyArrow is not installed.
    """
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError:
        raise InputError(
            f"{name}: reading Parquet needs PyArrow: pip install -e '.[parquet]'"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{name} is not a Parquet file: {' '.join(str(error).split())}") from None


def frame_of(data: Sequence[Any], columns: Columns) -> "tuple[pd.DataFrame, Columns]":
    """Returns a frame of (X, y) or (X, y, groups), and the names of its label and group."""
    import pandas as pd

    if not 2 <= len(data) <= 3:
        raise InputError(f"data must be (X, y) or (X, y, groups), not a tuple of {len(data)}")
    x, *extra = data
    if not isinstance(x, pd.DataFrame):
        try:
            if np.ndim(x) != 2:
                raise ValueError(f"its shape is {np.shape(x)}")
            x = pd.DataFrame(x)
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"X must have rows and columns of numbers: {reason}") from None
        x.columns = [f"x{place}" for place in range(x.shape[1])]
    frame, named = x.copy(deep=False), {"label": columns.label, "group": columns.group or "group"}
    if len(extra) == 1 or extra[1] is None:
        del named["group"]
    for name, values in zip(named.values(), extra, strict=False):
        try:
            shape = np.shape(values)
        except ValueError:  # lists of different lengths
            raise InputError(f"{name} must be (rows,), one value for each row of X") from None
        if shape != (len(x),):
            hint = ": give y.ravel()" if np.size(values) == len(x) else ""
            raise InputError(f"{name}: the shape {shape} does not fit X's {len(x):,} rows{hint}")
        if name in x.columns:
            raise InputError(f"X has a column {name!r}, the name of y or groups: rename it")
        frame[name] = pd.Series(values).array
    return frame, replace(columns, group=named.get("group", columns.group))


def read_frame(frame: "pd.DataFrame", source: str, columns: Columns) -> Cells:
    """Reads the cells of a DataFrame; messages name a row by its place, from 0."""
    wanted = {columns.label, columns.group} - {*frame.columns}
    if levels := [name for name in frame.index.names if name in wanted]:
        frame = frame.reset_index(level=levels)
    header = [str(name) for name in frame.columns]

    def some() -> list[list[str]]:
        return [list(map(str, row)) for row in frame.head(LOOKED_AT).itertuples(index=False)]

    roles = roles_of(header, columns, source, some)
    by_name = {name: frame.iloc[:, place] for place, name in enumerate(header)}
    wrong: dict[str, Wrong] = {}
    numbers = np.empty((len(frame), len(roles.numbers)))
    for place, name in enumerate(roles.numbers):
        numbers[:, place] = _numbers(by_name[name], name, wrong)
    texts = {name: _texts(by_name[name]) for name in roles.texts}
    about = json.dumps([roles.numbers, texts]).encode()
    return Cells(
        source=source,
        sha256=sha256_of(about + numbers.tobytes(), columns),
        is_of_songs=roles.is_of_songs,
        row=lambda i: f"row {i}",
        texts=texts,
        names=roles.numbers,
        numbers=numbers,
        wrong=wrong,
    )


def _numbers(column: "pd.Series[Any]", name: str, wrong: dict[str, Wrong]) -> NDArray[np.float64]:
    """Returns a column as numbers, NaN for missing values; adds other values to ``wrong``."""
    numbers, others = numbers_of(column)
    cells = zip(others, map(str, column.iloc[others]), strict=True)
    if found := [each for each in cells if not is_missing(each[1])]:
        wrong[name] = Wrong(*found[0], len(found))
    return numbers


def numbers_of(column: "pd.Series[Any]") -> tuple[NDArray[np.float64], list[int]]:
    """Returns a column as numbers, NaN for missing values, and the rows of other values."""
    import pandas as pd

    if column.dtype.kind in "biuf":
        return column.to_numpy(np.float64, na_value=np.nan), []
    is_other = column.dtype.kind in "cmM"  # complex numbers and times, which pandas would convert
    plain = pd.Series(np.nan, column.index) if is_other else column.astype(object)
    numbers = pd.to_numeric(plain, errors="coerce").to_numpy(np.float64)
    return numbers, np.flatnonzero(np.isnan(numbers) & column.notna().to_numpy()).tolist()


def _texts(column: "pd.Series[Any]") -> list[str]:
    """Returns a column as texts, "" for missing values; 3.0 becomes 3."""
    missing = column.isna()
    values = [value.item() if isinstance(value, np.generic) else value for value in column]
    texts = [
        str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        for value in [0.0 if gone else value for value, gone in zip(values, missing, strict=True)]
    ]
    return ["" if gone else text for text, gone in zip(texts, missing, strict=True)]
