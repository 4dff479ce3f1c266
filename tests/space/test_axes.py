import dataclasses

import pytest

from gtzan_jax.errors import InputError
from gtzan_jax.space.axes import AXES, MAX_LAYERS

GOOD = {
    "num_units": [1, 64, 8192],
    "dropout": [0.0, 0, 0.5, 0.99],
    "activation": ["relu", "leaky_relu"],
    "initializer": ["glorot_uniform", "random_uniform"],
    "optimizer": ["adam", "sgd", "rmsprop"],
    "learning_rate": [1e-12, 0.001, 1, 1e6],
    "batch_size": [1, 32, 1_000_000],
    "patience": [0, 1, 100_000],
}
NO_NUMBERS = [True, None, "1", [1], {}, float("nan")]
BAD = {
    "num_units": [0, -1, 8193, 64.0, 10**5000, *NO_NUMBERS],
    "dropout": [-0.1, 0.991, 1.0, float("inf"), *NO_NUMBERS],
    "activation": ["gelu", "RELU", "", 1, None, True],
    "initializer": ["zeros", "glorot", 1, None],
    "optimizer": ["adamw", "Adam", 1, None],
    "learning_rate": [0.0, 0, -0.001, 1e7, float("inf"), *NO_NUMBERS],
    "batch_size": [0, -32, 1_000_001, 32.0, *NO_NUMBERS],
    "patience": [-1, 100_001, 5.0, *NO_NUMBERS],
}


def test_the_registry_is_in_the_order_of_the_published_table():
    layers = range(1, MAX_LAYERS + 1)
    assert list(AXES) == [
        *(f"num_units{layer}" for layer in layers),
        *(f"dropout{layer}" for layer in layers),
        "activation", "initializer", "optimizer", "learning_rate", "batch_size", "patience",
    ]  # fmt: skip
    assert all(name == axis.name for name, axis in AXES.items())


def test_only_widths_and_the_batch_size_are_known_to_the_compiler():
    kinds = {axis.stem: axis.kind for axis in AXES.values()}
    assert {stem for stem, kind in kinds.items() if kind == "shape"} == {"num_units"}
    assert {stem for stem, kind in kinds.items() if kind == "static"} == {"batch_size"}


@pytest.mark.parametrize("name", AXES)
def test_possible_values_are_returned_in_the_type_of_the_axis(name):
    axis = AXES[name]
    kinds = {"dropout": float, "learning_rate": float, "num_units": int, "batch_size": int}
    kinds |= {"patience": int}
    for value in GOOD[axis.stem]:
        checked = axis.check(value, "here")
        assert checked == value
        assert type(checked) is kinds.get(axis.stem, str)


@pytest.mark.parametrize("name", AXES)
def test_impossible_values_are_refused_with_the_place(name):
    axis = AXES[name]
    for value in BAD[axis.stem]:
        with pytest.raises(InputError) as error:
            axis.check(value, "the place")
        assert str(error.value).startswith("the place")
        assert "\n" not in str(error.value)


def test_defaults_are_possible_values():
    for axis in AXES.values():
        if axis.default is not None:
            assert axis.check(axis.default, "default") == axis.default


def test_values_are_shown_as_in_names():
    shown = {
        ("num_units1", 64): "64",
        ("dropout1", 0.1): "0.1",
        ("dropout1", 0.0): "0",
        ("learning_rate", 0.00001): "lr1e-05",
        ("batch_size", 32): "b32",
        ("optimizer", "adam"): "adam",
    }
    assert {(name, value): AXES[name].show(value) for name, value in shown} == shown


def test_an_axis_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        AXES["dropout1"].default = 0.5
