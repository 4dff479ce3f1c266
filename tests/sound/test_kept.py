"""Songs that are done: kept whole, or as if they were not there."""

import json
import os

import pytest

from gtzan_jax.errors import InputError
from gtzan_jax.sound.kept import Kept

ROWS = [[661_794.0, *(0.1 + number / 3 for number in range(57))]]
OTHER = [[5.0] * 58, [6.0] * 58]


@pytest.fixture
def output(tmp_path):
    kept = Kept(tmp_path / "features.csv", "this version")
    kept.add("first", ROWS)
    kept.add("second", OTHER)
    return tmp_path / "features.csv"


def there(output, made_by="this version"):
    kept = Kept(output, made_by)
    return kept.find("first"), kept.find("second")


def test_rows_come_back_to_the_bit(output):
    assert there(output) == (ROWS, OTHER)
    assert Kept(output, "this version").find("third") is None


def test_another_version_or_segmenting_finds_nothing(output):
    assert there(output, "another version") == (None, None)
    kept = Kept(output, "another version")
    kept.add("first", OTHER)
    assert there(output, "another version") == (OTHER, None)
    assert there(output) == (ROWS, OTHER)


def test_a_line_is_whole_wherever_a_process_was_killed(output):
    part = output.with_name("features.csv.part")
    content = part.read_bytes()
    first = content.index(b"\n") + 1
    for length in (0, 1, first - 1, first, first + 1, len(content) - 2, len(content) - 1):
        part.write_bytes(content[:length])
        # A line that lacks only its end is whole.
        expected = (
            ROWS if length >= first - 1 else None,
            OTHER if length >= len(content) - 1 else None,
        )
        assert there(output) == expected
        Kept(output, "this version").add("second", OTHER)
        assert there(output) == (expected[0], OTHER)


def test_a_changed_byte_is_noticed(output):
    part = output.with_name("features.csv.part")
    content = part.read_bytes()
    first = content.index(b"\n")
    for place in range(0, first, 97):
        part.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        found = there(output)
        assert found[0] is None
        assert found[1] in (OTHER, None)  # None where the line's end is what changed


@pytest.mark.parametrize(
    "line", [b"[" * 10_000, b"null", b"1", b"{}", b"\xff\xfe", b'"text"', b"[]"]
)
def test_other_lines_are_as_if_they_were_not_there(output, line):
    with output.with_name("features.csv.part").open("ab") as file:
        file.write(line + b"\n")
    assert there(output) == (ROWS, OTHER)


@pytest.mark.parametrize("rows", [None, 5, [5], [[5.0]], [[5] * 58], [["5"] * 58], {"a": 1}])
def test_rows_of_another_shape_are_not_there(output, rows):
    kept = Kept(output, "this version")
    kept.add("third", rows)
    assert Kept(output, "this version").find("third") is None


def test_the_file_goes_and_may_be_gone(output):
    kept = Kept(output, "this version")
    kept.remove()
    kept.remove()
    assert os.listdir(output.parent) == []
    assert there(output) == (None, None)


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_a_place_that_is_taken_is_refused(tmp_path, kind):
    part = tmp_path / "features.csv.part"
    if kind == "folder":
        part.mkdir()
    elif kind == "pipe":
        os.mkfifo(part)
    else:
        (tmp_path / "of the user's").write_text(json.dumps({}))
        part.symlink_to(tmp_path / "of the user's")
    with pytest.raises(InputError, match="is a link or no plain file"):
        Kept(tmp_path / "features.csv", "this version")
