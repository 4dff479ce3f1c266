"""Compares our network with classical models, under every protocol.

  python -m gtzan_jax.baselines
  python -m gtzan_jax.baselines --protocol=artist_kfold --sweep=my/sweep.toml

What can be tuned is chosen within each fold, on its validation part: the
settings of the classical models, and the config of our network among those of
a sweep. Writes into its folder:

  baselines.csv    one row a protocol and model: accuracy, interval, seconds
  folds.csv        one row a fold and model: accuracies, what was chosen
  comparison.csv   our network against each other model, paired by track, with
                   intervals
  importance.csv   what the features are worth to the best of the other models
                   and to our network
  baselines.json   what was run, on what, with what, and how to read it
  baselines.png, importance.png
"""

import sys
import time

from absl import flags

import gtzan_jax
from gtzan_jax import cli
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.text import command_line


def main() -> int:
    """Runs the comparison that the flags describe."""
    from gtzan_jax.jobs.baselines import Request, run_baselines, summary

    given = flags.FLAGS
    request = Request(
        data=given.data,
        protocol=given.protocol,
        num_folds=given.num_folds,
        split_seed=given.split_seed,
        sweep=given.sweep,
        overrides=given.set,
        seed=given.seed,
        num_seeds=given.num_seeds,
        platform=given.platform,
        workers=given.workers,
        scheduler=given.scheduler,
        workdir=given.workdir,
        command=command_line("baselines", sys.argv[1:]),
    )
    print(f"\n{summary(run_baselines(request))}")
    print(f"{time.perf_counter() - gtzan_jax.STARTED:.1f} s")
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    cli.define_data_flag()
    cli.define_platform_flag()
    cli.define_workers_flags()
    flags.DEFINE_string("workdir", None, "Where to write. Default: runs/baselines-<UTC time>.")
    flags.DEFINE_enum(
        "protocol", "all", [*PROTOCOLS, "all"], "How the songs are divided; 'all' compares under "
        "every protocol, or every one that the table's tracks allow.",
    )  # fmt: skip
    flags.DEFINE_integer(
        "num_folds", None, "Folds of kfold. Default: what the sweep says, or 5.",
        lower_bound=2, upper_bound=1000,
    )  # fmt: skip
    flags.DEFINE_integer(
        "split_seed", 0, "Seed of the division into parts.", lower_bound=0, upper_bound=2**32 - 1
    )
    flags.DEFINE_string(
        "sweep", "baselines", "The sweep whose configs our network is chosen from in each fold: a "
        "name in sweeps/, or the path of a TOML file.",
    )  # fmt: skip
    flags.DEFINE_multi_string(
        "set", [], "key=value over the sweep file, as --set=epochs=20; repeatable."
    )
    flags.DEFINE_integer(
        "seed", 0, "First seed of our networks; it also seeds the models.",
        lower_bound=0, upper_bound=2**31,
    )  # fmt: skip
    flags.DEFINE_integer(
        "num_seeds", 5, "Networks of the chosen config on each fold, with a seed each, and fits of "
        "each other model that draws random numbers.",
        lower_bound=1, upper_bound=1000,
    )  # fmt: skip


if __name__ == "__main__":
    define_flags()
    cli.run(main)
