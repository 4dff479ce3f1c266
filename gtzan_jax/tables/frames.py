"""Reads the cells of tables that Python holds: DataFrames, and arrays with their labels."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError
from gtzan_jax.tables.reading import Cells, Wrong, roles_of
from gtzan_jax.tables.schema import Columns

if TYPE_CHECKING:
    import pandas as pd


FRAME = "DataFrame"
"""The source of a table that was one, or arrays."""


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
            f"{name}: pip install -e '.[parquet]' brings PyArrow, which reads Parquet"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{name} is no Parquet file: {' '.join(str(error).split())}") from None


def frame_of(data: Sequence[Any], columns: Columns) -> "tuple[pd.DataFrame, Columns]":
    """Returns a frame of (X, y) or (X, y, groups), and the names of its label and group."""
    import pandas as pd

    if not 2 <= len(data) <= 3:
        raise InputError(f"data must be (X, y) or (X, y, groups), not a tuple of {len(data)}")
    x, extra = data[0], dict(zip((columns.label, columns.group or "group"), data[1:], strict=False))
    if not isinstance(x, pd.DataFrame):
        x = np.asarray(x)
        if x.ndim != 2:
            raise InputError(f"X must have rows and columns, and its shape is {x.shape}")
        x = pd.DataFrame(x, columns=[f"x{place}" for place in range(x.shape[1])])
    frame = x.copy(deep=False)
    for name, values in extra.items():
        values = np.asarray(values)
        if values.shape != (len(x),):
            raise InputError(f"{name}: the shape {values.shape} does not fit X's {len(x):,} rows")
        if name in x.columns:
            raise InputError(f"X has a column {name!r}, which is another's name: rename it")
        frame[name] = values
    group = list(extra)[1] if len(extra) > 1 else columns.group
    return frame, Columns(columns.label, group, columns.drop, columns.impute)


def read_frame(frame: "pd.DataFrame", source: str, columns: Columns) -> Cells:
    """Reads the cells of a DataFrame; a row is named by its place, from 0."""
    header = [str(name) for name in frame.columns]

    def some() -> list[list[str]]:
        return [list(map(str, row)) for row in frame.head(1000).itertuples(index=False)]

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
        sha256=hashlib.sha256(about + numbers.tobytes()).hexdigest(),
        is_gtzan=roles.is_gtzan,
        row=lambda i: f"row {i}",
        texts=texts,
        names=roles.numbers,
        numbers=numbers,
        wrong=wrong,
    )


def _numbers(column: "pd.Series[Any]", name: str, wrong: dict[str, Wrong]) -> NDArray[np.float64]:
    """Returns a column as numbers, NaN where there is none; adds others to ``wrong``."""
    import pandas as pd
    from pandas.api import types

    if types.is_numeric_dtype(column) and not types.is_complex_dtype(column):  # bool, too
        return column.to_numpy(np.float64, na_value=np.nan)
    if types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column):
        values = np.full(len(column), np.nan)
    else:
        values = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(np.isnan(values) & column.notna().to_numpy())
    if len(bad):
        wrong[name] = Wrong(int(bad[0]), str(column.iloc[bad[0]]), len(bad))
    return values


def _texts(column: "pd.Series[Any]") -> list[str]:
    """Returns a column as texts, "" where a value is missing; 3.0 is 3."""
    missing = column.isna()
    values = [value.item() if isinstance(value, np.generic) else value for value in column]
    texts = [
        str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        for value in [0.0 if gone else value for value, gone in zip(values, missing, strict=True)]
    ]
    return ["" if gone else text for text, gone in zip(texts, missing, strict=True)]
