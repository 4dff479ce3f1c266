import itertools
import shutil

import pytest
from conftest import make_sweep

from gtzan_jax.errors import InputError
from gtzan_jax.resources import resource
from gtzan_jax.space import HYPERPARAMETERS, Config, load_sweep, parse_sweep, sweep_names


def test_assignment_is_the_published_grid():
    sweep = load_sweep("assignment")
    configs = sweep.configs()
    assert len(configs) == sweep.num_configs == 768
    assert configs[0] == Config(64, 64, 64, 0.1, 0.1, 0.1, "relu", "glorot_uniform", "adam")
    # The last axis varies fastest, as in nested loops over the columns of the table.
    units, rates = (64, 128), (0.1, 0.2)
    loops = itertools.product(
        units, units, units, rates, rates, rates,
        ("relu", "leaky_relu"), ("glorot_uniform", "random_uniform"), ("adam", "sgd", "rmsprop"),
    )  # fmt: skip
    assert configs == [Config(*values) for values in loops]
    assert (sweep.epochs, sweep.batch_size, sweep.leaky_slope) == (10, 32, 0.2)
    assert len({config.name for config in configs}) == 768


def test_shape_groups_part_the_grid():
    sweep = load_sweep("assignment")
    groups = sweep.shape_groups()
    assert [len(ids) for ids in groups.values()] == [96] * 8
    assert sorted(itertools.chain(*groups.values())) == list(range(768))
    configs = sweep.configs()
    assert all(configs[i].shape == shape for shape, ids in groups.items() for i in ids)


@pytest.mark.parametrize("name", sweep_names())
def test_shipped_sweeps_are_valid(name):
    assert load_sweep(name).num_configs >= 12


def test_large_sweep_has_over_100_000_members():
    sweep = load_sweep("large")
    assert sweep.num_configs * sweep.num_seeds > 100_000


def test_overrides_lie_over_the_file():
    sweep = load_sweep(
        "assignment",
        ["epochs=3", "loss=softmax_twice", "axes.dropout1=[0.0, 0.5]", "learning_rates.sgd=0.1"],
    )
    assert sweep.epochs == 3
    assert sweep.loss == "softmax_twice"
    assert sweep.axes["dropout1"] == (0.0, 0.5)
    assert sweep.learning_rates == {"adam": 0.001, "sgd": 0.1, "rmsprop": 0.001}


def test_a_sweep_is_found_by_path(tmp_path):
    shutil.copy(resource("sweeps", "smoke.toml"), tmp_path / "mine.toml")
    assert load_sweep(str(tmp_path / "mine.toml")).name == "mine"


def test_to_dict_reads_back():
    sweep = make_sweep()
    document = sweep.to_dict()
    assert parse_sweep(document, document.pop("name"), "manifest") == sweep


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=3", "unknown key 'epoch' (did you mean 'epochs'?)"),
        ("epochs=0", "epochs must be a whole number from 1"),
        ("epochs=2.5", "epochs must be a whole number"),
        ("epochs=true", "epochs must be a whole number"),
        ("epochs", "write key=value"),
        ("batch_size=-1", "batch_size must be a whole number"),
        ("loss=cross_entrop", "did you mean 'cross_entropy'?"),
        ("leaky_slope=nan", "leaky_slope must be a number from 0 to 1"),
        ("learning_rates.adma=1.0", "unknown key 'adma' (did you mean 'adam'?)"),
        ("learning_rate.adam=1.0", "no table 'learning_rate' (did you mean 'learning_rates'?)"),
        ("learning_rates.adam=0.0", "learning_rates.adam must be a number from 1e-12"),
        ("learning_rates=3", "'learning_rates' must be a table"),
        ("axes.num_units1=[]", "list of at least one value"),
        ("axes.num_units1=64", "list of at least one value"),
        ("axes.num_units1=[0]", "num_units1 must be a whole number from 1 to 8,192"),
        ("axes.num_units1=[1000000000]", "num_units1 must be a whole number from 1 to 8,192"),
        ("axes.num_units1=[64, 64]", "holds a value twice"),
        ("axes.num_unit1=[64]", "unknown key 'num_unit1' (did you mean 'num_units1'?)"),
        ("axes.dropout1=[1.0]", "at most 0.99"),
        ("axes.dropout1=[nan]", "dropout1 must be a number from 0 to 1"),
        ("axes.optimizer=['adamw']", "no 'adamw' (did you mean 'adam'?)"),
        ("axes.activation=['gelu']", "it must be one of relu, leaky_relu"),
        ("axes.num_units1=" + str(list(range(1, 5001))), "1,920,000 configs"),
    ],
)  # fmt: skip
def test_impossible_values_are_refused(override, message):
    with pytest.raises(InputError) as error:
        load_sweep("assignment", [override])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_keys_are_named(tmp_path):
    (tmp_path / "half.toml").write_text("epochs = 3\n")
    with pytest.raises(InputError, match=r"half\.toml: 'axes' is missing"):
        load_sweep(str(tmp_path / "half.toml"))


def test_bad_toml_is_told_with_its_line(tmp_path):
    (tmp_path / "bad.toml").write_text("epochs = 3\nloss = = 1\n")
    with pytest.raises(InputError, match=r"bad\.toml: not valid TOML: .*line 2"):
        load_sweep(str(tmp_path / "bad.toml"))


def test_an_unknown_sweep_is_told_with_those_that_are():
    with pytest.raises(InputError, match=r"did you mean 'assignment'.*large, smoke"):
        load_sweep("asignment")


def test_hyperparameters_are_the_published_columns():
    published = "num_units1,num_units2,num_units3,dropout1,dropout2,dropout3,"
    published += "activation,initializer,optimizer"
    assert ",".join(HYPERPARAMETERS) == published
