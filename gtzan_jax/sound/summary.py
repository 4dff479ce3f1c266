"""Summaries of spectrograms, for models on feature tables."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError
from gtzan_jax.tables.schema import NO_OPTIONS, Columns, FeatureTable


def summary_of(table: FeatureTable) -> FeatureTable:
    """Returns a table of each band's mean and population variance over frames.

    Features are named ``mel01_mean`` (dB) and ``mel01_var`` (dB²); checksum and source stay.
    """
    features, x = summarised(table.features, table.x)
    return replace(table, x=x.astype(np.float32), features=features)


def summarised(
    features: Sequence[str], x: NDArray[np.floating[Any]]
) -> tuple[tuple[str, ...], NDArray[np.floating[Any]]]:
    """Returns names and values (rows, features) of the summary; feature tables stay as they are."""
    if x.ndim == 2:
        return tuple(features), x
    names = tuple(f"{band}_{moment}" for band in features for moment in ("mean", "var"))
    wide = [row.astype(np.float32) for row in x]  # one at a time; float16 is too coarse
    moments = [np.stack([row.mean(axis=1), row.var(axis=1)], axis=1).ravel() for row in wide]
    return names, np.stack(moments)


def check_no_options(columns: Columns) -> None:
    """Raises InputError for options of a table, which sound does not have."""
    if columns != NO_OPTIONS:
        raise InputError("--label, --group, --drop and --impute are for tables, not for sound")
