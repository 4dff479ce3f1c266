import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import make_segments, make_sweep, make_table
from finished_runs import random_model
from scipy import special

from gtzan_jax import TrainedModel, load_model, make_splits
from gtzan_jax.errors import InputError
from gtzan_jax.inference import front_end
from gtzan_jax.inference import model as module
from gtzan_jax.inference.calibration import Calibration, Held
from gtzan_jax.inference.distribution import Distribution
from gtzan_jax.inference.model_files import save_model
from gtzan_jax.space.config import Config
from gtzan_jax.tables.folds import scaler_of
from gtzan_jax.tables.schema import FEATURES

TABLE = make_table()
SWEEP = make_sweep(leaky_slope=0.3)
RELU, LEAKY_RELU = SWEEP.configs[0], SWEEP.configs[3]


@pytest.fixture(scope="module")
def model():
    return random_model(LEAKY_RELU, TABLE)


@pytest.fixture(scope="module")
def bare(model):
    """The model without what it need not know of its training."""
    return dataclasses.replace(model, distribution=None, calibration=None)


def frame_of(rows):
    random = np.random.default_rng(1)
    return pd.DataFrame(random.normal(size=(rows, len(TABLE.features))), columns=TABLE.features)


ACTIVATIONS = {
    "elu": lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
    "gelu": lambda x: x * special.ndtr(x),
    "silu": lambda x: x * special.expit(x),
    "tanh": np.tanh,
}


def by_hand(model, x):
    h = (x - model.mean) / model.scale
    activation = model.config["activation"]
    function = ACTIVATIONS.get(activation, lambda x: np.maximum(x, model.slope * x))
    for layer in ("hidden1", "hidden2", "hidden3"):
        h = function(h @ model.params[f"{layer}.kernel"] + model.params[f"{layer}.bias"])
    h = h @ model.params["logits.kernel"] + model.params["logits.bias"]
    exp = np.exp(h - h.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def test_probabilities_are_those_of_the_network(model):
    frame = frame_of(9)
    probabilities = model.predict_proba(frame)
    np.testing.assert_allclose(probabilities, by_hand(model, frame.to_numpy()), rtol=1e-4)
    assert len(set(probabilities.argmax(axis=1))) > 1
    names = np.array(model.genres)[probabilities.argmax(axis=1)]
    assert model.predict(frame).tolist() == names.tolist()
    x = frame.to_numpy(np.float32)
    np.testing.assert_array_equal(model.predict_matrix(x), probabilities)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_activation_is_that_of_the_config(activation, tmp_path):
    model = random_model(Config.of(**dict(RELU) | {"activation": activation}), TABLE)
    save_model(model, tmp_path)
    probabilities = load_model(tmp_path).predict_proba(TABLE)
    np.testing.assert_allclose(probabilities, by_hand(model, TABLE.x), rtol=1e-4)


def test_columns_are_found_by_name(model):
    frame = frame_of(5)
    shuffled = frame[list(frame.columns[::-1])].assign(filename="x", label="unknown")
    np.testing.assert_array_equal(model.predict_proba(shuffled), model.predict_proba(frame))


def test_features_of_a_table_are_found_by_name(model):
    backwards = dataclasses.replace(TABLE, x=TABLE.x[:, ::-1], features=TABLE.features[::-1])
    np.testing.assert_array_equal(model.predict_proba(backwards), model.predict_proba(TABLE))
    np.testing.assert_array_equal(model.predict_proba(TABLE), model.predict_matrix(TABLE.x))


def test_the_segments_of_a_song_vote(model):
    table = make_segments(30)
    by_segment = np.log(by_hand(model, table.x.astype(np.float64)))
    votes = np.exp(pd.DataFrame(by_segment).groupby(table.songs).mean().to_numpy())
    expected = votes / votes.sum(axis=1, keepdims=True)
    probabilities = model.predict_proba(table)
    assert probabilities.shape == (30, 4)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4)
    assert model.predict(table).tolist() == [model.genres[i] for i in expected.argmax(axis=1)]
    assert len(model.predict_matrix(table.x)) == 91


def calibrated(model, temperature):
    test = Held(songs=10, accuracy=0.5, error=0.1, calibrated_error=0.05)
    held = Calibration(temperature=temperature, bins=10, validation=test, test=test)
    return dataclasses.replace(model, calibration=held)


@pytest.mark.parametrize("table", [TABLE, make_segments(30)], ids=["songs", "segments"])
def test_a_temperature_is_in_the_probabilities_of_songs(model, table):
    plain, cooled = model.predict_proba(table), calibrated(model, 2.5).predict_proba(table)
    expected = plain.astype(np.float64) ** (1 / 2.5)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(cooled, expected, rtol=1e-4)
    assert cooled.dtype == plain.dtype
    assert calibrated(model, 2.5).predict(table).tolist() == model.predict(table).tolist()
    untouched = calibrated(model, None)
    np.testing.assert_array_equal(untouched.predict_proba(table), plain)
    assert not untouched.is_calibrated


def test_a_song_is_predicted_by_the_vote_of_its_windows(model, monkeypatch):
    random = np.random.default_rng(0)
    samples, made = np.zeros(200_000, np.float32), random.normal(size=(3, len(FEATURES)))
    monkeypatch.setattr(module, "read", lambda _: samples)
    windows = iter(made)
    monkeypatch.setattr(front_end, "features_of", lambda _: next(windows))
    segmented = dataclasses.replace(
        calibrated(model, 2.0),
        front_end=front_end.FrontEnd.of_rows(66_149, is_segmented=True),
        distribution=Distribution.of(TABLE.x, TABLE.songs, TABLE.features),
    )
    found = segmented.predict_file("songs/Blues.00000.WAV")
    by_window = by_hand(model, made)
    votes = np.exp(np.log(by_window).mean(axis=0) / 2.0)
    votes /= votes.sum()
    order = np.argsort(-votes)
    assert found.genres == tuple(model.genres[place] for place in order)
    np.testing.assert_allclose(found.probabilities, votes[order], rtol=1e-4)
    cooled = by_window**0.5 / (by_window**0.5).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.by_window, cooled[:, order], rtol=1e-4)
    assert (found.is_calibrated, found.trained_on) == (True, False)
    assert found.seconds == pytest.approx(200_000 / 22_050)
    np.testing.assert_allclose(found.times[:, 0], [0, 3, 6])
    assert found.notes == ("its last 0.1 s, less than a window, are left out",)
    assert len(found.unlike.farthest) == 3
    z = segmented.distribution.deviations(made).mean(axis=0)
    assert found.unlike.farthest[0].value == pytest.approx(z[np.abs(z).argmax()])

    explained = segmented.explain(found)
    assert (explained.genre, len(explained.parts)) == (found.genres[0], len(FEATURES))
    assert explained.output == pytest.approx(np.log(found.probabilities[0]), abs=1e-4)
    average = by_hand(model, model.mean[None])[0] ** 0.5
    first = model.genres.index(found.genres[0])
    assert explained.baseline == pytest.approx(np.log(average[first] / average.sum()), abs=1e-4)
    total = sum(part.value for part in explained.parts)
    assert total == pytest.approx(explained.output - explained.baseline, abs=2e-3)
    assert list(explained.parts) == sorted(explained.parts, key=lambda part: -part.value)


@pytest.mark.parametrize(
    ("is_segmented", "seconds", "note"),
    [
        (False, 30.0, ""),
        (False, 12.0, "it lasts 12.0 s; the model was trained on windows of 30.0 s"),
        (True, 1.0, "it lasts 1.0 s; the model was trained on windows of 3.0 s"),
        (True, 4.0, "its last 1.0 s, less than a window, are left out"),
    ],
)
def test_what_was_heard_of_a_song_is_told(bare, monkeypatch, is_segmented, seconds, note):
    monkeypatch.setattr(module, "read", lambda _: np.zeros(round(seconds * 22_050), np.float32))
    monkeypatch.setattr(front_end, "features_of", lambda _: np.zeros(len(FEATURES)))
    heard = front_end.FrontEnd.of_rows(0, is_segmented)
    found = dataclasses.replace(bare, front_end=heard).predict_file("x.wav")
    assert found.notes == ((note,) if note else ())
    assert (found.unlike, found.trained_on) == (None, None)


def test_a_feature_that_is_not_made_from_sound_is_told(model, monkeypatch):
    monkeypatch.setattr(module, "read", lambda _: np.zeros(66_150, np.float32))
    other = dataclasses.replace(model, features=("loudness", *model.features[1:]))
    with pytest.raises(InputError, match="'loudness' is not made from sound"):
        other.predict_file("x.wav")


@pytest.mark.parametrize(("config", "slope"), [(RELU, 0.0), (LEAKY_RELU, 0.3)])
def test_a_model_is_put_together_from_what_a_trial_was_trained_with(model, config, slope):
    splits = make_splits(TABLE, "kfold", 0, 3)
    made = TrainedModel.of(config, model.params, SWEEP, splits, 1)
    assert (made.features, made.genres, made.data) == (TABLE.features, TABLE.genres, "made.csv")
    assert made.protocol == "kfold"
    train = splits.folds[1].train
    expected = Distribution.of(TABLE.x[train], train.astype(np.int32), FEATURES)
    for name, array in vars(expected).items():
        np.testing.assert_array_equal(getattr(made.distribution, name), array)
    scaler = scaler_of(TABLE, splits.folds[1])
    np.testing.assert_array_equal([made.mean, made.scale], scaler[:2])
    assert not np.array_equal(made.mean, scaler_of(TABLE, splits.folds[0]).mean)
    probabilities = by_hand(dataclasses.replace(made, slope=slope), TABLE.x)
    np.testing.assert_allclose(made.predict_proba(TABLE), probabilities, rtol=1e-4)
