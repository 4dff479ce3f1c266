"""Retrains configs for more epochs and with several seeds, and evaluates them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gtzan_jax.backends.backend import open_backend
from gtzan_jax.errors import InputError, RunError
from gtzan_jax.files import (
    held,
    is_empty,
    remove_temporaries,
    replaced_folder,
    write_atomically,
    write_csv,
)
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.inference.model_files import NAME, save_model
from gtzan_jax.jobs.calibrating import calibrated
from gtzan_jax.jobs.options import RetrainOptions
from gtzan_jax.jobs.run import Run, read_run
from gtzan_jax.rundir import directory
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.finished import SavedRetraining, table_of
from gtzan_jax.rundir.history import History
from gtzan_jax.rundir.manifest import Manifest, Retraining
from gtzan_jax.space.config import Config, Trial
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.dividing import groups_of
from gtzan_jax.tables.folds import judged_rows
from gtzan_jax.tables.protocols import PROTOCOLS, Splits, make_splits
from gtzan_jax.text import printable
from gtzan_jax.trainer.platforms import MatmulPrecision
from gtzan_jax.trainer.task import Trained
from gtzan_jax.trainer.trainer import Trainer
from gtzan_jax.views import messages
from gtzan_jax.views.text import by_stem

if TYPE_CHECKING:
    import pandas as pd

_NETWORKS = 10  # by default
_EPOCHS = 50
_BEST = "best"  # written by the sweep; the command does not replace it


class Networks(NamedTuple):
    """The networks of one config on every fold with several seeds, by fold, then seed."""

    config: Config
    history: History
    params: Sequence[Mapping[str, np.ndarray]]  # by name
    logits: Sequence[np.ndarray]  # (num_judged, classes) float32 for each, see ``Trained``


@dataclass(frozen=True, eq=False)
class Retrained:
    """A config retrained on every fold with several seeds.

    Attributes:
      model: the network of the first fold and the first seed.
      frames: the CSV files by stem: ``history``, one row for each epoch of a network;
        ``confusion``, genres × genres (rows true, columns predicted), test parts of all networks
        together; ``scores``, precision, recall and F1 by genre; ``calibration`` of the model, see
        ``calibrating.calibrated``; ``songs``, one row for each test song of a fold (right: the
        share of the fold's networks that are right). If the table is not of songs, ``songs`` is
        ``rows``, and columns have the names of the table's ``words``.
      images: the PNG files by stem.
    """

    model: TrainedModel
    frames: "Mapping[str, pd.DataFrame]" = field(repr=False)
    images: Mapping[str, bytes] = field(repr=False)


def seeds_of(first: int, wanted: int | None, num_folds: int) -> list[int]:
    """Returns the seeds of a retraining, by default enough for 10 networks over all folds."""
    return list(range(first, first + (wanted or max(1, _NETWORKS // num_folds))))


def retrain(
    trainer: Trainer, splits: Splits, config_id: str, seeds: Sequence[int], epochs: int
) -> Retrained:
    """Trains a config on every fold with several seeds, and evaluates it.

    Raises:
      RunError: a network diverged.
    """
    [networks] = train_networks(trainer, splits, [config_id], seeds, epochs)
    return evaluate(networks, trainer.plan.sweep, splits)


def train_networks(
    trainer: Trainer, splits: Splits, config_ids: Sequence[str], seeds: Sequence[int], epochs: int
) -> Iterator[Networks]:
    """Trains configs on every fold with several seeds; yields each config when it is done.

    Raises:
      RunError: a network diverged; raised after the others have trained.
    """
    folds = range(len(splits.folds))
    trials = [Trial(i, fold, seed) for i in config_ids for fold in folds for seed in seeds]
    left, results = Counter(trial.config_id for trial in trials), list[Trained]()
    failure = None
    for trained in trainer.run(trainer.plan.repeats(trials, epochs), splits.arrays):
        results.append(trained)
        for config_id, done in Counter(trained.task.config_ids).items():
            left[config_id] -= done
            if not left[config_id]:
                own = [trial for trial in trials if trial.config_id == config_id]
                networks = _networks(trainer.plan.config_of[config_id], own, results)
                if not networks.history.diverged.any():
                    yield networks
                else:
                    failure = failure or _divergence(networks)
    if failure:
        raise failure


def _networks(config: Config, trials: Sequence[Trial], results: Sequence[Trained]) -> Networks:
    ends = {
        trial: kept
        for each in results
        for trial, *kept in zip(each.task.trials, each.params, each.logits, strict=True)
    }
    params, logits = zip(*(ends[trial] for trial in trials), strict=True)
    return Networks(config, History.of(trials, results), params, logits)


def _divergence(networks: Networks) -> RunError:
    config, history, *_ = networks
    bad = ~np.isfinite(history.figures).all(axis=(0, 2))
    return RunError(
        f"the retraining of {config.name} diverged in epoch {bad.argmax() + 1} of {len(bad)} "
        f"({history.diverged.sum()} of {len(history.trials)} networks), so it is not saved; try a "
        "lower learning rate or fewer epochs"
    )


def evaluate(networks: Networks, sweep: Sweep, splits: Splits) -> Retrained:
    """Evaluates the networks of a config; the first becomes the model."""
    import pandas as pd

    config, trained, table = networks.config, networks.history, splits.table
    model = TrainedModel.of(config, networks.params[0], sweep, splits, fold=0)
    model, probabilities = calibrated(model, splits, splits.folds[0], networks.logits[0])
    genres, groups, words = np.array(table.genres), groups_of(table), table.words
    confusion, units = np.zeros((len(genres), len(genres)), int), []
    by_fold = trained.predicted.reshape(len(splits.folds), -1, trained.predicted.shape[1])
    for place, (fold, every) in enumerate(zip(splits.folds, by_fold, strict=True)):
        rows, start = judged_rows(table, fold.test), len(judged_rows(table, fold.validation))
        found = every[:, start : start + len(rows)]
        np.add.at(confusion, (table.y[rows], found), 1)
        names = [table.tracks[row] for row in rows]
        named = {"fold": place, words.unit: names, words.label: genres[table.y[rows]]}
        right = (found == table.y[rows]).mean(axis=0)
        units.append(pd.DataFrame(named).assign(group=groups[rows], right=right))
    frames = {
        "history": history_frame(trained, splits.metrics),
        "scores": pd.DataFrame({words.label: genres} | scores_of(confusion, words.rows)),
        "confusion": pd.DataFrame(confusion, columns=list(model.genres)),
        "calibration": probabilities,
        words.units: pd.concat(units, ignore_index=True).assign(**splits.marks),
    }
    if splits.protocol.leak:
        frames["scores"]["leak"] = splits.protocol.leak
    return Retrained(model, frames, _images(frames, confusion, model, splits))


def scores_of(confusion: np.ndarray, rows: str) -> dict[str, np.ndarray]:
    """Returns precision, recall, F1 and number of rows of each class, 0 where undefined.

    Not by scikit-learn, whose import takes about as long as training the networks.
    """
    hits, true, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    scores = {"precision": (hits, predicted), "recall": (hits, true)}
    scores["f1"] = 2 * hits, true + predicted
    shares = {name: above / np.maximum(below, 1) for name, (above, below) in scores.items()}
    return shares | {rows: true}


def history_frame(history: History, metrics: Sequence[str]) -> "pd.DataFrame":
    """Returns fold, seed, epoch (from 1), kept and the metrics, one row for each epoch."""
    import pandas as pd

    frame = pd.concat(list(history.frames(metrics)), ignore_index=True).drop(columns="config_id")
    frame.insert(3, "kept", frame["epoch"] == np.repeat(history.best, history.last))
    return frame


def save(result: Retrained, folder: Path) -> None:
    """Replaces a folder with the model, its tables and figures."""
    with replaced_folder(folder) as aside:
        save_model(result.model, aside)
        for name, frame in result.frames.items():
            write_csv(aside / f"{name}.csv", frame)
        for name, image in result.images.items():
            write_atomically(aside / f"{name}.png", image)


def retrain_run(request: RetrainOptions) -> SavedRetraining:
    """Retrains a config of a finished run into its own folder, if not done yet.

    Raises:
      RunError: the training diverged.
    """
    found = read_run(request.workdir)
    run, sweep, manifest = found.run, found.sweep, found.manifest
    if request.rank > len(found.results):
        raise InputError(f"--rank={request.rank}: the sweep has ranks 1 to {len(found.results)}")
    config, protocol = found.config(request.rank), request.protocol or sweep.protocol
    sweep.check_protocol(protocol)
    table, missing = table_of(found, request.data)
    if table is None:
        raise InputError(f"{run.path}: {missing}")
    splits = make_splits(table, protocol, manifest.split.seed, request.num_folds or sweep.num_folds)
    seeds = seeds_of(manifest.seeds[0], request.retrain_seeds, len(splits.folds))
    precision = request.matmul_precision or manifest.matmul_precision
    wanted = describe(splits, config.id, seeds, request.retrain_epochs, precision)
    name = _name(found, request.rank, wanted)
    if _is_there(run, manifest, name, wanted):
        saved = _saved(found, name)
        print(f"{printable(saved.path)} already has this retraining")
        return saved
    messages.warn_of_leak(splits.protocol.leak)
    with (
        open_backend(request.platform, precision, request.workers, request.scheduler) as backend,
        backend.trainer(sweep, splits.sizes, configs=[config]) as trainer,
    ):
        result = retrain(trainer, splits, config.id, seeds, wanted.epochs)
    session = directory.describe_session(
        request.command, found.accuracy.size, backend.platform, backend.devices
    )
    with held(run.path):
        manifest = run.read_manifest()
        _is_there(run, manifest, name, wanted)  # another process may have been faster
        if manifest.retrainings.pop(name, None):  # a half-replaced folder must not be listed
            run.write_manifest(manifest)
        run.retrained.mkdir(exist_ok=True)
        remove_temporaries(run.retrained)
        save(result, run.retrained / name)
        manifest.retrainings[name] = wanted
        manifest.sessions.append(session)
        run.record(manifest, f"retrained/{name}")
    return _saved(read_run(request.workdir), name)


def _saved(found: Run, name: str) -> SavedRetraining:
    """Returns one retraining, even if others are damaged."""
    saved = found.retraining(name)
    if saved is None:
        raise RunError(f"{found.run.retrained / name} was removed by another process")
    return saved


def _name(found: Run, rank: int, wanted: Retraining) -> str:
    """Returns the name of the folder, which lists all settings that are not the default."""
    if wanted == found.manifest.retraining:
        return _BEST
    sweep, usual = found.sweep, seeds_of(wanted.seeds[0], None, wanted.num_folds)
    has_folds = PROTOCOLS[wanted.protocol].takes_num_folds
    differences = {
        wanted.protocol: wanted.protocol != sweep.protocol,
        f"{wanted.num_folds}folds": has_folds and wanted.num_folds != sweep.num_folds,
        f"{wanted.epochs}epochs": wanted.epochs != _EPOCHS,
        f"{len(wanted.seeds)}seeds": wanted.seeds != usual,
        wanted.matmul_precision: wanted.matmul_precision != found.manifest.matmul_precision,
    }
    return "-".join([f"rank{rank}", *(part for part, differs in differences.items() if differs)])


def _is_there(run: RunDir, manifest: Manifest, name: str, wanted: Retraining) -> bool:
    """Returns whether the retraining is intact; raises InputError if its folder is not ours."""
    if name == _BEST:
        return True
    there, folder = manifest.retrainings.get(name), run.retrained / name
    if folder.exists():
        # A killed process leaves a model that is not listed.
        is_ours = there == wanted if there else is_empty(folder) or (folder / NAME).exists()
        if not is_ours:
            raise InputError(f"{folder} is not a retraining with these settings; move it away")
    return there == wanted and not run.damaged(manifest, f"retrained/{name}")


def describe(
    splits: Splits, config_id: str, seeds: Sequence[int], epochs: int, precision: MatmulPrecision
) -> Retraining:
    """Returns a retraining's entry in the manifest."""
    return Retraining(
        epochs=epochs,
        config_id=config_id,
        protocol=splits.protocol.name,
        num_folds=len(splits.folds),
        seeds=list(seeds),
        matmul_precision=precision,
    )


def _images(
    frames: "Mapping[str, pd.DataFrame]", confusion: np.ndarray, model: TrainedModel, splits: Splits
) -> dict[str, bytes]:
    from gtzan_jax.views import plots

    note, words = splits.caption, splits.table.words
    title = f"Retraining {' '.join(by_stem(model.config).values())}"
    figures = {
        quantity: plots.training_curves(frames["history"], quantity, f"{title}: {quantity}", note)
        for quantity in ("accuracy", "loss")
    }
    figures["confusion_matrix"] = plots.confusion_matrix(confusion, model.genres, note, words=words)
    few = (
        f": too few {words.units} to tell" if model.calibration and model.calibration.doubt else ""
    )
    title = f"Calibration of the saved model{few}"
    figures["reliability"] = plots.reliability(frames["calibration"], title, note, words)
    return {name: plots.image_of(figure) for name, figure in figures.items()}
