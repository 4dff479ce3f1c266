"""Compares our network with classical models.

  python -m gtzan_jax.baselines
  python -m gtzan_jax.baselines --run=runs/RUN --num_splits=20

Writes into its folder:

  baselines.csv    one row a model: accuracies on every split, seconds
  comparison.csv   our network against each other model, paired by split
  importance.csv   what the features are worth to the best classical model
                   and to our network
  baselines.json   what was run, on what, with what, and how to read it
  baselines.png, importance.png
"""

import sys
import time

from absl import flags

import gtzan_jax
from gtzan_jax import cli


def main() -> int:
    """Runs the comparison that the flags describe."""
    from gtzan_jax.jobs.baselines import Request, run_baselines, summary

    given = flags.FLAGS
    request = Request(
        data=given.data,
        run=given.run,
        num_splits=given.num_splits,
        seed=given.seed,
        epochs=given.epochs,
        platform=given.platform,
        workdir=given.workdir,
        command=cli.command("baselines", sys.argv[1:]),
    )
    print(f"\n{summary(run_baselines(request))}")
    print(f"{time.perf_counter() - gtzan_jax.STARTED:.1f} s")
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    cli.define_data_flag()
    cli.define_platform_flag()
    flags.DEFINE_string("workdir", None, "Where to write. Default: runs/baselines-<UTC time>.")
    flags.DEFINE_string(
        "run", None, "A sweep's run directory, to compare its best config. Default: the best "
        "config that the assignment published.",
    )  # fmt: skip
    flags.DEFINE_integer("num_splits", 10, "Random 70:30 splits.", lower_bound=2, upper_bound=1000)
    flags.DEFINE_integer(
        "seed", 0, "Seed of the first split, the next one's is one more; it also seeds the models.",
        lower_bound=0, upper_bound=2**31,
    )  # fmt: skip
    flags.DEFINE_integer("epochs", 50, "Epochs of our network.", lower_bound=1, upper_bound=100_000)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
