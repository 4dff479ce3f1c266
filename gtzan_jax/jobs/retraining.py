"""Trains one config afresh, for more epochs, and looks closely at the result."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gtzan_jax.errors import InputError, RunError
from gtzan_jax.files import held, replaced_folder, write_csv
from gtzan_jax.jobs.run import Run, read_run
from gtzan_jax.metrics import METRICS
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.models.trained import TrainedModel
from gtzan_jax.rundir import directory
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.finished import table_of
from gtzan_jax.rundir.manifest import Retraining
from gtzan_jax.rundir.model_files import save_model
from gtzan_jax.space.config import Member
from gtzan_jax.tables.protocols import Division, divide
from gtzan_jax.trainer import platforms
from gtzan_jax.trainer.engine import Engine
from gtzan_jax.trainer.platforms import MatmulPrecision

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Retrained:
    """A retrained model, how its training went, and how it does on its fold's test part."""

    model: TrainedModel
    history: np.ndarray  # (epochs, metrics) float32, in the order of metrics.METRICS
    metrics: tuple[str, ...]  # those that the protocol has
    confusion: np.ndarray  # (genres, genres) int, rows true, columns predicted
    scores: "pd.DataFrame"  # per genre: precision, recall, f1, tracks
    figures: "dict[str, Figure]"  # by file name without its ending

    def __repr__(self) -> str:
        return f"Retrained({self.model!r}, {len(self.history)} epochs)"


@dataclass(frozen=True)
class Request:
    """Which config of a run to retrain, and how."""

    rank: int = 1
    epochs: int = 50
    data: str | None = None
    platform: str = "auto"
    matmul_precision: MatmulPrecision | None = None  # None: as the sweep
    command: str = "gtzan_jax.retrain_run"


def retrain(engine: Engine, division: Division, member: Member, epochs: int) -> Retrained:
    """Trains a member afresh on the engine's programs.

    The first epochs are those of the sweep, which had the same fold and seed.

    Raises:
      RunError: the training diverged.
    """
    config = engine.config(member.config_id)
    params, history = engine.train_one(division.arrays, member, epochs)
    diverged = ~np.isfinite(history).all(axis=1)
    if diverged.any():
        raise RunError(
            f"the retraining of {config.name} diverged in epoch {diverged.argmax() + 1} of "
            f"{epochs}: nothing of it is kept; take a lower learning rate or fewer epochs"
        )
    fold = division.folds[member.fold]
    model = TrainedModel.of(config, params, engine.sweep, division, member.fold)
    true = division.table.y[fold.test]
    probabilities = model.predict_matrix(division.table.x[fold.test])
    confusion, scores = _judge(true, probabilities.argmax(axis=1), model.genres)
    note = division.table.note(division.note)
    return Retrained(
        model,
        history,
        division.protocol.metrics,
        confusion,
        scores,
        _figures(history, division.protocol.metrics, confusion, model, note),
    )


def save(result: Retrained, run: RunDir) -> None:
    """Writes the model, its history, scores and figures into ``best/``."""
    import pandas as pd

    columns = [METRICS.index(metric) for metric in result.metrics]
    history = pd.DataFrame(result.history[:, columns], columns=list(result.metrics))
    history.insert(0, "epoch", np.arange(1, len(history) + 1))
    confusion = pd.DataFrame(result.confusion, columns=list(result.model.genres))
    frames = {"history": history, "scores": result.scores, "confusion": confusion}
    with replaced_folder(run.best) as folder:
        save_model(result.model, folder)
        for name, frame in frames.items():
            write_csv(folder / f"{name}.csv", frame)
        for name, figure in result.figures.items():
            figure.savefig(folder / f"{name}.png")


def retrain_run(workdir: str, request: Request) -> Run:
    """Retrains a config of a finished run and replaces its ``best/``.

    Raises:
      InputError: the run, the rank or the table cannot be used.
      RunError: the training diverged.
    """
    found = read_run(workdir)
    precision = request.matmul_precision or found.manifest.matmul_precision
    platforms.select_platform(request.platform, precision)
    if request.rank > len(found.results):
        raise InputError(f"--rank={request.rank}: the sweep has ranks 1 to {len(found.results)}")
    table, missing = table_of(found, request.data)
    if table is None:
        raise InputError(f"{found.run.path}: {missing}")
    sweep, config = found.sweep, found.config(request.rank)
    division = divide(table, sweep.protocol, found.manifest.split.seed, sweep.num_folds)
    member = Member(config.id, fold=0, seed=found.manifest.seeds[0])
    with Engine(sweep, MlpFamily(), division.sizes, configs=[config]) as engine:
        result = retrain(engine, division, member, request.epochs)
    with held(found.run.path):
        save(result, found.run)
        manifest = found.run.read_manifest()
        manifest.retraining = Retraining(
            epochs=request.epochs, matmul_precision=precision, **member._asdict()
        )
        session = directory.describe_session(
            request.command, found.accuracy.size, platforms.devices_in_use()
        )
        manifest.sessions.append(session)
        found.run.record(manifest, "best")
    return read_run(workdir)


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
    history: np.ndarray,
    metrics: Sequence[str],
    confusion: np.ndarray,
    model: TrainedModel,
    note: str,
) -> "dict[str, Figure]":
    from gtzan_jax.views import plots

    column = {metric: history[:, METRICS.index(metric)] for metric in metrics}
    figures = {
        quantity: plots.training_curves(
            column[f"train_{quantity}"],
            column[f"test_{quantity}"],
            quantity,
            f"Retraining the best configuration: {quantity}\n{model.config.name}",
            note,
            column.get(f"validation_{quantity}"),
        )
        for quantity in ("accuracy", "loss")
    }
    figures["confusion_matrix"] = plots.confusion_matrix(confusion, model.genres, note)
    return figures
