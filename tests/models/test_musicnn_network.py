"""The pretrained network: each layer against Keras, the whole in batches, and published tags."""

import keras_musicnn
import numpy as np
import pandas as pd
import pytest
from made_weights import made_weights

from gtzan_jax.inference.pretrained import features_of_windows
from gtzan_jax.models import musicnn
from gtzan_jax.sound import files
from gtzan_jax.sound.musicnn import windows_of
from gtzan_jax.tables.schema import TAGS

WEIGHTS = made_weights()


def windows(count):
    return np.random.default_rng(0).random((count, 187, 96)).astype(np.float32)


def test_every_layer_computes_what_keras_does():
    found = keras_musicnn.differences(WEIGHTS, windows(2))
    assert len(found) == 21
    assert max(found.values()) < 1e-5, found


@pytest.mark.slow
def test_the_trained_layers_compute_what_keras_does(weights):
    found = keras_musicnn.differences(weights, windows(2))
    assert max(found.values()) < 1e-4, found


def test_a_window_does_not_depend_on_its_company():
    mel = windows(12)  # more than a batch
    made = musicnn.outputs(WEIGHTS, mel)
    assert made.shape == (12, 250)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(musicnn.outputs(WEIGHTS, mel[3:5]), made[3:5])
    tags = made[:, :50]
    assert ((tags > 0) & (tags < 1)).all()
    logits = made[:, 50:] @ WEIGHTS["dense_1/kernel"] + WEIGHTS["dense_1/bias"]
    np.testing.assert_allclose(tags, 1 / (1 + np.exp(-logits)), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_tags_are_the_published_ones(many_songs):
    """A window each second, as published; that one rounded to float16."""
    published = pd.read_csv(many_songs.parent / "musicnn_msd_tags.csv", index_col="track")
    paths = [p for p in sorted(many_songs.glob("*/*.flac")) if p.stem in published.index][::2]
    assert len(paths) > 15
    found = []
    for path in paths:
        samples = files.read(path)
        second, last = files.SAMPLE_RATE, len(samples) - 3 * files.SAMPLE_RATE
        parts = [(start, start + 3 * second) for start in range(0, last + 1, second)]
        found.append(features_of_windows([windows_of(samples, parts)])[0].mean(axis=0)[:50])
    expected = published.loc[[path.stem for path in paths], list(TAGS)].to_numpy()
    assert np.corrcoef(np.ravel(found), expected.ravel())[0, 1] > 0.995
    assert np.abs(found - expected).mean() < 0.004
