import hashlib
import inspect
import itertools
import json
import shutil

import pytest
from conftest import make_document, make_sweep

from gtzan_jax.errors import InputError
from gtzan_jax.resources import resource
from gtzan_jax.space.config import Config
from gtzan_jax.space.hyperparameters import HYPERPARAMETERS
from gtzan_jax.space.sweep import SearchSettings
from gtzan_jax.space.sweep_file import load_sweep, parse_sweep, sweep_names
from gtzan_jax.tables.protocols import PROTOCOLS

ALL_LAYERS = {f"num_units{i}": [4, 5] for i in range(1, 7)} | {
    f"dropout{i}": [0.1] for i in range(1, 7)
}


def test_assignment_is_the_published_grid():
    sweep = load_sweep("assignment")
    assert len(sweep.configs) == sweep.num_configs == 768
    # The last axis varies fastest, as in nested loops over the columns of the table.
    columns = "num_units1 num_units2 num_units3 dropout1 dropout2 dropout3 activation"
    columns = [*columns.split(), "initializer", "optimizer"]
    units, rates = (64, 128), (0.1, 0.2)
    loops = itertools.product(
        units, units, units, rates, rates, rates,
        ("relu", "leaky_relu"), ("glorot_uniform", "random_uniform"), ("adam", "sgd", "rmsprop"),
    )  # fmt: skip
    expected = [Config.of(**dict(zip(columns, values, strict=True))) for values in loops]
    assert list(sweep.configs) == expected
    assert list(sweep.axes) == list(sweep.varying) == columns
    assert (sweep.epochs, sweep.batch_size, sweep.leaky_slope) == (10, 32, 0.2)
    assert (sweep.protocol, sweep.num_seeds) == ("assignment", 1)
    assert len({config.name for config in sweep.configs}) == len(sweep.places) == 768
    assert [sweep.places[config.id] for config in sweep.configs] == list(range(768))


@pytest.mark.parametrize("name", sweep_names())
def test_shipped_sweeps_are_valid(name):
    sweep = load_sweep(name)
    assert len(sweep.places) == sweep.num_configs >= 1


def test_large_sweep_has_over_100_000_trials():
    sweep = load_sweep("large")
    assert sweep.num_configs * sweep.num_seeds > 100_000


def test_overrides_lie_over_the_file():
    sweep = load_sweep(
        "assignment",
        ["epochs=3", "loss=softmax_twice", "axes.dropout1=[0.0, 0.5]", "learning_rates.sgd=0.1",
         "protocol=kfold", "num_folds=3", "axes.num_units4=[8]", "axes.batch_size=[16, 64]"],
    )  # fmt: skip
    assert (sweep.epochs, sweep.loss) == (3, "softmax_twice")
    assert sweep.axes["dropout1"] == (0.0, 0.5)
    assert sweep.learning_rates == {"adam": 0.001, "sgd": 0.1, "rmsprop": 0.001}
    assert (sweep.protocol, sweep.num_folds) == ("kfold", 3)
    assert sweep.configs[0].units == (64, 64, 64, 8)
    assert sweep.axes["batch_size"] == (16, 64)


def test_a_sweep_is_found_by_path(tmp_path):
    shutil.copy(resource("sweeps", "smoke.toml"), tmp_path / "mine.toml")
    assert load_sweep(str(tmp_path / "mine.toml")).name == "mine"


def test_axes_are_in_the_order_of_the_registry_whatever_the_file_says():
    document = make_document()
    document["axes"] = dict(reversed(document["axes"].items()))
    sweep = parse_sweep(document, "tiny", "test")
    assert list(sweep.axes) == [name for name in HYPERPARAMETERS if name in document["axes"]]
    assert sweep.configs == make_sweep().configs


def test_constants_stand_in_for_axes():
    sweep = make_sweep()
    for config in sweep.configs:
        rates = {"adam": 0.001, "sgd": 0.01, "rmsprop": 0.001}
        assert sweep.learning_rate_of(config) == rates[config["optimizer"]]
        assert sweep.slope_of(config) == (0.2 if config["activation"] == "leaky_relu" else 0.0)
        assert sweep.batch_size_of(config) == 32
    assert sweep.batch_size == 32
    assert list(sweep.varying) == ["num_units1", "activation", "optimizer"]


def test_learning_rate_and_batch_size_as_axes():
    sweep = make_sweep(
        batch_size=None, learning_rates=None,
        axes={"learning_rate": [0.1, 0.01], "batch_size": [8, 16]},
    )  # fmt: skip
    assert sweep.num_configs == 48
    for config in sweep.configs:
        assert sweep.learning_rate_of(config) == config["learning_rate"]
        assert sweep.batch_size_of(config) == config["batch_size"]
    assert sweep.axes["batch_size"] == (8, 16)
    assert (sweep.batch_size, sweep.learning_rates) == (None, {})


def test_a_constant_means_nothing_beside_its_axis():
    axes = {"learning_rate": [0.1], "batch_size": [8]}
    beside = make_sweep(axes=axes).to_dict()
    assert beside == make_sweep(axes=axes, batch_size=None, learning_rates=None).to_dict()


def test_one_axis_is_a_sweep():
    document = make_document(learning_rates={"adam": 0.5})
    sweep = parse_sweep(document | {"axes": {"num_units1": [4, 2]}}, "small", "test")
    assert [dict(config) for config in sweep.configs] == [{"num_units1": 4}, {"num_units1": 2}]
    assert sweep.learning_rate_of(sweep.configs[0]) == 0.5  # Adam is the default
    assert sweep.slope_of(sweep.configs[0]) == 0.0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"axes": {"num_units2": None, "num_units3": None, "dropout2": None, "dropout3": None}},
        {"axes": ALL_LAYERS, "loss": "softmax_twice", "num_seeds": 3},
        {"axes": {"learning_rate": [0.1, 1e-5]}, "learning_rates": None},
        {"axes": {"batch_size": [8, 64]}, "batch_size": None},
        {"axes": {"optimizer": None}, "protocol": "kfold", "num_folds": 7},
    ],
)
def test_to_dict_reads_back(changes):
    sweep = make_sweep(**changes)
    document = json.loads(json.dumps(sweep.to_dict()))
    again = parse_sweep(document, document.pop("name"), "manifest")
    assert again.to_dict() == sweep.to_dict()
    assert again.configs == sweep.configs


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs=0", "epochs must be a whole number from 1"),
        ("epochs=2.5", "epochs must be a whole number"),
        ("batch_size=-1", "batch_size must be a whole number"),
        ("num_seeds=0", "num_seeds must be a whole number from 1"),
        ("num_folds=1", "num_folds must be a whole number from 2 to 1,000"),
        ("leaky_slope=nan", "leaky_slope must be a number from 0 to 1"),
        ("learning_rates.adma=1.0", "unknown key 'adma' (did you mean 'adam'?)"),
        ("learning_rate.adam=1.0", "no table 'learning_rate' (did you mean 'learning_rates'?)"),
        ("learning_rates=3", "'learning_rates' must be a table"),
        ("axes=3", "'axes' must be a table"),
        ("axes.num_units1=[0]", "num_units1 must be a whole number from 1 to 8,192"),
        ("axes.num_unit1=[64]", "unknown key 'num_unit1' (did you mean 'num_units1'?)"),
        ("axes.num_units7=[64]", "unknown key 'num_units7'"),
        ("axes.num_units5=[64]", "axes.num_units5 needs axes.num_units4, which is missing"),
        ("axes.dropout1=[nan]", "dropout1 must be a number from 0 to 1"),
        ("axes.activation=['selu']", "choose one of relu, leaky_relu"),
        ("axes.nesterov=[1]", "axes.nesterov must be true or false, not 1"),
        ("axes.nesterov=[true]", "axes.nesterov needs axes.momentum, with a value above 0"),
        ("axes.mixup=[-0.1]", "axes.mixup must be a number from 0 to 100"),
        ("axes.label_smoothing=[1.0]", "axes.label_smoothing must be at most 0.99"),
        ("axes.learning_rate=[0.0]", "axes.learning_rate must be a number from 1e-12"),
        ("axes.batch_size=[0]", "axes.batch_size must be a whole number from 1"),
        ("axes.num_units1=" + str(list(range(1, 5001))), "1,920,000 configs"),
    ],
)  # fmt: skip
def test_impossible_values_are_refused(override, message):
    with pytest.raises(InputError) as error:
        load_sweep("assignment", [override])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_axes_of_sgd_are_refused_without_it(name):
    axes = {"momentum": [0.0, 0.9], "nesterov": [False, True]}
    drawn = {"momentum": {"low": 0.0, "high": 0.9}, "optimizer": ["adam"]}
    with pytest.raises(InputError, match=r"axes\.momentum is for SGD only"):
        make_sweep(axes=drawn, search={"kind": "random", "num_configs": 3})
    for optimizers in (["adam", "lion"], None):
        message = f"axes.{name} is for SGD only; add 'sgd' to axes.optimizer"
        with pytest.raises(InputError, match=message):
            make_sweep(
                axes={name: axes[name], "optimizer": optimizers},
                learning_rates={"adam": 0.1, "lion": 0.1},
            )
    assert make_sweep(axes=axes).num_configs == 48
    off = make_sweep(axes={name: axes[name][:1], "optimizer": ["adam"]})
    assert off.parts == frozenset()


def test_parts_are_what_configs_and_reference_take_beyond_the_plain_network():
    assert make_sweep().parts == frozenset()
    axes = {"activation": ["relu", "gelu"], "l2": [0.0, 0.1], "mixup": [0.0], "dropout1": [0.3]}
    axes |= {"initializer": ["he_uniform", "he_normal"], "momentum": [0.9], "nesterov": [True]}
    expected = {"gelu", "l2", "he_normal", "nesterov"}
    assert make_sweep(axes=axes).parts == expected
    reference = {"num_units1": 8, "optimizer": "lion", "mixup": 0.2, "activation": "relu"}
    assert make_sweep(axes=axes, reference=reference).parts == expected | {"lion", "mixup"}
    drawn = axes | {"max_norm": {"low": 0.0, "high": 3.0}, "dropout1": {"low": 0.1, "high": 0.5}}
    random = {"kind": "random", "num_configs": 3}
    assert make_sweep(axes=drawn, search=random).parts == expected | {"max_norm"}


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"optimizer": ["adamw"]}, 0.004),  # Keras's
        ({"optimizer": ["adam"]}, 0.0),
        ({"optimizer": ["adamw"], "weight_decay": [0.0]}, 0.0),
        ({"optimizer": ["sgd"], "weight_decay": [0.1]}, 0.1),
    ],
)
def test_weight_decay_is_the_axis_or_kerass(axes, expected):
    sweep = make_sweep(axes=axes, learning_rates=dict.fromkeys(("adam", "adamw", "sgd"), 0.1))
    assert {sweep.weight_decay_of(config) for config in sweep.configs} == {expected}


def test_a_key_given_twice_is_refused():
    with pytest.raises(InputError, match="gives 'epochs' more than once"):
        load_sweep("assignment", ["epochs=3", "epochs = 4"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": {"num_units1": None}}, r"\[axes\]: 'num_units1' is missing"),
        ({"axes": {"num_units2": None}}, r"num_units3 needs axes\.num_units2, which is missing"),
        ({"axes": {"num_units3": None}}, r"dropout3 needs axes\.num_units3, which is missing"),
    ],
)
def test_what_is_missing_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        make_sweep(**changes)


MINIMAL = """
[axes]
num_units1 = [64, 128]
optimizer = ["adam", "sgd", "rmsprop", "adamw", "nadam", "lion"]
"""


def test_three_lines_are_a_sweep_with_the_defaults_of_keras(tmp_path):
    import keras

    (tmp_path / "mine.toml").write_text(MINIMAL)
    sweep = load_sweep(str(tmp_path / "mine.toml"))
    assert sweep.num_configs == 12
    assert sweep.batch_size == 32  # so says the page on Model.fit
    slope = inspect.signature(keras.activations.leaky_relu).parameters["negative_slope"]
    assert sweep.leaky_slope == slope.default
    for name, rate in sweep.learning_rates.items():
        optimizer = {"rmsprop": "RMSprop", "sgd": "SGD", "adamw": "AdamW"}.get(name, name.title())
        parameters = inspect.signature(getattr(keras.optimizers, optimizer)).parameters
        assert rate == parameters["learning_rate"].default
    assert len(sweep.learning_rates) == 6
    assert (sweep.epochs, sweep.loss) == (10, "cross_entropy")
    assert (sweep.protocol, sweep.num_seeds, sweep.num_folds) == ("assignment", 1, 5)


# Of json.dumps([sweep.to_dict(), ids of its configs]), by the version before there were defaults.
DIGESTS = {
    "assignment": "9d827fc1afbcd7d9", "baselines": "d16466064379da7f",
    "segments": "a634bd969535af08", "cnn": "3d4497fe673cd6cc", "cnn_smoke": "557351d68637a283",
    "halving": "e378db5d9b26c28c", "large": "7bf6fd85e87a25d0", "overfitting": "2a7c91da0a8d544f",
    "published_best": "6502c82ec481e8cd", "random": "b95500313a057da8",
    "smoke": "6f65a3705466cdbd",
}  # fmt: skip


@pytest.mark.parametrize("name", DIGESTS)
def test_the_identity_of_a_shipped_sweep_stays(name):
    sweep = load_sweep(name)
    text = json.dumps([sweep.to_dict(), [config.id for config in sweep.configs]])
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[name]


SHORT = {
    "optimizer=adam,sgd": ['axes.optimizer=["adam", "sgd"]'],
    "optimizer=lion": ['axes.optimizer=["lion"]'],
    "num_units1=64,128": ["axes.num_units1=[64, 128]"],
    "num_units=8, 16": [f"axes.num_units{layer}=[8, 16]" for layer in (1, 2, 3)],
    "dropout=0,0.3": [f"axes.dropout{layer}=[0, 0.3]" for layer in (1, 2, 3)],
    "dropout=[0.1, 0.3]": [f"axes.dropout{layer}=[0.1, 0.3]" for layer in (1, 2, 3)],
    "learning_rate=1e-3,0.01": ["axes.learning_rate=[0.001, 0.01]"],
    "nesterov=false": ["axes.nesterov=[false]"],
    "l2=0.0,0.1": ["axes.l2=[0.0, 0.1]"],
    "batch_size=16,64": ["axes.batch_size=[16, 64]"],
}


@pytest.mark.parametrize(("short", "long"), SHORT.items(), ids=SHORT)
def test_a_short_name_means_the_axis(short, long):
    assert load_sweep("smoke", [short]).to_dict() == load_sweep("smoke", long).to_dict()


def test_short_names_go_by_the_layers_and_the_kind_of_model():
    more = load_sweep("smoke", ["dropout=0.4", "num_units4=8", "optimizer=sgd"])
    assert [more.axes[f"dropout{layer}"] for layer in range(1, 5)] == [(0.4,)] * 4
    cnn = load_sweep("cnn", ["dropout=0.4"])
    assert cnn.axes["dropout"] == (0.4,)
    assert not any(name.startswith("dropout") and name != "dropout" for name in cnn.axes)
    drawn = load_sweep("random", ["num_units={low = 8, high = 16}"])
    assert {str(drawn.ranges[f"num_units{layer}"]) for layer in (1, 2)} == {"8 to 16"}


def test_a_batch_size_is_an_axis_where_there_are_several_or_was_one():
    one = load_sweep("smoke", ["batch_size=16"])
    assert (one.batch_size, "batch_size" in one.axes) == (16, False)
    assert load_sweep("halving", ["batch_size=16"]).axes["batch_size"] == (16,)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_number_of_folds_counts_only_where_the_protocol_has_a_choice(protocol):
    three, seven = (make_sweep(protocol=protocol, num_folds=count) for count in (3, 7))
    assert (three.to_dict() == seven.to_dict()) == (protocol != "kfold")


def test_the_search_of_a_file_can_be_laid_over():
    halving = load_sweep("halving").search
    assert (halving.kind, halving.num_configs, halving.eta) == ("halving", None, 3)
    # Another kind takes what it does not have out of the file, whatever the order.
    drawn = load_sweep("halving", ["search.num_configs=5", "search.kind=random"])
    assert drawn.search == SearchSettings("random", 5)
    assert drawn.num_configs == 5
    assert load_sweep("halving", ["search.kind=grid"]).num_configs == 2592
    ours = load_sweep("assignment", ["search.kind=random", "search.num_configs=9"])
    assert ours.num_configs == 9
    with pytest.raises(InputError, match="eta does not apply to the search 'random'"):
        load_sweep("random", ["search.eta=2"])


@pytest.mark.parametrize("name", ["random", "halving"])
def test_a_manifest_gives_the_same_draws(name):
    sweep = load_sweep(name, ["search.num_configs=20"])
    document = sweep.to_dict()
    again = parse_sweep(document, document.pop("name"), "manifest")
    assert again.configs == sweep.configs
    assert len(again.configs) == 20
    assert again.to_dict() == sweep.to_dict()
