"""Retrains a config of a finished sweep.

  python -m gtzan_jax.retrain --workdir=runs/RUN --rank=2
  python -m gtzan_jax.retrain --workdir=runs/RUN --protocol=artist_kfold

Each retraining has its own folder, such as runs/RUN/retrained/rank2;
runs/RUN/best stays unchanged.
"""

from gtzan_jax import cli
from gtzan_jax.jobs.options import RetrainOptions
from gtzan_jax.text import printable


def main(options: RetrainOptions) -> None:
    """Retrains a config of the run directory that the flags name."""
    from gtzan_jax.jobs.retraining import retrain_run
    from gtzan_jax.views.messages import predicting, retraining_line

    made = retrain_run(options)
    print(retraining_line(made.history, made.songs, made.data.words, made.about.protocol))
    print(f"  config  {made.config.name}\n  model   {printable(made.path)}")
    print(printable(f"  {next(iter(predicting(str(made.path), made.data.is_of_songs)))}"))


if __name__ == "__main__":
    cli.run(main, RetrainOptions)
