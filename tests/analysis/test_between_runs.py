import dataclasses

import msgspec
import numpy as np
import pandas as pd
import pytest
from conftest import make_cnn_sweep, make_sweep
from finished_runs import history_of, random_history, write_run
from scipy import stats

from gtzan_jax.analysis.between_runs import compare, manifest_differences
from gtzan_jax.errors import InputError
from gtzan_jax.jobs.comparing import markdown
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.rundir.history import trials_of

SWEEP = make_sweep()
# Half of the first sweep's configs, and as many of its own; the axes in another order of values.
OTHER = make_sweep(axes={"num_units1": [16, 12]}, loss="softmax_twice")


@pytest.fixture
def folders(tmp_path):
    random = np.random.default_rng(1)
    first = write_run(tmp_path / "first", SWEEP, random_history(SWEEP, 2))
    history = history_of(OTHER, random.uniform(0.2, 0.8, (12, 1)).astype(np.float32))
    history.figures[7, 0, 0] = np.nan  # 12 units, the second config
    other = write_run(tmp_path / "other", OTHER, history, platform="gpu")
    return first, other


def merged(folders):
    """Joins the result tables with pandas."""
    tables = [pd.read_csv(folder / "results.csv") for folder in folders]
    both = tables[0].merge(tables[1], on=list(SWEEP.axes), suffixes=("_a", "_b"))
    return both[~both.diverged_a & ~both.diverged_b]


def test_figures_are_those_of_joined_tables(folders):
    """The runs share one seed of two, whose differences are those of the trials' tables."""
    both = merged(folders)
    found = compare([read_finished(folder) for folder in folders]).pairs.iloc[0]
    assert found.matched == len(both) == 5
    ids = both[["config_id_a", "config_id_b"]].to_numpy()
    trials = [
        pd.read_csv(folder / "trials.csv").query("seed == 0").set_index("config_id").test_accuracy
        for folder in folders
    ]
    difference = trials[1][ids[:, 1]].to_numpy() - trials[0][ids[:, 0]].to_numpy()
    assert found.difference == pytest.approx(difference.mean())
    assert found.paired_runs == 1
    assert np.isnan([found.low, found.high]).all()
    assert found.interval_over == ""
    rank = stats.spearmanr(both.test_accuracy_a, both.test_accuracy_b).statistic
    assert found.rank_correlation == pytest.approx(rank)


def pair_of(tmp_path, accuracies, sweeps=(SWEEP, SWEEP), **changes):
    """Returns the comparison of two runs of (configs, runs) accuracies; changes: of the second."""
    runs = []
    for name, sweep, accuracy in zip("ab", sweeps, accuracies, strict=True):
        history = history_of(sweep, accuracy)
        folder = write_run(tmp_path / name, sweep, history, **(changes if name == "b" else {}))
        runs.append(read_finished(folder))
    return compare(runs)


def test_an_interval_is_over_the_seeds_that_both_runs_have(tmp_path):
    """Student's, of each seed's mean over the configs; the first run has three seeds more."""
    random = np.random.default_rng(3)
    first, other = random.uniform(0.2, 0.8, (12, 7)), random.uniform(0.2, 0.8, (12, 4))
    found = pair_of(tmp_path, (first, other)).pairs.iloc[0]
    test = stats.ttest_rel(other.mean(axis=0), first[:, :4].mean(axis=0))
    expected = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert found.difference == pytest.approx((other - first[:, :4]).mean(), abs=1e-6)
    assert (found.paired_runs, found.interval_over) == (4, "seeds")


def test_configs_that_are_equal_over_the_runs_are_ties(tmp_path):
    """Means of 0.1, 0.2, 0.3 and of 0.3, 0.2, 0.1 differ in their last bit."""
    first = np.tile([0.1, 0.2, 0.3], (12, 1))
    other = first.copy()
    first[4], other[7] = [0.3, 0.2, 0.1], [0.3, 0.2, 0.1]
    found = pair_of(tmp_path, (first, other)).pairs.iloc[0]
    assert np.isnan(found.rank_correlation)


def test_seeds_are_paired_by_their_number(tmp_path):
    """The other run has two of the seeds, in another order, and one more between them."""
    accuracy = np.random.default_rng(4).uniform(0.2, 0.8, (12, 3))
    other = history_of(SWEEP, np.stack([accuracy[:, 2], np.full(12, 0.9), accuracy[:, 0]], axis=1))
    other = dataclasses.replace(other, trials=tuple(trials_of(SWEEP, 1, [2, 5, 0])))
    runs = [
        read_finished(write_run(tmp_path / "a", SWEEP, history_of(SWEEP, accuracy))),
        read_finished(write_run(tmp_path / "b", SWEEP, other, seeds=[2, 5, 0])),
    ]
    found = compare(runs).pairs.iloc[0]
    assert found.paired_runs == 2
    assert found.difference == 0
    assert np.isnan(found.low)  # equal differences tell nothing of their variance


@pytest.mark.parametrize("changes", [{"split": {"seed": 1}}, {"data": {"sha256": "0" * 64}}])
def test_runs_on_other_tracks_are_not_paired(tmp_path, changes):
    random = np.random.default_rng(5)
    accuracies = random.uniform(0.2, 0.8, (2, 12, 4))
    first = pair_of(tmp_path / "same", accuracies).pairs.iloc[0]
    manifest = read_finished(tmp_path / "same" / "a").manifest
    (name, values), *_ = changes.items()
    other = {name: msgspec.structs.replace(getattr(manifest, name), **values)}
    found = pair_of(tmp_path / "other", accuracies, **other).pairs.iloc[0]
    assert found.paired_runs == 0
    assert np.isnan([found.low, found.high]).all()
    assert found.difference == pytest.approx(first.difference)
    assert np.isfinite(first.low)


def test_folds_are_the_units_where_there_are_five(tmp_path):
    sweep = make_sweep(protocol="kfold", num_folds=5)
    accuracies = np.random.default_rng(6).uniform(0.2, 0.8, (2, 12, 10))
    found = pair_of(tmp_path, accuracies, (sweep, sweep)).pairs.iloc[0]
    difference = (accuracies[1] - accuracies[0]).mean(axis=0).reshape(5, 2).mean(axis=1)
    error = np.sqrt((1 / 5 + 1 / 4) * difference.var(ddof=1))  # Nadeau and Bengio
    margin = stats.t.ppf(0.975, 4) * error
    assert found.high - found.low == pytest.approx(2 * margin, rel=1e-4)
    assert (found.paired_runs, found.interval_over) == (10, "folds")


def test_a_seed_that_shifts_all_configs_alike_is_no_effect(tmp_path):
    """An interval over the configs found one always; over seeds it is found once in twenty."""
    random, alarms = np.random.default_rng(7), []
    first = history_of(SWEEP, np.full((12, 6), 0.5))
    runs = [read_finished(write_run(tmp_path / name, SWEEP, first)) for name in "ab"]
    for _ in range(200):
        shift = random.normal(0, 0.02, 6) + random.normal(0, 1e-3, (12, 6))
        found = compare([runs[0], dataclasses.replace(runs[1], accuracy=0.5 + shift)])
        alarms.append(not found.pairs["low"][0] <= 0 <= found.pairs["high"][0])
    assert 0 < np.mean(alarms) < stats.binom.ppf(0.999, 200, 0.05) / 200


def flat(comparison):
    """Returns the text of a comparison on one line."""
    return " ".join(markdown(comparison).split())


def test_what_an_interval_is_over_is_said(tmp_path):
    accuracies = np.random.default_rng(8).uniform(0.2, 0.8, (2, 12, 3))
    three = markdown(pair_of(tmp_path / "three", accuracies))
    assert "share initial weights, order of rows and dropout noise" in " ".join(three.split())
    assert (cells(three, "paired runs"), cells(three, "over")) == (["3"], ["seeds"])
    one = markdown(pair_of(tmp_path / "one", accuracies[:, :, :1]))
    assert (cells(one, "paired runs"), cells(one, "over")) == (["1"], ["–"])
    split = msgspec.structs.replace(read_finished(tmp_path / "one" / "a").manifest.split, seed=1)
    none = markdown(pair_of(tmp_path / "none", accuracies, split=split))
    assert (cells(none, "paired runs"), cells(none, "95 % interval")) == (["0"], ["–"])


def test_configs_stand_side_by_side(folders):
    table = compare([read_finished(folder) for folder in folders]).configs
    assert list(table.columns) == [*SWEEP.axes, "first", "other"]
    assert len(table) == 6
    assert (table["num_units1"] == 12).all()
    assert table["first"].is_monotonic_decreasing
    assert table["other"].isna().sum() == 1


def test_manifests_differ_where_they_differ(folders):
    table = compare([read_finished(folder) for folder in folders]).manifests.set_index("manifest")
    assert list(table.index) == ["sweep.axes.num_units1", "sweep.loss", "seeds", "platform"]
    assert table.loc["sweep.loss"].to_list() == ["cross_entropy", "softmax_twice"]
    assert table.loc["seeds"].to_list() == ["[0, 1]", "[0]"]


def test_a_key_that_only_one_manifest_has_is_a_difference(folders):
    manifest = read_finished(folders[0]).manifest
    other = msgspec.structs.replace(manifest, diverged=3, resume="another")
    table = manifest_differences(["a", "b"], [manifest, other])
    assert table.to_numpy().tolist() == [["diverged", "", "3"]]


def test_a_session_elsewhere_is_a_difference(folders):
    one = read_finished(folders[0]).manifest
    later = {"started": "later", "devices": ["cuda:0"], "versions": {"python": "3.12.1"}}
    session = msgspec.structs.replace(one.sessions[0], **later)
    two = msgspec.structs.replace(one, sessions=[*one.sessions, session])
    assert manifest_differences(["a", "b"], [one, two]).to_numpy().tolist() == [
        ["devices", "cpu:0", "cpu:0; cuda:0"],
        ["versions.python", "3.11.7", "3.11.7; 3.12.1"],
    ]


def test_a_run_equals_its_copy(tmp_path):
    history = random_history(SWEEP)
    runs = [read_finished(write_run(tmp_path / name, SWEEP, history)) for name in "ab"]
    comparison = compare(runs)
    found = comparison.pairs.iloc[0]
    assert (found.difference, found.rank_correlation) == (0, 1)
    assert comparison.manifests.empty
    assert markdown(comparison).rstrip().endswith("Nothing.")


def test_equal_folder_names_are_told_apart_by_their_paths(tmp_path):
    history = random_history(SWEEP)
    folders = [write_run(tmp_path / name / "run", SWEEP, history) for name in "ab"]
    assert compare([read_finished(f) for f in folders]).runs["run"].to_list() == list(
        map(str, folders)
    )
    with pytest.raises(InputError, match="named twice"):
        compare([read_finished(folders[0])] * 2)


def test_equally_good_configs_have_no_rank_correlation(tmp_path):
    history = history_of(SWEEP, np.full((12, 1), 0.5))
    runs = [read_finished(write_run(tmp_path / name, SWEEP, history)) for name in "ab"]
    assert np.isnan(compare(runs).pairs["rank_correlation"][0])
    assert "–" in markdown(compare(runs))


def runs_of(tmp_path, sweeps, **tables):
    """Returns finished runs by name; tables: of those that are not of the sample."""
    return [
        read_finished(write_run(tmp_path / name, sweep, random_history(sweep), tables.get(name)))
        for name, sweep in sweeps.items()
    ]


def test_runs_without_a_common_config_are_compared_by_bests_and_axes(tmp_path):
    sweeps = {"a": SWEEP, "b": make_sweep(axes={"num_units3": [7]}), "c": SWEEP}
    runs = runs_of(tmp_path, sweeps)
    comparison = compare(runs)
    assert comparison.pairs["matched"].to_list() == [0, 12]
    assert np.isnan(comparison.pairs["difference"][0])
    assert [config.id for config in comparison.bests] == [r.results.config_id[0] for r in runs]
    for row, run in zip(comparison.runs.to_dict("records"), runs, strict=True):
        hits = run.predictions.correct[run.sweep.places[run.config().id]][0]
        assert row["low"] < hits.mean() < row["high"]
        assert row["best"] == run.results.test_accuracy.max()
    said = unwrapped(markdown(comparison))
    assert "- b: 0 of 12 configurations in common with a" in said
    assert "- c: " not in said.partition("##")[0]
    assert cells(said, "num_units3") == ["5", "7", "5"]
    assert cells(said, "test accuracy") == [f"{row:.3f}" for row in comparison.runs["best"]]
    assert cells(said, "configurations") == ["12 of 12"]  # of c alone
    alone = markdown(compare(runs[:2]))
    assert "configuration by configuration" not in alone
    assert "at least two runs" not in alone


def unwrapped(text):
    """Returns a text whose paragraphs and points stand on a line each."""
    return text.replace("\n  ", " ")


def cells(text, name):
    """Returns the row of a table of a text that begins with a name, without the name."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    return next(row[1:] for row in rows if row and row[0] == name)


def test_runs_that_share_no_axis_share_no_config(tmp_path):
    sweeps = {"a": SWEEP, "b": make_cnn_sweep(filters=[8, 16])}
    comparison = compare(runs_of(tmp_path, sweeps))
    assert comparison.axes == ()
    assert comparison.pairs["matched"][0] == 0
    assert comparison.configs.empty
    assert comparison.pairs["differs"][0] == "protocol"
    said = markdown(comparison)
    assert cells(said, "filters")[0] == "–"
    assert cells(said, "num_units")[1] == "–"


@pytest.mark.parametrize(
    ("changes", "differs", "caution"),
    [
        ({}, "", None),
        ({"split": {"seed": 1}}, "split", "b: another split than a: tested on other songs"),
        ({"data": {"sha256": "0" * 64}}, "table", "b: another table than a: "),
        (
            {"data": {"sha256": "0" * 64, "source": "kaggle"}},
            "table",
            "a: trained on the SYNTHETIC sample, whose figures say nothing about music and do not",
        ),
    ],
)
def test_what_cannot_be_set_side_by_side_is_said(tmp_path, changes, differs, caution):
    first, other = runs_of(tmp_path, {"a": SWEEP, "b": SWEEP})
    manifest = other.manifest
    for name, values in changes.items():
        changed = msgspec.structs.replace(getattr(manifest, name), **values)
        manifest = msgspec.structs.replace(manifest, **{name: changed})
    comparison = compare([first, dataclasses.replace(other, manifest=manifest)])
    assert comparison.pairs["differs"][0] == differs
    said = unwrapped(markdown(comparison).partition("##")[0])
    if caution:
        assert f"- {caution}" in said
    else:
        assert "another" not in said
        assert "do not compare with" not in said
        assert "- a, b: trained on the SYNTHETIC sample" in said


@pytest.mark.parametrize(("units", "shared"), [([8, 12], 12), ([12, 7], 6), ([12, 7, 6], 6)])
def test_few_common_configs_are_said(tmp_path, units, shared):
    other = make_sweep(axes={"num_units1": units})
    pairs = compare(runs_of(tmp_path, {"a": SWEEP, "b": other}))
    said = unwrapped(markdown(pairs))
    assert pairs.pairs["matched"][0] == shared
    assert pairs.pairs["out_of"][0] == 12
    assert ("configurations in common with a" in said) == (2 * shared < 12)


def test_what_the_bests_figures_are_is_chosen_by_the_runs(tmp_path):
    holdout = make_sweep(protocol="holdout")
    said = flat(compare(runs_of(tmp_path / "test", {"a": SWEEP, "b": SWEEP})))
    assert "a, b: the best is selected on the same songs as its accuracy, which is" in said
    assert "±" not in said
    history = random_history(holdout, 2)
    runs = [write_run(tmp_path / name, holdout, history) for name in "cd"]
    said = flat(compare([read_finished(run) for run in runs]))
    assert "selected on the same songs" not in said
    assert "±: deviation over folds and seeds." in said


def test_text_fits_a_terminal(folders):
    said = markdown(compare([read_finished(folder) for folder in folders]))
    assert max(map(len, said.splitlines())) <= 80
    for table in said.split("\n\n"):
        if table.startswith("|"):
            assert len({len(line) for line in table.splitlines()}) == 1


def test_runs_with_other_axes_are_matched_by_the_common_ones(tmp_path):
    axes = {"num_units2": None, "num_units3": None, "dropout2": None, "dropout3": None}
    deep = make_sweep(axes={"num_units4": [4], "learning_rate": [0.1, 0.01]}, learning_rates=None)
    runs = [
        read_finished(write_run(tmp_path / name, sweep, random_history(sweep)))
        for name, sweep in {"one": make_sweep(axes=axes), "deep": deep}.items()
    ]
    comparison = compare(runs)
    common = ["num_units1", "dropout1", "activation", "initializer", "optimizer"]
    assert list(comparison.axes) == common
    assert list(comparison.configs.columns) == [*common, "one", "deep"]
    assert comparison.pairs["matched"][0] == 12
    means = runs[1].results.groupby(common)["test_accuracy"].mean()  # over learning rates
    for row in comparison.configs.to_dict("records"):
        assert row["deep"] == pytest.approx(means[tuple(row[name] for name in common)], abs=1e-6)


def test_runs_of_other_protocols_can_be_compared(tmp_path):
    sweeps = [SWEEP, make_sweep(protocol="kfold", num_folds=3)]
    runs = [
        read_finished(write_run(tmp_path / sweep.protocol, sweep, random_history(sweep)))
        for sweep in sweeps
    ]
    comparison = compare(runs)
    assert comparison.runs["protocol"].to_list() == ["assignment", "kfold"]
    assert comparison.runs["folds"].to_list() == [1, 3]
    assert "sweep.protocol" in comparison.manifests["manifest"].to_list()
