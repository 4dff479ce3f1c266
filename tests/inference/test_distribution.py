import numpy as np
import pandas as pd
import pytest
from scipy.stats import percentileofscore
from sklearn.neighbors import NearestNeighbors

from gtzan_jax import load_table, make_splits
from gtzan_jax.inference import distribution as module
from gtzan_jax.inference.distribution import (
    OUT_OF_DISTRIBUTION,
    SAME,
    Distribution,
    Neighbours,
)
from gtzan_jax.tables import lists
from gtzan_jax.tables.schema import TAGS

NAMES = ("tempo", "rms_var", "mfcc1_mean")


def rows(count=400, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 3)) * [20, 1.5, 50] + [120, -6, -200]
    x[:, 1] = np.exp(x[:, 1])
    return x.astype(np.float32)


def test_variances_are_measured_by_their_logarithms():
    x = rows()
    known = Distribution.of(x, np.arange(len(x), dtype=np.int32), NAMES)
    assert known.is_log.tolist() == [False, True, False]
    plain = pd.DataFrame(x.astype(float), columns=NAMES)
    plain["rms_var"] = np.log(plain["rms_var"])
    z = (plain - plain.mean()) / plain.std(ddof=0)
    np.testing.assert_allclose(known.deviations(x.astype(float)), z, rtol=1e-6, atol=1e-9)
    distances = np.sqrt((z**2).mean(axis=1))
    for percentile in (0, 50, OUT_OF_DISTRIBUTION, 100):
        expected = np.quantile(distances, percentile / 100)
        assert known.percentiles[percentile] == pytest.approx(expected)
    assert known.distance(z.to_numpy()[:1]) == pytest.approx(distances[0])


def test_the_windows_of_a_song_count_together():
    x, songs = rows(), np.repeat(np.arange(100, dtype=np.int32), 4)
    known = Distribution.of(x, songs, NAMES)
    z = known.deviations(x.astype(float))
    each = [known.distance(z[songs == song]) for song in range(100)]
    np.testing.assert_allclose(np.percentile(each, np.arange(101)), known.percentiles)


def test_a_percentile_is_what_a_distance_is_beyond():
    known = Distribution.of(rows(), np.arange(400, dtype=np.int32), NAMES)
    assert known.percentile(0.0) == 0
    assert known.percentile(known.percentiles[-1] + 1) == 100
    middle = (known.percentiles[42] + known.percentiles[43]) / 2
    assert known.percentile(middle) == 42


def test_silence_is_far_and_constants_are_no_trouble():
    x = rows()
    x[:, 2] = 5.0
    known = Distribution.of(x, np.arange(len(x), dtype=np.int32), NAMES)
    assert known.deviation[2] == 1.0
    silent = known.deviations(np.array([[120.0, 0.0, 5.0]]))
    assert np.isfinite(silent).all()
    assert known.distance(silent) > known.percentiles[OUT_OF_DISTRIBUTION]


def test_a_variance_that_is_zero_somewhere_stays_as_it_is():
    x = rows()
    x[3, 1] = 0.0
    assert (
        Distribution.of(x, np.arange(len(x), dtype=np.int32), NAMES).is_log.tolist() == [False] * 3
    )


@pytest.mark.parametrize("protocol", ["holdout", "fault_filtered", "artist_folds"])
def test_few_songs_of_a_test_part_are_called_unlike(real_table_path, protocol):
    table = load_table(str(real_table_path))
    for fold in make_splits(table, protocol, 0, 1).folds:
        known = Distribution.of(table.x[fold.train], table.songs[fold.train], table.features)
        z = known.deviations(table.x[fold.test].astype(np.float64))
        far = [known.distance(row[None]) > known.percentiles[OUT_OF_DISTRIBUTION] for row in z]
        assert np.mean(far) < 0.04


FEATURES = [f"mfcc{number}_mean" for number in range(20)]


def known_of(x):
    return Distribution.of(x.astype(np.float32), np.arange(len(x), dtype=np.int32), FEATURES)


def test_a_song_is_known_by_the_median_of_its_differences():
    x = np.random.default_rng(0).normal(size=(300, 20))
    known = known_of(x)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    other = np.random.default_rng(1).normal(size=20)
    assert np.median(np.abs(z - other), axis=1).min() > 2 * SAME
    for row, moved, factor, expected in [
        (z[7], 20, 0, True),
        (z[7], 20, 0.8, True),
        (z[7], 20, 1.2, False),
        (z[7], 9, 30, True),  # as of a louder copy, of which a few features differ
        (z[7], 11, 1.2, False),
        (other, 20, 0, False),
    ]:
        window = row.copy()
        window[:moved] += factor * SAME
        assert known.knows(window[None]) is expected


def test_half_of_the_windows_must_be_known():
    x = np.random.default_rng(0).normal(size=(300, 20))
    known, z = known_of(x), (x - x.mean(axis=0)) / x.std(axis=0)
    others = np.random.default_rng(1).normal(size=(10, 20))
    assert known.knows(np.concatenate([z[10:16], others[:5]]))
    assert not known.knows(np.concatenate([z[10:15], others[:6]]))


def test_features_that_are_all_alike_make_no_song_known():
    x = np.random.default_rng(0).normal(size=(300, 20))
    x[:, 6:] = 3.0
    assert known_of(x).knows(np.zeros((1, 20))) is None
    x[:, 6:14] = np.random.default_rng(1).normal(size=(300, 8))
    assert known_of(x).knows(np.full((1, 20), 0.5)) is False


def test_of_too_many_rows_none_is_kept(monkeypatch):
    x = np.random.default_rng(0).normal(size=(300, 20))
    monkeypatch.setattr(module, "_MOST_BYTES", 300 * 20 - 1)
    assert known_of(x).rows is None
    assert known_of(x).knows(np.zeros((1, 20))) is None
    assert known_of(x[1:]).rows.shape == (299, 20)


def test_no_other_song_of_gtzan_is_taken_for_a_training_song(real_table_path):
    """Independent of features: what is nearer, Sturm's list leaves out as repeats."""
    table = load_table(str(real_table_path))
    known = Distribution.of(table.x, table.songs, table.features)
    z = known.deviations(table.x.astype(np.float64))
    left_out = [part is None for part in lists.look_up(table, lists.FAULT_FILTERED)]
    assert sum(left_out) == 70
    repeats = 0
    for row in range(len(z)):
        distance = np.median(np.abs(z[row + 1 :] - z[row]), axis=1)
        near = row + 1 + np.flatnonzero(distance < 1.5 * SAME)
        assert all(left_out[row] or left_out[other] for other in near)
        repeats += sum(distance <= SAME)
    assert repeats == 31  # 14 of them to the digit


def test_songs_that_were_not_trained_on_are_not_known(real_table_path):
    table = load_table(str(real_table_path))
    (fold,) = make_splits(table, "fault_filtered", 0, 1).folds
    known = Distribution.of(table.x[fold.train], table.songs[fold.train], table.features)
    z = known.deviations(table.x.astype(np.float64))
    assert all(known.knows(z[row][None]) for row in fold.train)
    assert not any(known.knows(z[row][None]) for row in (*fold.validation, *fold.test))


# ------------------------------------------------------------------ of a pretrained network's


def skewed(count=120, seed=0):
    """Rows of units of which half are off in each: 20 features, of four groups of songs."""
    random = np.random.default_rng(seed)
    on = random.random((4, 20)) < 0.5
    group = random.integers(4, size=count)
    loudness, noise = random.lognormal(0, 0.4, (count, 1)), random.lognormal(0, 0.2, (count, 20))
    return (np.where(on[group], 3.0, 0.05) * loudness * noise).astype("f4")


def neighbours_of(x, songs=None):
    songs = np.arange(len(x), dtype=np.int32) if songs is None else songs
    return Neighbours.of(x, songs, [f"unit{number:03d}" for number in range(1, 21)])


def places(x, of):
    """Percentiles of numbers among rows, both to a thirty-second of a deviation."""
    mean, deviation = of.mean(axis=0, dtype=float), of.std(axis=0, dtype=float)
    z, rows = (np.rint(32 * (each - mean) / deviation).clip(-127, 127) for each in (x, of))
    columns = [percentileofscore(rows[:, i], z[:, i], "mean") for i in range(x.shape[1])]
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("windows", [1, 3])
@pytest.mark.parametrize("at_once", [7, 256])
def test_distances_are_to_the_nearest_row_of_another_song(monkeypatch, windows, at_once):
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    x, songs = skewed(), np.arange(120, dtype=np.int32) // windows + 5
    known, own = neighbours_of(x, songs), places(x, x)
    distances = []
    for song in np.unique(songs):
        others = NearestNeighbors(n_neighbors=1).fit(own[songs != song])
        each = others.kneighbors(own[songs == song])[0] / np.sqrt(20)
        distances.append(np.sqrt((each**2).mean()))
    np.testing.assert_allclose(known.percentiles, np.percentile(distances, np.arange(101)))
    new = skewed(5, seed=1)
    each = NearestNeighbors(n_neighbors=1).fit(own).kneighbors(places(new, x))[0] / np.sqrt(20)
    assert known.distance(known.deviations(new.astype(float))) == pytest.approx(
        np.sqrt((each**2).mean())
    )


def test_of_many_songs_some_are_measured_against_all(monkeypatch):
    x, songs = skewed(), np.arange(120, dtype=np.int32) // 2
    monkeypatch.setattr(module, "_MOST_SONGS", 20)
    own, distances = places(x, x), []
    for song in range(0, 60, 3):
        others = NearestNeighbors(n_neighbors=1).fit(own[songs != song])
        each = others.kneighbors(own[songs == song])[0] / np.sqrt(20)
        distances.append(np.sqrt((each**2).mean()))
    found = neighbours_of(x, songs).percentiles
    np.testing.assert_allclose(found, np.percentile(distances, np.arange(101)))


def test_what_lies_amid_the_songs_and_is_none_of_them_is_unlike():
    x = skewed()
    known = neighbours_of(x)
    around = Distribution.of(x, np.arange(120, dtype=np.int32), [""] * 20)
    for number in range(4):  # every feature is usual, and all together are not
        strange = x[np.random.default_rng(number).permutation(120)[:20], range(20)][None]
        z = known.deviations(strange.astype(float))
        assert known.distance(z) > known.percentiles[OUT_OF_DISTRIBUTION]
        assert around.distance(z) < around.percentiles[OUT_OF_DISTRIBUTION]


def test_songs_alike_are_called_unlike_as_rarely_as_is_said():
    known, x = neighbours_of(skewed(2000)), skewed(4000)[2000:]
    far = [
        known.distance(z[None]) > known.percentiles[OUT_OF_DISTRIBUTION]
        for z in known.deviations(x)
    ]
    assert 0.004 < np.mean(far) < 0.02


def test_a_song_is_known_by_its_nearest_row():
    x = skewed()
    known = neighbours_of(x)
    z = known.deviations(x.astype(float))
    assert known.knows(z[7][None]) is True
    assert known.knows(known.deviations(skewed(1, seed=3).astype(float))) is False
    others = known.deviations(skewed(5, seed=3).astype(float))
    assert known.knows(np.concatenate([z[10:16], others])) is True
    assert known.knows(np.concatenate([z[10:14], others])) is False
    x[:, 7:] = 1.0
    assert neighbours_of(x).knows(z[7][None]) is None


def test_near_is_a_quarter_of_the_median_distance():
    x, other = skewed(), skewed(1, seed=3)
    known, found = neighbours_of(x), set()
    nearest = NearestNeighbors(n_neighbors=1).fit(places(x, x))
    for share in np.linspace(0, 0.1, 41):
        between = (1 - share) * x[7][None] + share * other
        distance = nearest.kneighbors(places(between, x))[0].item() / np.sqrt(20)
        is_near = bool(distance <= known.percentiles[50] / 4)
        assert known.knows(known.deviations(between.astype(float))) is is_near
        found.add(is_near)
    assert found == {True, False}


def test_tags_are_measured_by_their_logarithms():
    x = np.random.default_rng(0).lognormal(-4, 2, (50, len(TAGS))).astype("f4")
    assert Distribution.of(x, np.arange(50, dtype=np.int32), TAGS).is_log.all()
