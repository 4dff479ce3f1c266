"""Explores the feature table before anything is trained.

  python -m gtzan_jax.eda
  python -m gtzan_jax.eda --data=my/features.csv --workdir=runs/my-eda

Writes figures, the tables behind them, a list of doubtful data, and a log
directory for TensorBoard's projector.
"""

import time

from absl import flags

import gtzan_jax
from gtzan_jax import cli


def main() -> int:
    """Explores the table that the flags name."""
    from gtzan_jax.jobs.exploring import explore

    explore(flags.FLAGS.data, flags.FLAGS.workdir)
    print(f"{time.perf_counter() - gtzan_jax.STARTED:.1f} s")
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    cli.define_data_flag()
    flags.DEFINE_string("workdir", None, "Where to write. Default: runs/eda-<UTC time>.")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
