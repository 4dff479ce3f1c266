"""What all tests share: two CPU devices, strict JAX, and tables to work on."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

# Before anything imports Keras: the reference arithmetic runs on JAX, without TensorFlow.
os.environ["KERAS_BACKEND"] = "jax"

import jax
import numpy as np
import pytest

from gtzan_jax.features import FEATURES
from gtzan_jax.space import Sweep, parse_sweep
from gtzan_jax.splits import Dataset

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

ROOT = Path(__file__).parent.parent
NEEDS = ("table", "browser", "torch")
"""What tests skip without, unless GTZAN_JAX_REQUIRE names it: then they fail."""

REAL_TABLES = (
    ROOT / "data" / "features_30_sec.csv",
    ROOT.parent / "shared" / "data" / "features_30_sec.csv",
)


def pytest_configure() -> None:
    """Refuses a misspelt need, which would let tests skip in silence again."""
    if unknown := required() - set(NEEDS):
        raise pytest.UsageError(
            f"GTZAN_JAX_REQUIRE: {', '.join(sorted(unknown))} is none of {', '.join(NEEDS)}"
        )


def required() -> set[str]:
    """Returns what must be there: the words of the environment variable GTZAN_JAX_REQUIRE."""
    return set(os.environ.get("GTZAN_JAX_REQUIRE", "").split())


def without(need: str, reason: str) -> NoReturn:
    """Ends a test that cannot do without what is not there: skips it, or fails."""
    if need not in NEEDS:
        raise ValueError(f"{need!r} is none of {NEEDS}")
    if need in required():
        pytest.fail(f"{reason}; GTZAN_JAX_REQUIRE names '{need}', so that this is no skip")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def real_table_path() -> Path:
    """The path of the real table; skips where there is none, or fails where it is required."""
    for path in REAL_TABLES:
        if path.is_file():
            return path
    without("table", "needs the real table, which may not be redistributed, at data/")


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the user's cache out of the tests, and the tests out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def make_sweep(**changes: object) -> Sweep:
    """Returns a sweep of 12 tiny configs in two shape groups, with some keys changed."""
    document: dict[str, object] = {
        "epochs": 2,
        "batch_size": 32,
        "loss": "cross_entropy",
        "leaky_slope": 0.2,
        "learning_rates": {"adam": 0.001, "sgd": 0.01, "rmsprop": 0.001},
        "axes": {
            "num_units1": [8, 12],
            "num_units2": [6],
            "num_units3": [5],
            "dropout1": [0.1],
            "dropout2": [0.2],
            "dropout3": [0.0],
            "activation": ["relu", "leaky_relu"],
            "initializer": ["glorot_uniform"],
            "optimizer": ["adam", "sgd", "rmsprop"],
        },
    }
    document["axes"] = document["axes"] | changes.pop("axes", {})  # type: ignore[operator]
    return parse_sweep(document | changes, "tiny", "test")


def make_dataset(
    num_train: int = 70, num_test: int = 30, num_genres: int = 4, seed: int = 0
) -> Dataset:
    """Returns a standardised dataset of genres that overlap somewhat."""
    random = np.random.default_rng(seed)
    y = (np.arange(num_train + num_test) % num_genres).astype(np.int32)
    centres = random.normal(size=(num_genres, len(FEATURES)))
    x = (centres[y] + 1.5 * random.normal(size=(len(y), len(FEATURES)))).astype(np.float32)
    return Dataset(
        x_train=x[:num_train],
        y_train=y[:num_train],
        x_test=x[num_train:],
        y_test=y[num_train:],
        mean=np.zeros(len(FEATURES)),
        scale=np.ones(len(FEATURES)),
        features=FEATURES,
        genres=tuple(f"genre{i}" for i in range(num_genres)),
    )
