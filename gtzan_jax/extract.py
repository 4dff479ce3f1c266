"""Computes the feature table of a folder of songs.

  python -m gtzan_jax.extract FOLDER --features=musicnn
  python -m gtzan_jax.extract FOLDER --output=segments.csv --segment_seconds=3

FOLDER has a subfolder of songs (WAV, MP3, FLAC, Ogg, AIFF, …) for each genre,
such as FOLDER/rock, or songs named like GTZAN's, such as rock.00000.wav. Give
the table to the other commands with --data. Finished songs are saved in
OUTPUT.part, and the same command resumes. Exits with 1 if any file failed.

Reading sound needs packages: pip install -e '.[audio]'
"""

from gtzan_jax import cli, console
from gtzan_jax.jobs.options import ExtractOptions


def main(options: ExtractOptions) -> int:
    """Computes the table; returns the exit code, 1 if any file failed."""
    from gtzan_jax.jobs.extracting import extract

    done = extract(
        options.folder,
        options.output,
        features=options.features,
        weights=options.weights,
        segment_seconds=int(options.segment_seconds) if options.segment_seconds else None,
        workers=options.workers,
        overwrite=options.overwrite,
        command=options.command,
    )
    return console.FAILURE if done.failures else 0


if __name__ == "__main__":
    cli.run(main, ExtractOptions)
