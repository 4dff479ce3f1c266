"""A table of anything but songs: no command, file or figure speaks of songs."""

import contextlib
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep, save_little, this_process
from finished_runs import history_of, random_history, write_baselines, write_run
from matplotlib.text import Text
from report_words import lines_of, words_of
from sklearn.datasets import load_wine

import gtzan_jax
from gtzan_jax import (
    Columns,
    InputError,
    compare,
    eda,
    load_table,
    make_splits,
    read_run,
    report,
    retrain,
)
from gtzan_jax.analysis import classical
from gtzan_jax.jobs import baselines, retraining, sweeping
from gtzan_jax.jobs.options import (
    BaselinesOptions,
    CompareOptions,
    EdaOptions,
    ReportOptions,
    RetrainOptions,
)
from gtzan_jax.jobs.reporting import build, write_report
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.views.sections.baselines import find_baselines

OF_SONGS = re.compile(r"(?<![a-z])(tracks?|songs?|genres?|artists?|music|gtzan)(?![a-z])", re.I)
SWEEP = {
    False: make_sweep(
        axes={"num_units1": [8], "activation": ["relu"], "optimizer": ["adam", "sgd"]}
    ),
    True: make_sweep(
        protocol="kfold", num_folds=2, num_seeds=2, axes={"num_units1": [8], "optimizer": ["adam"]}
    ),
}


def write_wine(folder, is_grouped):
    """Writes the wines, two of them equal, with a patient for each three rows or without.

    Returns the options that read them.
    """
    frame = load_wine(as_frame=True).frame.rename(columns={"target": "cultivar"})
    frame.iloc[5] = frame.iloc[6]
    patients = [f"P{row // 3}" for row in frame.index]
    frame.assign(**{"patient": patients} if is_grouped else {}).to_csv(
        folder / "wine.csv", index=False
    )
    options = {"data": str(folder / "wine.csv"), "label": "cultivar"}
    return options | ({"group": "patient"} if is_grouped else {})


@contextlib.contextmanager
def recorded():
    """Trains in this process, and yields all texts that are printed or drawn, as they come.

    Figures themselves are left out.
    """
    texts = io.StringIO()

    def drawn(figure, target, **options):
        figure = figure.figure
        for axes in figure.axes:
            texts.writelines(f"{label.get_text()}\n" for label in axes.get_xticklabels())
            texts.writelines(f"{label.get_text()}\n" for label in axes.get_yticklabels())
        texts.writelines(f"{text.get_text()}\n" for text in figure.findobj(Text))
        save_little(figure, target, **options)

    def one_model(*options, known=classical.classical_models):
        return {"LDA": known(*options)["LDA"]}

    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(texts),
        contextlib.redirect_stderr(texts),
    ):
        for module in (sweeping, retraining, baselines):
            patch.setattr(module, "open_backend", lambda *_, **__: this_process())
        patch.setattr(classical, "classical_models", one_model)
        patch.setattr("matplotlib.figure.Figure.savefig", drawn)
        patch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", drawn)
        yield texts


@pytest.fixture(scope="module", params=[False, True], ids=["rows", "patients"])
def made(request, tmp_path_factory):
    """A folder with what all commands but baselines write of the wines, and all other texts."""
    folder = tmp_path_factory.mktemp("wine")
    options, run = write_wine(folder, request.param), str(folder / "run")
    data = options["data"]
    with recorded() as texts:
        found = gtzan_jax.run_sweep(
            SWEEP[request.param], workdir=run, retrain_epochs=2, retrain_seeds=2, **options
        )
        retrain.main(RetrainOptions(run, rank=2, retrain_epochs=2, retrain_seeds=2, data=data))
        eda.main(EdaOptions(workdir=str(folder / "eda"), **options))
        found.report()
        report.main(ReportOptions(run, data=data, output=str(folder / "with_table.html")))
        table = load_table(data, Columns("cultivar", drop=("patient",) * request.param))
        twin = write_run(folder / "twin", make_sweep(), random_history(make_sweep()), table)
        compare.main(CompareOptions(run, [str(twin)], output=str(folder / "configs.csv")))
        print(repr(found), repr(found.best), repr(table))
    (folder / "wine.csv").unlink()
    return SimpleNamespace(
        folder=folder, table=table, is_grouped=request.param, texts=texts.getvalue()
    )


def run_on_wine(folder, is_grouped):
    """Returns a run with random figures, on the wines in a folder."""
    columns = Columns(label="cultivar", group="patient" * is_grouped)
    table = load_table(folder / "wine.csv", columns)
    return read_finished(
        write_run(folder / "run", make_sweep(), random_history(make_sweep()), table)
    )


def all_texts(folder):
    """Yields the content of each file, without the manifest's keys."""
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            text = path.read_bytes().decode(errors="replace")
            if path.name in ("manifest.json", "baselines.json"):
                text = re.sub(r'"(tracks|songs|genres|is_of_songs)": ', "", text)
            yield f"{path.relative_to(folder)}", text


def assert_not_of_songs(folder, texts):
    files = dict(all_texts(folder))
    assert len(files) > 5
    assert len(texts) > 500
    for name, content in [("printed or drawn", texts), *files.items()]:
        text = f"{name}\n{content.replace('gtzan_jax', '')}"
        assert not (found := OF_SONGS.search(text)), (name, text[found.start() - 60 :][:120])


def test_nothing_speaks_of_songs(made):
    assert_not_of_songs(made.folder, made.texts)
    assert "predicted class\n(cells: % of the true class's test rows)" in made.texts
    scope = "for rows of another patient and" if made.is_grouped else "over rows, for"
    assert f"95 % interval {scope} these networks" in made.texts
    assert ", 3 classes, data '" in made.texts
    assert ", calibration on too few rows)" in made.texts
    assert "rows have exactly the features of another (row 5 = row 6, …)" in made.texts


@pytest.mark.slow  # 20 s: trains on the folds of each protocol
@pytest.mark.parametrize("is_grouped", [False, True])
def test_baselines_do_not_speak_of_songs(tmp_path, is_grouped):
    options = write_wine(tmp_path, is_grouped)
    request = BaselinesOptions(
        sweep="smoke", protocol="all", num_folds=2, num_seeds=1,
        overrides=["axes.optimizer=['adam']"], workdir=str(tmp_path / "baselines-all"), **options,
    )  # fmt: skip
    run = run_on_wine(tmp_path, is_grouped)
    with recorded() as texts:
        found = baselines.run_baselines(request)
        print(baselines.summary(found))
        page = words_of(write_report([run]).read_text())
    assert_not_of_songs(tmp_path, texts.getvalue())
    assert list(found.scores["protocol"].unique()) == ["assignment", "holdout", "kfold"]
    others = "rows of another patient" if is_grouped else "other rows like these"
    assert f"Bars: 95 % intervals of these fitted models, for {others}." in page
    assert f"train parts and seeds. They are for {others}." in page


def test_the_files_have_the_columns_of_the_words(made):
    table, best = made.table, made.folder / "run" / "best"
    assert not (best / "songs.csv").exists()
    rows, scores, calibration = (
        pd.read_csv(best / f"{name}.csv") for name in ("rows", "scores", "calibration")
    )
    assert list(rows) == ["fold", "row", "class", "group", "right"]
    assert list(scores) == ["class", "precision", "recall", "f1", "rows"]
    assert list(calibration.columns[:4]) == ["part", "row", "class", "predicted"]
    classes = dict(zip(table.tracks, np.array(table.genres)[table.y], strict=True))
    for frame in (rows, calibration):
        assert list(frame["class"].astype(str)) == [classes[str(row)] for row in frame["row"]]
    tested = 2 * rows["class"].value_counts()  # by two seeds
    assert scores.set_index("class")["rows"].to_dict() == tested.to_dict()
    found = json.loads((made.folder / "eda" / "data_quality.json").read_text())
    assert found["rows_by_class"] == pd.Series(classes).value_counts().to_dict()
    assert found["repeats"] == [
        {"rows": ["5", "6"], "classes": ["0", "0"], "classes_differ": False}
    ]
    saved = read_run(made.folder / "run").retraining("best")
    pd.testing.assert_frame_equal(saved.songs, rows)


def test_the_features_of_another_table_are_all_correlated_and_drawn(made):
    found = pd.read_csv(made.folder / "eda" / "correlations.csv", index_col="feature")
    frame = pd.DataFrame(made.table.x.astype(float), columns=load_wine().feature_names)
    np.testing.assert_allclose(found, frame.corr(), atol=1e-9)
    drawn = sorted(path.name for path in (made.folder / "eda" / "boxplots").iterdir())
    assert len(drawn) == 13
    assert "3_od280_od315_of_diluted_wines.png" in drawn


def test_the_report_says_what_its_figures_are_of(made):
    lines = lines_of((made.folder / "run" / "report.html").read_text())
    page, first_screen = " ".join(lines.split()), lines.partition("## Hyperparameters")[0]
    together = "Rows of one person or day, if any, may be on both sides of a split"
    assert (together in first_screen) == (not made.is_grouped)
    assert ("**Groups.** Rows of one person or day" in page) == (not made.is_grouped)
    others = "rows of another patient" if made.is_grouped else "other rows like these"
    assert re.search(
        rf"\*\*{others}\*\* 95 % interval \S+ to \S+, for {others} and the networks of",
        first_screen,
    )
    assert re.search(rf"95 % interval \S+ to \S+, for {others} and these networks\.", page)
    assert "### Test accuracy" in lines.splitlines()
    assert "| class | precision |" in page
    assert re.search(r"Most frequent confusion[^:]*: class [012] predicted as class [012]", page)
    assert not any(absent in page for absent in ("Transfer.", "claims", "artist_kfold"))
    if made.is_grouped:
        assert "each patient on one side" in first_screen
        assert "All rows of one patient are on one side." in page
        assert "It allows for rows of another patient, with these train parts" in page


@pytest.mark.parametrize(
    ("is_grouped", "resampled"),
    [(False, "rows"), (True, "groups (rows of one patient are together)")],
)
def test_a_choice_by_the_test_part_is_corrected_over_groups(tmp_path, is_grouped, resampled):
    write_wine(tmp_path, is_grouped)
    page = words_of(build(run_on_wine(tmp_path, is_grouped)).html)
    assert f"winners selected on resampled {resampled} and tested on those left out" in page
    assert "Selected and reported on the same test rows: the best accuracy, " in page
    flags = "--label=cultivar" + " --group=patient" * is_grouped
    assert f"| columns | {flags} |" in page
    assert (
        f"`python -m gtzan_jax.baselines --protocol=all --data={tmp_path}/wine.csv {flags}" in page
    )


def test_where_all_rows_are_right_their_number_stands_in_for_an_interval(tmp_path):
    write_wine(tmp_path, True)
    sweep = make_sweep(protocol="holdout")
    table = load_table(tmp_path / "wine.csv", Columns("cultivar", "patient"))
    history = history_of(sweep, np.ones((sweep.num_configs, 1)))
    run = read_finished(write_run(tmp_path / "run", sweep, history, table))
    tested = len(make_splits(table, "holdout", 0, 5).folds[0].test)
    words = "**1.00** **rows of another patient** Protocol holdout, 2 epochs. "
    assert f"{words}No interval: {tested} test rows." in words_of(build(run).html)


def test_further_runs_are_not_asked_about_the_claims(made):
    runs = [read_finished(made.folder / name) for name in ("run", "twin")]
    with pytest.raises(InputError, match="GTZAN's features, and this run's table is not"):
        write_report(runs)


def test_baselines_of_other_columns_are_not_of_the_run(tmp_path):
    write_wine(tmp_path, True)
    run = run_on_wine(tmp_path, True)
    made = write_baselines(tmp_path / "baselines-x", run.manifest.data.sha256)
    assert find_baselines(run, []) == []
    with pytest.raises(InputError, match="made with other columns than the run"):
        find_baselines(run, [str(made)])
