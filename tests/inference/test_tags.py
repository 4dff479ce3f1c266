"""What tags tell of a model on a pretrained network's units."""

import dataclasses

import numpy as np
import pytest
from conftest import make_sweep
from finished_runs import random_model
from made_weights import put_weights
from sklearn.linear_model import Ridge

from gtzan_jax.inference.prediction import Prediction
from gtzan_jax.inference.tags import shares_of_tags
from gtzan_jax.sound import musicnn_weights
from gtzan_jax.tables.frames import read_frame
from gtzan_jax.tables.schema import NO_OPTIONS, TAGS, UNITS
from gtzan_jax.tables.validation import validated
from gtzan_jax.views.predictions import sums

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(80, 30)) @ RANDOM.normal(size=(30, 30))
KERNEL = RANDOM.normal(size=(30, 6))


def test_coefficients_are_those_of_a_ridge_regression():
    slopes, x = RANDOM.normal(size=(2, 30)), RANDOM.normal(size=(2, 30))
    told = ROWS @ KERNEL
    scale = np.sqrt((told**2).mean(axis=0))
    found = shares_of_tags(slopes, x, ROWS, KERNEL)
    for window in range(2):
        ridge = Ridge(alpha=0.1 * len(ROWS), fit_intercept=False)
        ridge.fit(told / scale, ROWS @ slopes[window])
        np.testing.assert_allclose(found[window], ridge.coef_ * (x[window] @ KERNEL / scale))


def test_of_unlike_tags_a_network_on_one_has_the_share_of_this():
    # Rows whose tags are uncorrelated: the coefficient is the true one over 1 + 0.1.
    rows = np.linalg.qr(RANDOM.normal(size=(80, 30)))[0]
    kernel = np.linalg.qr(KERNEL)[0]
    x = RANDOM.normal(size=(1, 30))
    found = shares_of_tags(3 * kernel[:, 2][None], x, rows, kernel)
    expected = np.zeros(6)
    expected[2] = 3 * (x[0] @ kernel[:, 2]) / 1.1
    np.testing.assert_allclose(found[0], expected, atol=1e-12)


def test_what_no_tag_hangs_on_none_tells():
    rows = np.linalg.qr(RANDOM.normal(size=(80, 30)))[0]
    kernel = np.linalg.qr(KERNEL)[0]
    slope = RANDOM.normal(size=30)
    slope -= kernel @ (kernel.T @ slope)
    found = shares_of_tags(slope[None], RANDOM.normal(size=(1, 30)), rows, kernel)
    np.testing.assert_allclose(found, 0, atol=1e-12)


def test_a_tag_that_never_changes_has_no_share():
    kernel = np.concatenate([KERNEL, np.zeros((30, 1))], axis=1)
    slopes, x = RANDOM.normal(size=(1, 30)), RANDOM.normal(size=(1, 30))
    found = shares_of_tags(slopes, x, ROWS, kernel)
    assert found[0, -1] == 0
    np.testing.assert_allclose(found[:, :-1], shares_of_tags(slopes, x, ROWS, KERNEL))


def model_and_prediction(features):
    """Returns a random model on features, and a prediction of two of its table's rows."""
    import pandas as pd

    frame = pd.DataFrame(RANDOM.random((40, len(features))), columns=list(features))
    names = [f"{('jazz', 'rock')[i % 2]}.{i:05d}.wav" for i in range(40)]
    frame = frame.assign(filename=names, length=661_500, label=["jazz", "rock"] * 20)
    table = validated(read_frame(frame, "songs.csv", NO_OPTIONS), NO_OPTIONS)
    model = random_model(make_sweep().configs[3], table)
    scaler = {"mean": table.x.mean(axis=0, dtype=float), "scale": table.x.std(axis=0, dtype=float)}
    model = dataclasses.replace(model, **scaler)
    x = ((table.x[:2] - model.mean) / model.scale).astype(np.float32)
    found = model.log_probabilities(x)
    first = int(found.mean(axis=0).argmax())
    genres = (model.genres[first], *(g for g in model.genres if g != model.genres[first]))
    probabilities = np.array([0.6, 0.4])
    song = Prediction(
        "a.wav", 60.0, genres, probabilities, False, (), np.exp(found), None, None, (), x
    )
    return model, song


def test_a_model_on_units_is_explained_in_tags(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    put_weights()
    model, song = model_and_prediction(UNITS)
    found = model.explain(song)
    assert sorted(part.feature for part in found.parts) == sorted(TAGS)
    values = [part.value for part in found.parts]
    assert values == sorted(values, reverse=True)
    whole = found.output - found.baseline
    assert sum(values) + found.rest == pytest.approx(whole + found.gap, abs=1e-9)
    assert found.values.shape == (2, 200)
    kernel = musicnn_weights.load_weights()["dense_1/kernel"] * model.scale[:, None]
    slopes = found.values / song.inputs
    rows = model.distribution.row_deviations
    told = shares_of_tags(slopes, song.inputs, rows, kernel).sum(axis=0)
    by_name = dict(zip(TAGS, told, strict=True))
    for part in found.parts:
        assert part.value == pytest.approx(by_name[part.feature], abs=1e-5)
    units = model.mean + song.inputs.mean(axis=0) * model.scale
    logits = (units - model.mean) @ musicnn_weights.load_weights()["dense_1/kernel"]
    assert found.less == {tag for tag, change in zip(TAGS, logits, strict=True) if change < 0}


def test_a_model_on_tags_is_explained_by_these():
    model, song = model_and_prediction(TAGS)
    found = model.explain(song)
    assert found.rest is None
    assert sorted(part.feature for part in found.parts) == sorted(TAGS)
    total = found.output - found.baseline
    assert sum(part.value for part in found.parts) == pytest.approx(total, abs=2e-3)
    below = song.inputs.mean(axis=0) < 0
    assert found.less == {tag for tag, low in zip(TAGS, below, strict=True) if low}


def test_the_rest_stands_in_the_sum(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    put_weights()
    model, song = model_and_prediction(UNITS)
    found = dataclasses.replace(model.explain(song), rest=0.8)
    assert "other tags, +0.80 explained by no tag: " in sums(found)
    assert sums(found).endswith("for a song of average features")
