"""Holds runs against each other, config by config.

Configs are matched by the values of the axes that all runs have, so that sweeps whose grids
only overlap can be compared as well. Where a run has further axes, its figure is the mean over
the configs that differ in those alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax.analysis.inference import t_test
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
      runs: one row a run: run, data, protocol, loss, configs, folds, seeds, best (test
        accuracy), best_config.
      pairs: one row for each run but the first: run, matched (configs that both trained),
        difference (mean test accuracy, less the first run's), low, high (its 95 % t interval
        over the configs), rank_correlation (Spearman's), same_best (whether both runs' best of
        the matched configs is the same).
      configs: one row for each config that any two runs share: the common axes, and each
        run's test accuracy; NaN where the run does not have the config or it diverged.
      manifests: one row for each thing that differs in the manifests, one column a run.
    """

    axes: tuple[str, ...]
    runs: "pd.DataFrame"
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
      InputError: two runs have no config in common.
    """
    import pandas as pd

    names = _names(runs)
    axes = tuple(name for name in runs[0].sweep.axes if all(name in r.sweep.axes for r in runs))
    columns = [_accuracies(run, axes) for run in runs]
    rows = [_pair(name, columns[0], column) for name, column in zip(names, columns, strict=True)]
    for name, row in zip(names[1:], rows[1:], strict=True):
        if not row["matched"]:
            raise InputError(f"{name} and {names[0]} have no configuration in common")
    return Comparison(
        axes=axes,
        runs=pd.DataFrame([_summary(name, r) for name, r in zip(names, runs, strict=True)]),
        pairs=pd.DataFrame(rows[1:]),
        configs=_shared(names, axes, columns),
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


def _accuracies(run: FinishedRun, axes: Sequence[str]) -> dict[Config, float]:
    """Returns the test accuracy by the values of some axes; NaN where a config diverged."""
    groups: dict[Config, list[float]] = {}
    for config, accuracy in zip(run.sweep.configs, run.mean_accuracy.tolist(), strict=True):
        key = Config.of(**{name: config[name] for name in axes})
        groups.setdefault(key, []).append(accuracy)
    return {config: float(np.mean(group)) for config, group in groups.items()}


def _summary(name: str, run: FinishedRun) -> dict[str, Any]:
    return {
        "run": name,
        "data": run.manifest.data.name,
        "protocol": run.sweep.protocol,
        "loss": run.sweep.loss,
        "configs": run.sweep.num_configs,
        "folds": len(run.manifest.split.folds),
        "seeds": len(run.manifest.seeds),
        "best": float(run.results["test_accuracy"].iloc[0]),
        "best_config": run.config().name,
    }


def _pair(
    name: str, first: Mapping[Config, float], other: Mapping[Config, float]
) -> dict[str, Any]:
    """Holds a run against the first. The mappings give each config's test accuracy."""
    from scipy import stats

    shared = [c for c in first if c in other and np.isfinite([first[c], other[c]]).all()]
    x, y = np.array([first[c] for c in shared]), np.array([other[c] for c in shared])
    _, low, high, _ = t_test(y - x)
    # Not defined where all configs of a run are equally good.
    ordered = len(shared) > 1 and bool(np.ptp(x)) and bool(np.ptp(y))
    return {
        "run": name,
        "matched": len(shared),
        "difference": float((y - x).mean()) if shared else np.nan,
        "low": low,
        "high": high,
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
