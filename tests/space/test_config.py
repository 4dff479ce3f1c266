import dataclasses
import json
import pickle

import pytest
from conftest import make_sweep

from gtzan_jax.errors import InputError
from gtzan_jax.space import config as config_module
from gtzan_jax.space.config import Config, Trial

CONTENT = {
    "num_units1": 128, "num_units2": 64,
    "dropout1": 0.1, "dropout2": 0.25,
    "activation": "relu", "initializer": "glorot_uniform", "optimizer": "adam",
    "learning_rate": 0.001, "batch_size": 16,
}  # fmt: skip


def test_a_config_is_a_mapping():
    config = Config.of(**CONTENT)
    assert dict(config) == CONTENT
    assert len(config) == 9
    assert config["dropout2"] == 0.25
    assert "num_units3" not in config
    assert config.get("num_units3") is None
    with pytest.raises(KeyError, match="num_units3"):
        config["num_units3"]


def test_a_config_cannot_be_changed():
    config = Config.of(**CONTENT)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.values_ = ()
    with pytest.raises(TypeError):
        config["dropout1"] = 0.5


def test_equal_content_is_the_same_config():
    config = Config.of(**CONTENT)
    same = Config.of(**dict(reversed(CONTENT.items())))
    assert same == config
    assert hash(same) == hash(config)
    assert list(same) == list(CONTENT)  # in the registry's order
    assert len({same, config}) == 1
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize("name", CONTENT)
def test_other_content_is_another_config(name):
    config = Config.of(**CONTENT)
    other = {"num_units1": 127, "activation": "leaky_relu", "optimizer": "sgd"}.get(name, 0.5)
    without = {key: value for key, value in CONTENT.items() if key != name}
    for different in (Config.of(**CONTENT | {name: other}), Config.of(**without)):
        assert different != config
        assert different.id != config.id
        assert different.name != config.name


def test_ids_never_change():
    # Run directories are full of them: another id is another run.
    assert Config.of(**CONTENT).id == "c7a3dfc29887"
    assert make_sweep().configs[0].id == "c7b2efc23de2"


def test_an_id_is_a_hash_of_the_content_alone():
    sweep = make_sweep()
    other = make_sweep(
        epochs=7, loss="softmax_twice",
        axes={"num_units1": [12, 9, 8], "optimizer": ["sgd", "adam"], "dropout1": [0.4, 0.1]},
    )  # fmt: skip
    common = set(sweep.configs) & set(other.configs)
    assert len(common) == 8
    for config in common:
        [twin] = [c for c in other.configs if c == config]
        assert twin.id == config.id
        assert sweep.places[config.id] == sweep.configs.index(config)
        assert other.places[config.id] == other.configs.index(config)
    assert any(sweep.places[c.id] != other.places[c.id] for c in common)
    shuffled = json.loads(json.dumps(dict(reversed(CONTENT.items()))))
    assert Config.of(**shuffled).id == Config.of(**CONTENT).id


def test_a_whole_number_for_a_rate_is_the_same_config():
    whole, real = (make_sweep(axes={"dropout1": [rate]}).configs[0] for rate in (0, 0.0))
    assert whole.id == real.id


def test_two_configs_of_one_id_are_refused(monkeypatch):
    monkeypatch.setattr(config_module.json, "dumps", lambda *_, **__: "the same")
    with pytest.raises(InputError, match="two configs have the same id"):
        make_sweep().places  # noqa: B018


def test_a_name_is_readable_and_safe():
    config = Config.of(**CONTENT)
    assert config.name == "128-64_0.1-0.25_relu_glorot_uniform_adam_lr0.001_b16"
    assert repr(config) == f"Config({config.name})"
    assert Config.of(num_units1=8).name == "8"


def test_what_a_config_has_no_axis_for_is_the_default():
    config = Config.of(num_units1=8, num_units2=4, dropout2=0.5)
    assert config.units == (8, 4)
    assert config.dropout == (0.0, 0.5)
    defaults = {"activation": "relu", "initializer": "glorot_uniform", "optimizer": "adam"}
    assert {name: config.setting(name) for name in defaults} == defaults
    assert config.setting("num_units1") == 8
    assert config.setting("learning_rate") is None


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5, 6])
def test_up_to_six_layers(layers):
    units = {f"num_units{i + 1}": 10 + i for i in range(layers)}
    rates = {f"dropout{i + 1}": i / 10 for i in range(layers)}
    config = Config.of(**units, **rates)
    assert config.units == tuple(units.values())
    assert config.dropout == tuple(rates.values())


def test_a_trial_is_a_config_a_fold_and_a_seed():
    assert Trial("a1", 2, 7) == ("a1", 2, 7)
    assert Trial("a1", 2, 7)._fields == ("config_id", "fold", "seed")
