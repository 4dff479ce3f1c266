from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import REAL_TABLES, make_table, without

from gtzan_jax.errors import InputError
from gtzan_jax.resources import resource
from gtzan_jax.tables.lists import check_known, left_out, look_up, read_list, track_of
from gtzan_jax.tables.sources import load_table

SIZES = {
    "fault_filtered": {"train": 443, "validation": 197, "test": 290},
    "artist_folds": {"1": 315, "2": 316, "3": 317},
}


@pytest.fixture(scope="module")
def published():
    """The lists as they were published, one row a track."""
    folder = REAL_TABLES[-1].parent
    if not (folder / "artist_folds.csv").is_file():
        without("table", "needs the lists as published, a row a track, beside the real table")
    return {name: pd.read_csv(folder / f"{name}.csv") for name in SIZES}


@pytest.mark.parametrize("name", SIZES)
def test_the_shipped_lists_are_the_published_ones(name, published):
    frame, listed = published[name], read_list(name)
    column = "part" if name == "fault_filtered" else "fold"
    expected = dict(zip(frame["track"], frame[column].astype(str), strict=True))
    assert {track: entry.part for track, entry in listed.items()} == expected
    if name == "artist_folds":  # the same songs are one artist's; their numbers mean nothing
        pairs = Counter((listed[t].artist, a) for t, a in frame[["track", "artist"]].to_numpy())
        assert len(pairs) == frame["artist"].nunique() == 412
        assert len({artist for artist, _ in pairs}) == 412


@pytest.mark.parametrize("name", SIZES)
def test_a_list_has_every_track_once_and_every_artist_in_one_part(name):
    listed = read_list(name)
    assert Counter(entry.part for entry in listed.values()) == SIZES[name]
    assert len(listed) == sum(SIZES[name].values())  # a track in two lines would count once
    assert all(track_of(f"{track}.wav") == track for track in listed)
    lines = resource("data", f"{name}.csv").read_bytes().decode().splitlines()
    assert lines[0].startswith("# ")  # the source
    rows = [line for line in lines if not line.startswith("#")]
    assert len({tuple(row.split(",")[:2]) for row in rows}) == len(rows) == 31
    if name == "artist_folds":
        assert len({(entry.part, entry.artist) for entry in listed.values()}) == 412


@pytest.mark.parametrize(
    ("file_name", "track"),
    [
        ("blues.00012.wav", "blues.00012"),
        ("blues.00012.au", "blues.00012"),
        ("blues.00012", "blues.00012"),
        ("Blues.00012.WAV", "blues.00012"),
        ("genres/blues/blues.00012.mp3", "blues.00012"),
        (r"genres\blues.00012.wav", "blues.00012"),
        ("blues.00012.3.wav", "blues.00012"),
        ("blues.sample12.wav", "blues.00012"),
        ("blues.12.wav", None),
        ("blues.00112.wav", None),
        ("blues.000123.wav", None),
        ("blues.00012 (live).wav", None),
        ("blues.00012.2020.wav", None),
        ("my blues.00012.wav", None),
        ("12.wav", None),
    ],
)
def test_a_track_is_known_by_its_files_name(file_name, track):
    assert track_of(file_name) == track


def renamed(table, names):
    return replace(table, tracks=tuple(names))


def test_a_list_is_looked_up_row_by_row():
    table = renamed(make_table(4, 2), ["blues.00011.wav", "x.wav", "blues.00012.wav", "blues.1"])
    found = look_up(table, "fault_filtered")
    assert [entry and entry.part for entry in found] == ["validation", None, "test", None]


def test_what_table_and_list_do_not_share_is_counted():
    sample = load_table("sample")
    [unlisted] = left_out(sample, "fault_filtered")
    assert unlisted.startswith(
        "70 of the table's 1,000 tracks are not in the list of fault_filtered"
    )
    rows = np.arange(1000) >= 200  # without blues and classical
    y, names = sample.y[rows], [sample.tracks[row] for row in np.flatnonzero(rows)]
    names[-1] = "another.wav"
    y[:2] = 9  # country.sample00.wav and country.sample01.wav are rock
    part = replace(sample, x=sample.x[rows], y=y, tracks=tuple(names))
    unlisted, lacking, other = left_out(part, "artist_folds")
    assert unlisted.startswith("53 of the table's 800 tracks are not in the list of artist_folds: ")
    assert lacking.startswith("201 of 948 tracks in the list of artist_folds are not in")
    assert other.startswith(
        "2 of the table's 800 tracks have another genre than in their file names"
    )
    assert other.endswith("such as 'country.sample00.wav', 'rock'; the table's genre is used")


def test_a_genre_may_be_spelt_in_another_way():
    sample = load_table("sample")
    genres = tuple("Hip-Hop" if genre == "hiphop" else genre.title() for genre in sample.genres)
    assert len(left_out(replace(sample, genres=genres), "artist_folds")) == 1


@pytest.mark.parametrize("known", [0, 3, 10])
def test_a_table_of_other_tracks_is_refused(known):
    names = [f"blues.000{i:02d}.wav" for i in range(known)]
    table = renamed(make_table(100, 4), [*names, *(f"song {i}.mp3" for i in range(100 - known))])
    if known == 10:
        check_known(table, "artist_folds")
        return
    with pytest.raises(InputError) as caught:
        check_known(table, "artist_folds")
    message = str(caught.value)
    assert "\n" not in message
    for fragment in (
        f"made.csv: artist_folds lists {known} of its 100 tracks",
        "such as 'blues.00000.wav'",
        "'song 0.mp3'",
        "such as kfold",
    ):
        assert fragment in message
