import importlib.util

import numpy as np
import pandas as pd
import pytest
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from gtzan_jax.resources import resource
from gtzan_jax.tables.protocols import random_split
from gtzan_jax.tables.sample import read_statistics, sample_frame, sample_text
from gtzan_jax.tables.schema import COLUMNS, FEATURES
from gtzan_jax.tables.sources import load_table

GOLDEN_SHA256 = "892d4b34addb8cb361e68ff5623ff0287ea87f4d32710b9616bcf5f2d773b6f1"


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
    rows = list(statistics_script.statistics_rows(pd.read_csv(real_table_path)))
    made = pd.DataFrame(rows, columns=statistics_script.HEADER)
    shipped = pd.read_csv(resource("data", "genre_statistics.csv"))
    assert made.iloc[:, :3].equals(shipped.iloc[:, :3].astype(made.dtypes[:3]))
    for column in ("mean", "deviation", "factor"):
        np.testing.assert_allclose(
            np.array(" ".join(made[column]).split(), float),
            np.array(" ".join(shipped[column].astype(str)).split(), float),
            rtol=1e-3,
            atol=1e-6,
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
