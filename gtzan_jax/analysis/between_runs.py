"""Compares runs config by config, paired by fold and seed where table and split are the same.

Intervals are over seeds or folds, for the reason in :mod:`gtzan_jax.analysis.effects`.
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

# Differs between any two runs, or is too long to print.
_NOT_COMPARED = ("resume", "sessions", "timings_s", "peak_rss_bytes", "data.repeats", "sha256")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several runs, side by side.

    Attributes:
      axes: the axes that all runs have. Configs are matched by them; where a run has further axes,
        its accuracy is the mean over the configs that differ in those alone.
      runs: one row a run: run, data, is_sample, protocol, chosen_on (the part that configs are
        ranked by), loss, epochs, configs, folds, seeds, best (its test accuracy), deviation (over
        folds and seeds), low, high (95 % interval over groups of test tracks), best_config.
      bests: each run's best config.
      pairs: one row for each run but the first: run, differs (table, protocol or split, where it
        differs from the first run's), matched (configs that both trained to the end), out_of
        (configs of the run that has fewer), paired_runs (folds × seeds that both have, on the same
        split), difference (mean test accuracy over those, else over all, less the first run's),
        low, high (its 95 % interval), interval_over (seeds or folds; "" without an interval),
        configs_p10, configs_p90 (percentiles of the configs' mean differences: their spread, no
        interval), rank_correlation (Spearman's), same_best (of the matched configs). Missing
        figures are NaN.
      configs: one row for each config that any two runs share: the common axes, and each run's
        test accuracy; NaN where the run does not have the config or it diverged.
      manifests: one row for each difference of the manifests, one column a run.
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
    """Compares the final test accuracy of runs with that of the first, config by config.

    Args:
      runs: at least two.

    Raises:
      InputError: a run is named twice, or its predictions cannot be used.
    """
    import pandas as pd

    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.run.path) for run in runs]
    if len(set(names)) < len(names):
        raise InputError("a run directory is named twice; name different ones")
    axes = tuple(name for name in runs[0].sweep.axes if all(name in r.sweep.axes for r in runs))
    # Without a common axis every config would match every other.
    accuracies = [_accuracies(run, axes) if axes else {} for run in runs]
    named = list(zip(names, runs, accuracies, strict=True))
    rows = [[*c.values(), *(_mean(of[c]) if c in of else np.nan for of in accuracies)]
            for c in dict.fromkeys(config for of in accuracies for config in of)
            if sum(c in of for of in accuracies) > 1]  # fmt: skip
    configs = pd.DataFrame(rows, columns=[*axes, *names])
    return Comparison(
        axes=axes,
        runs=pd.DataFrame([_summary(name, run) for name, run, _ in named]),
        bests=tuple(run.config() for run in runs),
        pairs=pd.DataFrame(
            [{"run": name} | _pair(runs[0], accuracies[0], run, of) for name, run, of in named[1:]]
        ),
        configs=configs.sort_values(names[0], ascending=False, kind="stable", ignore_index=True),
        manifests=manifest_differences(names, [run.manifest for run in runs]),
    )


def manifest_differences(names: Sequence[str], manifests: Sequence[Manifest]) -> "pd.DataFrame":
    """Tabulates the differences of manifests but times, memory, commands and checksums."""
    import pandas as pd

    flat = [_flatten(as_dict(each)) | dict(environment(each.sessions)) for each in manifests]
    rows = [
        [key, *(each.get(key, "") for each in flat)]
        for key in dict.fromkeys(key for each in flat for key in each)
        if not key.startswith(_NOT_COMPARED) and len({each.get(key) for each in flat}) > 1
    ]
    return pd.DataFrame(rows, columns=["manifest", *names])


def _flatten(manifest: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in manifest.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = " ".join(str(value).split())
    return flat


def _accuracies(run: FinishedRun, axes: Sequence[str]) -> dict[Config, np.ndarray]:
    """Returns (folds, seeds) test accuracy by the values of some axes; NaN where diverged."""
    groups: dict[Config, list[np.ndarray]] = {}
    for config, accuracy in zip(run.sweep.configs, run.accuracy_by_fold, strict=True):
        key = Config.of(**{name: config[name] for name in axes})
        groups.setdefault(key, []).append(accuracy)
    return {config: np.mean(group, axis=0) for config, group in groups.items()}


def _mean(accuracy: np.ndarray) -> float:
    return round(float(accuracy.mean()), 7)  # equal sums in another order stay equal


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
    first: FinishedRun,
    mine: Mapping[Config, np.ndarray],
    other: FinishedRun,
    its: Mapping[Config, np.ndarray],
) -> dict[str, Any]:
    """Compares a run with the first. mine, its: their (folds, seeds) accuracies by config."""
    from scipy import stats

    table = ["table"] * (first.manifest.data.sha256 != other.manifest.data.sha256)
    differing = table + ["protocol"] * (first.sweep.protocol != other.sweep.protocol)
    if not differing and first.manifest.split != other.manifest.split:
        differing = ["split"]
    shared = [c for c in mine if c in its and all(np.isfinite(of[c]).all() for of in (mine, its))]
    x, y = (np.array([_mean(of[c]) for c in shared]) for of in (mine, its))
    seeds, others = first.manifest.seeds, other.manifest.seeds
    common = [] if differing or not shared else [seed for seed in seeds if seed in others]
    by_run = (y - x)[:, None, None]  # one, and no interval, where nothing is paired
    if common:
        places = [[of.index(seed) for seed in common] for of in (seeds, others)]
        by_run = np.array([its[c][:, places[1]] - mine[c][:, places[0]] for c in shared])
    of_pairs = mean_difference(by_run, other.protocol.num_divisions)
    # Not defined where all configs of a run are equally good.
    ordered = len(shared) > 1 and bool(np.ptp(x)) and bool(np.ptp(y))
    return {
        "differs": " and ".join(differing),
        "matched": len(shared),
        "out_of": min(len(mine), len(its)),
        "paired_runs": by_run[0].size if common else 0,
        **{name: of_pairs[name] for name in ("difference", "low", "high")},
        "interval_over": units_of(*by_run.shape[1:]) if np.isfinite(of_pairs["low"]) else "",
        "configs_p10": of_pairs["p10"],
        "configs_p90": of_pairs["p90"],
        "rank_correlation": float(stats.spearmanr(x, y).statistic) if ordered else np.nan,
        "same_best": bool(shared) and int(x.argmax()) == int(y.argmax()),
    }
