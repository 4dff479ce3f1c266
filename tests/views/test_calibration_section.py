import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep, make_table
from finished_runs import random_history, random_model, write_best_history, write_run
from report_words import said, words_of

from gtzan_jax.analysis.calibration import error_of_chance
from gtzan_jax.errors import InputError
from gtzan_jax.files import write_csv
from gtzan_jax.inference.calibration import Calibration, Held
from gtzan_jax.inference.model_files import save_model
from gtzan_jax.jobs.reporting import build
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.views.sections.calibration import calibration_part

pytestmark = pytest.mark.usefixtures("undrawn")
HELD = Held(songs=4, accuracy=0.5, error=0.3, calibrated_error=0.1)
SONGS = pd.DataFrame(
    {
        "part": ["validation"] * 2 + ["test"] * 4,
        "song": [f"s{i}" for i in range(6)],
        "genre": list("abaaba"),
        "predicted": list("abbaab"),
        "probability": [0.9, 0.8, 0.95, 0.95, 0.95, 0.95],
        "calibrated": [0.6, 0.5, 0.35, 0.35, 0.35, 0.35],
    }
)


@pytest.fixture
def run(tmp_path):
    """A run with a retraining, and a folder for its model."""
    sweep = make_sweep(protocol="holdout")
    path = write_run(tmp_path / "run", sweep, random_history(sweep))
    write_best_history(path, train_accuracy=np.full(3, 0.5))
    return read_finished(path)


def keep(run, songs, temperature, num_songs=4):
    part = HELD._replace(songs=num_songs)
    held = Calibration(temperature=temperature, bins=10, validation=part, test=part)
    model = random_model(run.sweep.configs[0], make_table())
    save_model(dataclasses.replace(model, calibration=held), run.run.best)
    write_csv(run.run.best / "calibration.csv", songs)
    run.run.record(run.manifest, "best")


@pytest.mark.parametrize(
    ("group", "words"),
    [
        (None, "independent, since the run was written before artists were recorded"),
        ([0, 1, 2, 3, 4, 5], "independent, since no two of them are known to be of one artist"),
        ([0, 0, 2, 3, 4, 5], "independent, since no two of them are known to be of one artist"),
        ([0, 1, 2, 3, 2, 3], "The draws keep songs of one artist as alike as they are here"),
    ],
)
@pytest.mark.parametrize("calibrated", [0.35, 0.95])
def test_the_report_compares_the_error_with_that_of_chance(run, group, words, calibrated):
    songs = SONGS.assign(genre=list("abbaab"), calibrated=calibrated)
    songs.loc[3:, "genre"] = list("bbb") if calibrated == 0.95 else list("bab")
    keep(run, songs if group is None else songs.assign(group=group), 2.5)
    part = calibration_part(run, "")
    text = said(part)
    test = songs[2:]
    right = (test["genre"] == test["predicted"]).to_numpy()
    groups = np.arange(4) if group is None else np.array(group[2:])
    mean, high = (f"{100 * e:.1f}" for e in error_of_chance(test["calibrated"], right, groups))
    assert f"would make {mean} points, and more than {high} in 5 % of cases" in text
    assert part.tables[0].rows[1][6] == f"{mean}, up to {high}"
    sentences = ["before artists were", "no two of them", "as alike as they"]
    assert [s in text for s in sentences] == [s in words for s in sentences]
    assert ("is compatible with exact probabilities" in text) == (calibrated == 0.35)
    assert (" is more than chance" in text) == (calibrated == 0.95)


def test_the_section_has_the_errors_of_both_parts(run):
    keep(run, SONGS, 2.5)
    part = calibration_part(run, "")
    text = said(part)
    assert 'class="reliability"' in part.figures[0]
    assert "divided by 2.50, the temperature of the least loss on the 2 songs" in text
    assert "**10.0 points** is the expected calibration error" in text
    assert "calibrated, and 70.0 as the network says" in text
    assert "4 songs are few" in text
    mean, high = (
        f"{100 * error:.1f}"
        for error in error_of_chance(np.full(4, 0.35), np.zeros(4), np.arange(4))
    )
    assert part.tables[0].rows[1] == [
        "test", "4", "25.0 %", "95.0 %", "70.0", "10.0", f"{mean}, up to {high}",
    ]  # fmt: skip
    assert part.tables[0].rows[0][:6] == ["validation", "2", "100.0 %", "85.0 %", "15.0", "45.0"]


def test_a_run_that_was_not_calibrated_says_so(run):
    songs = SONGS[SONGS["part"] == "test"].assign(calibrated=np.nan)
    keep(run, songs, None)
    part = calibration_part(run, "")
    assert "**70.0 points** is" in said(part)
    assert [row[5] for row in part.tables[0].rows] == ["–"]


@pytest.mark.parametrize(
    ("songs", "temperature", "words"),
    [
        (6, 1.0, ["It is not calibrated.", "fitted on 6, below 1 and therefore left at 1"]),
        (6, 2.5, ["the temperature of the least loss", "Too few songs to rely on", "fitted on 6"]),
        (100, 2.5, ["the temperature of the least loss"]),
        (100, None, ["the protocol has no validation part"]),
    ],
)
def test_the_report_says_what_few_songs_make_of_it(run, songs, temperature, words):
    keep(run, SONGS if temperature else SONGS[2:].assign(calibrated=np.nan), temperature, songs)
    text = said(calibration_part(run, ""))
    assert [word for word in words if word not in text] == []
    assert ("Too few songs to rely on" in text) == (songs == 6)
    assert ("It is not calibrated" in text) == (temperature in (1.0, None))


def test_a_retraining_of_before_has_no_section(run):
    assert calibration_part(run, "") is None
    assert "Are its probabilities calibrated?" not in words_of(build(run).html)


@pytest.mark.parametrize(
    "change",
    [
        lambda songs: songs.drop(columns="genre"),
        lambda songs: songs.assign(probability=1.5),
        lambda songs: songs.assign(calibrated=-0.1),
        lambda songs: songs.assign(probability="x"),
        lambda songs: songs.assign(probability=np.nan),
        lambda songs: songs.assign(part="validation"),
        lambda songs: songs.assign(group=[0.0, 1, 2, 3, 4, np.nan]),
        lambda songs: songs.assign(part=["test"] * 5 + ["else"]),
        lambda songs: songs.assign(predicted=None),
        lambda songs: songs[:0],
    ],
)
def test_a_strangers_table_is_checked(run, change):
    keep(run, change(SONGS), 2.5)
    with pytest.raises(InputError, match=r"calibration\.csv cannot be used"):
        calibration_part(run, "")
