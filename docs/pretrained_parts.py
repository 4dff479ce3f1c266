"""Measures what docs/pretrained.md says; ``make_pretrained.py`` calls it and writes the page.

``data`` is everywhere a folder with GTZAN's table (features_30_sec.csv), musicnn's published tags
(musicnn_msd_tags.csv), ten songs a genre (audio100/GENRE/*.flac) and nine songs (audio/*.wav).
"""

import csv
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

import jax
import numpy as np
import pandas as pd
from pretrained_predictions import BOTH, GTZAN, LINEAR, OURS, TAGS, UNITS
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gtzan_jax.analysis import classical
from gtzan_jax.analysis.classical import Outcome, comparison_table, outcomes_table, scores_table
from gtzan_jax.analysis.selection import accuracy_interval, mean_interval
from gtzan_jax.backends.backend import open_backend
from gtzan_jax.inference.extractor import Extractor
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.inference.pretrained import features_of_windows
from gtzan_jax.jobs import nested
from gtzan_jax.jobs.baselines import splits_of
from gtzan_jax.jobs.retraining import train_networks
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.resources import cache_dir
from gtzan_jax.sound import musicnn_weights
from gtzan_jax.sound.files import SAMPLE_RATE, read
from gtzan_jax.sound.musicnn import windows_of
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

CNN = "CNN"
CNN_AXES = {
    "filters": [8, 16], "blocks": [3], "dropout": [0.0], "learning_rate": [0.001, 0.003],
    "frequency_mask": [8], "time_mask": [8], "time_shift": [16],
}  # fmt: skip


SEEDS = 3  # networks on each fold
DIVIDED = ("kfold", "mixed_artists", "artist_kfold", "artist_folds", "fault_filtered")
COUNTS = {"heard": (2, 5, 9), "unheard": (2, 5, 10, 20, 40)}  # songs a genre to train on
DRAWS = 5  # of these songs
NETWORKS, SONG_EPOCHS = 10, 50  # of the nine songs
CURVE_SEEDS, CURVE_EPOCHS, CURVE_BATCH = 3, 200, 16


# ------------------------------------------------------------------------------------- tables


def chosen_rows(table: FeatureTable, rows: Any) -> FeatureTable:
    """Returns a table of some rows of another."""
    x, tracks = table.x[rows], tuple(table.tracks[row] for row in rows)
    return dataclasses.replace(table, x=x, y=table.y[rows], tracks=tracks, repeats=equal_rows(x))


def gtzan_rows(data: Path, tracks: Sequence[str]) -> FeatureTable:
    """Returns rows of GTZAN's table."""
    table = load_table(data / "features_30_sec.csv")
    return chosen_rows(table, [table.tracks.index(f"{track}.wav") for track in tracks])


def of_songs(data: Path, features: str) -> FeatureTable:
    """Returns features of the hundred songs of audio100, ten of each genre one after another."""
    table = gtzan_rows(data, [path.stem for path in sorted(data.glob("audio100/*/*.flac"))])
    if features == GTZAN:
        return table
    every = computed(data)
    x, names = {
        TAGS: (every[:, : len(TAG_NAMES)], TAG_NAMES),
        UNITS: (every[:, len(TAG_NAMES) :], UNIT_NAMES),
        BOTH: (every, TAG_NAMES + UNIT_NAMES),
    }[features]
    return dataclasses.replace(table, x=x, features=names, repeats=(), source=features)


@functools.cache
def computed(data: Path) -> np.ndarray:
    """Returns the tags and units of the hundred songs of audio100: (100, 250)."""
    paths = sorted(data.glob("audio100/*/*.flac"))
    rows = dict(Extractor("musicnn").rows(paths, 2))
    return np.array([rows[path][0][1:] for path in paths], np.float32)  # first its samples


def published(data: Path) -> dict[str, FeatureTable]:
    """Returns the published tags of 733 songs as a table, and the 57 features of these songs."""
    with (data / "musicnn_msd_tags.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with tempfile.TemporaryDirectory() as folder, Path(folder, "tags.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", *TAG_NAMES, "label"])
        for row in rows:
            writer.writerow([f"{row['track']}.wav", *(row[n] for n in TAG_NAMES), row["genre"]])
        file.close()
        tags = load_table(file.name)
    return {GTZAN: gtzan_rows(data, [row["track"] for row in rows]), TAGS: tags}


def divided(table: FeatureTable, protocol: str) -> Splits:
    """Divides a table by a protocol.

    The published songs lack the validation part of the fault-filtered list. A fifth of its train
    part stands in for it, of artists of its own.
    """
    if protocol != "fault_filtered":
        return splits_of(table, protocol, 0, 5)[0]
    part = np.array([listed and listed.part for listed in lists.look_up(table, protocol)])
    whole = Fold(*(np.flatnonzero(part == name) for name in ("train", "validation", "test")))
    fold = with_validation(table, whole, 0, groups_of(table))
    return Splits(table, PROTOCOLS[protocol], 0, (fold,))


def check_same_folds(first: Splits, other: Splits) -> None:
    """Checks that two tables are divided alike, song by song."""

    def tested(splits: Splits) -> list[list[str | None]]:
        tracks = splits.table.tracks
        return [
            [lists.track_of(tracks[row]) for row in judged_rows(splits.table, fold.test)]
            for fold in splits.folds
        ]

    if tested(first) != tested(other):
        raise ValueError("the folds differ")


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns the rows of a frame for JSON."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


# ---------------------------------------------------------------------------------- protocols


def protocols(data: Path) -> dict[str, Any]:
    """Compares models on tags and on the 57 features of the same songs, by protocol."""
    sweep, models, outcomes = load_sweep("baselines"), classical.classical_models(0), {}
    result: dict[str, Any] = {"configs": sweep.num_configs, "seeds": SEEDS}
    divisions = []
    for name, table in published(data).items():
        all_splits = [divided(table, protocol) for protocol in DIVIDED]
        divisions.append(all_splits)
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
    for first, other in zip(*divisions, strict=True):
        check_same_folds(first, other)
    result["songs"] = {
        s.protocol.name: len({r for f in s.folds for r in f.test}) for s in divisions[0]
    }
    result["gain"] = []
    for model in (OURS, *models):
        both = [of[of["model"] == model].assign(model=name) for name, of in outcomes.items()]
        gains = comparison_table(pd.concat(both, ignore_index=True), TAGS).assign(model=model)
        result["gain"] += plain(gains)
    return result


# -------------------------------------------------------------------------------------- curve


def heard_folds(count: int, random: np.random.Generator) -> list[Fold]:
    """Divides audio100: fold k tests the k-th song of each genre, of the nine others some train."""
    of_genre = np.arange(100).reshape(10, 10)
    return [
        Fold(
            np.concatenate(
                [random.choice(np.delete(g, k), count, replace=False) for g in of_genre]
            ),
            of_genre[0, :0],
            of_genre[:, k],
        )
        for k in range(10)
    ]


def unheard_folds(
    whole: Fold, y: np.ndarray, count: int, random: np.random.Generator
) -> list[Fold]:
    """Draws some songs of each genre from the train part of the fault-filtered list."""
    rows = np.concatenate([whole.train, whole.validation])
    drawn = [random.choice(rows[y[rows] == g], count, replace=False) for g in range(10)]
    return [Fold(np.concatenate(drawn), rows[:0], whole.test)]


def network_hits(table: FeatureTable, folds: Sequence[Fold]) -> list[np.ndarray]:
    """Returns the shares of networks of one config that are right, for each fold (tested,)."""
    sweep = load_sweep("baselines", [f"batch_size={CURVE_BATCH}"])
    splits = Splits(table, PROTOCOLS["kfold"], 0, tuple(folds))
    with Engine(sweep, MlpFamily(), splits.sizes) as engine:
        [networks] = train_networks(
            engine, splits, [sweep.configs[0].id], range(CURVE_SEEDS), CURVE_EPOCHS
        )
    predicted = networks.history.predicted.reshape(len(folds), CURVE_SEEDS, -1)
    return [
        (of[:, : len(fold.test)] == table.y[fold.test]).mean(axis=0)
        for of, fold in zip(predicted, folds, strict=True)
    ]


def linear_hits(table: FeatureTable, folds: Sequence[Fold]) -> list[np.ndarray]:
    """Returns whether logistic regression is right, for each fold (tested,)."""
    model, x = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)), table.x
    return [
        (model.fit(x[f.train], table.y[f.train]).predict(x[f.test]) == table.y[f.test]).astype(
            float
        )
        for f in folds
    ]


def curve(data: Path) -> dict[str, Any]:
    """Measures accuracy by the number of songs of each genre that are trained on."""
    heard = {name: of_songs(data, name) for name in (GTZAN, TAGS, UNITS, BOTH)}
    unheard = published(data)
    (whole,) = divided(unheard[TAGS], "fault_filtered").folds
    rows: dict[str, list[dict[str, Any]]] = {"heard": [], "unheard": []}
    for artists, tables in (("heard", heard), ("unheard", unheard)):
        y, group = tables[GTZAN].y, groups_of(tables[GTZAN])
        for count in COUNTS[artists]:
            random, folds = np.random.default_rng(0), []
            for _ in range(DRAWS):
                if artists == "heard":
                    folds += heard_folds(count, random)
                else:
                    folds += unheard_folds(whole, y, count, random)
            rows[artists] += curve_rows(tables, folds, group, count)
    tracks = heard[GTZAN].tracks
    by_genre = artists_of(heard[GTZAN]).reshape(10, 10)
    counts = {tracks[10 * i].partition(".")[0]: len({*of}) for i, of in enumerate(by_genre)}
    return rows | {"artists": counts, "tested": len(whole.test), "draws": DRAWS}


def curve_rows(
    tables: Mapping[str, FeatureTable], folds: Sequence[Fold], group: np.ndarray, count: int
) -> list[dict[str, Any]]:
    """Returns accuracies over the songs that the folds test, and gains over others."""
    tested = np.unique(np.concatenate([fold.test for fold in folds]))
    shares: dict[tuple[str, str], np.ndarray] = {}
    rows = []
    for (name, table), model in itertools.product(tables.items(), (OURS, LINEAR)):
        total = np.zeros(len(table.y))
        hits_of = network_hits if model == OURS else linear_hits
        for fold, hits in zip(folds, hits_of(table, folds), strict=True):
            total[fold.test] += hits / DRAWS
        share = shares[name, model] = total[tested]
        low, high = accuracy_interval(share, group[tested])
        row = {"features": name, "model": model, "songs": count, "accuracy": share.mean()}
        row |= {"low": low, "high": high}
        for other in (GTZAN, TAGS)[: list(tables).index(name)]:
            gain = share - shares[other, model]
            row[f"less {other}"] = [gain.mean(), *mean_interval(gain, group[tested])]
        rows.append(row)
    return rows


# ---------------------------------------------------------------------------------------- CNN


def cnn(data: Path) -> dict[str, Any]:
    """Compares networks on spectrograms and on features, chosen and tested in the same folds."""
    axes = [f"axes.{name}={values}" for name, values in CNN_AXES.items()]
    network = load_sweep("cnn", ["protocol=kfold", "batch_size=16", *axes])
    sweeps = {CNN: network} | dict.fromkeys((GTZAN, TAGS, UNITS), load_sweep("baselines"))
    tables = {name: of_songs(data, name) for name in (GTZAN, TAGS, UNITS)}
    tables[CNN] = load_spectrograms(data / "audio100")
    splits = {name: splits_of(table, "kfold", 0, 5)[0] for name, table in tables.items()}
    found: dict[tuple[str, int], Outcome] = {}
    for name, sweep in sweeps.items():
        check_same_folds(splits[GTZAN], splits[name])
        with open_backend("cpu") as backend:
            seeds = 1 if name == CNN else 5
            results = nested.evaluate(backend, sweep, [splits[name]], 0, seeds)
        found |= {(name, fold): outcome for fold, (outcome, _) in enumerate(results)}
    outcomes = outcomes_table([splits[GTZAN]], found, list(sweeps))
    less = comparison_table(outcomes, CNN).set_index("model")
    result: dict[str, Any] = {"axes": CNN_AXES, "epochs": network.epochs}
    for row in scores_table(outcomes).to_dict("records"):
        name, of = row["model"], outcomes[outcomes["model"] == row["model"]]
        result[name] = {key: row[key] for key in ("accuracy", "low", "high", "tested", "seeds")}
        result[name] |= {
            "configs": sweeps[name].num_configs,
            "chosen": of["chosen"].tolist(),
            "seconds": float(row["fit_seconds"] * row["folds"]),
        }
        if name != CNN:  # positive: better than the CNN
            result[name]["gain"] = list(-less.loc[name, ["difference", "high", "low"]])
    return result


# ---------------------------------------------------------------------------------- nine songs


def songs(data: Path) -> dict[str, Any]:
    """Predicts nine songs by networks that were trained on other artists' songs.

    By tags and the 57 features on the published songs; by units on those of audio100 that are not
    by the song's artist, where these have any of its genre.
    """
    paths = sorted(data.glob("audio/*.wav"))
    own = {path.stem: lists.read_list(lists.ARTIST_FOLDS)[path.stem].artist for path in paths}
    made = {n: dict(Extractor(n).rows(paths, 2)) for n in ("gtzan", "musicnn")}
    x = {n: np.array([rows[path][0][1:] for path in paths]) for n, rows in made.items()}
    inputs = {GTZAN: x["gtzan"], TAGS: x["musicnn"][:, :50], UNITS: x["musicnn"][:, 50:]}
    names = [path.stem for path in paths]
    result: dict[str, Any] = {"networks": NETWORKS, "rows": [{"song": name} for name in names]}
    for features, table in published(data).items():
        artist = artists_of(table)
        others = np.flatnonzero((artist >= 0) & ~np.isin(artist, list(own.values())))
        result |= {"trained_on": len(others), "unknown": int((artist < 0).sum())}
        found = classes_of(table, others, inputs[features])
        for row, classes in zip(result["rows"], found, strict=True):
            row[features] = classes
    table = of_songs(data, UNITS)
    artist = artists_of(table)
    for row, name, x_of in zip(result["rows"], names, inputs[UNITS], strict=True):
        others = np.flatnonzero(artist != own[name])
        same = [table.genres[table.y[i]] == name.partition(".")[0] for i in others]
        row["of_its_genre"] = sum(same)
        if any(same):
            (row[UNITS],) = classes_of(table, others, x_of[None])
    first = [row[TAGS][0] == row["song"].partition(".")[0] for row in result["rows"]]
    return result | {"right": sum(first)}


def artists_of(table: FeatureTable) -> np.ndarray:
    """Returns (rows,) numbers of listed artists, -1 where the list lacks a song."""
    found = lists.look_up(table, lists.ARTIST_FOLDS)
    return np.array([listed.artist if listed else -1 for listed in found])


def classes_of(table: FeatureTable, rows: np.ndarray, x: np.ndarray) -> list[list[str]]:
    """Returns for each row of x the genre that each of some networks gives it."""
    sweep = load_sweep("published_best")
    splits = Splits(table, PROTOCOLS["kfold"], 0, (Fold(rows, rows[:0], rows),))
    config = sweep.configs[0]
    with Engine(sweep, MlpFamily(), splits.sizes) as engine:
        [found] = train_networks(engine, splits, [config.id], range(NETWORKS), SONG_EPOCHS)
    models = [TrainedModel.of(config, params, sweep, splits, 0) for params in found.params]
    chosen = np.stack([model.predict_matrix(x).argmax(axis=1) for model in models], axis=1)
    return [[table.genres[genre] for genre in of] for of in chosen]


# ------------------------------------------------------------------------------------- seconds


def seconds(data: Path) -> dict[str, Any]:
    """Times the command that extracts features of a hundred songs, and of one.

    Cold: the network is compiled, and its weights are in the cache. Warm: the second time.
    """
    result: dict[str, Any] = {"cores": os.cpu_count()}
    first = min(data.glob("audio100/*/*.flac"))
    with tempfile.TemporaryDirectory() as name:
        place, cache = Path(name), Path(name, "cache", cache_dir().name)
        cache.mkdir(parents=True)
        for path in cache_dir().glob("musicnn-*.safetensors"):
            shutil.copy(path, cache)
        (place / "one" / "blues").mkdir(parents=True)
        shutil.copy(first, place / "one" / "blues")
        for features in ("gtzan", "musicnn"):
            taken = {}
            for run, folder in (("cold", "audio100"), ("warm", "audio100"), ("one", "one")):
                source = data / folder if folder != "one" else place / "one"
                command = [
                    sys.executable, "-m", "gtzan_jax.extract", str(source), "--overwrite",
                    f"--features={features}", f"--output={place / 'features.csv'}",
                ]  # fmt: skip
                begun = time.perf_counter()
                environment = os.environ | {"XDG_CACHE_HOME": str(place / "cache")}
                subprocess.run(command, check=True, capture_output=True, env=environment)  # noqa: S603
                count = len(list(source.glob("*/*")))
                taken[run] = (time.perf_counter() - begun) / count
            result[features] = taken
    return result


# ----------------------------------------------------------------------------------- published


def agreement(data: Path) -> dict[str, Any]:
    """Compares our tags with the published ones, by windows each second and each three."""
    pairs: dict[str, list[np.ndarray]] = {"published": [], "1": [], "3": []}
    tags = published(data)[TAGS]
    for path in sorted(data.glob("audio100/*/*.flac")):
        if f"{path.stem}.wav" in tags.tracks:
            samples = read(path)
            ends = range(3 * SAMPLE_RATE, len(samples) + 1, SAMPLE_RATE)
            every = windows_of(samples, [(end - 3 * SAMPLE_RATE, end) for end in ends])
            pairs["1"].append(features_of_windows([every])[0][:, :50].mean(axis=0))
            whole = windows_of(samples, [(0, len(samples))])
            pairs["3"].append(features_of_windows([whole])[0][0, :50])
            pairs["published"].append(tags.x[tags.tracks.index(f"{path.stem}.wav")])
    known, *ours = (np.stack(each) for each in pairs.values())
    return {"songs": len(known)} | {
        hop: {
            "correlation": np.corrcoef(known.ravel(), made.ravel())[0, 1],
            "difference": np.abs(known - made).mean(),
            "largest": np.abs(known - made).max(),
        }
        for hop, made in zip(("1", "3"), ours, strict=True)
    }


def layers(data: Path) -> dict[str, Any]:
    """Compares each layer with Keras's, by the function that the tests call."""
    os.environ["KERAS_BACKEND"] = "jax"
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "models"))
    import keras
    import keras_musicnn

    samples = read(min(data.glob("audio/*.wav")))
    mel = windows_of(samples, [(0, len(samples))]).mel
    found = keras_musicnn.differences(musicnn_weights.load_weights(), mel)
    versions = f"keras {keras.__version__}, jax {jax.__version__}"
    return {"layers": found, "windows": len(mel), "versions": versions}


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "protocols": protocols, "curve": curve, "songs": songs, "cnn": cnn, "seconds": seconds,
    "agreement": agreement, "layers": layers,
}  # fmt: skip
