import dataclasses
import io
import json
import os
import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from conftest import make_dataset, make_sweep
from safetensors.numpy import load_file, save
from test_finished import flip

from gtzan_jax import load_model
from gtzan_jax.engine import train_on_each
from gtzan_jax.errors import InputError
from gtzan_jax.files import digest, sealed
from gtzan_jax.trained import TrainedModel

DATASET = make_dataset()


@pytest.fixture(scope="module")
def model():
    sweep = make_sweep()
    config = sweep.configs()[3]  # leaky ReLU
    assert config.activation == "leaky_relu"
    [(params, _)] = train_on_each(config, sweep, [DATASET], seed=0, epochs=2)
    random = np.random.default_rng(0)
    num_features = len(DATASET.features)
    return TrainedModel(
        config=config,
        params=params,
        features=DATASET.features,
        genres=DATASET.genres,
        mean=random.normal(size=num_features),
        scale=random.uniform(0.5, 2.0, size=num_features),
        leaky_slope=0.2,
        data="test",
    )


def frame_of(rows):
    random = np.random.default_rng(1)
    return pd.DataFrame(random.normal(size=(rows, len(DATASET.features))), columns=DATASET.features)


def by_hand(model, x):
    h = (x - model.mean) / model.scale
    for layer in ("hidden1", "hidden2", "hidden3"):
        h = h @ model.params[layer]["kernel"] + model.params[layer]["bias"]
        h = np.maximum(h, model.leaky_slope * h)
    h = h @ model.params["logits"]["kernel"] + model.params["logits"]["bias"]
    exp = np.exp(h - h.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def test_probabilities_are_those_of_the_network(model):
    frame = frame_of(9)
    probabilities = model.predict_proba(frame)
    np.testing.assert_allclose(probabilities, by_hand(model, frame.to_numpy()), rtol=1e-4)
    names = np.array(model.genres)[probabilities.argmax(axis=1)]
    assert model.predict(frame).tolist() == names.tolist()


def test_a_saved_model_comes_back(model, tmp_path):
    model.save(tmp_path / "run" / "best")
    for path in (tmp_path / "run", str(tmp_path / "run" / "best")):
        loaded = load_model(path)
        assert loaded.config == model.config
        frame = frame_of(5)
        assert loaded.predict_proba(frame).tobytes() == model.predict_proba(frame).tobytes()


def test_columns_are_found_by_name(model):
    frame = frame_of(5)
    shuffled = frame[list(frame.columns[::-1])].assign(filename="x", label="unknown")
    np.testing.assert_array_equal(model.predict_proba(shuffled), model.predict_proba(frame))


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


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.json", lambda path: path.unlink()),
        ("model.json", lambda path: path.write_text("{")),
        ("model.json", lambda path: path.write_text("[]")),
        ("model.json", lambda path: path.write_text(json.dumps({"format": 99}))),
        ("model.json", lambda path: path.write_text(path.read_text().replace("0.2", "0.3"))),
        ("model.safetensors", lambda path: path.unlink()),
        ("model.safetensors", lambda path: path.write_bytes(path.read_bytes()[:100])),
        ("model.safetensors", flip),
    ],
)
def test_damaged_files_are_refused(model, tmp_path, name, damage):
    model.save(tmp_path)
    damage(tmp_path / name)
    with pytest.raises(InputError) as error:
        load_model(tmp_path)
    assert str(tmp_path) in str(error.value)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a model file has run code",)


def replace_weights(folder, weights):
    """Puts other weights in the place of a model's, as a stranger can."""
    (folder / "model.safetensors").write_bytes(weights)
    described = json.loads((folder / "model.json").read_text())
    described["weights_sha256"] = digest(folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(sealed(described)))


def archive():
    buffer = io.BytesIO()
    np.savez(buffer, **{"hidden1.kernel": np.array([Bomb()])})
    return buffer.getvalue()


@pytest.mark.parametrize("weights", [pickle.dumps(Bomb()), archive()], ids=["pickle", "npz"])
def test_a_strangers_files_are_refused_and_run_no_code(model, tmp_path, weights):
    model.save(tmp_path)
    replace_weights(tmp_path, weights)
    with pytest.raises(InputError, match="cannot be used"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("hidden1.kernel"), "model.safetensors holds"),
        (lambda arrays: arrays.update(more=np.zeros(3, "f4")), "model.safetensors holds"),
        (
            lambda arrays: arrays.update({"logits.bias": np.zeros(3, "f4")}),
            "logits.bias is float32",
        ),
        (lambda arrays: arrays.update({"logits.bias": np.zeros(4, "i4")}), "logits.bias is int32"),
        (lambda arrays: arrays.update(more=np.zeros(5_000, "f4")), "has more than 6,404 bytes"),
    ],
    ids=["missing", "unknown", "shape", "type", "size"],
)
def test_only_the_weights_that_the_model_needs_are_read(model, tmp_path, change, message):
    model.save(tmp_path)
    arrays = load_file(tmp_path / "model.safetensors")
    change(arrays)
    replace_weights(tmp_path, save(arrays))
    with pytest.raises(InputError, match=message):
        load_model(tmp_path)


def test_no_more_of_a_file_is_read_than_a_model_may_have(model, tmp_path):
    for name in ("model.safetensors", "model.json"):
        model.save(tmp_path)
        os.truncate(tmp_path / name, 2**31)  # takes no space, and would take memory
        tracemalloc.start()
        with pytest.raises(InputError, match=f"{name} has more than"):
            load_model(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["best", "best/model.json", "best/model.safetensors"])
def test_a_model_behind_a_link_in_a_run_directory_is_refused(model, tmp_path, name):
    model.save(tmp_path / "run" / "best")
    (tmp_path / "run" / name).rename(tmp_path / "outside")
    (tmp_path / "run" / name).symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match="is a link"):
        load_model(tmp_path / "run")


def test_relu_ignores_the_slope(model):
    config = dataclasses.replace(model.config, activation="relu")
    relu = dataclasses.replace(model, config=config)
    flat = dataclasses.replace(model, leaky_slope=0.0)
    np.testing.assert_array_equal(relu.predict_proba(frame_of(4)), flat.predict_proba(frame_of(4)))
