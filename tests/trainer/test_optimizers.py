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


def start_of(name):
    """Returns weights of 0, so that the smallest updates are seen; of 1 where weights decay."""
    decays = "decay" in name or name == "adamw"
    return np.full(50, float(decays), np.float32)


def assert_same_path(got, expected, rtol):
    """Compares with what the largest weight on an element's path is rounded by, besides."""
    rounding = 1e-6 * np.abs(expected).max(axis=0)
    assert (np.abs(got - expected) <= rtol * np.abs(expected) + rounding).all()


def run(transformation, start):
    params = jnp.asarray(start)
    state = transformation.init(params)
    path = []
    for gradient in gradients():
        updates, state = transformation.update(jnp.asarray(gradient), state, params)
        params = optax.apply_updates(params, updates)
        path.append(params)
    return np.stack(path)


RULES = {
    "adam": {}, "sgd": {}, "rmsprop": {}, "adamw": {}, "nadam": {}, "lion": {},
    "sgd momentum": {"momentum": 0.9}, "sgd nesterov": {"momentum": 0.9, "nesterov": True},
    "adam decay": {"weight_decay": 0.1}, "rmsprop decay": {"weight_decay": 0.1},
}  # fmt: skip
ALL = frozenset({"nadam", "nesterov", "lion", "weight_decay"})


def rule(name, rate=0.01, parts=ALL, **changes):
    optimizer_name = name.partition(" ")[0]
    decay = {"weight_decay": 0.004} if name == "adamw" else {}
    return coefficients(optimizer_name, rate, parts=parts, **decay | RULES[name] | changes)


@pytest.mark.filterwarnings("ignore")  # Keras's own
@pytest.mark.parametrize("name", RULES)
def test_equals_keras(name):
    keras = pytest.importorskip("keras")
    start = start_of(name)
    described = {"class_name": name.partition(" ")[0], "config": RULES[name]}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        reference = keras.optimizers.get(described)
        rate = float(reference.learning_rate)
        variable = keras.Variable(start)
        reference.build([variable])
        expected = []
        for gradient in gradients():
            reference.apply([jnp.asarray(gradient)], [variable])
            expected.append(np.array(variable))
    assert rate == pytest.approx(0.01 if "sgd" in name else 0.001)
    needed = {
        "nadam": {"nadam"}, "lion": {"lion"}, "adamw": {"adamw"}, "sgd nesterov": {"nesterov"},
    }.get(name, {"weight_decay"} if "decay" in name else set())  # fmt: skip
    for parts in (ALL, needed):  # a program with all of them, and one with what it takes
        got = run(optimizer(rule(name, rate, parts=frozenset(parts))), start)
        assert_same_path(got, np.stack(expected), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("sgd", optax.sgd(0.01)),
        ("sgd momentum", optax.sgd(0.01, momentum=0.9)),
        ("sgd nesterov", optax.sgd(0.01, momentum=0.9, nesterov=True)),
        ("rmsprop", optax.rmsprop(0.01, 0.9, 1e-7, eps_in_sqrt=True, initial_scale=0.0)),
        ("lion", optax.lion(0.01, weight_decay=0.0)),
        # The same but for epsilon, which Optax adds after the bias correction.
        ("adam", optax.adam(0.01, eps=0.0)),
        ("adamw", optax.adamw(0.01, eps=0.0, weight_decay=0.004)),
    ],
)
def test_equals_optax(name, reference):
    start = start_of(name)
    numbers = rule(name)
    if name.startswith("adam"):
        numbers = numbers._replace(epsilon_outside=np.float32(0.0))
    with jax.numpy_dtype_promotion("standard"):
        expected = run(reference, start)
    assert_same_path(run(optimizer(numbers), start), expected, rtol=2e-5)


@pytest.mark.parametrize("name", RULES)
def test_zero_gradients_leave_zero_weights_at_zero(name):
    update = optimizer(rule(name))
    params = jnp.zeros(3)
    state = update.init(params)
    for _ in range(3):
        updates, state = update.update(jnp.zeros(3), state, params)
        params = optax.apply_updates(params, updates)
    np.testing.assert_array_equal(params, 0.0)


def test_parts_that_a_sweep_has_no_use_for_are_none():
    numbers = coefficients("nadam", 0.1, momentum=0.9, nesterov=True, weight_decay=0.1)
    assert numbers.nesterov is numbers.lion is numbers.weight_decay is None
    assert optimizer(numbers).init(jnp.zeros(3)).product is None


@pytest.mark.parametrize("name", ["adam", "rmsprop", "adamw", "nadam", "lion"])
def test_momentum_is_of_sgd_only(name):
    """A grid has it with every optimizer: the others do not look at it."""
    assert rule(name) == rule(name, momentum=0.9, nesterov=True)
    assert rule("sgd") != rule("sgd", momentum=0.9) != rule("sgd", momentum=0.9, nesterov=True)
