import numpy as np
import pandas as pd
import pytest
from csv_edits import sample_frame, set_cell, sha256, small_text

from gtzan_jax.errors import InputError
from gtzan_jax.tables.schema import COLUMNS, FEATURES
from gtzan_jax.tables.sources import KAGGLE_SHA256, read_table
from gtzan_jax.tables.validation import parse_table


@pytest.fixture(scope="module")
def text():
    """A small valid CSV: 12 tracks each of blues and jazz, on lines 2 to 25."""
    return small_text(12)


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
    assert table.sha256 == KAGGLE_SHA256
    duplicated = frame.duplicated(list(FEATURES), keep=False)
    assert sorted(sum(table.repeats, ())) == list(np.flatnonzero(duplicated))
    assert [len(rows) for rows in table.repeats] == [2] * 14
    assert not table.is_sample


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte-order mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_line_ends_and_byte_order_mark_change_nothing(text, tmp_path, end, mark):
    path = tmp_path / "t.csv"
    path.write_bytes((mark + text.replace("\n", end)).encode())
    table = read_table(path)
    assert table.sha256 == sha256(text)
    np.testing.assert_array_equal(table.x, parse_table(text, "t").x)


def test_repeats_are_groups_of_rows(text):
    lines = text.splitlines()
    for copy, original in ((5, 2), (20, 2), (9, 8)):
        name, _, _ = lines[copy].partition(",")
        lines[copy] = f"{name},{lines[original].partition(',')[2]}"
    assert parse_table("\n".join(lines), "t").repeats == ((1, 4, 19), (7, 8))


# ----------------------------------------------- segments; invalid tables are in test_bad_input.py


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


SEGMENTED = {
    "as published": lambda genre, song, k: f"{genre}.{song:05d}.{k}.wav",
    "segments from ten on": lambda genre, song, k: f"{genre}.{song:05d}.{10 + k}.wav",
    "within a folder": lambda genre, song, k: f"genres/{genre}/{genre}.{song:05d}.{k}.WAV",
    "without an ending": lambda genre, song, k: f"{genre}.{song:05d}.{k}",
    "of another ending": lambda genre, song, k: f"{genre}.{song:05d}.{k}.mp3",
    "the sample's": lambda genre, song, k: f"{genre}.sample{song:02d}.{k}.wav",
}


@pytest.fixture(scope="module")
def segments():
    """A valid CSV of 20 songs, ten each of blues and jazz, in two or three segments."""
    return rename(small_text(25), lambda genre, i: f"{genre}.{i % 10:05d}.{i // 10}.wav")


@pytest.mark.parametrize("name_of", SEGMENTED.values(), ids=SEGMENTED)
def test_a_table_of_segments_knows_their_songs(name_of):
    text = rename(small_text(25), lambda genre, i: name_of(genre, i % 10, i // 10))
    table = parse_table(text, "features_3_sec.csv")
    assert table.is_segmented
    assert table.songs.tolist() == [*range(10)] * 2 + [*range(5)] + [*range(10, 20)] * 2 + [
        *range(10, 15)
    ]
    assert table.note() == "Data: features_3_sec.csv; 50 segments of 20 songs"
    assert "50 segments of 20 songs × 57 features" in repr(table)
    songs = table.by_song
    assert not songs.is_segmented
    assert songs.by_song is songs
    assert songs.tracks == table.tracks[:10] + table.tracks[25:35]
    np.testing.assert_array_equal(songs.x, table.x[[*range(10), *range(25, 35)]])


def test_a_table_of_songs_has_a_row_a_song(text):
    table = parse_table(text, "songs.csv")
    assert not table.is_segmented
    assert table.by_song is table
    assert table.songs.tolist() == list(range(24))


BAD_SEGMENTS = {
    "a whole song among segments": (
        set_cell(9, "filename", "blues.00007.wav"),
        "line 9, column 'filename': 'blues.00007.wav' is a song, but 'blues.00000.0.wav' of",
    ),
    "a segment twice": (
        set_cell(12, "filename", "blues.00000.00.wav"),
        "line 12, column 'filename': 'blues.00000.00.wav' is the same segment as 'blues.00000.0.",
    ),
    "a song of two genres": (
        set_cell(12, "label", "jazz"),
        "line 12, column 'label': 'jazz', but line 2 has 'blues' for a segment of the same song",
    ),
    "a length of thirty seconds": (
        set_cell(12, "length", "6617940"),
        r"line 12, column 'length': 6.61794e\+06 audio samples, but 661794 in line 2; segments",
    ),
    "a length of nothing": (
        set_cell(12, "length", "0"),
        "column 'length': 661794 audio samples, but 0 in line 12",
    ),
    "too few songs": (
        lambda text: text.replace(".00009.", ".00008.1"),
        "18 songs, but at least 20 are needed",
    ),
}


@pytest.mark.parametrize(("edit", "message"), BAD_SEGMENTS.values(), ids=BAD_SEGMENTS)
def test_a_bad_table_of_segments_is_refused(segments, edit, message):
    with pytest.raises(InputError, match=message):
        parse_table(edit(segments), "t.csv")


SONGS = {
    "as published": lambda genre, i: f"{genre}.{i:05d}.wav",
    "without an ending": lambda genre, i: f"{genre}.{i:05d}",
    "one segment a song": lambda genre, i: f"{genre}.{i:05d}.0.wav",
    "other segments": lambda genre, i: f"{genre}.{i:05d}.{i}.wav",
    "dots": lambda genre, i: f"{genre}.live.{i}.wav",
    "years": lambda genre, i: f"{genre}.2020.{i}.wav",
    "versions": lambda genre, i: f"{genre} v1.0.{i}.wav",
    "numbers": lambda genre, i: f"{genre}_00000_{i}.wav",
    "a mere number": lambda genre, i: f"{len(genre)}{i}",
}


@pytest.mark.parametrize("name_of", SONGS.values(), ids=SONGS)
def test_names_that_tell_of_no_segments_are_not_guessed_at(text, name_of):
    assert len(parse_table(rename(text, name_of), "songs.csv").y) == 24


def test_names_of_tracks_are_not_taken_for_genres():
    frame = sample_frame()
    frame["label"] = frame["filename"]
    with pytest.raises(InputError, match=r"1,000 genres.*at most 256.*names of tracks\?"):
        parse_table(frame.to_csv(index=False), "table.csv")
    frame["label"] = [f"g{row % 256}" for row in range(1000)]
    assert len(parse_table(frame.to_csv(index=False), "table.csv").genres) == 256
