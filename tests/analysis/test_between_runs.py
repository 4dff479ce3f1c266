import msgspec
import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep
from finished_runs import history_of, random_history, write_run
from scipy import stats

from gtzan_jax.analysis.between_runs import compare, manifest_differences
from gtzan_jax.errors import InputError
from gtzan_jax.jobs.comparing import markdown
from gtzan_jax.rundir.finished import read_finished

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
    both = merged(folders)
    found = compare([read_finished(folder) for folder in folders]).pairs.iloc[0]
    assert found.matched == len(both) == 5
    difference = both.test_accuracy_b - both.test_accuracy_a
    assert found.difference == pytest.approx(difference.mean())
    expected = stats.ttest_rel(both.test_accuracy_b, both.test_accuracy_a).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    rank = stats.spearmanr(both.test_accuracy_a, both.test_accuracy_b).statistic
    assert found.rank_correlation == pytest.approx(rank)
    best_a, best_b = both.test_accuracy_a.idxmax(), both.test_accuracy_b.idxmax()
    assert found.same_best == (best_a == best_b)


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
    assert (found.difference, found.rank_correlation, found.same_best) == (0, 1, True)
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


def test_runs_without_a_common_config_are_refused(tmp_path):
    other = make_sweep(axes={"num_units3": [7]})
    folders = [
        write_run(tmp_path / f"run{i}", sweep, random_history(sweep))
        for i, sweep in enumerate((SWEEP, other))
    ]
    with pytest.raises(InputError, match="run1 and run0 have no configuration in common"):
        compare([read_finished(folder) for folder in folders])


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
