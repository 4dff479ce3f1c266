"""Songs that are done: kept whole, or as if they were not there."""

import os

import pytest

from gtzan_jax.errors import InputError
from gtzan_jax.sound.rows import Kept

ROWS = [[661_794.0, *(0.1 + number / 3 for number in range(57))]]
OTHER = [[5.0] * 58, [6.0] * 58]


@pytest.fixture
def output(tmp_path):
    kept = Kept(tmp_path / "features.csv.part", "this version", 57)
    kept.add("first", ROWS)
    kept.add("second", OTHER)
    return tmp_path / "features.csv.part"


def there(output, made_by="this version"):
    kept = Kept(output, made_by, 57)
    return kept.find("first"), kept.find("second")


def test_rows_come_back_to_the_bit(output):
    assert there(output) == (ROWS, OTHER)
    assert Kept(output, "this version", 57).find("third") is None


def test_another_version_or_segmenting_finds_nothing(output):
    assert there(output, "another version") == (None, None)
    kept = Kept(output, "another version", 57)
    kept.add("first", OTHER)
    assert there(output, "another version") == (OTHER, None)
    assert there(output) == (ROWS, OTHER)


def files_of(output):
    return sorted(output.iterdir())


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda _: b"", lambda _: b"[" * 10_000])
def test_a_damaged_file_costs_its_song(output, change):
    first, _ = files_of(output)
    assert first.name.startswith("first-")
    first.write_bytes(change(first.read_bytes()))
    assert there(output) == (None, OTHER)
    Kept(output, "this version", 57).add("first", ROWS)
    assert there(output) == (ROWS, OTHER)


def test_a_changed_byte_is_noticed(output):
    first, _ = files_of(output)
    content = first.read_bytes()
    for place in range(0, len(content), 97):
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        first.write_bytes(changed)
        assert there(output) == (None, OTHER)


def test_the_folder_goes_and_may_be_gone(output):
    kept = Kept(output, "this version", 57)
    kept.remove()
    kept.remove()
    assert os.listdir(output.parent) == []
    assert there(output) == (None, None)


def test_a_file_of_the_users_in_the_folder_stays(output):
    kept = Kept(output, "this version", 57)
    (kept.path / "notes.txt").write_text("mine")
    kept.remove()
    assert os.listdir(kept.path) == ["notes.txt"]


@pytest.mark.parametrize("kind", ["file", "link", "pipe"])
def test_a_place_that_is_taken_is_refused(tmp_path, kind):
    part = tmp_path / "features.csv.part"
    if kind == "file":
        part.write_text("of an older version")
    elif kind == "pipe":
        os.mkfifo(part)
    else:
        (tmp_path / "of the user's").mkdir()
        part.symlink_to(tmp_path / "of the user's")
    with pytest.raises(InputError, match="is a link or not a folder"):
        Kept(tmp_path / "features.csv.part", "this version", 57)
