import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import make_chunks, make_sweep, make_table
from finished_runs import random_model
from scipy import special

from gtzan_jax import TrainedModel, divide, load_model
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.model_files import save_model
from gtzan_jax.space.config import Config
from gtzan_jax.tables.folds import scaler_of

TABLE = make_table()
SWEEP = make_sweep(leaky_slope=0.3)
RELU, LEAKY_RELU = SWEEP.configs[0], SWEEP.configs[3]


@pytest.fixture(scope="module")
def model():
    return random_model(LEAKY_RELU, TABLE)


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
    np.testing.assert_array_equal(model.predict_matrix(frame.to_numpy()), probabilities)


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


def test_the_chunks_of_a_song_vote(model):
    table = make_chunks(30)
    by_chunk = np.log(by_hand(model, table.x.astype(np.float64)))
    votes = np.exp(pd.DataFrame(by_chunk).groupby(table.songs).mean().to_numpy())
    expected = votes / votes.sum(axis=1, keepdims=True)
    probabilities = model.predict_proba(table)
    assert probabilities.shape == (30, 4)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4)
    assert model.predict(table).tolist() == [model.genres[i] for i in expected.argmax(axis=1)]
    assert len(model.predict_matrix(table.x)) == 91


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="tempo"), "lacks the model's feature 'tempo'"),
        (lambda frame: frame.assign(tempo=np.nan), "row 0, column 'tempo': not a finite number"),
        (lambda frame: frame.assign(tempo="fast"), "must be numbers"),
    ],
)
def test_unusable_tables_are_refused(model, change, message):
    with pytest.raises(InputError, match=message):
        model.predict(change(frame_of(3)))


@pytest.mark.parametrize(("config", "slope"), [(RELU, 0.0), (LEAKY_RELU, 0.3)])
def test_a_model_is_put_together_from_what_a_member_was_trained_with(model, config, slope):
    division = divide(TABLE, "kfold", 0, 3)
    made = TrainedModel.of(config, model.params, SWEEP, division, 1)
    assert (made.features, made.genres, made.data) == (TABLE.features, TABLE.genres, "made.csv")
    scaler = scaler_of(TABLE, division.folds[1])
    np.testing.assert_array_equal([made.mean, made.scale], [*scaler])
    assert not np.array_equal(made.mean, scaler_of(TABLE, division.folds[0]).mean)
    probabilities = by_hand(dataclasses.replace(made, slope=slope), TABLE.x)
    np.testing.assert_allclose(made.predict_proba(TABLE), probabilities, rtol=1e-4)
