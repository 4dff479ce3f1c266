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

from gtzan_jax import cli
from gtzan_jax.jobs.options import BaselinesOptions


def main(options: BaselinesOptions) -> None:
    """Runs the comparison that the flags describe."""
    from gtzan_jax.jobs.baselines import run_baselines, summary

    print(f"\n{summary(run_baselines(options))}")


if __name__ == "__main__":
    cli.run(main, BaselinesOptions)
