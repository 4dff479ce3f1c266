"""The measurements of docs/pretrained.md, which ``make_pretrained.py`` writes.

``data`` is a folder with GTZAN's table (features_30_sec.csv), musicnn's published tags
(musicnn_msd_tags.csv) and ten songs of each genre (audio100/GENRE/*.flac).
"""

import dataclasses
import functools
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gtzan_jax.analysis import classical
from gtzan_jax.analysis.classical import comparison_table, outcomes_table, scores_table
from gtzan_jax.analysis.selection import accuracy_interval, mean_interval
from gtzan_jax.backends.backend import open_backend
from gtzan_jax.inference.extractor import Extractor
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.jobs import nested
from gtzan_jax.jobs.baselines import splits_of
from gtzan_jax.jobs.retraining import train_networks
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.sound.spectrograms import load_spectrograms
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables import lists
from gtzan_jax.tables.dividing import groups_of, with_validation
from gtzan_jax.tables.folds import Fold, judged_rows
from gtzan_jax.tables.protocols import PROTOCOLS, Splits
from gtzan_jax.tables.schema import TAGS as TAG_NAMES
from gtzan_jax.tables.schema import UNITS as UNIT_NAMES
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import load_table
from gtzan_jax.tables.validation import equal_rows
from gtzan_jax.trainer.engine import Engine

OURS, LINEAR = "gtzan_jax MLP", "logistic regression"
GTZAN, TAGS, UNITS, CNN = "57 features", "tags", "units", "CNN"
CNN_AXES = {
    "filters": [8, 16], "blocks": [3], "dropout": [0.0], "learning_rate": [0.001, 0.003],
    "frequency_mask": [8], "time_mask": [8], "time_shift": [16],
}  # fmt: skip
SEEDS = 3  # networks on each fold
DIVIDED = ("kfold", "mixed_artists", "artist_kfold", "artist_folds", "fault_filtered")
COUNTS = {"known": (2, 5, 9), "new": (2, 5, 10, 20, 40)}  # artists: songs a genre to train on
DRAWS = 5  # of these songs
NETWORKS, SONG_EPOCHS = 10, 50  # of the nine songs
CURVE_SEEDS, CURVE_EPOCHS, CURVE_BATCH = 3, 200, 16


def gtzan_rows(data: Path, tracks: Sequence[str]) -> FeatureTable:
    """Returns rows of GTZAN's table."""
    table = load_table(data / "features_30_sec.csv")
    rows = [table.tracks.index(f"{track}.wav") for track in tracks]
    x, tracks = table.x[rows], tuple(table.tracks[row] for row in rows)
    return dataclasses.replace(table, x=x, y=table.y[rows], tracks=tracks, repeats=equal_rows(x))


@functools.cache
def of_songs(data: Path) -> dict[str, FeatureTable]:
    """Returns features of the hundred songs of audio100, ten of each genre one after another."""
    paths = sorted(data.glob("audio100/*/*.flac"))
    table = gtzan_rows(data, [path.stem for path in paths])
    rows = dict(Extractor("musicnn").rows(paths, 2))
    every = np.array([rows[path][0][1:] for path in paths], np.float32)  # first its samples
    tags, units = np.split(every, [len(TAG_NAMES)], axis=1)
    named = {TAGS: (tags, TAG_NAMES), UNITS: (units, UNIT_NAMES)}
    return {GTZAN: table} | {
        name: dataclasses.replace(table, x=x, features=names, repeats=(), source=name)
        for name, (x, names) in named.items()
    }


def published(data: Path) -> dict[str, FeatureTable]:
    """Returns the published tags of 733 songs as a table, and the 57 features of these songs."""
    frame = pd.read_csv(data / "musicnn_msd_tags.csv")
    tags = frame[[*TAG_NAMES]].assign(filename=frame["track"] + ".wav", label=frame["genre"])
    return {GTZAN: gtzan_rows(data, list(frame["track"])), TAGS: load_table(tags)}


def divided(table: FeatureTable, protocol: str) -> Splits:
    """Divides a table by a protocol.

    The published songs lack the validation part of the fault-filtered list. A fifth of its train
    part replaces it, of artists of its own.
    """
    if protocol != "fault_filtered":
        return splits_of(table, protocol, 0, 5)[0]
    part = np.array([listed and listed.part for listed in lists.look_up(table, protocol)])
    whole = Fold(*(np.flatnonzero(part == name) for name in ("train", "validation", "test")))
    fold = with_validation(table, whole, 0, groups_of(table))
    return Splits(table, PROTOCOLS[protocol], 0, (fold,))


def tested(splits: Splits) -> list[list[str | None]]:
    """Returns the songs that each fold tests."""
    table = splits.table
    return [
        [lists.track_of(table.tracks[row]) for row in judged_rows(table, fold.test)]
        for fold in splits.folds
    ]


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns the rows of a frame for JSON."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def protocols(data: Path) -> dict[str, Any]:
    """Compares models on tags and on the 57 features of the same songs, by protocol."""
    sweep, models, outcomes = load_sweep("baselines"), classical.classical_models(0), {}
    result: dict[str, Any] = {"configs": sweep.num_configs, "seeds": SEEDS}
    for name, table in published(data).items():
        all_splits = [divided(table, protocol) for protocol in DIVIDED]
        songs = {splits.protocol.name: tested(splits) for splits in all_splits}
        if result.setdefault("songs", songs) != songs:
            raise ValueError("the folds differ")
        with open_backend("cpu") as backend:
            networks = nested.evaluate(backend, sweep, all_splits, 0, SEEDS)
        found = {(OURS, fold): outcome for fold, (outcome, _) in enumerate(networks)}
        folds = [fold for splits in all_splits for fold in splits.folds]
        for model, fold, outcome in classical.evaluate(models, table, folds, num_seeds=SEEDS):
            found[model, fold] = outcome
        outcomes[name] = outcomes_table(all_splits, found, [OURS, *models])
        result[name] = {
            "scores": plain(scores_table(outcomes[name])),
            "comparison": plain(comparison_table(outcomes[name], OURS)),
        }
    result["songs"] = {
        name: len({*itertools.chain(*folds)}) for name, folds in result["songs"].items()
    }
    result["gain"] = []
    for model in (OURS, *models):
        both = [of[of["model"] == model].assign(model=name) for name, of in outcomes.items()]
        gains = comparison_table(pd.concat(both, ignore_index=True), TAGS).assign(model=model)
        result["gain"] += plain(gains)
    return result


def known_folds(count: int, random: np.random.Generator) -> list[Fold]:
    """Divides audio100: fold k tests the k-th song of each genre, of the nine others some train."""
    genres = np.arange(100).reshape(10, 10)
    trained = [
        [random.choice(np.delete(genre, k), count, replace=False) for genre in genres]
        for k in range(10)
    ]
    return [Fold(np.concatenate(of), genres[0, :0], genres[:, k]) for k, of in enumerate(trained)]


def new_folds(whole: Fold, y: np.ndarray, count: int, random: np.random.Generator) -> list[Fold]:
    """Draws some songs of each genre from the train part of the fault-filtered list."""
    rows = np.concatenate([whole.train, whole.validation])
    drawn = [random.choice(rows[y[rows] == g], count, replace=False) for g in range(10)]
    return [Fold(np.concatenate(drawn), rows[:0], whole.test)]


def network_hits(table: FeatureTable, folds: Sequence[Fold]) -> list[np.ndarray]:
    """Returns the shares of networks of one config that are right, for each fold (tested,)."""
    sweep = load_sweep("baselines", [f"batch_size={CURVE_BATCH}"])
    splits = Splits(table, PROTOCOLS["kfold"], 0, tuple(folds))
    with Engine(sweep, MlpFamily(), splits.sizes) as engine:
        ids, seeds = [sweep.configs[0].id], range(CURVE_SEEDS)
        [networks] = train_networks(engine, splits, ids, seeds, CURVE_EPOCHS)
    predicted = networks.history.predicted.reshape(len(folds), CURVE_SEEDS, -1)
    return [
        (of[:, : len(fold.test)] == table.y[fold.test]).mean(axis=0)
        for of, fold in zip(predicted, folds, strict=True)
    ]


def linear_hits(table: FeatureTable, folds: Sequence[Fold]) -> list[np.ndarray]:
    """Returns whether logistic regression is right, for each fold (tested,)."""
    model, x = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)), table.x
    return [
        1.0 * (model.fit(x[f.train], table.y[f.train]).predict(x[f.test]) == table.y[f.test])
        for f in folds
    ]


def curve(data: Path) -> dict[str, Any]:
    """Measures accuracy by the number of songs of each genre that are trained on."""
    known, new = of_songs(data), published(data)
    (whole,) = divided(new[TAGS], "fault_filtered").folds
    rows: dict[str, Any] = {"known": [], "new": []}
    for artists, tables in (("known", known), ("new", new)):
        y, group = tables[GTZAN].y, groups_of(tables[GTZAN])
        for count in COUNTS[artists]:
            random, folds = np.random.default_rng(0), []
            for _ in range(DRAWS):
                if artists == "known":
                    folds += known_folds(count, random)
                else:
                    folds += new_folds(whole, y, count, random)
            rows[artists] += curve_rows(tables, folds, group, count)
    by_genre = zip(known[GTZAN].genres, artists_of(known[GTZAN]).reshape(10, 10), strict=True)
    counts = {genre: len({*artists}) for genre, artists in by_genre}
    return rows | {"artists": counts}


def curve_rows(
    tables: Mapping[str, FeatureTable], folds: Sequence[Fold], group: np.ndarray, count: int
) -> list[dict[str, Any]]:
    """Returns accuracies over the songs that the folds test, and the gains of units over tags."""
    songs = np.unique(np.concatenate([fold.test for fold in folds]))
    shares: dict[tuple[str, str], np.ndarray] = {}
    rows = []
    for (name, table), model in itertools.product(tables.items(), (OURS, LINEAR)):
        total = np.zeros(len(table.y))
        hits_of = network_hits if model == OURS else linear_hits
        for fold, hits in zip(folds, hits_of(table, folds), strict=True):
            total[fold.test] += hits / DRAWS
        share = shares[name, model] = total[songs]
        low, high = accuracy_interval(share, group[songs])
        row = {"features": name, "model": model, "songs": count, "accuracy": share.mean()}
        row |= {"low": low, "high": high}
        if name == UNITS:
            gain = share - shares[TAGS, model]
            row["less tags"] = [gain.mean(), *mean_interval(gain, group[songs])]
        rows.append(row)
    return rows


def cnn(data: Path) -> dict[str, Any]:
    """Compares networks on spectrograms and on features, selected and tested in the same folds."""
    axes = [f"axes.{name}={values}" for name, values in CNN_AXES.items()]
    network = load_sweep("cnn", ["protocol=kfold", "batch_size=16", *axes])
    tables = {**of_songs(data), CNN: load_spectrograms(data / "audio100")}
    splits = {name: splits_of(table, "kfold", 0, 5)[0] for name, table in tables.items()}
    sweeps = dict.fromkeys(tables, load_sweep("baselines")) | {CNN: network}
    found = {}
    for name, sweep in sweeps.items():
        if tested(splits[GTZAN]) != tested(splits[name]):
            raise ValueError("the folds differ")
        with open_backend("cpu") as backend:
            seeds = 1 if name == CNN else 5
            results = nested.evaluate(backend, sweep, [splits[name]], 0, seeds)
        found |= {(name, fold): outcome for fold, (outcome, _) in enumerate(results)}
    outcomes = outcomes_table([splits[GTZAN]], found, list(sweeps))
    less = comparison_table(outcomes, CNN).set_index("model")
    result: dict[str, Any] = {"axes": CNN_AXES, "epochs": network.epochs}
    for row in scores_table(outcomes).to_dict("records"):
        name = row["model"]
        result[name] = {key: row[key] for key in ("accuracy", "low", "high")}
        result[name]["configs"] = sweeps[name].num_configs
        result[name]["seconds"] = float(row["fit_seconds"] * row["folds"])
        if name != CNN:  # positive: better than the CNN
            result[name]["gain"] = list(-less.loc[name, ["difference", "high", "low"]])
    return result


def artists_of(table: FeatureTable) -> np.ndarray:
    """Returns (rows,) numbers of listed artists, -1 where the list lacks a song."""
    found = lists.look_up(table, lists.ARTIST_FOLDS)
    return np.array([listed.artist if listed else -1 for listed in found])


def songs(data: Path) -> dict[str, Any]:
    """Predicts nine songs by networks that were trained on other artists' songs.

    By tags and the 57 features on the published songs; by units on those of audio100 that are not
    by the song's artist, if these include its genre.
    """
    paths = sorted(data.glob("audio/*.wav"))
    own = {path.stem: lists.read_list(lists.ARTIST_FOLDS)[path.stem].artist for path in paths}
    made = {name: dict(Extractor(name).rows(paths, 2)) for name in ("gtzan", "musicnn")}
    x = {name: np.array([rows[path][0][1:] for path in paths]) for name, rows in made.items()}
    inputs = {GTZAN: x["gtzan"], TAGS: x["musicnn"][:, :50], UNITS: x["musicnn"][:, 50:]}
    rows: list[dict[str, Any]] = [{"song": path.stem} for path in paths]
    for features, table in published(data).items():
        artist = artists_of(table)
        others = np.flatnonzero((artist >= 0) & ~np.isin(artist, list(own.values())))
        for row, classes in zip(rows, classes_of(table, others, inputs[features]), strict=True):
            row[features] = classes
    table = of_songs(data)[UNITS]
    artist = artists_of(table)
    for row, x_of in zip(rows, inputs[UNITS], strict=True):
        others = np.flatnonzero(artist != own[row["song"]])
        if row["song"].partition(".")[0] in {table.genres[table.y[i]] for i in others}:
            (row[UNITS],) = classes_of(table, others, x_of[None])
    return {"networks": NETWORKS, "rows": rows}


def classes_of(table: FeatureTable, rows: np.ndarray, x: np.ndarray) -> list[list[str]]:
    """Returns for each row of x the genres that networks trained on some rows predict."""
    sweep = load_sweep("published_best")
    splits = Splits(table, PROTOCOLS["kfold"], 0, (Fold(rows, rows[:0], rows),))
    config = sweep.configs[0]
    with Engine(sweep, MlpFamily(), splits.sizes) as engine:
        [found] = train_networks(engine, splits, [config.id], range(NETWORKS), SONG_EPOCHS)
    models = [TrainedModel.of(config, params, sweep, splits, 0) for params in found.params]
    chosen = np.stack([model.predict_matrix(x).argmax(axis=1) for model in models], axis=1)
    return [[table.genres[genre] for genre in of] for of in chosen]


def seconds(data: Path) -> dict[str, Any]:
    """Times the command that extracts features of a hundred songs, twice, and of one."""
    result: dict[str, Any] = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as name:
        one = Path(name, "one")
        (one / "blues").mkdir(parents=True)
        shutil.copy(min(data.glob("audio100/*/*.flac")), one / "blues")
        runs = {"first": data / "audio100", "warm": data / "audio100", "one": one}
        for features, (run, source) in itertools.product(("gtzan", "musicnn"), runs.items()):
            command = [
                sys.executable, "-m", "gtzan_jax.extract", str(source), "--overwrite",
                f"--features={features}", f"--output={name}/features.csv",
            ]  # fmt: skip
            begun = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603
            taken = (time.perf_counter() - begun) / len(list(source.glob("*/*")))
            result.setdefault(features, {})[run] = taken
    return result


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "protocols": protocols, "curve": curve, "songs": songs, "cnn": cnn, "seconds": seconds,
}  # fmt: skip
