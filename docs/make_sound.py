"""Fills the tables of docs/sound.md, from songs of GTZAN and the published table; half a minute.

    OMP_NUM_THREADS=1 python docs/make_sound.py [FOLDER [TABLE]]

FOLDER has some of GTZAN's songs, TABLE is features_30_sec.csv; both are looked for in data/ and in
../shared/data/. For the seconds of one core, set OPENBLAS_NUM_THREADS to 1, too.
"""

import importlib.metadata
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pages import fill
from scipy.ndimage import median_filter

from gtzan_jax.sound import features
from gtzan_jax.sound.files import SAMPLE_RATE, read, songs_in
from gtzan_jax.tables.schema import FEATURES

PAGE = Path(__file__).with_name("sound.md")
PLACES = (Path("data"), Path("../shared/data"))
PACKAGES = ("librosa", "numpy", "scipy")

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


def errors_block(songs: dict[str, Samples], table: pd.DataFrame) -> Iterator[str]:
    """Yields the largest error of each feature in deviations, by how it is computed."""
    published = table.loc[list(songs), list(FEATURES)].to_numpy()
    deviations = table[list(FEATURES)].std(ddof=0).to_numpy()
    largest = {
        name: (np.abs([way(samples) for samples in songs.values()] - published) / deviations).max(0)
        for name, way in WAYS.items()
    }
    yield "| feature | " + " | ".join(WAYS) + " |"
    yield "| --- " * (1 + len(WAYS)) + "|"
    yield "| **the largest** | " + " | ".join(f"**{e.max():.1e}**" for e in largest.values()) + " |"
    for place, feature in enumerate(FEATURES):
        cells = (f"{errors[place]:.1e}" if errors[place] else "0" for errors in largest.values())
        yield f"| `{feature}` | " + " | ".join(cells) + " |"
    tempos = published[:, FEATURES.index("tempo")]
    differ = [abs(mean_tempo(s) - t) > 1e-9 for s, t in zip(songs.values(), tempos, strict=True)]
    yield ""
    yield f"With the mean over mel bands in place of the median, {sum(differ)} tempos differ."


def seconds_block(songs: dict[str, Samples]) -> Iterator[str]:
    """Yields the processor seconds of a song, and the memory of a minute."""
    spectra = [np.abs(librosa.stft(samples, pad_mode="reflect")) for samples in songs.values()]
    plane = {"mode": "reflect"}
    jobs: dict[str, tuple[Callable[..., object], list[NDArray[np.float32]]]] = {
        "librosa, feature by feature": (WAYS["reflection alone"], list(songs.values())),
        "— its medians, of a plane": (
            lambda s: (median_filter(s, (1, 31), **plane), median_filter(s, (31, 1), **plane)),
            spectra,
        ),
        "here": (features.features_of, list(songs.values())),
        "— its medians, row by row": (
            lambda s: (features._medians(s), features._medians(s.T)),
            spectra,
        ),
    }
    yield "| what | processor s a song |"
    yield "| --- | --- |"
    for name, (work, inputs) in jobs.items():
        work(inputs[0])  # what is loaded or compiled once
        started = time.process_time()
        for one in inputs:
            work(one)
        yield f"| {name} | {(time.process_time() - started) / len(inputs):.2f} |"
    whole = np.concatenate(list(songs.values())[:4])
    tracemalloc.start()
    features.features_of(whole)
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    minutes = len(whole) / SAMPLE_RATE / 60
    yield ""
    yield f"Memory beside the samples: {megabytes / minutes:.0f} MB a minute of sound."


def found(name: str, given: list[str]) -> Path:
    """Returns the first place that is there."""
    return next(path for path in [*map(Path, given), *(p / name for p in PLACES)] if path.exists())


def main() -> None:
    """Rewrites the blocks between the markers."""
    folder = found("audio", sys.argv[1:2])
    table = pd.read_csv(found("features_30_sec.csv", sys.argv[2:3])).set_index("filename")
    songs = {song.name: read(song.path) for song in songs_in(folder)}
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    note = f"{len(songs)} songs, {len(table):,} in the table; {versions}."
    blocks = {"errors": errors_block(songs, table), "seconds": seconds_block(songs)}
    for name, block in blocks.items():
        fill(PAGE, name, "\n".join([note, "", *block]))


if __name__ == "__main__":
    main()
