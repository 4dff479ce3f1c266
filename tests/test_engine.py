import jax
import numpy as np
import numpy_mlp
import pytest
from conftest import make_dataset, make_sweep

from gtzan_jax import engine as engine_module
from gtzan_jax import load_table, programs, random_split, standardise
from gtzan_jax.engine import Engine, _even_chunks, data_of, train_on_each
from gtzan_jax.errors import InputError
from gtzan_jax.model import initial_limits
from gtzan_jax.splits import Sizes
from gtzan_jax.training import draw_epochs, draw_kernels

DATASET = make_dataset()
SIZES = Sizes.of(DATASET)
DATA = data_of(DATASET)


def histories(sweep, seeds=(0,), **options):
    """Returns (configs, seeds, epochs, 4) from a run of the engine."""
    seeds = list(seeds)
    result = np.full((sweep.num_configs, len(seeds), sweep.epochs, 4), np.nan, np.float32)
    with Engine(sweep, SIZES, **options) as engine:
        for chunk in engine.run(DATA, seeds):
            result[list(chunk.config_ids), seeds.index(chunk.seed)] = chunk.history
    return result


@pytest.fixture(scope="module")
def sweep():
    return make_sweep(epochs=3)


@pytest.fixture(scope="module")
def together(sweep):
    return histories(sweep, seeds=[0, 7])


@pytest.mark.parametrize(("chunk_size", "num_devices"), [(1, 1), (5, 1), (3, 2), (100, 2)])
def test_numbers_do_not_depend_on_the_company(sweep, together, chunk_size, num_devices):
    devices = jax.devices()[:num_devices]
    assert len(devices) == num_devices
    other = histories(sweep, seeds=[7], chunk_size=chunk_size, devices=devices)
    np.testing.assert_allclose(other[:, 0], together[:, 1], rtol=1e-4)


@pytest.mark.parametrize("mode", ["shape", "padded"])
def test_numbers_do_not_depend_on_the_padding(sweep, together, mode):
    other = histories(sweep, seeds=[7], mode=mode)
    np.testing.assert_allclose(other[:, 0], together[:, 1], rtol=1e-4)


def test_numbers_do_not_depend_on_the_epochs_of_a_call(sweep, together, monkeypatch):
    monkeypatch.setattr(programs, "_EPOCHS", 2)  # two calls, of two epochs and of one
    other = histories(sweep, seeds=[7])
    np.testing.assert_allclose(other[:, 0], together[:, 1], rtol=1e-4)


@pytest.mark.parametrize("config_id", [0, 4, 11])
def test_a_member_alone_has_the_same_numbers(sweep, together, config_id):
    config = sweep.configs()[config_id]
    [(_, history)] = train_on_each(config, sweep, [DATASET], seed=7, epochs=sweep.epochs)
    np.testing.assert_allclose(history, together[config_id, 1], rtol=1e-4)


def test_batch_size_and_loss_are_the_sweeps():
    sweep = make_sweep(epochs=2, batch_size=20, loss="softmax_twice")
    config = sweep.configs()[4]
    [(_, alone)] = train_on_each(config, sweep, [DATASET], seed=7, epochs=2)
    np.testing.assert_allclose(histories(sweep, seeds=[7])[4, 0], alone, rtol=1e-4)
    # Of four genres, the softmax of a softmax gives none more than e / (e + 3).
    assert alone[:, ::2].min() > np.log(1 + 3 / np.e)


def test_more_seeds_are_worth_more_programs(sweep, monkeypatch):
    monkeypatch.setattr(Engine, "_compile", lambda *_: None)
    with Engine(sweep, SIZES, num_seeds=1) as once, Engine(sweep, SIZES, num_seeds=10**7) as often:
        assert (once.num_programs, often.num_programs) == (1, 2)


def test_a_batch_of_splits_equals_one_after_another(sweep):
    config = sweep.configs()[5]
    splits = [make_dataset(seed=seed) for seed in range(3)]
    together = train_on_each(config, sweep, splits, seed=1, epochs=3)
    assert len(together) == 3
    for split, (params, history) in zip(splits, together, strict=True):
        [(alone, expected)] = train_on_each(config, sweep, [split], seed=1, epochs=3)
        np.testing.assert_allclose(history, expected, rtol=1e-4)
        for got, wanted in zip(jax.tree.leaves(params), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-5)


def test_a_smaller_grid_has_the_same_numbers(sweep, together):
    part = make_sweep(epochs=3, axes={"num_units1": [12], "optimizer": ["rmsprop", "adam"]})
    ids = [sweep.configs().index(config) for config in part.configs()]
    np.testing.assert_allclose(histories(part, seeds=[7])[:, 0], together[ids, 1], rtol=1e-4)


def real_sweep(epochs):
    """Returns a sweep of 4 shapes × 3 optimizers, the published best one's among them."""
    axes = {"num_units1": [64, 128], "num_units2": [128], "num_units3": [64, 128]}
    axes |= {"dropout1": [0.1], "dropout2": [0.2], "dropout3": [0.1], "activation": ["leaky_relu"]}
    return make_sweep(epochs=epochs, axes=axes)


@pytest.fixture(scope="module")
def real_dataset():
    """700 × 57 to train on, 22 steps an epoch, the last of 28 rows; 300 to test on."""
    table = load_table("sample")
    return standardise(table, random_split(table, 0))


def alone_and_in_company(dataset, epochs):
    """Returns (optimizers, epochs, 4) of 128-128-64 alone, and among wider and narrower ones."""
    sweep = real_sweep(epochs)
    configs = sweep.configs()
    ids = [i for i, config in enumerate(configs) if config.shape == (128, 128, 64)]
    alone = [train_on_each(configs[i], sweep, [dataset], 0, epochs)[0][1] for i in ids]
    company = np.full((len(configs), epochs, 4), np.nan, np.float32)
    with Engine(sweep, Sizes.of(dataset), mode="padded", chunk_size=12) as engine:
        assert [bucket.widths for bucket in engine.chunks] == [(128, 128, 128)]
        for chunk in engine.run(data_of(dataset), [0]):
            company[list(chunk.config_ids)] = chunk.history
    return [configs[i] for i in ids], np.array(alone), company[ids]


def numpy_history(config, sweep, dataset, seed):
    """Trains a config in NumPy on the numbers that its seed draws."""
    num_rows, num_features = dataset.x_train.shape
    sizes = (num_features, *config.shape, len(dataset.genres))
    kernels = jax.jit(draw_kernels, static_argnums=1)(np.uint32(seed), sizes)
    limits = initial_limits(config, num_features, len(dataset.genres))
    layers = [
        (np.asarray(kernel) * limit, np.zeros(kernel.shape[1]))
        for kernel, limit in zip(kernels, limits, strict=True)
    ]
    draw = jax.jit(
        draw_epochs,
        static_argnums=(2, 3, 4, 5),
        compiler_options={"xla_backend_optimization_level": 1},  # compiles three times as fast
    )
    drawn = draw(
        np.uint32(seed), np.uint32(0), sweep.epochs, config.shape, num_rows, sweep.batch_size
    )
    orders = np.asarray(drawn.rows).reshape(sweep.epochs, -1)[:, :num_rows]
    batches = [
        np.split(order, range(sweep.batch_size, num_rows, sweep.batch_size)) for order in orders
    ]
    _, history = numpy_mlp.train(
        layers,
        batches,
        [np.asarray(bits) for bits in drawn.bits],
        config.dropout,
        {"relu": 0.0, "leaky_relu": 0.2}[config.activation],
        (config.optimizer, sweep.learning_rates[config.optimizer]),
        (dataset.x_train, dataset.y_train),
        (dataset.x_test, dataset.y_test),
    )
    return history


def assert_near(history, expected, loss, songs):
    """Compares losses by their ratio, and accuracies by how many of 300 songs differ."""
    np.testing.assert_allclose(history[..., ::2], expected[..., ::2], rtol=loss)
    np.testing.assert_allclose(history[..., 1::2], expected[..., 1::2], rtol=0, atol=songs / 300)


def test_a_real_member_has_the_same_numbers_alone_in_company_and_in_numpy(real_dataset):
    """220 steps, as the sweep's.

    Measured: alone against in company 3e-7 of the loss, against float64 6e-5, accuracies the
    same. The bound on the first leaves room for sums in another order where a unit's input is
    next to zero, which is what sets float64 apart.
    """
    configs, alone, company = alone_and_in_company(real_dataset, 10)
    assert [config.optimizer for config in configs] == ["adam", "sgd", "rmsprop"]
    assert_near(alone, company, 1e-4, 1.01)
    for config, history in zip(configs, company, strict=True):
        expected = numpy_history(config, real_sweep(10), real_dataset, 0)
        assert_near(history, expected, 6e-4, 2.01)


@pytest.mark.slow
def test_a_real_member_has_nearly_the_same_numbers_after_a_retraining(real_dataset):
    """1,100 steps, as the retraining's, in which rounding grows as in any chaotic system.

    Measured: 3e-7 of the loss over 10 epochs, 4e-2 and 4 of 300 songs over 50 with RMSprop, as
    much as when a single one of the 39,900 numbers to train on is changed by its last bit.
    """
    _, alone, company = alone_and_in_company(real_dataset, 50)
    assert_near(alone[:, :10], company[:, :10], 1e-4, 1.01)
    assert_near(alone, company, 0.2, 12.01)


def test_seeds_differ(together):
    assert not np.isclose(together[:, 0, -1, 0], together[:, 1, -1, 0], rtol=1e-3).any()


def test_the_same_run_gives_the_same_bytes(sweep, together):
    assert histories(sweep, seeds=[0, 7]).tobytes() == together.tobytes()


def test_a_diverging_member_leaves_its_neighbours_alone():
    rates = {"adam": 0.001, "sgd": 1e6, "rmsprop": 0.001}
    wild = make_sweep(epochs=3, learning_rates=rates)
    tame = make_sweep(epochs=3)
    got, expected = histories(wild), histories(tame)
    sgd = np.array([config.optimizer == "sgd" for config in wild.configs()])
    assert not np.isfinite(got[sgd]).all(axis=(1, 2, 3)).any()
    np.testing.assert_allclose(got[~sgd], expected[~sgd], rtol=1e-4)


def test_chunks_cover_every_member_once(sweep):
    with Engine(sweep, SIZES, chunk_size=4, mode="shape") as engine:
        chunks = list(engine.run(DATA, [0, 1]))
    assert engine.num_compiled == engine.num_programs == 2
    assert [len(chunk.config_ids) for chunk in chunks] == [4, 2] * 4
    members = [(chunk.seed, i) for chunk in chunks for i in chunk.config_ids]
    assert sorted(members) == [(seed, i) for seed in (0, 1) for i in range(12)]
    configs = sweep.configs()
    for chunk in chunks:
        widest = np.max([configs[i].shape for i in chunk.bucket.config_ids], axis=0)
        assert chunk.bucket.widths == tuple(widest)
        assert set(chunk.config_ids) <= set(chunk.bucket.config_ids)
        assert chunk.history.nbytes == len(chunk.config_ids) * sweep.epochs * 4 * 4


def test_chunks_can_be_left_out(sweep):
    with Engine(sweep, SIZES, chunk_size=4, mode="shape") as engine:
        first, second = engine.chunks
        chunks = list(engine.run(DATA, [0, 1], lambda seed, ids: seed == 0 or ids[0] in first[1]))
    members = [(chunk.seed, i) for chunk in chunks for i in chunk.config_ids]
    assert members == [(1, i) for i in second.config_ids]


@pytest.fixture
def compiled():
    """Counts the programs that XLA compiles from here on."""
    names = []
    record = lambda name, *_, **__: names.append(name)  # noqa: E731
    programs.compile_training.cache_clear()
    programs.compile_drawing.cache_clear()
    jax.monitoring.register_event_duration_secs_listener(record)
    yield lambda: names.count("/jax/core/compile/backend_compile_duration")
    jax.monitoring.unregister_event_duration_listener(record)


@pytest.mark.parametrize(("mode", "buckets"), [("shape", 2), ("padded", 1)])
def test_nothing_is_compiled_twice(sweep, compiled, mode, buckets):
    histories(sweep, mode=mode)
    # Two that draw random numbers; one that starts and one that trains, a bucket.
    assert compiled() == 2 + 2 * buckets
    histories(sweep, seeds=[5], mode=mode)
    with Engine(sweep, SIZES, mode=mode) as engine:
        engine.train_one(sweep.configs()[3], DATA, seed=1, epochs=8)
    assert compiled() == 2 + 2 * buckets


@pytest.mark.parametrize("config_id", [0, 4, 11])
@pytest.mark.parametrize("epochs", [2, 3, 7])
def test_one_config_trains_on_the_programs_of_the_sweep(sweep, config_id, epochs):
    config = sweep.configs()[config_id]
    with Engine(sweep, SIZES, mode="padded") as engine:
        params, history = engine.train_one(config, DATA, seed=7, epochs=epochs)
    [(expected, alone)] = train_on_each(config, sweep, [DATASET], seed=7, epochs=epochs)
    assert history.shape == (epochs, 4)
    np.testing.assert_allclose(history, alone, rtol=1e-4)
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, expected)
    for got, wanted in zip(jax.tree.leaves(params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-5)


def simulate_memory_for(most, monkeypatch):
    """Lets a device fail, as one does whose memory is full, with more than ``most`` members."""

    def train_chunk(program, *args):
        if program.chunk_size > most:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")
        return programs.train_chunk(program, *args)

    monkeypatch.setattr(engine_module, "train_chunk", train_chunk)


@pytest.mark.parametrize("most", [2, 3])
def test_what_does_not_fit_is_tried_in_halves(sweep, together, monkeypatch, caplog, most):
    simulate_memory_for(most, monkeypatch)
    with caplog.at_level("WARNING"):
        halved = histories(sweep, seeds=[7], chunk_size=6, mode="shape")
    assert "out of memory with 6 networks at a time" in caplog.text
    np.testing.assert_allclose(halved[:, 0], together[:, 1], rtol=1e-4)


def test_when_nothing_fits_it_is_said(sweep, monkeypatch):
    simulate_memory_for(0, monkeypatch)
    with pytest.raises(InputError, match="not even one network of 8-6-5 units"):
        histories(sweep, chunk_size=6, mode="shape")


def test_other_failures_of_a_device_are_not_hidden(sweep, monkeypatch):
    def fail(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: the device is gone")

    monkeypatch.setattr(engine_module, "train_chunk", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="gone"):
        histories(sweep)


@pytest.mark.parametrize("count", [1, 2, 7, 96, 97])
@pytest.mark.parametrize("most", [1, 2, 16, 1000])
@pytest.mark.parametrize("multiple", [1, 2, 4])
def test_chunks_are_even_and_complete(count, most, multiple):
    chunks = _even_chunks(range(count), most, multiple)
    assert [i for chunk in chunks for i in chunk] == list(range(count))
    sizes = [len(chunk) for chunk in chunks]
    assert max(sizes) <= max(most, multiple) + multiple - 1
    assert max(sizes[:-1], default=0) % multiple == 0
