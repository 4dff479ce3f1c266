"""Fills docs/predicting.md in: what `predict` is worth, measured on the real table and on songs.

    python docs/make_predicting.py SONGS

SONGS is a folder of GTZAN's songs as WAV; the table lies at data/features_30_sec.csv. The network
is that of sweeps/published_best.toml, trained for 50 epochs. Takes about a minute on two cores.
"""

import contextlib
import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pages import fill
from scipy.signal import lfilter, resample_poly

from gtzan_jax.inference.distribution import UNLIKE, Distribution
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.jobs.calibrating import calibrated
from gtzan_jax.jobs.retraining import train_networks
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.sound.features import features_of, segments_of
from gtzan_jax.sound.files import SAMPLE_RATE, read
from gtzan_jax.sound.mel import BAND_NAMES, BANDS, FRAMES, log_mel
from gtzan_jax.sound.summary import summarised
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables import lists
from gtzan_jax.tables.folds import Fold
from gtzan_jax.tables.protocols import Splits, make_splits
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import load_table
from gtzan_jax.trainer.engine import Engine
from gtzan_jax.views.predictions import Answer, head, song
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("predicting.md")
SWEEP = load_sweep("published_best")
EPOCHS = 50
PROTOCOLS = ("holdout", "kfold", "artist_kfold", "artist_folds", "fault_filtered")
NETWORKS = 10
SECONDS = 30
EXPLAINED = "jazz.00000.wav"


def networks(splits: Splits, seeds: int) -> list[list[TrainedModel]]:
    """Trains the published config on every fold, and returns the models of each."""
    config = SWEEP.configs[0]
    with Engine(SWEEP, MlpFamily(), splits.sizes) as engine:
        [found] = train_networks(engine, splits, [config.id], range(seeds), EPOCHS)
    return [
        [
            TrainedModel.of(config, each, SWEEP, splits, fold)
            for each in found.params[start:][:seeds]
        ]
        for fold, start in enumerate(range(0, len(found.params), seeds))
    ]


# ---------------------------------------------------------------------------------- calibration


def calibration_table(table: FeatureTable) -> tuple[Table, dict[str, float]]:
    """Returns what temperatures do on the test part, over ten networks a protocol.

    And the error, calibrated, that each protocol leaves, in points.
    """
    rows, left = [], {}
    for protocol in PROTOCOLS:
        splits = make_splits(table, protocol, 0, 5)
        seeds = max(1, NETWORKS // len(splits.folds))
        held, temperatures, songs = [], [], []
        for fold, models in zip(splits.folds, networks(splits, seeds), strict=True):
            for bare in models:
                model, _ = calibrated(bare, splits, fold)
                held.append(model.calibration.test)
                temperatures.append(model.calibration.temperature)
                songs.append((model.calibration.validation.songs, model.calibration.test.songs))
        chance = [(each.chance_error, each.chance_limit) for each in held]
        beyond = sum(each.calibrated_error > each.chance_limit for each in held)
        left[protocol] = 100 * float(np.mean([each.calibrated_error for each in held]))
        low, high = np.min(songs, axis=0), np.max(songs, axis=0)
        rows.append(
            [
                protocol,
                str(len(held)),
                *(f"{a}" if a == b else f"{a} to {b}" for a, b in zip(low, high, strict=True)),
                _spread([each.accuracy for each in held], 100),
                _spread(temperatures, 1, 2),
                _spread([each.error for each in held], 100),
                _spread([each.calibrated_error for each in held], 100),
                "{:.1f}, up to {:.1f}".format(*100 * np.mean(chance, axis=0)),
                f"{beyond} of {len(held)}",
            ]
        )
    heads = (
        "protocol", "networks", "validation songs", "test songs", "right, %", "temperature",
        "error, points", "calibrated", "of chance alone", "beyond",
    )  # fmt: skip
    return Table(heads, rows), left


def artists_share(left: dict[str, float]) -> str:
    """Returns what is left after calibration where artists are known, and where they are new.

    Args:
      left: error by protocol, calibrated, in points.
    """
    published, random, mixed = (left[name] for name in ("artist_folds", "artist_kfold", "kfold"))
    return (
        f"Where artists are on both sides (`kfold`) {mixed:.1f} points are left after calibration, "
        f"on random folds that share no artist (`artist_kfold`) {random:.1f}, and on the published "
        f"`artist_folds` {published:.1f}. The last is of three folds, among which it varies by "
        "more than these differences: that new artists cost calibration is not shown."
    )


def _spread(values: Sequence[float], factor: float, digits: int = 1) -> str:
    scaled = factor * np.asarray(values)
    return f"{scaled.mean():.{digits}f} ± {scaled.std(ddof=1):.{digits}f}"


# --------------------------------------------------------------------------------------- unlike


def plain_distances(train: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Returns the distances that variances as they are, without logarithms, would give."""
    return np.sqrt((((x - train.mean(axis=0)) / train.std(axis=0)) ** 2).mean(axis=1))


def alarms_table(table: FeatureTable) -> Table:
    """Returns how many test songs, which are music of GTZAN, are called unlike."""
    rows = []
    for protocol in PROTOCOLS:
        counts = np.zeros(3, int)
        for fold in make_splits(table, protocol, 0, 5).folds:
            train, test = (table.x[rows].astype(np.float64) for rows in (fold.train, fold.test))
            known = Distribution.of(table.x[fold.train], table.songs[fold.train], table.features)
            far = [
                known.distance(z[None]) > known.percentiles[UNLIKE] for z in known.deviations(test)
            ]
            limit = np.percentile(plain_distances(train, train), UNLIKE)
            counts += (len(test), sum(far), int((plain_distances(train, test) > limit).sum()))
        shares = [f"{100 * count / counts[0]:.1f}" for count in counts[1:]]
        rows.append([protocol, str(counts[0]), *shares])
    return Table(("protocol", "test songs", "called unlike, %", "without logarithms"), rows)


def sounds(folder: Path) -> dict[str, np.ndarray]:
    """Returns half a minute each of what is no music, and of music that was changed."""
    random, count = np.random.default_rng(0), SECONDS * SAMPLE_RATE
    at = np.arange(count) / SAMPLE_RATE
    music = {path.stem: read(path) for path in sorted(folder.glob("*.00000.wav"))}
    made = {
        "silence": np.zeros(count),
        "white noise": 0.3 * random.normal(size=count),
        "faint white noise": 0.01 * random.normal(size=count),
        "a sine of 440 Hz": 0.5 * np.sin(2 * np.pi * 440 * at),
        "a click every half second": 0.8 * (np.arange(count) % (SAMPLE_RATE // 2) < 20),
        "a voice: pulses and noise through formants": voice(random, count),
    }
    for name, samples in music.items():
        dull = resample_poly(resample_poly(samples, 3, 11), 11, 3)
        made |= {f"{name}, as it is": samples, f"{name}, 26 dB softer": 0.05 * samples}
        made |= {f"{name}, nothing above 3 kHz": dull, f"{name}, backwards": samples[::-1].copy()}
    return {name: samples.astype(np.float32) for name, samples in made.items()}


def voice(random: np.random.Generator, count: int) -> np.ndarray:
    """Returns syllables, four a second: pulses of a voice, or noise, through three resonances."""
    at = np.arange(count) / SAMPLE_RATE
    pitch = np.cumsum(120 * (1 + 0.1 * np.sin(2 * np.pi * 0.3 * at))) / SAMPLE_RATE
    pulses, spoken, length = 2 * (pitch % 1) - 1, np.zeros(count), SAMPLE_RATE // 4
    for start in range(0, count, length):
        part = pulses[start : start + length]
        if random.random() < 0.25:
            part = 0.2 * random.normal(size=len(part))
        for hertz in (random.uniform(300, 800), random.uniform(900, 2300), 2600):
            angle, radius = 2 * np.pi * hertz / SAMPLE_RATE, 0.97
            part = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], part)
        spoken[start : start + length] = part * np.hanning(len(part))
    return 0.3 * spoken / np.abs(spoken).max()


def sounds_table(table: FeatureTable, folder: Path) -> Table:
    """Returns what is said of sounds by a model of the fault-filtered train part."""
    (fold,) = make_splits(table, "fault_filtered", 0, 1).folds
    train = table.x[fold.train].astype(np.float64)
    known = Distribution.of(table.x[fold.train], table.songs[fold.train], table.features)
    limit = np.percentile(plain_distances(train, train), UNLIKE)
    rows = []
    for name, samples in sounds(folder).items():
        made = features_of(samples)[None]
        z = known.deviations(made)
        distance = known.distance(z)
        place = int(np.abs(z[0]).argmax())
        rows.append(
            [
                name,
                f"{distance:.1f}",
                "unlike" if distance > known.percentiles[UNLIKE] else "",
                f"{table.features[place]} {z[0, place]:+.1f}".replace("-", "−"),
                "unlike" if plain_distances(train, made)[0] > limit else "",
            ]
        )
    return Table(("sound", "distance", "called", "farthest", "without logarithms"), rows)


# ------------------------------------------------------------------------------------- memory

COPIES = {  # how a copy is written: its ending, the options of soundfile, its samples
    "the file under another name": (".wav", {"subtype": "FLOAT"}, lambda x: x),
    "FLAC, or WAV of 16 bits": (".flac", {}, lambda x: x),
    "half as loud": (".wav", {"subtype": "FLOAT"}, lambda x: 0.5 * x),
    "resampled to 44.1 kHz": (".wav", {"subtype": "FLOAT"}, lambda x: resample_poly(x, 2, 1)),
    "MP3, best quality": (".mp3", {"compression_level": 0.0}, lambda x: x),
    "MP3, default": (".mp3", {}, lambda x: x),
    "Ogg Vorbis, default": (".ogg", {}, lambda x: x),
    "without its first second": (".wav", {"subtype": "FLOAT"}, lambda x: x[SAMPLE_RATE:]),
}


def copies_table(table: FeatureTable, folder: Path) -> Table:
    """Returns how far copies of songs lie from these, by features and by spectrograms."""
    songs = {path.stem: read(path) for path in sorted(folder.rglob("*.*"))}
    segments = np.concatenate([_bands(samples) for samples in songs.values()])
    names = summarised(BAND_NAMES, np.zeros((1, BANDS, FRAMES)))[0]
    both = [
        Distribution.of(table.x, table.songs, table.features),
        Distribution.of(segments, np.arange(len(segments), dtype=np.int32), names),
    ]
    tracks = [track.removesuffix(".wav") for track in table.tracks]
    rows = []
    for name, (suffix, options, change) in COPIES.items():
        distances, known = [], []
        for stem, samples in songs.items():
            copy = written(change(samples), suffix, options)
            made = [features_of(copy)[None], _bands(copy)]
            z, bands = (r.deviations(m) for r, m in zip(both, made, strict=True))
            own = both[0].deviations(table.x[tracks.index(stem)][None].astype(np.float64))
            distances.append(float(np.median(np.abs(z - own))))
            known.append((both[0].knows(z), both[1].knows(bands)))
        shares = [f"{100 * share:.0f}" for share in np.mean(known, axis=0)]
        spread = (f"{np.median(distances):.3f}", f"{np.max(distances):.3f}")
        rows.append([name, *spread, *shares])
    heads = ("copy", "distance, median", "largest", "known, %", "by spectrograms")
    return Table(heads, rows)


def written(samples: np.ndarray, suffix: str, options: dict[str, Any]) -> np.ndarray:
    """Returns the samples of a copy as it is read from its file."""
    import soundfile

    rate = SAMPLE_RATE if len(samples) < 40 * SAMPLE_RATE else 2 * SAMPLE_RATE
    with tempfile.TemporaryDirectory() as folder:
        soundfile.write(Path(folder, f"copy{suffix}"), samples, rate, **options)
        return read(Path(folder, f"copy{suffix}"))


def _bands(samples: np.ndarray) -> np.ndarray:
    segments = np.stack([log_mel(task) for task in segments_of(samples)])
    return np.asarray(summarised(BAND_NAMES, segments)[1], np.float64)


# ------------------------------------------------------------------------------------ the songs


def apart_from(table: FeatureTable, names: Sequence[str]) -> Splits:
    """Returns the first artist fold without songs, and without others of their artists."""
    splits = make_splits(table, "artist_folds", 0, 1)
    found = lists.look_up(table, lists.ARTIST_FOLDS)
    artist = np.array([listed.artist if listed else -1 for listed in found])
    given = np.isin(table.tracks, names)
    out = given | np.isin(artist, list(set(artist[given]) - {-1}))
    whole = splits.folds[0]
    parts = (rows[~out[rows]] for rows in (whole.train, whole.validation, whole.test))
    return dataclasses.replace(splits, folds=(Fold(*parts),))


def songs_table(model: TrainedModel, paths: Sequence[Path]) -> tuple[Table, str]:
    """Returns what is said of songs, and how many of them are told."""
    rows, right = [], 0
    for path in paths:
        found = model.predict_file(path)
        true = path.name.partition(".")[0]
        right += true == found.genres[0]
        top = [
            f"{genre} {100 * probability:.0f} %"
            for genre, probability in zip(found.genres[:3], found.probabilities[:3], strict=True)
        ]
        rank = found.genres.index(true) + 1
        rows.append([path.name, *top, str(rank), f"{found.unlike.distance:.2f}"])
    heads = ("song", "first", "second", "third", "place of its genre", "distance")
    return Table(heads, rows), f"{right} of {len(paths)}"


def timing(model: TrainedModel, folder: Path) -> str:
    """Says how long a song of four minutes takes, put together from shorter ones."""
    import soundfile

    whole = np.concatenate([read(path) for path in sorted(folder.glob("*.wav"))])
    path = Path("four_minutes.wav")
    soundfile.write(path, whole[: 240 * SAMPLE_RATE], SAMPLE_RATE)
    try:
        model.predict_file(path)
        begun = time.perf_counter()
        found = model.predict_file(path)
        seconds = time.perf_counter() - begun
        begun = time.perf_counter()
        explained = model.explain(found)
        more = time.perf_counter() - begun
    finally:
        path.unlink()
    return (
        f"A song of four minutes, {len(found.spans)} windows, takes {seconds:.1f} s on one core, "
        f"and `--explain` {more:.1f} s more; its sum is off by {abs(explained.gap):.0e} nats."
    )


def blocks(folder: Path) -> Iterator[tuple[str, str]]:
    """Yields what stands between the page's markers, by name."""
    table, paths = load_table("data/features_30_sec.csv"), sorted(folder.glob("*.wav"))
    splits = apart_from(table, [path.name for path in paths])
    fold = splits.folds[0]
    model, _ = calibrated(networks(splits, 1)[0][0], splits, fold)
    shown, right = songs_table(model, paths)
    held = model.calibration
    yield (
        "songs",
        f"A network of the first artist fold was trained on {len(fold.train)} songs, none of them "
        f"one of these or of their artists, and calibrated on {held.validation.songs} others "
        f"(temperature {held.temperature:.2f}). Of the fold's {held.test.songs} test songs it "
        f"tells {100 * held.test.accuracy:.0f} %, and of these {right}.\n\n{shown.markdown}",
    )
    with contextlib.chdir(folder):
        found = model.predict_file(EXPLAINED)
    text = "\n\n".join(
        [head(model, "runs/mine"), song(Answer(EXPLAINED, found, model.explain(found)))]
    )
    yield (
        "terminal",
        f"```\n$ python -m gtzan_jax.predict runs/mine {EXPLAINED} --explain\n{text}\n```",
    )
    yield "timing", timing(model, folder)
    calibrations, left = calibration_table(table)
    yield "calibration", calibrations.markdown
    yield "artists", artists_share(left)
    yield "alarms", alarms_table(table).markdown
    yield "sounds", sounds_table(table, folder).markdown
    yield "copies", copies_table(table, folder).markdown


def main() -> None:
    """Rewrites the blocks between the markers."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    for name, text in blocks(Path(sys.argv[1])):
        fill(PAGE, name, text)


if __name__ == "__main__":
    main()
