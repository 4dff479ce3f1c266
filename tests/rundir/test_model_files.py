import base64
import dataclasses
import io
import json
import os
import pickle
import re
import tracemalloc

import msgspec
import numpy as np
import pytest
from conftest import make_sweep, make_table
from finished_runs import flip, random_model
from safetensors.numpy import load_file, save

from gtzan_jax import load_model
from gtzan_jax.errors import InputError
from gtzan_jax.files import digest, sealed
from gtzan_jax.models.calibration import Calibration, Held
from gtzan_jax.models.hearing import Hearing
from gtzan_jax.rundir.model_files import save_model
from gtzan_jax.space.config import Config

TABLE = make_table()
MODEL = random_model(make_sweep().configs[3], TABLE)  # leaky ReLU
KNOWN = ("hearing", "protocol", "reach", "calibration")
HELD = Held(songs=40, accuracy=0.5, error=0.25, calibrated_error=0.125)


def test_a_saved_model_comes_back(tmp_path):
    save_model(MODEL, tmp_path / "run" / "best")
    for path in (tmp_path / "run", str(tmp_path / "run" / "best")):
        loaded = load_model(path)
        assert loaded.config == MODEL.config
        assert (loaded.features, loaded.genres) == (MODEL.features, MODEL.genres)
        assert (loaded.slope, loaded.data) == (MODEL.slope, MODEL.data)
        assert loaded.predict_proba(TABLE).tobytes() == MODEL.predict_proba(TABLE).tobytes()
        for name in KNOWN:
            assert getattr(loaded, name) == getattr(MODEL, name)


@pytest.mark.parametrize(
    "changes",
    [
        dict.fromkeys(("reach", "calibration")),
        {"calibration": Calibration(temperature=2.5, bins=10, validation=HELD, test=HELD)},
        {"hearing": Hearing.of_rows(66_149, is_chunked=True)},
        {"reach": msgspec.structs.replace(MODEL.reach, rows=None)},
    ],
)
def test_what_a_model_knows_of_its_training_comes_back(tmp_path, changes):
    model = dataclasses.replace(MODEL, **changes)
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    for name in KNOWN:
        assert getattr(loaded, name) == getattr(model, name)


def test_of_the_training_songs_neither_names_nor_features_are_kept(tmp_path):
    """Only their deviations in thirty-seconds, up to four, in a byte each."""
    save_model(MODEL, tmp_path)
    described = json.loads((tmp_path / "model.json").read_text())
    assert "trained_on" not in described
    kept = np.frombuffer(base64.b64decode(described["reach"]["rows"]), np.int8)
    z = MODEL.reach.deviations(TABLE.x.astype(np.float64))
    np.testing.assert_allclose(kept.reshape(z.shape) / 32, z.clip(-3.97, 3.97), atol=0.5 / 32)
    assert not any(track in (tmp_path / "model.json").read_text() for track in TABLE.tracks)


def test_as_many_rows_as_are_kept_fit_into_a_description(tmp_path):
    rows = bytes(57 * (2**21 // 57))
    model = dataclasses.replace(MODEL, reach=msgspec.structs.replace(MODEL.reach, rows=rows))
    save_model(model, tmp_path)
    assert load_model(tmp_path).reach.rows == rows


def test_a_model_of_an_older_format_is_refused_with_the_remedy(tmp_path):
    save_model(MODEL, tmp_path)
    edit(tmp_path, lambda d: d.update(format=4, trained_on=["blues.00000"]))
    with pytest.raises(InputError, match="format 4, and this version reads 6: retrain it"):
        load_model(tmp_path)


def test_a_model_of_0_6_is_read_and_knows_no_training_songs(tmp_path):
    save_model(MODEL, tmp_path)
    edit(tmp_path, lambda d: [d.update(format=5, trained_on=["x"]), d["reach"].pop("rows")])
    reach = load_model(tmp_path).reach
    assert reach == msgspec.structs.replace(MODEL.reach, rows=None)
    assert reach.knows(reach.deviations(TABLE.x.astype(np.float64))) is None


def test_a_model_without_an_error_of_chance_loads(tmp_path):
    save_model(MODEL, tmp_path)
    edit(tmp_path, lambda d: d["calibration"].update(test=[50, 0.5, 0.125, None]))
    assert load_model(tmp_path).calibration.test == (50, 0.5, 0.125, None, None, None)


def edit(folder, change):
    """Changes a description as a stranger can who mends its checksum, too."""
    path = folder / "model.json"
    described = json.loads(path.read_text())
    change(described)
    path.write_text(json.dumps(sealed(described)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("hearing"), "KeyError"),
        (lambda d: d["hearing"].update(kind="os.system"), "Invalid enum value 'os.system'"),
        (lambda d: d["hearing"].update(samples=0), "`int` >= 1"),
        (lambda d: d["hearing"].update(samples=1e9), "int"),
        (lambda d: d["hearing"].update(step=-5), "`int` >= 1"),
        (lambda d: d["hearing"].update(more=1), "unknown field"),
        (lambda d: d.update(hearing=None), "Expected `object`, got `null`"),
        (lambda d: d.update(protocol=3), "Expected `str`"),
        (lambda d: d["reach"].update(rows="no base64!"), "base64"),
        (lambda d: d["reach"].update(rows="AAAA"), "the rows of reach are not 57 bytes each"),
        (lambda d: d["reach"].update(rows=""), "the rows of reach are not 57 bytes each"),
        (lambda d: d["reach"].update(mean=[0.0]), "reach is not 57 numbers each"),
        (lambda d: d["reach"].update(mean=[]), "length >= 1"),
        (lambda d: d["reach"]["is_log"].append(True), "reach is not 57 numbers each"),
        (lambda d: d["reach"]["deviation"].__setitem__(3, 0.0), "a deviation not above 0"),
        (lambda d: d["reach"]["mean"].__setitem__(3, "x"), "Expected `float`"),
        (lambda d: d["reach"]["percentiles"].pop(), "length >= 101"),
        (lambda d: d["reach"]["percentiles"].reverse(), "do not ascend"),
        (lambda d: d["calibration"].update(temperature=0.0), "`float` > 0"),
        (lambda d: d["calibration"].update(temperature=1e9), "`float` <= 1000"),
        (lambda d: d["calibration"].update(bins=0), "`int` >= 1"),
        (lambda d: d["calibration"].update(test=None), "Expected `array`"),
        (lambda d: d["calibration"]["test"].__setitem__(1, 1.5), "`float` <= 1"),
        (lambda d: d["calibration"]["test"].__setitem__(0, -1), "`int` >= 1"),
        (lambda d: d["calibration"]["test"].__delitem__(slice(3, None)), "length 4"),
        (lambda d: d["calibration"]["test"].__setitem__(4, -0.1), "`float` >= 0"),
        (lambda d: d["genres"].__setitem__(1, d["genres"][0]), "have a name twice"),
    ],
)
def test_a_strangers_description_is_checked(tmp_path, change, message):
    save_model(MODEL, tmp_path)
    edit(tmp_path, change)
    with pytest.raises(InputError, match=re.escape(message)) as error:
        load_model(tmp_path)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "config",
    [
        Config.of(num_units1=3),
        Config.of(num_units1=3, num_units2=4, dropout2=0.5, learning_rate=0.1, batch_size=8),
        Config.of(**{f"num_units{layer}": layer for layer in range(1, 7)}, optimizer="sgd"),
    ],
    ids=["one layer", "other axes", "six layers"],
)
def test_a_model_of_other_axes_comes_back(tmp_path, config):
    model = random_model(config, TABLE)
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.config == config
    assert loaded.predict_proba(TABLE).tobytes() == model.predict_proba(TABLE).tobytes()


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
def test_damaged_files_are_refused(tmp_path, name, damage):
    save_model(MODEL, tmp_path)
    before = (tmp_path / name).read_bytes()
    damage(tmp_path / name)
    assert not (tmp_path / name).exists() or (tmp_path / name).read_bytes() != before
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
def test_a_strangers_files_are_refused_and_run_no_code(tmp_path, weights):
    save_model(MODEL, tmp_path)
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
def test_only_the_weights_that_the_model_needs_are_read(tmp_path, change, message):
    save_model(MODEL, tmp_path)
    arrays = load_file(tmp_path / "model.safetensors")
    change(arrays)
    replace_weights(tmp_path, save(arrays))
    with pytest.raises(InputError, match=message):
        load_model(tmp_path)


def test_no_more_of_a_file_is_read_than_a_model_may_have(tmp_path):
    for name in ("model.safetensors", "model.json"):
        save_model(MODEL, tmp_path)
        os.truncate(tmp_path / name, 2**31)  # takes no space, and would take memory
        tracemalloc.start()
        with pytest.raises(InputError, match=f"{name} has more than"):
            load_model(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["best", "best/model.json", "best/model.safetensors"])
def test_a_model_behind_a_link_in_a_run_directory_is_refused(tmp_path, name):
    save_model(MODEL, tmp_path / "run" / "best")
    (tmp_path / "run" / name).rename(tmp_path / "outside")
    (tmp_path / "run" / name).symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match="is a link"):
        load_model(tmp_path / "run")
