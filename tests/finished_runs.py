"""Finished run directories for tests, written without training anything but one small model."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from gtzan_jax.files import digest, sealed, write_csv
from gtzan_jax.metrics import METRICS
from gtzan_jax.models.mlp import layer_names
from gtzan_jax.models.trained import TrainedModel
from gtzan_jax.rundir.directory import RunDir, describe_data
from gtzan_jax.rundir.history import History, members_of
from gtzan_jax.rundir.manifest import Manifest, Parts, Retraining, Session, Split
from gtzan_jax.rundir.ranking import results_table
from gtzan_jax.space.config import Config, Member
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.protocols import PROTOCOLS, divide
from gtzan_jax.tables.sample import sample_frame
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import load_table

EVIL = "<script>window.evil = 1</script>"

SESSION = Session(
    started="2026-01-01T00:00:00+00:00",
    command="python -m gtzan_jax.sweep",
    platform="cpu",
    devices=["cpu:0"],
    versions={"python": "3.11.7"},
    members_before=0,
)


def num_folds_of(sweep: Sweep) -> int:
    """Returns how many folds the protocol of a sweep gives."""
    if PROTOCOLS[sweep.protocol].takes_num_folds:
        return sweep.num_folds
    return 3 if sweep.protocol in {"artist_folds", "mixed_artists"} else 1


def random_history(sweep: Sweep, num_seeds: int = 1) -> History:
    """Returns a history of nothing: random figures of every member."""
    members = members_of(sweep, num_folds_of(sweep), range(num_seeds))
    shape = (len(members), sweep.epochs, len(METRICS))
    figures = np.random.default_rng(0).uniform(0.1, 0.9, shape).astype(np.float32)
    return History(tuple(members), figures)


def history_of(sweep: Sweep, accuracy: np.ndarray) -> History:
    """Returns a history that ends with the given test accuracy. accuracy: (configs, runs)."""
    members = members_of(
        sweep, num_folds_of(sweep), range(accuracy.shape[1] // num_folds_of(sweep))
    )
    figures = np.full((len(members), sweep.epochs, len(METRICS)), 0.5, np.float32)
    figures[:, -1, METRICS.index("test_accuracy")] = accuracy.ravel()
    return History(tuple(members), figures)


def write_run(
    folder: Path,
    sweep: Sweep,
    history: History,
    table: FeatureTable | None = None,
    **changes: object,
) -> Path:
    """Writes a run directory without a retrained model.

    Args:
      folder: where.
      sweep: the sweep.
      history: of all members of the sweep.
      table: what it was trained on; None for the sample.
      changes: of the manifest, or of its only session.
    """
    table = table or load_table("sample")
    folds = divide(table, sweep.protocol, 0, sweep.num_folds).folds
    parts = [
        Parts(train=len(f.train), validation=len(f.validation), test=len(f.test)) for f in folds
    ]
    of_session = {key: changes.pop(key) for key in Session.__struct_fields__ if key in changes}
    manifest = Manifest(
        status="finished",
        resume="python -m gtzan_jax.sweep",
        sweep=sweep.to_dict(),
        seeds=sorted({member.seed for member in history.members}),
        data=describe_data(table, table.source),
        split=Split(seed=0, folds=parts),
        matmul_precision="float32",
        sessions=[msgspec.structs.replace(SESSION, **of_session)],
        timings_s={"total": 12.3},
    )
    run = RunDir(folder)
    folder.mkdir(parents=True)
    metrics = PROTOCOLS[sweep.protocol].metrics
    run.write_tables(results_table(sweep, history), history.frames(metrics))
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


def flip(path: Path) -> None:
    """Changes one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def write_best(folder: Path, sweep: Sweep, table: FeatureTable, epochs: int = 2) -> None:
    """Trains the best config of a run for a little while and writes ``best/``."""
    from gtzan_jax.jobs.retraining import retrain, save
    from gtzan_jax.models.mlp import MlpFamily
    from gtzan_jax.trainer.engine import Engine

    run = RunDir(folder)
    division = divide(table, sweep.protocol, 0, sweep.num_folds)
    config = sweep.configs[sweep.places[run.read_results()["config_id"].iloc[0]]]
    with Engine(sweep, MlpFamily(), division.sizes, configs=[config]) as engine:
        save(retrain(engine, division, Member(config.id, 0, 0), epochs), run)
    _record_best(run, epochs)


def random_model(config: Config, table: FeatureTable) -> TrainedModel:
    """Returns a model that has learnt nothing: random weights, biases and scaler; slope 0.2."""
    random = np.random.default_rng(0)
    sizes = itertools.pairwise((len(table.features), *config.units, len(table.genres)))
    params = {}
    for name, (fan_in, fan_out) in zip(layer_names(len(config.units)), sizes, strict=True):
        kernel = random.normal(0, fan_in**-0.5, (fan_in, fan_out))
        params[f"{name}.kernel"] = kernel.astype(np.float32)
        params[f"{name}.bias"] = random.normal(0, 0.1, fan_out).astype(np.float32)
    return TrainedModel(
        config=config,
        params=params,
        features=table.features,
        genres=table.genres,
        mean=random.normal(size=len(table.features)),
        scale=random.uniform(0.5, 2.0, size=len(table.features)),
        slope=0.2,
        data="test",
    )


def write_best_history(folder: Path, **curves: np.ndarray) -> None:
    """Writes ``best/history.csv`` with the given curves, and 0.5 for those not given."""
    epochs = len(next(iter(curves.values())))
    sweep = RunDir(folder).read_manifest().sweep
    metrics = PROTOCOLS[sweep["protocol"]].metrics
    columns = {metric: curves.get(metric, np.full(epochs, 0.5)) for metric in metrics}
    (folder / "best").mkdir(exist_ok=True)
    frame = pd.DataFrame({"epoch": np.arange(1, epochs + 1), **columns})
    write_csv(folder / "best" / "history.csv", frame)
    _record_best(RunDir(folder), epochs)


def write_confusion(folder: Path, counts: np.ndarray) -> None:
    """Writes ``best/confusion.csv``. counts: (genres, genres)."""
    run = RunDir(folder)
    manifest = run.read_manifest()
    write_csv(run.best / "confusion.csv", pd.DataFrame(counts, columns=manifest.data.genres))
    run.record(manifest, "best")


def _record_best(run: RunDir, epochs: int) -> None:
    manifest = run.read_manifest()
    manifest.retraining = Retraining(
        epochs=epochs,
        config_id=run.read_results()["config_id"].iloc[0],
        fold=0,
        seed=0,
        matmul_precision="float32",
    )
    run.record(manifest, "best")


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
    test = {"model": [model], "difference": 0.019, "low": -0.002, "high": 0.04, "p_value": 0.07}
    drops = {"feature": ["tempo", "mfcc4_mean"], "classical_mean": [0.04, 0.03]}
    drops |= {"classical_std": 0.01, "mlp_mean": [0.02, 0.05], "mlp_std": 0.01}
    for name, columns in (("baselines", scores), ("comparison", test), ("importance", drops)):
        write_csv(folder / f"{name}.csv", pd.DataFrame(columns))
    for name in ("baselines", "importance"):
        (folder / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


def hostile_table() -> pd.DataFrame:
    """Returns a table whose genres and tracks are made to break a page."""
    frame = sample_frame()
    frame["label"] = frame["label"].replace({"blues": EVIL, "rock": "a|b`*[x](y)&amp;"})
    frame.loc[0, "filename"] = EVIL
    return frame
