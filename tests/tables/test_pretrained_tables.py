"""Tables of a pretrained network's features are of songs, and not of the assignment's features."""

import numpy as np
import pandas as pd
import pytest

from gtzan_jax.analysis.exploration import correlations
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.directory import describe_data
from gtzan_jax.tables.protocols import make_splits
from gtzan_jax.tables.schema import TAGS, UNITS
from gtzan_jax.tables.sources import load_table


def made(features, **columns):
    """Returns a frame of 40 songs of two genres."""
    values = np.random.default_rng(0).random((40, len(features))).round(4)
    frame = pd.DataFrame(values, columns=list(features))
    genres = [("jazz", "rock")[i % 2] for i in range(40)]
    names = [f"{genre}.{i:05d}.wav" for i, genre in enumerate(genres)]
    return frame.assign(filename=names, label=genres, **columns)


@pytest.mark.parametrize("features", [TAGS, UNITS], ids=["tags", "units"])
def test_a_table_of_pretrained_features_is_of_songs(tmp_path, features):
    path = tmp_path / "songs.csv"
    made(features[::-1], length=661_500).to_csv(path, index=False)
    table = load_table(path)
    assert table.is_of_songs
    assert table.features == features  # in the network's order, whatever the file's
    assert table.samples == 661_500
    assert table.pretrained == "musicnn"
    assert describe_data(table, "songs.csv").pretrained == "musicnn"
    assert correlations(table).shape == (len(features), len(features))
    assert len(make_splits(table, "holdout", 0, 2).folds) == 1


def test_a_missing_tag_is_named():
    with pytest.raises(InputError, match="missing column 'rock'"):
        load_table(made(TAGS).drop(columns="rock"))


def test_the_assignments_features_are_not_pretrained():
    sample = load_table("sample")
    assert sample.pretrained == ""
    assert describe_data(sample, "sample").pretrained == ""
