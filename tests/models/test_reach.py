import numpy as np
import pandas as pd
import pytest

from gtzan_jax import divide, load_table
from gtzan_jax.models.reach import UNLIKE, Reach

NAMES = ("tempo", "rms_var", "mfcc1_mean")


def rows(count=400, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 3)) * [20, 1.5, 50] + [120, -6, -200]
    x[:, 1] = np.exp(x[:, 1])
    return x.astype(np.float32)


def test_variances_are_measured_by_their_logarithms():
    x = rows()
    reach = Reach.of(x, np.arange(len(x), dtype=np.int32), NAMES)
    assert reach.is_log == [False, True, False]
    plain = pd.DataFrame(x.astype(float), columns=NAMES)
    plain["rms_var"] = np.log(plain["rms_var"])
    z = (plain - plain.mean()) / plain.std(ddof=0)
    np.testing.assert_allclose(reach.deviations(x.astype(float)), z, rtol=1e-6, atol=1e-9)
    distances = np.sqrt((z**2).mean(axis=1))
    for percentile in (0, 50, UNLIKE, 100):
        expected = np.quantile(distances, percentile / 100)
        assert reach.percentiles[percentile] == pytest.approx(expected)
    assert reach.distance(z.to_numpy()[:1]) == pytest.approx(distances[0])


def test_the_windows_of_a_song_count_together():
    x, songs = rows(), np.repeat(np.arange(100, dtype=np.int32), 4)
    reach = Reach.of(x, songs, NAMES)
    z = reach.deviations(x.astype(float))
    each = [reach.distance(z[songs == song]) for song in range(100)]
    np.testing.assert_allclose(np.percentile(each, np.arange(101)), reach.percentiles)


def test_a_percentile_is_what_a_distance_is_beyond():
    reach = Reach.of(rows(), np.arange(400, dtype=np.int32), NAMES)
    assert reach.percentile(0.0) == 0
    assert reach.percentile(reach.percentiles[-1] + 1) == 100
    middle = (reach.percentiles[42] + reach.percentiles[43]) / 2
    assert reach.percentile(middle) == 42


def test_silence_is_far_and_constants_are_no_trouble():
    x = rows()
    x[:, 2] = 5.0
    reach = Reach.of(x, np.arange(len(x), dtype=np.int32), NAMES)
    assert reach.deviation[2] == 1.0
    silent = reach.deviations(np.array([[120.0, 0.0, 5.0]]))
    assert np.isfinite(silent).all()
    assert reach.distance(silent) > reach.percentiles[UNLIKE]


def test_a_variance_that_is_zero_somewhere_stays_as_it_is():
    x = rows()
    x[3, 1] = 0.0
    assert Reach.of(x, np.arange(len(x), dtype=np.int32), NAMES).is_log == [False] * 3


@pytest.mark.parametrize("protocol", ["holdout", "fault_filtered", "artist_folds"])
def test_few_songs_of_a_test_part_are_called_unlike(real_table_path, protocol):
    table = load_table(str(real_table_path))
    for fold in divide(table, protocol, 0, 1).folds:
        reach = Reach.of(table.x[fold.train], table.songs[fold.train], table.features)
        z = reach.deviations(table.x[fold.test].astype(np.float64))
        far = [reach.distance(row[None]) > reach.percentiles[UNLIKE] for row in z]
        assert np.mean(far) < 0.04
