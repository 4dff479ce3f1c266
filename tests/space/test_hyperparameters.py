import dataclasses

import pytest

from gtzan_jax.errors import InputError
from gtzan_jax.space.hyperparameters import (
    FAMILIES,
    HYPERPARAMETERS,
    MAX_LAYERS,
    family_of,
    hyperparameters_of,
)

GOOD = {
    "num_units": [1, 64, 8192],
    "dropout": [0.0, 0, 0.5, 0.99],
    "activation": ["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"],
    "initializer": ["glorot_uniform", "random_uniform", "he_uniform", "he_normal", "lecun_normal"],
    "optimizer": ["adam", "sgd", "rmsprop", "adamw", "nadam", "lion"],
    "learning_rate": [1e-12, 0.001, 1, 1e6],
    "batch_size": [1, 32, 1_000_000],
    "patience": [0, 1, 100_000],
    "momentum": [0.0, 0, 0.9, 0.9999],
    "nesterov": [False, True],
    "weight_decay": [0, 0.004, 1000.0],
    "l2": [0.0, 1e-5, 1000],
    "max_norm": [0, 1e-6, 3.0],
    "weight_limit": [0, 0.5, 1e6],
    "input_noise": [0.0, 0.5, 100.0],
    "label_smoothing": [0.0, 0.1, 0.99],
    "mixup": [0, 1e-12, 0.4, 100.0],
    "filters": [8, 24, 256],
    "blocks": [3, 1, 5],
    "kernel": [1, 3, 7],
    "frequency_mask": [0, 8, 32],
    "time_mask": [0, 1, 32],
    "time_shift": [0, 32],
}
NO_NUMBERS = [True, None, "1", [1], {}, float("nan")]
BAD = {
    "num_units": [0, -1, 8193, 64.0, 10**5000, *NO_NUMBERS],
    "dropout": [-0.1, 0.991, 1.0, float("inf"), *NO_NUMBERS],
    "activation": ["gelo", "RELU", "", 1, None, True],
    "initializer": ["zeros", "glorot", 1, None],
    "optimizer": ["adamax", "Adam", 1, None],
    "learning_rate": [0.0, 0, -0.001, 1e7, float("inf"), *NO_NUMBERS],
    "batch_size": [0, -32, 1_000_001, 32.0, *NO_NUMBERS],
    "patience": [-1, 100_001, 5.0, *NO_NUMBERS],
    "momentum": [-0.1, 1.0, 0.99999, *NO_NUMBERS],
    "nesterov": [0, 1, "true", None, [True]],
    "label_smoothing": [-0.1, 1.0, 0.991, *NO_NUMBERS],
    "mixup": [-0.1, 101, *NO_NUMBERS],
    "weight_decay": [-1e-9, 1001, *NO_NUMBERS],
    "l2": [-1e-9, 1001, float("inf"), *NO_NUMBERS],
    "max_norm": [-1, 1e7, float("inf"), *NO_NUMBERS],
    "weight_limit": [-1, 1e7, float("inf"), *NO_NUMBERS],
    "input_noise": [-0.1, 100.1, *NO_NUMBERS],
    "filters": [0, 4, 12, 264, 8.0, *NO_NUMBERS],
    "blocks": [0, 6, 2.0, *NO_NUMBERS],
    "kernel": [0, 2, 9, 3.0, *NO_NUMBERS],
    "frequency_mask": [-1, 33, 1.5, *NO_NUMBERS],
    "time_mask": [-1, 33, *NO_NUMBERS],
    "time_shift": [-1, 33, *NO_NUMBERS],
}


def test_the_registry_is_in_the_order_of_the_published_table():
    layers = range(1, MAX_LAYERS + 1)
    assert list(HYPERPARAMETERS) == [
        *(f"num_units{layer}" for layer in layers),
        *(f"dropout{layer}" for layer in layers),
        "filters", "blocks", "kernel", "dropout",
        "activation", "initializer", "optimizer", "learning_rate", "batch_size",
        "momentum", "nesterov", "weight_decay", "l2", "max_norm", "weight_limit", "input_noise",
        "label_smoothing", "mixup", "patience", "frequency_mask", "time_mask", "time_shift",
    ]  # fmt: skip
    assert all(name == axis.name for name, axis in HYPERPARAMETERS.items())


def test_only_shapes_and_the_batch_size_are_known_to_the_compiler():
    kinds = {axis.stem: axis.kind for axis in HYPERPARAMETERS.values()}
    assert {stem for stem, kind in kinds.items() if kind == "shape"} == {"num_units", "filters"}
    static = {stem for stem, kind in kinds.items() if kind == "static"}
    assert static == {"batch_size", "blocks", "kernel"}


def test_each_family_has_its_own_axes_and_those_of_training():
    own = {
        "mlp": {"num_units", "dropout", "input_noise"},
        "cnn": {
            "filters", "blocks", "kernel", "dropout", "frequency_mask", "time_mask", "time_shift",
        },
    }  # fmt: skip
    for family, other in (("mlp", "cnn"), ("cnn", "mlp")):
        found = set(hyperparameters_of(family)) - set(hyperparameters_of(other))
        assert {HYPERPARAMETERS[name].stem for name in found} == own[family]
        assert family_of([FAMILIES[family], "activation"]) == family


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_possible_values_are_returned_in_the_type_of_the_axis(name):
    axis = HYPERPARAMETERS[name]
    names = ("activation", "initializer", "optimizer")
    whole = (
        "num_units", "batch_size", "patience", "filters", "blocks", "kernel", "frequency_mask",
        "time_mask", "time_shift",
    )  # fmt: skip
    kinds = {"nesterov": bool} | dict.fromkeys(names, str) | dict.fromkeys(whole, int)
    for value in GOOD[axis.stem]:
        checked = axis.check(value, "here")
        assert checked == value
        assert type(checked) is kinds.get(axis.stem, float)


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_impossible_values_are_refused_with_the_place(name):
    axis = HYPERPARAMETERS[name]
    for value in BAD[axis.stem]:
        with pytest.raises(InputError) as error:
            axis.check(value, "the place")
        assert str(error.value).startswith("the place")
        assert "\n" not in str(error.value)


def test_defaults_are_possible_values():
    for axis in HYPERPARAMETERS.values():
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
        ("l2", 0.01): "l2-0.01",
        ("nesterov", True): "nes-true",
    }
    assert {(name, value): HYPERPARAMETERS[name].show(value) for name, value in shown} == shown


def test_only_numbers_of_layers_are_no_part_of_a_stem():
    stems = {HYPERPARAMETERS[name].stem for name in ("num_units1", "dropout6", "l2", "max_norm")}
    assert stems == {"num_units", "dropout", "l2", "max_norm"}


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_plain_values_are_no_part(name):
    axis = HYPERPARAMETERS[name]
    parts = [axis.part(value) for value in GOOD[axis.stem]]
    if axis.plain is None:
        assert set(parts) == {None}
    for value, part in zip(GOOD[axis.stem], parts, strict=True):
        if axis.plain is not None and value not in axis.plain:
            assert part == (value if isinstance(value, str) else name)
    if axis.default is not None:
        assert axis.part(axis.default) is None


def test_an_axis_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        HYPERPARAMETERS["dropout1"].default = 0.5
