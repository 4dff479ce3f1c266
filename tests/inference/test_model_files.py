import copy
import dataclasses
import json
import os
import pickle
import random
import struct
import tracemalloc

import numpy as np
import pytest
from conftest import make_cnn_sweep, make_sweep, make_table
from finished_runs import edit_arrays, random_model
from safetensors.numpy import load_file, save_file

from gtzan_jax import load_model
from gtzan_jax.errors import InputError
from gtzan_jax.inference.calibration import Calibration, Held
from gtzan_jax.inference.distribution import Neighbours
from gtzan_jax.inference.front_end import FrontEnd
from gtzan_jax.inference.model_files import NAME, save_model
from gtzan_jax.space.config import Config
from gtzan_jax.tables.schema import Columns

TABLE = make_table()
MODEL = random_model(make_sweep().configs[3], TABLE)  # leaky ReLU
HELD = Held(songs=40, accuracy=0.5, error=0.25, calibrated_error=0.125)


@pytest.fixture
def folder(tmp_path):
    save_model(MODEL, tmp_path)
    return tmp_path


def assert_equal(loaded, model):
    for field in dataclasses.fields(model):
        found, wanted = (getattr(each, field.name) for each in (loaded, model))
        if field.name == "distribution" and wanted is not None:
            assert type(found) is type(wanted)
            found, wanted = vars(found), vars(wanted)
        if field.name in ("params", "distribution") and wanted is not None:
            assert found.keys() == wanted.keys()
            pairs = [(found[name], wanted[name]) for name in wanted]
        else:
            pairs = [(found, wanted)]
        for a, b in pairs:
            np.testing.assert_array_equal(a, b)
            assert type(a) is type(b)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        dict.fromkeys(("distribution", "calibration")),
        {"calibration": Calibration(temperature=2.5, bins=10, validation=HELD, test=HELD)},
        {"front_end": FrontEnd.of_rows(66_149, is_segmented=True)},
        {"front_end": None, "distribution": None, "columns": Columns("kind", "by", ("a", "b"))},
        {"fill": np.arange(57.0), "columns": Columns(impute="median")},
        {"distribution": dataclasses.replace(MODEL.distribution, rows=None)},
        {
            "front_end": FrontEnd.of_rows(661_500, is_segmented=False, kind="musicnn"),
            "distribution": Neighbours.of(TABLE.x, TABLE.songs, TABLE.features),
        },
        {"distribution": dataclasses.replace(MODEL.distribution, rows=np.ones((2**15, 57), "i1"))},
    ],
)
def test_a_saved_model_comes_back(tmp_path, changes):
    model = dataclasses.replace(MODEL, **changes)
    save_model(model, tmp_path / "run" / "best")
    for path in (tmp_path / "run", str(tmp_path / "run" / "best")):
        loaded = load_model(path)
        assert_equal(loaded, model)
        assert loaded.predict_proba(TABLE).tobytes() == model.predict_proba(TABLE).tobytes()


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
    assert_equal(load_model(tmp_path), model)


def test_of_the_training_songs_neither_names_nor_features_are_kept(folder):
    """Only their deviations in thirty-seconds, up to four, in a byte each."""
    kept = load_file(folder / NAME)["distribution.rows"]
    z = MODEL.distribution.deviations(TABLE.x.astype(np.float64))
    np.testing.assert_allclose(kept / 32, z.clip(-3.97, 3.97), atol=0.5 / 32)
    content = (folder / NAME).read_bytes()
    assert not any(track.encode() in content for track in TABLE.tracks)


# ---------------------------------------------------------------- what damaged it, or a stranger


def refusal(folder):
    """Returns the one line that says why a model cannot be loaded; "" where it can."""
    problem = ""
    try:
        load_model(folder)
    except InputError as error:
        problem = str(error)
    assert not problem or (str(folder) in problem and problem.isprintable())
    return problem


def test_an_older_model_is_refused_with_the_remedy(folder):
    (folder / "model.json").write_text('{"format": 6}')
    save_file(dict(MODEL.params), folder / NAME)  # as until 0.8
    assert "of an older version" in refusal(folder)
    assert "retrain" in refusal(folder)


@pytest.mark.parametrize("place", ["header", "weights"])
def test_any_damage_is_noticed(folder, place):
    whole, damage = (folder / NAME).read_bytes(), random.Random(0)
    size = 8 + int.from_bytes(whole[:8], "little")
    for _ in range(100):
        content = bytearray(whole)
        at = damage.randrange(size) if place == "header" else damage.randrange(size, len(whole))
        if damage.random() < 0.3:
            del content[at:]
        else:
            content[at] ^= 1 << damage.randrange(8)
        (folder / NAME).write_bytes(content)
        if not refusal(folder):  # a space for another, say
            assert json.loads(content[8:size]) == json.loads(whole[8:size])


def header(content):
    return struct.pack("<Q", len(content)) + content


def tensor(dtype, shape, offsets):
    described = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
    about = json.dumps({"format": 7})
    return header(json.dumps({"__metadata__": {"about": about}, "a": described}).encode())


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a model file has run code",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        pickle.dumps(Bomb()),
        b"\x80\x04cos\nsystem\n.",
        b"\xff" * 7 + b"\x7f{}",
        header(b"[" * 2_000),
        header(b'{"\\u001b[2J":null}'),
        *(
            header(json.dumps({"__metadata__": {"about": about}}).encode())
            for about in ("", "[]", "null", "[" * 100_000, '{"format": 7, "slope": NaN}', "\x1b[2J")
        ),
        tensor("F32", [2**63, 2**63], [0, 0]),
        tensor("F32", [-1], [0, 4]),
        tensor("F32", [3], [2**64, 12]),
        tensor("BF16", [0], [0, 0]),
    ],
)
def test_a_hostile_file_is_refused_and_runs_no_code(folder, content):
    (folder / NAME).write_bytes(content)
    assert "cannot be used" in refusal(folder)


def test_no_more_of_a_file_is_read_than_a_model_may_have(folder):
    os.truncate(folder / NAME, 2**31)  # takes no space, and would take memory
    tracemalloc.start()
    assert "cannot be used" in refusal(folder)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


CONFIG = dict(MODEL.config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _, d: d.pop("front_end"), "missing required field"),
        (lambda _, d: d.update(more=1), "unknown field"),
        (lambda _, d: d.update(front_end=3), "Expected `object | null`, got `int`"),
        (lambda _, d: d.update(columns={"impute": 3}), "Expected `str`, got `int`"),
        (lambda _, d: d.update(columns={"impute": "median"}), "scaler.fill is None, not"),
        (lambda a, _: a.update({"scaler.fill": np.zeros(57)}), "scaler.fill is"),
        (lambda _, d: d["front_end"].update(kind="os.system"), "Invalid enum value 'os.system'"),
        (lambda _, d: d["front_end"].update(kind="spectrogram"), "a mlp has no front end"),
        (lambda _, d: d["front_end"].update(samples=0), "`int` >= 1"),
        (lambda _, d: d["front_end"].update(step=-5), "`int` >= 1"),
        (lambda _, d: d.update(slope=10**400), ""),
        (lambda _, d: d.update(rows=0), "distribution.rows is"),
        (lambda _, d: d.update(rows=2**40), "`int` <="),
        (lambda _, d: d.update(genres=["a"]), "network.logits"),
        (lambda _, d: d["genres"].__setitem__(1, d["genres"][0]), "have a name twice"),
        (lambda _, d: d["calibration"].update(temperature=0.0), "`float` > 0"),
        (lambda _, d: d["calibration"].update(test=None), "Expected `array`"),
        (lambda _, d: d["calibration"]["test"].__setitem__(1, 1.5), "`float` <= 1"),
        (lambda _, d: d["calibration"]["test"].__delitem__(slice(3, None)), "length"),
        *(
            (lambda _, d, config=config: d.update(config=config), "")
            for config in (
                {}, 3, {"activation": "relu"}, CONFIG | {"num_units1": 10**12},
                CONFIG | {"num_units1": -1}, CONFIG | {"activation": "evil"}, CONFIG | {"evil": 1},
                CONFIG | {"num_units4": 8}, CONFIG | {"num_units6": 8},
            )
        ),
        (lambda a, _: a.pop("network.hidden1.kernel"), "hidden1.kernel is None, not"),
        (lambda a, _: a.update(more=np.zeros(3, "f4")), "more is"),
        (lambda a, _: a.update({"network.logits.bias": np.zeros(3, "f4")}), "logits.bias is"),
        (lambda a, _: a.update({"network.logits.bias": np.zeros(4, "i4")}), "logits.bias is"),
        (lambda a, _: a.update({"scaler.mean": np.zeros(1)}), "scaler.mean is"),
        (lambda a, _: a.update({"scaler.mean": np.full(57, np.nan)}), "scaler.mean is not finite"),
        (lambda a, _: a.update({"scaler.scale": np.zeros(57)}), "not above 0"),
        (lambda a, _: a.update({"distribution.deviation": np.zeros(57)}), "not above 0"),
        (lambda a, _: a.update({"distribution.mean": np.zeros(0)}), "distribution.mean is"),
        (lambda a, _: a.update({"distribution.is_log": np.zeros(57)}), "distribution.is_log is"),
        (lambda a, _: a.update({"distribution.percentiles": -np.arange(101.0)}), "do not ascend"),
        (lambda a, _: a.update({"distribution.rows": np.zeros((3, 5), "i1")}), "rows is"),
    ],
)  # fmt: skip
def test_a_strangers_description_is_checked(folder, change, message):
    edit_arrays(folder / NAME, change)
    assert message in refusal(folder)
    assert refusal(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(MODEL.config), "network.conv1.bias is"),
        ({"filters": 16}, "network.conv1.bias is"),
        ({"filters": 12}, "multiple of 8"),
    ],
)
def test_a_cnn_of_other_sizes_is_refused(tmp_path, config, message):
    from gtzan_jax.inference.front_end import SPECTROGRAMS
    from gtzan_jax.models.family import FAMILIES

    chosen = make_cnn_sweep().configs[0]
    params = {
        name: np.zeros(shape, np.float32)
        for name, shape in FAMILIES["cnn"].shapes(chosen, 57, 4).items()
    }
    model = dataclasses.replace(
        MODEL, config=chosen, params=params, front_end=SPECTROGRAMS, distribution=None
    )
    save_model(model, tmp_path)
    assert not refusal(tmp_path)
    edit_arrays(tmp_path / NAME, lambda _, about: about.update(config=copy.copy(config)))
    assert message in refusal(tmp_path)


@pytest.mark.parametrize("name", ["best", f"best/{NAME}"])
def test_a_model_behind_a_link_in_a_run_directory_is_refused(tmp_path, name):
    save_model(MODEL, tmp_path / "run" / "best")
    (tmp_path / "run" / name).rename(tmp_path / "outside")
    (tmp_path / "run" / name).symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match="is a link"):
        load_model(tmp_path / "run")
