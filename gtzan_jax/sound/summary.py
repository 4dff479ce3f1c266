"""Spectrograms boiled down to features of a row, for whatever takes a feature table."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from gtzan_jax.sound.spectrograms import Watch, load_spectrograms, unwatched
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import DATA_NAMES, load_table


def summary_of(table: FeatureTable) -> FeatureTable:
    """Returns the mean and the population variance of each band of each row, over its frames.

    Returns:
      a table with (rows, 2 × bands) float32, named as the feature table's: ``mel01_mean`` in dB,
      ``mel01_var`` in dB². Checksum and source remain those of the spectrograms.
    """
    x = table.x.astype(np.float32)
    moments = np.stack([x.mean(axis=2), x.var(axis=2)], axis=2)  # (rows, bands, 2)
    return replace(
        table,
        x=moments.reshape(len(x), -1),
        features=tuple(f"{band}_{moment}" for band in table.features for moment in ("mean", "var")),
    )


def load_features(data: str | os.PathLike[str] = "auto", watch: Watch = unwatched) -> FeatureTable:
    """Loads a feature table, or the summary of spectrograms where ``data`` is sound.

    Args:
      data: as for ``load_table``; or ``sounds``, or a folder of sound files, as for
        ``load_spectrograms``.
      watch: as for ``load_spectrograms``.

    Raises:
      InputError: it cannot be loaded.
    """
    folder = Path(os.path.expanduser(data))
    is_folder = folder.is_dir() and not (folder / "manifest.json").is_file()  # a run is no sound
    if data == "sounds" or (is_folder and data not in DATA_NAMES):
        return summary_of(load_spectrograms(data, watch))
    return load_table(data)
