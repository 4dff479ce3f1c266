"""Says which genres songs are of.

  python -m gtzan_jax.predict runs/RUN song.mp3 more_songs/
  python -m gtzan_jax.predict runs/RUN song.mp3 --explain --plot=song.png

The model is the run's retrained best one, in best/; runs/RUN/retrained/NAME
names another one.
"""

from collections.abc import Sequence

from absl import flags

from gtzan_jax import cli, console


def main(arguments: Sequence[str]) -> int:
    """Predicts the songs that the arguments name with the run that the first one names.

    Returns:
      the exit code: 1 where a song could not be read.
    """
    from gtzan_jax.jobs.predicting import Request, predict_songs

    given = flags.FLAGS
    run, *songs = arguments
    request = Request(
        run=run,
        songs=songs,
        hop_seconds=given.hop_seconds,
        explain=given.explain,
        as_json=given.json,
        plot=given.plot,
        platform=given.platform,
    )
    return 0 if predict_songs(request) else console.FAILURE


def define_flags() -> None:
    """Defines the flags of this command."""
    cli.define_platform_flag()
    flags.DEFINE_boolean(
        "explain", False, "Which features speak for and against the first genre, by integrated "
        "gradients: a sum that adds up to the logarithm of its probability.",
    )  # fmt: skip
    flags.DEFINE_boolean("json", False, "One document of JSON instead of text.")
    flags.DEFINE_string(
        "plot", None, "A file, .png or .svg, for the probabilities over time; with --explain, of a "
        "network on spectrograms, one more for each song, of what in it speaks for and against.",
    )  # fmt: skip
    flags.DEFINE_float(
        "hop_seconds", None, "From the start of a window to that of the next. Default: windows "
        "side by side.", lower_bound=0.1,
    )  # fmt: skip


if __name__ == "__main__":
    define_flags()
    cli.run_on(main, "RUN SONG …", at_least=2)
