import hashlib

import numpy as np
import pytest

from gtzan_jax import chunks
from gtzan_jax.batching import Bucket
from gtzan_jax.chunks import ChunkStore
from gtzan_jax.engine import Chunk
from gtzan_jax.errors import RunError

EPOCHS, CONFIGS, SEEDS = 3, 6, [4, 5]
HISTORY = np.random.default_rng(0).random((CONFIGS, 2, EPOCHS, 4), np.float32)
HISTORY[2, 0] = np.nan


def parts(size=2):
    """Returns all members as chunks of one bucket."""
    bucket = Bucket((8, 8, 8), tuple(range(CONFIGS)))
    return [
        Chunk(bucket, seed, ids, HISTORY[list(ids), place])
        for place, seed in enumerate(SEEDS)
        for start in range(0, CONFIGS, size)
        for ids in [tuple(range(start, start + size))]
    ]


def filled(folder, monkeypatch):
    """Returns a store with one file for each of six chunks."""
    monkeypatch.setattr(chunks, "_COLLECT_S", -1.0)
    store = ChunkStore(folder, EPOCHS)
    for chunk in parts():
        assert store.add(chunk) == [chunk]
    return store


def test_what_was_written_is_there_for_the_next_process(tmp_path, monkeypatch):
    filled(tmp_path, monkeypatch)
    store = ChunkStore(tmp_path, EPOCHS)
    assert (len(store), store.damaged) == (12, [])
    assert store.has(5, [0, 5])
    assert not store.has(5, [5, 6])
    assert not store.has(6, [0])
    np.testing.assert_array_equal(store.history(CONFIGS, SEEDS), HISTORY)


def test_chunks_are_collected_and_told_when_written(tmp_path):
    store = ChunkStore(tmp_path, EPOCHS)
    first, second, *_ = parts()
    assert store.add(first) == []
    assert (len(store), list(tmp_path.iterdir())) == (0, [])
    assert store.add(second) == []
    assert store.flush() == [first, second]
    assert (len(store), len(list(tmp_path.iterdir()))) == (4, 1)
    assert store.flush() == []


def test_a_member_takes_sixteen_bytes_an_epoch(tmp_path, monkeypatch):
    filled(tmp_path, monkeypatch)
    for path in tmp_path.glob("*.chunk"):
        checksum, header, figures = path.read_bytes().split(b"\n", 2)
        assert (len(checksum), len(figures)) == (64, 2 * EPOCHS * 16)
        assert len(header) < 40


def test_members_that_are_missing_are_told(tmp_path, monkeypatch):
    store = filled(tmp_path, monkeypatch)
    with pytest.raises(RunError, match="2 members are missing"):
        store.history(CONFIGS + 1, SEEDS)


@pytest.mark.parametrize("place", [0, 30, 64, 70, 100, -1])
def test_any_flipped_bit_is_recognised(tmp_path, monkeypatch, place):
    store = filled(tmp_path, monkeypatch)
    path = tmp_path / "000003.chunk"
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"000003\.chunk has been damaged"):
        store.history(CONFIGS, SEEDS)
    again = ChunkStore(tmp_path, EPOCHS)
    assert again.damaged == ["000003.chunk"]
    assert len(again) == 10
    assert not path.exists()


@pytest.mark.parametrize("size", [0, 1, 64, 65, 90, -1])
def test_a_truncated_file_is_recognised(tmp_path, monkeypatch, size):
    filled(tmp_path, monkeypatch)
    path = tmp_path / "000006.chunk"
    path.write_bytes(path.read_bytes()[:size])
    assert ChunkStore(tmp_path, EPOCHS).damaged == ["000006.chunk"]


@pytest.mark.parametrize(
    "header",
    [b"5", b"{}", b'{"members": 5}', b'{"members": [[4, ["a"]]]}', b"[" * 100_000, b"\xff"],
)
def test_a_whole_file_of_something_else_is_damaged(tmp_path, header):
    content = header + b"\n"
    checksum = hashlib.sha256(content).hexdigest().encode()
    (tmp_path / "000001.chunk").write_bytes(checksum + b"\n" + content)
    assert ChunkStore(tmp_path, EPOCHS).damaged == ["000001.chunk"]


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    (tmp_path / ".000001.chunk.abc.tmp").touch()
    assert (len(ChunkStore(tmp_path, EPOCHS)), list(tmp_path.iterdir())) == (0, [])


def test_files_of_other_epochs_are_not_taken(tmp_path, monkeypatch):
    filled(tmp_path, monkeypatch)
    assert len(ChunkStore(tmp_path, EPOCHS - 1)) == 0
