"""Says which genres songs are of.

  python -m gtzan_jax.predict runs/RUN song.mp3 more_songs/
  python -m gtzan_jax.predict runs/RUN song.mp3 --explain --plot=song.png

The model is the run's retrained best one, in best/; runs/RUN/retrained/NAME
names another one.
"""

from gtzan_jax import cli, console
from gtzan_jax.jobs.options import PredictOptions


def main(options: PredictOptions) -> int:
    """Predicts songs; returns the exit code, 1 where one could not be read."""
    from gtzan_jax.jobs.predicting import predict_songs

    return 0 if predict_songs(options) else console.FAILURE


if __name__ == "__main__":
    cli.run(main, PredictOptions)
