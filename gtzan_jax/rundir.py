"""The run directory: everything that one sweep wrote, in one folder.

manifest.json   what was run, on what, with what, and how long it took
results.csv     one row a config, best first
history.csv     one row a member and epoch
tensorboard/    every run, for TensorBoard
overview/       what one wants to see first, for TensorBoard
best/           the retrained model
"""

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax.errors import InputError
from gtzan_jax.features import FeatureTable
from gtzan_jax.files import write_atomically
from gtzan_jax.space import HYPERPARAMETERS, Sweep
from gtzan_jax.training import METRICS

if TYPE_CHECKING:  # pandas takes half a second to import: not before it is needed
    import pandas as pd

_PACKAGES = (
    "gtzan_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "pandas",
    "scikit-learn",
    "tensorboardX",
)

# The order of the columns of results.csv behind the hyperparameters.
RESULT_METRICS = ("test_accuracy", "test_loss", "train_accuracy", "train_loss")


class RunDir:
    """The files of one run.

    Args:
      path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.manifest_path = self.path / "manifest.json"
        self.results_path = self.path / "results.csv"
        self.history_path = self.path / "history.csv"
        self.tensorboard = self.path / "tensorboard"
        self.overview = self.path / "overview"
        self.best = self.path / "best"

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Writes what was run."""
        text = json.dumps(manifest, indent=2, allow_nan=False)
        write_atomically(self.manifest_path, text + "\n")

    def read_manifest(self) -> dict[str, Any]:
        """Reads what was run.

        Raises:
          InputError: this is not a run directory.
        """
        try:
            manifest = json.loads(self.manifest_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise InputError(
                f"{self.path} is not a run directory: it has no readable manifest.json"
            ) from None
        if not isinstance(manifest, dict):
            raise InputError(f"{self.manifest_path}: not a manifest")
        return manifest

    def write_tables(self, results: "pd.DataFrame", history: "pd.DataFrame") -> None:
        """Writes results.csv and history.csv."""
        write_atomically(self.results_path, results.to_csv(index=False, lineterminator="\n"))
        write_atomically(self.history_path, history.to_csv(index=False, lineterminator="\n"))

    def read_results(self) -> "pd.DataFrame":
        """Reads results.csv.

        Raises:
          InputError: it is not there.
        """
        import pandas as pd

        if not self.results_path.is_file():
            raise InputError(f"{self.path}: no results.csv: the sweep did not finish")
        return pd.read_csv(self.results_path)


def default_folder(name: str) -> Path:
    """Returns runs/<name>-<UTC time>."""
    return Path("runs", f"{name}-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}")


def check_folder(path: Path) -> None:
    """Checks, without making it, that a folder for a command's output can be made.

    Raises:
      InputError: there is a file, or a folder that holds something.
    """
    if path.is_dir() and any(path.iterdir()):
        raise InputError(f"--workdir={path}: the folder is not empty; name a new one, or delete it")
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(
            f"--workdir={path}: {nearest} is not a folder that you may write to; name another"
        )


def create_folder(path: Path) -> None:
    """Makes a folder for a command's output.

    Raises:
      InputError: it cannot be made, or already holds something.
    """
    check_folder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--workdir={path}: cannot be made: {error.strerror}") from None


def results_table(sweep: Sweep, num_seeds: int, history: np.ndarray) -> "pd.DataFrame":
    """Ranks the configs by their figures after the last epoch.

    Diverged configs, those with a member whose loss is not finite, come last; ties break by
    lower test loss, then by config id.

    Args:
      sweep: the sweep.
      num_seeds: replicates of each config.
      history: (configs, seeds, epochs, 4) float32, in the order of ``training.METRICS``.

    Returns:
      one row a config, best first: rank, the hyperparameters, the mean figures over the
      seeds, diverged, config_id; with several seeds also test_accuracy_std and num_seeds.
    """
    import pandas as pd

    table = pd.DataFrame(sweep.configs())[list(HYPERPARAMETERS)]
    final = history[:, :, -1].astype(np.float64)
    for metric in RESULT_METRICS:
        # Rounded, so that equal sums in another order of seeds stay equal.
        table[metric] = np.round(final[:, :, METRICS.index(metric)].mean(axis=1), 7)
    if num_seeds > 1:
        spread = final[:, :, METRICS.index("test_accuracy")].std(axis=1, ddof=1)
        table["test_accuracy_std"] = np.round(spread, 7)
        table["num_seeds"] = num_seeds
    table["diverged"] = ~np.isfinite(history).all(axis=(1, 2, 3))
    table["config_id"] = np.arange(len(table))
    table = table.sort_values(
        ["diverged", "test_accuracy", "test_loss", "config_id"],
        ascending=[True, False, True, True],
    )
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table.reset_index(drop=True)


def history_table(seeds: Sequence[int], history: np.ndarray) -> "pd.DataFrame":
    """Lays the history out as one row a config, seed and epoch (from 1).

    Args:
      seeds: the seeds.
      history: (configs, seeds, epochs, 4) float32, in the order of ``training.METRICS``.
    """
    import pandas as pd

    configs, _, epochs, _ = history.shape
    index = pd.MultiIndex.from_product(
        [range(configs), seeds, range(1, epochs + 1)], names=["config_id", "seed", "epoch"]
    )
    return pd.DataFrame(history.reshape(-1, len(METRICS)), index, list(METRICS)).reset_index()


def markdown_table(table: "pd.DataFrame") -> str:
    """Lays a table out in Markdown; accuracies and losses to four digits."""
    rows = [list(table.columns), ["---"] * len(table.columns)]
    for row in table.itertuples(index=False):
        rows.append([_cell(name, value) for name, value in zip(table.columns, row, strict=True)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cell(name: str, value: object) -> str:
    return f"{value:.4f}" if name.endswith(("_accuracy", "_loss", "_std")) else str(value)


def describe_data(table: FeatureTable, flag: str) -> dict[str, Any]:
    """Returns what a manifest says of the feature table that ``--data=flag`` gave."""
    return {
        "flag": flag,
        "source": table.source,
        "sha256": table.sha256,
        "tracks": len(table.y),
        "features": len(table.features),
        "genres": list(table.genres),
        "repeats": [[table.tracks[row] for row in rows] for rows in table.repeats],
    }


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that the figures depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def peak_rss_bytes() -> int | None:
    """Returns the most memory that this process has held, in bytes; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # KiB elsewhere
