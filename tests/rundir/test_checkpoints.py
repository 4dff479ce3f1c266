import numpy as np
import pytest

from gtzan_jax.errors import RunError
from gtzan_jax.files import save_arrays
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir import checkpoints
from gtzan_jax.rundir.checkpoints import Checkpoints
from gtzan_jax.space.config import Trial
from gtzan_jax.trainer.task import Task, Trained

EPOCHS, CONFIGS, RUNS = 3, 6, [(0, 4), (0, 5), (1, 4)]  # fold and seed
IDS = [f"{place:012x}" for place in range(CONFIGS)]
TRIALS = [Trial(config_id, *run) for config_id in IDS for run in RUNS]
FIGURES = np.random.default_rng(0).random((len(TRIALS), EPOCHS, len(METRICS)), np.float32)
FIGURES[2, 0] = np.nan
LAST = np.random.default_rng(2).integers(2, EPOCHS + 1, len(TRIALS), np.int32)
EVALUATED = 5
PREDICTED = np.random.default_rng(1).integers(0, 10, (len(TRIALS), EVALUATED), np.uint8)


def trained(run, places, first=0, epochs=EPOCHS):
    """Returns a task of some configs, with its part of FIGURES."""
    trials = tuple(Trial(IDS[place], *run) for place in places)
    task = Task(0, len(trials), trials, first, epochs)
    rows = [TRIALS.index(trial) for trial in task.trials]
    # Predictions of a task that ends early are not those of the end.
    predicted = PREDICTED[rows] if epochs == EPOCHS else PREDICTED[rows] + 100
    last = np.minimum(LAST[rows], epochs)
    return Trained(task, FIGURES[rows, first:epochs], predicted, last, np.minimum(last, 2), ())


def parts():
    """Returns all trials in tasks of two."""
    return [trained(run, [i, i + 1]) for run in RUNS for i in range(0, CONFIGS, 2)]


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(checkpoints, "_COLLECT_S", -1.0)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with one file for each of nine tasks."""
    monkeypatch.setattr(checkpoints, "_COLLECT_S", -1.0)
    store = Checkpoints(tmp_path, EPOCHS, EVALUATED)
    for part in parts():
        assert store.add(part) == [part]
    return store


@pytest.mark.usefixtures("store")
def test_what_was_written_is_there_for_the_next_process(tmp_path):
    again = Checkpoints(tmp_path, EPOCHS, EVALUATED)
    assert (len(again), again.damaged) == (18, [])
    others = [Trial("f" * 12, 0, 4), Trial(IDS[0], 0, 6), Trial(IDS[0], 2, 4)]
    assert again.missing([*TRIALS[:5], *others]) == others
    history = again.history(TRIALS)
    assert history.trials == tuple(TRIALS)
    assert np.asarray(history.figures).tobytes() == FIGURES.tobytes()
    assert np.asarray(history.predicted).tobytes() == PREDICTED.tobytes()
    np.testing.assert_array_equal(history.last, LAST)
    np.testing.assert_array_equal(history.best, 2)
    np.testing.assert_array_equal(history.reached, EPOCHS)


def test_trials_are_in_the_order_asked_for(store):
    order = np.random.default_rng(1).permutation(len(TRIALS))
    history = store.history([TRIALS[place] for place in order])
    np.testing.assert_array_equal(history.figures, FIGURES[order])
    np.testing.assert_array_equal(history.predicted, PREDICTED[order])


def test_tasks_are_collected_and_told_when_written(tmp_path):
    store = Checkpoints(tmp_path, EPOCHS, EVALUATED)
    first, second, *_ = parts()
    assert store.add(first) == []
    assert (len(store), list(tmp_path.iterdir())) == (0, [])
    assert store.add(second) == []
    assert store.flush() == [first, second]
    assert (len(store), len(list(tmp_path.iterdir()))) == (4, 1)
    assert store.flush() == []
    assert len(Checkpoints(tmp_path, EPOCHS, EVALUATED)) == 4


@pytest.mark.usefixtures("at_once")
def test_a_task_may_end_in_the_middle_and_go_on_in_another(tmp_path):
    store = Checkpoints(tmp_path, EPOCHS, EVALUATED)
    everything = range(CONFIGS)
    for run in RUNS:
        store.add(trained(run, everything, 0, 2))
    assert len(store) == 0
    assert store.missing(TRIALS) == TRIALS
    assert store.missing(TRIALS, 2) == []
    np.testing.assert_array_equal(store.history(TRIALS).reached, 2)
    for run in RUNS[::-1]:
        store.add(trained(run, everything, 2, 3))
    for there in (store, Checkpoints(tmp_path, EPOCHS, EVALUATED)):
        assert (len(there), there.missing(TRIALS)) == (18, [])
        np.testing.assert_array_equal(there.history(TRIALS).figures, FIGURES)
        np.testing.assert_array_equal(there.history(TRIALS).predicted, PREDICTED)


@pytest.mark.usefixtures("at_once")
def test_a_damaged_rung_that_is_trained_again_stands_behind_a_later_one(tmp_path):
    """Its file is the newest then; what counts is still what the later epochs came to."""
    store = Checkpoints(tmp_path, EPOCHS, EVALUATED)
    for run in RUNS:
        store.add(trained(run, range(CONFIGS), 0, 2))
    for run in RUNS:
        store.add(trained(run, range(CONFIGS), 2, 3))
    whole = store.history(TRIALS)
    path = tmp_path / "000002.safetensors"  # the first rung of the second run
    path.write_bytes(path.read_bytes()[:-1])
    again = Checkpoints(tmp_path, EPOCHS, EVALUATED)
    lost = [trial for trial in TRIALS if trial[1:] == RUNS[1]]
    assert again.damaged == ["000002.safetensors"]
    assert (again.missing(TRIALS, 2), again.missing(TRIALS)) == (lost, [])
    with pytest.raises(RunError, match="6 trials are missing"):
        again.history(TRIALS)
    again.add(trained(RUNS[1], range(CONFIGS), 0, 2))
    assert sorted(tmp_path.iterdir())[-1].name == "000007.safetensors"
    history = again.history(TRIALS)
    for name in ("figures", "predicted", "reached", "last", "best"):
        np.testing.assert_array_equal(getattr(history, name), getattr(whole, name))
    expected = FIGURES[np.arange(len(TRIALS)), np.minimum(LAST, 2)[:, None].min(1) - 1]
    np.testing.assert_array_equal(again.figures(TRIALS, 2), expected)
    # The best epoch of all is in the task before: the last task has its own first.
    np.testing.assert_array_equal(again.figures(TRIALS, EPOCHS), FIGURES[:, 2])


@pytest.mark.usefixtures("at_once")
def test_epochs_that_are_missing_in_between_are_told(tmp_path):
    store = Checkpoints(tmp_path, EPOCHS, EVALUATED)
    for run in RUNS:
        store.add(trained(run, range(CONFIGS), 2, 3))
    with pytest.raises(RunError, match="18 trials are missing"):
        store.history(TRIALS)


def test_a_task_that_is_written_twice_counts_once(tmp_path, store):
    store.add(parts()[0])
    again = Checkpoints(tmp_path, EPOCHS, EVALUATED)
    assert len(again) == 18
    np.testing.assert_array_equal(again.history(TRIALS).figures, FIGURES)


@pytest.mark.usefixtures("store")
def test_a_trial_takes_four_bytes_a_figure_and_one_a_row(tmp_path):
    for path in tmp_path.glob("*.safetensors"):
        content = path.read_bytes()
        header = 8 + int.from_bytes(content[:8], "little")
        figures = 2 * EPOCHS * 4 * len(METRICS) + 2 * EVALUATED + 2 * 2 * 4
        assert len(content) - header == figures
        assert header < 600


def test_trials_that_are_missing_are_told(store):
    with pytest.raises(RunError, match="2 trials are missing"):
        store.history([*TRIALS, Trial(IDS[0], 0, 6), Trial(IDS[0], 7, 4)])


def test_trials_of_another_sweep_are_told(store):
    with pytest.raises(RunError, match="has trials of another sweep"):
        store.history(TRIALS[1:])


def test_trials_that_a_search_would_not_ask_for_again_are_passed_over(store):
    some = [TRIALS[place] for place in (7, 2)]
    history = store.history(some, others=True)
    np.testing.assert_array_equal(history.figures, FIGURES[[7, 2]])
    np.testing.assert_array_equal(history.predicted, PREDICTED[[7, 2]])
    np.testing.assert_array_equal(history.last, LAST[[7, 2]])


@pytest.mark.usefixtures("store")
def test_files_of_other_epochs_are_not_taken(tmp_path):
    for epochs in (EPOCHS - 1, EPOCHS + 1):
        assert len(Checkpoints(tmp_path, epochs, EVALUATED)) == 0
    with pytest.raises(RunError, match="has trials of another sweep"):
        Checkpoints(tmp_path, EPOCHS - 1, EVALUATED).history(TRIALS)


@pytest.mark.usefixtures("store")
def test_files_of_another_table_are_not_taken(tmp_path):
    assert len(Checkpoints(tmp_path, EPOCHS, EVALUATED + 1)) == 0


@pytest.mark.parametrize("place", [0, 30, 64, 70, 100, 450, 500, -1])
def test_any_flipped_bit_is_recognised(tmp_path, store, place):
    path = tmp_path / "000003.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"000003\.safetensors was damaged"):
        store.history(TRIALS)
    again = Checkpoints(tmp_path, EPOCHS, EVALUATED)
    assert again.damaged == ["000003.safetensors"]
    assert again.missing(TRIALS) == [m for m in TRIALS if m in parts()[2].task.trials]
    assert not path.exists()


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("size", [0, 1, 64, 65, 90, -1])
def test_a_truncated_file_is_recognised(tmp_path, size):
    path = tmp_path / "000006.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert Checkpoints(tmp_path, EPOCHS, EVALUATED).damaged == ["000006.safetensors"]


TASK = {"fold": 0, "seed": 4, "first_epoch": 0, "epochs": 3, "config_ids": [IDS[0]]}


def write(folder, about, **changes):
    """Writes a file of one trial, three epochs and five predictions."""
    arrays = {"history": FIGURES[0], "predicted": PREDICTED[:1]}
    arrays |= {"last": np.array([3], "i4"), "best": np.array([2], "i4")}
    save_arrays(folder / "000001.safetensors", arrays | changes, about)
    return Checkpoints(folder, EPOCHS, EVALUATED)


def test_what_this_program_writes_is_taken(tmp_path):
    store = write(tmp_path, {"format": 1, "tasks": [TASK]})
    assert (len(store), store.damaged) == (1, [])
    np.testing.assert_array_equal(store.history(TRIALS[:1]).figures, FIGURES[:1])


@pytest.mark.parametrize(
    "tasks",
    [
        None, 3, [], [None], [[]], [{}], [TASK, TASK],
        [{key: TASK[key] for key in TASK if key != "seed"}],
        *(
            [TASK | change]
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
def test_a_hostile_task_is_damaged(tmp_path, tasks):
    store = write(tmp_path, {"format": 1, "tasks": tasks})
    assert (len(store), store.damaged) == (0, ["000001.safetensors"])


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
    store = write(tmp_path, {"format": 1, "tasks": [TASK]}, **{name: array})
    assert (len(store), store.damaged) == (0, ["000001.safetensors"])


@pytest.mark.parametrize("about", [{"format": 0, "tasks": [TASK]}, {"tasks": [TASK]}, {}])
def test_a_file_of_another_format_is_trained_anew(tmp_path, about):
    assert write(tmp_path, about).damaged == ["000001.safetensors"]


@pytest.mark.parametrize("name", ["0x.safetensors", "1\x1b[2J.safetensors"])
def test_only_numbers_name_tasks(tmp_path, name):
    (tmp_path / name).write_text("")
    store = Checkpoints(tmp_path, EPOCHS, EVALUATED)
    assert not store.damaged
    store.add(parts()[0])
    store.flush()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "000001.safetensors"])


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    (tmp_path / ".000001.task.abc.tmp").touch()
    assert (len(Checkpoints(tmp_path, EPOCHS, EVALUATED)), list(tmp_path.iterdir())) == (0, [])
