"""Compares networks with classical models, under every split protocol.

  python -m gtzan_jax.baselines
  python -m gtzan_jax.baselines --protocol=artist_kfold --sweep=my/sweep.toml

Each fold selects the settings of the classical models, and the config of the
network among those of a sweep, on its validation part. Writes into its folder:

  baselines.csv    one row per protocol and model: accuracy, interval, seconds
  folds.csv        one row per fold and model: accuracies, selected settings
  comparison.csv   the network against each other model, paired by track, with
                   intervals
  importance.csv   feature importance for the best of the other models and for
                   the network
  baselines.json   the settings, data and versions of the run, and notes on the
                   figures
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
