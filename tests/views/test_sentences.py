"""Sentences of the report, each with figures that go one way and the other."""

import dataclasses
import re

import numpy as np
import pytest
from conftest import make_sweep
from finished_runs import (
    history_of,
    networks_frame,
    random_history,
    write_best_history,
    write_confusion,
    write_run,
)
from report_words import words_of

from gtzan_jax.analysis import retraining_summary
from gtzan_jax.jobs.reporting import build
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE
from gtzan_jax.tables.protocols import make_splits
from gtzan_jax.tables.sources import load_table
from gtzan_jax.text import counted
from gtzan_jax.views.sections.retrained import loss_sentence, most_confused
from gtzan_jax.views.text import percent, points, signed

pytestmark = pytest.mark.usefixtures("undrawn")
SWEEP = make_sweep()
FIRST = np.arange(12) == 0


def text_of(folder):
    """Returns the report on a run as one line."""
    return words_of(build(read_finished(folder)).html)


def mark(folder, alike):
    """Changes which configs of a run are indistinguishable from the best, by rank."""
    run = RunDir(folder)
    results = run.read_results()
    results[INDISTINGUISHABLE] = alike
    results.to_csv(run.results_path, index=False, lineterminator="\n")
    manifest = run.read_manifest()
    run.record(manifest, "results.csv")


@pytest.mark.parametrize(
    ("alike", "sentence"),
    [
        (~FIRST, "11 of 12 configurations are statistically indistinguishable from the best on"),
        (FIRST, "none of the other 11 configurations is statistically indistinguishable"),
        (np.arange(12) == 1, "1 of 12 configurations are statistically indistinguishable"),
    ],
)
def test_indistinguishable_is_not_said_to_be_equally_good(tmp_path, alike, sentence):
    folder = write_run(tmp_path / "run", make_sweep(protocol="holdout"), random_history(SWEEP))
    mark(folder, alike)
    text = text_of(folder)
    assert sentence in text
    assert ("They need not be equally good." in text) == (alike.sum() > 1)
    assert ("; the first in the table is not among them)" in text) == (not alike[0])
    ends = RunDir(folder).read_results()[alike]["test_accuracy"].agg(["min", "max"])
    said = f"(test accuracies {ends['min']:.4f} to {ends['max']:.4f}"
    assert (said in text) == (alike.sum() > 1)


def with_validation(lead):
    """Returns a history whose config 0 is best by validation, by so much more than on test."""
    sweep = make_sweep(protocol="holdout")
    test = np.full((12, 1), 0.5)
    test[0] = 0.6
    history = history_of(sweep, test)
    history.figures[:, -1, METRICS.index("validation_accuracy")] = 0.5
    history.figures[0, -1, METRICS.index("validation_accuracy")] = 0.6 + lead
    return sweep, history


@pytest.mark.parametrize(("lead", "grows"), [(0.2, True), (0.0, False), (-0.05, False)])
def test_choosing_is_said_to_flatter_only_where_it_does(tmp_path, lead, grows):
    sweep, history = with_validation(lead)
    text = text_of(write_run(tmp_path / "run", sweep, history))
    assert ("the growth is the effect of selection" in text) is grows
    assert ("no effect of selection is seen" in text) is not grows
    assert "looks better on the validation part" not in text
    assert "−0.0 points" not in text
    apart = f"{100 * abs(lead):.1f} points {'worse' if lead < 0 else 'better'}"
    assert f"the winner is {apart} on the tracks that selected it than on others" in text
    assert "the points from one are the difference of the parts" in text


LARGER = {"num_units1": [4, 8], "dropout1": [0.0, 0.1], "initializer": ["he_normal", "he_uniform"]}
OPTIMIZERS = {"optimizer": ["adam", "sgd", "rmsprop"], "activation": ["relu"]}
FOUND = "**optimizer, each at its own learning rate**, "
ALONE = "no effect that one seed can show; the largest, of "
MOVE = "on the assignment's grid another seed moved effects by a point or two"


def matters(tmp_path, effects, num_seeds=1, **changes):
    """Returns the answer on what matters, of configs that differ by effects of values."""
    sweep = make_sweep(axes=LARGER | OPTIMIZERS, **changes)
    accuracy = [
        0.5 + sum(effects.get(value, 0) for value in dict(c).values()) for c in sweep.configs
    ]
    accuracy = np.array(accuracy)[:, None] + 1e-3 * np.arange(num_seeds)
    text = text_of(write_run(tmp_path / "run", sweep, history_of(sweep, accuracy)))
    assert "nan" not in text.lower()
    return text.partition("### Which hyperparameter matters")[2].partition("## Hyperp")[0]


@pytest.mark.parametrize(
    ("effects", "num_seeds", "of_all", "near"),
    [
        # SGD far behind; of the others, the initializers differ.
        ({"sgd": -0.3, "he_uniform": 0.1}, 1, FOUND, "optimizer sgd: **initializer**, 100 %"),
        ({"sgd": -0.3, "he_uniform": 0.02}, 1, FOUND, f"optimizer sgd: {ALONE}initializer, is 2.0"),
        ({"sgd": -0.3, "he_uniform": 0.02}, 3, FOUND, "optimizer sgd: **initializer**, "),
        ({"sgd": -0.3}, 1, FOUND, "optimizer sgd: no value of any hyperparameter differs"),
        # SGD among the best, and nothing left out.
        ({"sgd": 0.01}, 1, f"{ALONE}{FOUND.strip('*, ')}, is 1.0", ""),
        # Initializers far apart; of the better one, optimizers differ.
        (
            {"sgd": -0.01, "rmsprop": 0.01, "he_uniform": 0.1}, 1,
            "**initializer**, ", f"initializer he_normal: {ALONE}{FOUND.strip('*, ')}, is 2.0",
        ),
        ({}, 1, "no value of any hyperparameter differs", ""),
    ],
)  # fmt: skip
def test_what_matters_is_told_of_all_and_near_the_best(tmp_path, effects, num_seeds, of_all, near):
    text = matters(tmp_path, effects, num_seeds)
    assert f"Over all configurations: {of_all}" in text
    assert near in text
    assert bool(re.search(r"Near the best, \d+ configurations without", text)) is bool(near)
    assert (f"One seed: no interval; {MOVE}." in text) is (num_seeds == 1)
    assert "(adam 0.001, sgd 0.01, rmsprop 0.001)" in text


@pytest.mark.parametrize(
    ("changes", "named", "said"),
    [
        ({}, FOUND, "Each optimizer has its own learning rate (adam"),
        (
            {"learning_rates": {"adam": 0.01, "sgd": 0.01, "rmsprop": 0.01}},
            "**optimizer**, ", "All optimizers have the learning rate 0.01.",
        ),
        ({"axes": {"learning_rate": [0.1, 0.01]}, "learning_rates": None}, "**optimizer**, ", ""),
    ],
)  # fmt: skip
def test_optimizers_are_told_with_their_rates(tmp_path, changes, named, said):
    axes = LARGER | OPTIMIZERS | changes.get("axes", {})
    sweep = make_sweep(**changes | {"axes": axes})
    accuracy = np.array([[0.5 - 0.3 * (c["optimizer"] == "sgd")] for c in sweep.configs])
    text = text_of(write_run(tmp_path / "run", sweep, history_of(sweep, accuracy)))
    assert f"Over all configurations: {named}100 % of the variance" in text
    assert text.count(said) == (2 if said else text.count(""))
    assert bool(said) is ("learning rate" in text.partition("## Reliability")[0])


def test_one_config_is_not_chosen(tmp_path):
    axes = {"num_units1": [8], "activation": ["relu"], "optimizer": ["adam"]}
    sweep = make_sweep(axes=axes)
    text = text_of(write_run(tmp_path / "run", sweep, random_history(sweep)))
    assert "The only configuration." in text
    assert "Nothing was selected: there is one configuration." in text
    assert "The winner fits" not in text


@pytest.mark.parametrize("by_search", [True, False])
def test_the_only_one_trained_to_the_end_is_not_called_the_only_one(tmp_path, by_search):
    search = {"search": {"kind": "halving"}, "epochs": 4} if by_search else {}
    sweep = make_sweep(protocol="holdout", **search)
    history = random_history(sweep)
    history.figures[~FIRST] = history.figures[~FIRST] if by_search else np.nan
    if by_search:
        reached = np.where(FIRST, 4, 1)
        history = dataclasses.replace(history, reached=reached, last=reached, best=reached)
    text = text_of(write_run(tmp_path / "run", sweep, history))
    assert "The only configuration trained to the end without diverging." in text
    assert "there is one configuration" not in text
    assert ("Configurations that the search gave up early are not judged" in text) is by_search


@pytest.mark.parametrize(
    ("loss", "accuracy", "sentence"),
    [
        ([3, 2, 1], [0.1, 0.2, 0.3], "Test loss: lowest in epoch 3 (1.000)."),
        (
            [3, 1, 2], [0.1, 0.2, 0.2],
            "Test loss: lowest in epoch 2 (1.000), 2.000 in the last, while accuracy does not "
            "fall: the networks grow overconfident.",
        ),
        (
            [3, 1, 2], [0.1, 0.3, 0.2],
            "Test loss: lowest in epoch 2 (1.000), 2.000 in the last, where accuracy is lower, "
            "too.",
        ),
        ([3, 1, 1.0001], [0.1, 0.2, 0.2], "Test loss: lowest in epoch 2 (1.000)."),
    ],
    ids=["falls", "overconfident", "overfitted", "level"],
)  # fmt: skip
def test_the_loss_is_told_as_it_went(loss, accuracy, sentence):
    history = networks_frame(
        "assignment", test_loss=np.array(loss), test_accuracy=np.array(accuracy)
    )
    means = retraining_summary.mean_curves(history)
    assert loss_sentence(means, 3) == sentence
    assert " of the 3 that all networks have (1.000)" in loss_sentence(means, 4)


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        # More of b's predictions are wrong, but a larger share of c's.
        (
            [[90, 10, 0], [0, 170, 30], [6, 0, 14]],
            "Most frequent confusion: c predicted as a, 30 % of c.",
        ),
        (
            [[8, 2, 0], [0, 8, 2], [0, 0, 10]],
            "Most frequent confusion (and 1 other pair as often): a predicted as b, 20 % of a.",
        ),
        ([[5, 0, 0], [0, 5, 0], [0, 0, 5]], "No track is misclassified."),
    ],
    ids=["shares", "tied", "none"],
)
def test_the_most_confused_pair_is_that_of_the_largest_share(counts, sentence):
    assert most_confused(np.array(counts), "abc") == sentence


@pytest.mark.parametrize(("train", "word"), [(0.9, "less"), (0.4, "more")])
def test_the_gap_to_the_train_part_has_its_direction(tmp_path, train, word):
    folder = write_run(tmp_path / "run", SWEEP, random_history(SWEEP))
    write_best_history(folder, train_accuracy=np.full(2, train), test_accuracy=np.full(2, 0.6))
    write_confusion(folder, np.eye(10, dtype=int))
    text = text_of(folder)
    size = f"{100 * abs(train - 0.6):.2f}"
    assert f"accuracy {train:.3f}, test accuracy 0.600, {size} points {word}." in text


def test_one_epoch_is_one(tmp_path):
    sweep = make_sweep(epochs=1)
    folder = write_run(tmp_path / "run", sweep, random_history(sweep))
    write_best_history(folder, test_accuracy=np.array([0.5]))
    text = text_of(folder)
    assert "after 1 epoch, retrained" in text
    assert re.findall(r"[^.]{30}\b1 epochs", text) == []


def test_captions_count_the_tracks_that_take_part():
    sample = load_table("sample")
    assert "; 1,000 tracks; " in make_splits(sample, "assignment", 0, 1).caption
    splits = make_splits(sample, "fault_filtered", 0, 1)
    fold = splits.folds[0]
    used = len(fold.train) + len(fold.validation) + len(fold.test)
    assert used == 930
    assert "; 930 of 1,000 tracks; " in splits.caption


def test_figures_of_a_run_count_the_tracks_that_take_part(tmp_path):
    sweep = make_sweep(protocol="artist_folds")
    run = read_finished(write_run(tmp_path / "run", sweep, random_history(sweep)))
    assert "; 948 of 1,000 tracks; " in run.note


@pytest.mark.parametrize(("repeats", "sentence"), [
    ([["a", "b"]], "1 group of tracks has exactly equal features."),
    ([["a", "b"], ["c", "d"]], "2 groups of tracks have exactly equal features."),
])  # fmt: skip
def test_repeats_are_counted(tmp_path, repeats, sentence):
    folder = write_run(tmp_path / "run", SWEEP, random_history(SWEEP))
    run = RunDir(folder)
    manifest = run.read_manifest()
    manifest.data.repeats[:] = repeats
    run.record(manifest, "results.csv")
    assert sentence in text_of(folder)


@pytest.mark.parametrize(("value", "text"), [
    (-0.00001, "0.00"), (0.00001, "0.00"), (0.0, "0.00"), (-0.01, "−1.00"), (0.01, "+1.00"),
])  # fmt: skip
def test_what_rounds_to_zero_has_no_sign(value, text):
    assert points(value) == text
    assert signed(100 * value) == text
    assert percent(-0.0001) == "0 %"


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 epoch"), (2, "2 epochs"), (1000, "1,000 epochs")]
)
def test_counted_nouns_agree_with_their_number(count, text):
    assert counted(count, "epoch") == text


@pytest.mark.parametrize("several", [False, True])
def test_diverged_configs_are_counted(tmp_path, several):
    history = random_history(SWEEP)
    history.figures[: 1 + several] = np.nan
    text = text_of(write_run(tmp_path / "run", SWEEP, history))
    assert ("Without 2 diverged configurations, the grid is incomplete" in text) is several
    assert ("Without 1 diverged configuration, the grid is incomplete" in text) is not several
