"""Retrains a config of a finished sweep.

  python -m gtzan_jax.retrain --workdir=runs/RUN --rank=2
  python -m gtzan_jax.retrain --workdir=runs/RUN --protocol=artist_kfold

Each retraining has a folder of its own, such as runs/RUN/retrained/rank2; best/
stays the sweep's.
"""

import sys

from absl import flags

from gtzan_jax import cli
from gtzan_jax.text import command_line, printable


def main() -> int:
    """Retrains a config of the run directory that the flags name."""
    from gtzan_jax.jobs.retraining import Request, retrain_run
    from gtzan_jax.views.messages import retraining_line

    given = flags.FLAGS
    request = Request(
        rank=given.rank,
        epochs=given.retrain_epochs,
        protocol=given.protocol,
        num_folds=given.num_folds,
        num_seeds=given.retrain_seeds,
        data=given.data,
        platform=given.platform,
        workers=given.workers,
        scheduler=given.scheduler,
        matmul_precision=given.matmul_precision,
        name=given["name"].value,
        overwrite=given.overwrite,
        command=command_line("retrain", sys.argv[1:]),
    )
    made = retrain_run(given.workdir, request)
    print(retraining_line(made.history, made.songs))
    print(f"  config  {made.config.name}\n  model   {printable(made.path)}")
    print(f"  {command_line('predict', [made.path, 'SONG'])}")
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    cli.define_platform_flag()
    cli.define_workers_flags()
    cli.define_precision_flag(default=None)
    flags.DEFINE_string(
        "data", None, "The feature table that the sweep was trained on, if it is neither in data/ "
        "nor in the cache; as for the sweep.",
    )  # fmt: skip
    flags.DEFINE_string("workdir", None, "The run directory of a finished sweep.", required=True)
    flags.DEFINE_integer("rank", 1, "Which config of results.csv.", lower_bound=1)
    flags.DEFINE_integer("retrain_epochs", 50, "For how many epochs.", lower_bound=1)
    cli.define_retrain_seeds_flag()
    cli.define_protocol_flags("the run's")
    flags.DEFINE_string(
        "name", None, "The folder in RUN/retrained/. Default: what tells this retraining from any "
        "other, such as rank2 or rank1-artist_kfold.",
    )  # fmt: skip
    flags.DEFINE_boolean("overwrite", False, "Replace another retraining of this name.")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
