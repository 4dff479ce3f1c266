import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import make_segments, make_sweep, make_table
from finished_runs import random_model

from gtzan_jax import make_splits
from gtzan_jax.analysis.calibration import calibration_error, error_of_chance, fit_temperature
from gtzan_jax.inference.calibration import FEWEST
from gtzan_jax.jobs.calibrating import calibrated
from gtzan_jax.tables.dividing import groups_of
from gtzan_jax.tables.sources import load_table

SWEEP = make_sweep()
TABLES = {"songs": make_table(), "segments": make_segments()}


@pytest.fixture(params=TABLES)
def table(request):
    return TABLES[request.param]


def votes_of(model, table, rows):
    """Songs' log-probabilities, a song after another in the order of their first rows."""
    said = model.predict_matrix(table.x[rows]).astype(np.float64)
    logs = pd.DataFrame(np.log(np.maximum(said, 1e-38)))
    means = logs.groupby(table.songs[rows], sort=False).mean().to_numpy()
    return means - np.log(np.exp(means).sum(axis=1, keepdims=True))


def measured(model, splits, fold):
    """What the trainer would hand over is computed by the model itself: logits, or means."""
    parts = [rows for rows in (fold.validation, fold.test) if len(rows)]
    votes = [votes_of(model, splits.table, rows) for rows in parts]
    return calibrated(model, splits, fold, np.concatenate([*votes, votes[0]]) + 3.0)


@pytest.fixture
def bare(table):
    return dataclasses.replace(random_model(SWEEP.configs[3], table), calibration=None)


def test_the_temperature_is_fitted_on_the_songs_of_the_validation_part_alone(table, bare):
    splits = make_splits(table, "holdout", 0, 1)
    fold = splits.folds[0]
    model, songs = measured(bare, splits, fold)
    validation = votes_of(bare, table, fold.validation)
    first = pd.Series(table.songs[fold.validation]).drop_duplicates().index
    y = table.y[fold.validation[first]]
    found = model.calibration
    assert found.temperature == pytest.approx(fit_temperature(validation, y), rel=1e-3)
    assert model.params is bare.params

    test, rows = votes_of(bare, table, fold.test), fold.test
    first = pd.Series(table.songs[rows]).drop_duplicates().index
    y, taken = table.y[rows[first]], test.argmax(axis=1)
    cooled = np.exp(test / found.temperature)
    cooled /= cooled.sum(axis=1, keepdims=True)
    right = taken == y
    assert found.test.songs == len(first)
    assert found.test.accuracy == pytest.approx(right.mean())
    sure = np.exp(test).max(axis=1)
    assert found.test.error == pytest.approx(calibration_error(sure, right), abs=1e-5)
    after = calibration_error(cooled.max(axis=1), right)
    assert found.test.calibrated_error == pytest.approx(after, abs=1e-5)

    mine = songs[songs["part"] == "test"]
    assert mine["song"].tolist() == [table.tracks[row] for row in rows[first]]
    assert mine["genre"].tolist() == [table.genres[label] for label in y]
    np.testing.assert_allclose(mine["probability"], sure, rtol=1e-5)
    np.testing.assert_allclose(mine["calibrated"], cooled.max(axis=1), rtol=1e-4)

    # What the test part is has no say in the temperature.
    elsewhere = fold._replace(test=fold.test[: len(fold.test) // 2])
    again, _ = measured(bare, splits, elsewhere)
    assert again.calibration.temperature == found.temperature


@pytest.mark.parametrize("num_songs", [40, 600])
def test_of_few_songs_no_temperature_below_one_is_believed(num_songs):
    table = make_table(num_songs, num_genres=4)
    splits = make_splits(table, "holdout", 0, 1)
    fold = splits.folds[0]
    few = len(fold.validation) < FEWEST
    assert few == (num_songs == 40)
    bare = dataclasses.replace(random_model(SWEEP.configs[3], table), calibration=None)
    # Labels that are just what the model says: it could be surer of all of them.
    said = bare.predict_matrix(table.x).argmax(axis=1).astype(np.int32)
    honest = dataclasses.replace(splits, table=dataclasses.replace(table, y=said))
    logs = votes_of(bare, honest.table, fold.validation)
    assert fit_temperature(logs, said[fold.validation]) < 0.2
    model, songs = measured(bare, honest, fold)
    assert (model.temperature == 1) == few
    assert model.is_calibrated != few
    assert ("doubt" in songs) == few
    if few:
        assert set(songs["doubt"]) == {model.calibration.doubt}
        assert f"fitted on {len(fold.validation)} (below 1, so left at 1)" in songs["doubt"][0]
        np.testing.assert_allclose(songs["calibrated"], songs["probability"], rtol=1e-5)
    # One above 1 is believed, and told of where songs are few.
    wrong = dataclasses.replace(honest, table=dataclasses.replace(table, y=(said + 1) % 4))
    model, _ = measured(bare, wrong, fold)
    assert model.temperature > 1
    assert bool(model.calibration.doubt) == few


def test_without_a_validation_part_there_is_no_temperature(table, bare):
    splits = make_splits(table, "assignment", 0, 1)
    model, songs = measured(bare, splits, splits.folds[0])
    found = model.calibration
    assert (found.temperature, found.validation, found.test.calibrated_error) == (None, None, None)
    assert not model.is_calibrated
    assert set(songs["part"]) == {"test"}
    assert songs["calibrated"].isna().all()
    np.testing.assert_array_equal(model.predict_proba(table), bare.predict_proba(table))


@pytest.mark.parametrize("protocol", ["artist_folds", "assignment"])
def test_the_error_of_chance_is_that_of_the_shown_probabilities_by_artist(protocol):
    table = load_table("sample")  # whose tracks the list of artists knows
    splits = make_splits(table, protocol, 0, 3)
    fold = splits.folds[0]
    bare = dataclasses.replace(random_model(SWEEP.configs[3], table), calibration=None)
    model, songs = measured(bare, splits, fold)
    test = songs[songs["part"] == "test"]
    np.testing.assert_array_equal(test["group"], groups_of(table)[fold.test])
    assert test["group"].nunique() < len(test)
    shown = test["probability" if protocol == "assignment" else "calibrated"].to_numpy()
    right = (test["genre"] == test["predicted"]).to_numpy()
    mean, limit = error_of_chance(shown, right, test["group"].to_numpy())
    held = model.calibration.test
    assert (held.chance_error, held.chance_limit) == pytest.approx((mean, limit))
    # Without a temperature these weights are sure of everything, which leaves nothing to chance.
    alone = error_of_chance(shown, right, np.arange(len(test)))[1]
    assert (limit > alone) == (protocol == "artist_folds")


def test_songs_of_a_leak_say_so():
    table = TABLES["segments"]
    splits = make_splits(table, "leaky_segments", 0, 1)
    _, songs = measured(random_model(SWEEP.configs[0], table), splits, splits.folds[0])
    assert songs["leak"].str.startswith("LEAK").all()
