import itertools

import numpy as np
import pytest
from conftest import make_sweep

from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.folds import Sizes
from gtzan_jax.trainer import planner
from gtzan_jax.trainer.planner import (
    COSTS,
    MODES,
    Bucket,
    even_tasks,
    groups_of,
    narrowest,
    plan,
    rounded_up,
    task_size,
    widest,
)

FAMILY = MlpFamily()
SIZES = Sizes(num_train=700, num_eval=300, num_features=57, num_classes=10)


def groups(sweep):
    return groups_of(sweep.configs, sweep, FAMILY)


ASSIGNMENT = groups(load_sweep("assignment"))
TWO_SIZES = make_sweep(batch_size=None, axes={"batch_size": [16, 32]})


def seconds(structure):
    return 1e-8 * FAMILY.flops(structure, SIZES)


def test_configs_are_grouped_by_batch_size_and_structure():
    assert [len(places) for places in ASSIGNMENT.values()] == [96] * 8
    for sweep in (load_sweep("assignment"), TWO_SIZES):
        found = groups(sweep)
        assert sorted(itertools.chain(*found.values())) == list(range(sweep.num_configs))
        for (batch_size, structure), places in found.items():
            for place in places:
                assert sweep.configs[place].units == structure
                assert sweep.batch_size_of(sweep.configs[place]) == batch_size
    assert list(groups(TWO_SIZES)) == [
        (16, (8, 6, 5)), (32, (8, 6, 5)), (16, (12, 6, 5)), (32, (12, 6, 5)),
    ]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("compile_s", [0.0, 1.0, 10.0, 1e6])
@pytest.mark.parametrize("given", [ASSIGNMENT, groups(TWO_SIZES)], ids=["assignment", "two sizes"])
def test_every_config_is_in_one_bucket_wide_enough(given, mode, compile_s):
    buckets = plan(given, FAMILY, seconds, compile_s, mode)
    places = [place for bucket in buckets for place in bucket.places]
    assert sorted(places) == sorted(itertools.chain(*given.values()))
    for bucket in buckets:
        keys = [key for key, group in given.items() if set(group) & set(bucket.places)]
        assert bucket.structure == tuple(np.max([structure for _, structure in keys], axis=0))
        assert {size for size, _ in keys} == {bucket.batch_size}
        assert list(bucket.places) == sorted(bucket.places)
    firsts = [bucket.places[0] for bucket in buckets]
    assert firsts == sorted(firsts)


def test_modes_and_extremes():
    assert len(plan(ASSIGNMENT, FAMILY, seconds, 1.0, "shape")) == len(ASSIGNMENT) == 8
    [padded] = plan(ASSIGNMENT, FAMILY, seconds, 1.0, "padded")
    assert padded.structure == (128, 128, 128)
    assert len(plan(ASSIGNMENT, FAMILY, seconds, 0.0)) == 8  # nothing to win: no zeros multiplied
    assert len(plan(ASSIGNMENT, FAMILY, seconds, 1e9)) == 1


def test_a_program_has_one_batch_size():
    for mode, count in (("padded", 2), ("shape", 4), ("auto", 2)):
        buckets = plan(groups(TWO_SIZES), FAMILY, seconds, 1e9, mode)
        assert sorted(bucket.batch_size for bucket in buckets) == sorted([16, 32] * (count // 2))


def test_groups_share_a_program_where_that_is_cheaper():
    given = {(32, (8, 8, 8)): [0, 1, 2], (32, (16, 8, 8)): [3]}
    zeros = 3 * (seconds((16, 8, 8)) - seconds((8, 8, 8)))
    merged = [Bucket(32, (16, 8, 8), (0, 1, 2, 3))]
    apart = [Bucket(32, (8, 8, 8), (0, 1, 2)), Bucket(32, (16, 8, 8), (3,))]
    assert plan(given, FAMILY, seconds, 1.001 * zeros) == merged
    assert plan(given, FAMILY, seconds, 0.999 * zeros) == apart


def test_a_sweep_of_many_structures_gets_few_programs():
    widths = list(range(3, 130, 7))
    sweep = make_sweep(axes={"num_units1": widths, "num_units2": widths, "optimizer": ["sgd"]})
    given = groups(sweep)
    assert len(given) == 19**2
    assert len(plan(given, FAMILY, seconds, 0.0)) <= planner._MOST_GROUPS


def test_a_task_of_wide_networks_is_smaller():
    costs = COSTS["gpu"]
    assert task_size(FAMILY.trial_bytes((128, 128, 128), SIZES, 32), costs) == costs.trials
    each = FAMILY.trial_bytes((4096, 4096, 4096), SIZES, 32)
    # Weights, two moments, gradients and new weights, of four bytes each.
    assert each == 5 * 4 * (57 * 4096 + 2 * 4096**2 + 4096 * 10)
    wide = task_size(each, costs)
    assert 1 <= wide < costs.trials
    assert wide * each <= costs.memory < (wide + 1) * each
    assert task_size(FAMILY.trial_bytes((8192, 8192, 8192), SIZES, 32), COSTS["cpu"]) == 1


@pytest.mark.parametrize("count", [1, 2, 7, 96, 97])
@pytest.mark.parametrize("most", [1, 2, 16, 1000])
@pytest.mark.parametrize("multiple", [1, 2, 4])
def test_tasks_are_even_and_complete(count, most, multiple):
    places = range(100, 100 + count)
    tasks = even_tasks(places, most, multiple)
    assert [place for task in tasks for place in task] == list(places)
    sizes = [len(task) for task in tasks]
    assert max(sizes) <= max(most, multiple) + multiple - 1
    assert max(sizes[:-1], default=0) % multiple == 0


def test_the_narrowest_bucket_that_is_wide_enough_is_taken():
    structures = [(32, (16, 16)), (32, (12, 9)), (16, (9, 9)), (32, (9, 9, 9))]
    buckets = [Bucket(size, widths, (place,)) for place, (size, widths) in enumerate(structures)]
    assert narrowest(buckets, FAMILY, 32, (9, 9)) == buckets[1]
    assert narrowest(buckets, FAMILY, 32, (13, 9)) == buckets[0]
    assert narrowest(buckets, FAMILY, 16, (9, 9)) == buckets[2]
    for size, widths in ((16, (9, 10)), (32, (9, 9, 10)), (32, (9,))):
        with pytest.raises(ValueError, match="no bucket is wide enough"):
            narrowest(buckets, FAMILY, size, widths)


def test_widths_and_multiples():
    assert widest([(8, 3), (5, 9), (1, 1)]) == (8, 9)
    assert [rounded_up(n, 4) for n in (1, 4, 5)] == [4, 4, 8]
