"""Predicts the genres of songs.

  python -m gtzan_jax.predict runs/RUN song.mp3 more_songs/
  python -m gtzan_jax.predict runs/RUN song.mp3 --explain --plot=song.png

The model is the run's retrained best one, in runs/RUN/best. To use another
retraining, give its folder, such as runs/RUN/retrained/rank2.
"""

from gtzan_jax import cli, console
from gtzan_jax.jobs.options import PredictOptions


def main(options: PredictOptions) -> int:
    """Predicts songs; returns the exit code, 1 if any file failed."""
    from gtzan_jax.jobs.predicting import predict_songs

    return 0 if predict_songs(options) else console.FAILURE


if __name__ == "__main__":
    cli.run(main, PredictOptions)
