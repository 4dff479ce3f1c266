import dataclasses
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep, make_table
from finished_runs import networks_frame, random_history, write_best_history, write_run
from scipy import stats

from gtzan_jax import cli
from gtzan_jax.files import write_csv
from gtzan_jax.rundir.directory import TABLES, RunDir
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE
from gtzan_jax.tables.protocols import LEAK
from gtzan_jax.tables.sources import load_table
from gtzan_jax.views import messages
from gtzan_jax.views.messages import detectable_difference

ONE = dict.fromkeys(["num_units2", "num_units3", "dropout2", "dropout3"])
DEEP = {f"num_units{layer}": [512] for layer in range(1, 7)} | {"dropout1": [0.25]}
DEEP |= {f"dropout{layer}": [0.25] for layer in range(2, 7)}
SWEEPS = {
    "three layers": make_sweep(),
    "one layer": make_sweep(axes=ONE | {"learning_rate": [0.1, 1e-05]}, learning_rates=None),
    "six layers": make_sweep(
        axes=DEEP | {"learning_rate": [0.1], "batch_size": [16, 32]},
        learning_rates=None,
        batch_size=None,
    ),
    "kfold": make_sweep(protocol="kfold", num_folds=3),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_the_summary_fits_80_columns(name, tmp_path, capsys):
    sweep = SWEEPS[name]
    table = load_table("sample")
    run = read_finished(write_run(tmp_path / "run", sweep, random_history(sweep), table))
    messages.print_summary(run, {"train": 1.25, "write": 0.5})
    lines = capsys.readouterr().out.splitlines()
    end = next(place for place, line in enumerate(lines) if line.startswith("these figures"))
    assert all(len(line) <= 80 for line in lines[:end])
    part = "validation" if name == "kfold" else "test"
    configs = sweep.num_configs
    title = f"best 3 of {configs} configurations, ranked by accuracy on the {part} part:"
    assert lines[0] == title
    assert lines[1].startswith("rank    test" if name != "kfold" else "rank  validation    test")
    best = run.results.iloc[0]
    row = next(line for line in lines if line.startswith("   1  "))
    assert f"{best.test_accuracy:.4f}" in row
    text = " ".join(" ".join(lines[:end]).split())
    assert "-".join(map(str, run.config().units)) in text
    assert all(axis.rstrip("0123456789") in text for axis in sweep.axes)
    assert lines[-1] == "1.8 s (train 1.2, write 0.5)"
    parts = ("import", "load", "compile", "train", "write", "retrain")
    messages.print_summary(run, dict.fromkeys(parts, 12345.6))
    assert max(map(len, capsys.readouterr().out.splitlines()[-2:])) <= 80


def test_the_summary_tells_of_a_retraining_and_of_diverged_configs(tmp_path, capsys):
    history = random_history(make_sweep())
    history.figures[3] = np.nan
    path = write_run(tmp_path / "run", make_sweep(), history)
    write_best_history(path, test_accuracy=np.array([[0.5, 0.75, 0.625], [0.5, 0.75, 0.675]]))
    messages.print_summary(read_finished(path), {})
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 of 12 configurations diverged and rank last" in printed
    line = "retrained 2 times for 3 epochs: test accuracy 0.650 ± 0.035"
    assert line in printed
    assert f"the model in {path / 'best'}" in printed


def summary_of(path, capsys, history=None, best=None, tied=(), seeds=1, **changes):
    """What the end of a sweep of 12 configs says, as one line, with what its results are."""
    sweep = make_sweep(**changes)
    history = history or random_history(sweep, seeds)
    write_run(path, sweep, history)
    if best is not None:
        write_best_history(path, test_accuracy=best)
    run = RunDir(path)
    results = run.read_results()
    for name, values in dict(tied).items():
        results[name] = values
    write_csv(run.results_path, results)
    run.record(run.read_manifest(), *TABLES)
    messages.print_summary(read_finished(path), {})
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, (line for line in lines if "tensorboard" not in line))) <= 80
    return " ".join(" ".join(lines).split())


ONE_CONFIG = {"num_units1": [8], "activation": ["relu"], "optimizer": ["adam"]}
ON_TEST = "the best was chosen on the test part, so its accuracy there is optimistic"
ON_VALIDATION = "the best was chosen on the validation part, not on the test part"
TIED = "statistically indistinguishable from the best"


def test_the_end_says_how_many_are_as_good_and_what_the_best_was_chosen_on(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    accuracy = np.linspace(0.7, 0.4, 12)
    some = {"test_accuracy": accuracy, INDISTINGUISHABLE: np.arange(12) < 5}
    said = summary_of(Path("a"), capsys, tied=some)
    assert (
        f"5 of 12 configurations are {TIED} on the test part (test accuracies {accuracy[4]:.4f} to "
        "0.7000)" in said
    )
    assert ON_TEST in said
    assert "mean over" not in said
    assert "±" not in said
    same = some | {"test_accuracy": 0.5}
    assert f"are {TIED} on the test part (test accuracy 0.5000)" in summary_of(
        Path("b"), capsys, tied=same
    )
    alone = some | {INDISTINGUISHABLE: np.arange(12) < 1}
    said = summary_of(Path("c"), capsys, tied=alone, protocol="holdout")
    assert f"none of the other 11 configurations is {TIED}" in said
    assert ON_VALIDATION in said
    one = {INDISTINGUISHABLE: True}
    said = summary_of(Path("d"), capsys, tied=one, axes=ONE_CONFIG)
    for sentence in (TIED, ON_TEST, ON_VALIDATION):
        assert sentence not in said
    assert "python -m gtzan_jax.report d # " in said
    assert "python -m gtzan_jax.retrain --workdir=d # " in said


@pytest.mark.parametrize(
    ("detectable", "num_seeds", "expected"),
    [
        (0.0812, 1, "differences below about 8 percentage points cannot be detected with these 300 "
         "test songs and one seed"),
        (0.0131, 2, "differences below about 1 percentage point cannot be detected with these 300 "
         "test songs and 2 seeds"),
        (None, 1, ""),
    ],
)  # fmt: skip
def test_the_difference_that_could_have_been_seen_is_said(
    tmp_path, detectable, num_seeds, expected
):
    history = random_history(make_sweep(), num_seeds)
    folder = write_run(tmp_path / "run", make_sweep(), history, detectable=detectable)
    assert detectable_difference(read_finished(folder)) == expected


def test_where_all_diverged_nothing_is_best(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    history = random_history(make_sweep())
    history.figures[:] = np.nan
    said = summary_of(Path("run"), capsys, history, tied={INDISTINGUISHABLE: False})
    assert "12 of 12 configurations diverged and rank last" in said
    for wrong in (TIED, ON_TEST, "gtzan_jax.predict", "gtzan_jax.retrain"):
        assert wrong not in said


def test_what_a_search_gave_up_is_not_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = np.where(np.arange(12) < 4, 2, 1)
    tied = {INDISTINGUISHABLE: np.arange(12) < 3, "epochs_given": given}
    said = summary_of(Path("run"), capsys, tied=tied)
    assert "the search trained 4 configurations of 12 for all epochs" in said
    assert f"3 of 4 configurations are {TIED}" in said


@pytest.mark.parametrize(
    ("folds", "seeds", "over"),
    [(1, 1, ""), (1, 2, "2 seeds"), (3, 1, "3 folds"), (3, 2, "3 folds × 2 seeds")],
)
def test_the_end_says_what_is_averaged_and_what_plus_minus_is(
    tmp_path, monkeypatch, capsys, folds, seeds, over
):
    monkeypatch.chdir(tmp_path)
    protocol = "kfold" if folds > 1 else "holdout"
    said = summary_of(Path("run"), capsys, seeds=seeds, protocol=protocol, num_folds=max(2, folds))
    assert (f"each accuracy is the mean over {over}" in said) == bool(over)
    frame = pd.concat(
        networks_frame(protocol, test_accuracy=np.full((seeds, 1), 0.5 + fold / 10)).assign(
            fold=fold
        )
        for fold in range(folds)
    )
    line = messages.retraining_line(frame, None)
    songs = pd.DataFrame({"group": np.arange(100), "right": np.tile([0.0, 1.0], 50)})
    low, high = stats.t.interval(0.95, 99, 0.5, stats.sem(songs["right"]))
    longer = f"\n  95 % interval over songs, for these networks: {low:.2f} to {high:.2f}"
    assert messages.retraining_line(frame, songs) == line + longer
    apart = messages.retraining_line(frame, songs, protocol="artist_kfold")
    assert f"\n  95 % interval for other artists and these networks: {low:.2f}" in apart
    assert line.startswith(
        f"retrained {folds * seeds} time{'s' * (folds * seeds > 1)} for 1 epoch: "
    )
    assert ("±" in line) == bool(over)
    assert line.endswith(f"\n  ±: standard deviation over {over}") == bool(over)


def test_a_command_with_a_path_that_has_spaces_can_be_pasted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = summary_of(Path("my run"), capsys, best=np.full((2, 2), 0.5))
    assert "python -m gtzan_jax.predict 'my run' SONG # predicts its genre" in said
    assert "python -m gtzan_jax.report 'my run' #" in said


def test_no_warning_is_printed_twice_by_one_command(capsys):
    table = dataclasses.replace(
        make_table(), repeats=((0, 1),), notice=" ".join(map(str, range(50)))
    )
    everything = [
        lambda: messages.warn("a"),
        lambda: messages.warn_of_table(table),
        lambda: messages.warn_of_leak(LEAK),
        lambda: messages.warn_of_model("sample", "leaky_segments"),
        lambda: cli.show_warning(UserWarning("b")),
    ]

    @messages.each_warning_once()
    def command():
        for warn in (*everything, *everything):
            warn()
        with messages.each_warning_once():  # run_sweep within the command sweep
            messages.warn("b")

    command()
    first = capsys.readouterr().err
    lines = [line for line in first.splitlines() if set(line) != {"!"}]
    assert len(lines) == len(set(lines))
    for told in ("warning: a\n", "warning: b\n", LEAK, "0 1 2", "SYNTHETIC", "exactly"):
        assert first.count(told) >= 1
    command()  # another command says it again
    assert capsys.readouterr().err == first


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_leak_is_red_on_a_terminal(capsys, monkeypatch, is_terminal):
    messages.warn_of_leak("")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    messages.warn_of_leak(LEAK)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("\033[1;31mLEAK: " if is_terminal else "LEAK: ")
    assert line.endswith("\033[0m") == is_terminal


def test_warnings_are_lines_that_a_terminal_can_bear(capsys):
    table = make_table()
    messages.warn_of_table(table)
    assert capsys.readouterr().err == ""
    tracks = ("a\x1b[31m.wav", *table.tracks[1:])
    repeated = dataclasses.replace(table, repeats=((0, 1),), tracks=tracks, notice="x " * 100)
    messages.warn_of_table(repeated)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == lines[-2] == "!" * 80
    assert all(len(line) <= 80 for line in lines[:-1])
    assert lines[-1].startswith(
        "warning: 2 of 100 tracks have exactly the features of another (a [31"
    )


def test_the_start_names_what_is_trained(capsys, tmp_path):
    messages.print_start(make_sweep(), 3, 2, "2 cpu devices", "table\n.csv", tmp_path)
    messages.print_trained(0, 72)
    messages.print_trained(24, 72)
    assert capsys.readouterr().out.splitlines() == [
        "tiny: 12 configurations × 3 folds × 2 seeds × 2 epochs on 2 cpu devices",
        f"  data: table .csv; results in {tmp_path}",
        "  24 of 72 epochs are already trained",
    ]
