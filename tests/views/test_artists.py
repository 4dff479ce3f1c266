"""The summary's accuracies: on artists in the training set, and on new artists."""

import dataclasses
import os
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import make_sweep
from finished_runs import (
    edit_manifest,
    history_of,
    num_folds_of,
    random_history,
    write_networks,
    write_run,
)
from report_words import said

from gtzan_jax.analysis import selection
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.rundir.manifest import Retraining
from gtzan_jax.tables.protocols import ARTISTS_APART, PROTOCOLS
from gtzan_jax.tables.sources import load_table
from gtzan_jax.views.sections.artists import new_artists
from gtzan_jax.views.sections.selection import winner_of
from gtzan_jax.views.sections.summary import trust_part

pytestmark = pytest.mark.usefixtures("undrawn")
SAMPLE = load_table("sample")


def write(folder, protocol="assignment", accuracy=None, table=SAMPLE, **changes):
    """Writes a run whose networks all reach an accuracy, or random ones."""
    sweep = make_sweep(protocol=protocol, **changes)
    reached = np.full((sweep.num_configs, num_folds_of(sweep)), accuracy or 0.5)
    history = random_history(sweep) if accuracy is None else history_of(sweep, reached)
    return write_run(folder, sweep, history, table)


def retrain(folder, name, accuracy, protocol="artist_folds", rank=1, written=None):
    """Adds a retraining to a run: of two networks that differ by 0.02."""
    run = RunDir(folder)
    manifest, curves = run.read_manifest(), np.array([[0.1, 0.1], [0.1, 0.1]])
    curves[:, -1] += [accuracy - 0.11, accuracy - 0.09]
    run.retrained.mkdir(exist_ok=True)
    write_networks(run.retrained / name, protocol, test_accuracy=curves)
    if written:
        os.utime(run.retrained / name / "history.csv", (written, written))
    manifest.retrainings[name] = Retraining(
        epochs=2,
        config_id=run.read_results()["config_id"].iloc[rank - 1],
        protocol=protocol,
        num_folds=1,
        seeds=[0, 1],
        matmul_precision="float32",
    )
    run.record(manifest, f"retrained/{name}")


def baselines(accuracy, *protocols):
    """Returns what the figure for new artists needs of the section on baselines."""
    row = {"accuracy": accuracy, "low": accuracy - 0.1, "high": accuracy + 0.1}
    ours = SimpleNamespace(described=SimpleNamespace(ours=SimpleNamespace(sweep="baselines")))
    ours.folder = Path("baselines-1")
    sources = dict.fromkeys(protocols, ours)
    return SimpleNamespace(protocols=sources, sources=sources, pair=lambda _: (row, None))


def first_screen(folder, table=None, data=None):
    """Returns the part on accuracy, and its words."""
    run = read_finished(folder)
    part = trust_part(run, winner_of(run), None, table, data)
    return part, said(part)


MEASURES = "To measure the accuracy on new artists"
SAME = "run same, best of 12 configurations on its validation part"
FOLDS = "baselines-1, our network selected within each train part from the sweep baselines"
AGAIN = (
    "again, this configuration retrained 2 times for 2 epochs, ± 0.01 (deviation); selecting it "
    "used tracks tested here"
)


@pytest.mark.parametrize("falls", [True, False], ids=["falls", "rises"])
def test_the_figure_for_new_artists_is_of_the_first_source(falls, tmp_path):
    """By the order of sources, whichever has the largest figure."""
    figures = [0.8, 0.6, 0.4] if falls else [0.2, 0.4, 0.6]
    accuracy = dict(zip(["same", "baselines", "best"], figures, strict=True))
    folder = write(tmp_path / "run")
    write(tmp_path / "other", "artist_folds", 0.9, loss="softmax_twice")
    run = read_finished(folder)
    classical = baselines(accuracy["baselines"], "holdout", *ARTISTS_APART[::-1])
    found = [new_artists(run, classical)]
    assert new_artists(run, baselines(0.9, "holdout")) is None
    retrain(folder, "again", accuracy["best"])
    found.append(new_artists(read_finished(folder), None))
    write(tmp_path / "same", "fault_filtered", accuracy["same"])
    found.insert(0, new_artists(read_finished(folder), classical))
    assert [reading.source for reading in found] == [SAME, FOLDS, AGAIN]
    protocols = ["fault_filtered", "artist_kfold", "artist_folds"]
    assert [reading.protocol for reading in found] == protocols
    assert [reading.accuracy for reading in found] == pytest.approx(list(accuracy.values()))
    assert [np.isfinite(reading.low) for reading in found] == [True, True, False]


def test_both_figures_stand_side_by_side_each_with_its_interval(tmp_path):
    folder = write(tmp_path / "run")
    other = read_finished(write(tmp_path / "other", "artist_folds"))
    part, text = first_screen(folder)
    best, predictions = other.results.iloc[0], other.predictions
    hits = predictions.correct[other.sweep.places[best.config_id]].mean(axis=0)
    low, high = selection.accuracy_interval(hits, predictions.group)
    known = (
        r"\*\* \*\*artists in the training set\*\* 95 % interval \S+ to \S+, for other songs of "
    )
    assert re.search(f"{known}such artists and the networks of this seed", text)
    assert (
        f"**{best.test_accuracy:.2f}** **new artists** 95 % interval {low:.2f} to {high:.2f}, for "
        "other artists. Protocol artist_folds: run other" in text
    )
    assert part.title == "Test accuracy"
    assert MEASURES not in text


OTHERS = dataclasses.replace(SAMPLE, sha256="1" * 64)


@pytest.mark.parametrize(
    ("protocol", "table", "spoiled"),
    [
        ("artist_folds", OTHERS, ""),
        ("mixed_artists", SAMPLE, ""),
        ("holdout", SAMPLE, ""),
        ("artist_folds", SAMPLE, "not finished"),
        ("artist_folds", SAMPLE, "damaged"),
    ],
)
def test_other_runs_say_nothing_of_new_artists(protocol, table, spoiled, tmp_path):
    folder, other = write(tmp_path / "run"), write(tmp_path / "other", protocol, 0.77, table)
    if spoiled == "not finished":
        edit_manifest(other, lambda manifest: manifest.update(status="running"))
    if spoiled == "damaged":
        (other / "results.csv").write_text("")
    _, text = first_screen(folder)
    assert "**?** **new artists** Not measured for this sweep yet." in text
    assert MEASURES in text


def test_retrainings_of_other_configs_and_protocols_say_nothing_of_new_artists(tmp_path):
    """Of those of the best config the protocol decides, then the time, and no figure."""
    folder = write(tmp_path / "run")
    retrain(folder, "second", 0.9, rank=2)
    retrain(folder, "holdout", 0.9, "holdout")
    assert new_artists(read_finished(folder), None) is None
    for name, accuracy, protocol, written in (
        ("a", 0.6, "artist_folds", 100),
        ("b", 0.5, "artist_folds", 200),
        ("c", 0.7, "fault_filtered", 300),
    ):
        retrain(folder, name, accuracy, protocol, written=written)
    found = new_artists(read_finished(folder), None)
    assert (found.accuracy, found.protocol) == (pytest.approx(0.5), "artist_folds")
    assert found.source.startswith("b, ")


@pytest.mark.parametrize("protocol", ARTISTS_APART)
@pytest.mark.parametrize("source", ["sample", "other.csv"])
def test_a_run_that_keeps_artists_apart_has_one_figure(protocol, source, tmp_path):
    """No other run's stands beside it."""
    table = dataclasses.replace(SAMPLE, source=source)
    folder = write(tmp_path / "run", protocol, 0.4, table)
    write(tmp_path / "other", "artist_folds", 0.77, table)
    part, text = first_screen(folder)
    assert part.title == "Test accuracy"
    assert text.startswith("**0.40** **new artists** 95 % interval")
    assert "0.77" not in text
    assert MEASURES not in text


@pytest.mark.parametrize("at_hand", [True, False])
def test_of_a_table_of_unknown_artists_it_is_said(at_hand, tmp_path):
    """Where the table is not at hand, a command may or may not help."""
    songs = tuple(f"song{row}.wav" for row in range(len(SAMPLE.tracks)))
    table = dataclasses.replace(SAMPLE, tracks=songs, source="mine.csv", sha256="2" * 64)
    _, text = first_screen(
        write(tmp_path / "run", "holdout", table=table), table=table if at_hand else None
    )
    assert "**new songs, artists unknown** " in text
    assert ("This table does not name the artists." in text) == at_hand
    assert (f"{MEASURES}, if the file names are GTZAN's, then" in text) != at_hand
    assert "training set" not in text


@pytest.mark.parametrize(
    ("source", "data", "expected"),
    [("sample", None, "sample"), ("my songs.csv", None, "my songs.csv"), ("a", "b.csv", "b.csv")],
)
def test_the_command_that_is_missing_can_be_pasted(source, data, expected, tmp_path, monkeypatch):
    """It has the run's own data and split seed, and writes where a report finds it."""
    table = dataclasses.replace(SAMPLE, source=source)
    folder = write(tmp_path / "a folder" / "run", table=table)

    def change(manifest):
        manifest["data"]["flag"] = "auto" if source == "sample" else source
        manifest["split"]["seed"] = 7

    edit_manifest(folder, change)
    monkeypatch.chdir(tmp_path)
    _, text = first_screen("a folder/run", table=table, data=data)
    command = text.partition(f"{MEASURES}, then report again: `")[2].partition("`")[0]
    assert shlex.split(command) == [
        *("python", "-m", "gtzan_jax.baselines", "--protocol=artist_kfold", f"--data={expected}"),
        *("--split_seed=7", "--workdir=a folder/baselines-artist_kfold"),
    ]


def test_an_interval_is_told_where_there_is_one(tmp_path):
    _, text = first_screen(write(tmp_path / "run", accuracy=1.0))
    assert "**1.00** **new songs, artists unknown** Protocol assignment" in text


def test_a_single_configuration_was_not_chosen(tmp_path):
    axes = {"num_units1": [8], "activation": ["relu"], "optimizer": ["adam"]}
    assert "corrected" not in first_screen(write(tmp_path / "run", axes=axes))[1]


@pytest.mark.parametrize("protocol", [name for name, p in PROTOCOLS.items() if not p.leak])
def test_every_protocol_says_which_artists_its_figure_is_of(protocol, tmp_path):
    """One that leaks needs a table of segments; see test_run_segments."""
    known = "new artists" if protocol in ARTISTS_APART else "artists in the training set"
    _, text = first_screen(write(tmp_path / "run", protocol), table=SAMPLE)
    assert f" **{known}** 95 % interval" in text
