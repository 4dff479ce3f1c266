"""What stands in the report's sections, against the same figures computed from the run's files."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep
from finished_runs import (
    TIED,
    history_of,
    random_history,
    write_baselines,
    write_best_history,
    write_run,
)
from report_words import said

from gtzan_jax.analysis import effects, selection
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.tables.protocols import LEAK, make_splits
from gtzan_jax.tables.schema import FEATURES, TAGS, UNITS
from gtzan_jax.tables.sources import load_table
from gtzan_jax.views.sections.baselines import find_baselines, read_baselines
from gtzan_jax.views.sections.caveats import caveats_part
from gtzan_jax.views.sections.comparison import comparison_section
from gtzan_jax.views.sections.details import details_section
from gtzan_jax.views.sections.effects import effects_of, effects_section, matters_part
from gtzan_jax.views.sections.retrained import retrained_section
from gtzan_jax.views.sections.selection import selection_section, winner_of
from gtzan_jax.views.sections.summary import swept, trust_part

pytestmark = pytest.mark.usefixtures("undrawn")
SWEEP = make_sweep()


def run_of(folder, sweep=SWEEP, num_seeds=1, history=None):
    return read_finished(write_run(folder, sweep, history or random_history(sweep, num_seeds)))


def test_the_number_to_trust_is_corrected_where_the_test_part_chose(tmp_path):
    run = run_of(tmp_path / "run", num_seeds=2)
    winner = winner_of(run)
    predictions, best = run.predictions, run.results.iloc[0]
    curve = selection.selected_on_test(predictions.correct, predictions.group)
    optimism = curve["optimism"].iloc[-1]
    assert optimism > 0.01
    assert winner.apparent == best.test_accuracy
    assert winner.optimism == pytest.approx(optimism)
    assert winner.trusted == curve["held_out"].iloc[-1]
    assert (winner.low, winner.high) == (curve["low"].iloc[-1], curve["high"].iloc[-1])
    assert winner.low < winner.trusted < winner.high
    section = selection_section(run, winner, caveats_part(run, None, ""))
    assert f"is one of the {TIED} marked indistinguishable_from_best" in said(section)


@pytest.mark.parametrize(("protocol", "num_folds"), [("holdout", 1), ("kfold", 3)])
def test_the_number_to_trust_is_the_test_parts_where_another_chose(tmp_path, protocol, num_folds):
    sweep = make_sweep(protocol=protocol, num_folds=3)
    run = run_of(tmp_path / "run", sweep, 2)
    winner = winner_of(run)
    best = run.results.iloc[0]
    assert winner.trusted == best.test_accuracy
    assert winner.apparent == best.validation_accuracy
    hits = run.predictions.correct[sweep.places[best.config_id]].mean(axis=0)
    expected = selection.accuracy_interval(hits, run.predictions.group)
    assert (winner.low, winner.high) == expected
    last = run.history[run.history["epoch"] == sweep.epochs]
    winners = [fold.groupby("config_id").mean() for _, fold in last.groupby("fold")]
    winners = [fold.loc[fold["validation_accuracy"].idxmax()] for fold in winners]
    assert len(winners) == num_folds
    gap = np.mean([w["validation_accuracy"] - w["test_accuracy"] for w in winners])
    assert winner.optimism == pytest.approx(gap, abs=1e-6)
    of_one = (last["validation_accuracy"] - last["test_accuracy"]).mean()
    assert winner.curve["optimism"].iloc[0] == pytest.approx(
        of_one, abs=0.03
    )  # of 1,000 drawn configs


def test_diverged_configs_have_no_part_in_the_curve(tmp_path):
    history = random_history(SWEEP)
    history.figures[3] = np.nan
    curve = winner_of(run_of(tmp_path / "run", history=history)).curve
    assert curve["configs"].to_list() == [1, 3, 10, 11]


def test_trials_that_are_damaged_are_told(tmp_path):
    sweep = make_sweep(protocol="holdout")
    run = run_of(tmp_path / "run", sweep)
    RunDir(tmp_path / "run").trials_path.write_text("config_id,fold,seed\nc,0,0\n")
    with pytest.raises(InputError, match=r"trials\.csv: cannot be used"):
        winner_of(run)


def test_the_hyperparameter_that_matters_most_comes_first(tmp_path):
    accuracy = np.full((12, 1), 0.5)
    accuracy += [[0.1 * (config["optimizer"] == "sgd")] for config in SWEEP.configs]
    accuracy += [[0.02 * (config["num_units1"] == 8)] for config in SWEEP.configs]
    run = run_of(tmp_path / "run", history=history_of(SWEEP, accuracy))
    found = effects_of(run.accuracy_by_fold, SWEEP)
    names = list(dict.fromkeys(found.values["hyperparameter"]))
    assert names == ["optimizer", "num_units1", "activation"]
    assert names == list(found.shares)  # on a complete grid the same order
    share = f"{100 * found.shares['optimizer']:.0f} % of the variance"
    text = said(matters_part(run, found))
    assert f"**optimizer, each at its own learning rate**, {share}; sgd 6.7 points above" in text


def test_effects_of_all_values_are_in_a_table(tmp_path):
    run = run_of(tmp_path / "run", num_seeds=3)
    section = effects_section(run, effects_of(run.accuracy_by_fold, SWEEP))
    table = section.tables[0]
    found = {(row[0], row[1]): row for row in table.rows}
    expected = effects.value_effects(run.accuracy_by_fold, SWEEP.varying)
    assert len(found) == len(expected)
    for row in expected.itertuples():
        cells = found[row.hyperparameter, str(row.value)]
        shown = [f"{100 * each:+.2f}".replace("-", "−") for each in (row.effect, row.low, row.high)]
        assert cells[2:4] == [shown[0], f"{shown[1]} to {shown[2]}"]


def test_the_page_begins_with_what_was_swept(tmp_path):
    text = swept(run_of(tmp_path / "run"))
    assert text.startswith("12 configurations (every combination of 3 hyperparameters), ")


def test_endings_of_the_retraining_are_means_and_deviations(tmp_path):
    sweep = make_sweep(protocol="holdout")
    path = write_run(tmp_path / "run", sweep, random_history(sweep))
    curves = {
        "test_accuracy": np.array([[0.1, 0.4, 0.5], [0.2, 0.6, 0.7]]),
        "validation_accuracy": np.array([[0.0, 0.9, 0.5], [0.0, 0.6, 0.7]]),
        "test_loss": np.array([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]]),
    }
    write_best_history(path, **curves)
    run = read_finished(path)
    text = said(retrained_section(run))
    assert "**0.600 ± 0.141** test accuracy (mean ± deviation of 2 networks) after" in text
    assert "At the epochs best on the validation part: 0.550 ± 0.212." in text
    assert "Test loss: lowest in epoch 2 (1.000), 2.000" in text


def shown(run, baselines):
    """Returns the section on baselines, its words, and its table of all figures."""
    section = comparison_section(run, baselines, None)
    return section, said(section), section.parts[1].tables[0]


def test_baselines_name_the_protocol_to_trust_and_what_it_costs(tmp_path):
    folder = write_baselines(tmp_path / "baselines-1", "0" * 64)
    run = run_of(tmp_path / "run")
    baselines = read_baselines([folder])
    assert baselines.trusted == "artist_folds"
    ours, best = baselines.pair("artist_folds")
    assert (ours["accuracy"], best["model"]) == (0.492, "extra trees")
    assert baselines.finding == (
        "Our network and the best other model by validation accuracy, extra trees: "
        "0.71 to 0.73 on random splits, 0.49 to 0.51 with each artist on one side."
    )
    assert baselines.bars(run) == (
        "Bars: 95 % intervals of these fitted models, for other songs like these on random splits, "
        "other artists with each artist on one side."
    )
    _, text, table = shown(run, baselines)
    assert "From `baselines-1`: assignment, artist_folds; our networks from the sweep" in text
    assert "sweep of baselines-1. 12 against 2." in text
    rows = [["assignment", "ours", "0.7310"], ["assignment", "extra trees", "0.7120"]]
    rows += [["artist_folds", "ours", "0.4920"], ["artist_folds", "extra trees", "0.5110"]]
    assert [row[:3] for row in table.rows] == rows
    assert baselines.pairs["label"].to_list() == ["assignment"] * 2 + ["artist_folds"] * 2
    part = trust_part(run, winner_of(run), baselines)
    assert 'class="accuracy_by_protocol"' in part.figures[0]


@pytest.mark.parametrize(
    ("refitted", "low", "high", "expected"),
    [
        (True, -0.043, 0.104, "to +10.40 with refitting: **neither is clearly better**."),
        (True, 0.01, 0.051, "+1.00 to +5.10 with refitting: **our network is better**."),
        (True, -0.051, -0.01, "−5.10 to −1.00 with refitting: **extra trees is better**."),
        (False, -0.051, -0.01, "−1.00 for these fitted models only: **extra trees is better**."),
        (False, np.nan, np.nan, "Difference −1.90 points, without an interval."),
    ],
)
def test_verdicts_go_by_the_interval_and_say_whether_it_includes_refitting(
    refitted, low, high, expected, tmp_path
):
    folder = write_baselines(tmp_path / "baselines-1", "0" * 64)
    frame = pd.read_csv(folder / "comparison.csv")
    frame.assign(with_refitting=refitted, low=low, high=high).to_csv(folder / "comparison.csv")
    _, text, table = shown(run_of(tmp_path / "run"), read_baselines([folder]))
    assert "0.511. Difference −1.90 points, " in text
    assert expected in text
    assert table.columns[-1] == "interval of"
    kind = "refitted models" if refitted else "fitted models"
    assert {row[-1] for row in table.rows} == {kind, "–"}


def test_intervals_are_told_where_there_are_some(tmp_path):
    folder = write_baselines(tmp_path / "baselines-1", "0" * 64, "LDA", {"kfold": (0.6, 0.5)})
    (folder / "baselines.csv").write_text(
        (folder / "baselines.csv").read_text().replace(",0.57,", ",,").replace(",0.47,", ",,")
    )
    assert read_baselines([folder]).bars(run_of(tmp_path / "run")) == ""


def test_baselines_of_older_versions_are_refused_or_passed_over(tmp_path):
    """Their best was chosen on the test part."""
    run = run_of(tmp_path / "run")
    folder = write_baselines(tmp_path / "baselines-1", run.manifest.data.sha256)
    assert find_baselines(run, []) == [folder]
    described = json.loads((folder / "baselines.json").read_text())
    del described["best_chosen_on"]
    (folder / "baselines.json").write_text(json.dumps(described))
    assert find_baselines(run, []) == []
    with pytest.raises(InputError, match=r"no baselines\.json and baselines\.csv that can be used"):
        find_baselines(run, [str(folder)])


def test_baselines_of_one_protocol_leave_the_runs_own_number(tmp_path):
    folder = write_baselines(tmp_path / "baselines-1", "0" * 64)
    for name in ("baselines", "comparison"):
        frame = pd.read_csv(folder / f"{name}.csv")
        frame[frame["protocol"] == "assignment"].to_csv(folder / f"{name}.csv", index=False)
    described = json.loads((folder / "baselines.json").read_text())
    described["protocols"] = described["protocols"][:1]
    (folder / "baselines.json").write_text(json.dumps(described))
    run = run_of(tmp_path / "run")
    baselines = read_baselines([folder])
    assert baselines.trusted == "assignment"
    assert baselines.finding.endswith("extra trees: 0.71 to 0.73.")
    assert not trust_part(run, winner_of(run), baselines).figures


def test_of_several_baselines_each_tells_its_budget_and_its_notes(tmp_path):
    folders = [write_baselines(tmp_path / f"baselines-{i}", "0" * 64) for i in range(2)]
    described = json.loads((folders[0] / "baselines.json").read_text())
    described["protocols"] = described["protocols"][:1]
    described["notes"] |= {"selection": "Older.", "budget": "2 against 12.", "segments": "Vote."}
    (folders[0] / "baselines.json").write_text(json.dumps(described))
    section, text, _ = shown(run_of(tmp_path / "run"), read_baselines(folders))
    for number, protocol, budget in ((0, "assignment", "2 against 12."), (1, "artist_folds", "12")):
        networks = f"our networks from the sweep sweep of baselines-{number}. {budget}"
        assert f"From `baselines-{number}`: {protocol}; {networks}" in text
    notes = said(section.parts[2])
    assert "Vote." in notes
    assert "Nothing is chosen on a test part." in notes
    assert "Older." not in notes


def test_of_several_baselines_the_one_that_cannot_be_used_is_named(tmp_path):
    folders = [write_baselines(tmp_path / f"baselines-{i}", "0" * 64) for i in range(3)]
    (folders[1] / "importance.png").unlink()
    with pytest.raises(InputError, match=r"baselines-1: files cannot be used \(FileNotFound"):
        read_baselines(folders)


@pytest.mark.parametrize("alone", [False, True])
def test_baselines_that_leak_are_trusted_only_where_there_are_no_others(tmp_path, alone):
    """They are marked, and have no say in the finding; alone they are warned of."""
    folder = write_baselines(tmp_path / "baselines-1", "0" * 64)
    for path in folder.glob("*.[cj]s*"):
        path.write_text(path.read_text().replace("artist_folds", "leaky_segments"))
    described = json.loads((folder / "baselines.json").read_text())
    described["protocols"][1]["leak"] = LEAK
    described["protocols"] = described["protocols"][int(alone) :]
    (folder / "baselines.json").write_text(json.dumps(described))
    if alone:
        for name in ("baselines", "comparison"):
            frame = pd.read_csv(folder / f"{name}.csv")
            frame[frame["protocol"] != "assignment"].to_csv(folder / f"{name}.csv", index=False)
    baselines = read_baselines([folder])
    run = run_of(tmp_path / "run")
    section, text, table = shown(run, baselines)
    assert "songs in the training set under a protocol that leaks" in baselines.bars(run)
    marked = "leaky_segments (LEAK)"
    assert baselines.trusted == ("leaky_segments" if alone else "assignment")
    assert (f"{LEAK}. No figure here" in text) == alone
    read = "0.49 to 0.51" if alone else "0.71 to 0.73"
    assert baselines.finding.endswith(f"extra trees: {read}.")
    assert table.rows[-1][0] == section.parts[2].tables[0].rows[-1][0] == marked
    assert baselines.pairs["label"].iloc[-1] == marked


@pytest.mark.parametrize("protocol", ["assignment", "mixed_artists", "artist_folds"])
def test_caveats_know_whether_artists_are_apart(tmp_path, protocol):
    run = run_of(tmp_path / "run", make_sweep(protocol=protocol))
    sample = load_table("sample")
    unknown = dataclasses.replace(sample, tracks=tuple(map(str, range(1000))))
    for table, known in ((sample, True), (None, False), (unknown, False)):
        text = said(caveats_part(run, table, ""))
        known = known or bool(run.protocol.goes_by)
        assert ("All songs of one artist are on one side" in text) == (protocol == "artist_folds")
        assert ("Some tracks of GTZAN are mislabelled" in text) == known
        if protocol != "artist_folds":
            assert ("no figure of this sweep is about new artists" in text) == known
            assert ("The artists are unknown." in text) != known


@pytest.mark.parametrize("features", [FEATURES, TAGS, UNITS], ids=["gtzan", "tags", "units"])
def test_a_report_tells_where_pretrained_features_come_from(tmp_path, features):
    x = np.random.default_rng(0).normal(size=(1000, len(features))).astype(np.float32)
    table = dataclasses.replace(load_table("sample"), x=x, features=features, source="songs")
    run = read_finished(write_run(tmp_path / "run", SWEEP, random_history(SWEEP, 1), table=table))
    text = said(caveats_part(run, None, ""))
    assert ("some of these tracks, or others of their albums" in text) is (features != FEATURES)
    text = said(comparison_section(run, None, None))
    assert ("The features are transferred" in text) is (features != FEATURES)
    assert ("all weights start from random numbers" in text) is (features == FEATURES)
    assert ("hand-designed numbers" in text) is (features == FEATURES)


@pytest.mark.parametrize(("in_train", "counted"), [(True, "None lies"), (False, "1 of them lies")])
def test_caveats_count_repeats_in_both_parts(tmp_path, in_train, counted):
    run, table = run_of(tmp_path / "run"), load_table("sample")
    [fold] = make_splits(table, "assignment", 0, 1).folds
    pair = int(fold.train[0]), int(fold.train[1] if in_train else fold.test[0])
    run.manifest.data.repeats.append([table.tracks[row] for row in pair])
    table = dataclasses.replace(table, repeats=(pair,))
    text = said(caveats_part(run, table, ""))
    assert f"{counted} in the train and the test part of a fold" in text
    assert ("was seen in training" in text) is not in_train


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_details_have_the_slope_of_what_has_one(tmp_path, activation):
    run = run_of(tmp_path / "run", make_sweep(axes={"activation": [activation]}))
    training = dict(details_section(run).tables[0].rows)["training"]
    assert ("leaky ReLU" in training) == (activation == "leaky_relu")


def test_details_have_what_was_left_out(tmp_path):
    run = run_of(tmp_path / "run")
    assert "left out" not in dict(details_section(run).tables[0].rows)
    run.manifest.split.left_out.append("52 tracks are in no fold.")
    assert dict(details_section(run).tables[0].rows)["left out"] == "52 tracks are in no fold."
