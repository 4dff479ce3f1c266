"""Explores a feature table before training.

  python -m gtzan_jax.eda
  python -m gtzan_jax.eda --data=my/features.csv --workdir=runs/my-eda

Writes figures, their tables, a list of doubtful rows and columns, and a log
directory for TensorBoard's projector.
"""

from gtzan_jax import cli
from gtzan_jax.jobs.options import EdaOptions


def main(options: EdaOptions) -> None:
    """Explores the table that the flags name."""
    from gtzan_jax.jobs.exploring import explore

    explore(options.data, options.workdir, options.columns)


if __name__ == "__main__":
    cli.run(main, EdaOptions)
