"""A finished run directory, read and checked."""

import contextlib
import functools
import os
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax import checks
from gtzan_jax.errors import InputError
from gtzan_jax.inference.songs import load_data
from gtzan_jax.rundir.directory import CONFIGS, TABLES, RunDir
from gtzan_jax.rundir.manifest import Data, Manifest, Retraining, sweep_of
from gtzan_jax.rundir.predictions import Part, Predictions, load_predictions
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE, result_metrics
from gtzan_jax.sound.spectrograms import find_spectrograms, load_spectrograms
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.frames import FRAME
from gtzan_jax.tables.protocols import PROTOCOLS, Protocol, split_note
from gtzan_jax.tables.schema import FeatureTable, Words, data_note, rows_note
from gtzan_jax.tables.sources import KAGGLE_SHA256, find_table
from gtzan_jax.text import counted

if TYPE_CHECKING:
    import pandas as pd

    from gtzan_jax.inference.model import TrainedModel


@dataclass(frozen=True, eq=False)
class SavedRetraining:
    """A saved retraining of a run."""

    path: Path  # its folder
    about: Retraining
    config: Config
    history: "pd.DataFrame" = field(repr=False)  # one row for each epoch of a network
    data: Data = field(repr=False)  # of the run

    @property
    def songs(self) -> "pd.DataFrame | None":
        """One row for each test song (or test row) of a fold: the share of right networks."""
        found = _read_if_there(self.path / "songs.csv")
        return _read_if_there(self.path / "rows.csv") if found is None else found

    @property
    def model(self) -> "TrainedModel":
        """The model of the first fold and the first seed."""
        from gtzan_jax.inference.model_files import load_model

        return load_model(self.path)


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """The results of a finished sweep."""

    run: RunDir
    manifest: Manifest
    sweep: Sweep
    results: "pd.DataFrame"  # one row for each config, best first
    # (configs, runs) float64 test accuracy after the best epoch, configs in grid order, one run for
    # each fold and seed; NaN if diverged or stopped by the search.
    accuracy: np.ndarray
    # best/history.csv: one row for each epoch of a network; or None
    retrained: "pd.DataFrame | None"
    scores: "pd.DataFrame | None"  # best/scores.csv: one row for each class; or None
    # reference/history.csv: one row for each epoch of a network; None if the best is the reference
    reference: "pd.DataFrame | None"

    def __repr__(self) -> str:
        (configs, folds, seeds), kind = self.accuracy_by_fold.shape, type(self).__name__
        retrained = "not retrained" if self.retrained is None else "the best retrained"
        return (
            f"{kind}({reprlib.repr(self.name)}, {counted(configs, 'config')} × "
            f"{counted(folds, 'fold')} × {counted(seeds, 'seed')} × "
            f"{counted(self.sweep.epochs, 'epoch')}, {retrained})"
        )

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.run.path.resolve().name

    @property
    def protocol(self) -> Protocol:
        """The split protocol."""
        return PROTOCOLS[self.sweep.protocol]

    @property
    def words(self) -> Words:
        """The names of rows and classes of its table."""
        return self.manifest.data.words

    @property
    def is_sample(self) -> bool:
        """True if the run was trained on the synthetic sample."""
        return self.manifest.data.is_sample

    @property
    def metrics(self) -> tuple[str, ...]:
        """The figures of results.csv, first those that rank configs."""
        return result_metrics(self.sweep.protocol, self.manifest.data.is_segmented)

    @property
    def indistinguishable(self) -> "pd.DataFrame":
        """The rows of ``results`` statistically indistinguishable from the best, and the best."""
        return self.results[self.results[INDISTINGUISHABLE]]

    @property
    def accuracy_by_fold(self) -> np.ndarray:
        """``accuracy`` as (configs, folds, seeds)."""
        return self.accuracy.reshape(len(self.accuracy), len(self.manifest.split.folds), -1)

    @property
    def note(self) -> str:
        """The caption of figures: data and split."""
        data, split = self.manifest.data, self.manifest.split
        how = split_note(self.sweep.protocol, split.seed, len(split.folds), self.words)
        return data_note(data.source, self.rows_note, how)

    @property
    def rows_note(self) -> str:
        """The kind of rows, and the number that the protocol uses."""
        used = max(f.train + f.validation + f.test for f in self.manifest.split.folds)
        data = self.manifest.data
        return rows_note(data.tracks, data.songs, used, self.words)

    @functools.cached_property
    def predictions(self) -> Predictions:
        """The predictions of every config for every test song, after the best epoch."""
        with _as_input_errors(self.run.predictions_path):
            return load_predictions(self.run.predictions_path)

    @property
    def compared_on(self) -> Part:
        """The part on which configs are ranked and compared with the best."""
        return self.protocol.select_on

    @functools.cached_property
    def num_compared_on(self) -> int:
        """The number of distinct songs in the part ``compared_on``."""
        if self.compared_on == "test":
            return len(np.unique(self.predictions.row))
        with _as_input_errors(self.run.predictions_path):
            found = load_predictions(self.run.predictions_path, self.compared_on)
        return len(np.unique(found.row))

    @functools.cached_property
    def retrainings(self) -> dict[str, SavedRetraining]:
        """The retrainings by name: ``best`` and those in ``retrained/``."""
        names = ["best", *sorted(self.manifest.retrainings)]
        found = {name: self.retraining(name) for name in names}
        return {name: saved for name, saved in found.items() if saved}

    def retraining(self, name: str) -> SavedRetraining | None:
        """Returns a retraining; None if there is none or its folder was removed."""
        about, folder, history = self.manifest.retraining, self.run.best, self.retrained
        if name != "best":
            about, folder = self.manifest.retrainings.get(name), self.run.retrained / name
            damaged = folder.exists() and self.run.damaged(self.manifest, f"retrained/{name}")
            if damaged:
                raise InputError(
                    f"{self.run.path / damaged} is missing or damaged (its checksum is wrong); "
                    f"rerun the command that created it, or remove {folder}"
                )
            history = _read_if_there(folder / "history.csv")
        if about is None or history is None:
            return None
        config = self.sweep.configs[self.sweep.places[about.config_id]]
        return SavedRetraining(folder, about, config, history, self.manifest.data)

    @functools.cached_property
    def history(self) -> "pd.DataFrame":
        """One row for each trial and epoch: config_id, fold, seed, epoch and the figures."""
        import pandas as pd

        return pd.read_csv(self.run.history_path)

    def config(self, rank: int = 1) -> Config:
        """Returns the config of a rank, counted from 1.

        Raises:
          InputError: there is no such rank.
        """
        rank = checks.Whole(1, len(self.results))(rank, "rank")
        return self.sweep.configs[self.sweep.places[self.results["config_id"].iloc[rank - 1]]]


def read_finished(path: str | os.PathLike[str]) -> FinishedRun:
    """Reads and checks a finished run directory."""
    run = RunDir(path)
    manifest = run.read_manifest()
    if manifest.status != "finished":
        raise InputError(f"{run.path}: the sweep did not finish (status {manifest.status})")
    also = [name for name in ("best", "reference", CONFIGS) if run.has(manifest, name)]
    for name in (*TABLES, *also):
        if damaged := run.damaged(manifest, name):
            raise InputError(
                f"{run.path / damaged} is missing or damaged (its checksum is wrong); run the "
                "command of the sweep again to restore it"
            )
    with _as_input_errors(run.configs_path):
        sweep = run.with_configs(sweep_of(manifest, run.manifest_path))
    for retraining in (manifest.retraining, *manifest.retrainings.values()):
        if retraining and (
            retraining.config_id not in sweep.places or retraining.protocol not in PROTOCOLS
        ):
            raise InputError(f"{run.manifest_path}: a retraining belongs to another sweep")
    with _as_input_errors(run.path):
        results = run.read_results()
        if sorted(results["config_id"]) != sorted(sweep.places):
            raise ValueError("results.csv does not have one row for each configuration")
        return FinishedRun(
            run=run,
            manifest=manifest,
            sweep=sweep,
            results=results,
            accuracy=_accuracy(run.trials_path, results, manifest, sweep),
            retrained=_read_if_there(run.best / "history.csv"),
            scores=_read_if_there(run.best / "scores.csv"),
            reference=_read_if_there(run.reference / "history.csv")
            if "reference" in also
            else None,
        )


@contextlib.contextmanager
def _as_input_errors(path: Path) -> Iterator[None]:
    """Turns errors of files with valid checksums, but invalid content, into InputError."""
    from safetensors import SafetensorError

    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"{path} cannot be used ({reason[:200]})") from None


def table_of(run: FinishedRun, data: Any = None) -> tuple[FeatureTable | None, str]:
    """Returns the feature table of a run, from ``data`` or a usual place, or None and why not."""
    recorded = run.manifest.data
    is_spectrogram, name = run.sweep.family == "cnn", f"(SHA-256 {recorded.sha256[:12]}…)"
    if data is not None:
        columns = recorded.columns
        table = load_spectrograms(data) if is_spectrogram else load_data(data, columns=columns)
        if table.sha256 != recorded.sha256:
            raise InputError(
                f"--data={table.source} is not the table of {run.run.path}: the checksums differ"
            )
        return table, ""
    # The manifest may come from anyone: none of its paths is opened, nothing downloaded.
    if is_spectrogram:
        found = find_spectrograms(recorded.sha256, recorded.source)
        missing = f"its spectrograms {name} are not in the cache; give the sound with --data=FOLDER"
    else:
        found = find_table(
            recorded.sha256, recorded.source if recorded.is_sample else "", recorded.columns
        )
        is_kaggle = recorded.sha256 == KAGGLE_SHA256
        remedy = "--data=kaggle downloads it" if is_kaggle else "give its path with --data=PATH"
        if recorded.pretrained:
            remedy += ", or the folder of its songs"
        missing = f"its feature table {name} is neither in data/ nor in the cache; {remedy}"
        if recorded.source == FRAME:
            missing = "its feature table was passed in Python; pass it again as data=…"
    return found, "" if found else missing


def _accuracy(path: Path, results: "pd.DataFrame", manifest: Manifest, sweep: Sweep) -> np.ndarray:
    import pandas as pd

    trials = pd.read_csv(path, usecols=["config_id", "fold", "seed", "test_accuracy"])
    grid = trials.pivot(index="config_id", columns=["fold", "seed"], values="test_accuracy")
    folds = range(len(manifest.split.folds))
    runs = [(fold, seed) for fold in folds for seed in manifest.seeds]
    accuracy = grid.loc[list(sweep.places)][runs].to_numpy(np.float64, copy=True)
    out = results["diverged"] | (results.get("epochs_given", sweep.epochs) < sweep.epochs)
    accuracy[[sweep.places[config_id] for config_id in results.loc[out, "config_id"]]] = np.nan
    return accuracy


def _read_if_there(path: Path) -> "pd.DataFrame | None":
    import pandas as pd

    with _as_input_errors(path):
        return pd.read_csv(path) if path.is_file() else None
