import itertools

import numpy as np
import pytest
from conftest import make_sweep

from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.space.config import Config, Trial
from gtzan_jax.space.optuna_search import widest_configs
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.folds import Sizes
from gtzan_jax.trainer import plan
from gtzan_jax.trainer.plan import (
    MODES,
    Bucket,
    Plan,
    even_tasks,
    make_buckets,
    rounded_up,
    widest,
)

FAMILY = MlpFamily()
SIZES = Sizes(num_train=700, num_eval=300, num_features=57, num_classes=10)


def groups(sweep):
    """Returns the places of configs, as a plan groups them, by batch size and structure."""
    return {b[:2]: b.places for b in Plan(sweep, FAMILY, SIZES, mode="shape").buckets}


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
    buckets = make_buckets(given, FAMILY, seconds, compile_s, mode)
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
    assert len(make_buckets(ASSIGNMENT, FAMILY, seconds, 1.0, "shape")) == len(ASSIGNMENT) == 8
    [padded] = make_buckets(ASSIGNMENT, FAMILY, seconds, 1.0, "padded")
    assert padded.structure == (128, 128, 128)
    assert (
        len(make_buckets(ASSIGNMENT, FAMILY, seconds, 0.0)) == 8
    )  # nothing to win: no zeros multiplied
    assert len(make_buckets(ASSIGNMENT, FAMILY, seconds, 1e9)) == 1


def test_a_program_has_one_batch_size():
    for mode, count in (("padded", 2), ("shape", 4), ("auto", 2)):
        buckets = make_buckets(groups(TWO_SIZES), FAMILY, seconds, 1e9, mode)
        assert sorted(bucket.batch_size for bucket in buckets) == sorted([16, 32] * (count // 2))


def test_groups_share_a_program_where_that_is_cheaper():
    given = {(32, (8, 8, 8)): [0, 1, 2], (32, (16, 8, 8)): [3]}
    zeros = 3 * (seconds((16, 8, 8)) - seconds((8, 8, 8)))
    merged = [Bucket(32, (16, 8, 8), (0, 1, 2, 3))]
    apart = [Bucket(32, (8, 8, 8), (0, 1, 2)), Bucket(32, (16, 8, 8), (3,))]
    assert make_buckets(given, FAMILY, seconds, 1.001 * zeros) == merged
    assert make_buckets(given, FAMILY, seconds, 0.999 * zeros) == apart


def test_a_sweep_of_many_structures_gets_few_programs():
    widths = list(range(3, 130, 7))
    sweep = make_sweep(axes={"num_units1": widths, "num_units2": widths, "optimizer": ["sgd"]})
    given = groups(sweep)
    assert len(given) == 19**2
    assert len(make_buckets(given, FAMILY, seconds, 0.0)) <= plan._MOST_GROUPS


def test_a_task_of_wide_networks_is_smaller():
    def size(width, platform):
        axes = {f"num_units{layer}": [width] for layer in (1, 2, 3)}
        axes |= {"optimizer": ["sgd"], "learning_rate": [i / 1000 for i in range(1, 501)]}
        sweep = make_sweep(learning_rates=None, axes=axes)
        return max(task.size for task in Plan(sweep, FAMILY, SIZES, platform=platform).tasks(
            [Trial(config.id, 0, 0) for config in sweep.configs]))  # fmt: skip

    costs = plan.COSTS["gpu"]
    assert size(128, "gpu") == 500  # two tasks, of no more than 768
    each = FAMILY.trial_bytes((4096, 4096, 4096), SIZES, 32)
    # Weights, two moments, gradients and new weights, of four bytes each.
    assert each == 5 * 4 * (57 * 4096 + 2 * 4096**2 + 4096 * 10)
    assert 1 <= size(4096, "gpu") <= costs.memory / each
    assert size(8192, "cpu") == 1


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


def test_a_config_that_comes_later_is_in_the_narrowest_bucket_that_is_wide_enough():
    def config(batch_size, *units):
        return Config.of(
            **{f"num_units{i}": width for i, width in enumerate(units, 1)}, batch_size=batch_size
        )

    given = [config(32, 16, 16), config(32, 12, 9), config(16, 9, 9), config(32, 9, 9, 9)]
    found = Plan(TWO_SIZES, FAMILY, SIZES, configs=given, mode="shape")
    later = {config(32, 9, 9): 1, config(32, 13, 9): 0, config(16, 8, 9): 2}
    found.admit(list(later))
    assert [found.bucket_of[each.id] for each in later] == list(later.values())
    for other in (config(16, 9, 10), config(32, 9, 9, 10), config(32, 9)):
        with pytest.raises(ValueError, match="no bucket fits structure"):
            found.admit([other])


def test_widths_and_multiples():
    assert widest([(8, 3), (5, 9), (1, 1)]) == (8, 9)
    assert [rounded_up(n, 4) for n in (1, 4, 5)] == [4, 4, 8]


@pytest.mark.parametrize(
    ("rows", "sizes"), [(700, {5}), (150_000, {5}), (600_000, {2}), (10_000_000, {1})]
)
def test_networks_with_random_numbers_of_their_own_are_few_where_these_are_many(rows, sizes):
    """A gigabyte of an epoch's: 2 bytes for each of 384 units and row."""
    sweep = load_sweep("assignment")
    made = Plan(sweep, FAMILY, SIZES._replace(num_train=rows), mode="padded")
    trials = [Trial(sweep.configs[0].id, 0, seed) for seed in range(10)]
    tasks = made.repeats(trials, 3)
    assert {len(task.trials) for task in tasks} == sizes
    assert [trial for task in tasks for trial in task.trials] == trials


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({}, True),
        ({"num_runs": 3}, False),  # drawing by trial would take longer than compiling
        ({"platform": "gpu"}, False),  # tasks of 768 would have gigabytes
        ({"sizes": SIZES._replace(num_train=7000)}, False),
    ],
    ids=str,
)
def test_a_retraining_compiles_nothing_where_the_sweeps_programs_draw_by_trial(changes, own):
    sweep = load_sweep("assignment")
    made = Plan(sweep, FAMILY, **{"sizes": SIZES, **changes})
    config = sweep.configs[0]
    programs = {
        task.program for task in made.tasks([Trial(each.id, 0, 0) for each in sweep.configs])
    }
    assert {program.own_seeds for program in programs} == {own}
    for seeds in (range(10), range(1)):
        repeats = made.repeats([Trial(config.id, 0, seed) for seed in seeds], 50)
        assert ({task.program for task in repeats} <= programs) == own
        assert {task.size >= len(task.trials) for task in repeats} == {True}
    # One config has a program of one trial: ten networks need another.
    alone = Plan(sweep, FAMILY, **{"sizes": SIZES, "configs": [config], **changes})
    [size] = {task.size for task in alone.repeats([Trial(config.id, 0, s) for s in range(10)], 50)}
    assert size == {"cpu": 5, "gpu": 10}[alone.platform]


@pytest.mark.parametrize("options", [{"task_size": 1}, {"platform": "gpu", "task_size": 1}])
def test_trials_that_train_singly_are_retrained_by_the_sweeps_program(options):
    sweep = load_sweep("assignment")
    made = Plan(sweep, FAMILY, SIZES, **options)
    tasks = made.tasks([Trial(config.id, 0, 0) for config in sweep.configs])
    repeats = made.repeats([Trial(sweep.configs[0].id, 0, seed) for seed in range(10)], 50)
    assert {task.program for task in repeats} <= {task.program for task in tasks}


def test_two_configs_alone_are_retrained_by_a_program_that_holds_more():
    """As where a finished sweep is retrained later."""
    sweep = load_sweep("assignment")
    made = Plan(sweep, FAMILY, SIZES, configs=[sweep.configs[0], sweep.configs[-1]])
    ids = [config.id for config in made.configs]
    repeats = made.repeats([Trial(i, 0, seed) for i in ids for seed in range(10)], 50)
    assert [len(task.trials) for task in repeats] == [7, 7, 6]
    assert {task.size for task in repeats} == {7}


@pytest.mark.parametrize(("num_configs", "own"), [(100, True), (5000, False)])
def test_a_long_search_shares_random_numbers(num_configs, own):
    """Its plan has one config of those that it will try."""
    search = {"kind": "tpe", "num_configs": num_configs, "batch": 8}
    axes = {"num_units1": {"low": 64, "high": 128}, "num_units2": [128]}
    sweep = make_sweep(axes=axes, search=search, protocol="holdout", epochs=10)
    made = Plan(sweep, FAMILY, SIZES, configs=widest_configs(sweep))
    assert {task.own_seeds for task in made.tasks([Trial(made.configs[0].id, 0, 0)])} == {own}


def test_configs_of_a_bucket_are_repeated_together_the_first_ones_first():
    sweep = load_sweep("assignment")
    made = Plan(sweep, FAMILY, SIZES)
    first, *others = made.buckets[0].places
    ids = [sweep.configs[place].id for place in (first, others[-1], made.buckets[1].places[0])]
    trials = [Trial(config_id, 0, seed) for config_id in ids for seed in range(10)]
    tasks = made.repeats(trials, 50)
    assert [(task.bucket, len(task.trials)) for task in tasks] == [
        (0, 7), (0, 7), (0, 6), (1, 5), (1, 5)
    ]  # fmt: skip
    assert [trial for task in tasks for trial in task.trials] == trials


@pytest.mark.parametrize(
    ("num_runs", "programs"), [(1, 2), (2, 4), (3, 6), (5, 6), (6, 8), (10, 8), (100, 8)]
)
def test_the_longer_a_sweep_the_more_programs_pay(num_runs, programs):
    made = Plan(load_sweep("assignment"), FAMILY, SIZES, num_runs)
    assert len(made.buckets) == programs
