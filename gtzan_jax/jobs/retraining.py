"""Trains one config afresh, for more epochs and with several seeds, and looks at the result."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.errors import InputError, RunError
from gtzan_jax.files import held, replaced_folder, write_atomically, write_csv
from gtzan_jax.jobs.calibrating import calibrated
from gtzan_jax.jobs.run import Run, read_run
from gtzan_jax.metrics import METRICS
from gtzan_jax.models.trained import TrainedModel
from gtzan_jax.rundir import directory
from gtzan_jax.rundir.finished import table_of
from gtzan_jax.rundir.manifest import Retraining
from gtzan_jax.rundir.model_files import save_model
from gtzan_jax.tables.folds import judged_rows
from gtzan_jax.tables.protocols import Division, divide
from gtzan_jax.text import counted
from gtzan_jax.trainer.chunk import Replica, Replicas
from gtzan_jax.trainer.platforms import MatmulPrecision
from gtzan_jax.trainer.trainer import Trainer
from gtzan_jax.trainer.workplace import Workplace, workplace
from gtzan_jax.views import messages

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_NETWORKS = 10  # of a retraining, unless asked otherwise


@dataclass(frozen=True, eq=False)
class Retrained:
    """A config that was retrained on every fold with several seeds.

    Attributes:
      model: of the first fold and the first seed, a rule that looks at no figure.
      history: one row an epoch of a network: fold, seed, epoch, whether its weights are kept, and
        the protocol's metrics.
      confusion: (genres, genres) int, rows true, columns predicted, of all networks' test parts.
      scores: one row a genre: precision, recall, f1, tracks; of all networks together. leak, too,
        where the protocol has one.
      probabilities: of the model's, one row a song, see ``calibrating.calibrated``.
      figures: by file name without its ending.
    """

    model: TrainedModel
    history: "pd.DataFrame" = field(repr=False)
    confusion: np.ndarray = field(repr=False)
    scores: "pd.DataFrame" = field(repr=False)
    probabilities: "pd.DataFrame" = field(repr=False)
    figures: "dict[str, Figure]" = field(repr=False)

    def __repr__(self) -> str:
        networks = len(self.history.groupby(["fold", "seed"]))
        epochs = self.history["epoch"].max()
        return (
            f"Retrained({self.model!r}, {counted(networks, 'network')}, {counted(epochs, 'epoch')})"
        )


@dataclass(frozen=True)
class Request:
    """Which config of a run to retrain, and how.

    Attributes:
      rank: of the config in results.csv.
      protocol: another one than the run's; None for the run's.
      num_folds: of the protocols that have a choice; None for the sweep's.
      num_seeds: networks on each fold; None for as many as make 10.
      workers: as in ``job.Options``, and the scheduler.
      matmul_precision: None for the sweep's.
    """

    rank: int = 1
    epochs: int = 50
    protocol: str | None = None
    num_folds: int | None = None
    num_seeds: int | None = None
    data: str | None = None
    platform: str = "auto"
    workers: int | None = None
    scheduler: str | None = None
    matmul_precision: MatmulPrecision | None = None
    command: str = "gtzan_jax.retrain_run"


def seeds_of(first: int, wanted: int | None, num_folds: int) -> list[int]:
    """Returns the seeds of a retraining, as many as wanted or as make 10 networks."""
    return list(range(first, first + (wanted or max(1, _NETWORKS // num_folds))))


def retrain(
    trainer: Trainer, division: Division, config_id: str, seeds: Sequence[int], epochs: int
) -> Retrained:
    """Trains a config afresh on every fold with several seeds.

    Raises:
      RunError: a network diverged.
    """
    from gtzan_jax.views import plots

    networks = train_networks(trainer, division, config_id, seeds, epochs)
    config, table = trainer.config(config_id), division.table
    model = TrainedModel.of(config, networks[0][0].params, trainer.sweep, division, fold=0)
    model, probabilities = calibrated(model, division, division.folds[0])
    tested, predicted = [], []
    for fold, replicas in zip(division.folds, networks, strict=True):
        rows, start = judged_rows(table, fold.test), len(judged_rows(table, fold.validation))
        tested += [rows] * len(replicas)
        predicted += [replica.predicted[start:][: len(rows)] for replica in replicas]
    confusion, scores = _judge(
        table.y[np.concatenate(tested)], np.concatenate(predicted), table.genres
    )
    if division.protocol.leak:
        scores["leak"] = division.protocol.leak
    history = history_frame(networks, seeds, division.metrics)
    note = division.caption
    figures = _figures(history, confusion, model, note)
    figures["reliability"] = plots.reliability(probabilities, "Do its probabilities hold?", note)
    return Retrained(model, history, confusion, scores, probabilities, figures)


def train_networks(
    trainer: Trainer, division: Division, config_id: str, seeds: Sequence[int], epochs: int
) -> list[list[Replica]]:
    """Trains a config on every fold with several seeds; returns the networks of each fold.

    Raises:
      RunError: a network diverged.
    """
    wanted = [
        Replicas(config_id, fold, tuple(seeds), epochs) for fold in range(len(division.folds))
    ]
    networks = list(trainer.replicate(wanted, division.arrays))
    finite = [np.isfinite(r.history).all(axis=1) for replicas in networks for r in replicas]
    first = [int(epochs.argmin()) + 1 for epochs in finite if not epochs.all()]
    if first:
        raise RunError(
            f"the retraining of {trainer.config(config_id).name} diverged in epoch {min(first)} of "
            f"{epochs} ({len(first)} of {len(finite)} networks): nothing of it "
            "is kept; take a lower learning rate or fewer epochs"
        )
    return networks


def history_frame(
    networks: Sequence[Sequence[Replica]], seeds: Sequence[int], metrics: Sequence[str]
) -> "pd.DataFrame":
    """Lays the histories of networks out: fold, seed, epoch (from 1), kept, and the metrics."""
    import pandas as pd

    columns = [METRICS.index(metric) for metric in metrics]
    frames = []
    for fold, replicas in enumerate(networks):
        for seed, replica in zip(seeds, replicas, strict=True):
            frame = pd.DataFrame(replica.history[:, columns], columns=list(metrics))
            frame.insert(0, "kept", np.arange(1, len(frame) + 1) == replica.best)
            frame.insert(0, "epoch", np.arange(1, len(frame) + 1))
            frame.insert(0, "seed", seed)
            frame.insert(0, "fold", fold)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def save(result: Retrained, folder: Path) -> None:
    """Writes the model, its history, scores and figures into a folder, in the place of another."""
    import pandas as pd

    from gtzan_jax.views import plots

    confusion = pd.DataFrame(result.confusion, columns=list(result.model.genres))
    frames = {
        "history": result.history,
        "scores": result.scores,
        "confusion": confusion,
        "calibration": result.probabilities,
    }
    with replaced_folder(folder) as aside:
        save_model(result.model, aside)
        for name, frame in frames.items():
            write_csv(aside / f"{name}.csv", frame)
        for name, figure in result.figures.items():
            write_atomically(aside / f"{name}.png", plots.image_of(figure))


def retrain_run(workdir: str, request: Request) -> Run:
    """Retrains a config of a finished run and replaces its ``best/``.

    Raises:
      InputError: the run, the rank or the table cannot be used.
      RunError: the training diverged.
    """
    found = read_run(workdir)
    precision = request.matmul_precision or found.manifest.matmul_precision
    with workplace(request.platform, precision, request.workers, request.scheduler) as place:
        return _retrain_at(place, found, request, precision)


def _retrain_at(place: Workplace, found: Run, request: Request, precision: MatmulPrecision) -> Run:
    if request.rank > len(found.results):
        raise InputError(f"--rank={request.rank}: the sweep has ranks 1 to {len(found.results)}")
    sweep, config = found.sweep, found.config(request.rank)
    protocol = request.protocol or sweep.protocol
    sweep.check_protocol(protocol)
    table, missing = table_of(found, request.data)
    if table is None:
        raise InputError(f"{found.run.path}: {missing}")
    num_folds = request.num_folds or sweep.num_folds
    division = divide(table, protocol, found.manifest.split.seed, num_folds)
    messages.warn_of_leak(division.protocol.leak)
    seeds = seeds_of(found.manifest.seeds[0], request.num_seeds, len(division.folds))
    with place.trainer(sweep, division.sizes, configs=[config]) as trainer:
        result = retrain(trainer, division, config.id, seeds, request.epochs)
    with held(found.run.path):
        save(result, found.run.best)
        manifest = found.run.read_manifest()
        manifest.retraining = describe(division, config.id, seeds, request.epochs, precision)
        session = directory.describe_session(
            request.command, found.accuracy.size, place.platform, place.devices
        )
        manifest.sessions.append(session)
        found.run.record(manifest, "best")
    return read_run(found.run.path)


def describe(
    division: Division,
    config_id: str,
    seeds: Sequence[int],
    epochs: int,
    matmul_precision: MatmulPrecision,
) -> Retraining:
    """Returns what a manifest says of a retraining."""
    return Retraining(
        epochs=epochs,
        config_id=config_id,
        protocol=division.protocol.name,
        num_folds=len(division.folds),
        seeds=list(seeds),
        matmul_precision=matmul_precision,
    )


def _judge(
    true: np.ndarray, predicted: np.ndarray, genres: Sequence[str]
) -> "tuple[np.ndarray, pd.DataFrame]":
    import pandas as pd
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels = np.arange(len(genres))
    columns = precision_recall_fscore_support(true, predicted, labels=labels, zero_division=0)
    names = ("precision", "recall", "f1", "tracks")
    scores = pd.DataFrame({"genre": genres, **dict(zip(names, columns, strict=True))})
    return confusion_matrix(true, predicted, labels=labels), scores


def _figures(
    history: "pd.DataFrame", confusion: np.ndarray, model: TrainedModel, note: str
) -> "dict[str, Figure]":
    from gtzan_jax.views import plots

    title = f"Retraining {model.config.name}"
    figures = {
        quantity: plots.training_curves(history, quantity, f"{title}: {quantity}", note)
        for quantity in ("accuracy", "loss")
    }
    figures["confusion_matrix"] = plots.confusion_matrix(confusion, model.genres, note)
    return figures
