"""Fills docs/sound.md in, from songs of GTZAN, the published table and made-up songs.

    OMP_NUM_THREADS=1 python docs/make_sound.py [FOLDER [TABLE]]

FOLDER has some of GTZAN's songs, TABLE is features_30_sec.csv; both are looked for in data/ and in
../shared/data/. For the seconds of one core, set OPENBLAS_NUM_THREADS to 1, too. About four minutes
on two cores, most of them for the network on made-up songs.
"""

import importlib.metadata
import itertools
import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import joblib
import librosa
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pages import fill
from scipy.ndimage import median_filter
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gtzan_jax import run_sweep
from gtzan_jax.analysis.classical import vote_hits
from gtzan_jax.analysis.selection import accuracy_interval
from gtzan_jax.sound import features, mel, spectrogram_cache, spectrograms, synthetic
from gtzan_jax.sound.files import SAMPLE_RATE, read, songs_in
from gtzan_jax.sound.summary import summary_of
from gtzan_jax.tables.folds import Fold
from gtzan_jax.tables.protocols import make_splits
from gtzan_jax.tables.schema import FEATURES, FeatureTable
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("sound.md")
PLACES = (Path("data"), Path("../shared/data"))
PACKAGES = ("librosa", "numpy", "scipy")
REPEATS = 3
FOLDS, FILTERS, EPOCHS = 5, 16, 20  # of the network on made-up songs

T = TypeVar("T")
Samples = NDArray[np.float32]
Way = Callable[[Samples], NDArray[np.float64]]


def one_by_one(samples: Samples, pad_mode: str) -> NDArray[np.float64]:
    """Returns the features as librosa computes each for itself."""
    feature, pad = librosa.feature, {"pad_mode": pad_mode}
    common = {"y": samples, "sr": SAMPLE_RATE} | pad
    before = [
        feature.chroma_stft(**common),
        feature.rms(y=samples, **pad),
        feature.spectral_centroid(**common),
        feature.spectral_bandwidth(**common),
        feature.spectral_rolloff(**common),
        feature.zero_crossing_rate(samples),
        *librosa.effects.hpss(samples, **pad),
    ]
    onsets = librosa.onset.onset_strength(aggregate=np.median, **common)
    tempo, _ = librosa.beat.beat_track(onset_envelope=onsets, sr=SAMPLE_RATE)
    after = feature.mfcc(n_mfcc=20, **common)
    moments = [[m for x in series for m in (x.mean(), x.var())] for series in (before, after)]
    return np.array([*moments[0], float(np.squeeze(tempo)), *moments[1]], float)


def mean_tempo(samples: Samples) -> float:
    """Returns the tempo from onsets as ``onset_strength`` computes them by itself."""
    onsets = librosa.onset.onset_strength(y=samples, sr=SAMPLE_RATE, pad_mode="reflect")
    return float(librosa.feature.tempo(onset_envelope=onsets, sr=SAMPLE_RATE).item())


WAYS: dict[str, Way] = {
    "here": features.features_of,
    "reflection alone": lambda samples: one_by_one(samples, "reflect"),
    "librosa's defaults": lambda samples: one_by_one(samples, "constant"),
}


def errors_block(songs: dict[str, Samples], table: pd.DataFrame) -> str:
    """Returns the largest error of each feature in deviations, by how it is computed."""
    published = table.loc[list(songs), list(FEATURES)].to_numpy()
    deviations = table[list(FEATURES)].std(ddof=0).to_numpy()
    largest = [
        (np.abs([way(samples) for samples in songs.values()] - published) / deviations).max(0)
        for way in WAYS.values()
    ]
    rows = [["**the largest**", *(f"**{errors.max():.1e}**" for errors in largest)]]
    for feature, errors in zip(FEATURES, np.transpose(largest), strict=True):
        rows.append([f"`{feature}`", *(f"{error:.1e}" if error else "0" for error in errors)])
    tempos = published[:, FEATURES.index("tempo")]
    differ = [abs(mean_tempo(s) - t) > 1e-9 for s, t in zip(songs.values(), tempos, strict=True)]
    return (
        f"{Table(('feature', *WAYS), rows).markdown}\n\n"
        f"With the mean over mel bands in place of the median, {sum(differ)} tempos differ."
    )


def processor_seconds(work: Callable[[T], object], inputs: Sequence[T]) -> float:
    """Returns the processor seconds of an input."""
    work(inputs[0])  # what is loaded or compiled once
    started = time.process_time()
    for one in inputs:
        work(one)
    return (time.process_time() - started) / len(inputs)


def seconds_block(songs: dict[str, Samples]) -> str:
    """Returns the processor seconds of a song, and the memory of a minute."""
    samples, plane = list(songs.values()), {"mode": "reflect"}
    spectra = [np.abs(librosa.stft(one, pad_mode="reflect")) for one in samples]
    seconds = {
        "librosa, feature by feature": processor_seconds(WAYS["reflection alone"], samples),
        "— its medians, of a plane": processor_seconds(
            lambda s: (median_filter(s, (1, 31), **plane), median_filter(s, (31, 1), **plane)),
            spectra,
        ),
        "here": processor_seconds(features.features_of, samples),
        "— its medians, row by row": processor_seconds(
            lambda s: (features._medians(s), features._medians(s.T)), spectra
        ),
    }
    whole = np.concatenate(samples[:4])
    tracemalloc.start()
    features.features_of(whole)
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    minutes = len(whole) / SAMPLE_RATE / 60
    rows = [[name, f"{value:.2f}"] for name, value in seconds.items()]
    return (
        f"{Table(('what', 'processor s a song'), rows).markdown}\n\n"
        f"Memory beside the samples: {megabytes / minutes:.0f} MB a minute of sound."
    )


def spectrograms_block(paths: Sequence[Path]) -> str:
    """Says what spectrograms take, computed and from the cache."""
    computed, cached = [], []
    for _ in range(REPEATS):
        with (
            tempfile.TemporaryDirectory() as folder,
            patch.object(spectrogram_cache, "cache_dir", lambda: Path(folder)),
        ):
            for seconds in (computed, cached):
                started = time.perf_counter()
                table = spectrograms.load_spectrograms("sounds")
                seconds.append(time.perf_counter() - started)
    of_genres = list(itertools.product(synthetic.GENRES, range(REPEATS)))
    made = processor_seconds(
        lambda song: synthetic.song(*song, spectrograms.SYNTHETIC_SECONDS), of_genres
    )
    segments = [segment for path in paths for segment in features.segments_of(read(path))]
    segment = processor_seconds(mel.log_mel, segments)
    song = processor_seconds(
        lambda path: [mel.log_mel(segment) for segment in features.segments_of(read(path))], paths
    )
    return (
        f"On {joblib.cpu_count()} cores the {table.num_songs} made-up songs take "
        f"{min(computed):.1f} s, and {1e3 * min(cached):.0f} ms from the cache, the least of "
        f"{REPEATS} times, beside other programs (a load of {os.getloadavg()[1]:.1f}). Of "
        f"processor time, a made-up song takes {1e3 * made:.0f} ms, a segment's spectrogram "
        f"{1e3 * segment:.1f} ms, and a song of GTZAN {1e3 * song:.0f} ms, reading included."
    )


def linear_hits(
    table: FeatureTable, x: NDArray[np.float32], folds: Sequence[Fold]
) -> NDArray[np.float64]:
    """Returns (songs,) whether logistic regression tells each song of each fold's test part."""
    model, hits = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)), []
    for fold in folds:
        model.fit(x[fold.train], table.y[fold.train])
        hits.append(vote_hits(model, x[fold.test], table.y[fold.test], table.songs[fold.test]))
    return np.concatenate(hits)


def difficulty_block() -> str:
    """Returns how many made-up songs are told by what does and does not see the order of frames."""
    table = spectrograms.load_spectrograms("sounds")
    folds, moments = make_splits(table, "kfold", 0, FOLDS).folds, summary_of(table).x
    axes = {"filters": FILTERS, "dropout": 0.0, "time_mask": 0, "time_shift": 0}
    changes = ["protocol=kfold", f"num_folds={FOLDS}", f"epochs={EPOCHS}"]
    changes += [f"axes.{axis}=[{value}]" for axis, value in axes.items()]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "run")
        run = run_sweep("cnn_smoke", table, place, overrides=changes, retrain_epochs=0)
        correct = run.predictions.correct[0, 0]
    alone = np.arange(len(correct))  # the artists of GTZAN's songs of these names are not theirs
    widths = f"{FILTERS}, {2 * FILTERS} and {4 * FILTERS}"
    hits = {
        "logistic regression on each band's mean": linear_hits(table, moments[:, ::2], folds),
        "the same on means and variances": linear_hits(table, moments, folds),
        f"three blocks of convolution of {widths} filters, {EPOCHS} epochs of Adam": correct,
    }
    rows = []
    for model, told in hits.items():
        low, high = accuracy_interval(told, alone)
        rows.append([model, f"{told.mean():.2f}", f"{low:.2f} to {high:.2f}"])
    heads = ("model", "accuracy on songs not trained on", "95 % interval")
    trained = " or ".join(sorted({str(len(set(table.songs[fold.train]))) for fold in folds}))
    return (
        f"In {FOLDS} folds each of the {table.num_songs} songs is tested once, by models of "
        f"{trained} others, and its segments vote:\n\n{Table(heads, rows).markdown}"
    )


def found(name: str, given: list[str]) -> Path:
    """Returns the first place that is there."""
    return next(path for path in [*map(Path, given), *(p / name for p in PLACES)] if path.exists())


def main() -> None:
    """Rewrites the blocks between the markers."""
    folder = found("audio", sys.argv[1:2])
    table = pd.read_csv(found("features_30_sec.csv", sys.argv[2:3])).set_index("filename")
    listed = songs_in(folder)
    songs = {song.name: read(song.path) for song in listed}
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    note = f"{len(songs)} songs, {len(table):,} in the table; {versions}."
    fill(PAGE, "errors", f"{note}\n\n{errors_block(songs, table)}")
    fill(PAGE, "seconds", f"{note}\n\n{seconds_block(songs)}")
    fill(PAGE, "spectrograms", spectrograms_block([song.path for song in listed]))
    fill(PAGE, "difficulty", difficulty_block())


if __name__ == "__main__":
    main()
