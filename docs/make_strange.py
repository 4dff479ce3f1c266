"""Fills docs/predicting.md in: strange sounds, copies and reasons by pretrained features.

    python docs/make_strange.py SONGS TAGS SPEECH

SONGS is a folder with ten songs in a subfolder for each genre, TAGS a table of songs' tags with a
column `part` (train, test: no artist in both), SPEECH a folder of recordings as WAV, for the page
test/ of the source distribution of pocketsphinx 5.1.1. Takes about ten minutes on two cores.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from make_predicting import COPIES, SECONDS, networks, voice, written
from pages import fill
from scipy.signal import resample_poly

from gtzan_jax.errors import SoundError
from gtzan_jax.inference import tags
from gtzan_jax.inference.distribution import UNLIKE, Distribution, Neighbours
from gtzan_jax.inference.front_end import FrontEnd
from gtzan_jax.sound.files import SAMPLE_RATE, read, songs_in
from gtzan_jax.sound.musicnn_weights import load_weights
from gtzan_jax.tables.frames import read_frame
from gtzan_jax.tables.lists import ARTIST_FOLDS, look_up
from gtzan_jax.tables.protocols import make_splits
from gtzan_jax.tables.schema import NO_OPTIONS, TAGS, UNITS, FeatureTable
from gtzan_jax.tables.validation import validated
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("predicting.md")
FRONT_END = FrontEnd.of_rows(SECONDS * SAMPLE_RATE, is_segmented=False, kind="musicnn")
DRAWS = 20
UNIT, TAG = slice(len(TAGS), None), slice(len(TAGS))  # of what the front end computes
CHANGES = {  # of songs that were not trained on
    "ten seconds of these": lambda x: x[10 * SAMPLE_RATE : 20 * SAMPLE_RATE],
    "these, a tenth as loud": lambda x: 0.1 * x,
    "these without what is above 3 kHz": lambda x: resample_poly(resample_poly(x, 3, 11), 11, 3),
    "these, backwards": lambda x: x[::-1],
    "these, clipped, 14 dB too loud": lambda x: np.clip(5 * x, -0.9, 0.9),
    "these, clipped, 26 dB too loud": lambda x: np.clip(20 * x, -0.9, 0.9),
}
FITTING = {  # tags that fit a genre; there are none for classical music and reggae
    "blues": {"blues"},
    "classical": {"instrumental", "ambient", "beautiful", "easy listening"},
    "country": {"country", "folk"},
    "disco": {"dance", "funk", "70s", "80s", "soul", "House", "party"},
    "hiphop": {"Hip-Hop"},
    "jazz": {"jazz"},
    "metal": {"metal", "heavy metal", "hard rock"},
    "pop": {"pop", "female vocalists", "female vocalist", "dance", "rnb"},
    "reggae": {"soul", "funk", "Hip-Hop", "chill"},
    "rock": {"rock", "classic rock", "alternative rock", "indie rock", "hard rock"},
}


def computed(samples: np.ndarray) -> np.ndarray:
    """Returns (250,), the mean tags and units of a song."""
    x = samples.astype(np.float32)
    return FRONT_END.inputs(x, FRONT_END.spans(len(x)))[0]


def sounds(speech: Path) -> dict[str, list[np.ndarray]]:
    """Returns sounds that are no music, by kind."""
    random, count = np.random.default_rng(0), SECONDS * SAMPLE_RATE
    at = np.arange(count) / SAMPLE_RATE
    white = random.normal(size=count)
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
        "a voice, made up": [voice(random, count)],
        f"speech, {len(spoken)} recordings": spoken,
    }


Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]


def called(measure: type[Distribution], names: tuple[str, ...]) -> Measure:
    """Returns a function of train rows and others that says which of these are called unlike."""

    def of(train: np.ndarray, x: np.ndarray) -> np.ndarray:
        known = measure.of(train.astype(np.float32), np.arange(len(train), dtype=np.int32), names)
        far = [known.distance(z[None]) for z in known.deviations(x)]
        return np.array(far) > known.percentiles[UNLIKE]

    return of


MEASURES = (  # what is called unlike: by a root mean square deviation, and by the nearest song
    (UNIT, called(Distribution, UNITS)),
    (UNIT, called(Neighbours, UNITS)),
    (TAG, called(Distribution, TAGS)),
    (TAG, called(Neighbours, TAGS)),
)


def draws(genres: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields train and test songs: two of each genre are tested."""
    for seed in range(DRAWS):
        random = np.random.default_rng(seed)
        pairs = [random.choice(np.flatnonzero(genres == g), 2, False) for g in np.unique(genres)]
        test = np.concatenate(pairs)
        yield np.setdiff1d(np.arange(len(genres)), test), test


def strange_table(
    x: np.ndarray,
    genres: np.ndarray,
    samples: list[np.ndarray],
    strange: dict[str, np.ndarray],
) -> Table:
    """Returns the share of songs and of sounds that are called unlike, by measure."""
    some = np.arange(0, len(x), 2)
    changed = {
        name: np.stack([computed(f(samples[i])) for i in some]) for name, f in CHANGES.items()
    }
    own, found = {"songs that were not trained on": x}, {}
    for train, test in draws(genres):
        for name, others in {**own, **changed, **strange}.items():
            is_shown = np.ones(len(others), bool)
            if name not in strange:
                is_shown = np.isin(np.arange(len(x)) if name in own else some, test)
            far = [
                measure(x[train][:, part], others[is_shown][:, part]) for part, measure in MEASURES
            ]
            found.setdefault(name, []).append([100 * each.mean() for each in far])
    rows = [[name, *(f"{share:.0f}" for share in np.mean(f, axis=0))] for name, f in found.items()]
    heads = ("sound", "units, deviations", "units, nearest", "tags, deviations", "tags, nearest")
    return Table(heads, rows)


def few_sentence(x: np.ndarray, genres: np.ndarray, strange: dict[str, np.ndarray]) -> str:
    """Says how many strange sounds are called unlike by fewer training songs."""
    part, nearest = MEASURES[1]
    spoken = next(name for name in strange if name.startswith("speech"))
    others = np.concatenate([each for name, each in strange.items() if name != spoken])
    counts, shares = (2, 3, 5, 8), []
    for count in counts:
        found = []
        for train, _ in draws(genres):
            some = np.concatenate([train[genres[train] == g][:count] for g in np.unique(genres)])
            sounds = (strange[spoken][:, part], others[:, part])
            found.append([100 * nearest(x[some][:, part], each).mean() for each in sounds])
        shares.append(np.mean(found, axis=0))
    told = [
        f"{count} a genre find {a:.0f} and {b:.0f} %"
        for count, (a, b) in zip(counts, shares, strict=True)
    ]
    return f"Fewer songs find less, of the speech and of the other sounds: {', '.join(told)}."


def artists_sentence(path: Path) -> str:
    """Says how many songs of artists who were not trained on are called unlike, by their tags."""
    table = pd.read_csv(path)
    parts = [table.loc[table["part"] == part, list(TAGS)].to_numpy() for part in ("train", "test")]
    (_, plain), (_, nearest) = MEASURES[2:]
    shares = [[100 * f(a, b).mean() for f in (plain, nearest)] for a, b in (parts, parts[::-1])]
    return (
        f"Those songs share artists with the train songs. Of {len(parts[1])} songs by artists of "
        f"whom none was trained on, tags call {shares[0][0]:.1f} % unlike by deviations and "
        f"{shares[0][1]:.1f} % by the nearest of {len(parts[0])} songs; with train and test part "
        f"exchanged {shares[1][0]:.1f} and {shares[1][1]:.1f} %."
    )


def copies_table(x: np.ndarray, genres: np.ndarray, samples: list[np.ndarray]) -> Table:
    """Returns the share of copies that are known, and of songs that were not trained on."""
    songs = np.arange(len(x), dtype=np.int32)
    some = songs[::3]
    louder = {"3 dB louder": (".wav", {"subtype": "FLOAT"}, lambda y: 10**0.15 * y)}
    rows, spaces = [], ((UNIT, UNITS), (TAG, TAGS))
    for name, (suffix, options, change) in {**COPIES, **louder}.items():
        copies = [computed(written(change(samples[i]), suffix, options)) for i in some]
        known = [Neighbours.of(x[:, part].astype("f4"), songs, names) for part, names in spaces]
        shares = [
            np.mean([k.knows(z[None]) for z in k.deviations(np.stack(copies)[:, part])])
            for k, (part, _) in zip(known, spaces, strict=True)
        ]
        rows.append([name, *(f"{100 * share:.0f}" for share in shares)])
    false = np.zeros(2)
    for train, test in draws(genres):
        for place, (part, names) in enumerate(spaces):
            known = Neighbours.of(x[train][:, part].astype("f4"), songs[train], names)
            false[place] += sum(known.knows(z[None]) for z in known.deviations(x[test][:, part]))
    rows.append(
        ["songs that were not trained on", *(f"{v / DRAWS / len(test):.0%}"[:-1] for v in false)]
    )
    return Table(("copy", "known by units, %", "by tags, %"), rows)


def table_of(x: np.ndarray, genres: np.ndarray, names: Sequence[str]) -> FeatureTable:
    """Returns the table of songs' units."""
    frame = pd.DataFrame(x[:, UNIT], columns=list(UNITS))
    frame = frame.assign(filename=names, length=SECONDS * SAMPLE_RATE, label=genres)
    return validated(read_frame(frame, "songs", NO_OPTIONS), NO_OPTIONS)


def told_table(x: np.ndarray, genres: np.ndarray) -> Table:
    """Returns how well ways to explain by tags do, on songs that networks were not trained on."""
    names = [f"{genre}.{number:05d}.wav" for number, genre in enumerate(genres)]
    table = table_of(x, genres, names)
    splits = make_splits(table, "kfold", 0, 5)
    inverse = "units by the pseudo-inverse"
    found: dict[str, list[list[float]]] = {}
    for fold, models in zip(splits.folds, networks(splits, 2), strict=True):
        for row in fold.test:
            first = models[0]
            z = ((table.x[row][None] - first.mean) / first.scale).astype(np.float32)
            label = int(first.log_probabilities(z).argmax())
            both = [model._network.attributions(z, label, 1.0) for model in models]
            kernel = load_weights()["dense_1/kernel"] * first.scale[:, None]
            rows, total = first.distribution.row_deviations, both[0].values.sum()
            change = z[0] @ kernel
            ways = {inverse: [np.linalg.pinv(kernel) @ each.slopes[0] * change for each in both]}
            for ridge in (0.01, 0.1, 1.0):
                tags._RIDGE = ridge
                ways[f"ridge of {ridge:g}"] = [
                    tags.shares_of_tags(each.slopes, z, rows, kernel)[0] for each in both
                ]
            for name, (shares, others) in ways.items():
                found.setdefault(name, []).append(
                    [
                        abs(total - shares.sum()) / abs(total),
                        np.abs(shares).sum() / abs(total),
                        np.corrcoef(shares, others)[0, 1],
                        TAGS[int(shares.argmax())] in FITTING[table.genres[label]],
                    ]
                )
    rows = []
    for name, each in found.items():
        left, size, alike, fits = np.array(each).T
        cells = (f"{100 * np.median(left):.0f}", f"{np.median(size):.1f}", f"{alike.mean():.2f}")
        rows.append([name, *cells, f"{100 * fits.mean():.0f}"])
    heads = ("way", "that no tag tells, %", "sum of sizes", "between networks", "first tag fits, %")
    return Table(heads, rows)


def left_out_sentence(x: np.ndarray, genres: np.ndarray, names: Sequence[str]) -> str:
    """Returns how often units call songs unlike of artists, and of genres, that are left out."""
    table = table_of(x, genres, [f"{name}.wav" for name in names])
    artists = np.array([a.artist if a else -1 for a in look_up(table, ARTIST_FOLDS)])

    def unlike(out: np.ndarray) -> list[bool]:
        inside = x[~out][:, UNIT].astype(np.float32)
        known = Neighbours.of(inside, np.arange(len(inside), dtype=np.int32), UNITS)
        found = [known.distance(z[None]) for z in known.deviations(x[out][:, UNIT])]
        return [distance > known.percentiles[UNLIKE] for distance in found]

    several = [g for g in np.unique(genres) if len(set(artists[genres == g])) > 1]
    among = np.isin(genres, several)
    new = [found for a in np.unique(artists[among]) for found in unlike(among & (artists == a))]
    without = {genre: 100 * np.mean(unlike(genres == genre)) for genre in np.unique(genres)}
    listed = ", ".join(f"{g} {v:.0f}" for g, v in sorted(without.items(), key=lambda i: -i[1]))
    return (
        f"Of units: with all songs of one artist left out, in the {len(several)} genres that have "
        f"several, {sum(new)} of {len(new)} of these songs are called unlike; with a whole genre "
        f"left out, {np.mean([*without.values()]):.0f} % of its songs ({listed})."
    )


def main() -> None:
    """Rewrites the blocks between the markers."""
    if len(sys.argv) != 4 or not all(Path(each).exists() for each in sys.argv[1:]):
        sys.exit(__doc__)
    folder, csv, speech = map(Path, sys.argv[1:])
    songs = songs_in(folder)
    samples, genres = [read(song.path) for song in songs], np.array([s.label for s in songs])
    x = np.stack([computed(each) for each in samples])
    fill(PAGE, "told", told_table(x, genres).markdown)
    strange = {name: np.stack([*map(computed, each)]) for name, each in sounds(speech).items()}
    fill(PAGE, "strange", strange_table(x, genres, samples, strange).markdown)
    fill(PAGE, "few songs", few_sentence(x, genres, strange))
    fill(PAGE, "artists unlike", artists_sentence(csv))
    fill(PAGE, "left out", left_out_sentence(x, genres, [song.path.stem for song in songs]))
    fill(PAGE, "copies by musicnn", copies_table(x, genres, samples).markdown)


if __name__ == "__main__":
    main()
