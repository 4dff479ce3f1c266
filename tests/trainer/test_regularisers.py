import jax
import jax.numpy as jnp
import numpy as np
import pytest
from all_parts import CONFIGS, INITIALIZED, PLAIN, all_parts
from conftest import make_arrays, make_fold, make_sweep, make_table, slow
from scipy import stats
from test_keras_parity import WIDE, train

from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.space.config import Config, Trial
from gtzan_jax.tables.folds import sizes_of
from gtzan_jax.trainer import draws
from gtzan_jax.trainer.drawing import everywhere
from gtzan_jax.trainer.engine import Engine
from gtzan_jax.trainer.regularisers import (
    Regularisers,
    constrained,
    mixup_quantiles,
    mixup_share,
    partners,
    penalty,
)

FAMILY = MlpFamily()
TABLE = make_table(num_features=9)
FOLD = make_fold(range(70), range(70, 80), range(80, 100))
SIZES, FOLDS = sizes_of(TABLE, [FOLD]), make_arrays(TABLE, FOLD)


def random_params(scale=1.0):
    random = np.random.default_rng(0)
    return {
        name: {
            "kernel": jnp.asarray(random.normal(0, scale, shape), jnp.float32),
            "bias": jnp.asarray(random.normal(0, scale, shape[1]), jnp.float32),
        }
        for name, shape in {"hidden1": (9, 5), "logits": (5, 4)}.items()
    }


# The functions.


def test_the_penalty_is_of_kernels_only():
    params = random_params()
    squares = sum(np.square(layer["kernel"]).sum() for layer in params.values())
    assert penalty(params, np.float32(0.3)) == pytest.approx(0.3 * squares, rel=1e-6)


@pytest.mark.parametrize("limit", [0.0, 0.4])
@pytest.mark.parametrize("norm", [0.0, 0.7])
def test_kernels_are_kept_inside_their_limits(norm, limit):
    r = Regularisers(max_norm=np.float32(norm), weight_limit=np.float32(limit))
    params = random_params()
    got = constrained(params, r)
    for name, layer in params.items():
        kernel = np.asarray(layer["kernel"], np.float64)
        if limit:
            kernel = np.clip(kernel, -limit, limit)
        if norm:
            lengths = np.linalg.norm(kernel, axis=0)
            assert lengths.max() > norm
            kernel = kernel * np.minimum(lengths, norm) / (lengths + 1e-7)
        np.testing.assert_allclose(got[name]["kernel"], kernel, rtol=2e-6)
        np.testing.assert_array_equal(got[name]["bias"], layer["bias"])
    unlimited = constrained(params, Regularisers())
    jax.tree.map(np.testing.assert_array_equal, unlimited, params)


@pytest.mark.parametrize("shape", [(9, 5), (3, 3, 4, 5)], ids=["dense", "convolution"])
@pytest.mark.filterwarnings("ignore")  # Keras's own
def test_kernels_of_any_shape_are_limited_and_punished_as_in_keras(shape):
    """A filter's norm is over its height, width and channels in: Keras's axes [0, 1, 2]."""
    keras = pytest.importorskip("keras")
    kernel = np.random.default_rng(0).normal(0, 0.3, shape).astype(np.float32)
    kernel[..., 0] *= 0.01  # a unit inside the limit
    params = {"conv1": {"kernel": jnp.asarray(kernel), "bias": jnp.ones(5)}}
    with jax.numpy_dtype_promotion("standard"):
        expected = keras.constraints.MaxNorm(0.8, axis=list(range(len(shape) - 1)))(kernel)
        squares = keras.regularizers.L2(0.3)(kernel)
    got = constrained(params, Regularisers(max_norm=np.float32(0.8)))["conv1"]
    np.testing.assert_allclose(got["kernel"], expected, rtol=2e-6)
    np.testing.assert_allclose(got["kernel"][..., 0], kernel[..., 0], rtol=1e-4)
    np.testing.assert_array_equal(got["bias"], 1.0)
    assert penalty(params, np.float32(0.3)) == pytest.approx(float(squares), rel=1e-6)


@pytest.mark.parametrize("alpha", [1e-6, 0.2, 100.0, *map(slow, (0.01, 1.0, 5.0))])
def test_shares_of_mixup_are_beta_distributed(alpha):
    uniform = draws.draw_mixup(2000, 2, np.uint32(0), np.uint32(0))
    assert stats.kstest(np.ravel(uniform), "uniform").pvalue > 0.001
    shares = jax.vmap(lambda u: mixup_share(mixup_quantiles(alpha), u))(jnp.ravel(uniform))
    assert (shares >= 0).all()
    assert (shares <= 1).all()
    # In float64, where a share of 1e-40 is not 0 as well: equal shares are moved apart.
    beta = stats.beta(alpha, alpha)
    if alpha >= 0.2:
        assert stats.kstest(shares, beta.cdf).pvalue > 0.001
    places = np.linspace(0.0005, 0.9995, 1000, dtype=np.float32)
    evenly = jax.vmap(lambda u: mixup_share(mixup_quantiles(alpha), u))(jnp.asarray(places))
    inner = (evenly > 1e-6) & (evenly < 1 - 1e-6)
    np.testing.assert_allclose(beta.cdf(evenly)[inner], places[inner], atol=1e-3)
    if not inner.all():  # two heaps, half of the numbers in each
        np.testing.assert_allclose(beta.cdf(1e-6), np.mean(evenly <= 1e-6), atol=2e-3)


@pytest.mark.parametrize("alpha", [0.2, 0.4, 1.0, 2.0])
def test_shares_between_two_quantiles_are_interpolated(alpha):
    """Half way between two of the table they are SciPy's; either end would be 1e-4 away."""
    uniform = (np.arange(256, 768, 17) + 0.5).astype(np.float32) / 1024
    shares = [mixup_share(mixup_quantiles(alpha), u) for u in jnp.asarray(uniform)]
    np.testing.assert_allclose(shares, stats.beta.ppf(uniform, alpha, alpha), rtol=0, atol=5e-6)
    ends = [mixup_share(mixup_quantiles(alpha), jnp.float32(u)) for u in (0.0, 1 - 2**-24)]
    np.testing.assert_allclose(ends, [0.0, 1.0], atol=1e-5)


def test_mixup_and_noise_of_features_have_keys_of_their_own():
    """Of another purpose's key they would be its numbers, put through the normal distribution."""
    seed, first = np.uint32(3), np.uint32(0)
    uniform = np.asarray(draws.draw_mixup(9, 2, seed, first))
    normal = np.asarray(draws.draw_inputs(9, 1, 2, seed, first))[:, 0]
    assert np.abs(stats.norm.cdf(normal) - uniform).min() > 1e-4


def test_without_mixup_the_share_is_one():
    for uniform in (0.0, 0.3, 1 - 2**-24):
        assert mixup_share(mixup_quantiles(0.0), jnp.float32(uniform)) == 1.0


@pytest.mark.parametrize("count", [1, 3, 5])
def test_partners_are_the_next_rows_that_are_no_padding(count):
    rows = jnp.arange(10, 20, dtype=jnp.float32).reshape(5, 2)
    weight = jnp.asarray([1.0] * count + [0.0] * (5 - count))
    got = np.asarray(partners(rows, weight))[:count]
    np.testing.assert_array_equal(got, np.roll(rows[:count], -1, axis=0))
    labels = jnp.arange(5)
    np.testing.assert_array_equal(partners(labels, weight)[:count], np.roll(np.arange(count), -1))


def test_noise_of_features_is_standard_normal_and_depends_on_names_only():
    def noise(seed=0, first=0, positions=200, epochs=2):
        return np.asarray(
            draws.draw_inputs(9, positions, epochs, np.uint32(seed), np.uint32(first))
        )

    whole = noise()
    assert (whole.shape, whole.dtype) == ((2, 200, 9), np.float32)
    assert stats.kstest(np.ravel(whole), "norm").pvalue > 0.001
    np.testing.assert_array_equal(noise(first=1)[0], whole[1])
    np.testing.assert_array_equal(noise(positions=150), whole[:, :150])
    assert not np.isin(noise(seed=1), whole).any()
    assert abs(np.corrcoef(np.ravel(whole[0]), np.ravel(whole[1]))[0, 1]) < 0.1


# The laws of the trainer. All parts are in one program, and each is in a smaller one, too.


@pytest.mark.parametrize("name", [*list(CONFIGS)[-3:], *map(slow, list(CONFIGS)[:-3])])
def test_padding_is_exact(name):
    state, history = train(CONFIGS[name])
    padded, expected = train(CONFIGS[name], units=WIDE)
    np.testing.assert_allclose(history, expected, rtol=1e-5)
    for narrow, wide in zip(*map(jax.tree.leaves, (state.params, padded.params)), strict=True):
        inside = tuple(slice(size) for size in narrow.shape)
        np.testing.assert_allclose(wide[inside], narrow, rtol=1e-3, atol=1e-6)
        outside = np.array(wide)
        outside[inside] = 0.0
        assert not outside.any()


def test_what_no_config_uses_is_not_in_the_program():
    with Engine(make_sweep(), FAMILY, SIZES) as engine:
        numbers = engine.programs.hyperparameters([engine.plan.sweep.configs[0].id])
        drawn = engine.programs.numbers().draws(everywhere(FOLDS[0], engine.devices), 0, 0)
    assert numbers.regularisers == Regularisers()
    assert len(jax.tree.leaves(numbers)) == 4 + 9  # of the MLP, and of the first three optimizers
    assert drawn.inputs is drawn.mixup is None


PARTS = [
    {"activation": "gelu", "optimizer": "adamw", "mixup": 0.4, "initializer": "he_normal"},
    {"activation": "tanh", "optimizer": "nadam", "max_norm": 0.8, "input_noise": 0.5},
    {"activation": "elu", "optimizer": "sgd", "momentum": 0.9, "nesterov": True, "l2": 0.01},
    {"activation": "silu", "optimizer": "lion", "label_smoothing": 0.2, "weight_limit": 0.3},
]
TOGETHER = [*(Config.of(**dict(PLAIN) | values) for values in PARTS), PLAIN, *INITIALIZED.values()]


def histories(sweep, configs, seed=7, **options):
    """Trains configs in one program; returns histories by config id."""
    with Engine(sweep, FAMILY, SIZES, configs=configs, mode="padded", **options) as engine:
        assert engine.num_programs == 1
        trials = [Trial(config.id, 0, seed) for config in configs]
        return {
            config_id: history
            for trained in engine.run(engine.plan.tasks(trials), FOLDS)
            for config_id, history in zip(trained.task.config_ids, trained.history, strict=True)
        }


@pytest.fixture(scope="module")
def together():
    return histories(all_parts(), TOGETHER)


def test_all_axes_train_in_one_program(together):
    assert len(together) == len(TOGETHER)
    assert np.isfinite(list(together.values())).all()
    finals = np.array([history[-1, 0] for history in together.values()])
    assert np.abs(np.subtract.outer(finals, finals) + np.eye(len(finals))).min() > 1e-4


@pytest.mark.parametrize("place", [0, *map(slow, range(1, 5))])
def test_numbers_do_not_depend_on_company(together, place):
    """A config's own program has its parts only; a wider one stands beside it."""
    config = TOGETHER[place]
    wider = Config.of(**dict(config) | {"num_units2": 14})
    axes = {name: sorted({config[name], wider[name]}) for name in config}
    axes |= dict.fromkeys(("dropout1", "dropout2", "dropout3"))
    axes |= {name: [config.setting(name)] for name in ("initializer", "optimizer")}
    alone = make_sweep(axes=axes)
    assert len(alone.parts) < len(all_parts().parts)
    got = histories(alone, [config, wider])[config.id]
    np.testing.assert_allclose(got, together[config.id], rtol=2e-5)


@pytest.mark.slow
def test_trials_with_seeds_of_their_own_have_the_same_numbers():
    sweep, configs = all_parts(), TOGETHER[:2]
    expected = histories(sweep, configs, seed=8)
    with Engine(sweep, FAMILY, SIZES, configs=configs, mode="padded") as engine:
        for config in configs:
            repeats = engine.plan.repeats([Trial(config.id, 0, seed) for seed in (7, 8)], 2)
            [trained] = engine.run(repeats, FOLDS)
            np.testing.assert_allclose(trained.history[1], expected[config.id], rtol=2e-5)
