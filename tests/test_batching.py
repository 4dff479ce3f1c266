import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_sweep

from gtzan_jax import batching
from gtzan_jax.batching import COSTS, MODES, Bucket, chunk_size, flops_of, plan
from gtzan_jax.model import MLP, apply_model
from gtzan_jax.space import load_sweep
from gtzan_jax.splits import Sizes

SIZES = Sizes(num_train=700, num_test=300, num_features=57, num_classes=10)
GROUPS = load_sweep("assignment").shape_groups()


def seconds(widths):
    return 1e-9 * flops_of(widths, SIZES, epochs=10)


def products(jaxpr):
    """Returns the floating-point operations of the matrix products in a traced function."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            inner = np.prod([left[axis] for axis in contracted])
            total += 2 * inner * np.prod(equation.outvars[0].aval.shape)
        for value in equation.params.values():  # of a function that is called
            total += products(value.jaxpr) if hasattr(value, "jaxpr") else 0
    return total


@pytest.mark.parametrize("widths", [(64, 64, 64), (128, 64, 32)])
def test_operations_are_those_of_the_traced_products(widths):
    model = MLP(widths, SIZES.num_classes)
    params = model.init(jax.random.key(0), jnp.ones((1, SIZES.num_features)), 0.0)["params"]

    def total(params, rows):
        return apply_model(model, params, jnp.ones((rows, SIZES.num_features)), 0.0).sum()

    train = jax.make_jaxpr(jax.grad(total), static_argnums=1)(params, SIZES.num_train)
    test = jax.make_jaxpr(total, static_argnums=1)(params, SIZES.num_test)
    expected = 3 * (products(train.jaxpr) + products(test.jaxpr))
    assert flops_of(widths, SIZES, epochs=3) == pytest.approx(expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("compile_s", [0.0, 1.0, 10.0, 1e6])
def test_every_config_is_in_one_bucket_wide_enough(mode, compile_s):
    buckets = plan(GROUPS, seconds, compile_s, mode)
    assert sorted(itertools.chain(*(b.config_ids for b in buckets))) == list(range(768))
    for widths, ids in buckets:
        shapes = [shape for shape, group in GROUPS.items() if set(group) & set(ids)]
        assert widths == tuple(np.max(shapes, axis=0))
        assert list(ids) == sorted(ids)


def test_modes_and_extremes():
    assert len(plan(GROUPS, seconds, 1.0, "shape")) == len(GROUPS) == 8
    assert [b.widths for b in plan(GROUPS, seconds, 1.0, "padded")] == [(128, 128, 128)]
    assert len(plan(GROUPS, seconds, 0.0)) == 8  # nothing to win: no zeros multiplied
    assert len(plan(GROUPS, seconds, 1e9)) == 1


def test_groups_share_a_program_where_that_is_cheaper():
    groups = {(8, 8, 8): [0, 1, 2], (16, 8, 8): [3]}
    zeros = 3 * (seconds((16, 8, 8)) - seconds((8, 8, 8)))
    merged = [Bucket((16, 8, 8), (0, 1, 2, 3))]
    apart = [Bucket((8, 8, 8), (0, 1, 2)), Bucket((16, 8, 8), (3,))]
    assert plan(groups, seconds, 1.001 * zeros) == merged
    assert plan(groups, seconds, 0.999 * zeros) == apart


def test_a_sweep_of_many_shapes_gets_few_programs():
    widths = list(range(3, 130, 7))
    sweep = make_sweep(axes={"num_units1": widths, "num_units2": widths, "optimizer": ["sgd"]})
    groups = sweep.shape_groups()
    assert len(groups) == 19**2
    assert len(plan(groups, seconds, 0.0)) <= batching._MOST_GROUPS


def test_a_chunk_of_wide_networks_is_smaller():
    costs = COSTS["gpu"]
    assert chunk_size((128, 128, 128), SIZES, costs) == costs.chunk
    wide = chunk_size((4096, 4096, 4096), SIZES, costs)
    assert 1 <= wide < costs.chunk
    assert wide * 5 * 4 * 2 * 4096**2 <= costs.memory
    assert chunk_size((8192, 8192, 8192), SIZES, COSTS["cpu"]) == 1
