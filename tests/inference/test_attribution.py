import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from gtzan_jax.inference.attribution import integrated_gradients
from gtzan_jax.inference.network import Network
from gtzan_jax.space.config import Config
from gtzan_jax.tables.folds import Sizes

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(3, 5)).astype(np.float32)


def test_of_a_linear_function_they_are_weights_times_inputs():
    weights = RANDOM.normal(size=X.shape).astype(np.float32)
    baseline = np.ones_like(X)
    found = integrated_gradients(lambda x: (weights * x).sum() + 3.0, X, baseline)
    np.testing.assert_allclose(found.values, weights * (X - baseline), rtol=1e-5, atol=1e-6)
    assert found.output - found.baseline == pytest.approx(found.values.sum(), abs=1e-4)


def test_of_a_product_each_factor_gets_half():
    # ∫ 2t · t dt · … : of x·y from 0 both get xy/2; of x²·y the first 2/3, the second 1/3.
    x = np.array([3.0, -2.0], np.float32)
    both = integrated_gradients(lambda x: x[0] * x[1], x, np.zeros_like(x))
    np.testing.assert_allclose(both.values, [-3, -3], rtol=1e-6)
    skew = integrated_gradients(lambda x: x[0] ** 2 * x[1], x, np.zeros_like(x))
    np.testing.assert_allclose(skew.values, [-12, -6], rtol=1e-6)


def test_a_kink_is_found_by_halving():
    # max(0, x − 0.3 · width) has a gradient of 0, then of 1: the integral is the share behind it.
    x = np.array([2.0], np.float32)
    found = integrated_gradients(lambda x: jax.nn.relu(x - 0.6).sum(), x, np.zeros_like(x), 1e-5)
    assert found.values.item() == pytest.approx(1.4, abs=1e-5)
    assert found.slopes.item() == pytest.approx(0.7, abs=1e-5)
    assert abs(found.gap) < 1e-5


def test_what_cannot_be_had_exactly_is_told():
    # A step has no gradient: what it adds is missing, and the gap says so.
    x = np.array([1.0], np.float32)
    found = integrated_gradients(
        lambda x: jnp.where(x > 0.3, x + 2.0, x).sum(), x, np.zeros_like(x)
    )
    assert found.values.item() == pytest.approx(1)
    assert found.gap == pytest.approx(-2, abs=1e-5)


def network(widths=(5, 30, 20, 4), seed=1, scale=2.0):
    random = np.random.default_rng(seed)
    params = {}
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        name = "logits" if layer == len(widths) - 2 else f"hidden{layer + 1}"
        kernel = random.normal(0, scale * fan_in**-0.5, (fan_in, fan_out))
        params[f"{name}.kernel"] = kernel.astype(np.float32)
        params[f"{name}.bias"] = random.normal(0, 0.3, fan_out).astype(np.float32)
    return params


def song_attributions(params, x, activation, slope, label, temperature):
    config = Config.of(num_units1=1, activation=activation)
    made = Network(config, params, slope, Sizes(0, 0, x.shape[1], 2))
    return made.attributions(x, label, temperature)


def logits_of(params, x, slope):
    for layer in range(1, len(params) // 2):
        x = x @ params[f"hidden{layer}.kernel"] + params[f"hidden{layer}.bias"]
        x = np.where(x > 0, x, slope * x)
    return x @ params["logits.kernel"] + params["logits.bias"]


def voted(params, x, slope, label, temperature):
    """The log-probability of a class by the mean log-probability of the rows, in float64."""
    logs = log_softmax(logits_of(params, x.astype(np.float64), slope), axis=1).mean(axis=0)
    return log_softmax(logs / temperature)[label]


@pytest.mark.parametrize(
    ("rows", "temperature", "activation"), [(1, 0.5, "relu"), (7, 3.0, "leaky_relu")]
)
def test_those_of_a_network_add_up(rows, temperature, activation):
    slope, params = 0.0 if activation == "relu" else 0.2, network()
    x = 2 * np.random.default_rng(rows).normal(size=(rows, 5)).astype(np.float32)
    label = int(logits_of(params, x, slope).mean(axis=0).argmax())
    found = song_attributions(params, x, activation, slope, label, temperature)
    expected = [voted(params, z, slope, label, temperature) for z in (x, np.zeros_like(x))]
    assert (found.output, found.baseline) == pytest.approx(expected, abs=1e-4)
    assert found.values.shape == x.shape
    assert found.values.sum() == pytest.approx(expected[0] - expected[1], abs=2e-3)
    assert found.gap == pytest.approx(found.values.sum() - (found.output - found.baseline))


def test_those_of_a_network_are_the_mean_of_many_gradients():
    params, label, temperature = network(), 2, 1.5
    x = np.random.default_rng(3).normal(size=(2, 5)).astype(np.float32)
    found = song_attributions(params, x, "leaky_relu", 0.2, label, temperature)
    steps, width = 2000, 1e-5
    total = np.zeros(x.shape)
    for share in (np.arange(steps) + 0.5) / steps:  # the midpoint rule, differences for gradients
        point = share * x.astype(np.float64)
        for place in np.ndindex(x.shape):
            up, down = point.copy(), point.copy()
            up[place] += width
            down[place] -= width
            rise = voted(params, up, 0.2, label, temperature)
            total[place] += rise - voted(params, down, 0.2, label, temperature)
    np.testing.assert_allclose(found.values, total * x / (2 * width * steps), atol=2e-3)


def test_a_network_without_a_hidden_kink_has_a_closed_form():
    # Logits linear in x, two classes: log p has gradients (w₁ − w₀)(1 − p), whose path integral is
    # shared out in proportion to (w₁ − w₀)ᵢ xᵢ.
    params = network((5, 2))
    x = RANDOM.normal(size=(1, 5)).astype(np.float32)
    found = song_attributions(params, x, "relu", 0.0, 1, 1.0)
    steer = (params["logits.kernel"][:, 1] - params["logits.kernel"][:, 0]) * x[0]
    rise = voted(params, x, 0, 1, 1.0) - voted(params, 0 * x, 0, 1, 1.0)
    np.testing.assert_allclose(found.values[0], rise * steer / steer.sum(), rtol=1e-3, atol=1e-5)
