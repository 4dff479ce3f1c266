import dataclasses

import jax
import numpy as np
import numpy_mlp
import pytest
from conftest import make_arrays, make_fold, make_sweep, make_table
from scipy.special import log_softmax

from gtzan_jax.errors import InputError
from gtzan_jax.inference.network import Network
from gtzan_jax.metrics import METRICS
from gtzan_jax.models.layers import unpadded
from gtzan_jax.models.mlp import MlpFamily, initial_scales
from gtzan_jax.rundir.history import trials_of
from gtzan_jax.space.config import Config, Trial
from gtzan_jax.space.sweep import SearchSettings
from gtzan_jax.tables.folds import Sizes, sizes_of
from gtzan_jax.tables.protocols import make_splits
from gtzan_jax.trainer import drawing, programs
from gtzan_jax.trainer.drawing import everywhere
from gtzan_jax.trainer.engine import Engine
from gtzan_jax.trainer.programs import Program
from gtzan_jax.trainer.task import ProgramKey

FAMILY = MlpFamily()
TABLE = make_table(num_features=9)
ROWS = np.random.default_rng(0).permutation(100)
# Two folds of different sizes that share rows: one is padded in every array.
WHOLE = make_fold(ROWS[:70], ROWS[70:80], ROWS[80:])
SMALL = make_fold(ROWS[50:90], ROWS[:5], ROWS[5:15])
SIZES = sizes_of(TABLE, [WHOLE, SMALL])
FOLDS = make_arrays(TABLE, WHOLE, SMALL)


def run(sweep, trials=None, folds=FOLDS, sizes=SIZES, **options):
    """Returns histories (epochs, metrics) by trial from a run of the engine."""
    with Engine(sweep, FAMILY, sizes, **options) as engine:
        tasks = engine.plan.tasks(trials_of(sweep, 2, [7]) if trials is None else trials)
        return {
            trial: history
            for trained in engine.run(tasks, folds)
            for trial, history in zip(trained.task.trials, trained.history, strict=True)
        }


def assert_equal(got, expected, rtol=1e-5):
    assert got
    for trial, history in got.items():
        np.testing.assert_allclose(history, expected[trial], rtol=rtol, err_msg=str(trial))


def twin(config, sweep, **values):
    """Returns the config of another sweep that differs in some values; None takes one out."""
    changed = {k: v for k, v in {**config, **values}.items() if v is not None}
    [same] = [c for c in sweep.configs if dict(c) == changed]
    return same


@pytest.fixture(scope="module")
def sweep():
    return make_sweep(epochs=3)


@pytest.fixture(scope="module")
def together(sweep):
    return run(sweep, trials_of(sweep, 2, [0, 7]))


def test_every_trial_has_figures_of_every_epoch(sweep, together):
    assert sorted(together) == sorted(trials_of(sweep, 2, [0, 7]))
    for history in together.values():
        assert (history.shape, history.dtype) == ((3, len(METRICS)), np.float32)
        assert (history[:, [METRICS.index(f"{p}_loss") for p in ("train", "validation", "test")]]
                > 0.1).all()  # fmt: skip


# Law 1: a trial's numbers do not depend on its company.


@pytest.mark.parametrize(("task_size", "num_devices"), [(1, 1), (5, 1), (3, 2), (100, 2)])
def test_numbers_do_not_depend_on_tasks_or_devices(sweep, together, task_size, num_devices):
    devices = jax.devices()[:num_devices]
    assert len(devices) == num_devices
    assert_equal(run(sweep, task_size=task_size, devices=devices), together)


@pytest.mark.parametrize("mode", ["shape", "padded"])
def test_numbers_do_not_depend_on_the_padding(sweep, together, mode):
    assert_equal(run(sweep, mode=mode), together)


def test_numbers_do_not_depend_on_the_epochs_of_a_call(sweep, together, monkeypatch):
    monkeypatch.setattr(drawing, "_EPOCHS", 2)  # two calls, of two epochs and of one
    assert_equal(run(sweep), together)


def test_numbers_do_not_depend_on_other_configs_or_wider_ones(together):
    axes = {"num_units1": [12, 90], "num_units2": [6, 7], "optimizer": ["rmsprop", "adam"]}
    other = run(make_sweep(epochs=3, axes=axes))
    common = {trial: history for trial, history in other.items() if trial in together}
    assert len(common) == 8
    assert_equal(common, together)


def test_numbers_do_not_depend_on_other_folds(sweep, together):
    # Only the small fold, first and alone, in arrays that fit it.
    [alone] = make_arrays(TABLE, SMALL)
    trials = [Trial(config.id, 0, 7) for config in sweep.configs]
    sizes = sizes_of(TABLE, [SMALL])
    assert (sizes.num_train, sizes.num_eval) < (SIZES.num_train, SIZES.num_eval)
    # A fold's name, its number, is part of the keys of its initial weights.
    trials = [trial._replace(fold=1) for trial in trials]
    assert_equal(run(sweep, trials, [None, alone], sizes), together)


@pytest.mark.slow
def test_numbers_do_not_depend_on_other_batch_sizes_and_learning_rates(sweep, together):
    axes = {"batch_size": [16, 32], "learning_rate": [0.001, 0.25], "optimizer": ["adam"]}
    other = make_sweep(epochs=3, batch_size=None, learning_rates=None, axes=axes)
    wanted = {
        twin(config, other, batch_size=32, learning_rate=0.001).id: config.id
        for config in sweep.configs
        if config["optimizer"] == "adam"
    }
    got = run(other)
    assert len(got) == 32
    same = {m._replace(config_id=wanted[m.config_id]): got[m] for m in got if m.config_id in wanted}
    assert len(same) == 8
    assert_equal(same, together)
    # And the others are others.
    finals = np.array([history[-1, 0] for history in got.values()])
    assert len(np.unique(finals)) == 32


def real_sweep(epochs):
    """Returns a sweep of 4 structures × 3 optimizers, the published best one's among them."""
    axes = {"num_units1": [64, 128], "num_units2": [128], "num_units3": [64, 128]}
    axes |= {"dropout1": [0.1], "dropout2": [0.2], "dropout3": [0.1], "activation": ["leaky_relu"]}
    return make_sweep(epochs=epochs, axes=axes)


@pytest.fixture(scope="module")
def real_splits():
    """700 × 57 to train on, 22 steps an epoch, the last of 28 rows; 300 to test on."""
    return make_splits(make_table(num_tracks=1000, num_genres=10), "assignment", 0, 1)


def alone_and_in_company(splits, epochs, expect):
    """Trains 128-128-64 alone, and among wider and narrower ones, one device each.

    Returns:
      (optimizers, epochs, metrics) alone, in company, and what ``expect`` makes of engine and
      trials.
    """
    sweep, options = real_sweep(epochs), {"devices": jax.devices()[:1]}
    trials = [Trial(c.id, 0, 3) for c in sweep.configs if c.units == (128, 128, 64)]
    alone = []
    for trial in trials:
        configs = [config for config in sweep.configs if config.id == trial.config_id]
        with Engine(sweep, FAMILY, splits.sizes, configs=configs, **options) as engine:
            [trained] = engine.run(engine.plan.tasks([trial]), splits.arrays)
            alone += [trained.history[0]]
            assert trained.history.shape[0] == 1
    options |= {"mode": "padded", "task_size": 12}
    with Engine(sweep, FAMILY, splits.sizes, **options) as engine:
        [trained] = engine.run(engine.plan.tasks(trials), splits.arrays)
        assert (len(trained.history), engine.plan.buckets[0].structure) == (12, (128, 128, 128))
        expected = [expect(engine, splits, trial) for trial in trials]
    company = [trained.history[trained.task.trials.index(trial)] for trial in trials]
    return np.array(alone), np.array(company), expected


def numpy_history(engine, splits, trial):
    """Trains a trial in NumPy on the numbers that its seed draws."""
    [fold], [arrays], numbers = splits.folds, splits.arrays, engine.programs.numbers()
    config, count = engine.plan.config_of[trial.config_id], len(fold.train)
    scales = initial_scales(config, splits.sizes.num_features, splits.sizes.num_classes)
    layers = [
        (np.asarray(kernel) * scale, np.zeros(kernel.shape[1]))
        for kernel, scale in zip(numbers.initial(trial.seed, trial.fold), scales, strict=True)
    ]
    ends = zip(config.units, (*config.units[1:], 10), strict=True)
    widths = [(splits.sizes.num_features, config.units[0]), *ends]
    layers = [(k[:a, :b], bias[:b]) for (k, bias), (a, b) in zip(layers, widths, strict=True)]
    drawn = numbers.draws(everywhere(arrays, engine.devices), trial.seed, 0)
    batches = [np.split(order, range(32, count, 32)) for order in np.asarray(drawn.order)]
    bits = [
        np.asarray(b)[:, :, :width].reshape(len(batches), -1, 32, width)
        for b, width in zip(drawn.noise, config.units, strict=True)
    ]
    _, history = numpy_mlp.train(
        layers, batches, bits, config.dropout, 0.2,
        (config["optimizer"], engine.plan.sweep.learning_rate_of(config)),
        (arrays.x_train, arrays.y_train), (arrays.x_eval, arrays.y_eval),
    )  # fmt: skip
    return history


def assert_near(history, expected, loss, songs):
    """Compares losses by their ratio, and accuracies by how many of 300 songs differ."""
    np.testing.assert_allclose(history[..., ::2], expected[..., ::2], rtol=loss)
    np.testing.assert_allclose(history[..., 1::2], expected[..., 1::2], rtol=0, atol=songs / 300)


@pytest.mark.slow
def test_a_real_trial_has_the_same_numbers_alone_in_company_and_in_numpy(real_splits):
    """220 steps, as the sweep's.

    Measured: alone against in company 3e-7 of the loss, against float64 6e-5, accuracies the
    same. The bound on the first leaves room for sums in another order where a unit's input is
    next to zero, which is what sets float64 apart.
    """
    alone, company, expected = alone_and_in_company(real_splits, 10, numpy_history)
    assert len(expected) == 3
    assert_near(alone, company, 1e-4, 1.01)
    assert_near(company[..., [0, 1, 4, 5]], np.array(expected), 6e-4, 2.01)


@pytest.mark.slow
def test_a_real_trial_has_nearly_the_same_numbers_after_a_retraining(real_splits):
    """1,100 steps, as the retraining's, in which rounding grows as in any chaotic system.

    Measured: 3e-7 of the loss over 10 epochs, 4e-2 and 4 of 300 songs over 50 with RMSprop, as
    much as when a single one of the 39,900 numbers to train on is changed by its last bit.
    """
    alone, company, _ = alone_and_in_company(real_splits, 50, lambda *_: None)
    assert_near(alone[:, :10], company[:, :10], 1e-4, 1.01)
    assert_near(alone, company, 0.2, 12.01)


def test_programs_of_another_precision_are_others(sweep):
    def program():
        with engine_of(sweep, mode="padded") as engine:
            key = ProgramKey(0, False, 4)
            engine.programs.prepare(key, FOLDS[0])
            return engine.programs.get(key)

    mine = program()
    assert program() is mine
    before = jax.config.values["jax_default_matmul_precision"]
    jax.config.update("jax_default_matmul_precision", "bfloat16")
    try:
        assert program() is not mine
    finally:
        jax.config.update("jax_default_matmul_precision", before)
    assert program() is mine


def test_seeds_and_folds_differ(sweep, together):
    for config in sweep.configs:
        finals = [together[config.id, fold, seed][-1, 0] for fold in (0, 1) for seed in (0, 7)]
        assert np.abs(np.subtract.outer(finals, finals) + np.eye(4)).min() > 1e-4


def test_trials_that_share_a_seed_share_their_numbers():
    # A rate so small that nothing is dropped differs from none in the scale of the rest.
    axes = {"num_units1": [8], "dropout1": [0.0, 1e-6], "dropout2": [0.0], "optimizer": ["sgd"]}
    sweep = make_sweep(epochs=3, axes=axes)
    got = run(sweep)
    for config in sweep.configs:
        if config["dropout1"] == 0.0:
            other = twin(config, sweep, dropout1=1e-6)
            for fold in (0, 1):
                np.testing.assert_allclose(
                    got[config.id, fold, 7], got[other.id, fold, 7], rtol=1e-4
                )


def test_a_diverging_trial_leaves_its_neighbours_alone(sweep, together):
    rates = {"adam": 0.001, "sgd": 1e6, "rmsprop": 0.001}
    got = run(make_sweep(epochs=3, learning_rates=rates))
    wild = {c.id for c in sweep.configs if c["optimizer"] == "sgd"}
    for trial, history in got.items():
        assert np.isfinite(history).all() == (trial.config_id not in wild)
    assert_equal({m: h for m, h in got.items() if m.config_id not in wild}, together)


# Tasks.


def engine_of(sweep, **options):
    return Engine(sweep, FAMILY, SIZES, **options)


def test_tasks_cover_every_trial_once(sweep):
    trials = trials_of(sweep, 2, [0, 1])
    with engine_of(sweep, task_size=4, mode="shape") as engine:
        tasks = engine.plan.tasks(trials)
        assert [t.task for t in engine.run(tasks[:1], FOLDS)] == tasks[:1]
    assert [len(task.config_ids) for task in tasks] == [4, 2] * 8
    assert sorted(m for task in tasks for m in task.trials) == sorted(trials)
    # Trials that share random numbers stand together.
    assert [(c.seed, c.fold) for c in tasks[::4]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for task in tasks:
        assert (task.first_epoch, task.epochs) == (0, 3)
        bucket = engine.plan.buckets[task.bucket]
        configs = [engine.plan.config_of[config_id] for config_id in task.config_ids]
        assert bucket.structure == tuple(np.max([c.units for c in configs], axis=0))
        assert {sweep.places[c.id] for c in configs} <= set(bucket.places)


def test_tasks_are_the_same_whether_trials_are_missing_or_not(sweep):
    trials = trials_of(sweep, 2, [0, 1])
    with engine_of(sweep, task_size=4, mode="shape") as engine:
        whole = engine.plan.tasks(trials)
        assert engine.plan.tasks(trials[::-1]) == whole
        for wanted in (trials[5:6], trials[::7], trials[30:], []):
            tasks = engine.plan.tasks(wanted)
            assert tasks == [task for task in whole if set(task.trials) & set(wanted)]


def test_packed_tasks_hold_what_is_wanted_and_nothing_else(sweep):
    trials = trials_of(sweep, 2, [0, 1])[1::3]  # a third of each task
    with engine_of(sweep, task_size=4, mode="padded") as engine:
        tasks = engine.plan.tasks(trials, packed=True)
        assert engine.plan.tasks(trials, 1, 3) == [
            dataclasses.replace(task, first_epoch=1) for task in tasks
        ]
        whole = engine.plan.tasks(trials)
    assert sorted(trial for task in tasks for trial in task.trials) == sorted(trials)
    assert [len(task.config_ids) for task in tasks] == [4] * 4
    assert len(whole) == 12


def test_configs_that_come_later_train_as_if_they_had_been_there(sweep, together):
    widest = Config.of(**{**sweep.configs[-1], "num_units1": 14, "num_units2": 7})
    searched = dataclasses.replace(sweep, search=SearchSettings("tpe", 12))
    with engine_of(searched, task_size=4, configs=[widest]) as engine:
        engine.plan.admit(sweep.configs)
        engine.plan.admit(sweep.configs)
        tasks = engine.plan.tasks(trials_of(sweep, 2, [7]), packed=True)
        assert [len(task.config_ids) for task in tasks] == [4] * 6
        got = {
            trial: history
            for trained in engine.run(tasks, FOLDS)
            for trial, history in zip(trained.task.trials, trained.history, strict=True)
        }
        assert len(got) == 24
        assert_equal(got, together)
        with pytest.raises(ValueError, match="no bucket fits structure"):
            engine.plan.admit([Config.of(**{**widest, "num_units1": 15})])


def test_programs_are_the_same_whichever_batch_of_a_search_comes_first():
    search = {"kind": "tpe", "num_configs": 20, "batch": 6}
    sweep = make_sweep(search=search, protocol="holdout")
    configs = make_sweep().configs
    widest = Config.of(**{**configs[-1], "num_units1": 14, "num_units2": 7})
    sizes = []
    for first in (configs[:1], configs[:5]):
        with engine_of(sweep, configs=[widest], task_size=4) as engine:
            engine.plan.admit(configs)
            tasks = engine.plan.tasks([Trial(c.id, 0, 0) for c in first], packed=True)
            sizes.append(tasks[0].size)
    assert sizes == [4, 4]


def test_a_resumed_run_gives_the_same_bytes(sweep):
    trials = trials_of(sweep, 2, [0, 7])
    whole = run(sweep, trials, task_size=4)
    lost = trials[5::11]
    again = run(sweep, lost, task_size=4)
    assert set(lost) <= set(again)
    assert len(again) < len(whole) == 48
    for trial, history in again.items():
        assert history.tobytes() == whole[trial].tobytes()


def test_epochs_of_segments_can_be_chosen(sweep, together):
    trials = trials_of(sweep, 1, [7])
    with engine_of(sweep) as engine:
        [task] = engine.plan.tasks(trials, epochs=2)
        [trained] = engine.run([task], FOLDS)
    assert trained.history.shape == (12, 2, len(METRICS))
    for trial, history in zip(task.trials, trained.history, strict=True):
        np.testing.assert_array_equal(history, together[trial][:2])


def test_more_runs_are_worth_more_programs(sweep, monkeypatch):
    monkeypatch.setattr(programs, "RandomNumbers", lambda *_: None)
    with engine_of(sweep, num_runs=1) as once, engine_of(sweep, num_runs=10**7) as often:
        assert (once.num_programs, often.num_programs) == (1, 2)


# States.


@pytest.mark.parametrize("task_size", [None, 5])
def test_going_on_from_a_state_equals_training_in_one_go(sweep, together, task_size):
    trials = trials_of(sweep, 2, [7])
    with engine_of(sweep, task_size=task_size) as engine:
        first = list(engine.run(engine.plan.tasks(trials, 0, 1, keep="states"), FOLDS))
        states = {
            trial: state
            for trained in first
            for trial, state in zip(trained.task.trials, trained.states, strict=True)
        }
        assert set(states) == set(trials)
        assert all(isinstance(leaf, np.ndarray | np.generic) for leaf in jax.tree.leaves(states))
        rest = list(engine.run(engine.plan.tasks(trials, 1, 3, keep="states"), FOLDS, states))
        whole = list(engine.run(engine.plan.tasks(trials, keep="states"), FOLDS))
    for begun, trained, expected in zip(first, rest, whole, strict=True):
        assert (trained.task.first_epoch, trained.task.epochs) == (1, 3)
        history = np.concatenate([begun.history, trained.history], axis=1)
        np.testing.assert_array_equal(history, expected.history)
        for got, wanted in zip(trained.states, expected.states, strict=True):
            jax.tree.map(np.testing.assert_array_equal, got, wanted)
            assert got.optimizer.step in (9, 6)  # three epochs of three batches, or of two
        for trial, got in zip(expected.task.trials, history, strict=True):
            np.testing.assert_allclose(got, together[trial], rtol=1e-5)


def test_states_stay_on_the_devices_unless_asked_for(sweep):
    with engine_of(sweep) as engine:
        [trained] = engine.run(engine.plan.tasks(trials_of(sweep, 1, [7])), FOLDS)
    assert len(trained.states) == 0


# Repeats.


@pytest.mark.parametrize("place", [0, 11])
@pytest.mark.parametrize(("seeds", "epochs"), [([7], 2), ([3, 7, 0], 7)])
def test_repeats_train_as_trials_of_a_sweep_do(sweep, together, place, seeds, epochs):
    config = sweep.configs[place]
    with engine_of(sweep) as engine:
        repeats = engine.plan.repeats([Trial(config.id, 1, seed) for seed in seeds], epochs)
        [trained] = engine.run(repeats, FOLDS)
    [task] = engine.plan.tasks([Trial(config.id, 0, 7)])
    assert trained.task.program == task.program  # nothing is compiled for a retraining
    assert_logits_are_those_of_the_parameters(engine.plan, trained)
    for seed, history, params in zip(seeds, trained.history, trained.params, strict=True):
        assert history.shape == (epochs, len(METRICS))
        trial, shared = Trial(config.id, 1, seed), min(epochs, 3)
        if trial in together:
            expected = together[trial][:shared]
            np.testing.assert_allclose(history[:shared], expected, rtol=1e-5)
        shapes = {name: array.shape for name, array in params.items()}
        assert shapes["hidden1.kernel"] == (9, config.units[0])
        assert shapes["logits.bias"] == (4,)
    assert len(set(trained.history[:, -1, 0])) == len(seeds)


def test_weights_and_predictions_are_those_of_the_last_epoch(sweep):
    config = sweep.configs[4]
    with engine_of(sweep) as engine:
        repeats = engine.plan.repeats([Trial(config.id, 0, seed) for seed in (7, 8)], 3)
        [repeated] = engine.run(repeats, FOLDS)
        [task] = engine.plan.tasks([Trial(config.id, 0, 7)], keep="states")
        [trained] = engine.run([task], FOLDS)
    place = task.config_ids.index(config.id)
    expected = unpadded(trained.states[place].params, FAMILY.shapes(config, 9, 4))
    for name, array in repeated.params[0].items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(repeated.predicted[0], trained.predicted[place])


def test_predictions_are_those_of_the_last_epoch(sweep):
    # Accuracies of the histories, recounted; the small fold has rows of padding at the end.
    with engine_of(sweep, task_size=5) as engine:
        tasks = engine.plan.tasks(trials_of(sweep, 2, [7]), epochs=2)
        for trained in engine.run(tasks, FOLDS):
            arrays = FOLDS[trained.task.fold]
            right = trained.predicted == arrays.y_eval
            assert trained.predicted.dtype == np.uint8
            for part in ("validation", "test"):
                weight = getattr(arrays, f"{part}_weight")
                expected = trained.history[:, -1, METRICS.index(f"{part}_accuracy")]
                np.testing.assert_allclose(right @ weight / weight.sum(), expected, rtol=1e-5)


# Initial weights.


def test_each_fold_has_initial_weights_of_its_own(sweep):
    with engine_of(sweep) as engine:
        numbers = engine.programs.numbers()
        one, other, again = (numbers.initial(3, fold) for fold in (0, 1, 0))
        for kernel, different, same in zip(one, other, again, strict=True):
            np.testing.assert_array_equal(kernel, same)
            assert not np.isin(kernel, different).any()


# Memory.


def simulate_memory_for(most, monkeypatch):
    """Lets a device fail, as one does whose memory is full, with more than ``most`` trials."""
    compile_training = programs.compile_training
    tried = []

    def compile_limited(*args):
        program = compile_training(*args)

        def train(*arguments):
            tried.append(program.task_size)
            if program.task_size > most:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")
            return program.train(*arguments)

        return Program(program.start, train, program.task_size)

    monkeypatch.setattr(programs, "compile_training", compile_limited)
    return tried


@pytest.mark.parametrize(("most", "sizes"), [(1, [2, 2, 1]), (3, [6, 6, 3])])
def test_what_does_not_fit_is_tried_in_halves(sweep, together, monkeypatch, caplog, most, sizes):
    tried = simulate_memory_for(most, monkeypatch)
    with caplog.at_level("WARNING"):
        halved = run(sweep, task_size=sizes[0], devices=jax.devices()[:1])
    # Told and done once, though two tasks in flight have met it.
    assert [record.args for record in caplog.records] == [(sizes[0],)]
    assert tried[: len(sizes)] == sizes
    assert min(tried) == sizes[-1]
    assert len(halved) == 24
    assert_equal(halved, together)


def test_repeats_that_do_not_fit_are_tried_in_halves(sweep, together, monkeypatch):
    tried = simulate_memory_for(3, monkeypatch)
    trials = [Trial(sweep.configs[2].id, 0, seed) for seed in (3, 4, 5, 6, 7)]
    with engine_of(sweep, task_size=12, devices=jax.devices()[:1]) as engine:
        [trained] = engine.run(engine.plan.repeats(trials, 3), FOLDS)
    assert set(tried) == {12, 6, 3}
    np.testing.assert_allclose(trained.history[-1], together[trials[-1]], rtol=1e-5)
    assert_logits_are_those_of_the_parameters(engine.plan, trained)


def assert_logits_are_those_of_the_parameters(plan, trained):
    fold, sizes = FOLDS[trained.task.fold], plan.sizes
    for trial, params, logits in zip(
        trained.task.trials, trained.params, trained.logits, strict=True
    ):
        slope = plan.sweep.slope_of(plan.config_of[trial.config_id])
        network = Network(plan.config_of[trial.config_id], params, slope, sizes)
        expected = network.log_probabilities(np.asarray(fold.x_eval))
        np.testing.assert_allclose(log_softmax(logits, axis=1), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(np.argmax(trained.logits, axis=2), trained.predicted)


def test_trials_that_go_on_are_tried_in_halves(sweep, together, monkeypatch):
    trials = trials_of(sweep, 1, [7])
    with engine_of(sweep) as engine:
        [begun] = engine.run(engine.plan.tasks(trials, 0, 2, keep="states"), FOLDS)
    states = dict(zip(begun.task.trials, begun.states, strict=True))
    simulate_memory_for(8, monkeypatch)
    with engine_of(sweep, task_size=12) as engine:
        [rest] = engine.run(engine.plan.tasks(trials, 2), FOLDS, states)
    for trial, history in zip(rest.task.trials, rest.history, strict=True):
        np.testing.assert_allclose(history, together[trial][2:], rtol=1e-5)


def test_when_nothing_fits_it_is_said(sweep, monkeypatch):
    simulate_memory_for(0, monkeypatch)
    with pytest.raises(
        InputError, match=r"a single network of 12-6-5 does not fit .* largest num_units1 from"
    ):
        run(sweep, task_size=2, devices=jax.devices()[:1])


def test_other_failures_of_a_device_are_not_hidden(sweep, monkeypatch):
    def fail(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: the device is gone")

    monkeypatch.setattr(programs, "compile_training", lambda *_: Program(fail, fail, 12))
    with pytest.raises(jax.errors.JaxRuntimeError, match="gone"):
        run(sweep)


# What is small.


def test_calls_have_nearly_equal_numbers_of_epochs():
    def epochs(count, sizes=SIZES, structure=(12, 6, 5)):
        return drawing.drawn_sizes(FAMILY, structure, sizes, [16, 32], count).epochs

    assert [epochs(count) for count in (1, 3, 10, 11, 20, 50, 51)] == [1, 3, 10, 6, 10, 10, 9]
    # Fewer where their noise is large.
    assert epochs(20, Sizes(10_000, 10, 9, 4), (1000,)) == 3
    assert epochs(20, Sizes(1_000_000, 10, 9, 4), (1000,)) == 1
    drawn = drawing.drawn_sizes(FAMILY, (12,), SIZES, [16, 32, 50], 3)
    assert drawn.positions == 100  # two batches of 50; 70 rows are less than 3 of 32


@pytest.mark.parametrize(("rows", "calls"), [(1000, 50), (100_000, 5), (1_000_000, 1)])
def test_as_many_calls_are_cached_as_a_gigabyte_holds(rows, calls):
    """A row has 1,000 units of two bytes; calls of 1,000 rows have ten epochs."""
    drawn = drawing.drawn_sizes(FAMILY, (900, 100), Sizes(rows, 10, 9, 4), [10], 20)
    assert drawing.most_kept(drawn) == calls


# Programs. Last, since counting empties the caches.


@pytest.fixture
def compiled():
    """Counts the programs that XLA compiles from here on."""
    names = []
    record = lambda name, *_, **__: names.append(name)  # noqa: E731
    programs.compile_training.cache_clear()
    drawing.compile_drawing.cache_clear()
    jax.monitoring.register_event_duration_secs_listener(record)
    yield lambda: names.count("/jax/core/compile/backend_compile_duration")
    jax.monitoring.unregister_event_duration_listener(record)


def test_nothing_is_compiled_for_a_fold_a_seed_or_a_rate(sweep, compiled):
    run(sweep, trials_of(sweep, 1, [0]))
    # One that starts, one that trains and one that draws noise; the host draws the rest.
    assert compiled() == 3
    run(sweep, trials_of(sweep, 2, [5, 6]))
    rates = {"adam": 0.5, "sgd": 0.25, "rmsprop": 0.125}
    axes = {"dropout1": [0.4], "dropout3": [0.3], "initializer": ["random_uniform"]}
    run(make_sweep(epochs=3, learning_rates=rates, leaky_slope=0.3, axes=axes))
    with engine_of(sweep) as engine:
        for place, seeds in ((3, [1, 2]), (5, [3, 4])):
            trials = [Trial(sweep.configs[place].id, 1, seed) for seed in seeds]
            list(engine.run(engine.plan.repeats(trials, 8), FOLDS))
    assert compiled() == 3
    # Nor for a learning rate that is an axis.
    axes = {"learning_rate": [0.1, 0.01], "num_units1": [12], "optimizer": ["adam"]}
    axes |= {"initializer": ["glorot_uniform", "random_uniform"], "dropout2": [0.1, 0.2, 0.3]}
    other = make_sweep(epochs=3, learning_rates=None, axes=axes)
    assert other.num_configs == 24
    run(other, task_size=12)
    assert compiled() == 3


def test_each_batch_size_is_a_program(compiled):
    axes = {"batch_size": [24, 32], "optimizer": ["adam"]}
    two_sizes = make_sweep(batch_size=None, axes=axes)
    with engine_of(two_sizes, mode="padded") as engine:
        tasks = engine.plan.tasks(trials_of(two_sizes, 2, [0]))
        assert len(list(engine.run(tasks, FOLDS))) == 4
        assert engine.num_programs == engine.num_compiled == 2
    assert compiled() == 2 * 2 + 1  # and what draws for both
    assert {bucket.batch_size for bucket in engine.plan.buckets} == {24, 32}
    for task in tasks:
        sizes = {engine.plan.config_of[config_id]["batch_size"] for config_id in task.config_ids}
        assert sizes == {engine.plan.buckets[task.bucket].batch_size}


def test_a_program_that_one_run_did_not_need_is_there_for_the_next(monkeypatch):
    monkeypatch.setattr(programs, "_COMPILE_THREADS", 1)
    wide = make_sweep(epochs=1, axes={"num_units1": [3, 4], "optimizer": ["sgd"]})
    trials = trials_of(wide, 1, [0])
    with engine_of(wide, mode="shape") as engine:
        first, second = engine.plan.tasks(trials)
        for task in (first, second):
            assert [trained.task for trained in engine.run([task], FOLDS)] == [task]
