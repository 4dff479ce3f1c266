"""Fills docs/sound.md: the 57 features, calibration, strange sounds, copies of training songs.

    python docs/make_sound.py DATA SPEECH [PART ...]

DATA has features_30_sec.csv and musicnn_msd_tags.csv, nine songs (audio/*.wav) and ten of each
genre (audio100/GENRE/*.flac) of GTZAN. SPEECH has recordings as WAV, for the page test/ of the
source distribution of pocketsphinx 5.1.1. PARTS can be named; all take ten minutes on two cores.
"""

import importlib.metadata
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import librosa
import numpy as np
import pandas as pd
from pages import fill
from scipy.signal import resample_poly

from gtzan_jax.errors import SoundError
from gtzan_jax.inference.calibration import Calibration
from gtzan_jax.inference.distribution import OUT_OF_DISTRIBUTION, Distribution, Neighbours
from gtzan_jax.inference.front_end import FrontEnd
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.jobs.calibrating import calibrated
from gtzan_jax.jobs.retraining import train_networks
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.sound.features import features_of
from gtzan_jax.sound.files import SAMPLE_RATE, read, songs_in
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables import lists
from gtzan_jax.tables.protocols import Splits, make_splits
from gtzan_jax.tables.schema import FEATURES, TAGS, UNITS
from gtzan_jax.tables.sources import load_table
from gtzan_jax.trainer.engine import Engine
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("sound.md")
PACKAGES = ("librosa", "numpy", "scipy")
GROUPS = {  # of the 57 features, by the starts of their names
    "chroma": ("chroma",),
    "loudness (RMS)": ("rms",),
    "spectral centroid, bandwidth, roll-off": ("spectral", "rolloff"),
    "zero-crossing rate": ("zero",),
    "harmonic and percussive waveform": ("harmony", "perceptr"),
    "tempo": ("tempo",),
    "20 MFCCs": ("mfcc",),
}
SWEEP = load_sweep("published_best")
EPOCHS, NETWORKS = 50, 10
PROTOCOLS = ("holdout", "kfold", "artist_kfold", "artist_folds", "fault_filtered")
SECONDS, DRAWS = 30, 20
FRONT_END = FrontEnd.of_rows(SECONDS * SAMPLE_RATE, is_segmented=False, kind="musicnn")
SPACES: dict[str, tuple[slice, type[Distribution], tuple[str, ...]]] = {  # columns of ``computed``
    "200 units": (slice(len(TAGS), len(TAGS + UNITS)), Neighbours, UNITS),
    "50 tags": (slice(len(TAGS)), Neighbours, TAGS),
    "57 features": (slice(len(TAGS + UNITS), None), Distribution, FEATURES),
}
CHANGES = {  # of songs that were not trained on
    "ten seconds of these": lambda x: x[10 * SAMPLE_RATE : 20 * SAMPLE_RATE],
    "these, a tenth as loud": lambda x: 0.1 * x,
    "these, only below 3 kHz": lambda x: resample_poly(resample_poly(x, 3, 11), 11, 3),
    "these, backwards": lambda x: x[::-1],
    "these, clipped, 26 dB too loud": lambda x: np.clip(20 * x, -0.9, 0.9),
}
FLOAT = {"subtype": "FLOAT"}
COPIES = {  # how a copy is written: its ending, the options of soundfile, its samples
    "the same file under another name": (".wav", FLOAT, lambda x: x),
    "FLAC, or WAV of 16 bits": (".flac", {}, lambda x: x),
    "resampled to 44.1 kHz": (".wav", FLOAT, lambda x: resample_poly(x, 2, 1)),
    "MP3, best quality": (".mp3", {"compression_level": 0.0}, lambda x: x),
    "MP3, default": (".mp3", {}, lambda x: x),
    "Ogg Vorbis, default": (".ogg", {}, lambda x: x),
    "half as loud": (".wav", FLOAT, lambda x: 0.5 * x),
    "3 dB louder": (".wav", FLOAT, lambda x: 10**0.15 * x),
    "without its first second": (".wav", FLOAT, lambda x: x[SAMPLE_RATE:]),
}
Blocks = Iterator[tuple[str, str]]  # name and text of what stands between the page's markers


# ----------------------------------------------------------------------------------- 57 features


def by_librosa(samples: np.ndarray) -> np.ndarray:
    """Returns the features by librosa's own functions and defaults."""
    of, common = librosa.feature, {"y": samples, "sr": SAMPLE_RATE}
    first = [
        of.chroma_stft(**common), of.rms(y=samples), of.spectral_centroid(**common),
        of.spectral_bandwidth(**common), of.spectral_rolloff(**common),
        of.zero_crossing_rate(samples), *librosa.effects.hpss(samples),
    ]  # fmt: skip
    moments = [
        [m for each in series for m in (each.mean(), each.var())]
        for series in (first, of.mfcc(n_mfcc=20, **common))
    ]
    tempo = float(np.squeeze(librosa.beat.beat_track(**common)[0]))
    return np.array([*moments[0], tempo, *moments[1]], float)


def features(data: Path, _: Path) -> Blocks:
    """Yields the largest errors of the features, in deviations over the published table."""
    table = pd.read_csv(data / "features_30_sec.csv").set_index("filename")
    songs = {song.name: read(song.path) for song in songs_in(data / "audio")}
    published = table.loc[list(songs), list(FEATURES)].to_numpy()
    scale = table[list(FEATURES)].std(ddof=0).to_numpy()
    errors = [
        (np.abs([way(samples) for samples in songs.values()] - published) / scale).max(0)
        for way in (features_of, by_librosa)
    ]
    rows = []
    for name, starts in {"all 57": ("",), **GROUPS}.items():
        of = [each[[f.startswith(starts) for f in FEATURES]].max() for each in errors]
        rows.append([name, *(f"{error:.1e}" if error else "0" for error in of)])
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    heads = ("features", "here", "librosa's defaults")
    yield "errors", f"{Table(heads, rows).markdown}\n\n{len(songs)} songs; {versions}."


# ----------------------------------------------------------------------------------- calibration


def calibrations_of(splits: Splits) -> list[Calibration]:
    """Trains the published config on every fold, and calibrates the networks."""
    config, folds = SWEEP.configs[0], range(len(splits.folds))
    seeds = range(max(1, NETWORKS // len(folds)))
    with Engine(SWEEP, MlpFamily(), splits.sizes) as engine:
        [found] = train_networks(engine, splits, [config.id], seeds, EPOCHS)
    trained = zip(itertools.product(folds, seeds), found.params, found.logits, strict=True)
    models = [
        calibrated(TrainedModel.of(config, p, SWEEP, splits, k), splits, splits.folds[k], logits)[0]
        for (k, _), p, logits in trained
    ]
    return [model.calibration for model in models]


def calibration(data: Path, _: Path) -> Blocks:
    """Yields how well probabilities are calibrated on test parts, by protocol."""
    table, rows, left = load_table(data / "features_30_sec.csv"), [], {}
    for protocol in PROTOCOLS:
        splits = make_splits(table, protocol, 0, 5)
        found = calibrations_of(splits)
        held = [each.test for each in found]
        after, error, chance, limit, right = (
            np.array([100 * getattr(each, name) for each in held])
            for name in ("calibrated_error", "error", "chance_error", "chance_limit", "accuracy")
        )
        left[protocol] = after.mean()
        far = [is_far("57 features", table.x[f.train], table.x[f.test]) for f in splits.folds]
        rows.append(
            [
                protocol, spread(right), spread([each.temperature for each in found], 2),
                spread(error), spread(after), f"{chance.mean():.1f}, {limit.mean():.1f}",
                f"{sum(after > limit)} of {len(held)}", f"{100 * np.concatenate(far).mean():.1f}",
            ]
        )  # fmt: skip
    heads = (
        "protocol", "right, %", "temperature", "error, points", "calibrated",
        "by chance: mean, 95th percentile", "beyond", "out of distribution, %",
    )  # fmt: skip
    yield "calibration", Table(heads, rows).markdown
    yield "artists", artists_share(left)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Returns mean and deviation."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def artists_share(left: Mapping[str, float]) -> str:
    """Compares what calibration leaves, in points by protocol, for known and for new artists."""
    return (
        f"Calibration leaves {left['kfold']:.1f} points where artists are on both sides (`kfold`), "
        f"{left['artist_kfold']:.1f} on random folds that share no artist (`artist_kfold`), and "
        f"{left['artist_folds']:.1f} on the published `artist_folds`. The last has three folds, "
        "which differ by more than that: a cost of new artists to calibration is not shown."
    )


# ----------------------------------------------------------------------------- out of distribution


def computed(samples: np.ndarray) -> np.ndarray:
    """Returns (307,), the mean tags and units of a song, and its 57 features."""
    x = samples.astype(np.float32)
    return np.concatenate([FRONT_END.inputs(x, FRONT_END.spans(len(x)))[0], features_of(x)])


class Songs(NamedTuple):
    """The hundred songs of audio100."""

    names: list[str]
    genres: np.ndarray  # (songs,)
    samples: list[np.ndarray]
    x: np.ndarray  # (songs, 307)

    def draws(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields train and test songs: two of each genre are tested."""
        for seed in range(DRAWS):
            random = np.random.default_rng(seed)
            of = [np.flatnonzero(self.genres == genre) for genre in np.unique(self.genres)]
            test = np.concatenate([random.choice(rows, 2, replace=False) for rows in of])
            yield np.setdiff1d(np.arange(len(self.genres)), test), test


@cache
def songs_of(data: Path) -> Songs:
    """Reads audio100 and computes its features."""
    listed = songs_in(data / "audio100")
    samples = [read(song.path) for song in listed]
    names, genres = [song.path.stem for song in listed], np.array([song.label for song in listed])
    return Songs(names, genres, samples, np.stack([computed(each) for each in samples]))


def is_far(space: str, train: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Returns which rows are out of the distribution of train rows."""
    known = known_of(space, train)
    return (
        np.array([known.distance(z[None]) for z in known.deviations(x)])
        > known.percentiles[OUT_OF_DISTRIBUTION]
    )


def known_of(space: str, train: np.ndarray) -> Distribution:
    """Returns the distribution that a model keeps of its training songs."""
    _, kind, names = SPACES[space]
    return kind.of(train.astype(np.float32), np.arange(len(train), dtype=np.int32), names)


def strange_sounds(speech: Path) -> dict[str, list[np.ndarray]]:
    """Returns sounds that are not music, by kind."""
    count = SECONDS * SAMPLE_RATE
    at, white = np.arange(count) / SAMPLE_RATE, np.random.default_rng(0).normal(size=count)
    pink = np.fft.irfft(np.fft.rfft(white) / np.sqrt(1 + np.arange(count // 2 + 1)))
    hum = sum(np.sin(2 * np.pi * 50 * k * at + k) / k for k in range(1, 8))
    spoken = []
    for path in sorted(speech.rglob("*.wav")):
        try:
            samples = read(path)
        except SoundError:
            continue
        if len(samples) > 3 * SAMPLE_RATE:
            spoken.append(samples)
    return {
        "silence": [np.zeros(count)],
        "white noise, loud to faint": [a * white for a in (0.3, 0.03, 0.003)],
        "pink noise, loud and faint": [a * pink / pink.std() for a in (0.1, 0.01)],
        "hum of 50 Hz, loud and faint": [0.3 * hum, 0.01 * hum],
        "sines of 110, 440, 4,000 Hz": [0.5 * np.sin(2 * np.pi * f * at) for f in (110, 440, 4000)],
        "clicks, two and eight a second": [
            0.8 * (np.arange(count) % (SAMPLE_RATE // each) < 20) for each in (2, 8)
        ],
        f"speech, {len(spoken)} recordings": spoken,
    }


def strange(data: Path, speech: Path) -> Blocks:
    """Yields the share of songs and of sounds that are out of distribution."""
    songs, own = songs_of(data), "songs that were not trained on"
    sounds = {n: np.stack([*map(computed, each)]) for n, each in strange_sounds(speech).items()}
    some, found = np.arange(0, len(songs.x), 2), dict[str, list[list[float]]]()
    changed = {
        name: np.stack([computed(change(songs.samples[i])) for i in some])
        for name, change in CHANGES.items()
    }
    for train, test in songs.draws():
        for name, x in {own: songs.x, **changed, **sounds}.items():
            rows = np.arange(len(songs.x)) if name == own else some
            shown = x if name in sounds else x[np.isin(rows, test)]
            far = [
                is_far(space, songs.x[train][:, part], shown[:, part])
                for space, (part, *_) in SPACES.items()
            ]
            found.setdefault(name, []).append([100 * each.mean() for each in far])
    rows = [[name, *(f"{share:.0f}" for share in np.mean(f, axis=0))] for name, f in found.items()]
    yield "strange", Table(("sound", *SPACES), rows).markdown
    yield "few songs", few_sentence(songs, sounds)
    yield "artists unlike", artists_sentence(data / "musicnn_msd_tags.csv")
    yield "left out", left_out_sentence(songs)


def few_sentence(songs: Songs, sounds: Mapping[str, np.ndarray]) -> str:
    """Returns how many strange sounds are detected with fewer training songs."""
    part, *_ = SPACES["200 units"]
    speech = next(name for name in sounds if name.startswith("speech"))
    others = np.concatenate([x for name, x in sounds.items() if name != speech])
    texts = []
    for count in (2, 3, 5, 8):
        shares = []
        for train, _ in songs.draws():
            of = [train[songs.genres[train] == genre][:count] for genre in np.unique(songs.genres)]
            known = songs.x[np.concatenate(of)][:, part]
            far = [is_far("200 units", known, x[:, part]) for x in (sounds[speech], others)]
            shares.append([100 * each.mean() for each in far])
        a, b = np.mean(shares, axis=0)
        texts.append(f"{count} songs a genre detect {a:.0f} and {b:.0f} %")
    return f"By units, of the speech and of the other sounds: {', '.join(texts)}."


def artists_sentence(path: Path) -> str:
    """Returns how many songs by new artists are out of distribution, by their tags."""
    table = pd.read_csv(path)
    one, other = (table.loc[table["part"] == p, list(TAGS)].to_numpy() for p in ("train", "test"))
    shares = [100 * is_far("50 tags", *parts).mean() for parts in ((one, other), (other, one))]
    return (
        f"Of {len(other)} songs by artists without a training song, tags mark {shares[0]:.1f} % "
        f"({len(one)} training songs); with train and test part exchanged {shares[1]:.1f} %."
    )


def left_out_sentence(songs: Songs) -> str:
    """Returns how many songs of artists, and of genres, that are left out are detected by units."""
    listed, units = lists.read_list(lists.ARTIST_FOLDS), songs.x[:, SPACES["200 units"][0]]
    artists = np.array([listed[name].artist if name in listed else -1 for name in songs.names])

    def far(out: np.ndarray) -> np.ndarray:
        return is_far("200 units", units[~out], units[out])

    genres = songs.genres
    several = [g for g in np.unique(genres) if len(set(artists[genres == g])) > 1]
    among = np.isin(genres, several)
    new = np.concatenate([far(among & (artists == a)) for a in np.unique(artists[among])])
    without = {genre: 100 * far(genres == genre).mean() for genre in np.unique(genres)}
    each = ", ".join(f"{g} {v:.0f}" for g, v in sorted(without.items(), key=lambda i: -i[1]))
    return (
        f"By units, with all songs of one artist left out, {new.sum()} of {len(new)} of these are "
        f"marked ({len(several)} genres with several artists); with a whole genre left out, "
        f"{np.mean([*without.values()]):.0f} % of its songs ({each})."
    )


# ------------------------------------------------------------------------------- training songs


def copies(data: Path, _: Path) -> Blocks:
    """Yields the share of copies that are recognised, and of songs that were not trained on."""
    songs, rows = songs_of(data), []
    known = {space: known_of(space, songs.x[:, part]) for space, (part, *_) in SPACES.items()}
    for name, (suffix, options, change) in COPIES.items():
        x = np.stack([computed(written(change(s), suffix, options)) for s in songs.samples[::3]])
        shares = [recognised(known[space], x[:, part]) for space, (part, *_) in SPACES.items()]
        rows.append([name, *(f"{100 * np.mean(each):.0f}" for each in shares)])
    false = [
        [
            np.mean(recognised(known_of(space, songs.x[train][:, part]), songs.x[test][:, part]))
            for space, (part, *_) in SPACES.items()
        ]
        for train, test in songs.draws()
    ]
    rows.append(["other songs", *(f"{100 * share:.0f}" for share in np.mean(false, axis=0))])
    yield "copies", Table(("copy", *(f"{space}, %" for space in SPACES)), rows).markdown


def recognised(known: Distribution, x: np.ndarray) -> list[bool]:
    """Returns which songs are recognised as training songs."""
    return [bool(known.knows(z[None])) for z in known.deviations(x)]


def written(samples: np.ndarray, suffix: str, options: dict[str, Any]) -> np.ndarray:
    """Returns the samples of a copy as it is read from its file."""
    import soundfile

    rate = SAMPLE_RATE if len(samples) < 40 * SAMPLE_RATE else 2 * SAMPLE_RATE
    with tempfile.TemporaryDirectory() as folder:
        soundfile.write(Path(folder, f"copy{suffix}"), samples, rate, **options)
        return read(Path(folder, f"copy{suffix}"))


PARTS: dict[str, Callable[[Path, Path], Blocks]] = {
    "features": features, "calibration": calibration, "strange": strange, "copies": copies,
}  # fmt: skip


def main() -> None:
    """Rewrites the blocks between the markers."""
    if len(sys.argv) < 3 or not all(Path(each).is_dir() for each in sys.argv[1:3]):
        sys.exit(__doc__)
    for part in sys.argv[3:] or PARTS:
        for name, text in PARTS[part](Path(sys.argv[1]), Path(sys.argv[2])):
            fill(PAGE, name, text)


if __name__ == "__main__":
    main()
