import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gtzan_jax.trainer.optimizers import coefficients, optimizer

STEPS = 20


def gradients():
    random = np.random.default_rng(0)
    # From tiny to large, so that every epsilon is felt somewhere.
    scales = 10.0 ** random.uniform(-9, 2, size=(1, 50))
    return (scales * random.normal(size=(STEPS, 50))).astype(np.float32)


def run(transformation):
    params = jnp.zeros(50)
    state = transformation.init(params)
    path = []
    for gradient in gradients():
        updates, state = transformation.update(jnp.asarray(gradient), state, params)
        params = optax.apply_updates(params, updates)
        path.append(params)
    return np.stack(path)


@pytest.mark.filterwarnings("ignore")  # Keras's own
@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop"])
def test_equals_keras(name):
    keras = pytest.importorskip("keras")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        reference = keras.optimizers.get(name)
        rate = float(reference.learning_rate)
        variable = keras.Variable(np.zeros(50, np.float32))
        reference.build([variable])
        expected = []
        for gradient in gradients():
            reference.apply([jnp.asarray(gradient)], [variable])
            expected.append(np.array(variable))
    assert rate == pytest.approx({"adam": 0.001, "sgd": 0.01, "rmsprop": 0.001}[name])
    got = run(optimizer(coefficients(name, rate)))
    np.testing.assert_allclose(got, np.stack(expected), rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("sgd", optax.sgd(0.01)),
        ("rmsprop", optax.rmsprop(1e-3, 0.9, 1e-7, eps_in_sqrt=True, initial_scale=0.0)),
        # The same but for epsilon, which Optax adds after the bias correction.
        ("adam", optax.adam(1e-3, eps=0.0)),
    ],
)
def test_equals_optax(name, reference):
    rates = {"adam": 0.001, "sgd": 0.01, "rmsprop": 0.001}
    rule = coefficients(name, rates[name])
    if name == "adam":
        rule = rule._replace(epsilon_outside=np.float32(0.0))
    with jax.numpy_dtype_promotion("standard"):
        expected = run(reference)
    np.testing.assert_allclose(run(optimizer(rule)), expected, rtol=2e-5, atol=1e-12)


@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop"])
def test_zero_gradients_leave_zero_weights_at_zero(name):
    rule = optimizer(coefficients(name, 0.01))
    params = jnp.zeros(3)
    state = rule.init(params)
    for _ in range(3):
        updates, state = rule.update(jnp.zeros(3), state, params)
        params = optax.apply_updates(params, updates)
    np.testing.assert_array_equal(params, 0.0)
