"""Every optional axis against Keras, all of them in one program."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from all_parts import CONFIGS, all_parts
from conftest import slow
from keras_mlp import keras_history
from scipy import stats
from test_trial import FAMILY, FOLD, PADDED, SIZES, UNITS, known_draws, known_params

from gtzan_jax.trainer.optimizers import optimizer
from gtzan_jax.trainer.trial import State, Static, hyperparameters, make_train

EPOCHS, WIDE = 2, (15, 11, 9)


@functools.cache
def compiled(units, loss):
    quickly = {"xla_backend_optimization_level": 0}
    return jax.jit(make_train(Static(FAMILY, units, 32, loss)), compiler_options=quickly)


def draws(fold):
    """Returns orders, dropout's bits for the wide program, noise of features and mixup's."""
    random = np.random.default_rng(2)
    return known_draws(EPOCHS, fold, WIDE)._replace(
        inputs=jnp.asarray(random.normal(size=(EPOCHS, 100, 9)), jnp.float32),
        mixup=jnp.asarray(random.uniform(size=(EPOCHS, 100)), jnp.float32),
    )


def train(config, loss="cross_entropy", fold=FOLD, units=UNITS, sweep=None):
    """Trains from known parameters, padded up to ``units``; returns the state and the history."""
    hyper = hyperparameters(FAMILY, config, sweep or all_parts(loss=loss), SIZES)
    shapes = FAMILY.init(
        hyper.model, FAMILY.draw_initial(np.zeros(2, np.uint32), units, SIZES), units
    )
    params = jax.tree.map(
        lambda known, like: jnp.pad(
            known, [(0, b - a) for a, b in zip(known.shape, like.shape, strict=True)]
        ),
        known_params(),
        shapes,
    )
    state = State(params, optimizer(hyper.optimizer).init(params))
    outcome = compiled(units, loss)(hyper, state, draws(fold), jnp.int32(EPOCHS), fold)
    return outcome.state, np.asarray(outcome.history)


def shares(config, drawn):
    """Returns (epochs, steps) of mixup, from SciPy's quantiles."""
    return stats.beta.ppf(np.asarray(drawn.mixup, np.float64)[:, :3], *[config["mixup"]] * 2)


ALL = list(CONFIGS)[-1]  # parts at once


@pytest.mark.parametrize(
    ("name", "fold"),
    [(ALL, PADDED), slow("mixup0.4", PADDED), *(slow(name, FOLD) for name in CONFIGS)],
    ids=[f"{ALL}-padded", "mixup0.4-padded", *CONFIGS],
)
@pytest.mark.filterwarnings("ignore")  # Keras's own
def test_equals_keras(name, fold):
    keras = pytest.importorskip("keras")
    config = CONFIGS[name]
    # The one loss for all configs, the other for those that change it.
    loss = "softmax_twice" if config.setting("label_smoothing") else "cross_entropy"
    _, history = train(config, loss, fold)
    drawn, count = draws(fold), int(fold.train_weight.sum())
    expected = keras_history(
        keras, config, known_params(), np.asarray(drawn.order)[:, :count], fold, loss=loss,
        noise=np.asarray(drawn.inputs)[:, :count] if "input_noise" in config else None,
        shares=shares(config, drawn) if "mixup" in config else None,
    )  # fmt: skip
    # Shares of mixup are interpolated, the others' differences are of rounding.
    np.testing.assert_allclose(history, expected, rtol=1e-3 if "mixup" in config else 1e-4)
