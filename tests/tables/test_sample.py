import importlib.util

import numpy as np
import pandas as pd
import pytest
from csv_edits import sample_frame
from scipy.stats import f_oneway
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from gtzan_jax.resources import resource
from gtzan_jax.tables.sample import (
    _noise,
    read_artist_share,
    read_song_shares,
    read_statistics,
    sample_text,
)
from gtzan_jax.tables.schema import COLUMNS, FEATURES
from gtzan_jax.tables.sources import load_table
from gtzan_jax.tables.splits import random_split

SEGMENTS_SHA256 = "6749933009e0578ba35caac86c9aea42e3b892ba9289a10559902de48e4a04d4"
GOLDEN_SHA256 = "57bd2cbf2c3905baabe10559f835e6e931e0fc21e86fda7efb23acf329574879"


@pytest.fixture(scope="module")
def frame():
    return sample_frame()


@pytest.fixture(scope="module")
def statistics_script():
    spec = importlib.util.spec_from_file_location(
        "make_genre_statistics", resource("data", "make_genre_statistics.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sample_is_a_valid_table_without_repeats():
    table = load_table("sample")
    assert table.x.shape == (1000, 57)
    assert np.bincount(table.y).tolist() == [100] * 10
    assert table.repeats == ()
    assert table.is_sample


def test_the_sample_is_the_same_on_every_machine():
    assert sample_text() == sample_text()
    assert load_table("sample").sha256 == GOLDEN_SHA256


def test_the_frame_has_the_tables_columns(frame):
    assert tuple(frame.columns) == COLUMNS
    assert frame["filename"].is_unique
    assert frame["filename"][0] == "blues.sample00.wav"


def test_the_sample_follows_its_statistics(frame):
    for one in read_statistics():
        rows = frame.loc[frame["label"] == one.genre, list(FEATURES)].to_numpy()
        rows[:, one.log] = np.log(rows[:, one.log])
        drawn = (rows - one.mean) / one.deviation
        # Standard errors over 100 tracks: 0.1 of a mean, 0.07 of a deviation, 0.1 of a
        # correlation near zero; 4.5 of them bound 57 features, and more, of 10 genres.
        assert abs(drawn.mean(axis=0)).max() < 0.45
        assert abs(drawn.std(axis=0) - 1).max() < 0.32
        correlation = one.factor @ one.factor.T
        np.testing.assert_allclose(np.diag(correlation), 1, atol=1e-4)
        assert abs(np.corrcoef(drawn.T) - correlation).max() < 0.5


@pytest.mark.parametrize(
    "model",
    [SVC(), MLPClassifier((128, 128, 64), max_iter=30, batch_size=32, random_state=0)],
    ids=["svm", "mlp"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_sample_is_about_as_difficult_as_the_real_table(model):
    table = load_table("sample")
    split = random_split(len(table.y), seed=0)
    fitted = make_pipeline(StandardScaler(), model).fit(table.x[split.train], table.y[split.train])
    assert 0.65 < fitted.score(table.x[split.test], table.y[split.test]) < 0.85


def test_the_shipped_statistics_are_the_real_tables(real_table_path, statistics_script):
    frame = pd.read_csv(real_table_path)
    rows = list(statistics_script.statistics_rows(frame))
    made = pd.DataFrame(rows, columns=statistics_script.STATISTICS_HEADER)
    shipped = pd.read_csv(resource("data", "genre_statistics.csv"))
    assert made.iloc[:, :3].equals(shipped.iloc[:, :3].astype(made.dtypes[:3]))
    for column in ("mean", "deviation", "factor"):
        np.testing.assert_allclose(
            np.array(" ".join(made[column]).split(), float),
            np.array(" ".join(shipped[column].astype(str)).split(), float),
            rtol=1e-3,
            atol=1e-6,
        )
    made = pd.DataFrame(statistics_script.share_rows(frame), columns=["feature", "artist_share"])
    shipped = pd.read_csv(resource("data", "artist_share.csv"))
    assert list(made["feature"]) == list(shipped["feature"]) == list(FEATURES)
    np.testing.assert_allclose(
        made["artist_share"].astype(float), shipped["artist_share"], atol=2e-3
    )


def test_the_script_writes_what_read_statistics_reads(frame, statistics_script):
    genre, feature, transform, mean, deviation, factor = next(
        statistics_script.statistics_rows(frame)
    )
    blues = frame.loc[frame["label"] == "blues", FEATURES[0]]
    assert (genre, feature, transform, factor) == ("blues", FEATURES[0], "log", "1")
    assert float(mean) == pytest.approx(np.log(blues).mean(), rel=1e-4)
    assert float(deviation) == pytest.approx(np.log(blues).std(), rel=1e-4)
    assert resource("data", "genre_statistics.csv").stat().st_size < 200 * 1024


# Its artists.


def test_the_share_between_artists_is_that_of_the_f_test(statistics_script):
    # Eight artists of one genre with six songs each: F = 1 + 6 · share / (1 - share).
    artists = np.repeat(np.arange(8), 6)
    random = np.random.default_rng(0)
    values = pd.DataFrame(random.normal(size=(48, 3)) + random.normal(size=(8, 3))[artists])
    f = f_oneway(*(values[artists == artist] for artist in range(8))).statistic
    shares = statistics_script.artist_shares(values, np.zeros(48), artists)
    np.testing.assert_allclose(shares, (f - 1) / (f - 1 + 6))


def test_the_share_is_found_where_artists_and_genres_are_of_any_size(statistics_script):
    random = np.random.default_rng(1)
    genres = random.integers(0, 5, 80)  # of the artists
    artists = np.repeat(np.arange(80), random.integers(1, 12, 80))
    shares = []
    for _ in range(20):
        values = random.normal(size=(len(artists), 10)) * np.sqrt(0.7)
        values += random.normal(size=(80, 10))[artists] * np.sqrt(0.3)
        values += random.normal(size=(5, 10))[genres[artists]] * 3
        found = statistics_script.artist_shares(pd.DataFrame(values), genres[artists], artists)
        shares.append(found.mean())
    assert np.mean(shares) == pytest.approx(0.3, abs=4 * np.std(shares) / np.sqrt(20))


def test_songs_of_one_artist_are_alike_by_the_real_tables_share(frame, statistics_script):
    shares = [float(share) for _, share in statistics_script.share_rows(frame)]
    assert np.mean(shares) == pytest.approx(read_artist_share(), abs=0.06)


def test_artists_leave_mean_and_covariance_as_they_are():
    artists = np.repeat([0, 1, 2, 3], [40, 10, 5, 1])
    random = np.random.RandomState(0)
    draws = np.array([_noise(artists, 0.6, 2, random) for _ in range(2000)])
    means = draws.mean(axis=1)  # of a genre: what the songs leave, the artists nothing
    assert means.var() == pytest.approx(0.4 / 56, rel=0.1)
    assert np.mean(draws**2) == pytest.approx(1, rel=0.02)
    assert np.mean(draws[..., 0] * draws[..., 1]) == pytest.approx(0, abs=0.02)
    # Two songs of the artist that has five of 56, by the formula of _noise.
    squares = sum(count**2 for count in (40, 10, 5, 1)) / 56**2
    expected = 0.6 * (1 - 2 * 5 / 56 + squares) / (1 - squares)
    assert np.mean(draws[:, 50] * draws[:, 51]) == pytest.approx(expected, rel=0.1)


# The sample of segments.


@pytest.fixture(scope="module")
def segments():
    return load_table("sample3")


def transformed(x):
    """Returns the features whose statistics are the logarithm's as logarithms. x: (rows, 57)."""
    log = read_statistics()[0].log
    values = x.astype(float)
    values[:, log] = np.log(values[:, log])
    return pd.DataFrame(values, columns=FEATURES)


def test_the_sample_of_segments_has_the_real_tables_rows(segments):
    assert segments.is_sample
    assert segments.x.shape == (9990, 57)
    assert np.bincount(segments.by_song.y).tolist() == [100] * 10
    assert np.unique(np.bincount(segments.songs), return_counts=True)[1].tolist() == [10, 990]
    assert segments.tracks[:2] == ("blues.sample00.0.wav", "blues.sample00.1.wav")
    assert segments.repeats == ()
    assert segments.sha256 == SEGMENTS_SHA256


def test_segments_are_alike_within_a_song_by_the_measured_shares(segments):
    values = transformed(segments.x)
    values -= values.groupby(segments.y).transform("mean")
    values /= values.groupby(segments.y).transform("std")
    # s = (F - 1) / (F - 1 + n), of the one-way analysis of variance; nearly n = 10 everywhere.
    songs = [group.to_numpy() for _, group in values.groupby(segments.songs)]
    f = f_oneway(*songs, axis=0).statistic
    shares = (f - 1) / (f - 1 + 10)
    np.testing.assert_allclose(shares, read_song_shares(), atol=0.06)
    assert np.mean(shares - read_song_shares()) == pytest.approx(0, abs=0.02)


def test_a_song_is_the_mean_of_its_segments(frame, segments):
    songs = transformed(frame[list(FEATURES)].to_numpy())
    means = transformed(segments.x).groupby(segments.songs).mean()
    varies = [feature for feature in FEATURES if feature.endswith("_var")]
    means[varies] -= np.log(0.88)
    np.testing.assert_allclose(means, songs, rtol=1e-4, atol=1e-4)
