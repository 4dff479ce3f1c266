"""A finished run directory, read and checked: what reports and comparisons work on."""

import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.errors import InputError
from gtzan_jax.features import KAGGLE_SHA256, FeatureTable, find_table, load_table
from gtzan_jax.manifest import Manifest, sweep_of
from gtzan_jax.rundir import RESULT_METRICS, RunDir
from gtzan_jax.space import HYPERPARAMETERS, Sweep
from gtzan_jax.training import METRICS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """What a finished sweep wrote."""

    run: RunDir
    manifest: Manifest
    sweep: Sweep
    results: "pd.DataFrame"  # one row a config, best first
    accuracy: np.ndarray  # (configs, seeds) float64 final test accuracy, NaN where diverged
    retrained: "pd.DataFrame | None"  # one row an epoch; None if the run has no retraining
    scores: "pd.DataFrame | None"  # one row a genre

    def __repr__(self) -> str:
        configs, seeds = self.accuracy.shape
        retrained = "not retrained" if self.retrained is None else "the best retrained"
        return (
            f"FinishedRun({reprlib.repr(self.name)}, {configs:,} configs × {seeds} seeds × "
            f"{self.sweep.epochs} epochs, {retrained})"
        )

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.run.path.resolve().name

    @property
    def is_sample(self) -> bool:
        """Whether the run was trained on the synthetic sample."""
        return self.manifest.data.is_sample

    @property
    def mean_accuracy(self) -> np.ndarray:
        """(configs,) float64, the mean over the seeds; NaN where diverged.

        It is rounded, so that equal sums in another order of seeds stay equal.
        """
        mean: np.ndarray = np.round(self.accuracy.mean(axis=1), 7)
        return mean

    @property
    def note(self) -> str:
        """The line for figures: the source of the data, and the split."""
        data = self.manifest.data
        source = "SYNTHETIC sample, not GTZAN" if self.is_sample else data.name
        seed = self.manifest.split.seed
        return f"Data: {source}; {data.tracks:,} tracks; random 70:30 split, seed {seed}"


def read_run(path: str | Path) -> FinishedRun:
    """Reads a finished run directory.

    Raises:
      InputError: it is not one, the sweep did not finish, or its files do not fit together.
    """
    run = RunDir(path)
    manifest = run.read_manifest()
    if manifest.status != "finished":
        raise InputError(f"{run.path}: the sweep did not finish (status {manifest.status})")
    for name in ("results.csv", "history.csv", *(["best"] if manifest.retraining else [])):
        damaged = run.damaged(manifest, name)
        if damaged:
            raise InputError(
                f"{run.path / damaged} is missing or damaged: its checksum is not the manifest's; "
                "run the command of the sweep again to mend it"
            )
    try:
        sweep = sweep_of(manifest, run.manifest_path)
        results = run.read_results()
        return FinishedRun(
            run=run,
            manifest=manifest,
            sweep=sweep,
            results=_checked_results(results, sweep),
            accuracy=_accuracy(run.history_path, results, manifest.seeds, sweep),
            retrained=_read_optional(run.best / "history.csv", ["epoch", *METRICS]),
            scores=_read_optional(run.best / "scores.csv", ["genre", "precision", "recall", "f1"]),
        )
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"{run.path}: its files cannot be used ({reason})") from None


def table_of(run: FinishedRun, data: str | None) -> tuple[FeatureTable | None, str]:
    """Loads the feature table that a run was trained on.

    No path in the manifest is opened and nothing is downloaded: a stranger may have written it.

    Args:
      run: the run.
      data: where the table is, as for ``load_table``; None looks where tables lie by default.

    Returns:
      the table and "", or None and why it is not at hand.

    Raises:
      InputError: ``data`` is given, and is not that table.
    """
    recorded = run.manifest.data
    if data:
        table = load_table(data)
        if table.sha256 != recorded.sha256:
            raise InputError(f"--data={data} has another checksum than the table of {run.run.path}")
        return table, ""
    found = find_table(recorded.sha256, sample=recorded.is_sample)
    if found:
        return found, ""
    kaggle = "--data=kaggle downloads it" if recorded.sha256 == KAGGLE_SHA256 else ""
    return None, (
        f"its feature table (SHA-256 {recorded.sha256[:12]}…) is neither in data/ nor in the "
        f"cache; {kaggle or '--data=PATH says where it is'}"
    )


def _checked_results(results: "pd.DataFrame", sweep: Sweep) -> "pd.DataFrame":
    needed = ["rank", *HYPERPARAMETERS, *RESULT_METRICS, "diverged", "config_id"]
    missing = [column for column in needed if column not in results]
    if missing:
        raise ValueError(f"results.csv has no column {missing[0]}")
    if sorted(results["config_id"]) != list(range(sweep.num_configs)):
        raise ValueError(f"results.csv has not one row for each of {sweep.num_configs} configs")
    return results


def _accuracy(path: Path, results: "pd.DataFrame", seeds: list[int], sweep: Sweep) -> np.ndarray:
    """Returns (configs, seeds) float64 test accuracy after the last epoch, in grid order."""
    import pandas as pd

    history = pd.read_csv(path, usecols=["config_id", "seed", "epoch", "test_accuracy"])
    last = history[history["epoch"] == sweep.epochs]
    grid = last.pivot(index="config_id", columns="seed", values="test_accuracy")
    found = [*map(int, grid.index)], [*map(int, grid.columns)]
    if found != ([*range(sweep.num_configs)], sorted(seeds)):
        raise ValueError("history.csv has not every config and seed")
    accuracy = grid[seeds].to_numpy(np.float64, copy=True)
    accuracy[results.loc[results["diverged"], "config_id"]] = np.nan
    return accuracy


def _read_optional(path: Path, columns: list[str]) -> "pd.DataFrame | None":
    import pandas as pd

    if not path.is_file():
        return None
    frame = pd.read_csv(path)
    missing = [column for column in columns if column not in frame]
    if missing or frame.empty:
        raise ValueError(f"{path.name} has no {missing[0] if missing else 'rows'}")
    return frame
