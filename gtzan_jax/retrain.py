"""Retrains a config of a finished sweep.

  python -m gtzan_jax.retrain --workdir=runs/RUN --rank=2
  python -m gtzan_jax.retrain --workdir=runs/RUN --protocol=artist_folds

The run directory's best/ is replaced.
"""

import sys

from absl import flags

from gtzan_jax import cli
from gtzan_jax.text import command_line, printable


def main() -> int:
    """Retrains a config of the run directory that the flags name, and replaces ``best/``."""
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
        command=command_line("retrain", sys.argv[1:]),
    )
    run = retrain_run(given.workdir, request)
    config = run.config(given.rank)
    if run.retrained is not None:
        print(retraining_line(run.retrained))
    print(f"  config  {config.name}\n  model   {printable(run.run.best)}")
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


if __name__ == "__main__":
    define_flags()
    cli.run(main)
