"""Compares runs config by config, paired by fold and seed where table and split are the same."""

from collections.abc import Iterator, Mapping, Sequence
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

# Keys that differ between any two runs, or are too long to print.
_NOT_COMPARED = ("resume", "sessions", "timings_s", "peak_rss_bytes", "data.repeats", "sha256")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several runs, compared with the first.

    Configs are matched by the hyperparameters that all runs have; the accuracy of a run with more
    of them is the mean over the configs that differ only in those. Missing figures are NaN.
    """

    axes: tuple[str, ...]  # that all runs have
    runs: "pd.DataFrame"  # one row a run, of its best config, from _summary
    bests: tuple[Config, ...]
    pairs: "pd.DataFrame"  # one row for each run but the first, from _pair
    configs: "pd.DataFrame"  # shared by at least two runs: axes, and each run's test accuracy
    manifests: "pd.DataFrame"  # one row a difference, one column a run

    def __repr__(self) -> str:
        return f"Comparison({len(self.runs)} runs, {len(self.configs):,} configs in common)"


def compare(runs: Sequence[FinishedRun]) -> Comparison:
    """Compares the final test accuracy of runs with that of the first, config by config."""
    import pandas as pd

    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.run.path) for run in runs]
    if len(set(names)) < len(names):
        raise InputError("a run directory is named twice; name different ones")
    axes = tuple(name for name in runs[0].sweep.axes if all(name in r.sweep.axes for r in runs))
    # Without a common axis every config would match every other.
    accuracies = [_accuracies(run, axes) if axes else {} for run in runs]
    rows = [
        [*config.values(), *(_mean(of[config]) if config in of else np.nan for of in accuracies)]
        for config in dict.fromkeys(config for of in accuracies for config in of)
        if sum(config in of for of in accuracies) > 1
    ]
    configs = pd.DataFrame(rows, columns=[*axes, *names])
    pairs = [_pair(runs[0], accuracies[0], *each) for each in zip(runs, accuracies, strict=True)]
    return Comparison(
        axes=axes,
        runs=pd.DataFrame(map(_summary, runs)).assign(run=names),
        bests=tuple(run.config() for run in runs),
        pairs=pd.DataFrame(pairs[1:]).assign(run=names[1:]),
        configs=configs.sort_values(names[0], ascending=False, kind="stable", ignore_index=True),
        manifests=manifest_differences(names, [run.manifest for run in runs]),
    )


def manifest_differences(names: Sequence[str], manifests: Sequence[Manifest]) -> "pd.DataFrame":
    """Tabulates differences of manifests, except times, memory, commands and checksums."""
    import pandas as pd

    flat = [dict(_flat(as_dict(each))) | dict(environment(each.sessions)) for each in manifests]
    rows = [
        [key, *(each.get(key, "") for each in flat)]
        for key in dict.fromkeys(key for each in flat for key in each)
        if not key.startswith(_NOT_COMPARED) and len({each.get(key) for each in flat}) > 1
    ]
    return pd.DataFrame(rows, columns=["manifest", *names])


def _flat(manifest: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in manifest.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", " ".join(str(value).split())


def _accuracies(run: FinishedRun, axes: Sequence[str]) -> dict[Config, np.ndarray]:
    """Returns (folds, seeds) test accuracies by the values of ``axes``; NaN where diverged."""
    groups: dict[Config, list[np.ndarray]] = {}
    for config, accuracy in zip(run.sweep.configs, run.accuracy_by_fold, strict=True):
        key = Config.of(**{name: config[name] for name in axes})
        groups.setdefault(key, []).append(accuracy)
    return {config: np.mean(group, axis=0) for config, group in groups.items()}


def _mean(accuracy: np.ndarray) -> float:
    return round(float(accuracy.mean()), 7)  # equal sums in another order stay equal


def _summary(run: FinishedRun) -> dict[str, Any]:
    """Returns a run's settings, and its best config's test accuracy with its 95 % interval."""
    best, config = run.results.iloc[0], run.config()
    hits = run.predictions.correct[run.sweep.places[config.id]].mean(axis=0)
    low, high = accuracy_interval(hits, run.predictions.group)
    return {
        "data": run.manifest.data.name,
        "is_sample": run.is_sample,
        "words": run.words,
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
    }


def _pair(
    first: FinishedRun,
    mine: Mapping[Config, np.ndarray],
    other: FinishedRun,
    its: Mapping[Config, np.ndarray],
) -> dict[str, Any]:
    """Compares a run with the first.

    Returns:
      differs (table, protocol or split, if it differs), matched (configs that both trained to the
      end), out_of (configs of the run with fewer), paired_runs (shared folds × seeds of one split),
      difference (mean test accuracy over those, else over all, minus the first run's), low, high
      (its 95 % interval), interval_over (seeds, folds, or ""), rank_correlation (Spearman's).
    """
    from scipy import stats

    table = ["table"] * (first.manifest.data.sha256 != other.manifest.data.sha256)
    differing = table + ["protocol"] * (first.sweep.protocol != other.sweep.protocol)
    if not differing and first.manifest.split != other.manifest.split:
        differing = ["split"]
    shared = [c for c in mine if c in its and all(np.isfinite(of[c]).all() for of in (mine, its))]
    x, y = (np.array([_mean(of[c]) for c in shared]) for of in (mine, its))
    seeds, others = first.manifest.seeds, other.manifest.seeds
    common = [] if differing or not shared else [seed for seed in seeds if seed in others]
    by_run = (y - x)[:, None, None]  # without pairs: one run, and no interval
    if common:
        places = [[of.index(seed) for seed in common] for of in (seeds, others)]
        by_run = np.array([its[c][:, places[1]] - mine[c][:, places[0]] for c in shared])
    found = mean_difference(by_run, other.protocol.num_divisions)
    # Undefined if all configs of a run are equally good.
    ordered = len(shared) > 1 and bool(np.ptp(x)) and bool(np.ptp(y))
    return {
        "differs": " and ".join(differing),
        "matched": len(shared),
        "out_of": min(len(mine), len(its)),
        "paired_runs": by_run[0].size if common else 0,
        **{name: found[name] for name in ("difference", "low", "high")},
        "interval_over": units_of(*by_run.shape[1:]) if np.isfinite(found["low"]) else "",
        "rank_correlation": float(stats.spearmanr(x, y).statistic) if ordered else np.nan,
    }
