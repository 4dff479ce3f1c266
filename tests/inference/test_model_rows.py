"""Rows and labels that a model is given: frames, arrays and tables, right ones and wrong ones."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import make_segments, make_sweep, make_table
from finished_runs import random_model
from sklearn.datasets import load_wine
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score

from gtzan_jax import FeatureTable, InputError, TrainedModel, load_model, make_splits
from gtzan_jax.inference.model_files import save_model
from gtzan_jax.tables.schema import Columns

BUNCH = load_wine(as_frame=True)
FRAME = BUNCH.data
CULTIVARS = ("barolo", "grignolino", "barbera")


def wine(classes=CULTIVARS, **changes):
    """Returns wine as a feature table, of classes in any order."""
    names = tuple(sorted(classes))
    table = FeatureTable(
        x=FRAME.to_numpy(np.float32),
        y=np.array([names.index(classes[label]) for label in BUNCH.target], np.int32),
        tracks=tuple(f"row {row}" for row in range(len(FRAME))),
        features=tuple(FRAME.columns),
        genres=names,
        sha256="0" * 64,
        source="wine",
        repeats=(),
        is_of_songs=False,
    )
    return dataclasses.replace(table, **changes)


def model_of(table):
    """Returns a model that has learnt nothing, of features of the sizes that the table has."""
    x = table.x.astype(np.float64)
    return dataclasses.replace(
        random_model(make_sweep().configs[3], table), mean=x.mean(axis=0), scale=x.std(axis=0)
    )


TABLE = wine()
MODEL = model_of(TABLE)
LABELS = [CULTIVARS[label] for label in BUNCH.target]


@pytest.mark.parametrize(
    "rows",
    [
        TABLE.x,
        FRAME.to_numpy(),
        FRAME.to_numpy().tolist(),
        FRAME.to_numpy().astype(object),
        FRAME,
        FRAME[FRAME.columns[::-1]].assign(name="x", alcohols=1.0),
        FRAME.set_axis(range(500, 678)),
        FRAME.astype({"proline": "Int64", "magnesium": "float32"}),
        FRAME.astype(str),
        wine(x=TABLE.x[:, ::-1], features=TABLE.features[::-1]),
    ],
    ids=["array", "float64", "lists", "objects", "frame", "any order", "index", "dtypes", "texts",
         "table"],
)  # fmt: skip
def test_the_same_rows_have_the_same_probabilities(rows):
    expected = MODEL.predict_proba(TABLE)
    assert len({*MODEL.predict(TABLE)}) > 1
    assert MODEL.predict_proba(rows).tobytes() == expected.tobytes()
    assert MODEL.predict(rows).tolist() == MODEL.predict(TABLE).tolist()


def test_columns_are_found_by_the_text_of_their_names():
    table = wine(features=tuple(map(str, range(13))))
    frame = FRAME.set_axis(range(13), axis=1)[[*range(12, -1, -1)]]
    assert model_of(table).predict_proba(frame).tobytes() == MODEL.predict_proba(TABLE).tobytes()


def test_large_whole_numbers_are_rounded_as_in_training():
    """A float32 has seven digits: times in seconds are the same number within two minutes."""
    seconds = 1_600_000_000 + 40 * np.arange(178)
    table = wine(x=np.c_[TABLE.x[:, 1:], seconds].astype(np.float32))
    model, frame = model_of(table), FRAME.set_axis(FRAME.columns, axis=1)
    frame = pd.DataFrame(np.c_[FRAME.to_numpy()[:, 1:], seconds], columns=table.features)
    assert model.predict_proba(frame).tobytes() == model.predict_proba(table).tobytes()


@pytest.mark.parametrize(
    ("classes", "y"),
    [
        (CULTIVARS, LABELS),
        (CULTIVARS, np.array(LABELS)),
        (CULTIVARS, pd.Series(LABELS, index=range(500, 678))),
        (CULTIVARS, pd.Series(LABELS, dtype="category")),
        (("0", "1", "2"), BUNCH.target),
        (("0", "1", "2"), BUNCH.target.astype(float)),
        (("0.0", "1.0", "2.0"), BUNCH.target.astype(float)),
        (("0", "1", "2"), BUNCH.target.astype("Int64").tolist()),
        (("False", "True", "None"), np.array([False, True, None])[BUNCH.target]),
    ],
)
def test_accuracy_is_that_of_scikit_learn(classes, y):
    model = model_of(wine(classes))
    expected = accuracy_score([classes[label] for label in BUNCH.target], model.predict(FRAME))
    assert 0 < expected < 1
    assert model.score(FRAME, y) == model.score(FRAME.to_numpy(), y) == pytest.approx(expected)
    assert model.score(wine(classes)) == model.score(wine(classes), y) == pytest.approx(expected)


@pytest.mark.parametrize("column", ["label", "kind"])
def test_the_labels_of_a_frame_are_in_its_column(column):
    table = wine(columns=Columns(label=column))
    frame = FRAME.assign(**{column: LABELS})[[column, *FRAME.columns]]
    assert model_of(table).score(frame) == MODEL.score(FRAME, LABELS)
    # Labels that are given count, and not the column's.
    assert model_of(table).score(frame, LABELS[::-1]) == MODEL.score(FRAME, LABELS[::-1])


def test_a_tables_own_classes_may_be_in_another_order_and_fewer():
    some = np.flatnonzero(TABLE.y > 0)
    names = ("grignolino", "barolo")
    y = np.array([names.index(TABLE.genres[label]) for label in TABLE.y[some]], np.int32)
    other = dataclasses.replace(TABLE, x=TABLE.x[some], y=y, genres=names)
    assert MODEL.score(other) == MODEL.score(FRAME.iloc[some], np.array(LABELS)[some])


def test_segments_are_scored_by_the_vote_of_their_song():
    table = make_segments(30)
    model = random_model(make_sweep().configs[3], make_table())
    songs = table.by_song
    expected = accuracy_score([songs.genres[label] for label in songs.y], model.predict(table))
    assert model.score(table) == pytest.approx(expected)
    with pytest.raises(InputError, match="y has 91 labels for 30 songs"):
        model.score(table, [table.genres[label] for label in table.y])


def test_missing_numbers_are_filled_with_those_of_training():
    holes = FRAME.mask(np.random.default_rng(0).random(FRAME.shape) < 0.1)
    imputer = SimpleImputer(strategy="median").fit(holes)
    model = dataclasses.replace(MODEL, fill=imputer.statistics_)
    expected = MODEL.predict_proba(imputer.transform(holes))
    for rows in (
        holes,
        holes.to_numpy(),
        wine(x=holes.to_numpy(np.float32)),
        holes.astype("Float64"),
    ):
        np.testing.assert_allclose(model.predict_proba(rows), expected, rtol=1e-5)
    table = wine(x=holes.to_numpy(np.float32))
    np.testing.assert_allclose(model.predict_matrix(table.x), expected, rtol=1e-5)
    with pytest.raises(InputError, match=r"^1 number, the first in row 0, column 'ash': beyond"):
        model.predict(holes.assign(ash=[np.inf] + [1.0] * 177))


def without(*names):
    return FRAME.drop(columns=list(names))


HOLES = FRAME.astype(float)
HOLES.iloc[[4, 7], 2] = np.nan
MISSING = (
    "2 missing values, the first in row 4, column 'ash': the model was trained on none; fill them "
    "in, or train the model with --impute=median"
)
KNOWN = "'alcohol', 'malic_acid', 'ash', 'alcalinity_of_ash', 'magnesium', 'total_phenols', "
KNOWN += "'flavanoids', 'nonflavanoid_phenols', 'proanthocyanins', 'color_intensity' and 3 more"
WRONG = {
    "too few": (TABLE.x[:, :12], f"the array has 12 features, and the model 13: {KNOWN}"),
    "one": ([[1.0]], f"the array has 1 feature, and the model 13: {KNOWN}"),
    "one axis": (
        TABLE.x[0],
        "table must be (rows, features), and its shape is (13,): x.reshape(1, -1) makes one row of "
        "it",
    ),
    "series": (
        FRAME["ash"],
        "table must be (rows, features), and its shape is (178,): x.reshape(1, -1) makes one row "
        "of it",
    ),
    "three axes": (TABLE.x[None], "table must be (rows, features), and its shape is (1, 178, 13)"),
    "ragged": ([[1], [1, 2]], "table must be a FeatureTable, a DataFrame or an array, not [[1],"
               " [1, 2]]"),
    "columns": (
        without("alcohol", "ash").rename(columns={"hue": "Hue"}),
        "the table lacks 3 of the model's 13 features: 'alcohol', 'ash', 'hue' (did you mean "
        "'Hue'?)",
    ),
    "all columns": (
        FRAME.set_axis([f"z{place}" for place in range(13)], axis=1),
        f"the table lacks 13 of the model's 13 features: {KNOWN}",
    ),
    "no columns": (wine(x=TABLE.x[:, :1], features=("ashes",)), "the table lacks 13 of the"),
    "twice": (
        pd.concat([FRAME, FRAME[["ash"]]], axis=1), "the table has column 'ash' 2 times",
    ),
    "text": (
        FRAME.assign(ash=["2.5", "x"] * 89), "column 'ash' must have numbers, and row 1 has 'x'",
    ),
    "time": (
        FRAME.assign(ash=pd.Timestamp("2020-01-01")),
        "column 'ash' must have numbers, and row 0 has Timestamp('2020-01-01 00:00:00')",
    ),
    "complex": (
        TABLE.x.astype(complex), "column 'alcohol' must have numbers, and row 0 has np.complex",
    ),
    "text in an array": (
        FRAME.assign(ash="x").to_numpy(), "column 'ash' must have numbers, and row 0 has 'x'",
    ),
    "missing": (HOLES, MISSING),
    "missing in an array": (HOLES.to_numpy(), MISSING),
    "missing in a table": (wine(x=HOLES.to_numpy(np.float32)), MISSING),
    "missing objects": (HOLES.astype(object).where(HOLES.notna(), None), MISSING),
    "large": (
        FRAME.assign(proline=1e39),
        "178 numbers, the first in row 0, column 'proline': beyond the range of float32",
    ),
    "far": (
        FRAME.assign(ash=[1.0, 3e38] * 89),
        "row 1: the model's probabilities are not finite; are its values far from those of the "
        "training rows?",
    ),
    "no rows": (FRAME.iloc[:0], "the table has no rows"),
    "no rows of an array": (TABLE.x[:0], "the table has no rows"),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "message"), WRONG.values(), ids=WRONG)
def test_wrong_rows_are_told_in_one_line(rows, message):
    for function in (MODEL.predict, MODEL.predict_proba):
        with pytest.raises(InputError) as told:
            function(rows)
        assert str(told.value).startswith(message)
        assert "\n" not in str(told.value)


class OtherFrame:
    """A frame of another library, whose columns may be in any order."""

    columns = FRAME.columns

    def __array__(self, dtype=None, copy=None):
        return TABLE.x

    def __repr__(self):
        return "a frame\nof two lines"


def test_a_frame_of_another_library_is_not_taken_for_an_array():
    with pytest.raises(InputError, match=r"an array, not a frame of two lines$"):
        MODEL.predict(OtherFrame())


WRONG_LABELS = {
    "unknown": (
        FRAME, [*LABELS[:5], "Barollo", *LABELS[6:]],
        "row 5: the label 'Barollo' (did you mean 'barolo'?) is none of the model's classes: "
        "'barbera', 'barolo', 'grignolino'",
    ),
    "missing": (FRAME, [np.nan] * 178, "row 0: the label 'nan' is none of the model's classes"),
    "numbers": (FRAME, BUNCH.target, "row 0: the label '0' is none of the model's classes"),
    "too few": (FRAME, LABELS[:3], "y has 3 labels for 178 rows"),
    "two axes": (
        FRAME, np.array(LABELS)[:, None], "y must be (rows,), a label a row, and its shape is "
        "(178, 1)",
    ),
    "no array": (FRAME, 3, "y must be (rows,), a label a row, and its shape is ()"),
    "none": (TABLE.x, None, "y must be the labels: an array of features has none"),
    "no column": (
        FRAME.assign(labels=LABELS), None,
        "the table has no column 'label' (did you mean 'labels'?) of labels: give them as y",
    ),
    "a table's": (
        wine(genres=("a", "b", "c")), None, "row 0: the label 'b' is none of the model's classes",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "y", "message"), WRONG_LABELS.values(), ids=WRONG_LABELS)
def test_wrong_labels_are_told_in_one_line(rows, y, message):
    with pytest.raises(InputError) as told:
        MODEL.score(rows, y)
    assert str(told.value).startswith(message)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("is_of_songs", [True, False])
def test_of_rows_that_are_no_songs_nothing_of_sound_is_kept(tmp_path, is_of_songs):
    table, sweep = wine(is_of_songs=is_of_songs), make_sweep()
    splits = make_splits(table, "holdout", 0, 1)
    made = TrainedModel.of(sweep.configs[3], MODEL.params, sweep, splits, 0)
    assert [made.front_end is None, made.distribution is None] == [not is_of_songs] * 2
    assert made.words == table.words
    assert made.columns == table.columns
    save_model(made, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.predict_proba(FRAME).tobytes() == made.predict_proba(TABLE).tobytes()
    with pytest.raises(InputError, match="not made from sound") as told:
        loaded.predict_file("song.wav")
    assert ("predict() takes rows" in str(told.value)) is not is_of_songs
