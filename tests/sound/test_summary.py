"""Spectrograms as features, for what takes a table of them."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_table

from gtzan_jax.sound.mel import BAND_NAMES
from gtzan_jax.sound.summary import summary_of
from gtzan_jax.views import plots


def test_it_is_mean_and_variance_of_each_band():
    random = np.random.default_rng(0)
    x = (30 * random.normal(size=(20, 64, 65)) - 40).astype(np.float16)
    spectrograms = replace(make_table(20), x=x, features=BAND_NAMES)
    table = summary_of(spectrograms)
    assert table.x.shape == (20, 128)
    assert table.x.dtype == np.float32
    for row, band in ((0, 0), (3, 10), (19, 63)):
        values = x[row, band].astype(np.float64)
        for moment, figure in (("mean", values.mean()), ("var", values.var())):
            column = table.features.index(f"mel{band + 1:02d}_{moment}")
            np.testing.assert_allclose(table.x[row, column], figure, rtol=1e-5)
    assert not table.is_spectrogram
    assert (table.tracks, table.sha256) == (spectrograms.tracks, spectrograms.sha256)


@pytest.mark.parametrize(("feature", "unit"), [("mel07_mean", "dB"), ("mel64_var", "dB²")])
def test_plots_know_the_unit(feature, unit):
    assert plots.exploration.unit(feature) == unit
