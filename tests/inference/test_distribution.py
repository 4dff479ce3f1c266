import numpy as np
import pandas as pd
import pytest

from gtzan_jax import load_table, make_splits
from gtzan_jax.inference import distribution as module
from gtzan_jax.inference.distribution import SAME, UNLIKE, Distribution
from gtzan_jax.tables import lists

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
    for percentile in (0, 50, UNLIKE, 100):
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
    assert known.distance(silent) > known.percentiles[UNLIKE]


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
        far = [known.distance(row[None]) > known.percentiles[UNLIKE] for row in z]
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
