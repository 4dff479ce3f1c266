"""Retrains a config of a finished sweep.

  python -m gtzan_jax.retrain --workdir=runs/RUN --rank=2
  python -m gtzan_jax.retrain --workdir=runs/RUN --retrain_epochs=100

The run directory's best/ is replaced.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from gtzan_jax import cli
from gtzan_jax.engine import Engine, data_of, train_on_each
from gtzan_jax.errors import InputError, RunError
from gtzan_jax.features import FeatureTable
from gtzan_jax.files import held, replaced_folder, write_atomically
from gtzan_jax.finished import read_run, table_of
from gtzan_jax.manifest import Retraining
from gtzan_jax.platforms import select_platform
from gtzan_jax.rundir import RunDir, describe_session
from gtzan_jax.space import Config, Sweep
from gtzan_jax.splits import Dataset, random_split, standardise
from gtzan_jax.text import printable
from gtzan_jax.trained import TrainedModel
from gtzan_jax.training import METRICS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Retrained:
    """A retrained model, how its training went, and how it does on the test part."""

    model: TrainedModel
    history: np.ndarray = field(repr=False)  # (epochs, 4) float32, in the order of training.METRICS
    confusion: np.ndarray = field(repr=False)  # (genres, genres) int, rows true, columns predicted
    scores: "pd.DataFrame" = field(repr=False)  # per genre: precision, recall, f1, tracks
    figures: "dict[str, Figure]" = field(repr=False)  # by file name without its ending


def retrain(
    config: Config,
    sweep: Sweep,
    table: FeatureTable,
    dataset: Dataset,
    seed: int,
    epochs: int,
    engine: Engine | None = None,
) -> Retrained:
    """Trains a config afresh, for more epochs, and looks at the result.

    Args:
      config: what to train.
      sweep: gives the loss, the batch size and the learning rates.
      table: the feature table, for the figures' notes.
      dataset: the same split as in the sweep.
      seed: the same seed makes the first epochs those of the sweep.
      epochs: how long.
      engine: one that has trained the sweep, whose programs are used; else new ones are
        compiled.

    Raises:
      RunError: the training diverged.
    """
    if engine:
        params, history = engine.train_one(config, data_of(dataset), seed, epochs)
    else:
        [(params, history)] = train_on_each(config, sweep, [dataset], seed, epochs)
    diverged = ~np.isfinite(history).all(axis=1)
    if diverged.any():
        raise RunError(
            f"the retraining of {config.name} diverged in epoch {diverged.argmax() + 1} of "
            f"{epochs}: nothing of it is kept; take a lower learning rate or fewer epochs"
        )
    model = TrainedModel.of(config, params, sweep, table, dataset)
    predicted = model.predict_standardised(dataset.x_test).argmax(axis=1)
    confusion, scores = _judge(dataset.y_test, predicted, table.genres)
    figures = _figures(history, confusion, model, table.note(seed))
    return Retrained(model, history, confusion, scores, figures)


def save(result: Retrained, run: RunDir) -> None:
    """Writes the model, its history, scores and figures into ``best/``."""
    import pandas as pd

    history = pd.DataFrame(result.history, columns=list(METRICS))
    history.insert(0, "epoch", np.arange(1, len(history) + 1))
    with replaced_folder(run.best) as folder:
        result.model.save(folder)
        for name, frame in (("history", history), ("scores", result.scores)):
            text = frame.to_csv(index=False, lineterminator="\n")
            write_atomically(folder / f"{name}.csv", text)
        for name, figure in result.figures.items():
            figure.savefig(folder / f"{name}.png")


def summary(run: RunDir) -> str:
    """Returns one line on the retrained model: the best epoch and the last."""
    import pandas as pd

    test = pd.read_csv(run.best / "history.csv")["test_accuracy"]
    best = int(test.argmax())
    return (
        f"retrained for {len(test)} epochs: accuracy at best {test[best]:.4f} "
        f"(epoch {best + 1}), at the end {test.iloc[-1]:.4f}"
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
    history: np.ndarray, confusion: np.ndarray, model: TrainedModel, note: str
) -> "dict[str, Figure]":
    from gtzan_jax import plots

    column = dict(zip(METRICS, history.T, strict=True))
    figures = {
        quantity: plots.training_curves(
            column[f"train_{quantity}"],
            column[f"test_{quantity}"],
            quantity,
            f"Retraining the best configuration: {quantity}\n{model.config.name}",
            note,
        )
        for quantity in ("accuracy", "loss")
    }
    figures["confusion_matrix"] = plots.confusion_matrix(confusion, model.genres, note)
    return figures


def main() -> int:
    """Retrains a config of the run directory that the flags name, and replaces ``best/``."""
    found = read_run(flags.FLAGS.workdir)
    precision = flags.FLAGS.matmul_precision or found.manifest.matmul_precision
    select_platform(flags.FLAGS.platform, precision)
    if flags.FLAGS.rank > len(found.results):
        raise InputError(
            f"--rank={flags.FLAGS.rank}: the sweep has ranks 1 to {len(found.results)}"
        )
    table, missing = table_of(found, flags.FLAGS.data)
    if table is None:
        raise InputError(f"{found.run.path}: {missing}")
    seed = found.manifest.split.seed
    dataset = standardise(table, random_split(table, seed))
    config_id = int(found.results["config_id"].iloc[flags.FLAGS.rank - 1])
    config = found.sweep.configs()[config_id]
    epochs = flags.FLAGS.retrain_epochs
    result = retrain(config, found.sweep, table, dataset, seed, epochs)
    with held(found.run.path):
        save(result, found.run)
        manifest = found.run.read_manifest()
        manifest.retraining = Retraining(
            epochs=epochs, config_id=config_id, matmul_precision=precision
        )
        manifest.sessions.append(describe_session("retrain", found.accuracy.size))
        found.run.record(manifest, "best")
    print(f"{summary(found.run)}\n  config  {config.name}")
    print(printable(f"  model   {found.run.best}"))
    return 0


if __name__ == "__main__":
    cli.define_platform_flag()
    cli.define_precision_flag(default=None)
    flags.DEFINE_string(
        "data", None, "The feature table that the sweep was trained on, if it is neither in data/ "
        "nor in the cache; as for the sweep.",
    )  # fmt: skip
    flags.DEFINE_string("workdir", None, "The run directory of a finished sweep.", required=True)
    flags.DEFINE_integer("rank", 1, "Which config of results.csv.", lower_bound=1)
    flags.DEFINE_integer("retrain_epochs", 50, "For how many epochs.", lower_bound=1)
    cli.run(main)
