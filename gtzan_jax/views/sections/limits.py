"""The section on limits."""

from typing import Any

import numpy as np

from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.tables.protocols import ARTISTS_APART, divide
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.views.sections.artists import artists_known


def limits_section(run: FinishedRun, table: FeatureTable | None) -> dict[str, Any]:
    """Returns the figures of the section on limits."""
    split = run.manifest.split
    return {
        "repeats": len(run.manifest.data.repeats),
        "straddling": None if table is None else _straddling(run, table),
        "num_folds": len(split.folds),
        "num_divisions": run.protocol.num_divisions,
        "num_seeds": len(run.manifest.seeds),
        "artists_apart": run.sweep.protocol in ARTISTS_APART,
        "artists_known": artists_known(run, table),
        "select_on": run.protocol.select_on,
        "note": run.protocol.note,
        "is_chunked": run.manifest.data.is_chunked,
        "left_out": split.left_out,
    }


def _straddling(run: FinishedRun, table: FeatureTable) -> int:
    """Counts groups of equal tracks of which some fold has one to train on, one to test on."""
    folds = divide(table, run.sweep.protocol, run.manifest.split.seed, run.sweep.num_folds).folds
    return sum(
        any(np.isin(rows, fold.train).any() and np.isin(rows, fold.test).any() for fold in folds)
        for rows in table.repeats
    )
