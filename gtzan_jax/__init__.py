"""gtzan_jax: every network of a grid, trained at once, on GTZAN's audio features.

The names below are imported when they are first used, so that ``import gtzan_jax`` and the
commands' ``--help`` stay quick.
"""

import importlib
import os
import time
from typing import TYPE_CHECKING, Any

STARTED = time.perf_counter()  # where the commands count their seconds from

# XLA prints pages of harmless doubts when it loads a program that it cached on a CPU. It
# reads this variable when jaxlib is imported, so that no later place would do.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

if TYPE_CHECKING:
    from gtzan_jax.engine import Engine as Engine
    from gtzan_jax.errors import InputError as InputError
    from gtzan_jax.features import FeatureTable as FeatureTable
    from gtzan_jax.features import load_table as load_table
    from gtzan_jax.space import Config as Config
    from gtzan_jax.space import Sweep as Sweep
    from gtzan_jax.space import load_sweep as load_sweep
    from gtzan_jax.splits import Dataset as Dataset
    from gtzan_jax.splits import random_split as random_split
    from gtzan_jax.splits import standardise as standardise
    from gtzan_jax.trained import TrainedModel as TrainedModel
    from gtzan_jax.trained import load_model as load_model

_HOMES = {
    "Config": "space",
    "Dataset": "splits",
    "Engine": "engine",
    "FeatureTable": "features",
    "InputError": "errors",
    "Sweep": "space",
    "TrainedModel": "trained",
    "load_model": "trained",
    "load_sweep": "space",
    "load_table": "features",
    "random_split": "splits",
    "standardise": "splits",
}

__all__ = [*_HOMES, "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gtzan_jax' has no attribute '{name}'")
    return getattr(importlib.import_module(f"gtzan_jax.{_HOMES[name]}"), name)
