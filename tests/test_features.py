import hashlib
import io
import reprlib
import sys
import time

import numpy as np
import pandas as pd
import pytest
import requests

from gtzan_jax import features
from gtzan_jax import kaggle as kaggle_module
from gtzan_jax.errors import InputError
from gtzan_jax.features import (
    COLUMNS,
    FEATURES,
    load_table,
    parse_table,
    read_table,
    table_from_frame,
)
from gtzan_jax.sample import sample_text


@pytest.fixture(scope="module")
def text():
    """A small valid CSV: 12 tracks each of blues and jazz, on lines 2 to 25."""
    lines = sample_text().splitlines()
    return "\n".join([lines[0], *lines[1:13], *lines[501:513]]) + "\n"


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """An empty current folder, checkout and cache, and no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(features, "PACKAGE", tmp_path / "checkout" / "gtzan_jax")
    monkeypatch.setattr(features, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(requests, "head", refuse)
    return tmp_path


def refuse(*_args, **_options):
    raise requests.ConnectionError("no network")


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


# ---------------------------------------------------------------------------------- valid tables


def test_the_columns_are_the_real_tables(real_table_path):
    header = real_table_path.read_text().splitlines()[0].split(",")
    assert header == list(COLUMNS)
    assert header[2:-1] == list(FEATURES)


def test_the_real_table(real_table_path):
    table = read_table(real_table_path)
    frame = pd.read_csv(real_table_path)  # independent of our own reader
    np.testing.assert_array_equal(table.x, frame.iloc[:, 2:-1].to_numpy().astype(np.float32))
    assert table.x.shape == (1000, 57)
    assert table.x.dtype == np.float32
    assert table.y.dtype == np.int32
    assert table.tracks == tuple(frame["filename"])
    assert [table.genres[i] for i in table.y] == list(frame["label"])
    assert list(table.genres) == sorted(set(frame["label"]))
    assert table.sha256 == features.KAGGLE_SHA256
    duplicated = frame.duplicated(list(FEATURES), keep=False)
    assert sorted(sum(table.repeats, ())) == list(np.flatnonzero(duplicated))
    assert [len(rows) for rows in table.repeats] == [2] * 14
    assert not table.is_sample


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte-order mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_line_ends_and_byte_order_mark_change_nothing(text, tmp_path, end, mark):
    path = put(tmp_path / "t.csv", mark + text.replace("\n", end))
    table = read_table(path)
    assert table.sha256 == sha256(text)
    np.testing.assert_array_equal(table.x, parse_table(text, "t").x)


def test_the_order_of_columns_does_not_matter(text):
    frame = pd.read_csv(io.StringIO(text))
    reversed_text = frame[list(reversed(COLUMNS))].to_csv(index=False)
    table = parse_table(reversed_text, "t")
    assert table.features == FEATURES
    np.testing.assert_array_equal(table.x, parse_table(text, "t").x)


def test_a_frame_and_its_csv_are_the_same_table(text):
    frame = pd.read_csv(io.StringIO(text))
    table = table_from_frame(frame.astype({"label": "category"}), "notebook")
    read = parse_table(frame.to_csv(index=False, lineterminator="\n"), "t")
    np.testing.assert_array_equal(table.x, read.x)
    np.testing.assert_array_equal(table.y, read.y)
    assert (table.tracks, table.genres, table.sha256) == (read.tracks, read.genres, read.sha256)
    assert table.source == "notebook"


def test_blank_lines_are_no_rows(text):
    assert len(parse_table(text + "\n\n", "t").y) == 24


def test_repeats_are_groups_of_rows(text):
    lines = text.splitlines()
    for copy, original in ((5, 2), (20, 2), (9, 8)):
        name, _, _ = lines[copy].partition(",")
        lines[copy] = f"{name},{lines[original].partition(',')[2]}"
    assert parse_table("\n".join(lines), "t").repeats == ((1, 4, 19), (7, 8))


# -------------------------------------------------------------------------------- invalid tables


def set_cell(line, column, value):
    """An edit of a CSV: give one cell another text."""

    def edit(text):
        lines = text.splitlines()
        cells = lines[line - 1].split(",")
        cells[COLUMNS.index(column)] = value
        lines[line - 1] = ",".join(cells)
        return "\n".join(lines)

    return edit


def set_header(old, new):
    return set_cell(1, old, new)


def relabel(**genres):
    def edit(text):
        for old, new in genres.items():
            text = text.replace(f",{old}\n", f",{new}\n")
        return text

    return edit


def drop(column):
    return lambda text: pd.read_csv(io.StringIO(text)).drop(columns=column).to_csv(index=False)


NUMBER = "is not a finite number"
BAD_TABLES = {
    "empty": (lambda _: "", ["is empty"]),
    "only a header": (lambda text: text.splitlines()[0], ["0 tracks", "at least 20"]),
    "19 rows": (lambda text: "\n".join(text.splitlines()[:20]), ["19 tracks", "at least 20"]),
    "semicolons": (lambda text: text.replace(",", ";"), ["separated by semicolons"]),
    "tabs": (lambda text: text.replace(",", "\t"), ["separated by tabs"]),
    "not a table": (lambda _: "hello\n", ["missing columns 'filename'", "57 more", "'hello'"]),
    "missing": (drop("tempo"), ["missing column 'tempo'"]),
    "no length": (drop("length"), ["missing column 'length'"]),
    "renamed": (
        set_header("tempo", "Tempo"),
        ["missing column 'tempo'", "unknown column 'Tempo' (did you mean 'tempo'?)"],
    ),
    "extra": (
        lambda text: pd.read_csv(io.StringIO(text)).assign(mood=1).to_csv(index=False),
        ["unknown column 'mood'"],
    ),
    "duplicated": (
        set_header("rms_mean", "rms_var"),
        ["missing column 'rms_mean'", "repeated column 'rms_var'"],
    ),
    "short row": (set_cell(7, "label", "blues\n1,2"), ["line 8: 2 values for 60 columns"]),
    "long row": (set_cell(7, "label", "blues,x"), ["line 7: 61 values for 60 columns"]),
    "open quote": (set_cell(7, "label", '"blues'), ["not a CSV"]),
    "text": (set_cell(9, "tempo", "fast"), ["line 9", "'tempo'", f"'fast' {NUMBER}"]),
    "NaN": (set_cell(9, "tempo", "NaN"), ["line 9", "'tempo'", f"'NaN' {NUMBER}"]),
    "infinite": (set_cell(9, "mfcc3_var", "-inf"), ["line 9", "'mfcc3_var'", f"'-inf' {NUMBER}"]),
    "no value": (set_cell(9, "tempo", ""), ["line 9", "'tempo'", "missing"]),
    "no length value": (set_cell(9, "length", ""), ["line 9", "'length'", "missing"]),
    "too large": (set_cell(9, "tempo", "1e300"), ["line 9", "'tempo'", "'1e300' is too large"]),
    "no label": (set_cell(25, "label", ""), ["line 25", "'label'", "empty"]),
    "label with space": (set_cell(3, "label", "blues "), ["line 3", "'label'", "'blues '"]),
    "no name": (set_cell(3, "filename", ""), ["line 3", "'filename'", "empty"]),
    "repeated name": (
        set_cell(4, "filename", "blues.sample00.wav"),
        ["line 4", "'filename'", "repeats line 2"],
    ),
    "one genre": (relabel(jazz="blues"), ["only one genre, 'blues'"]),
    "genre of one": (
        set_cell(3, "label", "Blues"),
        ["genre 'Blues' has 1 track", "(did you mean 'blues'?)"],
    ),
}


@pytest.mark.parametrize(("edit", "fragments"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_bad_table_is_refused_on_one_line(text, tmp_path, edit, fragments):
    path = put(tmp_path / "bad.csv", edit(text))
    with pytest.raises(InputError) as caught:
        load_table(path)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in ["bad.csv", *fragments]:
        assert fragment in message


def rename(text, name_of):
    """Returns the table with new file names: ``name_of(genre, i)``, i counts each genre's rows."""
    header, *rows = text.splitlines()
    counts = {}
    lines = [header]
    for row in rows:
        _, values = row.split(",", 1)
        genre = values.rpartition(",")[2]
        number = counts[genre] = counts.get(genre, -1) + 1
        lines.append(f"{name_of(genre, number)},{values}")
    return "\n".join(lines) + "\n"


CHUNKED = {
    "as published": lambda genre, i: f"{genre}.{i // 10:05d}.{i % 10}.wav",
    "a song in two chunks": lambda genre, i: f"{genre}.{max(i, 1):05d}.{i}.wav",
    "chunks from ten on": lambda genre, i: f"{genre}.00000.{10 + i}.wav",
    "within a folder": lambda genre, i: f"genres/{genre}/{genre}.{i // 2:05d}.{i % 2}.WAV",
    "without an ending": lambda genre, i: f"{genre}.{i // 3:05d}.{i % 3}",
    "of another ending": lambda genre, i: f"{genre}.{i // 3:05d}.{i % 3}.mp3",
}


@pytest.mark.parametrize("name_of", CHUNKED.values(), ids=CHUNKED)
def test_a_table_of_chunks_is_refused_with_the_reason(text, tmp_path, name_of):
    path = put(tmp_path / "features_3_sec.csv", rename(text, name_of))
    with pytest.raises(InputError) as caught:
        load_table(path)
    message = str(caught.value)
    assert "\n" not in message
    chunk = reprlib.repr(name_of("blues", 1))
    for fragment in (
        f"features_3_sec.csv, line 3, column 'filename': {chunk} is a chunk of the same song",
        "line 2",
        "train and the test part",
        "5 to 20 points",
        "give features_30_sec.csv",
    ):
        assert fragment in message


@pytest.mark.parametrize("index", [range(24), [1] * 24])
def test_a_frame_of_chunks_is_refused(text, index):
    frame = pd.read_csv(io.StringIO(rename(text, CHUNKED["as published"])))
    frame.index = pd.Index(index)
    with pytest.raises(InputError, match=r"^frame, row 1, column 'filename': .* chunk"):
        table_from_frame(frame)


SONGS = {
    "as published": lambda genre, i: f"{genre}.{i:05d}.wav",
    "without an ending": lambda genre, i: f"{genre}.{i:05d}",
    "one chunk a song": lambda genre, i: f"{genre}.{i:05d}.0.wav",
    "other chunks": lambda genre, i: f"{genre}.{i:05d}.{i}.wav",
    "dots": lambda genre, i: f"{genre}.live.{i}.wav",
    "years": lambda genre, i: f"{genre}.2020.{i}.wav",
    "versions": lambda genre, i: f"{genre} v1.0.{i}.wav",
    "numbers": lambda genre, i: f"{genre}_00000_{i}.wav",
    "a mere number": lambda genre, i: f"{len(genre)}{i}",
}


@pytest.mark.parametrize("name_of", SONGS.values(), ids=SONGS)
def test_names_that_tell_of_no_chunks_are_not_guessed_at(text, name_of):
    assert len(parse_table(rename(text, name_of), "songs.csv").y) == 24


@pytest.mark.parametrize(
    ("column", "value", "fragments"),
    [
        ("tempo", None, ["row 7", "'tempo'", NUMBER]),
        ("tempo", 1e300, ["row 7", "too large"]),
        ("label", None, ["row 7", "'label'"]),
        ("label", 3, ["row 7", "'label'"]),
    ],
)
def test_a_bad_frame_is_refused(text, column, value, fragments):
    frame = pd.read_csv(io.StringIO(text)).astype({"label": object})
    frame.loc[7, column] = value
    with pytest.raises(InputError) as caught:
        table_from_frame(frame)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_file_that_is_not_utf8(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes("é".encode("latin-1"))
    with pytest.raises(InputError, match=r"bad\.csv is not a CSV in UTF-8"):
        load_table(path)


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("kagle", "(did you mean 'kaggle'?)"),
        ("Sample", "(did you mean 'sample'?)"),
        ("no/such.csv", "no feature table 'no/such.csv'"),
        (".", "cannot read ."),
    ],
)
def test_a_name_that_is_no_table(name, fragment):
    with pytest.raises(InputError) as caught:
        load_table(name)
    assert fragment in str(caught.value)


# ----------------------------------------------------------------------------------- downloading


class FakeKaggle:
    """Stands in for kagglehub.dataset_download; serves ``text`` with CRLF, as Kaggle does."""

    def __init__(self, folder, text):
        self.folder, self.text, self.calls = folder, text, 0

    def __call__(self, handle, path=None, **_options):
        assert (handle, path) == (kaggle_module.HANDLE, kaggle_module.PATH)
        self.calls += 1
        return str(put(self.folder / "download.csv", self.text.replace("\n", "\r\n")))


@pytest.fixture
def kaggle(text, tmp_path, monkeypatch):
    """Kaggle within reach, serving a table with the expected checksum."""
    monkeypatch.setattr(features, "KAGGLE_SHA256", sha256(text))
    monkeypatch.setattr(requests, "head", lambda *_args, **_options: None)
    fake = FakeKaggle(tmp_path / "kagglehub", text)
    monkeypatch.setattr("kagglehub.dataset_download", fake)
    return fake


@pytest.mark.parametrize("data", ["kaggle", "auto"])
def test_the_download_is_verified_and_kept(kaggle, places, text, data):
    for _ in range(2):
        table = load_table(data)
        assert (table.source, table.sha256, table.notice) == ("kaggle", sha256(text), "")
    assert kaggle.calls == 1
    assert [path.name for path in (places / "cache").iterdir()] == [features.FILE_NAME]


def test_a_download_with_another_checksum_is_refused(kaggle, places):
    kaggle.text += "\n"
    with pytest.raises(InputError, match="not the expected"):
        load_table("kaggle")
    assert not list(places.glob("cache/*"))
    table = load_table("auto")
    assert table.is_sample
    assert "not the expected" in table.notice


def test_a_damaged_cached_copy_is_replaced(kaggle, places, text):
    cached = put(places / "cache" / features.FILE_NAME, text[:1000])
    assert load_table("kaggle").sha256 == sha256(text)
    assert kaggle.calls == 1
    assert sha256(cached.read_bytes().decode().replace("\r\n", "\n")) == sha256(text)


def test_a_crash_while_caching_leaves_nothing(kaggle, places, monkeypatch):
    def fail(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        load_table("kaggle")
    assert kaggle.calls == 1
    assert not list((places / "cache").iterdir())


def test_a_cache_that_cannot_be_written_costs_nothing(kaggle, places):
    put(places / "cache", "a file where the folder should be")
    assert load_table("kaggle").source == "kaggle"
    assert kaggle.calls == 1


def test_without_a_network_auto_takes_the_sample_and_says_so():
    table = load_table("auto")
    assert table.is_sample
    assert "out of reach" in table.notice
    assert "\n" not in table.notice
    assert load_table("sample").notice == ""


def test_without_a_network_kaggle_is_an_error():
    with pytest.raises(InputError, match="out of reach"):
        load_table("kaggle")


def test_a_hanging_network_is_given_up_in_time(monkeypatch):
    assert kaggle_module.PROBE_SECONDS < 5
    monkeypatch.setattr(kaggle_module, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(requests, "head", lambda *_args, **_options: time.sleep(3))
    start = time.perf_counter()
    with pytest.raises(InputError, match="out of reach"):
        load_table("kaggle")
    assert time.perf_counter() - start < 2


def test_a_failing_download_is_one_line(kaggle, monkeypatch):
    def fail(*_args, **_options):
        raise RuntimeError("403\nForbidden")

    monkeypatch.setattr("kagglehub.dataset_download", fail)
    with pytest.raises(InputError, match=r"RuntimeError: 403 Forbidden"):
        load_table("kaggle")
    assert kaggle.calls == 0


def test_auto_prefers_the_current_folder_then_the_checkout_then_the_cache(kaggle, places, text):
    other = text.replace("blues.sample00", "blues.other00")
    local = put(places / "data" / features.FILE_NAME, text + "\n")
    checkout = put(places / "checkout" / "data" / features.FILE_NAME, other)
    put(places / "cache" / features.FILE_NAME, text)

    assert load_table().sha256 == sha256(text + "\n")
    local.unlink()
    table = load_table()
    assert (table.sha256, table.source) == (sha256(other), str(local.relative_to(places)))
    checkout.unlink()
    assert load_table().source == "kaggle"
    assert kaggle.calls == 0


def test_auto_reports_a_bad_local_table_instead_of_passing_over_it(kaggle, places):
    put(places / "data" / features.FILE_NAME, "a,b\n1,2\n")
    with pytest.raises(InputError, match="missing columns"):
        load_table()
    assert kaggle.calls == 0


def test_reading_a_table_imports_no_pandas(text, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # makes the import fail
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert len(parse_table(text, "t").y) == 24
    assert load_table("sample").is_sample
