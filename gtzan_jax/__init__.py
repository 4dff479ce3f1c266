"""gtzan_jax: trains every network of a hyperparameter grid at once, on tables such as GTZAN's.

The names below are imported when they are first used, so that ``import gtzan_jax`` and the
commands' ``--help`` stay quick.
"""

import importlib
import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from gtzan_jax.resources import replace_unusable_home

STARTED = time.perf_counter()  # of the command, for the seconds that it prints

# XLA prints pages of harmless warnings when it loads a program cached on a CPU. It reads
# this variable when jaxlib is imported, so it must be set here.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# True if python -m is about to run a module of this package, but not of a subpackage.
if sys.argv[:1] == ["-m"] and re.search(r"(^|m)gtzan_jax(\.\w+)?$", sys.orig_argv[-len(sys.argv)]):
    from gtzan_jax import console

    console.begin()  # before the imports, which take most of a second
replace_unusable_home()  # libraries look for a home folder on import

if TYPE_CHECKING:
    from gtzan_jax.errors import InputError as InputError
    from gtzan_jax.errors import RunError as RunError
    from gtzan_jax.inference.model import TrainedModel as TrainedModel
    from gtzan_jax.inference.model_files import load_model as load_model
    from gtzan_jax.inference.prediction import Explanation as Explanation
    from gtzan_jax.inference.prediction import Prediction as Prediction
    from gtzan_jax.jobs.estimator import SweepClassifier as SweepClassifier
    from gtzan_jax.jobs.run import Run as Run
    from gtzan_jax.jobs.run import read_run as read_run
    from gtzan_jax.jobs.sweeping import run_sweep as run_sweep
    from gtzan_jax.models.family import register_family as register_family
    from gtzan_jax.space.config import Config as Config
    from gtzan_jax.space.sweep import Sweep as Sweep
    from gtzan_jax.space.sweep_file import load_sweep as load_sweep
    from gtzan_jax.tables.protocols import Splits as Splits
    from gtzan_jax.tables.protocols import make_splits as make_splits
    from gtzan_jax.tables.schema import Columns as Columns
    from gtzan_jax.tables.schema import FeatureTable as FeatureTable
    from gtzan_jax.tables.sources import load_table as load_table
    from gtzan_jax.trainer.engine import Engine as Engine

_HOMES = {
    "Columns": "tables.schema",
    "Config": "space.config",
    "Splits": "tables.protocols",
    "Engine": "trainer.engine",
    "Explanation": "inference.prediction",
    "FeatureTable": "tables.schema",
    "InputError": "errors",
    "Prediction": "inference.prediction",
    "Run": "jobs.run",
    "RunError": "errors",
    "Sweep": "space.sweep",
    "SweepClassifier": "jobs.estimator",
    "TrainedModel": "inference.model",
    "make_splits": "tables.protocols",
    "load_model": "inference.model_files",
    "load_sweep": "space.sweep_file",
    "load_table": "tables.sources",
    "read_run": "jobs.run",
    "register_family": "models.family",
    "run_sweep": "jobs.sweeping",
}

__all__ = [*_HOMES, "__version__"]

__version__ = "1.0.0"


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gtzan_jax' has no attribute '{name}'")
    return getattr(importlib.import_module(f"gtzan_jax.{_HOMES[name]}"), name)
