"""Puts run directories side by side.

  python -m gtzan_jax.compare RUN_A RUN_B
  python -m gtzan_jax.compare RUN_A RUN_B RUN_C --output=configs.csv

Configs are matched by their nine hyperparameters, so that sweeps whose grids
only overlap can be compared as well. Every run is held against the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from gtzan_jax import cli
from gtzan_jax.effects import mean_interval
from gtzan_jax.errors import InputError
from gtzan_jax.files import write_atomically
from gtzan_jax.finished import FinishedRun, read_run
from gtzan_jax.manifest import Manifest, as_dict, environment
from gtzan_jax.space import HYPERPARAMETERS, Config
from gtzan_jax.text import printable

if TYPE_CHECKING:
    import pandas as pd

# What differs between any two runs, or is too long to print.
_NOT_COMPARED = ("resume", "sessions", "timings_s", "peak_rss_bytes", "data.repeats", "sha256")
_LONGEST = 80  # letters of a manifest's value


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several runs, side by side.

    Attributes:
      runs: one row a run: run, data, loss, configs, seeds, best (test accuracy), best_config.
      pairs: one row for each run but the first: run, matched (configs that both trained),
        difference (mean test accuracy, less the first run's), low, high (its 95 % t interval
        over the configs), rank_correlation (Spearman's), same_best (whether both runs' best of
        the matched configs is the same).
      configs: one row for each config that any two runs share: the hyperparameters, and each
        run's test accuracy; NaN where the run does not have the config or it diverged.
      manifests: one row for each thing that differs in the manifests, one column a run.
    """

    runs: "pd.DataFrame"
    pairs: "pd.DataFrame"
    configs: "pd.DataFrame"
    manifests: "pd.DataFrame"

    def __repr__(self) -> str:
        return f"Comparison({len(self.runs)} runs, {len(self.configs):,} configs in common)"


def compare(runs: Sequence[FinishedRun]) -> Comparison:
    """Compares the final test accuracy of runs, config by config; means over the seeds.

    Args:
      runs: at least two; the others are held against the first.

    Raises:
      InputError: two runs have no config in common.
    """
    import pandas as pd

    names = _names(runs)
    columns = [dict(zip(r.sweep.configs(), r.mean_accuracy.tolist(), strict=True)) for r in runs]
    rows = [_pair(name, columns[0], column) for name, column in zip(names, columns, strict=True)]
    for name, row in zip(names[1:], rows[1:], strict=True):
        if not row["matched"]:
            raise InputError(f"{name} and {names[0]} have no configuration in common")
    return Comparison(
        runs=pd.DataFrame([_summary(name, r) for name, r in zip(names, runs, strict=True)]),
        pairs=pd.DataFrame(rows[1:]),
        configs=_shared(names, columns),
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


def markdown(comparison: Comparison) -> str:
    """Lays a comparison out as text for a terminal that is Markdown too."""
    pairs, first = comparison.pairs, comparison.runs["run"].iloc[0]
    parts = [
        printable(f"# {first} and {', '.join(pairs['run'])}"),
        _text_table(comparison.runs),
        printable(f"## Against {first}, configuration by configuration"),
        _text_table(pairs),
        f"## The best of {len(comparison.configs):,} configurations that at least two runs have",
        _text_table(comparison.configs.head(10)),
        "## What differs in the manifests",
        _text_table(comparison.manifests) if len(comparison.manifests) else "Nothing.",
    ]
    return "\n\n".join(parts) + "\n"


def _names(runs: Sequence[FinishedRun]) -> list[str]:
    """Returns the folders' names, or their paths where names would be equal."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.run.path) for run in runs]
    if len(set(names)) < len(names):
        raise InputError("a run directory is named twice; name different ones")
    return names


def _summary(name: str, run: FinishedRun) -> dict[str, Any]:
    best = run.results.iloc[0]
    return {
        "run": name,
        "data": run.manifest.data.name,
        "loss": run.sweep.loss,
        "configs": run.sweep.num_configs,
        "seeds": len(run.manifest.seeds),
        "best": float(best["test_accuracy"]),
        "best_config": run.sweep.configs()[int(best["config_id"])].name,
    }


def _pair(
    name: str, first: Mapping[Config, float], other: Mapping[Config, float]
) -> dict[str, Any]:
    """Holds a run against the first. The mappings give each config's test accuracy."""
    from scipy import stats

    shared = [c for c in first if c in other and np.isfinite([first[c], other[c]]).all()]
    x, y = np.array([first[c] for c in shared]), np.array([other[c] for c in shared])
    low, high = mean_interval(y - x)
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


def _shared(names: Sequence[str], columns: Sequence[Mapping[Config, float]]) -> "pd.DataFrame":
    import pandas as pd

    configs = list(dict.fromkeys(config for column in columns for config in column))
    rows = [
        [getattr(config, name) for name in HYPERPARAMETERS]
        + [column.get(config, np.nan) for column in columns]
        for config in configs
        if sum(config in column for column in columns) > 1
    ]
    table = pd.DataFrame(rows, columns=[*HYPERPARAMETERS, *names])
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


def _text_table(table: "pd.DataFrame") -> str:
    rows = [list(table.columns), ["---"] * len(table.columns)]
    rows += [
        [_cell(name, value) for name, value in zip(table.columns, row, strict=True)]
        for row in table.itertuples(index=False)
    ]
    return "\n".join(printable("| " + " | ".join(row) + " |") for row in rows)


def _cell(name: str, value: object) -> str:
    if isinstance(value, float) and name not in HYPERPARAMETERS:
        return "–" if np.isnan(value) else f"{value:.4f}"
    text = str(value).replace("|", "/")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def main(paths: Sequence[str]) -> int:
    """Prints the comparison of the run directories."""
    comparison = compare([read_run(path) for path in paths])
    print(markdown(comparison), end="")
    if flags.FLAGS.output:
        path = Path(flags.FLAGS.output)
        text = comparison.configs.to_csv(index=False, lineterminator="\n")
        try:
            write_atomically(path, text)
        except OSError as error:
            raise InputError(f"--output={path}: cannot be written: {error.strerror}") from None
        print("\n" + printable(f"every configuration in {path}"))
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("output", None, "A CSV file to write all matched configs to.")
    cli.run_on(main, "RUN_A RUN_B …", at_least=2)
