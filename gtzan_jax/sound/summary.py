"""Summaries of spectrograms, for models that take a feature table."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.errors import InputError
from gtzan_jax.tables.schema import NO_OPTIONS, Columns, FeatureTable


def summary_of(table: FeatureTable) -> FeatureTable:
    """Returns a table of the mean and the population variance of each band of each row over frames.

    Features are named ``mel01_mean`` in dB, ``mel01_var`` in dB²; checksum and source remain.
    """
    features, x = summarised(table.features, table.x)
    return replace(table, x=x.astype(np.float32), features=features)


def summarised(
    features: Sequence[str], x: NDArray[np.floating[Any]]
) -> tuple[tuple[str, ...], NDArray[np.floating[Any]]]:
    """Returns names and numbers (rows, features) of the summary; feature tables are unchanged."""
    if x.ndim == 2:
        return tuple(features), x
    names = tuple(f"{band}_{moment}" for band in features for moment in ("mean", "var"))
    wide = [row.astype(np.float32) for row in x]  # one at a time; float16 is too coarse
    moments = [np.stack([row.mean(axis=1), row.var(axis=1)], axis=1).ravel() for row in wide]
    return names, np.stack(moments)


def check_no_options(columns: Columns) -> None:
    """Raises InputError for options of a table, where there is sound."""
    if columns != NO_OPTIONS:
        raise InputError("--label, --group, --drop and --impute are for tables, and this is sound")
