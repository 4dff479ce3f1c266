"""Holds runs against each other, config by config.

Configs are matched by the values of the axes that all runs have, so that sweeps whose grids
only overlap can be compared as well. Where a run has further axes, its figure is the mean over
the configs that differ in those alone.

Runs without a common config are compared by their bests and their axes.

Two runs with the same table and split are paired by fold and seed: members that share a seed share
initial weights, order of rows and dropout noise, so that both runs have that luck alike. It moves
all configs of a seed together, so that intervals are over seeds or folds (see
:mod:`gtzan_jax.analysis.effects`) and how the configs differ is shown as spread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax.analysis.effects import mean_difference, units_of
from gtzan_jax.analysis.selection import accuracy_interval
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.rundir.manifest import Manifest, as_dict, environment
from gtzan_jax.space.config import Config

if TYPE_CHECKING:
    import pandas as pd

# What differs between any two runs, or is too long to print.
_NOT_COMPARED = ("resume", "sessions", "timings_s", "peak_rss_bytes", "data.repeats", "sha256")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several runs, side by side.

    Attributes:
      axes: the axes that all runs have.
      runs: one row a run: run, data, is_sample, protocol, chosen_on (the part that configs are
        ranked by), loss, epochs, configs, folds, seeds, best (its test accuracy), deviation (of
        that over folds and seeds; NaN with one run), low, high (its 95 % interval over groups of
        test tracks), best_config.
      bests: each run's best config.
      pairs: one row for each run but the first: run, differs (table, protocol or split, whichever
        the first run has another of), matched (configs that both trained to the end), out_of
        (configs of the run that has fewer), paired_runs (folds × seeds that both have, on the same
        split), difference (mean test accuracy over those, else over all, less the first run's),
        low, high (its 95 % interval),
        interval_over (seeds or folds; "" where there is no interval, low and high are NaN then;
        where nothing is matched, these and the difference are NaN),
        configs_p10, configs_p90 (percentiles of the configs' differences, each the mean over runs:
        their spread, no interval), rank_correlation (Spearman's, of the configs' means),
        same_best (whether both runs' best of the matched configs is the same).
      configs: one row for each config that any two runs share: the common axes, and each
        run's test accuracy; NaN where the run does not have the config or it diverged.
      manifests: one row for each thing that differs in the manifests, one column a run.
    """

    axes: tuple[str, ...]
    runs: "pd.DataFrame"
    bests: tuple[Config, ...]
    pairs: "pd.DataFrame"
    configs: "pd.DataFrame"
    manifests: "pd.DataFrame"

    def __repr__(self) -> str:
        return f"Comparison({len(self.runs)} runs, {len(self.configs):,} configs in common)"


def compare(runs: Sequence[FinishedRun]) -> Comparison:
    """Compares the final test accuracy of runs, config by config; means over folds and seeds.

    Args:
      runs: at least two; the others are held against the first.

    Raises:
      InputError: a run is named twice, or its predictions cannot be used.
    """
    import pandas as pd

    names = _names(runs)
    axes = tuple(name for name in runs[0].sweep.axes if all(name in r.sweep.axes for r in runs))
    # Without a common axis every config would match every other.
    columns = [_accuracies(run, axes) if axes else {} for run in runs]
    rows = [
        {"run": name, "differs": " and ".join(_differing(runs[0], run))}
        | _pair(columns[0], column, _common_seeds(runs[0], run), run.protocol.num_divisions)
        for name, run, column in list(zip(names, runs, columns, strict=True))[1:]
    ]
    means = [{key: _mean(each) for key, each in column.items()} for column in columns]
    return Comparison(
        axes=axes,
        runs=pd.DataFrame([_summary(name, r) for name, r in zip(names, runs, strict=True)]),
        bests=tuple(run.config() for run in runs),
        pairs=pd.DataFrame(rows),
        configs=_shared(names, axes, means),
        manifests=manifest_differences(names, [run.manifest for run in runs]),
    )


def manifest_differences(names: Sequence[str], manifests: Sequence[Manifest]) -> "pd.DataFrame":
    """Returns what differs between manifests: a row for each, with a column for each name.

    Times, memory, commands and checksums are left out.
    """
    import pandas as pd

    flat = [_flatten(as_dict(each)) | dict(environment(each.sessions)) for each in manifests]
    keys = list(dict.fromkeys(key for each in flat for key in each))
    rows = [
        [key, *(each.get(key, "") for each in flat)]
        for key in keys
        if not key.startswith(_NOT_COMPARED) and len({each.get(key) for each in flat}) > 1
    ]
    return pd.DataFrame(rows, columns=["manifest", *names])


def _names(runs: Sequence[FinishedRun]) -> list[str]:
    """Returns the folders' names, or their paths where names would be equal."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.run.path) for run in runs]
    if len(set(names)) < len(names):
        raise InputError("a run directory is named twice; name different ones")
    return names


def _accuracies(run: FinishedRun, axes: Sequence[str]) -> dict[Config, np.ndarray]:
    """Returns (folds, seeds) test accuracy by the values of some axes; NaN where diverged."""
    groups: dict[Config, list[np.ndarray]] = {}
    for config, accuracy in zip(run.sweep.configs, run.accuracy_by_fold, strict=True):
        key = Config.of(**{name: config[name] for name in axes})
        groups.setdefault(key, []).append(accuracy)
    return {config: np.mean(group, axis=0) for config, group in groups.items()}


def _mean(accuracy: np.ndarray) -> float:
    """Returns the mean over runs, rounded, so that equal sums in another order stay equal."""
    return round(float(accuracy.mean()), 7)


def _differing(first: FinishedRun, other: FinishedRun) -> list[str]:
    """Returns which of table, protocol and split differ; the split only where it alone does."""
    found = {
        "table": first.manifest.data.sha256 != other.manifest.data.sha256,
        "protocol": first.sweep.protocol != other.sweep.protocol,
    }
    differing = [name for name, differs in found.items() if differs]
    return differing or (["split"] if first.manifest.split != other.manifest.split else [])


def _common_seeds(first: FinishedRun, other: FinishedRun) -> tuple[list[int], list[int]]:
    """Returns the places of the seeds that two runs share; none if table or split differ."""
    mine, its = first.manifest, other.manifest
    same = not _differing(first, other)
    shared = [seed for seed in mine.seeds if same and seed in its.seeds]
    return [mine.seeds.index(s) for s in shared], [its.seeds.index(s) for s in shared]


def _summary(name: str, run: FinishedRun) -> dict[str, Any]:
    best, config = run.results.iloc[0], run.config()
    hits = run.predictions.correct[run.sweep.places[config.id]].mean(axis=0)
    low, high = accuracy_interval(hits, run.predictions.group)
    return {
        "run": name,
        "data": run.manifest.data.name,
        "is_sample": run.is_sample,
        "protocol": run.sweep.protocol,
        "chosen_on": run.protocol.select_on,
        "loss": run.sweep.loss,
        "epochs": run.sweep.epochs,
        "configs": run.sweep.num_configs,
        "folds": len(run.manifest.split.folds),
        "seeds": len(run.manifest.seeds),
        "best": float(best["test_accuracy"]),
        "deviation": float(best.get("test_accuracy_std", np.nan)),
        "low": low,
        "high": high,
        "best_config": config.name,
    }


def _pair(
    first: Mapping[Config, np.ndarray],
    other: Mapping[Config, np.ndarray],
    common: tuple[list[int], list[int]],
    num_divisions: int,
) -> dict[str, Any]:
    """Holds a run against the first.

    Args:
      first: (folds, seeds) test accuracy of each config.
      other: likewise.
      common: the places of the seeds that are paired in either, if any.
      num_divisions: that the folds are of.
    """
    from scipy import stats

    shared = [
        c for c in first if c in other and all(np.isfinite(r[c]).all() for r in (first, other))
    ]
    x, y = (np.array([_mean(run[c]) for c in shared]) for run in (first, other))
    by_run = (y - x)[:, None, None]  # one, and no interval, where nothing is paired
    if shared and common[0]:
        by_run = np.array([other[c][:, common[1]] - first[c][:, common[0]] for c in shared])
    found = mean_difference(by_run, num_divisions)
    # Not defined where all configs of a run are equally good.
    ordered = len(shared) > 1 and bool(np.ptp(x)) and bool(np.ptp(y))
    low = found.get("low", np.nan)
    return {
        "matched": len(shared),
        "out_of": min(len(first), len(other)),
        "paired_runs": by_run[0].size if shared and common[0] else 0,
        "difference": found.get("difference", np.nan),
        "low": low,
        "high": found.get("high", np.nan),
        "interval_over": (units_of(*by_run.shape[1:]) or "") if np.isfinite(low) else "",
        "configs_p10": found.get("p10", np.nan),
        "configs_p90": found.get("p90", np.nan),
        "rank_correlation": float(stats.spearmanr(x, y).statistic) if ordered else np.nan,
        "same_best": bool(shared) and int(x.argmax()) == int(y.argmax()),
    }


def _shared(
    names: Sequence[str], axes: Sequence[str], columns: Sequence[Mapping[Config, float]]
) -> "pd.DataFrame":
    import pandas as pd

    configs = list(dict.fromkeys(config for column in columns for config in column))
    rows = [
        [*config.values(), *(column.get(config, np.nan) for column in columns)]
        for config in configs
        if sum(config in column for column in columns) > 1
    ]
    table = pd.DataFrame(rows, columns=[*axes, *names])
    return table.sort_values(names[0], ascending=False, kind="stable").reset_index(drop=True)


def _flatten(manifest: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Returns a manifest's values as text, by their keys with dots between."""
    flat: dict[str, str] = {}
    for key, value in manifest.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = " ".join(str(value).split())
    return flat
