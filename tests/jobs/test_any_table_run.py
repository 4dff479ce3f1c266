"""Sweeps of tables that are not GTZAN's, by the command and in Python."""

import numpy as np
import pandas as pd
import pytest
from commands import run_here
from sklearn.datasets import load_breast_cancer, load_wine

import gtzan_jax
from gtzan_jax.errors import InputError
from gtzan_jax.jobs.options import RetrainOptions
from gtzan_jax.jobs.retraining import retrain_run

WINE = load_wine(as_frame=True)
FRAME = WINE.frame
FARM = np.random.default_rng(0).integers(0, 30, 178)


def sweep(data, folder, **options):
    options = {"retrain_epochs": 0, "workers": 0, "protocol": "holdout"} | options
    return gtzan_jax.run_sweep("smoke", data, folder, **options)


def test_a_frame_is_swept_resumed_and_retrained(tmp_path):
    frame, folder = FRAME.assign(farm=FARM), str(tmp_path / "run")
    options = {"label": "target", "group": "farm", "drop": ["hue"]}
    run = sweep(frame, tmp_path / "run", **options)
    data = run.manifest.data
    assert data.columns == gtzan_jax.Columns("target", "farm", ("hue",))
    assert (data.tracks, data.features, data.genres) == (178, 12, ["0", "1", "2"])
    groups = FARM[run.predictions.row]
    assert len(np.unique(run.predictions.group)) == len(np.unique(groups))
    again = sweep(frame.copy(), tmp_path / "run", **options)
    assert len(again.manifest.sessions) == 1  # nothing was trained
    with pytest.raises(InputError, match=r"holds another run.*columns.drop \('hue',\) there"):
        sweep(frame, tmp_path / "run", label="target", group="farm")
    with pytest.raises(InputError, match="was passed in Python; pass it again as data=…"):
        retrain_run(RetrainOptions(folder))
    saved = retrain_run(
        RetrainOptions(folder, retrain_epochs=20, retrain_seeds=1, data=frame, workers=0)
    )
    assert (saved.model.predict(frame) == WINE.target.astype(str)).mean() > 0.9


def test_arrays_are_swept_as_frames(tmp_path):
    runs = [
        sweep((WINE.data, WINE.target), tmp_path / "a"),
        sweep(FRAME, tmp_path / "b", label="target"),
    ]
    for name in ("results.csv", "trials.csv", "history.csv"):
        first, second = ((run.run.path / name).read_bytes() for run in runs)
        assert first == second
    grouped = sweep((WINE.data, WINE.target, FARM), tmp_path / "c")
    assert grouped.manifest.data.words.group == "group"


@pytest.mark.slow
def test_the_command_takes_a_csv_and_a_parquet_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frame = load_breast_cancer(as_frame=True).frame.assign(place="Wisconsin")
    frame.loc[[3, 5], "mean radius"] = np.nan
    frame.to_csv("t.csv", index=False)
    frame.to_parquet("t.parquet")
    flags = ["--sweep=smoke", "--label=target", "--drop=place,mean area", "--impute=median",
             "--protocol=kfold", "--num_folds=2", "--workers=0", "--retrain_epochs=1"]  # fmt: skip
    for kind in ("csv", "parquet"):
        assert run_here("sweep", f"--data=t.{kind}", f"--workdir={kind}", *flags) == 0
        assert run_here("report", kind, f"--data=t.{kind}") == 0
        assert "without the figures" not in capsys.readouterr().out
    assert (tmp_path / "csv/results.csv").read_bytes() == (
        tmp_path / "parquet/results.csv"
    ).read_bytes()
    flag = "--retrain_epochs=1"
    assert run_here("retrain", "--workdir=csv", "--rank=2", "--data=t.csv", flag) == 0
    assert run_here("eda", "--data=t.csv", *flags[1:4], "--workdir=eda") == 0
    assert "2 missing values: each is replaced by the median of" in capsys.readouterr().err
    assert run_here("report", "csv", "--data=t.parquet") == 2
    assert "the checksums differ" in capsys.readouterr().err


@pytest.mark.slow
def test_baselines_fill_in_missing_values_and_keep_groups_apart(tmp_path):
    frame = FRAME.assign(farm=FARM).mask(np.random.default_rng(1).random((178, 15)) < 0.05)
    frame = frame.assign(target=WINE.target, farm=FARM)
    frame.to_csv(tmp_path / "t.csv", index=False)
    flags = ["--label=target", "--group=farm", "--impute=median", "--protocol=all", "--num_seeds=1",
             "--set=epochs=2", "--num_folds=3"]  # fmt: skip
    folder = tmp_path / "out"
    assert run_here("baselines", f"--data={tmp_path}/t.csv", f"--workdir={folder}", *flags) == 0
    scores = pd.read_csv(folder / "baselines.csv")
    assert set(scores["protocol"]) == {"assignment", "holdout", "kfold"}
    assert scores.groupby("model")["accuracy"].mean()["logistic regression"] > 0.9


def test_options_of_a_table_are_not_for_one_that_is_made_or_for_sound(tmp_path):
    table = gtzan_jax.load_table(FRAME, gtzan_jax.Columns("target"))
    with pytest.raises(InputError, match="a FeatureTable has its own label"):
        sweep(table, tmp_path / "run", label="hue")
    with pytest.raises(InputError, match="are for tables, not for sound"):
        gtzan_jax.run_sweep("cnn_smoke", "sounds", tmp_path / "run", group="artist")
