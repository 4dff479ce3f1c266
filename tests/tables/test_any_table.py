"""Tables that are not GTZAN's: read as pandas reads them, or refused in one line."""

import builtins
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import make_table
from sklearn.datasets import load_digits, load_wine
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import StandardScaler

from gtzan_jax.errors import InputError
from gtzan_jax.tables.dividing import groups_of, repeats_of, with_validation
from gtzan_jax.tables.folds import arrays_of, scaler_of, sizes_of
from gtzan_jax.tables.protocols import PROTOCOLS, make_splits
from gtzan_jax.tables.schema import Columns
from gtzan_jax.tables.sources import load_table

WINE = load_wine(as_frame=True)
FRAME = WINE.frame  # 13 features, then target
TARGET = Columns(label="target")
GROUPED = replace(TARGET, group="farm")
FARMS = np.random.default_rng(1).integers(0, 25, 178)


def changed(**columns):
    return FRAME.assign(**columns)


def with_cells(column, cells, frame=FRAME):
    """Returns a frame with some values of a column, by row."""
    values = frame[column].astype(object)
    for row, value in cells.items():
        values[row] = value
    return frame.assign(**{column: values})


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Reads a frame, or a text, as one of several kinds of tables."""
    monkeypatch.chdir(tmp_path)

    def make(table, columns=TARGET, kind="csv"):
        if kind == "frame":
            return load_table(table, columns)
        if isinstance(table, str):
            (tmp_path / "t.csv").write_text(table)
        elif kind == "parquet":
            table.to_parquet(tmp_path / "t.parquet")
        else:
            table.to_csv(tmp_path / "t.csv", index=False)
        return load_table(f"t.{kind}", columns)

    return make


# What is read.


@pytest.mark.parametrize("kind", ["csv", "parquet", "frame"])
def test_any_table_is_read_as_pandas_reads_it(read, kind):
    table = read(FRAME, kind=kind)
    np.testing.assert_array_equal(table.x, WINE.data.to_numpy().astype(np.float32))
    np.testing.assert_array_equal(table.y, WINE.target)
    assert table.features == tuple(WINE.data.columns)
    assert table.genres == ("0", "1", "2")
    assert table.columns == TARGET
    assert not table.is_of_songs
    assert table.note().endswith("; 178 rows")
    assert "178 rows × 13 features, 3 classes" in repr(table)
    assert table.by_song is table
    assert table.group is None


def test_arrays_are_a_table_too():
    frames = load_table(FRAME, TARGET)
    for data in ((WINE.data, WINE.target), (WINE.data.to_numpy(), WINE.target.to_numpy())):
        table = load_table(data)
        np.testing.assert_array_equal(table.x, frames.x)
        np.testing.assert_array_equal(table.y, frames.y)
    assert table.features[:2] == ("x0", "x1")
    hours = np.arange(178) % 9
    table = load_table((WINE.data, WINE.target, hours))
    np.testing.assert_array_equal(table.group, hours)
    assert table.words.group == "group"


LABELS = {
    "texts": ([["red", "white", "rosé"][i] for i in WINE.target], ("red", "rosé", "white")),
    "booleans": (WINE.target == 1, ("False", "True")),
    "whole numbers by their size": (WINE.target.map({0: 10, 1: 9, 2: -1}), ("-1", "9", "10")),
    "whole numbers as floats": (WINE.target.astype(float), ("0", "1", "2")),
    "categories": (WINE.target.map({0: "a", 1: "b", 2: "c"}).astype("category"), ("a", "b", "c")),
    "signs": (WINE.target.map({0: "A-", 1: "A", 2: "a"}), ("A", "A-", "a")),
}


@pytest.mark.parametrize(("label", "names"), LABELS.values(), ids=LABELS)
def test_labels_of_any_type(label, names):
    table = load_table(changed(target=label), TARGET)
    assert table.genres == names
    said = pd.Series(label).map(lambda v: str(int(v)) if isinstance(v, float) else str(v))
    assert [table.genres[i] for i in table.y] == said.to_list()


def test_the_checksum_of_a_frame_is_of_its_content():
    first = load_table(FRAME, TARGET).sha256
    assert load_table(FRAME.copy(), TARGET).sha256 == first
    others = [
        changed(alcohol=FRAME["alcohol"] + 1e-9), changed(target=FRAME["target"].iloc[::-1].array),
        FRAME.rename(columns={"alcohol": "spirit"}),
    ]  # fmt: skip
    assert len({first, *(load_table(other, TARGET).sha256 for other in others)}) == 4


@pytest.mark.parametrize("kind", ["csv", "frame"])
def test_columns_are_left_out(read, kind):
    frame = FRAME.assign(city="Turin", wine=np.arange(178))
    table = read(frame, replace(TARGET, drop=("city", "wine", "alcohol")), kind)
    assert table.features == tuple(WINE.data.columns[1:])


def test_names_of_files_name_rows_and_lengths_are_features_without_gtzans_columns(read):
    frame = FRAME.assign(filename=[f"{i}.png" for i in range(178)], length=FRAME["hue"])
    table = read(frame)
    assert table.tracks[3] == "3.png"
    assert table.features[-1] == "length"
    assert not table.is_of_songs


def test_gtzans_table_may_lack_dropped_columns_and_have_a_group(read, real_table_path):
    frame = pd.read_csv(real_table_path)
    frame = frame.assign(kind=frame["label"], singer=np.arange(1000) // 2)
    table = read(frame.drop(columns="label"), Columns("kind", "singer", ("tempo", "length")))
    assert table.is_of_songs
    assert len(table.features) == 56
    assert table.words.group == "singer"
    np.testing.assert_array_equal(table.group, np.arange(1000) // 2)
    whole = load_table(real_table_path)
    np.testing.assert_array_equal(table.x, np.delete(whole.x, whole.features.index("tempo"), 1))


# What is refused.

BAD = {
    "no label": (
        changed(colour=FRAME["hue"].gt(1)).drop(columns="target"), Columns(),
        r"t.csv: no column 'label'; name the column of classes with --label=COLUMN, such as "
        r"'colour' \('True', ",
    ),
    "a misspelt label": (FRAME, Columns("targt"), "'targt' (did you mean 'target'?); name the"),
    "a misspelt group": (FRAME, replace(TARGET, group="huge"), "--group: no column 'huge' (did"),
    "a misspelt drop": (
        FRAME, replace(TARGET, drop=("huge", "alcohol")), "--drop: no column 'huge' (did you mean",
    ),
    "one flag against another": (
        FRAME, Columns("target", "target", ("target",)),
        "--label and --drop both name 'target'; --group and --drop both name 'target'; --label and",
    ),
    "no numbers": (
        FRAME[["target"]], TARGET, "t.csv: no column of numbers beside 'target'",
    ),
    "columns of text": (
        FRAME.assign(city="Turin", colour="red"), TARGET,
        "t.csv: no numbers in columns 'city', 'colour': --drop=city,colour leaves them out",
    ),
    "one text": (
        with_cells("hue", {7: "red"}), TARGET,
        "line 9, column 'hue': 'red' is not a finite number",
    ),
    "decimal commas": (
        FRAME.assign(hue=FRAME["hue"].map(lambda v: str(v).replace(".", ","))), TARGET,
        "line 2, column 'hue': '1,04' is not a finite number; write numbers with a point",
    ),
    "infinity": (
        with_cells("hue", {7: np.inf}), TARGET, "line 9, column 'hue': inf is not a finite number",
    ),
    "missing values": (
        with_cells("ash", {3: None, 5: "NA"}, with_cells("hue", {4: None})), TARGET,
        "line 5, column 'ash': the value is missing, one of 3 in 2 columns; --impute=median fills",
    ),
    "a missing label": (
        with_cells("target", {4: None}), TARGET, "line 6, column 'target': the value is empty",
    ),
    "a missing group": (
        with_cells("who", {4: None}, FRAME.assign(who="ann")), replace(TARGET, group="who"),
        "line 6, column 'who': the value is empty",
    ),
    "one class": (changed(target=1), TARGET, "t.csv: only one class, '1', but at least two are"),
    "a class of one row": (
        with_cells("target", {4: 7}), TARGET,
        "t.csv: class '7' has 1 row, but each needs at least 2",
    ),
    "few rows": (FRAME[50:69], TARGET, "t.csv: 19 rows, but at least 20 are needed"),
    "a quantity": (
        FRAME, Columns("proline"), "column 'proline': 121 different numbers",
    ),
    "a quantity of few values": (
        FRAME, Columns("hue"),
        "t.csv, column 'hue': 78 different numbers are not classes; regression is not supported",
    ),
    "huge numbers": (
        with_cells("hue", {7: 1e39}), TARGET, "line 9, column 'hue': 1e+39 is too large for",
    ),
    "times in seconds": (
        FRAME.assign(at=1.6e9 + np.arange(178) % 7), TARGET,
        "t.csv, column 'at': float32 is too coarse for numbers up to 1600000006 that differ by 2",
    ),
    "an index of pandas": (
        FRAME.reset_index(names=""), TARGET,
        "column 1 has no name, as pandas and Excel write an index: '--drop=Unnamed: 0' leaves it",
    ),
    "an index with a name": (
        FRAME.reset_index(names="id"), TARGET,
        "column 'id' counts the rows and is not a feature: --drop=id",
    ),
    "Excel's first line": (
        "sep=;\n" + FRAME.to_csv(index=False), TARGET, "t.csv: line 1 is 'sep=;', which only Excel",
    ),
    "semicolons": (
        FRAME.to_csv(index=False, sep=";", decimal=","), TARGET,
        "t.csv is separated by semicolons; save it with commas, and points in numbers",
    ),
    "no header": (
        FRAME.to_csv(index=False, header=False), TARGET, "line 1 has numbers instead of column",
    ),
    "the same features everywhere": (
        FRAME.assign(**dict.fromkeys(WINE.data.columns, 1.5)), TARGET,
        "t.csv: every row has the same features: nothing can be learnt",
    ),
    "columns twice": (
        FRAME.to_csv(index=False).replace("alcohol,", "hue,", 1), TARGET,
        "t.csv: repeated column 'hue'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("table", "columns", "message"), BAD.values(), ids=BAD)
def test_bad_tables_are_refused_in_one_line(read, table, columns, message):
    if "\\" not in message:
        message = re.escape(message)
    with pytest.raises(InputError, match=message) as caught:
        read(table, columns)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.assign(day=pd.Timestamp("2020-01-01")), "no numbers in column 'day': --drop=day "),
        (with_cells("hue", {7: "red"}), "DataFrame, row 7, column 'hue': 'red' is not a finite"),
        (with_cells("hue", {7: None}), "row 7, column 'hue': the value is missing; --impute=med"),
        (with_cells("target", {7: None}), "row 7, column 'target': the value is empty"),
    ],
)
def test_bad_frames_are_refused_with_the_row(frame, message):
    with pytest.raises(InputError, match=re.escape(message)):
        load_table(frame, TARGET)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((WINE.data,), r"data must be \(X, y\) or \(X, y, groups\), not a tuple of 1"),
        (
            (WINE.target, WINE.target),
            r"X must have rows and columns.*: its shape is \(178,\)",
        ),
        ((WINE.data, WINE.target[:-1]), r"label: the shape \(177,\) does not fit X's 178 rows"),
        ((WINE.data.rename(columns={"hue": "label"}), WINE.target), "X has a column 'label'"),
        ((WINE.data, [[1], [1, 2]]), r"label must be \(rows,\), one value for each row of X"),
        (([[1.0], [1.0, 2.0]], WINE.target), "X must have rows and columns of numbers"),
        ((WINE.data, WINE.target.to_numpy()[:, None]), r"does not fit X's 178 rows: give y.ravel"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(data, message):
    with pytest.raises(InputError, match=message):
        load_table(data)


def test_a_damaged_parquet_file_and_a_missing_reader_are_told(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 and nothing")
    with pytest.raises(InputError, match=r"t\.parquet is not a Parquet file: "):
        load_table(path, TARGET)
    real = builtins.__import__

    def without(name, *args):
        if name.partition(".")[0] in ("pyarrow", "fastparquet"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(pd, "read_parquet", lambda _: without("pyarrow"))
    with pytest.raises(InputError, match=r"needs PyArrow: pip install -e '\.\[parquet\]'"):
        load_table(path, TARGET)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": 0}, "label must be text, not 0"),
        ({"drop": "hue"}, "drop must be a list of texts, not 'hue'"),
        ({"drop": (0,)}, r"drop\[0\] must be text, not 0"),
        ({"impute": "mean"}, "impute: unknown value 'mean'.* choose one of median"),
    ],
)
def test_impossible_options_of_a_table_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Columns(**options)


def test_what_is_dropped_has_no_order():
    assert Columns(drop=("b", "a", "b")) == Columns(drop=["a", "b"])


@pytest.mark.parametrize(
    ("column", "values"),
    [("hue", np.ones(178) * 1j), ("hue", pd.Timedelta(1, "h"))],
)
def test_what_pandas_would_convert_is_no_number(column, values):
    with pytest.raises(InputError, match="no numbers in column 'hue'"):
        load_table(FRAME.assign(**{column: values}), TARGET)


def test_labels_and_groups_that_mean_nothing_are_refused(read):
    for name in ("NA", "nan", "n/a"):
        with pytest.raises(InputError, match=f"column 'target': '{name}' means a missing value"):
            read(with_cells("target", {3: name}).to_csv(index=False))
    labels = [*map("c{}".format, WINE.target[:-1]), np.nan]
    with pytest.raises(InputError, match="row 177, column 'label': the value is empty"):
        load_table((WINE.data, labels))
    assert (
        "none"
        in load_table(changed(target=WINE.target.map({0: "none", 1: "a", 2: "b"})), TARGET).genres
    )


def test_frames_and_csvs_agree_on_what_is_missing(read):
    frame = with_cells("hue", {3: "NA", 5: "?", 7: None, 8: "1.5"})
    tables = [read(frame, replace(TARGET, impute="median"), kind) for kind in ("csv", "frame")]
    np.testing.assert_array_equal(tables[0].x, tables[1].x)
    assert np.flatnonzero(np.isnan(tables[0].x).any(axis=1)).tolist() == [3, 5, 7]
    hidden = np.random.default_rng(0).random(WINE.data.shape) < 0.1
    masked = np.ma.MaskedArray(WINE.data.to_numpy(), hidden)
    table = load_table((masked, WINE.target), Columns(impute="median"))
    np.testing.assert_array_equal(np.isnan(table.x), hidden)


def test_truths_are_numbers_in_a_csv_as_in_a_frame(read):
    frame = FRAME.assign(sweet=FRAME["hue"] > 1)
    x = [read(frame, kind=kind).x for kind in ("csv", "frame")]
    np.testing.assert_array_equal(*x)


def test_gtzans_features_without_names_of_files_are_any_table(real_table_path):
    frame = pd.read_csv(real_table_path)
    table = load_table(frame.drop(columns=["filename", "length"]))
    assert not table.is_of_songs
    np.testing.assert_array_equal(table.x, load_table(real_table_path).x)
    some = load_table(frame.drop(columns=["tempo", "length"]), Columns(drop=("tempo",)))
    assert some.is_of_songs
    assert len(some.features) == 56


def test_other_options_make_another_table(tmp_path):
    FRAME.assign(farm=FARMS).to_csv(tmp_path / "t.csv", index=False)
    options = [
        TARGET, replace(TARGET, drop=("farm",)), replace(TARGET, group="farm"),
        replace(TARGET, impute="median"),
    ]  # fmt: skip
    tables = [load_table(tmp_path / "t.csv", columns) for columns in options]
    assert len({table.sha256 for table in tables}) == 4
    with pytest.raises(InputError, match="a FeatureTable has its own label"):
        load_table(tables[0], options[1])


def test_a_level_of_the_index_is_a_group(read):
    frame = FRAME.assign(farm=FARMS).set_index("farm")
    for kind in ("parquet", "frame"):
        np.testing.assert_array_equal(read(frame, GROUPED, kind).group, FARMS)
    both = FRAME.assign(farm=FARMS).set_index("farm", drop=False)
    np.testing.assert_array_equal(read(both, GROUPED, "frame").group, FARMS)


def test_a_protocol_of_segments_is_refused_without_the_sample_for_an_example():
    with pytest.raises(InputError, match="leaky_segments needs a table of segments: take another"):
        make_splits(load_table(FRAME, TARGET), "leaky_segments", 0, 5)


# Missing values.


def test_missing_values_get_the_median_of_the_train_part(read):
    random = np.random.default_rng(0)
    x = WINE.data.mask(random.random(WINE.data.shape) < 0.1)
    table = read(x.assign(target=WINE.target), replace(TARGET, impute="median"))
    assert np.isnan(table.x).sum() == x.isna().to_numpy().sum()
    for fold in make_splits(table, "kfold", 0, 4).folds:
        filling = SimpleImputer(strategy="median").fit(table.x[fold.train].astype(np.float64))
        scaler = StandardScaler().fit(filling.transform(table.x[fold.train].astype(np.float64)))
        found = scaler_of(table, fold)
        np.testing.assert_allclose(found.fill, filling.statistics_)
        np.testing.assert_allclose(found.mean, scaler.mean_)
        arrays = arrays_of(table, fold, sizes_of(table, [fold]))
        rows = np.concatenate([fold.validation, fold.test])
        expected = scaler.transform(filling.transform(table.x[rows].astype(np.float64)))
        np.testing.assert_allclose(arrays.x_eval, expected, rtol=1e-5, atol=1e-6)


def test_a_column_without_values_to_train_on_is_named(read):
    columns = replace(TARGET, impute="median")
    with pytest.raises(InputError, match=r"column 'hue' has no value: --drop=hue leaves it out"):
        read(changed(hue=np.nan), columns)
    table = read(changed(hue=FRAME["hue"].where(FRAME.index < 2)), columns)
    fold = make_splits(table, "holdout", 0, 5).folds[0]._replace(train=np.arange(2, 100))
    with pytest.raises(InputError, match=r"column 'hue' has no value in the train part of a fold"):
        scaler_of(table, fold)


# Groups.


@pytest.fixture(scope="module")
def farms():
    """Wine by 25 farms, each with wines of all classes."""
    return load_table(FRAME.assign(farm=[f"farm {i}" for i in FARMS]), GROUPED)


@pytest.mark.parametrize("protocol", ["assignment", "holdout", "kfold"])
def test_a_group_is_on_one_side(farms, protocol):
    splits = make_splits(farms, protocol, 3, 4)
    for fold in splits.folds:
        sides = [set(FARMS[rows]) for rows in fold]
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]
        assert sum(map(len, fold)) == 178
        assert len({*farms.y[fold.train]}) == len({*farms.y[fold.test]}) == 3
    assert splits.protocol.is_apart(farms.words)
    assert "each farm on one side" in splits.note
    assert "of one farm are on one side" in splits.protocol.note_for(farms.words)
    assert "artist" not in splits.protocol.note_for(farms.words)


def test_the_shares_of_grouped_parts(farms):
    [fold] = make_splits(farms, "holdout", 0, 5).folds
    assert [len(rows) / 178 for rows in fold] == pytest.approx([0.6, 0.2, 0.2], abs=0.04)
    tested = np.concatenate([fold.test for fold in make_splits(farms, "kfold", 0, 5).folds])
    assert sorted(tested) == list(range(178))
    [fold] = make_splits(farms, "assignment", 5, 5).folds
    [(train, test)] = GroupShuffleSplit(1, test_size=0.3, random_state=5).split(
        FARMS, groups=groups_of(farms)
    )
    np.testing.assert_array_equal(fold.train, train)
    np.testing.assert_array_equal(fold.test, test)


@pytest.mark.parametrize("is_of_songs", [False, True])
def test_equal_rows_join_groups_of_songs_alone(is_of_songs):
    x = np.array(FRAME.iloc[:, :13], np.float32)
    x[5] = x[100]
    table = load_table(FRAME.assign(farm=np.arange(178) // 2), GROUPED)
    table = replace(table, x=x, repeats=((5, 100),), is_of_songs=is_of_songs)
    groups = groups_of(table)
    np.testing.assert_array_equal(groups, repeats_of(table))
    expected = {4, 5, 100, 101} if is_of_songs else {4, 5}
    assert {*np.flatnonzero(groups == groups[5])} == expected
    assert len({*groups}) == (88 if is_of_songs else 89)


def test_folds_that_groups_do_not_allow_are_refused():
    three = load_table(FRAME.assign(farm=np.arange(178) % 3), GROUPED)
    message = r"5 folds need as many groups \(farm\) of each class, but the smallest, '0', has 3;"
    with pytest.raises(InputError, match=message):
        make_splits(three, "kfold", 0, 5)
    for name, count in (("kfold", 3), ("holdout", 5), ("assignment", 5)):
        assert make_splits(three, name, 0, count).folds
    two = load_table(FRAME.assign(farm=np.arange(178) % 2), GROUPED)
    message = "would be empty: 178 rows, in groups by farm, are too few"
    for name in ("kfold", "holdout"):
        with pytest.raises(InputError, match=message):
            make_splits(two, name, 0, 2)


def test_the_largest_group_is_trained_on():
    farm = np.where(np.arange(178) % 10 < 7, 0, np.arange(178))
    table = load_table(FRAME.assign(farm=farm), GROUPED)
    for seed in range(5):
        [holdout] = make_splits(table, "holdout", seed, 5).folds
        assert [len(rows) for rows in holdout] == pytest.approx([150, 14, 14], abs=6)
        tests = [len(fold.test) for fold in make_splits(table, "kfold", seed, 3).folds]
        assert max(tests) > 125  # where it is not tested itself


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_groups_leave_no_part_empty(count):
    table = load_table(FRAME.assign(farm=np.arange(178) % count), GROUPED)
    for seed in range(10):
        [fold] = make_splits(table, "assignment", seed, 5).folds
        assert len(fold.train)
        assert len(fold.test)
        if count > 2:
            divided = with_validation(table, fold, seed, repeats_of(table))
            sides = [{*table.group[rows]} for rows in divided]
            assert all(sides)
            assert sum(map(len, sides)) == count


def test_one_group_cannot_be_divided():
    table = load_table(FRAME.assign(farm="here"), GROUPED)
    with pytest.raises(InputError, match="train part of a fold would be empty: 178 rows, in gr"):
        make_splits(table, "assignment", 0, 5)
    table = load_table(FRAME.assign(farm=WINE.target), GROUPED)
    message = "all rows of the class '0' are of one farm: the class cannot be both trained and"
    with pytest.raises(InputError, match=message):
        make_splits(table, "kfold", 0, 2)


@pytest.mark.parametrize("protocol", ["fault_filtered", "leaky_segments"])
def test_published_parts_that_cut_a_group_are_refused(protocol):
    table = load_table("sample3" if protocol == "leaky_segments" else "sample")
    grouped = replace(
        table, group=np.arange(len(table.y), dtype=np.int32) % 40, columns=Columns(group="day")
    )
    message = rf"{protocol} has rows of one day in two parts; take another protocol, such as kfold"
    with pytest.raises(InputError, match=message):
        make_splits(grouped, protocol, 0, 5)


def test_lists_of_gtzans_tracks_are_for_them_alone(farms):
    for name, protocol in PROTOCOLS.items():
        if protocol.goes_by:
            with pytest.raises(InputError, match=f"{name} uses a list of GTZAN's tracks"):
                make_splits(farms, name, 0, 5)


def test_without_groups_the_splits_of_songs_are_as_before():
    songs = make_table()
    rows = replace(songs, is_of_songs=False)
    for name in ("assignment", "holdout", "kfold"):
        for a, b in zip(*(make_splits(t, name, 7, 5).folds for t in (songs, rows)), strict=True):
            assert all(map(np.array_equal, a, b))


@pytest.mark.slow
def test_a_million_rows_are_read(read):
    count = 1_000_000
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(count, 10)).round(3)).add_prefix("c")
    frame = frame.assign(label=random.integers(0, 5, count))
    table = read(frame, Columns())
    np.testing.assert_array_equal(table.x, frame.iloc[:, :10].to_numpy().astype(np.float32))
    [fold] = make_splits(table, "holdout", 0, 5).folds
    assert len(fold.train) == pytest.approx(600_000, rel=1e-3)


def test_digits_with_many_equal_columns(read):
    table = read(load_digits(as_frame=True).frame)
    assert table.genres == tuple("0123456789")
    assert len(table.repeats) == 0
