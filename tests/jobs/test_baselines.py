"""The comparison, as a function with few quick models, and as users run it."""

import dataclasses
import json
import re
import runpy
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import command
from conftest import make_sweep, this_process
from csv_edits import small_text

from gtzan_jax import Engine, load_sweep, load_table, make_splits
from gtzan_jax.analysis import classical
from gtzan_jax.analysis.classical import classical_models, importance_table
from gtzan_jax.errors import InputError, RunError
from gtzan_jax.jobs import baselines, nested
from gtzan_jax.jobs.baselines import run_baselines, splits_of, summary
from gtzan_jax.jobs.nested import OURS, best_of, evaluate
from gtzan_jax.jobs.options import BaselinesOptions
from gtzan_jax.metrics import METRICS
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.space.config import Trial
from gtzan_jax.tables.dividing import groups_of, repeats_of, with_validation
from gtzan_jax.tables.folds import Fold, Sizes, arrays_of
from gtzan_jax.tables.protocols import ARTISTS_APART, LEAK, PROTOCOLS, Splits
from gtzan_jax.tables.sample import segments_text
from gtzan_jax.tables.validation import parse_table

QUICK = ("LDA", "decision tree")
TINY = ("epochs=3", "axes.num_units1=[16]", "axes.num_units2=[8]", "axes.num_units3=[8]")
TINY += ("axes.activation=['relu']", "axes.optimizer=['adam']", "axes.dropout1=[0.1,0.5]")
NAMES = [name for name, protocol in PROTOCOLS.items() if not protocol.leak]


def some_models(*args):
    return {name: model for name, model in classical_models(*args).items() if name in QUICK}


@pytest.fixture(scope="module")
def table():
    return load_table("sample")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A finished comparison on the sample under every protocol."""
    request = BaselinesOptions(
        data="sample", platform="cpu", overrides=TINY, seed=4, num_folds=3, num_seeds=2,
        workdir=str(tmp_path_factory.mktemp("baselines") / "out"),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "open_backend", lambda *_, **__: this_process())
        patch.setattr(classical, "classical_models", some_models)
        patch.setattr(classical, "evaluate", partial(classical.evaluate, jobs=1))
        patch.setattr(
            classical, "permutation_drops", partial(classical.permutation_drops, repeats=1)
        )
        return run_baselines(request)


def read(found, name):
    return pd.read_csv(found.folder / f"{name}.csv")


def test_the_folder_is_complete(found):
    assert sorted(path.name for path in found.folder.iterdir()) == [
        "baselines.csv", "baselines.json", "baselines.png", "comparison.csv", "folds.csv",
        "importance.csv", "importance.png",
    ]  # fmt: skip


def test_the_tables_fit_together(found):
    scores, folds = read(found, "baselines"), read(found, "folds")
    models = {OURS, *QUICK}
    assert list(scores["protocol"].unique()) == NAMES
    assert set(scores["model"]) == models
    assert len(scores) == len(models) * len(NAMES)
    assert (scores["low"] < scores["accuracy"]).all()
    assert (scores["accuracy"] < scores["high"]).all()
    comparison = read(found, "comparison")
    assert len(comparison) == len(QUICK) * len(NAMES)
    refitted = comparison.groupby("protocol")["with_refitting"].all()
    assert refitted[refitted].index.to_list() == ["artist_kfold"]  # nine folds; three elsewhere
    for name, of_protocol in scores.groupby("protocol"):
        assert of_protocol["accuracy"].is_monotonic_decreasing
        accuracy = of_protocol.set_index("model")["accuracy"]
        paired = comparison[comparison["protocol"] == name].set_index("model")
        expected = accuracy[OURS] - accuracy[paired.index]
        np.testing.assert_allclose(paired["difference"], expected, atol=1e-6)
    counts = scores.groupby("model")[["settings_tried", "seeds"]].agg(lambda c: list(set(c)))
    assert counts.loc[[OURS, *QUICK]].to_numpy().tolist() == [[[6], [2]], [[2], [1]], [[4], [2]]]
    assert (scores["accuracy_std"].isna() == (scores["folds"] == 1)).all()
    assert list(folds.groupby("protocol", sort=False)["fold"].nunique()) == [1, 1, 3, 9, 1, 3, 3]
    alone = scores[scores["folds"] == 1].merge(folds, on=["protocol", "model"])
    np.testing.assert_allclose(alone["accuracy_x"], alone["accuracy_y"])
    assert set(read(found, "importance")["feature"]) == set(load_table("sample").features)


@pytest.mark.slow
def test_another_process_finds_what_this_one_does(found, table):
    folds = make_splits(table, "mixed_artists", 0, 3).folds
    listed = read(found, "folds").query("protocol == 'mixed_artists'").set_index(["model", "fold"])
    for name, place, outcome in classical.evaluate(some_models(4), table, folds, 2, 2):
        row = listed.loc[(name, place)]
        assert row["accuracy"] == pytest.approx(outcome.hits.mean())
        settings = [f"{key.rpartition('__')[2]}={value}" for key, value in outcome.settings.items()]
        assert row["chosen"] == ", ".join(settings)


def test_every_table_says_that_the_sample_was_used(found):
    for name in ("baselines", "folds", "comparison", "importance"):
        assert (read(found, name)["data"] == "sample").all()


def test_the_description_says_what_was_compared(found):
    told = json.loads((found.folder / "baselines.json").read_text(encoding="utf-8"))
    assert told["data"]["sha256"] == load_table("sample").sha256
    assert [protocol["name"] for protocol in told["protocols"]] == NAMES
    by_name = {protocol["name"]: protocol for protocol in told["protocols"]}
    assert (by_name["kfold"]["folds"], by_name["kfold"]["tested"]) == (3, 1000)
    assert "3 stratified folds" in by_name["kfold"]["summary"]
    assert by_name["artist_folds"]["tested"] == by_name["mixed_artists"]["tested"] == 948
    assert (by_name["artist_kfold"]["folds"], by_name["artist_kfold"]["tested"]) == (9, 948)
    assert "52 of the table's 1,000" in by_name["artist_folds"]["left_out"][0]
    assert by_name["fault_filtered"]["note"] == PROTOCOLS["fault_filtered"].note
    assert [name for name in NAMES if by_name[name]["artists_apart"]] == [
        "artist_kfold", "fault_filtered", "artist_folds",
    ]  # fmt: skip
    assert told["models"]["LDA"]["grid"] == {"shrinkage": [None, "auto"]}
    assert "solver='lsqr'" in told["models"]["LDA"]["estimator"]
    ours = told["ours"]
    assert (ours["name"], ours["sweep"], ours["configs"]) == (OURS, "baselines", 2)
    assert (ours["seeds"], ours["settings"]["epochs"]) == ([4, 5], 3)
    assert told["best_chosen_on"] == "validation"
    folds = read(found, "folds").pivot_table("validation_accuracy", "protocol", "model", sort=False)
    for name, means in folds[list(QUICK)].iterrows():
        assert told["best_classical"][name] == max(QUICK, key=means.get)
    assert found.importance_of == ARTISTS_APART[0]  # the protocol that reports trust
    assert (
        "6 (configs × epochs) for our network, 2 to 4 for each other model"
        in (told["notes"]["budget"])
    )
    assert told["platform"] == "cpu"
    assert "scikit-learn" in told["versions"]
    assert "Nothing is selected on a test part" in told["notes"]["selection"]
    assert (
        "with each set of songs of one artist, or of exact repeats, as one cluster, for these "
        "fitted models, train parts and seeds. They are for other artists under protocols that "
        f"keep artists apart ({', '.join(ARTISTS_APART)}), for other songs of such "
        "artists elsewhere."
    ) in told["notes"]["interval"]


def test_the_best_of_the_others_is_chosen_on_validation_and_never_ours():
    rows = [("p", fold, OURS, 0.9, 0.9) for fold in range(2)]
    rows += [("p", fold, "lucky on test", 0.8, 0.5) for fold in range(2)]
    rows += [("p", 0, "best", 0.3, 0.5), ("p", 1, "best", 0.3, 0.7)]
    rows += [("p", 0, "as good", 0.4, 0.7), ("p", 1, "as good", 0.4, 0.5)]
    rows += [("q", 0, "lucky on test", 0.1, 0.9), ("q", 0, "best", 0.9, 0.1)]
    columns = ["protocol", "fold", "model", "accuracy", "validation_accuracy"]
    found = baselines.best_classical(pd.DataFrame(rows, columns=columns))
    assert found == {"p": "best", "q": "lucky on test"}


@pytest.mark.parametrize(
    ("ours", "others", "expected"),
    [
        (1200, (1, 12), ": 1,200 (configs × epochs) for our network, 1 to 12 for each other model. "
         "The unequal budgets favour our network."),
        (3, (4, 4), ", 4 for each other model. The unequal budgets favour the other models."),
        (4, (4, 12), ": 4 (configs × epochs) for our network, 4 to 12 for each other model."),
    ],
)  # fmt: skip
def test_budgets_are_told_and_whom_they_favour(ours, others, expected):
    models = {"model": [OURS, "a", "b"] * 2, "settings_tried": [ours, *others] * 2}
    assert baselines.budget_note(pd.DataFrame(models)).endswith(expected)


@pytest.mark.parametrize("without", ["", "artist_folds"])
def test_the_page_shows_all_models_whatever_they_reach(found, without, tmp_path, monkeypatch):
    scores = read(found, "baselines")
    scores = scores[~scores["protocol"].isin([without, "artist_kfold"])]
    repeated = scores[scores["protocol"] == "mixed_artists"].assign(protocol="artist_kfold")
    repeated["accuracy"] = 0.9 - repeated["accuracy"]  # another order
    pd.concat([scores, repeated]).to_csv(tmp_path / "baselines.csv")
    docs = Path(__file__).parents[2] / "docs"
    monkeypatch.syspath_prepend(docs)
    text = runpy.run_path(str(docs / "make_readme.py"))["gap"](tmp_path)
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("|")]
    shown = ["kfold", "mixed_artists", "artist_kfold", "artist_folds", "fault_filtered"]
    assert [c.strip("| ") for c in lines[0][1:]] == [name for name in shown if name != without]
    by_kfold = scores[scores["protocol"] == "kfold"].sort_values("accuracy", ascending=False)
    assert [line[0].strip("| ") for line in lines[2:]] == list(by_kfold["model"])
    mixed, apart = scores[scores["protocol"] == "mixed_artists"]["accuracy"], repeated["accuracy"]
    assert text.startswith(
        f"The same 948 songs give {mixed.min():.2f} to {mixed.max():.2f} in random folds and "
        f"{apart.min():.2f} to {apart.max():.2f} in random folds that share no artist, "
        "by model:\n\n|"
    )


def test_all_accuracies_fit_into_a_terminal(found):
    lines = summary(found).splitlines()
    widest = max([OURS, *classical_models(0)], key=len)
    assert max(map(len, lines[:-1])) + len(widest) - len(OURS) <= 80  # the last names the folder
    assert lines[0].split() == ["artist", "fault", "artist", "mixed"]
    assert lines[1].split() == [
        "model",
        "assignment",
        "holdout",
        "kfold",
        "kfold",
        "filtered",
        "folds",
        "artists",
    ]
    scores = read(found, "baselines").set_index(["protocol", "model"])["accuracy"]
    shown = {line.rsplit(maxsplit=7)[0]: line.split()[-7:] for line in lines[2:5]}
    for model in (OURS, *QUICK):
        assert shown[model] == [f"{scores[name, model]:.3f}" for name in NAMES]


@pytest.mark.slow
def test_the_command(tmp_path):
    (tmp_path / "small.csv").write_text(small_text(30))
    flags = ["--data=small.csv", "--platform=cpu", "--protocol=holdout", "--num_seeds=2"]
    flags += [f"--set={override}" for override in TINY]
    done = command("baselines", *flags, "--workdir=out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "11 models under holdout, from small.csv"
    assert [line for line in lines if " steps, " in line]
    assert "  15 of 15 steps" in done.stdout
    assert "results in out" in lines
    scores = pd.read_csv(tmp_path / "out" / "baselines.csv")
    assert set(scores["model"]) == {OURS, *classical_models(0)}


def test_protocols_of_other_tables_are_left_out_or_refused(table, capsys):
    unknown = dataclasses.replace(table, tracks=tuple(f"{i}.wav" for i in range(1000)))
    all_splits = splits_of(unknown, "all", 0, 5)
    assert [d.protocol.name for d in all_splits] == ["assignment", "holdout", "kfold"]
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 4
    assert warnings[0].startswith("warning: artist_kfold is left out: ")
    with pytest.raises(InputError, match=r"0\.wav"):
        splits_of(unknown, "artist_folds", 0, 5)


def test_a_fold_without_a_validation_part_gets_a_fifth_of_the_train_part(table):
    (fold,) = make_splits(table, "assignment", 0, 5).folds
    repeats = tuple((int(a), int(b)) for a, b in fold.train[:100].reshape(-1, 2))
    together = repeats_of(dataclasses.replace(table, repeats=repeats))
    divided = with_validation(table, fold, 0, together)
    assert set(divided.train) | set(divided.validation) == set(fold.train)
    assert len(divided.train) + len(divided.validation) == len(fold.train)
    np.testing.assert_array_equal(divided.test, fold.test)
    whole, held = (np.bincount(table.y[rows]) for rows in (fold.train, divided.validation))
    assert (np.abs(held - whole / 5) < 3).all()
    held_rows = set(divided.validation)
    assert all((a in held_rows) == (b in held_rows) for a, b in repeats)
    assert with_validation(table, divided, 1, together) is divided


@pytest.mark.slow
def test_segments_are_compared_by_song_and_a_leak_is_told(tmp_path, monkeypatch, capsys):
    header, *rows = segments_text().splitlines()
    few = re.compile(r"(blues|jazz|rock)\.sample[0-2]\d\.[0-2]\.")
    text = "\n".join([header, *filter(few.match, rows)]) + "\n"
    (tmp_path / "segments.csv").write_text(text)
    monkeypatch.setattr(classical, "classical_models", some_models)
    names = ("holdout", "leaky_segments")
    monkeypatch.setattr(
        baselines, "splits_of", lambda table, _, *how: [
            splits for name in names for splits in splits_of(table, name, *how)
        ],
    )  # fmt: skip
    request = BaselinesOptions(
        data=str(tmp_path / "segments.csv"), platform="cpu", overrides=TINY,
        num_seeds=2, workdir=str(tmp_path / "out"),
    )  # fmt: skip
    found = run_baselines(request)
    table = parse_table(text, "segments.csv")
    for name, of_protocol in found.scores.groupby("protocol"):
        [fold] = make_splits(table, name, 0, 5).folds
        assert set(of_protocol["tested"]) == {len(set(table.songs[fold.test]))}
    assert (found.scores["accuracy"] != found.scores["segment_accuracy"]).all()
    told = json.loads((found.folder / "baselines.json").read_text(encoding="utf-8"))
    assert told["protocols"][1]["leak"] == LEAK
    assert "segment_accuracy, settings and importances are of segments" in told["notes"]["segments"]
    assert capsys.readouterr().err.startswith(LEAK)
    assert f"leaky_segments: {LEAK}" in summary(found)
    assert found.importance_of == "holdout"  # the last one that does not leak
    assert "leak" not in read(found, "importance")
    for name in ("baselines", "folds", "comparison"):
        written = read(found, name)
        assert ((written["leak"] == LEAK) == (written["protocol"] == "leaky_segments")).all()


def test_a_table_of_segments_is_divided_by_every_protocol_and_by_the_leaky_one():
    table = load_table("sample3")
    all_splits = {d.protocol.name: d for d in splits_of(table, "all", 0, 5)}
    assert list(all_splits) == list(PROTOCOLS)
    for name, splits in all_splits.items():
        for fold in splits.folds:
            songs = [set(table.songs[rows]) for rows in (fold.train, fold.validation, fold.test)]
            assert all(len(one & other) == 0 for one, other in combinations(songs, 2)) == (
                name != "leaky_segments"
            )


# Our network.

SWEEP = make_sweep(
    epochs=4, num_seeds=2, axes={"activation": ["relu"], "optimizer": ["adam", "rmsprop"]}
)


@pytest.fixture(scope="module")
def splits(table):
    """Two folds of unequal size, of a hundred rows each."""
    rows = np.random.default_rng(0).permutation(1000)
    folds = (
        Fold(rows[:50], rows[50:70], rows[70:100]),
        Fold(rows[100:150], rows[150:165], rows[165:200]),
    )
    return Splits(table, PROTOCOLS["kfold"], 0, folds)


@pytest.fixture(scope="module")
def fitted(splits):
    """The outcomes of the folds, and the networks."""
    done = []
    found = evaluate(this_process(), SWEEP, [splits], 3, 2, lambda _, steps: done.append(steps))
    assert sum(done) == 2 * SWEEP.num_configs * SWEEP.num_seeds + 2
    return found


def config_of(outcome):
    return next(c for c in SWEEP.configs if c.name == outcome.settings["config"])


def trained_alone(table, fold, place, configs, epochs):
    """Trains configs on one fold, one after another, each with seeds 3 and 4."""
    sizes = Sizes(70, 35, 57, 10)
    arrays = [arrays_of(table, fold, sizes)] * (place + 1)
    with Engine(SWEEP, MlpFamily(), sizes) as engine:
        trials = [[Trial(c.id, place, seed) for seed in (3, 4)] for c in configs]
        return [next(engine.run(engine.plan.repeats(two, epochs), arrays)) for two in trials]


@pytest.mark.slow
def test_the_choice_is_that_of_one_config_after_another(splits, fitted):
    column = METRICS.index("validation_accuracy")
    for place, (fold, (outcome, _)) in enumerate(zip(splits.folds, fitted, strict=True)):
        tried = Fold(fold.train, fold.validation, fold.test[:0])
        alone = trained_alone(splits.table, tried, place, SWEEP.configs, 4)
        figures = np.array([trained.history[:, :, column].mean(axis=0) for trained in alone])
        assert outcome.settings_tried == figures.size
        assert outcome.validation_accuracy == pytest.approx(figures.max(), abs=1e-6)
        chosen = figures[SWEEP.places[config_of(outcome).id], outcome.settings["epochs"] - 1]
        assert outcome.validation_accuracy == pytest.approx(chosen, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": {"patience": [5]}}, "; remove patience$"),
        ({"search": {"kind": "halving"}, "epochs": 4}, "; use --set=search.kind=grid, or random"),
        ({"search": {"kind": "tpe", "num_configs": 4}}, "trains every configuration on every fold"),
    ],
)
def test_a_sweep_that_does_not_train_every_config_to_the_end_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        nested.check_sweep(make_sweep(protocol="holdout", **changes))


def test_the_winner_is_retrained_on_train_and_validation_part(splits, fitted):
    table = splits.table
    for place, (fold, (outcome, network)) in enumerate(zip(splits.folds, fitted, strict=True)):
        both = Fold(np.concatenate([fold.train, fold.validation]), fold.test[:0], fold.test)
        epochs = outcome.settings["epochs"]
        (alone,) = trained_alone(table, both, place, [config_of(outcome)], epochs)
        params = network.model.params
        for name, array in alone.params[0].items():
            np.testing.assert_allclose(params[name], array, rtol=1e-3, atol=1e-5)
        predicted = network.predict(table.x[fold.test].astype(float))
        np.testing.assert_array_equal(predicted, alone.predicted[0, : len(fold.test)])
        hits = alone.predicted[:, : len(fold.test)] == table.y[fold.test]
        np.testing.assert_allclose(outcome.hits, np.mean(hits, axis=0))
        assert outcome.seeds == 2
        assert outcome.fit_seconds > 0
        assert outcome.settings_tried == SWEEP.num_configs * SWEEP.epochs


def test_nothing_of_the_network_is_chosen_by_the_test_part(splits, fitted):
    random, table = np.random.default_rng(0), splits.table
    tested = np.concatenate([fold.test for fold in splits.folds])
    x, y = table.x.copy(), table.y.copy()
    x[tested], y[tested] = random.permutation(x[tested]), random.permutation(y[tested])
    other = dataclasses.replace(splits, table=dataclasses.replace(table, x=x, y=y))
    found = evaluate(this_process(), SWEEP, [other], 3, 2)
    for (one, _), (two, _) in zip(found, fitted, strict=True):
        assert one.settings == two.settings
        assert one.validation_accuracy == two.validation_accuracy


def test_a_protocol_does_not_depend_on_the_others(splits, fitted):
    (first, second) = splits.folds
    swapped = dataclasses.replace(splits, folds=(second,))
    alone = dataclasses.replace(splits, folds=(first,))
    outcome, _ = evaluate(this_process(), SWEEP, [swapped, alone], 3, 2)[1]
    assert outcome.settings == fitted[0][0].settings
    assert outcome.validation_accuracy == pytest.approx(fitted[0][0].validation_accuracy)


def test_outcomes_stand_by_protocol_model_and_fold(splits):
    all_splits = [splits, dataclasses.replace(splits, protocol=PROTOCOLS["mixed_artists"])]
    found = {
        (model, number): classical.Outcome(
            np.full(30 + 5 * (number % 2), share),
            0.5,
            {"svc__C": number, "svc__tol": 1},
            1,
            1,
            2,
            1,
        )
        for model, share in (("a", 0.25), ("b", 0.75))
        for number in range(4)
    }
    table = classical.outcomes_table(all_splits, found, ["b", "a"])
    assert list(table["protocol"]) == ["kfold"] * 4 + ["mixed_artists"] * 4
    assert list(table["model"]) == ["b", "b", "a", "a"] * 2
    assert list(table["accuracy"]) == [0.75, 0.75, 0.25, 0.25] * 2
    assert list(table["fold"]) == [0, 1] * 4
    assert list(table["chosen"]) == [f"C={number}, tol=1" for number in (0, 1, 0, 1, 2, 3, 2, 3)]
    # Models are refitted to train and validation part.
    np.testing.assert_allclose(table["test_over_train"], [30 / 70, 35 / 65] * 4)
    group = groups_of(splits.table)
    for of_fold, fold in zip(table["group"], splits.folds * 4, strict=True):
        np.testing.assert_array_equal(of_fold, group[fold.test])


def made_up(accuracy, loss):
    """Returns figures (configs, 1 seed, epochs, metrics) of validation accuracies and losses."""
    figures = np.zeros((len(accuracy), 1, len(accuracy[0]), len(METRICS)), np.float32)
    figures[:, 0, :, METRICS.index("validation_accuracy")] = accuracy
    figures[:, 0, :, METRICS.index("validation_loss")] = loss
    return figures


@pytest.mark.parametrize(
    ("accuracy", "loss", "expected"),
    [
        ([[0.2, 0.4], [0.5, 0.3]], [[1, 1], [1, 1]], (1, 1)),
        ([[0.2, 0.5], [0.5, 0.3]], [[1, 1], [2, 1]], (0, 2)),
        ([[0.2, 0.5], [0.5, 0.5]], [[1, 2], [2, 1.5]], (1, 2)),
        ([[0.5, 0.5], [0.5, 0.5]], [[1, 1], [1, 1]], (0, 1)),
        ([[0.9, 0.9], [0.5, 0.4]], [[1, np.nan], [1, 1]], (1, 1)),
    ],
    ids=["accuracy", "tie", "later", "all equal", "diverged"],
)
def test_the_best_is_by_accuracy_then_by_loss(accuracy, loss, expected):
    choice = best_of(SWEEP, made_up(accuracy, loss))
    assert (SWEEP.places[choice.config.id], choice.epochs) == expected


def test_a_fold_on_which_all_diverged_is_refused():
    with pytest.raises(InputError, match="every configuration diverged on a fold"):
        best_of(SWEEP, made_up([[0.5]], [[np.nan]]))


def test_a_winner_that_diverges_later_is_refused(splits, monkeypatch):
    run = Engine.run

    def diverge(*args):
        for trained in run(*args):
            trained.history[0, -1] = np.nan
            yield trained

    monkeypatch.setattr(Engine, "run", diverge)
    with pytest.raises(RunError, match=r"kfold, fold 0: .* diverged in the retraining"):
        evaluate(this_process(), SWEEP, [splits], 3, 2)


def test_importance_lays_both_models_out(table):
    random = np.random.default_rng(0)
    of_classical, ours = random.normal(size=(2, 3, 57))
    found = importance_table(table.features, of_classical, ours)
    assert sorted(found["feature"]) == sorted(table.features)
    both = found["classical_mean"] + found["mlp_mean"]
    assert (np.diff(both) < 1e-6).all()
    row = found.set_index("feature").loc["tempo"]
    column = table.features.index("tempo")
    expected = [of_classical[:, column], ours[:, column]]
    np.testing.assert_allclose(
        row[["classical_mean", "mlp_mean"]], np.mean(expected, axis=1), atol=1e-6
    )
    np.testing.assert_allclose(
        row[["classical_std", "mlp_std"]], np.std(expected, axis=1, ddof=1), atol=1e-6
    )
    assert importance_table(table.features, ours[:1], ours[:1])["mlp_std"].isna().all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "expected"),
    [("kfold", 0.73), ("fault_filtered", 0.52), ("artist_folds", 0.50), ("mixed_artists", 0.71)],
)
def test_the_network_on_the_real_table(real_table_path, protocol, expected):
    """The figures are those of scikit-learn's MLP, measured independently."""
    table = load_table(real_table_path)
    splits = make_splits(table, protocol, 0, 5)
    sweep = load_sweep("baselines", ["axes.activation=['relu']", "axes.optimizer=['adam']"])
    hits = [outcome.hits for outcome, _ in evaluate(this_process(), sweep, [splits], 0, 5)]
    assert np.concatenate(hits).mean() == pytest.approx(expected, abs=0.04)
