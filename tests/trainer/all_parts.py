"""A sweep with every optional computation, and a config for each of them."""

from conftest import make_sweep

from gtzan_jax.space.config import Config
from gtzan_jax.space.hyperparameters import ACTIVATIONS, HYPERPARAMETERS, INITIALIZERS, OPTIMIZERS

_UNITS = {"num_units1": 12, "num_units2": 10, "num_units3": 8}

_SINGLE = (
    *({"activation": name} for name in ACTIVATIONS[2:]),
    *({"optimizer": name} for name in OPTIMIZERS[3:]),
    {"optimizer": "sgd", "momentum": 0.9},
    {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
    *({"optimizer": name, "weight_decay": 1.0} for name in OPTIMIZERS),
    {"l2": 0.03},
    {"max_norm": 0.6},
    {"weight_limit": 0.1},
    {"max_norm": 0.5, "weight_limit": 0.2},
    {"input_noise": 0.7},
    {"label_smoothing": 0.2},
    {"mixup": 0.4},
    {"mixup": 2.0, "label_smoothing": 0.3, "input_noise": 0.5},
    {
        "activation": "gelu", "optimizer": "nadam", "weight_decay": 0.5, "l2": 0.01, "mixup": 0.5,
        "max_norm": 0.7, "weight_limit": 0.3, "input_noise": 0.2, "label_smoothing": 0.1,
    },
)  # fmt: skip

CONFIGS = {
    "_".join(HYPERPARAMETERS[name].show(value) for name, value in changed.items()): Config.of(
        **_UNITS, **{"activation": "leaky_relu", "learning_rate": 0.01} | changed
    )
    for changed in _SINGLE
}
"""By a readable name."""

INITIALIZED = {
    name: Config.of(**_UNITS, initializer=name, learning_rate=0.01) for name in INITIALIZERS
}

PLAIN = Config.of(**_UNITS, activation="leaky_relu", learning_rate=0.01)


def all_parts(**changes: object):
    """Returns a sweep that has every part."""
    axes = {name: [value] for name, value in _UNITS.items()} | {
        "activation": list(ACTIVATIONS), "initializer": list(INITIALIZERS),
        "optimizer": list(OPTIMIZERS), "learning_rate": [0.01], "momentum": [0.0, 0.9],
        "nesterov": [False, True], "weight_decay": [0.0, 1.0], "l2": [0.03], "max_norm": [1.0],
        "weight_limit": [1.0], "input_noise": [1.0], "label_smoothing": [0.1], "mixup": [1.0],
    }  # fmt: skip
    return make_sweep(axes=axes, **changes)
