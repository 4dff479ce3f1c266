import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import digamma
from sklearn.preprocessing import minmax_scale

from gtzan_jax.analysis import exploration
from gtzan_jax.errors import InputError
from gtzan_jax.tables.schema import FEATURES, FeatureTable
from gtzan_jax.tables.sources import load_table

PUBLISHED = (0.24644968, 0.22028192, 0.09803759)
STANDARD = (0.23949564, 0.16929248, 0.10750028)


@pytest.fixture(scope="module")
def sample() -> FeatureTable:
    return load_table("sample")


@pytest.fixture(scope="module")
def real(real_table_path) -> FeatureTable:
    return load_table(real_table_path)


def changed(table: FeatureTable, feature: str, values: object) -> FeatureTable:
    """Returns the table with other values for a feature."""
    x = table.x.copy()
    x[:, FEATURES.index(feature)] = values
    return dataclasses.replace(table, x=x)


def test_correlations_are_those_of_numpy(sample):
    found = exploration.correlations(sample)
    means = [name for name in FEATURES if name.endswith("_mean")]
    assert list(found.index) == list(found.columns) == means
    assert len(means) == 28
    columns = [FEATURES.index(name) for name in means]
    expected = np.corrcoef(sample.x[:, columns].astype(np.float64), rowvar=False)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_pairs_are_ordered_by_size_whatever_the_sign(sample):
    matrix = exploration.correlations(sample)
    pairs = exploration.strongest_pairs(matrix)
    assert len(pairs) == 28 * 27 / 2
    assert pairs["correlation"].abs().is_monotonic_decreasing
    assert pairs["correlation"].min() < 0
    for pair in pairs.itertuples():
        assert matrix.loc[pair.feature, pair.other] == pair.correlation


def test_the_pair_that_the_assignment_names_is_negative(real):
    matrix = exploration.correlations(real)
    assert matrix.loc["mfcc2_mean", "spectral_centroid_mean"] == pytest.approx(-0.9402, abs=5e-5)


def f_by_hand(x, y):
    """Mean square between the genres over the one within them."""
    groups = [x[y == genre] for genre in np.unique(y)]
    between = sum(len(group) * (group.mean() - x.mean()) ** 2 for group in groups)
    within = sum(((group - group.mean()) ** 2).sum() for group in groups)
    return (between / (len(groups) - 1)) / (within / (len(x) - len(groups)))


def information_by_hand(x, y, neighbours=3):
    """Ross's estimate (2014, PLoS ONE 9(2), e87357, equation 2), by all distances; nats."""
    distances = np.abs(x[:, None] - x)
    np.fill_diagonal(distances, np.inf)
    terms = []
    for own, genre in zip(distances, y, strict=True):
        radius = np.sort(own[y == genre])[neighbours - 1]
        nearer = np.sum(own < radius) + 1
        terms.append(digamma(neighbours) - digamma(np.sum(y == genre)) - digamma(nearer))
    return max(0.0, digamma(len(y)) + np.mean(terms))


def test_scores_are_those_computed_by_hand(sample):
    ranking = exploration.rank_features(sample).set_index("feature")
    for column, feature in enumerate(FEATURES):
        x, found = sample.x[:, column].astype(np.float64), ranking.loc[feature]
        assert found["anova_f"] == pytest.approx(f_by_hand(x, sample.y), rel=1e-9)
        expected = information_by_hand(x, sample.y)
        # Equal distances, of which float32 has some: scikit-learn's noise tells them apart.
        assert found["mutual_information"] == pytest.approx(expected, abs=1e-3)


def test_a_place_is_how_many_features_are_as_good(sample):
    constant = ("mfcc9_var", "tempo")
    table = changed(changed(sample, constant[0], 7.0), constant[1], 3.0)
    rows = exploration.rank_features(table).to_dict("records")
    assert [row["rank"] for row in rows] == list(range(1, 58))
    assert {row["feature"] for row in rows} == set(FEATURES)
    for row in rows:
        for score, place in (
            ("anova_f", "anova_rank"),
            ("mutual_information", "mutual_information_rank"),
        ):
            assert row[place] == sum(other[score] >= row[score] for other in rows)
    assert [row["anova_rank"] for row in rows[-2:]] == [57, 57]
    order = [(row["anova_rank"] + row["mutual_information_rank"], -row["anova_f"]) for row in rows]
    assert order == sorted(order)


def test_the_ranking_is_the_same_each_time(sample):
    ranking = exploration.rank_features(sample)
    pd.testing.assert_frame_equal(ranking, exploration.rank_features(sample))


def test_a_feature_made_of_the_label_comes_first_and_a_constant_last(sample):
    noise = np.random.default_rng(0).normal(size=len(sample.y))
    table = changed(changed(sample, "tempo", sample.y + 0.01 * noise), "mfcc9_var", 7.0)
    ranking = exploration.rank_features(table)
    first, last = ranking.iloc[0], ranking.iloc[-1]
    assert first["feature"] == "tempo"
    assert first["mutual_information"] == pytest.approx(np.log(10), abs=0.1)
    assert last["feature"] == "mfcc9_var"
    assert last["anova_f"] == last["mutual_information"] == 0


def test_a_feature_that_is_the_label_has_infinite_f(sample):
    ranking = exploration.rank_features(changed(sample, "tempo", sample.y))
    assert ranking["feature"][0] == "tempo"
    assert ranking["anova_f"][0] > 1e12


@pytest.mark.parametrize("scaling", exploration.SCALINGS)
@pytest.mark.parametrize("components", [1, 3, 57])
def test_pca_is_that_of_the_covariance(sample, scaling, components):
    found = exploration.pca(sample, scaling, components)
    x = sample.x.astype(np.float64)
    x = minmax_scale(x) if scaling == "min-max" else (x - x.mean(axis=0)) / x.std(axis=0)
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    values, vectors = values[::-1], vectors[:, ::-1].T[:components]
    np.testing.assert_allclose(found.ratios, (values / values.sum())[:components])
    signs = np.sign((found.loadings * vectors).sum(axis=1))
    np.testing.assert_allclose(found.loadings, signs[:, None] * vectors, atol=1e-9)
    np.testing.assert_allclose(found.scores, (x - x.mean(axis=0)) @ found.loadings.T, atol=1e-9)
    assert found.scores.shape == (1000, components)


def test_the_sign_of_a_component_is_fixed(sample):
    for scaling in exploration.SCALINGS:
        for loadings in exploration.pca(sample, scaling, 57).loadings:
            assert loadings[np.abs(loadings).argmax()] > 0


@pytest.mark.parametrize(("scaling", "ratios"), [("min-max", PUBLISHED), ("standard", STANDARD)])
def test_pca_gives_the_published_ratios(real, scaling, ratios):
    np.testing.assert_allclose(exploration.pca(real, scaling).ratios, ratios, atol=1e-6)


def test_frames_of_pca_say_which_scaling(sample):
    pcas = [exploration.pca(sample, scaling) for scaling in exploration.SCALINGS]
    loadings, ratios = exploration.pca_frames(pcas)
    assert list(ratios["scaling"]) == ["min-max"] * 3 + ["standard"] * 3
    assert list(ratios["component"]) == [1, 2, 3] * 2
    assert ratios["cumulative"][5] == pytest.approx(pcas[1].ratios.sum())
    assert list(loadings.columns) == [
        "scaling", "feature", "component1", "component2", "component3",
    ]  # fmt: skip
    assert list(loadings["feature"]) == 2 * list(FEATURES)
    assert loadings["component2"][57] == pcas[1].loadings[1, 0]


@pytest.mark.parametrize("scaling", exploration.SCALINGS)
def test_a_constant_feature_has_no_part_in_pca(sample, scaling):
    table = changed(sample, "tempo", 0.1)  # not a binary fraction: its mean is not exact
    assert not exploration.scaled(table, scaling)[:, FEATURES.index("tempo")].any()
    found = exploration.pca(table, scaling)
    np.testing.assert_allclose(found.loadings[:, FEATURES.index("tempo")], 0, atol=1e-12)


def test_mistakes_are_told(sample):
    flat = dataclasses.replace(sample, x=np.ones_like(sample.x))
    with pytest.raises(InputError, match="every feature is constant"):
        exploration.pca(flat, "standard")
    assert (exploration.rank_features(flat)["anova_f"] == 0).all()
    assert exploration.strongest_pairs(exploration.correlations(flat)).empty


def test_a_constant_feature_has_no_correlation(sample):
    matrix = exploration.correlations(changed(sample, "rms_mean", 1.0))
    assert matrix["rms_mean"].isna().all()
    assert len(exploration.strongest_pairs(matrix)) == 27 * 26 / 2


def test_repeats_of_the_real_table_are_named(real):
    quality = exploration.data_quality(real)
    assert quality["tracks_by_genre"] == dict.fromkeys(real.genres, 100)
    repeats = quality["repeats"]
    assert [len(repeat["tracks"]) for repeat in repeats] == [2] * 14
    frame = pd.DataFrame(real.x, index=list(real.tracks))
    assert {track for repeat in repeats for track in repeat["tracks"]} == set(
        frame.index[frame.duplicated(keep=False)]
    )
    (across,) = [repeat for repeat in repeats if repeat["genres_differ"]]
    assert across["tracks"] == ["metal.00058.wav", "rock.00016.wav"]
    assert across["genres"] == ["metal", "rock"]


def test_doubtful_columns_are_found(sample):
    x = np.arange(1000.0)
    table = changed(changed(sample, "tempo", 5.0), "rms_mean", x)
    x[17] = 20_000
    table = changed(table, "mfcc3_mean", x)
    spike = np.zeros(1000)
    spike[42] = -1
    table = changed(table, "mfcc4_mean", spike)  # no quartile range at all
    quality = exploration.data_quality(table)
    assert quality["constant_features"] == ["tempo"]
    extreme = {found["feature"]: found for found in quality["extreme_features"]}
    assert "rms_mean" not in extreme
    found = extreme["mfcc3_mean"]
    assert (found["track"], found["value"]) == (sample.tracks[17], 20_000)
    lower, upper = np.quantile(x, [0.25, 0.75])
    expected = (20_000 - upper) / (upper - lower)
    assert found["quartile_ranges_outside"] == pytest.approx(expected)
    assert found["tracks_beyond_3_quartile_ranges"] == 1
    assert extreme["mfcc4_mean"]["track"] == sample.tracks[42]
    assert extreme["mfcc4_mean"]["quartile_ranges_outside"] is None
    assert "sample" in json.dumps(quality, allow_nan=False)
