import numpy as np
import pytest

from gtzan_jax.errors import RunError
from gtzan_jax.files import save_arrays
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir import chunks
from gtzan_jax.rundir.chunks import ChunkStore
from gtzan_jax.space.config import Member
from gtzan_jax.trainer.chunk import Chunk, Trained

EPOCHS, CONFIGS, RUNS = 3, 6, [(0, 4), (0, 5), (1, 4)]  # fold and seed
IDS = [f"{place:012x}" for place in range(CONFIGS)]
MEMBERS = [Member(config_id, *run) for config_id in IDS for run in RUNS]
FIGURES = np.random.default_rng(0).random((len(MEMBERS), EPOCHS, len(METRICS)), np.float32)
FIGURES[2, 0] = np.nan
LAST = np.random.default_rng(2).integers(2, EPOCHS + 1, len(MEMBERS), np.int32)
EVALUATED = 5
PREDICTED = np.random.default_rng(1).integers(0, 10, (len(MEMBERS), EVALUATED), np.uint8)


def trained(run, places, first=0, epochs=EPOCHS):
    """Returns a chunk of some configs, with its part of FIGURES."""
    members = tuple(Member(IDS[place], *run) for place in places)
    chunk = Chunk(0, len(members), members, first, epochs)
    rows = [MEMBERS.index(member) for member in chunk.members]
    # Predictions of a chunk that ends early are not those of the end.
    predicted = PREDICTED[rows] if epochs == EPOCHS else PREDICTED[rows] + 100
    last = np.minimum(LAST[rows], epochs)
    return Trained(chunk, FIGURES[rows, first:epochs], predicted, last, np.minimum(last, 2), ())


def parts():
    """Returns all members in chunks of two."""
    return [trained(run, [i, i + 1]) for run in RUNS for i in range(0, CONFIGS, 2)]


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(chunks, "_COLLECT_S", -1.0)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with one file for each of nine chunks."""
    monkeypatch.setattr(chunks, "_COLLECT_S", -1.0)
    store = ChunkStore(tmp_path, EPOCHS, EVALUATED)
    for part in parts():
        assert store.add(part) == [part]
    return store


@pytest.mark.usefixtures("store")
def test_what_was_written_is_there_for_the_next_process(tmp_path):
    again = ChunkStore(tmp_path, EPOCHS, EVALUATED)
    assert (len(again), again.damaged) == (18, [])
    others = [Member("f" * 12, 0, 4), Member(IDS[0], 0, 6), Member(IDS[0], 2, 4)]
    assert again.missing([*MEMBERS[:5], *others]) == others
    history = again.history(MEMBERS)
    assert history.members == tuple(MEMBERS)
    assert np.asarray(history.figures).tobytes() == FIGURES.tobytes()
    assert np.asarray(history.predicted).tobytes() == PREDICTED.tobytes()
    np.testing.assert_array_equal(history.last, LAST)
    np.testing.assert_array_equal(history.best, 2)
    np.testing.assert_array_equal(history.reached, EPOCHS)


def test_members_are_in_the_order_asked_for(store):
    order = np.random.default_rng(1).permutation(len(MEMBERS))
    history = store.history([MEMBERS[place] for place in order])
    np.testing.assert_array_equal(history.figures, FIGURES[order])
    np.testing.assert_array_equal(history.predicted, PREDICTED[order])


def test_chunks_are_collected_and_told_when_written(tmp_path):
    store = ChunkStore(tmp_path, EPOCHS, EVALUATED)
    first, second, *_ = parts()
    assert store.add(first) == []
    assert (len(store), list(tmp_path.iterdir())) == (0, [])
    assert store.add(second) == []
    assert store.flush() == [first, second]
    assert (len(store), len(list(tmp_path.iterdir()))) == (4, 1)
    assert store.flush() == []
    assert len(ChunkStore(tmp_path, EPOCHS, EVALUATED)) == 4


@pytest.mark.usefixtures("at_once")
def test_a_chunk_may_end_in_the_middle_and_go_on_in_another(tmp_path):
    store = ChunkStore(tmp_path, EPOCHS, EVALUATED)
    everything = range(CONFIGS)
    for run in RUNS:
        store.add(trained(run, everything, 0, 2))
    assert len(store) == 0
    assert store.missing(MEMBERS) == MEMBERS
    assert store.missing(MEMBERS, 2) == []
    np.testing.assert_array_equal(store.history(MEMBERS).reached, 2)
    for run in RUNS[::-1]:
        store.add(trained(run, everything, 2, 3))
    for there in (store, ChunkStore(tmp_path, EPOCHS, EVALUATED)):
        assert (len(there), there.missing(MEMBERS)) == (18, [])
        np.testing.assert_array_equal(there.history(MEMBERS).figures, FIGURES)
        np.testing.assert_array_equal(there.history(MEMBERS).predicted, PREDICTED)


@pytest.mark.usefixtures("at_once")
def test_a_damaged_rung_that_is_trained_again_stands_behind_a_later_one(tmp_path):
    """Its file is the newest then; what counts is still what the later epochs came to."""
    store = ChunkStore(tmp_path, EPOCHS, EVALUATED)
    for run in RUNS:
        store.add(trained(run, range(CONFIGS), 0, 2))
    for run in RUNS:
        store.add(trained(run, range(CONFIGS), 2, 3))
    whole = store.history(MEMBERS)
    path = tmp_path / "000002.chunk"  # the first rung of the second run
    path.write_bytes(path.read_bytes()[:-1])
    again = ChunkStore(tmp_path, EPOCHS, EVALUATED)
    lost = [member for member in MEMBERS if member[1:] == RUNS[1]]
    assert again.damaged == ["000002.chunk"]
    assert (again.missing(MEMBERS, 2), again.missing(MEMBERS)) == (lost, [])
    with pytest.raises(RunError, match="6 members are missing"):
        again.history(MEMBERS)
    again.add(trained(RUNS[1], range(CONFIGS), 0, 2))
    assert sorted(tmp_path.iterdir())[-1].name == "000007.chunk"
    history = again.history(MEMBERS)
    for name in ("figures", "predicted", "reached", "last", "best"):
        np.testing.assert_array_equal(getattr(history, name), getattr(whole, name))
    expected = FIGURES[np.arange(len(MEMBERS)), np.minimum(LAST, 2)[:, None].min(1) - 1]
    np.testing.assert_array_equal(again.figures(MEMBERS, 2), expected)
    # The best epoch of all is in the chunk before: the last chunk has its own first.
    np.testing.assert_array_equal(again.figures(MEMBERS, EPOCHS), FIGURES[:, 2])


@pytest.mark.usefixtures("at_once")
def test_epochs_that_are_missing_in_between_are_told(tmp_path):
    store = ChunkStore(tmp_path, EPOCHS, EVALUATED)
    for run in RUNS:
        store.add(trained(run, range(CONFIGS), 2, 3))
    with pytest.raises(RunError, match="18 members are missing"):
        store.history(MEMBERS)


def test_a_chunk_that_is_written_twice_counts_once(tmp_path, store):
    store.add(parts()[0])
    again = ChunkStore(tmp_path, EPOCHS, EVALUATED)
    assert len(again) == 18
    np.testing.assert_array_equal(again.history(MEMBERS).figures, FIGURES)


@pytest.mark.usefixtures("store")
def test_a_member_takes_four_bytes_a_figure_and_one_a_row(tmp_path):
    for path in tmp_path.glob("*.chunk"):
        content = path.read_bytes()
        header = 8 + int.from_bytes(content[:8], "little")
        figures = 2 * EPOCHS * 4 * len(METRICS) + 2 * EVALUATED + 2 * 2 * 4
        assert len(content) - header == figures
        assert header < 600


def test_members_that_are_missing_are_told(store):
    with pytest.raises(RunError, match="2 members are missing"):
        store.history([*MEMBERS, Member(IDS[0], 0, 6), Member(IDS[0], 7, 4)])


def test_members_of_another_sweep_are_told(store):
    with pytest.raises(RunError, match=r"00000\d\.chunk is damaged: it has members of another"):
        store.history(MEMBERS[1:])


def test_members_that_a_search_would_not_ask_for_again_are_passed_over(store):
    some = [MEMBERS[place] for place in (7, 2)]
    history = store.history(some, others=True)
    np.testing.assert_array_equal(history.figures, FIGURES[[7, 2]])
    np.testing.assert_array_equal(history.predicted, PREDICTED[[7, 2]])
    np.testing.assert_array_equal(history.last, LAST[[7, 2]])


@pytest.mark.usefixtures("store")
def test_files_of_other_epochs_are_not_taken(tmp_path):
    for epochs in (EPOCHS - 1, EPOCHS + 1):
        assert len(ChunkStore(tmp_path, epochs, EVALUATED)) == 0
    with pytest.raises(RunError, match="it has members of another sweep"):
        ChunkStore(tmp_path, EPOCHS - 1, EVALUATED).history(MEMBERS)


@pytest.mark.usefixtures("store")
def test_files_of_another_table_are_not_taken(tmp_path):
    assert len(ChunkStore(tmp_path, EPOCHS, EVALUATED + 1)) == 0


@pytest.mark.parametrize("place", [0, 30, 64, 70, 100, 450, 500, -1])
def test_any_flipped_bit_is_recognised(tmp_path, store, place):
    path = tmp_path / "000003.chunk"
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"000003\.chunk has been damaged"):
        store.history(MEMBERS)
    again = ChunkStore(tmp_path, EPOCHS, EVALUATED)
    assert again.damaged == ["000003.chunk"]
    assert again.missing(MEMBERS) == [m for m in MEMBERS if m in parts()[2].chunk.members]
    assert not path.exists()


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("size", [0, 1, 64, 65, 90, -1])
def test_a_truncated_file_is_recognised(tmp_path, size):
    path = tmp_path / "000006.chunk"
    path.write_bytes(path.read_bytes()[:size])
    assert ChunkStore(tmp_path, EPOCHS, EVALUATED).damaged == ["000006.chunk"]


CHUNK = {"fold": 0, "seed": 4, "first_epoch": 0, "epochs": 3, "config_ids": [IDS[0]]}


def write(folder, about, **changes):
    """Writes a file of one member, three epochs and five predictions."""
    arrays = {"history": FIGURES[0], "predicted": PREDICTED[:1]}
    arrays |= {"last": np.array([3], "i4"), "best": np.array([2], "i4")}
    save_arrays(folder / "000001.chunk", arrays | changes, about)
    return ChunkStore(folder, EPOCHS, EVALUATED)


def test_what_this_program_writes_is_taken(tmp_path):
    store = write(tmp_path, {"format": 1, "chunks": [CHUNK]})
    assert (len(store), store.damaged) == (1, [])
    np.testing.assert_array_equal(store.history(MEMBERS[:1]).figures, FIGURES[:1])


@pytest.mark.parametrize(
    "chunks",
    [
        None, 3, [], [None], [[]], [{}], [CHUNK, CHUNK],
        [{key: CHUNK[key] for key in CHUNK if key != "seed"}],
        *(
            [CHUNK | change]
            for change in (
                {"fold": -1}, {"fold": 0.5}, {"fold": True}, {"fold": "a"}, {"fold": []},
                {"seed": "4"}, {"seed": None}, {"seed": 10**30}, {"seed": -1},
                {"first_epoch": 3}, {"first_epoch": -1}, {"first_epoch": 0.5},
                {"first_epoch": 10**30, "epochs": 10**30 + 3}, {"epochs": 0}, {"epochs": "3"},
                {"epochs": 4}, {"epochs": 10**400}, {"config_ids": [1]}, {"config_ids": 5},
                {"config_ids": []}, {"config_ids": IDS[:2]}, {"config_ids": IDS[0]},
                {"config_ids": [None]}, {"config_ids": {IDS[0]: 1}}, {"other": 1},
            )
        ),
    ],
    ids=repr,
)  # fmt: skip
def test_a_hostile_chunk_is_damaged(tmp_path, chunks):
    store = write(tmp_path, {"format": 1, "chunks": chunks})
    assert (len(store), store.damaged) == (0, ["000001.chunk"])


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("last", np.array([4], "i4")),
        ("last", np.array([3, 3], "i4")),
        ("last", np.array([3.0], "f4")),
        ("best", np.array([0], "i4")),
        ("best", np.array([4], "i4")),
        ("best", np.zeros(0, "i4")),
        ("history", FIGURES[0, :2]),
        ("predicted", PREDICTED[:2]),
        ("more", PREDICTED[:2]),
    ],
)
def test_arrays_of_another_kind_are_damaged(tmp_path, name, array):
    store = write(tmp_path, {"format": 1, "chunks": [CHUNK]}, **{name: array})
    assert (len(store), store.damaged) == (0, ["000001.chunk"])


@pytest.mark.parametrize("about", [{"format": 0, "chunks": [CHUNK]}, {"chunks": [CHUNK]}, {}])
def test_a_file_of_another_format_is_trained_anew(tmp_path, about):
    assert write(tmp_path, about).damaged == ["000001.chunk"]


@pytest.mark.parametrize("name", ["0x.chunk", "1\x1b[2J.chunk"])
def test_only_numbers_name_chunks(tmp_path, name):
    (tmp_path / name).write_text("")
    store = ChunkStore(tmp_path, EPOCHS, EVALUATED)
    assert not store.damaged
    store.add(parts()[0])
    store.flush()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "000001.chunk"])


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    (tmp_path / ".000001.chunk.abc.tmp").touch()
    assert (len(ChunkStore(tmp_path, EPOCHS, EVALUATED)), list(tmp_path.iterdir())) == (0, [])
