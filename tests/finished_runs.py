"""Finished run directories for tests, written without training anything but one small model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from gtzan_jax.features import FeatureTable, load_table
from gtzan_jax.files import digest, sealed
from gtzan_jax.manifest import Manifest, Session, Split
from gtzan_jax.retrain import retrain, save
from gtzan_jax.rundir import RunDir, describe_data, history_tables, results_table
from gtzan_jax.space import Sweep
from gtzan_jax.splits import random_split, standardise
from gtzan_jax.training import METRICS

SESSION = Session(
    started="2026-01-01T00:00:00+00:00",
    command="python -m gtzan_jax.sweep",
    platform="cpu",
    devices=["cpu:0"],
    versions={"python": "3.11.7"},
    members_before=0,
)


def random_history(sweep: Sweep, num_seeds: int = 1) -> np.ndarray:
    """Returns a (configs, seeds, epochs, 4) float32 history of nothing."""
    shape = (sweep.num_configs, num_seeds, sweep.epochs, len(METRICS))
    return np.random.default_rng(0).uniform(0.1, 0.9, shape).astype(np.float32)


def history_of(sweep: Sweep, accuracy: np.ndarray) -> np.ndarray:
    """Returns a history that ends with the given test accuracy. accuracy: (configs, seeds)."""
    history = np.full((*accuracy.shape, sweep.epochs, len(METRICS)), 0.5, np.float32)
    history[:, :, -1, METRICS.index("test_accuracy")] = accuracy
    return history


def write_run(
    folder: Path,
    sweep: Sweep,
    history: np.ndarray,
    table: FeatureTable | None = None,
    **changes: object,
) -> Path:
    """Writes a run directory without a retrained model.

    Args:
      folder: where.
      sweep: the sweep.
      history: (configs, seeds, epochs, 4) float32.
      table: what it was trained on; None for the sample.
      changes: of the manifest, or of its only session.
    """
    table = table or load_table("sample")
    run, seeds = RunDir(folder), list(range(history.shape[1]))
    of_session = {key: changes.pop(key) for key in Session.__struct_fields__ if key in changes}
    folder.mkdir(parents=True)
    manifest = Manifest(
        status="finished",
        resume="python -m gtzan_jax.sweep",
        sweep=sweep.to_dict(),
        seeds=seeds,
        data=describe_data(table, table.source),
        split=Split(
            protocol="random",
            seed=0,
            test_size=0.3,
            train=700,
            test=300,
            note="Chosen on the test part.",
        ),
        matmul_precision="float32",
        sessions=[msgspec.structs.replace(SESSION, **of_session)],
        timings_s={"total": 12.3},
    )
    run.write_tables(results_table(sweep, len(seeds), history), history_tables(seeds, history))
    run.record(msgspec.structs.replace(manifest, **changes), "results.csv", "history.csv")
    return folder


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object] = dict) -> None:
    """Changes a manifest as a stranger can who mends its checksums, too.

    Args:
      folder: the run directory.
      change: is given the manifest as it stands in the file, to change it in place.
    """
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    for name in ("results.csv", "history.csv"):
        if (folder / name).exists():
            document["sha256"][name] = digest(folder / name)
    change(document)
    path.write_text(json.dumps(sealed(document)))


def write_best(folder: Path, sweep: Sweep, table: FeatureTable, epochs: int = 2) -> None:
    """Trains the best config of a run for a little while and writes ``best/``."""
    best = pd.read_csv(folder / "results.csv").iloc[0]
    config = sweep.configs()[int(best.config_id)]
    dataset = standardise(table, random_split(table, 0))
    save(retrain(config, sweep, table, dataset, 0, epochs), RunDir(folder))


def write_best_history(folder: Path, **curves: np.ndarray) -> None:
    """Writes ``best/history.csv`` with the given curves, and 0.5 for those not given."""
    epochs = len(next(iter(curves.values())))
    columns = {metric: curves.get(metric, np.full(epochs, 0.5)) for metric in METRICS}
    (folder / "best").mkdir(exist_ok=True)
    frame = pd.DataFrame({"epoch": np.arange(1, epochs + 1), **columns})
    frame.to_csv(folder / "best" / "history.csv", index=False)


def write_baselines(folder: Path, sha256: str, model: str = "extra trees") -> Path:
    """Writes a folder as ``gtzan_jax.baselines`` does, of two models and two features."""
    folder.mkdir()
    described = {
        "data": {"sha256": sha256},
        "ours": {"name": "ours"},
        "best_classical": model,
        "notes": {"selection": "The winner's mean is optimistic."},
    }
    (folder / "baselines.json").write_text(json.dumps(described))
    scores = {"model": ["ours", model], "accuracy_mean": [0.731, 0.712], "accuracy_std": 0.01}
    scores |= {"fit_seconds": [1.5, 0.4], "predict_seconds": 0.01, "split_0": [0.73, 0.71]}
    pd.DataFrame(scores).to_csv(folder / "baselines.csv", index=False)
    test = {"model": [model], "difference": 0.019, "low": -0.002, "high": 0.04, "p_value": 0.07}
    pd.DataFrame(test).to_csv(folder / "comparison.csv", index=False)
    drops = {"classical_mean": [0.04, 0.03], "classical_std": 0.01}
    drops |= {"mlp_mean": [0.02, 0.05], "mlp_std": 0.01}
    features = pd.DataFrame({"feature": ["tempo", "mfcc4_mean"], **drops})
    features.to_csv(folder / "importance.csv", index=False)
    for name in ("baselines", "importance"):
        (folder / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder
