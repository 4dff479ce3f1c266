import sys
import time

import pytest
import requests
from csv_edits import sha256, small_text

from gtzan_jax.errors import InputError
from gtzan_jax.tables import kaggle as kaggle_module
from gtzan_jax.tables import sources
from gtzan_jax.tables.sample import segments_text
from gtzan_jax.tables.schema import FILE_NAME
from gtzan_jax.tables.sources import find_table, load_table
from gtzan_jax.tables.validation import parse_table


@pytest.fixture(scope="module")
def text():
    """A small valid CSV."""
    return small_text(12)


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """An empty current folder, checkout and cache, and no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "PACKAGE", tmp_path / "checkout" / "gtzan_jax")
    monkeypatch.setattr(sources, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(requests, "head", refuse)
    return tmp_path


def refuse(*_args, **_options):
    raise requests.ConnectionError("no network")


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


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
        ("kagle3", "(did you mean 'kaggle3'?)"),
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
        self.path = kaggle_module.PATH

    def __call__(self, handle, path=None, **_options):
        assert (handle, path) == (kaggle_module.HANDLE, self.path)
        self.calls += 1
        return str(put(self.folder / "download.csv", self.text.replace("\n", "\r\n")))


@pytest.fixture
def kaggle(text, tmp_path, monkeypatch):
    """Kaggle within reach, serving a table with the expected checksum."""
    monkeypatch.setattr(sources, "KAGGLE_SHA256", sha256(text))
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
    assert [path.name for path in (places / "cache").iterdir()] == [FILE_NAME]


def test_a_download_with_another_checksum_is_refused(kaggle, places):
    kaggle.text += "\n"
    with pytest.raises(InputError, match="not the expected"):
        load_table("kaggle")
    assert not list(places.glob("cache/*"))
    table = load_table("auto")
    assert table.is_sample
    assert "not the expected" in table.notice


def test_the_table_of_segments_is_known_by_its_shape(kaggle):
    text = segments_text()
    kaggle.path, kaggle.text = kaggle_module.PATH_3, text
    for _ in range(2):
        table = load_table("kaggle3")
        assert (table.source, table.sha256) == ("kaggle3", sha256(text))
        assert table.notice.startswith("The checksum of Kaggle's features_3_sec.csv is not known")
        assert f"9,990 segments of 1,000 songs; its SHA-256 is {sha256(text)[:12]}" in table.notice
    assert kaggle.calls == 1
    assert find_table(table.sha256).source == "kaggle3"


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda lines: lines[:-1], "9,989 segments of 1,000 songs of 10 genres, expected 9,990"),
        (
            lambda lines: [*lines[:-10], *(f"x{line}" for line in lines[1:10]), lines[-1]],
            "9,990 segments of 1,001 songs of 10 genres",
        ),
    ],
)
def test_a_table_of_segments_of_another_shape_is_refused(kaggle, places, cut, message):
    kaggle.path = kaggle_module.PATH_3
    kaggle.text = "\n".join(cut(segments_text().splitlines())) + "\n"
    with pytest.raises(InputError, match=message):
        load_table("kaggle3")
    assert not list(places.glob("cache/*"))


def test_a_damaged_cached_copy_is_replaced(kaggle, places, text):
    cached = put(places / "cache" / FILE_NAME, text[:1000])
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
    assert "Kaggle is unreachable" in table.notice
    assert "\n" not in table.notice
    assert load_table("sample").notice == ""


def test_without_a_network_kaggle_is_an_error():
    with pytest.raises(InputError, match="Kaggle is unreachable"):
        load_table("kaggle")


def test_a_hanging_network_is_given_up_in_time(monkeypatch):
    assert kaggle_module.PROBE_SECONDS < 5
    monkeypatch.setattr(kaggle_module, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(requests, "head", lambda *_args, **_options: time.sleep(30))
    start = time.perf_counter()
    with pytest.raises(InputError, match="Kaggle is unreachable"):
        load_table("kaggle")
    assert time.perf_counter() - start < 15


def test_a_failing_download_is_one_line(kaggle, monkeypatch):
    def fail(*_args, **_options):
        raise RuntimeError("403\nForbidden")

    monkeypatch.setattr("kagglehub.dataset_download", fail)
    with pytest.raises(InputError, match=r"RuntimeError: 403 Forbidden"):
        load_table("kaggle")
    assert kaggle.calls == 0


def test_auto_prefers_the_current_folder_then_the_checkout_then_the_cache(kaggle, places, text):
    other = text.replace("blues.sample00", "blues.other00")
    local = put(places / "data" / FILE_NAME, text + "\n")
    checkout = put(places / "checkout" / "data" / FILE_NAME, other)
    put(places / "cache" / FILE_NAME, text)

    assert load_table().sha256 == sha256(text + "\n")
    local.unlink()
    table = load_table()
    assert (table.sha256, table.source) == (sha256(other), str(local.relative_to(places)))
    checkout.unlink()
    assert load_table().source == "kaggle"
    assert kaggle.calls == 0


def test_auto_reports_a_bad_local_table_instead_of_passing_over_it(kaggle, places):
    put(places / "data" / FILE_NAME, "a,b\n1,2\n")
    with pytest.raises(InputError, match="no column 'label'"):
        load_table()
    assert kaggle.calls == 0


def test_reading_a_table_imports_no_pandas(text, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # makes the import fail
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert len(parse_table(text, "t").y) == 24
    assert load_table("sample").is_sample
