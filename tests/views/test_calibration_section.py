import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep, make_table
from finished_runs import random_history, random_model, write_best_history, write_run
from report_words import lines_of, said

from gtzan_jax.errors import InputError
from gtzan_jax.files import write_csv
from gtzan_jax.inference.calibration import Calibration, Held
from gtzan_jax.inference.model_files import save_model
from gtzan_jax.jobs.reporting import build
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.tables.protocols import LEAK
from gtzan_jax.views.sections.calibration import calibration_part

pytestmark = pytest.mark.usefixtures("undrawn")
HELD = Held(4, 0.5, 0.3, 0.1, chance_error=0.08, chance_limit=0.12)
SONGS = pd.DataFrame(
    {
        "part": ["validation"] * 2 + ["test"] * 4,
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


def keep(run, songs, temperature, num_songs=4, **changes):
    part = HELD._replace(songs=num_songs)
    held = Calibration(temperature=temperature, bins=10, validation=part, test=part)
    model = random_model(run.sweep.configs[0], make_table())
    save_model(dataclasses.replace(model, calibration=held, **changes), run.run.best)
    write_csv(run.run.best / "calibration.csv", songs)
    run.run.record(run.manifest, "best")


def test_the_part_has_the_errors_of_both_parts(run):
    keep(run, SONGS, 2.5)
    part = calibration_part(run, "")
    text = said(part)
    assert 'class="reliability"' in part.figures[0]
    assert "Correct on 2 of 4 test songs; expected calibration error 10.0 points" in text
    assert "(calibrated on 4 validation songs, temperature 2.50; 30.0 without)" in text
    assert "Too few songs to rely on" in text
    assert "calibrated validation error is optimistic: the temperature was fitted there" in text
    assert LEAK not in text
    test = ["4", "50.0 %", "30.0", "10.0", "8.0", "12.0"]
    assert part.tables[0].rows == [["validation", *test], ["test", *test]]


def test_a_model_that_was_tested_on_its_own_songs_says_so(run):
    keep(run, SONGS, 2.5, protocol="leaky_segments")
    assert f"Correct on 2 of 4 test songs ({LEAK}); exp" in said(calibration_part(run, ""))


@pytest.mark.parametrize(
    ("temperature", "words"),
    [
        (1.0, "expected calibration error 30.0 points (not calibrated)"),
        (None, "Not calibrated: the run has no validation part"),
    ],
)
def test_a_run_that_was_not_calibrated_says_so(run, temperature, words):
    keep(run, SONGS[2:].assign(calibrated=np.nan), temperature, 100)
    assert words in said(calibration_part(run, ""))


def test_a_retraining_of_before_has_no_section(run):
    assert calibration_part(run, "") is None
    assert "### Calibration" not in lines_of(build(run).html)


@pytest.mark.parametrize(
    "change",
    [
        lambda songs: songs.drop(columns="genre"),
        lambda songs: songs.assign(probability=1.5),
        lambda songs: songs.assign(calibrated=-0.1),
        lambda songs: songs.assign(probability="x"),
        lambda songs: songs.assign(probability=np.nan),
        lambda songs: songs.assign(part="validation"),
        lambda songs: songs.assign(part=["test"] * 5 + ["else"]),
        lambda songs: songs.assign(predicted=None),
        lambda songs: songs[:0],
    ],
)
def test_a_strangers_table_is_checked(run, change):
    keep(run, change(SONGS), 2.5)
    with pytest.raises(InputError, match=r"calibration\.csv cannot be used"):
        calibration_part(run, "")
