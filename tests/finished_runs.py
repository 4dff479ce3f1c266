"""Finished run directories for tests, written without training anything but one small model."""

import dataclasses
import itertools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from conftest import make_history
from csv_edits import sample_frame

from gtzan_jax.files import digest, save_arrays, sealed, write_csv
from gtzan_jax.inference.calibration import Calibration, Held
from gtzan_jax.inference.distribution import Distribution, Neighbours
from gtzan_jax.inference.front_end import FrontEnd
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.metrics import METRICS, SEGMENT_METRICS
from gtzan_jax.models.mlp import layer_names
from gtzan_jax.rundir.directory import TABLES, RunDir, describe_data
from gtzan_jax.rundir.history import History, trials_of
from gtzan_jax.rundir.manifest import Manifest, Parts, Retraining, Session, Split
from gtzan_jax.rundir.predictions import Part, Predictions, predictions_of
from gtzan_jax.rundir.ranking import results_table, trials_table
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.protocols import PROTOCOLS, Splits, make_splits
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import load_table

EVIL = "<script>window.evil = 1</script>"

TIED = 3  # configs that a run's results call as good as the best

SESSION = Session(
    started="2026-01-01T00:00:00+00:00",
    command="python -m gtzan_jax.sweep",
    platform="cpu",
    devices=["cpu:0"],
    versions={"python": "3.11.7"},
    trials_before=0,
)


def num_folds_of(sweep: Sweep) -> int:
    """Returns how many folds the protocol of a sweep gives."""
    if PROTOCOLS[sweep.protocol].takes_num_folds:
        return sweep.num_folds
    known = {"artist_folds": 3, "mixed_artists": 3, "artist_kfold": 9}
    return known.get(sweep.protocol, 1)


def random_history(sweep: Sweep, num_seeds: int = 1) -> History:
    """Returns a history of nothing: random figures of every trial."""
    trials = trials_of(sweep, num_folds_of(sweep), range(num_seeds))
    shape = (len(trials), sweep.epochs, len(METRICS) - len(SEGMENT_METRICS))
    figures = np.random.default_rng(0).uniform(0.1, 0.9, shape).astype(np.float32)
    figures = np.pad(figures, [(0, 0), (0, 0), (0, len(SEGMENT_METRICS))])
    return make_history(tuple(trials), figures)


def history_of(sweep: Sweep, accuracy: np.ndarray) -> History:
    """Returns a history that ends with the given test accuracy. accuracy: (configs, runs)."""
    trials = trials_of(sweep, num_folds_of(sweep), range(accuracy.shape[1] // num_folds_of(sweep)))
    figures = np.full((len(trials), sweep.epochs, len(METRICS)), 0.5, np.float32)
    figures[:, -1, METRICS.index("test_accuracy")] = accuracy.ravel()
    return make_history(tuple(trials), figures)


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
      history: of all trials of the sweep.
      table: what it was trained on; None for the sample.
      changes: of the manifest, or of its only session.
    """
    table = table or load_table("sample")
    folds = make_splits(table, sweep.protocol, 0, sweep.num_folds).folds
    parts = [
        Parts(train=len(f.train), validation=len(f.validation), test=len(f.test)) for f in folds
    ]
    of_session = {key: changes.pop(key) for key in Session.__struct_fields__ if key in changes}
    manifest = Manifest(
        status="finished",
        resume="python -m gtzan_jax.sweep",
        sweep=sweep.to_dict(),
        seeds=sorted({trial.seed for trial in history.trials}),
        data=describe_data(table, table.source),
        split=Split(seed=0, folds=parts),
        matmul_precision="float32",
        sessions=[msgspec.structs.replace(SESSION, **of_session)],
        timings_s={"total": 12.3},
    )
    run = RunDir(folder)
    folder.mkdir(parents=True)
    metrics = PROTOCOLS[sweep.protocol].metrics
    results = results_table(sweep, history)
    results["indistinguishable_from_best"] = results["rank"] <= TIED
    run.write_tables(
        results,
        trials_table(sweep, history),
        history.frames(metrics),
        made_predictions(sweep, history, make_splits(table, sweep.protocol, 0, sweep.num_folds)),
    )
    run.record(msgspec.structs.replace(manifest, **changes), *TABLES)
    return folder


def made_predictions(sweep: Sweep, history: History, splits: Splits) -> dict[Part, Predictions]:
    """Returns predictions of the parts that a sweep writes.

    Those of the test part are right as often as a history's test accuracies say, nearly.
    """
    random, labels = np.random.default_rng(0), splits.table.y
    accuracy = history.figures[:, -1, METRICS.index("test_accuracy")]
    predicted = np.zeros((len(history.trials), splits.sizes.num_eval), np.uint8)
    for row, trial, share in zip(predicted, history.trials, accuracy, strict=True):
        fold = splits.folds[trial.fold]
        true = labels[fold.test].astype(np.uint8)
        wrong = (true + 1) % len(splits.table.genres)
        right = random.permutation(len(true)) < np.nan_to_num(share) * len(true)
        row[len(fold.validation) :][: len(true)] = np.where(right, true, wrong)
    whole = dataclasses.replace(history, predicted=predicted)
    parts: dict[Part, None] = dict.fromkeys((splits.protocol.select_on, "test"))
    return {part: predictions_of(sweep, whole, splits, part) for part in parts}


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object] = dict) -> None:
    """Changes a manifest as a stranger can who mends its checksums, too.

    Args:
      folder: the run directory.
      change: is given the manifest as it stands in the file, to change it in place.
    """
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    for name in TABLES:
        if (folder / name).exists():
            document["sha256"][name] = digest(folder / name)
    change(document)
    path.write_text(json.dumps(sealed(document)))


def edit_arrays(
    path: Path, change: Callable[[dict[str, np.ndarray], dict[str, Any]], object]
) -> None:
    """Changes arrays and their description in place, as a stranger can who mends the checksum."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(file.metadata()["about"])
    del about["checksum"]
    change(arrays, about)
    save_arrays(path, arrays, about)


def flip(path: Path) -> None:
    """Changes one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def write_best(folder: Path, sweep: Sweep, table: FeatureTable, epochs: int = 2) -> None:
    """Trains the best config of a run for a little while, with two seeds, and writes ``best/``."""
    from gtzan_jax.jobs.retraining import retrain, save
    from gtzan_jax.models.mlp import MlpFamily
    from gtzan_jax.trainer.engine import Engine

    run = RunDir(folder)
    splits = make_splits(table, sweep.protocol, 0, sweep.num_folds)
    config = sweep.configs[sweep.places[run.read_results()["config_id"].iloc[0]]]
    with Engine(sweep, MlpFamily(), splits.sizes, configs=[config]) as engine:
        save(retrain(engine, splits, config.id, [0, 1], epochs), run.best)
    _record_best(run, epochs)


def random_model(config: Config, table: FeatureTable) -> TrainedModel:
    """Returns a model that has learnt nothing: random weights, biases and scaler; slope 0.2."""
    of_songs = table.is_of_songs
    random = np.random.default_rng(0)
    sizes = itertools.pairwise((len(table.features), *config.units, len(table.genres)))
    params = {}
    for name, (fan_in, fan_out) in zip(layer_names(len(config.units)), sizes, strict=True):
        kernel = random.normal(0, fan_in**-0.5, (fan_in, fan_out))
        params[f"{name}.kernel"] = kernel.astype(np.float32)
        params[f"{name}.bias"] = random.normal(0, 0.1, fan_out).astype(np.float32)
    kind = table.pretrained or "features"
    measure = Neighbours if table.pretrained else Distribution
    front_end = FrontEnd.of_rows(table.samples, table.is_segmented, kind)
    return TrainedModel(
        config=config,
        params=params,
        features=table.features,
        genres=table.genres,
        mean=random.normal(size=len(table.features)),
        scale=random.uniform(0.5, 2.0, size=len(table.features)),
        slope=0.2,
        data="test",
        front_end=front_end if of_songs else None,
        protocol="holdout",
        distribution=measure.of(table.x, table.songs, table.features) if of_songs else None,
        calibration=Calibration(
            temperature=None,
            bins=10,
            validation=None,
            test=Held(songs=50, accuracy=0.5, error=0.125, calibrated_error=None),
        ),
        columns=table.columns,
    )


def write_best_history(folder: Path, **curves: np.ndarray) -> None:
    """Writes ``best/history.csv`` of one network, or of several where curves have two axes.

    Curves that are not given are 0.5.
    """
    run = RunDir(folder)
    write_networks(run.best, run.read_manifest().sweep["protocol"], **curves)
    _record_best(run, np.shape(next(iter(curves.values())))[-1])


def write_networks(folder: Path, protocol: str, **curves: np.ndarray) -> None:
    """Writes ``history.csv`` of networks. curves: (epochs,) or (networks, epochs)."""
    folder.mkdir(exist_ok=True)
    write_csv(folder / "history.csv", networks_frame(protocol, **curves))


def networks_frame(protocol: str, **curves: np.ndarray) -> pd.DataFrame:
    """Returns the history of networks; see :func:`write_networks`."""
    given = {name: np.atleast_2d(curve) for name, curve in curves.items()}
    networks, epochs = next(iter(given.values())).shape
    columns = {
        metric: given.get(metric, np.full((networks, epochs), 0.5)).ravel()
        for metric in PROTOCOLS[protocol].metrics
    }
    seed, epoch = np.repeat(np.arange(networks), epochs), np.tile(np.arange(epochs) + 1, networks)
    kept = epoch == epochs
    return pd.DataFrame({"fold": 0, "seed": seed, "epoch": epoch, "kept": kept, **columns})


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
        protocol=manifest.sweep["protocol"],
        num_folds=len(manifest.split.folds),
        seeds=[0],
        matmul_precision="float32",
    )
    run.record(manifest, "best")


BASELINES = {"assignment": (0.731, 0.712), "artist_folds": (0.492, 0.511)}
"""Accuracies of our network and of the other model, by protocol."""


def write_baselines(
    folder: Path,
    sha256: str,
    model: str = "extra trees",
    protocols: Mapping[str, tuple[float, float]] = BASELINES,
    written: float | None = None,
) -> Path:
    """Writes a folder as ``gtzan_jax.baselines`` does: two models and features.

    Args:
      folder: where.
      sha256: of the feature table.
      model: the other one's name.
      protocols: as ``BASELINES``.
      written: when, in seconds; None for now.
    """
    folder.mkdir()
    described = {
        "data": {"sha256": sha256},
        "protocols": [
            {"name": name, "summary": f"what {name} does", "note": model, "left_out": ["None."]}
            for name in protocols
        ],
        "ours": {"name": "ours", "sweep": f"sweep of {folder.name}"},
        "best_classical": dict.fromkeys(protocols, model),
        "best_chosen_on": "validation",
        "notes": {"selection": "Nothing is chosen on a test part.", "budget": "12 against 2."},
    }
    (folder / "baselines.json").write_text(json.dumps(described))
    rows = [
        {"protocol": name, "model": which, "accuracy": accuracy, "low": accuracy - 0.03}
        | {"high": accuracy + 0.04, "accuracy_std": None, "folds": 1, "tested": 300}
        | {"settings_tried": 2, "seeds": 5, "fit_seconds": 0.4, "predict_seconds": 0.01}
        for name, pair in protocols.items()
        for which, accuracy in zip(("ours", model), pair, strict=True)
    ]
    differences = [
        {"protocol": name, "model": model, "difference": ours - theirs, "low": -0.05, "high": 0.04}
        | {"with_refitting": False}
        for name, (ours, theirs) in protocols.items()
    ]
    drops = {"feature": ["tempo", "mfcc4_mean"], "classical_mean": [0.04, 0.03]}
    drops |= {"classical_std": 0.01, "mlp_mean": [0.02, 0.05], "mlp_std": 0.01}
    for name, columns in (("baselines", rows), ("comparison", differences), ("importance", drops)):
        write_csv(folder / f"{name}.csv", pd.DataFrame(columns))
    for name in ("baselines", "importance"):
        (folder / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    if written is not None:
        os.utime(folder / "baselines.json", (written, written))
    return folder


def hostile_table() -> pd.DataFrame:
    """Returns a table whose genres and tracks are made to break a page."""
    frame = sample_frame()
    frame["label"] = frame["label"].replace({"blues": EVIL, "rock": "a|b`*[x](y)&amp;"})
    frame.loc[0, "filename"] = EVIL
    return frame
