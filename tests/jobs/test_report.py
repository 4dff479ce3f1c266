import cProfile
import dataclasses
import io
import json
import pstats
import re
import shutil
import time
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from commands import command_here, run_here
from conftest import make_sweep, slow
from finished_runs import (
    TIED,
    random_history,
    write_baselines,
    write_best,
    write_best_history,
    write_confusion,
    write_run,
)
from matplotlib.figure import Figure
from report_words import lines_of, words_of

from gtzan_jax.analysis import effects
from gtzan_jax.errors import InputError
from gtzan_jax.files import write_csv
from gtzan_jax.inference.model_files import load_model
from gtzan_jax.jobs.reporting import build, save, write_report
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.sources import load_table
from gtzan_jax.views.sections.baselines import find_baselines
from gtzan_jax.views.sections.details import details_section

SWEEP = make_sweep()
SECTIONS = {
    "summary": "Summary",
    "hyperparameters": "Hyperparameters",
    "reliability": "Reliability of the result",
    "model": "Best model",
    "classical": "Compared with classical models",
    "claims": "Published claims",
    "configurations": "All configurations",
    "details": "Details of the run",
}


class Page(HTMLParser):
    """Collects a page's tags, and the texts of its tables' cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self._in_cell = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("td", "th"):
            self.cells.append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data):
        if self._in_cell:
            self.cells[-1] += data.replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with two seeds, a retrained model, and baselines beside it."""
    table = load_table("sample")
    beside = tmp_path_factory.mktemp("runs")
    path = write_run(beside / "run", SWEEP, random_history(SWEEP, 2))
    write_best(path, SWEEP, table)
    write_baselines(beside / "baselines-1", table.sha256)
    return path


@pytest.fixture(scope="module")
def report(folder):
    return build(read_finished(folder))


def test_the_page_has_every_section(report):
    page = Page(report.html)
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == list(SECTIONS)
    for title in SECTIONS.values():
        assert f"## {title}" in lines_of(report.html).splitlines()


def test_the_page_needs_nothing_else(report):
    page = Page(report.html)
    for _, attrs in page.tags:
        for name in ("src", "href", "xlink:href", "action", "srcset", "data"):
            assert attrs.get(name, "#").startswith(("#", "data:")), attrs
    assert not re.search(r"url\((?!#)|@import|https?://", report.html)
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert all(attrs["alt"] for attrs in images)
    kinds = Counter(attrs["src"].partition(";")[0] for attrs in images)
    assert kinds == {"data:image/svg+xml": 10, "data:image/png": 1}


def test_references_within_the_page_lead_to_one_place_each(report):
    page = Page(report.html)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    referred = {a["href"][1:] for _, a in page.tags if a.get("href", "").startswith("#")}
    assert referred == set(SECTIONS)


def test_the_page_shows_the_figures_of_the_effects(report, folder):
    run = read_finished(folder)
    cells = Page(report.html).cells
    terms = effects.decompose(run.accuracy_by_fold, SWEEP.axes).terms
    for row in terms.itertuples():
        share = f"{100 * row.share:.3f} %"
        triples = zip(cells, cells[1:], cells[2:], strict=False)
        assert (row.term, str(row.df), share) in triples
    for row in effects.paired_differences(run.accuracy_by_fold, SWEEP.axes).itertuples():
        if row.hyperparameter in ("num_units1", "activation", "optimizer"):
            text = f"{100 * row.difference:+.2f}".replace("-", "−")
            assert text in cells


def summary_of(report):
    """Returns the first section as one line."""
    text = lines_of(report.html).partition("## Summary")[2].partition("\n## ")[0]
    return " ".join(text.split())


def test_the_summary_says_how_sure_it_is(report):
    text = summary_of(report)
    alike = f"{TIED} of 12 configurations are statistically indistinguishable from the best"
    assert f"**{alike} on the test part (test accuracies " in text
    assert "### Test accuracy" in text
    assert " **artists in the training set** 95 % interval" in text
    assert (
        "**0.49** **new artists** 95 % interval 0.46 to 0.53, for other artists. Protocol "
        "artist_folds: baselines-1" in text
    )
    assert "0.71 to 0.73 on random splits, 0.49 to 0.51 with each artist on one side" in text
    assert "Bars: 95 % intervals over the seeds" in text


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("protocol", ["assignment", "holdout", "artist_folds"])
def test_how_a_number_was_come_by_stands_beside_it(protocol, tmp_path):
    sweep = make_sweep(protocol=protocol)
    text = summary_of(
        build(read_finished(write_run(tmp_path / "run", sweep, random_history(sweep))))
    )
    assert ("Selected and reported on the same test tracks" in text) == (protocol == "assignment")
    assert ("**?** **new artists** Not measured for this sweep yet." in text) == (
        protocol != "artist_folds"
    )
    assert ("To measure the accuracy on new artists" in text) == (protocol != "artist_folds")
    assert "One seed: no interval" in text or protocol == "artist_folds"


def test_effects_come_with_what_trials_share(report):
    text = words_of(report.html)
    assert "Trials of one seed share batches, noise and initial weights" in text
    assert "at most seeds × folds independent observations, 2 here" in text


def rows_of(report):
    """Returns what the page's long table is made from."""
    return json.loads(re.search(r'id="rows">(.*?)</script>', report.html).group(1))


def test_the_top_of_the_table_is_that_of_the_results(report, folder):
    best = pd.read_csv(folder / "results.csv").iloc[0]
    shown = [1, best.test_accuracy, best.test_accuracy_std, "yes", best.num_units1]
    assert rows_of(report)["rows"][0][:5] == shown
    rows = re.search(r'id="rows">(.*?)</script>', report.html).group(1)
    assert rows.count("[") == 12 + 3 + 3 + 1  # rows; columns, rows, decimals; choices


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("counts", [np.ones((2, 10)), np.full((10, 10), np.nan)])
def test_a_confusion_matrix_that_is_none_is_refused(tmp_path, counts):
    path = write_run(tmp_path / "run", SWEEP, random_history(SWEEP))
    write_best_history(path, test_accuracy=np.array([0.5]))
    write_confusion(path, counts)
    with pytest.raises(InputError, match=r"confusion\.csv cannot be used"):
        build(read_finished(path))


LAST = "seed 0 after the last epoch, fixed in advance"


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("kept", "ends", "lowest"),
    [
        ([4, 4], [4, 4], "lowest in epoch 4 (0.500)."),
        ([1, 1], [3, 3], "lowest in epoch 2 (1.000), 2.000 in the last, while"),
        ([1, 2], [2, 4], "lowest in epoch 2 of the 2 that all networks have (1.000)."),
    ],
    ids=["not", "all at one epoch", "at different epochs"],
)
def test_a_retraining_that_stops_early_is_told_by_the_epochs_kept(tmp_path, kept, ends, lowest):
    sweep = make_sweep(protocol="holdout")
    path = write_run(tmp_path / "run", sweep, random_history(sweep))
    accuracy = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]])
    loss = np.tile([3.0, 1.0, 2.0, 0.5], (2, 1))
    write_best_history(path, test_accuracy=accuracy, train_accuracy=accuracy / 2, test_loss=loss)
    run = RunDir(path)
    frame = pd.read_csv(run.best / "history.csv")
    frame["kept"] = frame["epoch"] == frame["seed"].map(dict(enumerate(kept)))
    frame = frame[frame["epoch"] <= frame["seed"].map(dict(enumerate(ends)))]
    write_csv(run.best / "history.csv", frame)
    run.record(run.read_manifest(), "best")
    mean = np.mean([curve[epoch - 1] for curve, epoch in zip(accuracy, kept, strict=True)])
    text = words_of(build(read_finished(path)).html)
    assert lowest in text
    assert f"train accuracy {mean / 2:.3f}, test accuracy {mean:.3f}," in text
    early = kept != ends
    assert (LAST in text) is not early
    assert ("of 2 networks) at the epochs kept by early stopping, at most 4," in text) is early
    assert ("seed 0 after the epoch of its lowest validation loss." in text) is early
    assert ("From epoch 3: networks still in training." in text) is (ends == [2, 4])


@pytest.mark.usefixtures("undrawn")
def test_only_configs_that_were_given_all_epochs_are_drawn(tmp_path):
    sweep = make_sweep(search={"kind": "halving"}, epochs=4, protocol="holdout")
    history = random_history(sweep)
    reached = np.where(np.arange(len(history.trials)) < 3, 4, 1)
    history = dataclasses.replace(history, reached=reached, last=reached, best=reached)
    run = read_finished(write_run(tmp_path / "run", sweep, history))
    report = build(run)
    rows = rows_of(report)
    place = rows["columns"].index("epochs_given")
    assert [row[place] for row in rows["rows"]] == [4] * 3 + [1] * 9
    assert "Mean accuracy by pairs of values, of those given all epochs" in words_of(report.html)


@pytest.mark.usefixtures("undrawn")
def test_epochs_of_configs_that_stop_early_are_in_the_table(tmp_path):
    sweep = make_sweep(protocol="holdout", axes={"patience": [1]})
    run = read_finished(write_run(tmp_path / "run", sweep, random_history(sweep, 2)))
    rows = rows_of(build(run))
    assert rows["columns"][-3:] == ["best_epoch", "last_epoch", "config_id"]
    assert rows["rows"][0][-3:-1] == [2, 2]


def test_the_sample_is_named_at_the_top(report):
    assert "SYNTHETIC sample, not from GTZAN" in words_of(report.html)
    assert "No verdict on the networks of run (the synthetic sample)" in words_of(report.html)


def test_the_discussion_has_its_figures(report):
    for text in (
        "0.492", "the best other model by validation accuracy, 0.511. Difference −1.90 points",
        "interval −5.00 to +4.00 for these fitted models only: **neither is clearly better**.",
        "sweep of baselines-1. 12 against 2.", "Bars: 95 % intervals of these fitted",
        "Fitting extra trees takes 0.40 s per fold, selection included.",
    ):  # fmt: skip
        assert text in words_of(report.html)
    assert "most for tempo with extra trees, for mfcc4_mean with our network" in words_of(
        report.html
    )
    assert "importances -1.00" in words_of(
        report.html
    )  # the rank correlation of two opposite orders
    assert "700 tracks" in words_of(report.html)


@pytest.mark.usefixtures("undrawn")
def test_further_runs_are_asked_about_the_claims(report, folder, tmp_path):
    twice = make_sweep(loss="softmax_twice")
    other = read_finished(write_run(tmp_path / "twice", twice, random_history(twice)))
    text = words_of(build(read_finished(folder), [other]).html)
    assert "| run (cross_entropy) | verdict | twice (softmax_twice) | verdict |" in text
    assert "--set=loss=softmax_twice" not in text
    assert "--set=loss=softmax_twice" in words_of(report.html)


def test_further_runs_have_a_say_about_the_claims_or_are_refused(folder, tmp_path):
    other = make_sweep(protocol="holdout")
    path = write_run(tmp_path / "holdout", other, random_history(other))
    for runs in ([folder, path], [path, folder]):
        with pytest.raises(InputError, match=r"holdout: further runs .* another protocol"):
            write_report([read_finished(run) for run in runs])


LAYERS = dict.fromkeys(["num_units2", "num_units3", "dropout2", "dropout3"])
RATES = {"learning_rate": [0.1, 1e-05], "batch_size": [16, 32], "optimizer": ["adam"]}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "layers", [LAYERS, slow({"num_units4": [4], "dropout4": [0.0, 0.5]})], ids=["one", "four"]
)
def test_a_sweep_of_other_axes_has_a_report_without_claims(layers, tmp_path):
    sweep = make_sweep(axes=layers | RATES, learning_rates=None, batch_size=None)
    path = write_run(tmp_path / "run", sweep, random_history(sweep, 2))
    write_best(path, sweep, load_table("sample"))
    report = build(read_finished(path))
    page = Page(report.html)
    ids = [attrs["id"] for tag, attrs in page.tags if tag == "section"]
    assert ids == [name for name in SECTIONS if name != "claims"]
    assert "#claims" not in report.html
    assert "claims" not in words_of(report.html).partition("| command |")[2]
    for axis, values in sweep.axes.items():
        assert f"| {axis} | {', '.join(map(str, values))} |" in words_of(report.html)
    names = [attrs["data-column"] for tag, attrs in page.tags if tag == "select"]
    assert names == [*sweep.varying, "indistinguishable_from_best"]
    values = [json.loads(attrs["value"]) for tag, attrs in page.tags if attrs.get("value")]
    choices = [*sweep.varying.values(), ["yes", "no"]]
    assert values == [value for values in choices for value in values]
    shown = rows_of(report)
    place = shown["columns"].index("learning_rate")
    assert {row[place] for row in shown["rows"]} == {0.1, 1e-05}
    weights = sum(array.size for array in load_model(path).params.values())
    assert f"{weights:,} weights" in words_of(report.html)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("protocol", ["holdout", slow("kfold")])
def test_a_protocol_with_validation_shows_both_accuracies(protocol, tmp_path):
    sweep = make_sweep(protocol=protocol, num_folds=3)
    path = write_run(tmp_path / "run", sweep, random_history(sweep))
    write_best(path, sweep, load_table("sample"))
    run = read_finished(path)
    report = build(run)
    text = words_of(report.html)
    best = run.results.iloc[0]
    front = [1, best.validation_accuracy]
    if protocol == "kfold":
        front += [best.validation_accuracy_std, best.test_accuracy]
        assert "One seed gives no interval." in text  # of one seed and three folds
        assert "seeds × folds independent observations, 3 here" in text
        assert "3 stratified folds, split seed 0" in text
        assert "on 3 folds" in text
    else:
        front += [best.test_accuracy]
    assert rows_of(report)["rows"][0][: len(front)] == front
    assert "validation_loss" in rows_of(report)["columns"]
    assert "ranked on the validation part" in text
    assert "Selection on the validation part" in text
    assert run.protocol.note_for(run.manifest.data.words) in " ".join(text.split())
    assert "best on the validation part" in text
    assert "nan" not in text.lower()


@pytest.mark.usefixtures("undrawn")
def test_diverged_configs_are_left_out_and_said_so(tmp_path):
    history = random_history(SWEEP)
    history.figures[3] = np.nan
    report = build(read_finished(write_run(tmp_path / "run", SWEEP, history)))
    assert "1 of 12 configurations diverged" in words_of(report.html)
    assert "the grid is incomplete: no shares of the variance" in words_of(report.html)
    assert "Shares of the variance" not in words_of(report.html)
    assert "nan" not in words_of(report.html).lower()
    assert not any("nan" in cell.lower() for cell in Page(report.html).cells)


@pytest.mark.parametrize("case", ["one config", "all diverged", "equal", "perfect"])
def test_what_cannot_be_compared_is_said_so(tmp_path, case):
    sweep = SWEEP
    if case == "one config":
        one = {"num_units1": [8], "activation": ["relu"], "optimizer": ["adam"]}
        sweep = make_sweep(axes=one)
    history = random_history(sweep)
    if case == "all diverged":
        history.figures[:] = np.nan
    if case in ("equal", "perfect"):
        history.figures[:] = 0.5 if case == "equal" else 1.0
    report = build(read_finished(write_run(tmp_path / "run", sweep, history)))
    assert "nan" not in words_of(report.html)
    if case in ("equal", "perfect"):
        assert "| activation | 1 | – |" in words_of(report.html)
        assert "Over all configurations: no value of any hyperparameter differs" in words_of(
            report.html
        )
    else:
        assert "Nothing can be compared: " in words_of(report.html)
        assert "pairs" not in [attrs.get("class") for _, attrs in Page(report.html).tags]
    assert "The sweep retrained no model" in words_of(report.html)


@pytest.mark.usefixtures("undrawn")
def test_a_table_that_is_not_at_hand_is_said_so(folder, tmp_path, monkeypatch, capsys):
    data = msgspec.structs.replace(
        read_finished(folder).manifest.data, source="a.csv", sha256="0" * 64, repeats=[["a", "b"]]
    )
    path = write_run(tmp_path / "run", SWEEP, random_history(SWEEP), data=data)
    shutil.copytree(folder / "best", path / "best")
    text = words_of(build(read_finished(path)).html)
    assert text.count("--data=PATH") == 2  # caveats, claims
    monkeypatch.chdir(tmp_path)
    assert run_here("report", "run") == 0
    assert "--data=PATH" in capsys.readouterr().out


def test_every_session_is_told(tmp_path):
    run = read_finished(write_run(tmp_path / "run", SWEEP, random_history(SWEEP)))
    [first] = run.manifest.sessions
    later = {"started": "2026-01-02", "command": "again", "versions": {"python": "3.12.1"}}
    run.manifest.sessions.append(msgspec.structs.replace(first, **later))
    facts = dict(details_section(run).tables[0].rows)
    assert facts["started"] == "2026-01-01T00:00:00+00:00; 2026-01-02"
    assert facts["command"] == "python -m gtzan_jax.sweep; again"
    assert facts["versions"] == "python 3.11.7; 3.12.1"
    assert facts["device"] == "cpu: cpu:0"


@pytest.mark.usefixtures("undrawn")
def test_all_baselines_of_the_table_are_in_the_report_by_protocol(tmp_path):
    """Newest a protocol; folders of other tables, and those left out where some are named."""
    run = read_finished(write_run(tmp_path / "run", SWEEP, random_history(SWEEP)))
    sha256 = run.manifest.data.sha256
    mlp = "scikit-learn MLP"
    write_baselines(tmp_path / "baselines-old", sha256, written=100)
    write_baselines(tmp_path / "baselines-new", sha256, mlp, {"assignment": (0.5, 0.8)}, 300)
    write_baselines(tmp_path / "baselines-kfold", sha256, mlp, {"kfold": (0.65, 0.64)}, 200)
    write_baselines(tmp_path / "baselines-other", "0" * 64, mlp, {"holdout": (0.9, 0.91)}, 400)
    text = words_of(build(run).html)
    for row in (f"assignment | {mlp} | 0.8000", f"kfold | {mlp} | 0.6400", "kfold | ours | 0.6500"):
        assert f"| {row} |" in text
    assert "| artist_folds | extra trees | 0.5110 |" in text
    assert "| assignment | ours | 0.5000 |" in text
    for name, protocol in {"new": "assignment", "kfold": "kfold", "old": "artist_folds"}.items():
        folder = f"baselines-{name}"
        assert f"rom `{folder}`: {protocol}; our networks from the sweep sweep of {folder}" in text
    assert "0.50 to 0.80 on random splits, 0.49 to 0.51 with each artist" in text
    assert f"best other model by validation accuracy, {mlp} or extra trees: 0.50" in text
    assert "0.731" not in text
    assert "0.91" not in text
    named = [str(tmp_path / f"baselines-{name}") for name in ("kfold", "old")]
    text = words_of(build(run, baselines=named).html)
    assert "| assignment | ours | 0.7310 |" in text
    assert "baselines-new" not in text


@pytest.mark.usefixtures("undrawn")
def test_baselines_are_those_of_the_same_table(folder, tmp_path):
    run = read_finished(folder)
    assert find_baselines(run, []) == [folder.parent / "baselines-1"]
    write_baselines(tmp_path / "baselines-2", "another")
    alone = read_finished(write_run(tmp_path / "run", SWEEP, random_history(SWEEP)))
    assert find_baselines(alone, []) == []
    assert "python -m gtzan_jax.baselines --protocol=all --data=sample" in words_of(
        build(alone).html
    )
    given = folder.parent / "baselines-1"
    assert find_baselines(alone, [str(given)]) == [given]
    with pytest.raises(InputError, match="another feature table"):
        find_baselines(run, [str(tmp_path / "baselines-2")])
    with pytest.raises(InputError, match=r"no baselines\.json"):
        find_baselines(run, [str(tmp_path)])
    (tmp_path / "baselines-3").mkdir()
    for text in ("[]", "[" * 100_000, '{"data": {"sha256": 3}}', '{"data": {"sha256": "\udcff"}}'):
        content = text.encode("utf-8", "surrogateescape")
        (tmp_path / "baselines-3" / "baselines.json").write_bytes(content)
        assert find_baselines(alone, []) == []


@pytest.mark.parametrize("notes", [3, ["a"], {"selection": 3}, None, {}])
def test_baselines_of_other_types_are_refused(folder, tmp_path, notes):
    broken = write_baselines(tmp_path / "baselines-1", load_table("sample").sha256)
    document = json.loads((broken / "baselines.json").read_text())
    (broken / "baselines.json").write_text(json.dumps(document | {"notes": notes}))
    with pytest.raises(InputError, match=r"baselines"):
        build(read_finished(folder), baselines=[str(broken)])


def test_damaged_baselines_are_refused(folder, tmp_path):
    broken = write_baselines(tmp_path / "baselines-1", load_table("sample").sha256)
    (broken / "comparison.csv").unlink()
    with pytest.raises(InputError, match=r"comparison\.csv"):
        build(read_finished(folder), baselines=[str(broken)])


def test_saving_writes_the_page(report, tmp_path):
    save(report, tmp_path / "new" / "page.html")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save(report, tmp_path / "file" / "page.html")


@pytest.mark.parametrize(
    ("flags", "written"),
    [([], "run/report.html"), (["--output=new/page.html", "--data=sample"], "new/page.html")],
)
def test_the_command_writes_where_it_says(tmp_path, flags, written):
    write_run(tmp_path / "run", SWEEP, random_history(SWEEP))
    done = command_here("report", "run", *flags, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"report in {Path(written)}" in done.stdout
    assert (tmp_path / written).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "missing RUNDIR; --help shows examples"),
        (["nowhere"], "nowhere is not a run directory"),
        (["{run}", "--baselines=nowhere"], "no baselines.json"),
        (["{run}", "--output=report.pdf"], "ends in .html"),
        (["{run}", "--platfrom=cpu"], "unknown flag --platfrom"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(
    folder, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert run_here("report", *(argument.format(run=folder) for argument in arguments)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A run of the assignment's 768 networks, 64 times as many as ``SWEEP`` has."""
    sweep = load_sweep("assignment")
    return write_run(tmp_path_factory.mktemp("runs") / "large", sweep, random_history(sweep))


def calls_of(path):
    """Counts the function calls that a report on a run makes."""
    with cProfile.Profile() as profile:
        build(read_finished(path))
    return pstats.Stats(profile).total_calls


@pytest.mark.slow
def test_the_work_of_a_report_hardly_grows_with_the_networks(tmp_path, large):
    small = write_run(tmp_path / "run", SWEEP, random_history(SWEEP))
    build(read_finished(small))  # imports and caches
    networks = len(read_finished(large).results) - len(read_finished(small).results)
    assert calls_of(large) - calls_of(small) < 2200 * networks  # 1,945 each, measured


@pytest.mark.slow
def test_a_report_takes_as_long_as_drawing_some_empty_figures(large):
    """CPU seconds of both: a slower or busier machine slows both down. Measured: 1.2 to 1.9."""
    build(read_finished(large))  # imports and caches
    started = time.process_time()
    build(read_finished(large))
    report_s = time.process_time() - started
    started = time.process_time()
    for _ in range(5):
        figure = Figure((10, 6), layout="constrained")
        figure.subplots(2, 3)
        figure.savefig(io.BytesIO(), dpi=150)
    assert report_s < 5 * (time.process_time() - started)
