import msgspec
import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep
from finished_runs import history_of, random_history, write_run
from scipy import stats
from test_sweep import command

from gtzan_jax.compare import compare, manifest_differences, markdown
from gtzan_jax.errors import InputError
from gtzan_jax.finished import read_run
from gtzan_jax.space import HYPERPARAMETERS

SWEEP = make_sweep()
# Half of the first sweep's configs, and as many of its own; the axes in another order of values.
OTHER = make_sweep(axes={"num_units1": [16, 12]}, loss="softmax_twice")


@pytest.fixture
def folders(tmp_path):
    random = np.random.default_rng(1)
    first = write_run(tmp_path / "first", SWEEP, random_history(SWEEP, 2))
    history = history_of(OTHER, random.uniform(0.2, 0.8, (12, 1)).astype(np.float32))
    history[7, 0, 0, 0] = np.nan  # 12 units, the second config
    other = write_run(tmp_path / "other", OTHER, history, platform="gpu")
    return first, other


def merged(folders):
    """Joins the result tables with pandas."""
    tables = [pd.read_csv(folder / "results.csv") for folder in folders]
    both = tables[0].merge(tables[1], on=list(HYPERPARAMETERS), suffixes=("_a", "_b"))
    return both[~both.diverged_a & ~both.diverged_b]


def test_figures_are_those_of_joined_tables(folders):
    both = merged(folders)
    found = compare([read_run(folder) for folder in folders]).pairs.iloc[0]
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
    table = compare([read_run(folder) for folder in folders]).configs
    assert list(table.columns) == [*HYPERPARAMETERS, "first", "other"]
    assert len(table) == 6
    assert (table["num_units1"] == 12).all()
    assert table["first"].is_monotonic_decreasing
    assert table["other"].isna().sum() == 1


def test_manifests_differ_where_they_differ(folders):
    table = compare([read_run(folder) for folder in folders]).manifests.set_index("manifest")
    assert list(table.index) == ["sweep.axes.num_units1", "sweep.loss", "seeds", "platform"]
    assert table.loc["sweep.loss"].to_list() == ["cross_entropy", "softmax_twice"]
    assert table.loc["seeds"].to_list() == ["[0, 1]", "[0]"]


def test_a_key_that_only_one_manifest_has_is_a_difference(folders):
    one = read_run(folders[0]).manifest
    two = msgspec.structs.replace(one, diverged=1, timings_s={})
    table = manifest_differences(["a", "b"], [one, two])
    assert table.to_numpy().tolist() == [["diverged", "", "1"]]


def test_a_session_elsewhere_is_a_difference(folders):
    one = read_run(folders[0]).manifest
    later = {"started": "later", "devices": ["cuda:0"], "versions": {"python": "3.12.1"}}
    session = msgspec.structs.replace(one.sessions[0], **later)
    two = msgspec.structs.replace(one, sessions=[*one.sessions, session])
    assert manifest_differences(["a", "b"], [one, two]).to_numpy().tolist() == [
        ["devices", "cpu:0", "cpu:0; cuda:0"],
        ["versions.python", "3.11.7", "3.11.7; 3.12.1"],
    ]


def test_a_run_equals_its_copy(tmp_path):
    history = random_history(SWEEP)
    runs = [read_run(write_run(tmp_path / name, SWEEP, history)) for name in "ab"]
    comparison = compare(runs)
    found = comparison.pairs.iloc[0]
    assert (found.difference, found.rank_correlation, found.same_best) == (0, 1, True)
    assert comparison.manifests.empty
    assert markdown(comparison).rstrip().endswith("Nothing.")


def test_equal_folder_names_are_told_apart_by_their_paths(tmp_path):
    history = random_history(SWEEP)
    folders = [write_run(tmp_path / name / "run", SWEEP, history) for name in "ab"]
    assert compare([read_run(f) for f in folders]).runs["run"].to_list() == list(map(str, folders))
    with pytest.raises(InputError, match="named twice"):
        compare([read_run(folders[0])] * 2)


def test_equally_good_configs_have_no_rank_correlation(tmp_path):
    history = history_of(SWEEP, np.full((12, 1), 0.5))
    runs = [read_run(write_run(tmp_path / name, SWEEP, history)) for name in "ab"]
    assert np.isnan(compare(runs).pairs["rank_correlation"][0])
    assert "–" in markdown(compare(runs))


def test_runs_without_a_common_config_are_refused(tmp_path):
    other = make_sweep(axes={"num_units3": [7]})
    folders = [
        write_run(tmp_path / f"run{i}", sweep, random_history(sweep))
        for i, sweep in enumerate((SWEEP, other))
    ]
    with pytest.raises(InputError, match="run1 and run0 have no configuration in common"):
        compare([read_run(folder) for folder in folders])


def test_the_command_prints_and_writes(folders):
    names = [folder.name for folder in folders]
    done = command("compare", *names, "--output=both.csv", folder=folders[0].parent)
    assert done.returncode == 0, done.stderr
    assert "# first and other" in done.stdout
    assert "| sweep.loss | cross_entropy | softmax_twice |" in done.stdout
    assert len(pd.read_csv(folders[0].parent / "both.csv")) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["first"], "RUN_A RUN_B … is missing"),
        (["first", "other", "--output=no/such/folder.csv"], "cannot be written"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(folders, arguments, message):
    done = command("compare", *arguments, folder=folders[0].parent)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
